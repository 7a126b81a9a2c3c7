"""De-identified label files: the same words for the same things as in the images, and nothing about people."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable

import nibabel
import numpy as np
import pytest

from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.files import deidentify
from imaging.deidentification.label_texts import map_uids
from imaging.deidentification.paths import clean_path
from imaging.errors import UnreadableFile
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.nrrd import read_nrrd_array
from imaging.readers.sniff import Kind, kind_of_whole
from tests.imaging.deidentification.identified import KEYS, PROFILE

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"


def cleaned(text: str | bytes, kind: Kind) -> bytes:
    """What comes out for a label file."""
    data = text.encode() if isinstance(text, str) else text
    return deidentify(data, kind, KEYS, PROFILE, CT_READ_LIMITS).data


def test_uids_in_texts_are_those_of_the_images_wherever_they_stand() -> None:
    text = f"{UID} ct/{UID}.dcm CT.{UID}_mask 1.2.840.10008.5.1.4.1.1.2 1.25 10.0.0.1 1.2.3.4"
    mapped = KEYS.uid(UID)
    told = map_uids(text.encode(), keys=KEYS).decode()
    assert told == f"{mapped} ct/{mapped}.dcm CT.{mapped}_mask 1.2.840.10008.5.1.4.1.1.2 1.25 10.0.0.1 1.2.3.4"


def test_texts_of_two_bytes_a_letter_are_mapped_too() -> None:
    assert KEYS.uid(UID) in map_uids(f"<a>{UID}</a>".encode("utf-16"), keys=KEYS).decode("utf-16")


LIDC = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- drawn by Dr Quincke -->
<LidcReadMessage uid="{UID}" xmlns="http://www.nih.gov" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.nih.gov http://host.charitable.example/lidc.xsd">
<ResponseHeader><Version>1.8.1</Version><DateService>2008-08-18</DateService><RequestingSite>Charitable</RequestingSite>
<TaskDescription>for Mrs Mustermann</TaskDescription><SeriesInstanceUid>{UID}</SeriesInstanceUid></ResponseHeader>
<readingSession><servicingRadiologistID>Quincke</servicingRadiologistID>
<unblindedReadNodule><noduleID>Nodule 001</noduleID>
<characteristics><subtlety>5</subtlety></characteristics><roi><imageZposition>-125.5</imageZposition>
<imageSOP_UID>{UID}</imageSOP_UID><inclusion>TRUE</inclusion><edgeMap><xCoord>312</xCoord><yCoord>355</yCoord></edgeMap>
</roi></unblindedReadNodule></readingSession></LidcReadMessage>"""


def test_an_lidc_file_keeps_its_shapes_and_loses_its_people() -> None:
    data = cleaned(LIDC, "lidc-xml")
    assert kind_of_whole(data) == "lidc-xml"
    told = data.decode()
    assert [word for word in ("Quincke", "Charitable", "charitable", "Mustermann", "2008", UID) if word in told] == []
    assert KEYS.uid(UID) in told
    assert KEYS.reader("Quincke") in told
    for kept in ("312", "355", "-125.5", "TRUE", "Nodule 001", "1.8.1"):
        assert f">{kept}<" in told


def test_a_voc_file_keeps_its_boxes_and_calls_its_image_as_the_image_is_called_now() -> None:
    voc = f"""<annotation verified="no"><folder>Mustermann_Erika</folder><filename>{UID}.dcm</filename>
    <path>/home/quincke/Mustermann_Erika/{UID}.dcm</path><source><database>Charitable</database></source>
    <owner><name>Quincke</name></owner><size><width>512</width><height>512</height></size>
    <object><name>nodule</name><bndbox><xmin>146</xmin></bndbox></object></annotation>"""
    told = cleaned(voc, "voc-xml").decode()
    assert [word for word in ("Mustermann", "quincke", "Quincke", "Charitable", UID) if word in told] == []
    assert f"<filename>{KEYS.uid(UID)}.dcm</filename>" in told
    assert "<name>nodule</name>" in told
    assert "<xmin>146</xmin>" in told


def test_a_coco_file_keeps_boxes_masks_and_the_model() -> None:
    document = {
        "info": {"contributor": "Dr Quincke", "date_created": "2024/05/17", "description": "Mrs Mustermann",
                 "algorithm": {"name": "NoduleNet", "version": "2.1"}},
        "licenses": [{"name": "CC BY", "url": "http://charitable.example/l"}],
        "images": [{"id": 1, "file_name": f"Mustermann_Erika/{UID}.dcm", "width": 512, "height": 512}],
        "categories": [{"id": 1, "name": "nodule"}, {"id": 2, "name": "Huber sign"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [1.5, 2, 3, 4], "score": 0.75,
                         "segmentation": {"size": [512, 512], "counts": "PPYo0[1d>1O1O"},
                         "annotator": "quincke@x.example"}],
    }  # fmt: skip
    told = json.loads(cleaned(json.dumps(document), "coco-json"))
    text = json.dumps(told)
    assert [
        word for word in ("Quincke", "quincke", "Mustermann", "charitable", "Huber", "2024", UID) if word in text
    ] == []
    assert told["images"][0]["file_name"].endswith(f"/{KEYS.uid(UID)}.dcm")
    assert told["annotations"][0]["bbox"] == [1.5, 2, 3, 4]
    assert told["annotations"][0]["segmentation"] == document["annotations"][0]["segmentation"]  # type: ignore[index]
    assert told["info"]["algorithm"] == {"name": "NoduleNet", "version": "2.1"}
    assert told["categories"][0]["name"] == "nodule"
    assert kind_of_whole(json.dumps(told).encode()) == "coco-json"


def test_a_luna16_table_keeps_its_numbers_and_finds_its_series() -> None:
    table = f"seriesuid,coordX,coordY,coordZ,diameter_mm,reader\n{UID},-100.5,67.25,-231.8,6.4,Quincke\n"
    told = cleaned(table, "luna16-csv").decode()
    assert told.splitlines()[1] == f"{KEYS.uid(UID)},-100.5,67.25,-231.8,6.4,{KEYS.reader('Quincke')}"
    assert kind_of_whole(told.encode()) == "luna16-csv"


def test_a_patients_number_in_a_table_becomes_the_same_pseudonym_as_in_the_images() -> None:
    table = f"seriesuid,coordX,coordY,coordZ,diameter_mm,patient_id\n{UID},1,2,3,4,MRN4711-08\n"
    assert cleaned(table, "luna16-csv").decode().strip().endswith(KEYS.patient("MRN4711-08"))
    numbers = table.replace("MRN4711-08", "12345678")
    assert "12345678" not in cleaned(numbers, "luna16-csv").decode()


def test_a_datalist_calls_its_files_as_they_are_called_now() -> None:
    document = {"training": [{"image": "Mustermann/ct", "label": f"Mustermann/{UID}.nii.gz", "MRN 4711": "x"}]}
    told = cleaned(json.dumps(document), "monai-datalist").decode()
    assert "Mustermann" not in told and "4711" not in told
    [entry] = json.loads(told)["training"]
    assert entry["image"] == clean_path("Mustermann/ct", keys=KEYS)
    assert entry["label"].endswith(f"/{KEYS.uid(UID)}.nii.gz")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("ct/slice-0012.dcm", "ct/slice-0012.dcm"),
        ("images/000012.dcm", "images/000012.dcm"),
        ("annotations-lidc.xml", "annotations-lidc.xml"),
        ("pushed instances", "pushed instances"),
        (f"ct/{UID}.dcm", f"ct/{KEYS.uid(UID)}.dcm"),
        (f"voc/{UID}.xml", f"voc/{KEYS.uid(UID)}.xml"),
    ],
)  # fmt: skip
def test_names_of_files_that_name_nobody_stay(path: str, kept: str) -> None:
    assert clean_path(path, keys=KEYS) == kept


@pytest.mark.parametrize("part", ["Mustermann", "Erika_M", "MRN4711-08", "19610812", "12345678", "LIDC-IDRI-0001"])
def test_any_other_part_of_a_path_becomes_a_pseudonym_with_its_ending(part: str) -> None:
    told = clean_path(f"ct/{part}/{part}.nii.gz", keys=KEYS)
    assert part not in told
    assert told == f"ct/{KEYS.name(part, prefix='n')}/{KEYS.name(part, prefix='n')}.nii.gz"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_nifti_label_keeps_voxels_and_geometry_and_loses_its_texts(packed: bool, image: type) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([0.75, 0.75, 2.5, 1.0])
    made = image(voxels, affine)
    made.header["descrip"] = b"Mustermann 1961"
    made.header["aux_file"] = b"Erika.nii"
    made.header["intent_name"] = b"Mustermann"
    made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"left her walking stick"))
    plain = made.to_bytes()
    data = cleaned(gzip.compress(plain) if packed else plain, "nifti")
    content = gzip.decompress(data) if packed else data
    for secret in (b"Mustermann", b"Erika", b"walking"):
        assert secret in plain
        assert secret not in content
    again = image.from_bytes(content)
    assert np.array_equal(np.asarray(again.dataobj), voxels)
    assert np.array_equal(again.affine, affine)
    assert data == cleaned(gzip.compress(plain, mtime=7) if packed else plain, "nifti")


def test_a_nrrd_label_keeps_voxels_and_names_of_segments() -> None:
    header = (
        "NRRD0004\n# drawn by Quincke\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
        "space origin: (0,0,0)\ncontent: Mustermann\nSegment0_Name:=nodule\nSegment1_Name:=Huber\n"
        "Segment0_LabelValue:=1\nPatient:=Mustermann\n\n"
    )
    data = cleaned(header.encode() + bytes(range(8)), "nrrd")
    assert data.endswith(b"\n\n" + bytes(range(8)))
    for word in (b"Quincke", b"Mustermann", b"Huber"):
        assert word not in data
    for kept in (b"Segment0_Name:=nodule", b"Segment0_LabelValue:=1", b"space origin: (0,0,0)", b"sizes: 2 2 2"):
        assert kept in data


def a_nrrd(encoding: str, voxels: bytes) -> bytes:
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\n"
        f'labels: "Mustermann" "y" "z"\nencoding: {encoding}\nspace origin: (0,0,0)\n\n'
    )
    return header.encode() + voxels


def gzipped_with_a_name(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile("Mustermann.raw", "wb", fileobj=buffer) as stream:
        stream.write(content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("encoding", "made", "back"),
    [
        ("raw", lambda content: content, lambda data: data),
        ("gzip", gzipped_with_a_name, gzip.decompress),
        ("bzip2", bz2.compress, bz2.decompress),
        ("ascii", lambda content: b" ".join(str(one).encode() for one in content[:8]) + content[8:], None),
    ],
)
def test_nothing_behind_or_around_the_voxels_of_a_nrrd_label_stays(
    encoding: str, made: Callable[[bytes], bytes], back: Callable[[bytes], bytes] | None
) -> None:
    voxels = bytes(range(8))
    data = cleaned(a_nrrd(encoding, made(voxels + b" Mustermann")), "nrrd")
    assert b"Mustermann" not in data
    assert np.array_equal(read_nrrd_array(data, CT_READ_LIMITS).values.ravel(order="F"), list(voxels))
    if back is not None:
        assert back(data.partition(b"\n\n")[2]) == voxels


@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nothing_behind_the_voxels_of_a_nifti_label_stays(image: type) -> None:
    plain = image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)).to_bytes()
    assert cleaned(plain + b"Mustermann", "nifti") == cleaned(plain, "nifti")
    assert gzip.decompress(cleaned(gzip.compress(plain + b"Mustermann"), "nifti")) == cleaned(plain, "nifti")


def test_voxels_that_lie_in_another_file_are_refused() -> None:
    with pytest.raises(UnreadableFile) as refused:
        cleaned(b"NRRD0004\ntype: uint8\ndata file: /home/quincke/Mustermann.raw\n\n", "nrrd")
    assert refused.value.code == "detached-data"
    assert "Mustermann" not in refused.value.message


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(NotDeidentifiable) as refused:
        cleaned(b"x", "other")
    assert refused.value.code == "unknown-label-format"


def test_a_text_that_no_encoding_holds_is_refused_without_quoting_it() -> None:
    with pytest.raises(NotDeidentifiable) as refused:
        cleaned(
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "Mustermann \\ud800"}]}', "coco-json"
        )
    assert refused.value.code == "not-parsable"
    assert "Mustermann" not in refused.value.message

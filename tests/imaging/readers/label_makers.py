"""For each format of label files a few small files: one that fits the made CT series, and others that do not.

All mark the same thing on the series of ``made`` (6 slices of 8 x 12 pixels of 0.5 mm every 1.5 mm): slices 2 to 4,
rows 1 to 6, columns 2 to 8, about ``CENTRE_MM``, or its middle slice alone where a format knows only slices.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from imaging.readers.sniff import Kind
from tests.imaging.readers import dicom_label_makers as dicom
from tests.imaging.readers.made import SERIES, STUDY, uid_of

PERSON = "Nobody"
"""Part of a made-up name that no outcome may repeat."""

CENTRE_MM = (-1.5, -1.25, 14.5)
OTHER_SERIES = "1.2.826.0.1.3680043.77.1"
ABSENT = OTHER_SERIES + ".999"

Making = Callable[[], bytes]


@dataclass(frozen=True)
class Maker:
    """The files of one format. ``half_dangling`` also names an image that is not there, where a format can."""

    valid: Making
    elsewhere: Making
    elsewhere_code: str
    outside: Making
    named: Making
    half_dangling: Making | None
    file_name: str = "labels/made"


def _text(document: object) -> bytes:
    return json.dumps(document).encode()


def lidc(
    *,
    left: int = 1,
    images: tuple[str, ...] = (uid_of(2), uid_of(3), uid_of(4)),
    series: str = SERIES,
    reader: str = "7",
) -> bytes:
    top, right, bottom = 0, left + 8, 7
    edge = [(x, top) for x in range(left, right)] + [(right, y) for y in range(top, bottom)]
    edge += [(x, bottom) for x in range(right, left, -1)] + [(left, y) for y in range(bottom, top, -1)]
    points = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in edge)
    rois = "".join(
        f"<roi><imageZposition></imageZposition><imageSOP_UID>{uid}</imageSOP_UID><inclusion>TRUE</inclusion>{points}</roi>"
        for uid in images
    )
    return (
        f'<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>{series}'
        f"</SeriesInstanceUid><StudyInstanceUID>{STUDY}</StudyInstanceUID></ResponseHeader><readingSession>"
        f"<servicingRadiologistID>{reader}</servicingRadiologistID><unblindedReadNodule><noduleID>1</noduleID>{rois}"
        "</unblindedReadNodule></readingSession></LidcReadMessage>"
    ).encode()


def lps_affine(*, shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    """The made series' affine for an array of (column, row, slice), LPS."""
    affine = np.diag([0.5, 0.5, 1.5, 1.0])
    affine[:3, 3] = np.array([-4.0, -3.0, 10.0]) + shift_mm
    return affine


def label_array(*, shape: tuple[int, int, int] = (12, 8, 6)) -> NDArray[np.uint8]:
    """(column, row, slice), the region being 1."""
    values = np.zeros(shape, dtype=np.uint8)
    values[2:9, 1:7, 2:5] = 1
    return values


def nifti(*, affine: NDArray[np.float64], values: NDArray[np.generic], description: str = "") -> bytes:
    """``affine`` is LPS; it is written as RAS, as NIfTI wants it."""
    image = nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    image.header["descrip"] = description.encode()
    return bytes(image.to_bytes())


def nrrd(*, affine: NDArray[np.float64], values: NDArray[np.generic], more: str = "") -> bytes:
    """Raw encoding, in LPS."""
    directions = " ".join("(" + ",".join(str(value) for value in affine[:3, axis]) + ")" for axis in range(3))
    origin = ",".join(str(value) for value in affine[:3, 3])
    header = (
        f"NRRD0005\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: "
        f"{' '.join(str(size) for size in values.shape)}\nspace directions: {directions}\nkinds: domain domain domain\n"
        f"encoding: raw\nspace origin: ({origin})\n{more}\n"
    )
    return header.encode() + values.tobytes(order="F")


FAR = lps_affine(shift_mm=(500.0, 0.0, 0.0))


def luna16(*, series: str = SERIES, x: float = CENTRE_MM[0], more: str = "", head: str = "") -> bytes:
    rows = f"{series},{x},{CENTRE_MM[1]},{CENTRE_MM[2]},3.4{more}\n"
    return f"seriesuid,coordX,coordY,coordZ,diameter_mm{head}\n{rows}".encode()


def coco(*, names: tuple[str, ...] = (uid_of(3) + ".png",), left: float = 2.0, by: str = "") -> bytes:
    images = [{"id": number, "file_name": name, "width": 12, "height": 8} for number, name in enumerate(names, start=1)]
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [left, 1, 7, 6]}
        for number in range(1, len(names) + 1)
    ]
    return _text(
        {
            "info": {"contributor": by},
            "images": images,
            "categories": [{"id": 1, "name": "nodule"}],
            "annotations": annotations,
        }
    )


def voc(*, name: str = uid_of(3), left: int = 3, folder: str = "") -> bytes:
    return (
        f"<annotation><folder>{folder}</folder><filename>{name}</filename><path>{folder}/{name}.png</path>"
        f"<owner>{folder}</owner><size><width>12</width><height>8</height></size><object><name>nodule</name><bndbox>"
        f"<xmin>{left}</xmin><ymin>2</ymin><xmax>{left + 6}</xmax><ymax>7</ymax></bndbox></object></annotation>"
    ).encode()


def datalist(*, image: str = SERIES, x: float = CENTRE_MM[0], by: str = "") -> bytes:
    box = [x, CENTRE_MM[1], CENTRE_MM[2], 3.0, 3.0, 3.0]
    entry = {"image": f"{by}/{image}.nii.gz", "box": [box], "label": [0]}
    return _text({"author": by, "training": [entry], "validation": []})


def predictions_csv(*, series: str = SERIES, x: float = CENTRE_MM[0], more: str = "", head: str = "") -> bytes:
    row = f"{series},sphere,0.9,nodule,detector,1.0,{x},{CENTRE_MM[1]},{CENTRE_MM[2]},3.4{more}\n"
    names = "series_instance_uid,shape,confidence,label,algorithm_name,algorithm_version,x_mm,y_mm,z_mm,diameter_mm"
    return f"{names}{head}\n{row}".encode()


def predictions_json(*, series: str = SERIES, x: float = CENTRE_MM[0], by: str = "") -> bytes:
    one = {"shape": "sphere", "position_mm": [x, *CENTRE_MM[1:]], "diameter_mm": 3.4, "label": "nodule"}
    case = {
        "series_instance_uid": series,
        "predictions": [one | {"confidence": 0.9}],
        "class_probabilities": {"malignant": 0.25},
    }
    document: dict[str, object] = {
        "format": "label-qa-predictions",
        "version": 1,
        "algorithm": {"name": "detector", "version": "1.0"},
        "cases": [case],
    }
    return _text(document | ({"operator": by} if by else {}))


MAKERS: dict[Kind, Maker] = {
    "dicom-seg": Maker(
        valid=dicom.segmentation,
        elsewhere=lambda: dicom.segmentation(frame_of_reference="1.2.826.0.1.3680043.77.9"),
        elsewhere_code="another-frame-of-reference",
        outside=lambda: dicom.segmentation(shift_mm=500.0),
        named=dicom.segmentation,
        half_dangling=lambda: dicom.segmentation(absent=ABSENT),
    ),
    "dicom-rtstruct": Maker(
        valid=dicom.structure_set,
        elsewhere=lambda: dicom.structure_set(series=OTHER_SERIES),
        elsewhere_code="another-series",
        outside=lambda: dicom.structure_set(shift_mm=500.0),
        named=dicom.structure_set,
        half_dangling=lambda: dicom.structure_set(absent=ABSENT),
    ),
    "dicom-sr": Maker(
        valid=dicom.report,
        elsewhere=lambda: dicom.report(series=OTHER_SERIES),
        elsewhere_code="dangling-reference",
        outside=lambda: dicom.report(shift_pixels=500.0),
        named=dicom.report,
        half_dangling=lambda: dicom.report(absent=True),
    ),
    "lidc-xml": Maker(
        valid=lidc,
        elsewhere=lambda: lidc(series=OTHER_SERIES, images=(ABSENT,)),
        elsewhere_code="another-series",
        outside=lambda: lidc(left=40),
        named=lambda: lidc(reader=f"{PERSON} Known"),
        half_dangling=lambda: lidc(images=(uid_of(3), ABSENT)),
    ),
    "nifti": Maker(
        valid=lambda: nifti(affine=lps_affine(), values=label_array()),
        elsewhere=lambda: nifti(affine=FAR, values=label_array(shape=(14, 9, 7))),
        elsewhere_code="label-outside-image",
        outside=lambda: nifti(affine=FAR, values=label_array(shape=(14, 9, 7))),
        named=lambda: nifti(affine=lps_affine(), values=label_array(), description=f"{PERSON} Known"),
        half_dangling=None,
        file_name="labels/nodule_mask.nii",
    ),
    "nrrd": Maker(
        valid=lambda: nrrd(affine=lps_affine(), values=label_array()),
        elsewhere=lambda: nrrd(affine=FAR, values=label_array(shape=(14, 9, 7))),
        elsewhere_code="label-outside-image",
        outside=lambda: nrrd(affine=FAR, values=label_array(shape=(14, 9, 7))),
        named=lambda: nrrd(affine=lps_affine(), values=label_array(), more=f"content: {PERSON}\nPatient:={PERSON}\n"),
        half_dangling=None,
        file_name="labels/nodule_mask.nrrd",
    ),
    "luna16-csv": Maker(
        valid=luna16,
        elsewhere=lambda: luna16(series=OTHER_SERIES),
        elsewhere_code="another-series",
        outside=lambda: luna16(x=500.0),
        named=lambda: luna16(head=",reader", more=f",{PERSON} Known"),
        half_dangling=lambda: luna16() + luna16(series=OTHER_SERIES).partition(b"\n")[2],
    ),
    "coco-json": Maker(
        valid=coco,
        elsewhere=lambda: coco(names=(ABSENT + ".png",)),
        elsewhere_code="another-series",
        outside=lambda: coco(left=100.0),
        named=lambda: coco(by=f"{PERSON} Known", names=(uid_of(3) + ".png", f"{PERSON}/scan-17.png")),
        half_dangling=lambda: coco(names=(uid_of(3) + ".png", ABSENT + ".png")),
    ),
    "voc-xml": Maker(
        valid=voc,
        elsewhere=lambda: voc(name=ABSENT),
        elsewhere_code="dangling-reference",
        outside=lambda: voc(left=100),
        named=lambda: voc(folder=f"{PERSON}_Known"),
        half_dangling=lambda: voc(name=ABSENT),
    ),
    "monai-datalist": Maker(
        valid=datalist,
        elsewhere=lambda: datalist(image=OTHER_SERIES),
        elsewhere_code="another-series",
        outside=lambda: datalist(x=500.0),
        named=lambda: datalist(by=f"{PERSON}_Known"),
        half_dangling=lambda: datalist().replace(
            b'"validation": []', f'"validation": [{{"image": "{OTHER_SERIES}.nii.gz", "box": []}}]'.encode()
        ),
    ),
    "predictions-csv": Maker(
        valid=predictions_csv,
        elsewhere=lambda: predictions_csv(series=OTHER_SERIES),
        elsewhere_code="another-series",
        outside=lambda: predictions_csv(x=500.0),
        named=lambda: predictions_csv(head=",operator", more=f",{PERSON} Known"),
        half_dangling=lambda: predictions_csv() + predictions_csv(series=OTHER_SERIES).partition(b"\n")[2],
    ),
    "predictions-json": Maker(
        valid=predictions_json,
        elsewhere=lambda: predictions_json(series=OTHER_SERIES),
        elsewhere_code="another-series",
        outside=lambda: predictions_json(x=500.0),
        named=lambda: predictions_json(by=f"{PERSON} Known"),
        half_dangling=lambda: predictions_json().replace(
            b'"cases": [', f'"cases": [{{"series_instance_uid": "{OTHER_SERIES}", "predictions": []}}, '.encode()
        ),
    ),
}

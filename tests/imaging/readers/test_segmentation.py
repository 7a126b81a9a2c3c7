"""DICOM SEG: placed to the millimetre, or refused in millimetres."""

from __future__ import annotations

import copy
import io

import highdicom as hd
import numpy as np
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from imaging.errors import UnreadableFile
from imaging.geometry.gate import LUNG_CT_TOLERANCES, assess
from imaging.geometry.series import SeriesGeometry
from imaging.masks.build import full_voxels
from imaging.readers.segmentation import FORMAT
from imaging.readers.series import CT_READ_LIMITS, read_header
from imaging.types import AnnotationImport, Category, SetKind
from tests.imaging.readers import real
from tests.imaging.readers.made import FRAME, SERIES, a_dataset, a_file, written
from tests.imaging.readers.pairs import context_with

SLICES = 6


def image() -> SeriesGeometry:
    verdict = assess(
        [read_header(a_file(number=number), CT_READ_LIMITS) for number in range(SLICES)], LUNG_CT_TOLERANCES
    )
    assert verdict.grid is not None
    return SeriesGeometry(verdict.grid, SERIES, verdict.sop_instance_uids)


def read_segmentation(data: bytes, series: SeriesGeometry) -> AnnotationImport:
    return FORMAT.read(data, series, context_with())


def region() -> NDArray[np.bool_]:
    """A nodule on three of six slices: 7 x 6 pixels of 0.5 mm, so above 3 mm."""
    whole = np.zeros((SLICES, 8, 12), dtype=np.bool_)
    whole[2:5, 1:7, 2:9] = True
    whole[3, 4, 4] = False
    return whole


def a_segmentation(
    *regions: NDArray[np.bool_],
    style: hd.seg.SegmentationTypeValues = hd.seg.SegmentationTypeValues.BINARY,
    algorithm: str = "MANUAL",
    kind: Dataset = codes.SCT.Nodule,
) -> Segmentation:
    identity = hd.AlgorithmIdentificationSequence(name="made", family=codes.DCM.ArtificialIntelligence, version="1")
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"Finding {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=kind,
            algorithm_type=algorithm,
            algorithm_identification=identity if algorithm == "AUTOMATIC" else None,
        )
        for number in range(1, len(regions) + 1)
    ]
    return Segmentation(
        # Against the order of position: frames may come in any order.
        source_images=[a_dataset(number=number) for number in reversed(range(SLICES))],
        pixel_array=np.stack(regions, axis=-1)[::-1].astype(np.uint8),
        segmentation_type=style,
        segment_descriptions=described,
        series_instance_uid="1.2.826.0.1.3680043.10.5",
        series_number=5,
        sop_instance_uid="1.2.826.0.1.3680043.10.5.1",
        instance_number=1,
        manufacturer="Made",
        manufacturer_model_name="Made",
        software_versions="1",
        device_serial_number="1",
    )


def codes_of(dataset: Dataset) -> list[str]:
    found = read_segmentation(written(dataset), image())
    assert found.annotation_sets == ()
    return [rejection.code for rejection in found.rejections]


@pytest.mark.parametrize("style", [hd.seg.SegmentationTypeValues.BINARY, hd.seg.SegmentationTypeValues.LABELMAP])
def test_a_segment_lands_on_the_voxels_that_it_was_drawn_on(style: hd.seg.SegmentationTypeValues) -> None:
    found = read_segmentation(written(a_segmentation(region(), style=style)), image())
    assert found.rejections == ()
    (one,) = found.annotation_sets
    (finding,) = one.findings
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), region())
    assert (finding.category, finding.source_label) == (Category.NODULE_GE_3MM, "Finding 1")
    assert finding.sop_instance_uids == tuple(f"{SERIES}.{number + 1}" for number in (2, 3, 4))


def test_overlapping_segments_are_two_findings_each_with_its_own_voxels() -> None:
    other = np.zeros_like(region())
    other[3:6, 3:8, 5:12] = True
    (one,) = read_segmentation(written(a_segmentation(region(), other)), image()).annotation_sets
    masks = [full_voxels(finding.mask) for finding in one.findings if finding.mask is not None]
    assert np.array_equal(masks[0], region())
    assert np.array_equal(masks[1], other)


@pytest.mark.parametrize(("algorithm", "kind"), [("MANUAL", SetKind.READER), ("AUTOMATIC", SetKind.ALGORITHM)])
def test_a_label_that_a_machine_drew_is_not_a_reader_s(algorithm: str, kind: SetKind) -> None:
    (one,) = read_segmentation(written(a_segmentation(region(), algorithm=algorithm)), image()).annotation_sets
    assert one.kind is kind


def test_a_tiny_segment_is_a_nodule_below_three_millimetres() -> None:
    tiny = np.zeros_like(region())
    tiny[2, 3:5, 3:5] = True
    (one,) = read_segmentation(written(a_segmentation(tiny)), image()).annotation_sets
    assert one.findings[0].category is Category.NODULE_LT_3MM


def test_an_organ_is_kept_as_a_structure_and_not_taken_for_a_nodule() -> None:
    dataset = a_segmentation(region(), kind=codes.SCT.Liver)
    dataset.SegmentSequence[0].SegmentLabel = "Liver"
    found = read_segmentation(written(dataset), image())
    assert found.rejections == ()
    (finding,) = found.annotation_sets[0].findings
    assert finding.category is Category.STRUCTURE
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), region())


def moved(*, x: float = 0.0, z: float = 0.0) -> Dataset:
    dataset = copy.deepcopy(a_segmentation(region()))
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [place[0] + x, place[1], place[2] + z]
    return dataset


@pytest.mark.parametrize(
    ("dataset", "code", "words"),
    [
        (moved(z=30.0), "label-outside-image", "28.5 mm beyond its slices"),
        (moved(z=-30.0), "label-outside-image", "27.0 mm beyond its slices"),
        (moved(x=2.0), "label-outside-image", "2.0 mm beyond its edge"),
        (moved(z=0.7), "label-off-grid", "0.70 mm between slices"),
        (moved(z=-1.5), "reference-disagrees", "1.5 mm"),
    ],
    ids=["above", "below", "beside", "between slices", "one slice off its reference"],
)
def test_a_misplaced_label_is_refused_with_the_millimetres(dataset: Dataset, code: str, words: str) -> None:
    found = read_segmentation(written(dataset), image())
    assert found.annotation_sets == ()
    assert found.rejections[0].code == code
    assert words in found.rejections[0].message


def test_a_label_in_another_frame_of_reference_is_refused() -> None:
    dataset = a_segmentation(region())
    dataset.FrameOfReferenceUID = FRAME + ".1"
    assert codes_of(dataset) == ["another-frame-of-reference"]


def test_a_label_with_other_pixels_or_directions_is_refused() -> None:
    coarse, turned = a_segmentation(region()), a_segmentation(region())
    coarse.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.6, 0.5]
    assert codes_of(coarse) == ["spacing-disagrees"]
    turned.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    assert codes_of(turned) == ["orientation-disagrees"]


def test_references_to_images_that_are_not_there_are_remarked_on_and_the_position_believed() -> None:
    dataset = a_segmentation(region())
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = source.ReferencedSOPInstanceUID + ".77"
    found = read_segmentation(written(dataset), image())
    assert [one.code for one in found.rejections] == ["dangling-reference"]
    (finding,) = found.annotation_sets[0].findings
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), region())


def test_planes_without_a_position_are_placed_by_the_image_that_they_name() -> None:
    dataset = a_segmentation(region())
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    (one,) = read_segmentation(written(dataset), image()).annotation_sets
    assert one.findings[0].mask is not None
    assert np.array_equal(full_voxels(one.findings[0].mask), region())
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    assert codes_of(dataset) == ["no-plane-position"]


def test_what_is_no_segmentation_or_is_damaged_is_unreadable() -> None:
    with pytest.raises(UnreadableFile) as caught:
        read_segmentation(a_file(), image())
    assert caught.value.code == "not-a-segmentation"
    dataset = a_segmentation(region())
    del dataset.SegmentSequence
    with pytest.raises(UnreadableFile) as caught:
        read_segmentation(written(dataset), image())
    assert caught.value.code == "malformed"


@pytest.mark.real_data
def test_the_published_segmentation_of_lidc_0001_with_wrong_planes_is_refused_with_the_reason() -> None:
    found = read_segmentation(real.member("lidc-0001.zip", "seg-wrong-geometry.dcm"), real.lidc_geometry())
    assert found.annotation_sets == ()
    (rejection,) = found.rejections
    assert rejection.code == "label-outside-image"
    assert "8 of 8 planes" in rejection.message
    assert "125.0 mm beyond its slices" in rejection.message
    assert "171.7 mm beyond its edge" in rejection.message
    assert "(0.0, 0.0, 97.5) to (0.0, 0.0, 115.0) mm" in rejection.message
    assert "Moved by" not in rejection.message  # it lies beside the image as well, so no shift by slices would fit


@pytest.mark.real_data
def test_every_real_segmentation_gives_an_import_or_a_named_refusal() -> None:
    geometry = real.lidc_geometry()
    read = 0
    for archive in ("seg-sr-pairs.zip", "awkward-dicom.zip"):
        for path, data in real.archive(archive).items():
            if data[128:132] != b"DICM" or b"1.2.840.10008.5.1.4.1.1.66." not in data[:1000]:
                continue
            read += 1
            try:
                found = read_segmentation(data, geometry)
            except UnreadableFile as error:
                assert error.message, path
            else:
                assert found.annotation_sets == (), path
                assert found.rejections, path
    assert read >= 20


@pytest.mark.real_data
def test_another_toolkit_s_segmentation_is_placed_on_its_own_series() -> None:
    headers = [
        read_header(data, CT_READ_LIMITS) for data in real.files_under("seg-sr-pairs.zip", "ct-3slice/").values()
    ]
    verdict = assess(headers, LUNG_CT_TOLERANCES)
    assert verdict.grid is not None
    geometry = SeriesGeometry(verdict.grid, headers[0].series_instance_uid, verdict.sop_instance_uids)
    dataset = dcmread(io.BytesIO(real.member("seg-sr-pairs.zip", "dcmqi-liver/liver.dcm")))
    # Renamed, because an organ is not taken for a nodule; the voxels and planes are the toolkit's.
    dataset.SegmentSequence[0].SegmentLabel = "Lesion"
    (one,) = read_segmentation(written(dataset), geometry).annotation_sets
    mask = one.findings[0].mask
    assert mask is not None
    heights = [
        float(f.PlanePositionSequence[0].ImagePositionPatient[2]) for f in dataset.PerFrameFunctionalGroupsSequence
    ]
    expected = dataset.pixel_array[np.argsort(heights)].astype(bool)
    assert mask.count == expected.sum()
    assert np.array_equal(full_voxels(mask)[full_voxels(mask).any(axis=(1, 2))], expected[expected.any(axis=(1, 2))])

"""DICOM SEG: fractions, sparse frames, who drew a segment, and what a file holds beyond what it describes."""

from __future__ import annotations

import copy
import hashlib

import highdicom as hd
import numpy as np
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from imaging.masks.build import full_voxels
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.segmentation import FORMAT
from imaging.types import Algorithm, AnnotationImport, Category, SetKind
from tests.imaging.readers.made import FRAME, SERIES, STUDY, a_dataset, written
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import a_segmentation, image, region

SLICES = 6
FRACTIONAL = hd.seg.SegmentationTypeValues.FRACTIONAL


def a_fractional(fractions: NDArray[np.float64], *, kind: str, automatic: bool = True) -> Segmentation:
    """Fractions of one segment over all slices, stored out of 200."""
    identity = hd.AlgorithmIdentificationSequence(name="made", family=codes.DCM.ArtificialIntelligence, version="1.2")
    described = SegmentDescription(
        segment_number=1,
        segment_label="Nodule",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type="AUTOMATIC" if automatic else "MANUAL",
        algorithm_identification=identity if automatic else None,
        tracking_uid="1.2.3.4.5",
        tracking_id="lesion 1",
    )
    return Segmentation(
        source_images=[a_dataset(number=number) for number in range(SLICES)],
        pixel_array=fractions,
        segmentation_type=FRACTIONAL,
        fractional_type=kind,
        max_fractional_value=200,
        segment_descriptions=[described],
        series_instance_uid="1.2.826.0.1.3680043.10.5",
        series_number=5,
        sop_instance_uid="1.2.826.0.1.3680043.10.5.2",
        instance_number=1,
        manufacturer="Made",
        manufacturer_model_name="Made",
        software_versions="1",
        device_serial_number="1",
        content_creator_name="Reader^Known",
    )


def fractions() -> NDArray[np.float64]:
    whole = np.zeros((SLICES, 8, 12))
    whole[2:4, 1:7, 2:9] = 0.3
    whole[2:4, 2:6, 3:8] = 0.7
    whole[2, 3, 3] = 1.0
    return whole


def read(dataset: Dataset, *, threshold: float = 0.5) -> AnnotationImport:
    return FORMAT.read(written(dataset), image(), context_with(fraction_threshold=threshold))


@pytest.mark.parametrize(("threshold", "least"), [(0.25, 0.3), (0.3, 0.3), (0.7, 0.7), (0.71, 1.0), (1.0, 1.0)])
def test_the_edge_of_a_fractional_segment_is_drawn_where_the_caller_says(threshold: float, least: float) -> None:
    found = read(a_fractional(fractions(), kind="PROBABILITY"), threshold=threshold)
    (finding,) = found.annotation_sets[0].findings
    assert finding.mask is not None
    expected = fractions() >= least
    assert np.array_equal(full_voxels(finding.mask), expected)
    assert finding.confidence == pytest.approx(fractions()[expected].mean())


def test_occupied_fractions_are_no_confidence() -> None:
    (finding,) = read(a_fractional(fractions(), kind="OCCUPANCY")).annotation_sets[0].findings
    assert finding.confidence is None
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), fractions() >= 0.5)


def test_what_a_person_drew_has_no_confidence() -> None:
    (one,) = read(a_fractional(fractions(), kind="PROBABILITY", automatic=False)).annotation_sets
    assert (one.kind, one.findings[0].confidence) == (SetKind.READER, None)


def test_a_fractional_segment_below_the_threshold_everywhere_is_named_as_empty() -> None:
    found = read(a_fractional(fractions() * 0.5, kind="PROBABILITY"), threshold=0.9)
    assert found.annotation_sets == ()
    assert [rejection.code for rejection in found.rejections] == ["empty-segment"]
    assert "0.9 of the whole" in found.rejections[0].message


def test_fractions_of_an_unknown_kind_are_refused() -> None:
    dataset = a_fractional(fractions(), kind="PROBABILITY")
    del dataset.SegmentationFractionalType
    assert [rejection.code for rejection in read(dataset).rejections] == ["unsupported-segmentation"]


def test_frames_that_were_left_out_because_they_are_empty_shift_nothing() -> None:
    apart = np.zeros((SLICES, 8, 12), dtype=np.bool_)
    apart[1, 2:7, 3:9] = True
    apart[4, 1:6, 2:8] = True
    dataset = a_segmentation(apart)
    assert int(dataset.NumberOfFrames) == 2
    (finding,) = read(dataset).annotation_sets[0].findings
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), apart)


def test_the_algorithm_the_lesion_and_the_words_for_it_are_taken_over() -> None:
    (one,) = read(a_fractional(fractions(), kind="PROBABILITY")).annotation_sets
    assert (one.kind, one.algorithm) == (SetKind.ALGORITHM, Algorithm("made", "1.2"))
    assert one.findings[0].tracking_uid == "1.2.3.4.5"
    assert one.findings[0].attributes["tracking identifier"] == "lesion 1"
    assert one.findings[0].attributes["segmented property type"] == "Nodule"


def test_a_reader_is_called_by_a_pseudonym_that_is_the_same_in_every_file() -> None:
    (one,) = read(a_fractional(fractions(), kind="PROBABILITY", automatic=False)).annotation_sets
    assert one.reader_label == "reader " + hashlib.sha256(b"Reader^Known").hexdigest()[:8]
    unnamed = a_segmentation(region())
    unnamed.ContentCreatorName = None
    assert read(unnamed).annotation_sets[0].reader_label == "segmentation by a reader"


def test_what_a_reader_drew_and_what_an_algorithm_drew_are_two_sets() -> None:
    dataset = a_segmentation(region(), np.roll(region(), 1, axis=2))
    dataset.SegmentSequence[1].SegmentAlgorithmType = "AUTOMATIC"
    dataset.SegmentSequence[1].SegmentAlgorithmName = "finder"
    first, second = read(dataset).annotation_sets
    assert [(first.kind, first.algorithm), (second.kind, second.algorithm)] == [
        (SetKind.READER, None),
        (SetKind.ALGORITHM, Algorithm("finder", "")),
    ]
    assert first.set_id != second.set_id
    assert [one.findings[0].source_label for one in (first, second)] == ["Finding 1", "Finding 2"]


def test_nodules_and_structures_of_one_file_are_both_kept_with_their_categories() -> None:
    dataset = a_segmentation(region(), region(), region())
    for number, (label, kind) in enumerate([("Tumour", "Mass"), ("Left lung", "Lung"), ("Non-nodule", "Nodule")]):
        dataset.SegmentSequence[number].SegmentLabel = label
        dataset.SegmentSequence[number].SegmentedPropertyTypeCodeSequence[0].CodeMeaning = kind
    (one,) = read(dataset).annotation_sets
    assert [finding.category for finding in one.findings] == [
        Category.NODULE_GE_3MM,
        Category.STRUCTURE,
        Category.NON_NODULE,
    ]


def test_voxels_of_a_segment_that_the_file_does_not_describe_are_named() -> None:
    binary = a_segmentation(region(), region())
    del binary.SegmentSequence[1]
    labelmap = a_segmentation(region(), style=hd.seg.SegmentationTypeValues.LABELMAP)
    values = bytearray(labelmap.PixelData)
    values[0] = 9
    labelmap.PixelData = bytes(values)
    for dataset, number in ((binary, "segment 2"), (labelmap, "segment 9")):
        found = read(dataset)
        assert [(one.code, one.subjects) for one in found.rejections] == [("undescribed-segment", (number,))]
        assert len(found.annotation_sets[0].findings) == 1


def test_a_frame_that_belongs_to_no_segment_is_named() -> None:
    dataset = a_segmentation(region(), region())
    del dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    found = read(dataset)
    assert [(one.code, one.subjects) for one in found.rejections] == [("frame-without-segment", ("frame 1",))]
    assert len(found.annotation_sets[0].findings) == 2


def test_a_segmentation_of_slides_is_refused_for_what_it_is() -> None:
    tiled = a_segmentation(region())
    tiled.DimensionOrganizationType = "TILED_FULL"
    assert [one.code for one in read(tiled).rejections] == ["tiled-segmentation"]


def test_a_segmentation_of_another_modality_is_refused_by_the_name_of_its_images() -> None:
    dataset = a_segmentation(region())
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.DerivationImageSequence[0].SourceImageSequence[
            0
        ].ReferencedSOPClassUID = VLWholeSlideMicroscopyImageStorage
    for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        item.ReferencedSOPClassUID = VLWholeSlideMicroscopyImageStorage
    (rejection,) = read(dataset).rejections
    assert rejection.code == "another-modality"
    assert "VL Whole Slide Microscopy Image Storage" in rejection.message


def moved(*, z: float, x: float = 0.0, keep_references: bool = True) -> Dataset:
    dataset = copy.deepcopy(a_segmentation(region()))
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [place[0] + x, place[1], place[2] + z]
        if not keep_references:
            del frame.DerivationImageSequence
    return dataset


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (moved(z=30.0), "Moved by -20 slices, (0.0, 0.0, -30.0) mm, they would lie on the image (the shift to"),
        (moved(z=-1.5), "Moved by +1 slices, (0.0, 0.0, 1.5) mm, they would lie on the image (the shift to"),
        (moved(z=30.0, keep_references=False), "Moved by -19 slices, (0.0, 0.0, -28.5) mm"),
        (moved(z=-30.0, keep_references=False), "the smallest that fits; nothing in the header says that it is"),
    ],
    ids=["above, by reference", "one slice off its reference", "above", "below"],
)
def test_a_label_misplaced_by_whole_slices_is_refused_with_the_shift_that_would_fit(
    dataset: Dataset, words: str
) -> None:
    found = read(dataset)
    assert found.annotation_sets == ()
    assert words in found.rejections[0].message


@pytest.mark.parametrize("dataset", [moved(z=30.7), moved(z=30.0, x=2.0)], ids=["between slices", "beside as well"])
def test_no_shift_is_named_where_none_by_whole_slices_would_fit(dataset: Dataset) -> None:
    (rejection,) = read(dataset).rejections
    assert rejection.code == "label-outside-image"
    assert "Moved by" not in rejection.message


def test_the_round_trip_says_how_far_the_planes_lie_from_the_voxels_that_hold_them() -> None:
    (exact,) = read(a_segmentation(region())).annotation_sets[0].findings
    (rounded,) = read(moved(z=0.06, x=0.04)).annotation_sets[0].findings
    assert exact.round_trip is not None
    assert rounded.round_trip is not None
    assert exact.round_trip.mm == pytest.approx(0.0, abs=1e-9)
    assert rounded.round_trip.mm == pytest.approx(np.hypot(0.06, 0.04))
    assert rounded.round_trip.voxels == pytest.approx(0.04 / 0.5)


def test_the_images_that_a_segmentation_names_are_told_without_reading_its_voxels() -> None:
    named = FORMAT.references(written(a_segmentation(region())), context_with())
    assert named.series_instance_uids == {SERIES}
    assert named.study_instance_uids == {STUDY}
    assert named.frame_of_reference_uids == {FRAME}
    assert named.sop_instance_uids == {f"{SERIES}.{number + 1}" for number in range(SLICES)}
    assert LABEL_FORMATS["dicom-seg"] is FORMAT

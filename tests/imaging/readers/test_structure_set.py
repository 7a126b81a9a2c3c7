"""RT structure sets: holes, points, and contours that lie on no slice."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from imaging.errors import UnreadableFile
from imaging.masks.build import full_voxels
from imaging.masks.measure import measure
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.structure_set import FORMAT
from imaging.types import Algorithm, Category, SetKind
from tests.imaging.readers.made import FRAME, SERIES, a_file, uid_of, written
from tests.imaging.readers.made_structure_sets import (
    Points,
    a_structure_set,
    codes_of,
    contour,
    only,
    planimetric,
    read,
    square,
    z_of,
)
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_segmentation import image


def test_a_contour_becomes_the_voxels_that_it_encloses_with_its_planimetric_volume() -> None:
    found = read(a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, n), of=uid_of(n)) for n in (2, 3, 4)])))
    assert found.rejections == ()
    finding = only(found)
    expected = np.zeros((6, 8, 12), dtype=np.bool_)
    expected[2:5, 1:7, 2:8] = True
    assert finding.mask is not None
    assert np.array_equal(full_voxels(finding.mask), expected)
    assert (finding.category, finding.source_label) == (Category.NODULE_GE_3MM, "Tumor")
    assert planimetric(finding) == pytest.approx(3 * (6 * 0.5) ** 2 * 1.5)
    assert planimetric(finding) == pytest.approx(measure(finding.mask).volume_mm3)
    assert finding.round_trip is not None
    assert finding.round_trip.mm == pytest.approx(0.0, abs=1e-6)
    assert finding.sop_instance_uids == tuple(uid_of(n) for n in (2, 3, 4))


def test_the_round_trip_is_the_way_from_the_farthest_vertex_to_the_border_of_what_is_held() -> None:
    finding = only(read(a_structure_set(("Tumor", [contour(square(0.8, 1.8, 5.4, 2))]))))
    assert finding.mask is not None
    assert finding.mask.count == 36
    assert finding.round_trip is not None
    # Each corner lies 0.3 pixels within the border along both axes; the nearer pixel edge decides.
    assert finding.round_trip.voxels == pytest.approx(0.3, abs=1e-3)
    assert finding.round_trip.mm == pytest.approx(0.15, abs=1e-3)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_within_another_is_a_hole(kind: str) -> None:
    drawn = [contour(square(0.5, 1.5, 6, 2), kind=kind), contour(square(2.5, 3.5, 2, 2), kind=kind)]
    finding = only(read(a_structure_set(("Tumor", drawn))))
    assert finding.mask is not None
    assert finding.mask.count == 36 - 4
    assert not full_voxels(finding.mask)[2, 3:5, 4:6].any()
    assert planimetric(finding) == pytest.approx((36 - 4) * 0.25 * 1.5)


def test_a_keyhole_contour_leaves_its_hole_open() -> None:
    outer, inner = square(0.5, 1.5, 6, 2), square(2.5, 3.5, 2, 2)
    keyhole = [*outer, outer[0], inner[0], inner[3], inner[2], inner[1], inner[0], outer[0]]
    finding = only(read(a_structure_set(("Tumor", [contour(keyhole)]))))
    assert finding.mask is not None
    assert finding.mask.count == 36 - 4
    assert planimetric(finding) == pytest.approx((36 - 4) * 0.25 * 1.5)


def test_several_contours_of_one_slice_are_one_region_and_crossing_ones_are_named() -> None:
    apart = [contour(square(0.5, 0.5, 3, 2)), contour(square(0.5, 6.5, 3, 2))]
    found = read(a_structure_set(("Tumor", apart)))
    assert found.rejections == ()
    two = only(found).mask
    assert two is not None
    assert two.count == 18
    crossing = [contour(square(0.5, 0.5, 4, 2)), contour(square(2.5, 2.5, 4, 2))]
    found = read(a_structure_set(("Tumor", crossing)))
    assert codes_of(found) == ["contours-cross"]
    assert uid_of(2) in found.rejections[0].subjects


def test_a_point_is_a_point_whichever_way_it_is_written() -> None:
    place = (-1.0, -1.0, z_of(3))
    for kind in ("POINT", "CLOSED_PLANAR"):
        found = read(a_structure_set(("Lesion", [contour([place], kind=kind)])))
        assert found.rejections == ()
        finding = only(found)
        assert finding.point_mm == pytest.approx(place)
        assert finding.mask is None
        assert finding.category is Category.NODULE_GE_3MM
        assert finding.sop_instance_uids == (uid_of(3),)
        assert finding.round_trip is not None
        assert finding.round_trip.mm == 0.0


def test_several_points_of_one_region_are_as_many_findings_of_one_name() -> None:
    points = [contour([(-1.0, -1.0, z_of(n))], kind="POINT") for n in (1, 4)]
    (one,) = read(a_structure_set(("Seeds", points))).annotation_sets
    assert [finding.source_label for finding in one.findings] == ["Seeds", "Seeds"]
    assert len({finding.finding_id for finding in one.findings}) == 2


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (contour(square(1, 1, 3, 2)[:2]), "contour-too-short"),
        (contour(square(1, 1, 3, 2)[:1]), "contour-too-short"),
        (contour(square(1, 1, 3, 2), kind="OPEN_PLANAR"), "open-contour"),
        (contour(square(1, 1, 3, 2), kind="OPEN_NONPLANAR"), "open-contour"),
        (contour(square(1, 1, 3, 2), kind="SPLINE"), "unknown-contour-type"),
    ],
    ids=["two points", "one point beside an outline", "open", "open in space", "unknown"],
)
def test_a_contour_that_encloses_nothing_is_rejected_by_name_and_the_rest_is_kept(item: Dataset, code: str) -> None:
    found = read(a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, 2)), item])))
    assert codes_of(found) == [code]
    assert found.rejections[0].subjects == ("ROI 1", "contour 2")
    finding = only(found)
    assert finding.mask is not None
    assert finding.mask.count == 36


def tilted() -> Points:
    return [(x, y, z + index * 0.5) for index, (x, y, z) in enumerate(square(0.5, 1.5, 6, 2))]


@pytest.mark.parametrize(
    ("points", "code", "words"),
    [
        (square(0.5, 1.5, 6, 2.5), "contour-between-slices", "0.75 mm from the nearest"),
        (square(0.5, 1.5, 6, 9), "label-outside-image", "5.2 mm beyond its slices"),
        (square(0.5, 20.0, 6, 2), "label-outside-image", "7.2 mm beyond its edge"),
        (tilted(), "contour-not-in-slice", "spans 1.5 mm"),
    ],
    ids=["between", "above", "beside", "tilted"],
)
def test_a_region_with_a_contour_that_fits_no_slice_is_refused_in_millimetres_and_others_are_kept(
    points: Points, code: str, words: str
) -> None:
    first = ("Tumor", [contour(square(0.5, 1.5, 6, 2)), contour(points)])
    found = read(a_structure_set(first, ("Node", [contour(square(0.5, 1.5, 6, 2))])))
    assert codes_of(found) == [code]
    assert words in found.rejections[0].message
    assert "1 of 2 contours" in found.rejections[0].message
    assert only(found).source_label == "Node"


def test_a_contour_that_names_an_image_elsewhere_is_refused() -> None:
    found = read(a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, 2), of=uid_of(4))])))
    assert codes_of(found) == ["reference-disagrees"]
    assert "3.0 mm" in found.rejections[0].message
    assert found.rejections[0].subjects == ("ROI 1", uid_of(4))


def test_a_slice_without_a_contour_is_left_empty_and_named() -> None:
    found = read(a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, n)) for n in (1, 2, 4)])))
    assert codes_of(found) == ["irregular-contour-planes"]
    assert found.rejections[0].subjects == ("ROI 1", uid_of(3))
    finding = only(found)
    assert finding.mask is not None
    assert not full_voxels(finding.mask)[3].any()
    assert planimetric(finding) == pytest.approx(3 * 9.0 * 1.5)


def test_images_that_are_not_here_are_named_and_the_position_believed() -> None:
    drawn = [contour(square(0.5, 1.5, 6, 2), of=uid_of(2)), contour(square(0.5, 1.5, 6, 3), of="1.2.3")]
    found = read(a_structure_set(("Tumor", drawn)))
    assert [(one.code, one.subjects) for one in found.rejections] == [("dangling-reference", ("1.2.3",))]
    finding = only(found)
    assert finding.mask is not None
    assert finding.mask.count == 72


def test_a_structure_set_of_another_phase_in_the_same_frame_of_reference_is_refused() -> None:
    drawn = [contour(square(0.5, 1.5, 6, 2), of="1.2.3")]
    found = read(a_structure_set(("Tumor", drawn), series="1.2.840.1"))
    assert found.annotation_sets == ()
    assert [(one.code, one.subjects) for one in found.rejections] == [("another-series", ("1.2.840.1",))]


def test_a_region_in_another_frame_of_reference_is_refused_and_others_are_kept() -> None:
    dataset = a_structure_set(("A", [contour(square(0.5, 1.5, 6, 2))]), ("B", [contour(square(0.5, 1.5, 6, 2))]))
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = FRAME + ".1"
    found = read(dataset)
    assert codes_of(found) == ["another-frame-of-reference"]
    assert only(found).source_label == "B"


def test_an_outline_that_encloses_no_voxel_centre_is_kept_as_a_point() -> None:
    found = read(a_structure_set(("Lesion", [contour(square(2.2, 2.2, 0.6, 2))])))
    assert codes_of(found) == ["outline-without-interior"]
    finding = only(found)
    assert finding.mask is None
    assert finding.point_mm == pytest.approx((-4.0 + 0.5 * 2.5, -3.0 + 0.5 * 2.5, z_of(2)))
    assert finding.round_trip is not None
    assert finding.round_trip.mm == pytest.approx(0.15 * 2**0.5)


def test_regions_without_contours_and_contours_without_a_region_are_named() -> None:
    dataset = a_structure_set(("Empty", []), ("Tumor", [contour(square(0.5, 1.5, 6, 2))]))
    dataset.ROIContourSequence[1].ReferencedROINumber = 7
    found = read(dataset)
    assert sorted(codes_of(found)) == ["contours-without-roi", "roi-without-contours", "roi-without-contours"]
    assert found.annotation_sets == ()


def test_what_a_region_is_called_and_said_to_be_decides_its_category() -> None:
    drawn = [contour(square(0.5, 1.5, 6, 2))]
    dataset = a_structure_set(("Spinal cord", drawn), ("Target", drawn), ("non-nodule 1", drawn), ("GTV_1", drawn))
    dataset.RTROIObservationsSequence[1].RTROIInterpretedType = "GTV"
    dataset.RTROIObservationsSequence[0].RTROIInterpretedType = "ORGAN"
    (one,) = read(dataset).annotation_sets
    assert [finding.category for finding in one.findings] == [
        Category.STRUCTURE,
        Category.NODULE_GE_3MM,
        Category.NON_NODULE,
        Category.NODULE_GE_3MM,
    ]
    assert one.findings[0].attributes["RT ROI interpreted type"] == "ORGAN"
    assert one.findings[0].attributes["ROI generation algorithm"] == "MANUAL"


def test_a_small_outline_is_a_nodule_below_three_millimetres() -> None:
    finding = only(read(a_structure_set(("Nodule", [contour(square(0.5, 1.5, 3, 2))]))))
    assert finding.category is Category.NODULE_LT_3MM


def test_readers_are_pseudonyms_and_algorithms_have_sets_of_their_own() -> None:
    drawn = [contour(square(0.5, 1.5, 6, 2))]
    dataset = a_structure_set(("A", drawn), ("B", drawn), ("C", drawn))
    dataset.RTROIObservationsSequence[1].ROIInterpreter = "Other^Reader"
    dataset.StructureSetROISequence[2].ROIGenerationAlgorithm = "AUTOMATIC"
    identity = Dataset()
    identity.AlgorithmName, identity.AlgorithmVersion = "outliner", "3"
    dataset.StructureSetROISequence[2].ROIDerivationAlgorithmIdentificationSequence = Sequence([identity])
    sets = read(dataset).annotation_sets
    assert [one.kind for one in sets] == [SetKind.READER, SetKind.READER, SetKind.ALGORITHM]
    assert sets[0].reader_label == "reader " + hashlib.sha256(b"Reader^Known").hexdigest()[:8]
    assert sets[1].reader_label == "reader " + hashlib.sha256(b"Other^Reader").hexdigest()[:8]
    assert sets[2].algorithm == Algorithm("outliner", "3")
    assert len({one.set_id for one in sets}) == 3


def test_the_images_that_a_structure_set_names_are_told() -> None:
    dataset = a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, n), of=uid_of(n)) for n in (2, 3)]))
    named = FORMAT.references(written(dataset), context_with())
    assert named.sop_instance_uids == {uid_of(2), uid_of(3)}
    assert named.series_instance_uids == {SERIES}
    assert named.frame_of_reference_uids == {FRAME}
    assert LABEL_FORMATS["dicom-rtstruct"] is FORMAT


def test_what_is_no_structure_set_or_is_damaged_is_unreadable() -> None:
    odd = a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, 2))]))
    odd.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]
    headless = a_structure_set(("Tumor", []))
    del headless.StructureSetROISequence
    for data, code in (
        (a_file(), "not-a-structure-set"),
        (written(odd), "bad-value"),
        (written(headless), "malformed"),
    ):
        with pytest.raises(UnreadableFile) as caught:
            FORMAT.read(data, image(), context_with())
        assert caught.value.code == code


@functools.lru_cache(maxsize=1)
def a_sound_file() -> bytes:
    return written(a_structure_set(("Tumor", [contour(square(0.5, 1.5, 6, n), of=uid_of(n)) for n in (2, 3)])))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8),
    keep=st.floats(0.2, 1.0) | st.just(1.0),
)
def test_a_damaged_structure_set_is_read_or_refused_by_name(changes: list[tuple[float, bytes]], keep: float) -> None:
    data = bytearray(a_sound_file())
    for place, replacement in changes:
        at = 132 + int(place * (len(data) - 140))
        data[at : at + len(replacement)] = replacement
    damaged = bytes(data[: max(140, int(keep * len(data)))])
    for take in (
        lambda: FORMAT.read(damaged, image(), context_with()),
        lambda: FORMAT.references(damaged, context_with()),
    ):
        try:
            take()
        except UnreadableFile as error:
            assert error.code
            assert error.message


def test_a_contour_that_runs_to_and_fro_without_end_is_refused_before_memory_is_taken() -> None:
    # Each vertex at a height of its own, high and low in turn: every edge crosses nearly every other's row.
    count = 10_000
    zigzag = [
        (-3.0 + (at % 7) * 0.1, -2.0 + (at if at % 2 else count - at) * 2.0 / count, z_of(2)) for at in range(count)
    ]
    dataset = a_structure_set(("nodule", [contour(zigzag, of=uid_of(2))]))
    # Decimal strings beyond 64 kB are written without their type, as planning systems do.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    with pytest.raises(UnreadableFile) as refused:
        FORMAT.read(written(dataset), image(), context_with())
    assert refused.value.code == "contours-too-complex"

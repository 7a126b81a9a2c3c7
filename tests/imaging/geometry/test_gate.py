"""The geometry gate names every fault, with millimetres and instances, and lets sound series through."""

from __future__ import annotations

import dataclasses
import random

import pytest

from imaging.geometry.affine import to_patient
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateStatus, GeometryVerdict, assess
from imaging.geometry.header import SliceHeader
from tests.imaging.geometry.made import a_series, a_slice, moved, tilted

replace = dataclasses.replace


def judged(slices: list[SliceHeader]) -> GeometryVerdict:
    return assess(slices, LUNG_CT_TOLERANCES)


def test_a_sound_series_is_accepted_in_order_of_position_whatever_order_it_comes_in() -> None:
    slices = a_series(change=lambda number, header: replace(header, instance_number=100 - number))
    expected = tuple(header.sop_instance_uid for header in slices)
    random.Random(3).shuffle(slices)
    verdict = judged(slices)
    assert (verdict.status, verdict.findings) == (GateStatus.ACCEPTED, ())
    assert verdict.sop_instance_uids == expected
    assert verdict.grid is not None
    assert verdict.grid.shape == (10, 512, 512)
    assert to_patient(verdict.grid, (9, 0, 0)) == pytest.approx((-160.0, -170.0, -277.5))


def test_positions_rounded_to_a_tenth_of_a_millimetre_still_make_a_volume() -> None:
    def rounded(number: int, header: SliceHeader) -> SliceHeader:
        return replace(header, position_mm=(-160.0, -170.0, round(number * 0.625, 1)), slice_thickness_mm=0.625)

    assert judged(a_series(count=50, change=rounded)).status is GateStatus.ACCEPTED


def test_a_missing_slice_is_reported_with_its_neighbours_and_the_gap() -> None:
    slices = a_series()
    del slices[4]
    verdict = judged(slices)
    assert verdict.codes == ("missing-slices",)
    assert verdict.findings[0].sop_instance_uids == ("1.2.3.4", "1.2.3.6")
    assert "5.00 mm" in verdict.findings[0].message
    assert "2.50 mm" in verdict.findings[0].message
    assert verdict.grid is None


def test_every_gap_is_reported_and_counted() -> None:
    slices = a_series(count=20)
    kept = [header for number, header in enumerate(slices) if number not in {4, 10, 11}]
    messages = [finding.message for finding in judged(kept).findings]
    assert [message.split(" missing")[0] for message in messages] == ["1 slice is", "2 slices are"]


def test_one_slice_out_of_step_makes_the_spacing_irregular() -> None:
    verdict = judged(a_series(change=lambda number, header: moved(header, z=0.6 if number == 5 else 0.0)))
    assert verdict.codes == ("irregular-spacing",)
    assert verdict.findings[0].sop_instance_uids == ("1.2.3.6",)
    assert "0.60 mm" in verdict.findings[0].message


def test_slices_that_share_a_position_are_named_rather_than_averaged() -> None:
    verdict = judged([*a_series(), replace(a_slice(number=3), sop_instance_uid="1.2.3.99")])
    assert verdict.codes == ("duplicate-positions",)
    assert set(verdict.findings[0].sop_instance_uids) == {"1.2.3.4", "1.2.3.99"}


def test_a_tilted_gantry_is_named_with_its_angle() -> None:
    def sheared(number: int, header: SliceHeader) -> SliceHeader:
        return replace(header, orientation=tilted(8.0))

    verdict = judged(a_series(change=sheared))
    assert verdict.codes == ("gantry-tilt",)
    assert "8.0 degrees" in verdict.findings[0].message
    assert "0.35 mm" in verdict.findings[0].message


def test_a_slice_shifted_sideways_is_not_taken_for_a_tilt() -> None:
    verdict = judged(a_series(count=31, change=lambda number, header: moved(header, x=1.0 if number == 15 else 0.0)))
    assert verdict.codes == ("shifted-slices",)
    assert verdict.findings[0].sop_instance_uids == ("1.2.3.16",)


def test_one_turned_slice_makes_the_orientation_mixed() -> None:
    verdict = judged(
        a_series(change=lambda number, header: replace(header, orientation=tilted(3.0)) if number == 2 else header)
    )
    assert verdict.codes == ("mixed-orientation",)
    assert verdict.findings[0].sop_instance_uids == ("1.2.3.3",)
    assert "3.0 degrees" in verdict.findings[0].message


def test_a_coronal_series_is_refused_as_not_axial() -> None:
    def coronal(number: int, header: SliceHeader) -> SliceHeader:
        return replace(header, orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0), position_mm=(0.0, number * 2.5, 0.0))

    assert judged(a_series(change=coronal)).codes == ("non-axial",)


def test_a_prone_series_is_axial_too() -> None:
    def prone(number: int, header: SliceHeader) -> SliceHeader:
        return replace(header, orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0))

    assert judged(a_series(change=prone)).status is GateStatus.ACCEPTED


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong-modality", {"modality": "MR"}),
        ("localizer", {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}),
        ("multi-frame", {"number_of_frames": 7}),
        ("no-pixel-data", {"has_pixel_data": False}),
        ("no-pixel-data", {"rows": None}),
        ("not-greyscale", {"samples_per_pixel": 3}),
        ("missing-rescale", {"rescale_slope": None}),
        ("missing-rescale", {"rescale_slope": 0.0}),
        ("missing-rescale", {"rescale_type": "US"}),
        ("missing-position", {"pixel_spacing_mm": None}),
        ("mixed-frame-of-reference", {"frame_of_reference_uid": "1.2.10"}),
        ("mixed-size", {"rows": 256}),
        ("mixed-pixel-spacing", {"pixel_spacing_mm": (0.7, 0.71)}),
        ("mixed-series", {"series_instance_uid": "1.2.4"}),
        ("not-orthonormal", {"orientation": (1.0, 0.0, 0.0, 0.2, 1.0, 0.0)}),
        ("mixed-study", {"study_instance_uid": "1.3"}),
        ("mixed-patient", {"patient_id": "someone-else"}),
        ("bad-pixel-spacing", {"pixel_spacing_mm": (0.0, 0.7)}),
        ("implausible-position", {"position_mm": (0.0, 0.0, 1e9)}),
        ("secondary-capture", {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.3"}),
        ("projection", {"image_type": ("DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP")}),
        ("other-quantity", {"image_type": ("DERIVED", "PRIMARY", "PERFUSION", "RCBF")}),
    ],
)
def test_one_wrong_instance_is_named_by_code_and_uid(code: str, changes: dict[str, object]) -> None:
    slices = [a_slice(number=number, **(changes if number == 4 else {})) for number in range(10)]
    verdict = judged(slices)
    assert verdict.status is GateStatus.REFUSED
    named = {finding.code: finding.sop_instance_uids for finding in verdict.findings}
    assert code in named
    assert "1.2.3.5" in named[code]


def test_a_slice_without_a_position_is_refused_by_name_even_if_the_rest_has_a_gap_there() -> None:
    verdict = judged([a_slice(number=number, **({"position_mm": None} if number == 4 else {})) for number in range(10)])
    assert verdict.codes == ("missing-position", "missing-slices")


def test_two_slices_are_too_few() -> None:
    assert judged(a_series(count=2)).codes == ("too-few-slices",)


def test_nothing_at_all_is_too_few_and_does_not_crash() -> None:
    assert judged([]).codes == ("too-few-slices",)


def test_an_instance_given_twice_is_named() -> None:
    assert "duplicate-instances" in judged([*a_series(), a_slice(number=3)]).codes


@pytest.mark.parametrize(
    ("thickness", "code"), [(5.0, "slices-overlap"), (1.0, "slices-apart")], ids=["overlapping", "apart"]
)
def test_a_thickness_unlike_the_step_is_a_warning_and_not_a_refusal(thickness: float, code: str) -> None:
    verdict = judged(a_series(change=lambda number, header: replace(header, slice_thickness_mm=thickness)))
    assert (verdict.status, verdict.codes) == (GateStatus.ACCEPTED_WITH_WARNING, (code,))
    assert verdict.grid is not None
    assert verdict.grid.spacing_mm[0] == pytest.approx(2.5), "the step is measured from positions, not the thickness"


def test_a_series_without_a_frame_of_reference_is_accepted_with_a_warning() -> None:
    verdict = judged(a_series(change=lambda number, header: replace(header, frame_of_reference_uid="")))
    assert (verdict.status, verdict.codes) == (GateStatus.ACCEPTED_WITH_WARNING, ("missing-frame-of-reference",))


def test_tolerances_are_the_callers() -> None:
    slices = a_series(change=lambda number, header: moved(header, z=0.6 if number == 5 else 0.0))
    assert assess(slices, replace(LUNG_CT_TOLERANCES, position_mm=0.7)).status is GateStatus.ACCEPTED


def test_the_volumes_of_a_dynamic_series_are_counted_with_what_tells_them_apart() -> None:
    slices = [
        a_slice(number=number, sop_instance_uid=f"1.2.3.{volume}.{number}", temporal_position=volume)
        for volume in range(3)
        for number in range(5)
    ]
    verdict = judged(slices)
    assert verdict.codes == ("several-volumes",)
    assert "3 volumes, told apart by their temporal position (5, 5, 5 slices)" in verdict.findings[0].message
    assert len(verdict.findings[0].sop_instance_uids) == 15


def test_two_passes_that_meet_at_some_positions_are_two_volumes_too() -> None:
    slices = [a_slice(number=number, acquisition_number=1) for number in range(8)]
    slices += [a_slice(number=number, sop_instance_uid=f"1.2.4.{number}", acquisition_number=2) for number in (6, 7, 8)]
    verdict = judged(slices)
    assert verdict.codes == ("several-volumes",)
    assert "2 of 9 positions" in verdict.findings[0].message
    assert set(verdict.findings[0].sop_instance_uids) == {"1.2.3.7", "1.2.3.8", "1.2.4.6", "1.2.4.7"}


def test_one_place_imaged_again_and_again_is_no_volume_and_is_said_to_be_so() -> None:
    slices = [a_slice(number=0, sop_instance_uid=f"1.2.3.{time}", acquisition_number=time) for time in range(6)]
    verdict = judged(slices)
    assert verdict.codes == ("duplicate-positions",)
    assert "bolus tracking" in verdict.findings[0].message
    assert "-300.00" in verdict.findings[0].message


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("lossy-compression", {"acquisition": {"lossy_compression": "01"}}),
        ("lossy-compression", {"transfer_syntax_uid": "1.2.840.10008.1.2.4.51"}),
        ("other-sop-class", {"sop_class_uid": "1.2.3.4"}),
        ("tilt-disagrees", {"gantry_tilt_degrees": -12.0}),
    ],
)
def test_what_does_not_touch_the_geometry_is_a_warning_with_the_instances(code: str, change: dict[str, object]) -> None:
    verdict = judged([a_slice(number=number, **change) for number in range(10)])
    assert (verdict.status, verdict.codes) == (GateStatus.ACCEPTED_WITH_WARNING, (code,))
    assert len(verdict.findings[0].sop_instance_uids) == 10


def test_slices_of_several_thicknesses_are_a_warning_with_the_millimetres() -> None:
    verdict = judged(
        [a_slice(number=number, slice_thickness_mm=2.0 if number in (3, 5) else 2.5) for number in range(10)]
    )
    assert verdict.codes == ("mixed-thickness",)
    assert "2.00 to 2.50 mm" in verdict.findings[0].message


def test_pixels_that_are_not_square_keep_both_their_lengths() -> None:
    verdict = judged([a_slice(number=number, pixel_spacing_mm=(0.5, 0.9)) for number in range(10)])
    assert verdict.status is GateStatus.ACCEPTED
    assert verdict.grid is not None
    assert verdict.grid.spacing_mm == pytest.approx((2.5, 0.5, 0.9))
    # A row index goes 0.5 mm towards the back, a column index 0.9 mm towards the left.
    assert to_patient(verdict.grid, (0, 10, 10)) == pytest.approx((-151.0, -165.0, -300.0))


def test_a_message_never_names_a_patient() -> None:
    slices = [a_slice(number=number, patient_id=f"Nobody^{number % 2}") for number in range(10)]
    verdict = judged(slices)
    assert "mixed-patient" in verdict.codes
    assert "Nobody" not in " ".join(finding.message for finding in verdict.findings)

"""The gate over random sound stacks, and over stacks with one random fault: it never misses, and never invents."""

from __future__ import annotations

import dataclasses
import math
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imaging.geometry.affine import to_index, to_patient
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateStatus, assess
from imaging.geometry.header import SliceHeader
from imaging.geometry.policy import DEFAULTS, Disposition, GatePolicy
from tests.imaging.geometry.made import a_slice

ANY_DIRECTION = GatePolicy({"non-axial": Disposition.WARN})

quaternions = st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: sum(v * v for v in q) > 0.01)
places = st.tuples(*[st.floats(-500, 500) for _ in range(3)])
spacings = st.tuples(st.floats(0.2, 2.0), st.floats(0.2, 2.0))


def rotation(quaternion: tuple[float, ...]) -> NDArray[np.float64]:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def stack(
    quaternion: tuple[float, ...], origin: tuple[float, ...], spacing: tuple[float, float], step: float, count: int
) -> list[SliceHeader]:
    """A regular stack in any direction; a negative ``step`` lists it from its far end."""
    turned = rotation(quaternion)
    along_row, along_column, normal = turned[:, 0], turned[:, 1], turned[:, 2]
    found = []
    for number in range(count):
        place = np.array(origin) + normal * step * number
        found.append(
            a_slice(
                number=number,
                position_mm=tuple(float(value) for value in place),
                orientation=tuple(float(value) for value in (*along_row, *along_column)),
                pixel_spacing_mm=spacing,
                slice_thickness_mm=abs(step),
                rows=40,
                columns=60,
            )
        )
    return found


@settings(deadline=None)
@given(
    quaternion=quaternions,
    origin=places,
    spacing=spacings,
    step=st.floats(0.5, 6.0) | st.floats(-6.0, -0.5),
    count=st.integers(3, 40),
    seed=st.integers(0, 1000),
)
def test_any_regular_stack_becomes_the_volume_that_its_headers_describe(
    quaternion: tuple[float, ...],
    origin: tuple[float, ...],
    spacing: tuple[float, float],
    step: float,
    count: int,
    seed: int,
) -> None:
    slices = stack(quaternion, origin, spacing, step, count)
    random.Random(seed).shuffle(slices)
    verdict = assess(slices, LUNG_CT_TOLERANCES, ANY_DIRECTION)
    assert set(verdict.codes) <= {"non-axial"}
    assert verdict.grid is not None
    assert verdict.grid.shape == (count, 40, 60)
    assert verdict.grid.spacing_mm == pytest.approx((abs(step), *spacing), rel=1e-6)
    by_uid = {item.sop_instance_uid: item for item in slices}
    for index, uid in enumerate(verdict.sop_instance_uids):
        assert to_patient(verdict.grid, (index, 0, 0)) == pytest.approx(by_uid[uid].position_mm, abs=1e-6)
    # A place goes to the grid and back, within far less than half a voxel.
    index = (count / 3, 11.25, 47.5)
    assert to_index(verdict.grid, to_patient(verdict.grid, index)) == pytest.approx(index, abs=1e-6)
    # The slice axis is row x column, whatever order the slices were given in.
    matrix = verdict.grid.matrix[:3, :3]
    assert np.linalg.det(np.stack([matrix[:, 2], matrix[:, 1], matrix[:, 0]], axis=1)) > 0


@settings(deadline=None)
@given(quaternion=quaternions, origin=places, step=st.floats(0.5, 6.0), count=st.integers(5, 30), data=st.data())
def test_a_slice_taken_out_of_any_stack_is_missed_by_its_neighbours(
    quaternion: tuple[float, ...], origin: tuple[float, ...], step: float, count: int, data: st.DataObject
) -> None:
    slices = stack(quaternion, origin, (0.7, 0.7), step, count)
    gone = data.draw(st.integers(1, count - 2))
    neighbours = {slices[gone - 1].sop_instance_uid, slices[gone + 1].sop_instance_uid}
    del slices[gone]
    verdict = assess(slices, LUNG_CT_TOLERANCES, ANY_DIRECTION)
    missing = [finding for finding in verdict.findings if finding.code == "missing-slices"]
    assert [set(finding.sop_instance_uids) for finding in missing] == [neighbours]
    assert f"{2 * step:.2f} mm" in missing[0].message


@settings(deadline=None)
@given(quaternion=quaternions, step=st.floats(1.0, 6.0), off=st.floats(0.15, 0.45), data=st.data())
def test_a_slice_out_of_step_in_any_stack_makes_it_irregular_and_never_a_volume(
    quaternion: tuple[float, ...], step: float, off: float, data: st.DataObject
) -> None:
    slices = stack(quaternion, (0.0, 0.0, 0.0), (0.7, 0.7), step, 12)
    which = data.draw(st.integers(1, 10))
    normal = rotation(quaternion)[:, 2]
    place = np.array(slices[which].position_mm) + normal * off * step
    slices[which] = dataclasses.replace(slices[which], position_mm=tuple(float(value) for value in place))
    verdict = assess(slices, LUNG_CT_TOLERANCES, ANY_DIRECTION)
    assert verdict.grid is None
    (found,) = [finding for finding in verdict.findings if finding.code == "irregular-spacing"]
    assert slices[which].sop_instance_uid in found.sop_instance_uids


@settings(deadline=None)
@given(degrees=st.floats(0.6, 40.0), step=st.floats(0.5, 6.0), heading=st.floats(0, 2 * math.pi))
def test_a_sheared_stack_is_a_tilted_gantry_at_its_angle_whatever_its_heading(
    degrees: float, step: float, heading: float
) -> None:
    aside = step * math.tan(math.radians(degrees))
    slices = [
        a_slice(
            number=number,
            step_mm=step,
            position_mm=(math.cos(heading) * aside * number, math.sin(heading) * aside * number, step * number),
        )
        for number in range(8)
    ]
    verdict = assess(slices, LUNG_CT_TOLERANCES)
    assert verdict.codes == ("gantry-tilt",)
    told = re.search(r"by ([\d.]+) degrees", verdict.findings[0].message)
    # One decimal: half of its last digit, and what the tangent and its inverse lose.
    assert told is not None and abs(float(told[1]) - degrees) <= 0.05 + 1e-6


@settings(deadline=None)
@given(
    step=st.floats(0.5, 5.0),
    volumes=st.integers(2, 4),
    count=st.integers(3, 12),
    told=st.booleans(),
    seed=st.integers(0, 99),
)
def test_several_passes_over_one_place_are_counted_and_none_is_chosen(
    step: float, volumes: int, count: int, told: bool, seed: int
) -> None:
    slices = [
        dataclasses.replace(
            a_slice(number=number, step_mm=step),
            sop_instance_uid=f"1.2.3.{volume}.{number + 1}",
            acquisition_number=volume if told else None,
        )
        for volume in range(volumes)
        for number in range(count)
    ]
    random.Random(seed).shuffle(slices)
    verdict = assess(slices, LUNG_CT_TOLERANCES)
    assert verdict.codes == ("several-volumes",)
    assert verdict.grid is None
    words = f"{volumes} volumes" if told else f"held by {volumes} slices"
    assert words in verdict.findings[0].message
    assert len(verdict.findings[0].sop_instance_uids) == volumes * count


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -1.0, 1e-300, 1e300])


@settings(max_examples=300, deadline=None)
@given(
    fields=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "position_mm": st.none() | st.tuples(numbers, numbers, numbers),
                "orientation": st.none() | st.tuples(*[st.floats(-2, 2)] * 6),
                "pixel_spacing_mm": st.none() | st.tuples(numbers, numbers),
                "rows": st.none() | st.integers(-5, 70000),
                "slice_thickness_mm": st.none() | numbers,
                "gantry_tilt_degrees": st.none() | numbers,
                "acquisition_number": st.none() | st.integers(0, 2),
                "image_type": st.lists(st.text(max_size=12), max_size=3).map(tuple),
                "sop_class_uid": st.text(max_size=30),
            },
        ),
        max_size=8,
    )
)
@pytest.mark.filterwarnings("error")
def test_whatever_headers_say_the_gate_answers_with_known_codes_and_readable_messages(
    fields: list[dict[str, object]],
) -> None:
    verdict = assess([a_slice(number=n, **changes) for n, changes in enumerate(fields)], LUNG_CT_TOLERANCES)
    assert set(verdict.codes) <= set(DEFAULTS)
    assert all(finding.message.endswith(".") for finding in verdict.findings)
    assert (verdict.grid is None) is (verdict.status is GateStatus.REFUSED)
    assert verdict.grid is None or np.isfinite(verdict.grid.matrix).all()

"""From a bundle's numbers to patient space: modes, frames, grids, and numbers that are none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.errors import BundleError
from imaging.geometry.affine import to_patient
from imaging.inference.foreign.adapters import opinion_from_boxes, opinion_from_labels
from imaging.inference.foreign.exchange import (
    ChildLimits,
    ras_affine,
    read_answer,
    read_array,
    write_image,
)
from imaging.inference.foreign.mapping import BoxMode, Frame, OutputMapping, Task
from tests.imaging.inference.foreign.made import scan_with_balls

SCAN = scan_with_balls()
PLACE = (-10.0, 5.0, -660.0)


def boxes_mapping(mode: BoxMode, frame: Frame) -> OutputMapping:
    return OutputMapping(
        task=Task.DETECTION, labels={0: "nodule", 1: "vessel"}, threshold=0.5, box_mode=mode, frame=frame
    )


def opinion(boxes: list[Any], mapping: OutputMapping, *, labels: Any = None, scores: Any = None, **more: Any) -> Any:
    output = {
        "boxes": boxes,
        "labels": [0] * len(boxes) if labels is None else labels,
        "scores": [0.7] * len(boxes) if scores is None else scores,
        "affine": ras_affine(SCAN).tolist(),
        **more,
    }
    return opinion_from_boxes(output=output, mapping=mapping, grid=SCAN.grid, places=[PLACE])


@pytest.mark.parametrize(
    ("mode", "frame", "box"),
    [
        (BoxMode.CENTRE_AND_EXTENTS, Frame.LPS, [-10.0, 5.0, -660.0, 6.0, 6.0, 6.0]),
        (BoxMode.CENTRE_AND_EXTENTS, Frame.RAS, [10.0, -5.0, -660.0, 6.0, 6.0, 6.0]),
        (BoxMode.CORNERS, Frame.LPS, [-13.0, 2.0, -663.0, -7.0, 8.0, -657.0]),
        (BoxMode.CORNERS, Frame.RAS, [7.0, -8.0, -663.0, 13.0, -2.0, -657.0]),
    ],
)
def test_a_box_is_the_same_candidate_in_every_mode_and_frame(mode: BoxMode, frame: Frame, box: list[float]):
    said = opinion([box], boxes_mapping(mode, frame))
    (candidate,) = said.candidates
    assert candidate.centre_mm == pytest.approx(PLACE)
    assert candidate.diameter_mm == pytest.approx(6.0)
    assert candidate.mask is None and said.outlines[0].mask is None


def test_a_box_in_voxels_goes_through_the_affine_of_the_image_that_the_network_saw():
    index = (20.0, 30.0, 12.0)  # column, row, slice: as NIfTI has them
    box = [index[0] - 2, index[1] - 2, index[2] - 1, index[0] + 2, index[1] + 2, index[2] + 1]
    (candidate,) = opinion([box], boxes_mapping(BoxMode.CORNERS, Frame.IMAGE)).candidates
    assert candidate.centre_mm == pytest.approx(to_patient(SCAN.grid, (12.0, 30.0, 20.0)))
    slices, rows, columns = SCAN.grid.spacing_mm
    expected = math.sqrt(((4 * columns) ** 2 + (4 * rows) ** 2 + (2 * slices) ** 2) / 3.0)
    assert candidate.diameter_mm == pytest.approx(expected)


def test_what_is_no_nodule_or_lies_outside_is_left_out_and_said():
    box = [*PLACE, 6.0, 6.0, 6.0]
    said = opinion(
        [box, box, [500.0, 0.0, 0.0, 5.0, 5.0, 5.0], [*PLACE, 0.0, 1.0, 1.0], box],
        boxes_mapping(BoxMode.CENTRE_AND_EXTENTS, Frame.LPS),
        labels=[0, 1, 0, 0, 7],
    )
    assert len(said.candidates) == 1
    assert said.remarks == (
        "1 box label 7, not a nodule",
        "1 box outside the image",
        "1 box vessel, not a nodule",
        "1 box without extent",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": "many"},
        {"boxes": [[1, 2, 3]]},
        {"boxes": [[1, 2, 3, 4, 5, math.nan]]},
        {"scores": [2.0]},
        {"scores": []},
        {"labels": [[0]]},
        {"affine": [[1, 2], [3, 4]]},
        {"affine": np.zeros((4, 4)).tolist()},
    ],
)
def test_numbers_that_are_none_are_refused(changes: dict[str, Any]):
    content = {"boxes": [[10.0, 10.0, 10.0, 12.0, 12.0, 12.0]], "labels": [0], "scores": [0.5]}
    content |= {"affine": ras_affine(SCAN).tolist(), **changes}
    with pytest.raises(BundleError) as refused:
        opinion_from_boxes(
            output=content, mapping=boxes_mapping(BoxMode.CORNERS, Frame.IMAGE), grid=SCAN.grid, places=[]
        )
    assert refused.value.code == "bundle-answer-refused"


def label_opinion(labels: Any, affine: Any, *, certainty: Any = None, names: dict[int, str] | None = None) -> Any:
    mapping = OutputMapping(task=Task.SEGMENTATION, labels=names or {1: "nodule", 2: "lung"}, threshold=0.4)
    return opinion_from_labels(
        labels=labels,
        certainty=certainty,
        output={"affine": affine.tolist()},
        mapping=mapping,
        grid=SCAN.grid,
        places=[to_patient(SCAN.grid, (12.0, 30.0, 20.0))],
    )


def test_components_become_candidates_and_anatomy_stays_anatomy():
    labels = np.zeros(SCAN.grid.shape[::-1], dtype=np.uint8)
    labels[18:23, 28:33, 11:14] = 1
    labels[40:44, 10:14, 20:22] = 1
    labels[0, 0, 0] = 1  # a speck
    labels[2:10, 40:50, 2:8] = 2
    certainty = np.where(labels == 1, 204, 0).astype(np.uint8)
    said = label_opinion(labels, ras_affine(SCAN), certainty=certainty)
    assert [one.mask.count for one in said.candidates] in ([75, 32], [32, 75])
    assert all(one.probability == pytest.approx(0.8) for one in said.candidates)
    assert said.outlines[0].mask is not None and said.outlines[0].mask.count == 75
    assert [(one.name, one.mask.count) for one in said.structures] == [("lung", 480)]
    assert said.remarks == ("1 specks of less than 3 voxels",)
    without = label_opinion(labels, ras_affine(SCAN))
    assert {one.probability for one in without.candidates} == {0.4}


def test_a_label_map_on_another_grid_is_brought_to_the_ct_s_by_its_affine():
    # The same box of voxels, on a grid whose first axis is turned round.
    labels = np.zeros(SCAN.grid.shape[::-1], dtype=np.uint8)
    labels[18:23, 28:33, 11:14] = 1
    turn = np.diag([-1.0, 1.0, 1.0, 1.0])
    turn[0, 3] = labels.shape[0] - 1
    said = label_opinion(np.ascontiguousarray(labels[::-1]), ras_affine(SCAN) @ turn)
    same = label_opinion(labels, ras_affine(SCAN))
    assert said.candidates[0].centre_mm == pytest.approx(same.candidates[0].centre_mm)
    assert said.candidates[0].mask.count == same.candidates[0].mask.count == 75


def test_a_label_that_nobody_explains_is_said_and_makes_nothing():
    labels = np.full(SCAN.grid.shape[::-1], 9, dtype=np.uint8)
    said = label_opinion(labels, ras_affine(SCAN))
    assert said.candidates == () and said.structures == ()
    assert said.remarks == ("label 9, which nobody explains",)


def test_the_image_is_handed_over_in_its_own_place(tmp_path: Path):
    import nibabel

    scan = scan_with_balls((PLACE, 10.0))
    write_image(volume=scan, path=tmp_path / "ct.nii.gz")
    image = nibabel.load(tmp_path / "ct.nii.gz")
    bright = np.argwhere(np.asarray(image.dataobj) > 0).mean(axis=0)
    x, y, z = (image.affine @ [*bright, 1.0])[:3]
    assert (-x, -y, z) == pytest.approx(PLACE, abs=0.6)


def test_an_answer_is_read_as_hostile_bytes_are(tmp_path: Path):
    def refused() -> str:
        with pytest.raises(BundleError) as caught:
            read_answer(folder=tmp_path)
        return caught.value.code

    assert refused() == "bundle-answer-refused"
    for text in ("[1, 2]", "not JSON", "[" * 100_000):
        (tmp_path / "answer.json").write_text(text)
        assert refused() == "bundle-answer-refused"
    (tmp_path / "answer.json").unlink()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "answer.json").symlink_to(tmp_path / "secret.json")
    assert refused() == "bundle-answer-refused"


def test_an_array_that_is_another_or_a_pickle_is_refused(tmp_path: Path):
    def read() -> Any:
        return read_array(folder=tmp_path, name="labels.npy", dtype="u1", shape=(2, 3, 4))

    np.save(tmp_path / "labels.npy", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert read()[1, 2, 3] == 23
    for wrong in (np.zeros((2, 3, 5), np.uint8), np.zeros((2, 3, 4), np.int16), np.array([print], dtype=object)):
        np.save(tmp_path / "labels.npy", wrong, allow_pickle=True)
        with pytest.raises(BundleError):
            read()
    (tmp_path / "labels.npy").write_bytes((tmp_path / "labels.npy").read_bytes()[:40])
    with pytest.raises(BundleError):
        read()


def test_a_limit_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="greater than zero"):
        ChildLimits(seconds=0.0, memory_bytes=1, file_bytes=1, work_bytes=1, threads=1)

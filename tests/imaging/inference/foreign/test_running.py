"""Foreign bundles run to the end: what they find lies where it is, and is what MONAI itself would say."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.errors import BundleError
from imaging.inference.foreign.archive import ORDINARY
from imaging.inference.foreign.exchange import write_image
from imaging.inference.foreign.mapping import BoxMode, Frame, Task
from imaging.inference.foreign.running import ForeignResult, check_weights, run_foreign
from imaging.types import Volume
from tests.imaging.inference.foreign.layouts import (
    BOXES as BOX_OUTPUT,
)
from tests.imaging.inference.foreign.layouts import (
    INFERER,
    RIGGED,
    detection_configuration,
    label_map,
    metadata,
    segmentation_configuration,
)
from tests.imaging.inference.foreign.made import LIMITS, bright_bundle, nobody, runnable, scan_with_balls, write_bundle
from tests.imaging.inference.foreign.reference import BOXES, IMAGE, WEIGHTS, ask

LARGE, SMALL = (-10.0, 5.0, -660.0), (15.0, 20.0, -650.0)


@pytest.fixture(scope="module")
def scan() -> Volume:
    return scan_with_balls((LARGE, 12.0), (SMALL, 8.0))


def run(source: Path, scan: Volume, tmp_path: Path, **given: Any) -> ForeignResult:
    return run_foreign(
        scan,
        runnable(source, tmp_path / "inspected", given),
        places=[LARGE, (0.0, 0.0, -690.0)],
        progress=nobody,
        limits=LIMITS,
        archive_limits=ORDINARY,
        scratch=tmp_path / "scratch",
    )


def weights_in(folder: Path) -> dict[str, Any]:
    import torch

    weights: dict[str, Any] = torch.load(folder / WEIGHTS, weights_only=True)
    return weights


def detection_bundle(folder: Path, state: Any, **changes: Any) -> Path:
    return write_bundle(
        folder,
        content=detection_configuration(**changes),
        about=metadata(task="CT lung nodule detection", outputs=BOX_OUTPUT),
        state=state,
        scripts={"__init__.py": "", "detection_inferer.py": INFERER, "rigged.py": RIGGED},
    )


def test_a_detector_on_the_official_layout_says_what_monai_s_own_classes_say(scan: Volume, tmp_path: Path):
    ask("untrained", tmp_path)
    source = detection_bundle(tmp_path / "bundle", weights_in(tmp_path))
    result = run(source, scan, tmp_path)
    write_image(volume=scan, path=tmp_path / IMAGE)
    ask("boxes", tmp_path)
    expected = np.load(tmp_path / BOXES)
    inside = sorted((one.probability, *one.centre_mm, one.diameter_mm or 0.0) for one in result.prediction.candidates)
    assert len(inside) > 20
    for probability, x, y, z, diameter in inside:
        row = expected[np.linalg.norm(expected[:, :3] - (x, y, z), axis=1).argmin()]
        assert row[:3] == pytest.approx((x, y, z), abs=0.01)
        assert probability == pytest.approx(row[6], abs=1e-4)
        assert diameter == pytest.approx(math.sqrt(sum(row[3:6] ** 2) / 3.0), abs=0.01)
    assert result.record["weights"] == ["models/model.pt"]
    assert set(result.record["overridden"]) == {"bundle_root", "device", "output_dir", "data_file_base_dir"}


@pytest.mark.parametrize("frame", ["world, LPS", "world, RAS", "image"])
def test_a_detectors_box_lands_on_the_ball_whatever_frame_its_configuration_speaks_in(
    scan: Volume, tmp_path: Path, frame: str
):
    content = detection_configuration()
    post = content["postprocessing"]["transforms"]
    if frame == "image":
        del post[1:3]
    elif frame == "world, RAS":
        post[1]["affine_lps_to_ras"] = False
    ask("rigged", tmp_path)
    source = detection_bundle(
        tmp_path / "bundle",
        weights_in(tmp_path),
        postprocessing=content["postprocessing"],
        feature_extractor={"_target_": "scripts.rigged.Pooled"},
    )
    mapping = runnable(source, tmp_path / "looked-at").mapping
    assert mapping.frame is {"world, LPS": Frame.LPS, "world, RAS": Frame.RAS, "image": Frame.IMAGE}[frame]
    assert mapping.box_mode is (BoxMode.CORNERS if frame == "image" else BoxMode.CENTRE_AND_EXTENTS)
    found = run(source, scan, tmp_path).prediction.candidates
    assert found
    # Boxes are as coarse as the level they come from, 2 x 2 x 1 voxels of 1.5 x 1.5 x 2 mm, and sit at its corners.
    assert math.dist(found[0].centre_mm, LARGE) < 3.0
    assert all(min(math.dist(one.centre_mm, LARGE), math.dist(one.centre_mm, SMALL)) < 12.0 for one in found)


def test_a_segmentation_bundle_outlines_the_balls_on_the_original_grid(scan: Volume, tmp_path: Path):
    result = run(bright_bundle(tmp_path / "bundle"), scan, tmp_path)
    found = result.prediction.candidates
    assert len(found) == 2
    for candidate, (centre, diameter) in zip(
        sorted(found, key=lambda one: one.centre_mm), [(LARGE, 12.0), (SMALL, 8.0)], strict=True
    ):
        assert math.dist(candidate.centre_mm, centre) < 0.7
        assert candidate.diameter_mm == pytest.approx(diameter, abs=0.6)
        assert candidate.mask is not None and candidate.mask.grid == scan.grid
        assert 0.5 < candidate.probability < 1.0
    at_ball, elsewhere = result.prediction.outlines
    assert at_ball.mask is not None and at_ball.mask.count == max(one.mask.count for one in found if one.mask)
    assert elsewhere.mask is None


def test_nothing_is_claimed_that_nobody_measured(scan: Volume, tmp_path: Path):
    result = run(bright_bundle(tmp_path / "bundle"), scan, tmp_path)
    assert result.prediction.validated_diameters_mm is None
    assert result.prediction.sensitivity_by_diameter == ()
    assert "confined" in result.prediction.backend
    assert "system-call filter: no sockets" in result.record["confinement"]["network"]
    assert not list((tmp_path / "scratch").iterdir())


def test_a_unet_on_the_spleen_layout_runs_and_its_organ_is_no_nodule(scan: Volume, tmp_path: Path):
    import torch
    from monai.networks.nets.unet import UNet

    torch.manual_seed(3)
    network = UNet(3, 1, 2, channels=(4, 8), strides=(2,), num_res_units=1, norm="batch")
    source = write_bundle(
        tmp_path / "bundle",
        content=segmentation_configuration(),
        about=metadata(task="Decathlon spleen segmentation", outputs=label_map("background", "spleen")),
        state=network.state_dict(),
    )
    bundle = runnable(source, tmp_path / "looked-at")
    assert bundle.mapping.task is Task.SEGMENTATION and bundle.mapping.labels == {0: "background", 1: "spleen"}
    result = run(source, scan, tmp_path)
    assert result.prediction.candidates == ()
    assert [one.name for one in result.opinion.structures] == ["spleen"]
    assert result.opinion.structures[0].mask.grid == scan.grid
    as_nodules = run(source, scan, tmp_path / "again", labels={"1": "nodule"})
    inside = sum(one.mask.count for one in as_nodules.prediction.candidates if one.mask)
    assert 0 < inside <= result.opinion.structures[0].mask.count


def test_the_same_bundle_and_scan_give_the_same_answer(scan: Volume, tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    first, second = run(source, scan, tmp_path / "a"), run(source, scan, tmp_path / "b")
    assert [one.probability for one in first.prediction.candidates] == [
        one.probability for one in second.prediction.candidates
    ]
    assert first.prediction.input_sha256 == second.prediction.input_sha256


def test_weights_are_looked_at_as_tensors_alone(tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    found = check_weights(
        source=source,
        names=["models/model.pt"],
        limits=LIMITS,
        archive_limits=ORDINARY,
        scratch=tmp_path / "scratch",
    )
    assert found == {"models/model.pt": ""}


def test_a_bundle_without_the_weights_that_it_names_is_not_run_with_random_ones(scan: Volume, tmp_path: Path):
    source = bright_bundle(tmp_path / "bundle")
    (source / "models" / "model.pt").rename(source / "models" / "other.pt")
    with pytest.raises(BundleError, match="names weights that are not in the bundle"):
        run(source, scan, tmp_path)


def test_a_run_that_is_cancelled_ends_its_process_and_leaves_nothing(scan: Volume, tmp_path: Path):
    class Cancelled(Exception):
        pass

    def stop(_done: int, _total: int, _note: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run_foreign(
            scan,
            runnable(bright_bundle(tmp_path / "bundle"), tmp_path / "inspected"),
            places=[],
            progress=stop,
            limits=LIMITS,
            archive_limits=ORDINARY,
            scratch=tmp_path / "scratch",
        )
    assert not list((tmp_path / "scratch").iterdir())


def test_no_library_of_a_bundle_is_loaded_into_the_process_that_asks():
    assert "imaging.inference.foreign.workflow" not in sys.modules

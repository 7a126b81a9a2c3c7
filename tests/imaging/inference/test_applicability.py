"""Outside what it was validated for the model abstains, says why, and says what its silence is worth elsewhere."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imaging.errors import BundleError, NotApplicable
from imaging.inference.applicability import (
    NOT_STATED,
    Applicability,
    check_lungs,
    check_scan,
    read_applicability,
    validated_for,
)
from imaging.inference.bundle import METADATA, load_bundle
from imaging.inference.predict import predict
from imaging.phantom.chest import PhantomCase
from imaging.types import Volume
from tests.imaging.inference.conftest import write_manifest

STATED = {
    "slice_step_mm": [0.5, 4.0],
    "slice_thickness_mm": [0.5, 5.0],
    "kernels": ["STANDARD", "B3?f"],
    "unstated_kernel": True,
    "least_lung_ml": 1000,
    "least_lung_length_mm": 100,
}


def applicability(**changed: object) -> Applicability:
    stated = read_applicability(STATED | changed)
    assert stated is not None
    return stated


def with_kernel(volume: Volume, kernel: str) -> Volume:
    return replace(volume, acquisition={**volume.acquisition, "kernel": kernel})


def refusal_of(volume: Volume, stated: Applicability) -> NotApplicable:
    with pytest.raises(NotApplicable) as caught:
        check_scan(volume=volume, applicability=stated)
    return caught.value


def test_a_scan_within_what_was_validated_is_taken(scan: PhantomCase) -> None:
    check_scan(volume=with_kernel(scan.volume, "standard"), applicability=applicability())
    check_scan(volume=with_kernel(scan.volume, "B31f"), applicability=applicability())
    check_scan(volume=with_kernel(scan.volume, ""), applicability=applicability())
    check_lungs(volume=scan.volume, lung_ml=3000.0, length_mm=250.0, applicability=applicability())


def test_a_step_at_the_very_limit_is_within_it_and_one_beyond_is_refused(scan: PhantomCase) -> None:
    volume = with_kernel(scan.volume, "")
    assert volume.grid.spacing_mm[0] == pytest.approx(4.0)
    check_scan(volume=volume, applicability=applicability(slice_step_mm=[0.5, 3.9995]))
    refusal = refusal_of(volume, applicability(slice_step_mm=[0.5, 2.5]))
    assert refusal.code == "outside-slice-step"
    assert "4 mm" in refusal.message
    assert "0.5 to 2.5 mm" in refusal.message
    assert refusal.subjects == (volume.series_instance_uid,)


def test_thick_slices_are_refused_however_closely_they_lie(scan: PhantomCase) -> None:
    thick = with_kernel(replace(scan.volume, slice_thickness_mm=8.0), "")
    assert refusal_of(thick, applicability()).code == "outside-slice-thickness"
    check_scan(volume=replace(thick, slice_thickness_mm=None), applicability=applicability())


def test_another_kernel_is_refused_by_its_name(scan: PhantomCase) -> None:
    refusal = refusal_of(with_kernel(scan.volume, "BONEPLUS"), applicability())
    assert refusal.code == "outside-kernel"
    assert "BONEPLUS" in refusal.message
    unstated = refusal_of(with_kernel(scan.volume, ""), applicability(unstated_kernel=False))
    assert unstated.code == "outside-kernel"


@pytest.mark.parametrize(("lung_ml", "length_mm"), [(999.0, 200.0), (3000.0, 99.0)])
def test_a_scan_with_too_little_lung_is_refused(scan: PhantomCase, lung_ml: float, length_mm: float) -> None:
    with pytest.raises(NotApplicable) as caught:
        check_lungs(volume=scan.volume, lung_ml=lung_ml, length_mm=length_mm, applicability=applicability())
    assert caught.value.code == "outside-coverage"


def test_a_bundle_that_states_nothing_holds_nothing_back_and_says_so(scan: PhantomCase) -> None:
    assert read_applicability(None) is None
    check_scan(volume=with_kernel(scan.volume, "BONEPLUS"), applicability=None)
    check_lungs(volume=scan.volume, lung_ml=1.0, length_mm=1.0, applicability=None)
    assert validated_for(None) == NOT_STATED == validated_for(read_applicability({}))


def test_what_was_validated_is_said_in_one_sentence() -> None:
    assert validated_for(applicability()) == (
        "The model was validated for slice steps of 0.5 to 4 mm; slices 0.5 to 5 mm thick; the kernels STANDARD, B3?f, "
        "or none stated; at least 1000 ml of lung; at least 100 mm of lung along the slices."
    )


@pytest.mark.parametrize(
    "content",
    [
        {"slice_steps_mm": [0.5, 2.5]},
        {"slice_step_mm": [2.5, 0.5]},
        {"slice_step_mm": 2.5},
        {"kernels": "STANDARD"},
        {"unstated_kernel": "no"},
        {"least_lung_ml": "1000"},
        ["slice_step_mm"],
    ],
)
def test_a_limit_that_is_not_understood_is_not_a_limit_that_is_lifted(content: object) -> None:
    with pytest.raises(ValueError, match="applicability"):
        read_applicability(content)


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"slice_step_mm": [0.5, 2.5]}, "outside-slice-step"),
        ({"least_lung_ml": 1e6}, "outside-coverage"),
        ({"least_lung_length_mm": 1e4}, "outside-coverage"),
    ],
)
def test_a_prediction_outside_its_bundles_limits_is_not_made(
    bundle_folder: Path, scan: PhantomCase, stated: dict[str, object], code: str
) -> None:
    content = json.loads((bundle_folder / METADATA).read_text())
    (bundle_folder / METADATA).write_text(json.dumps(content | {"applicability": stated}))
    write_manifest(bundle_folder)
    bundle = load_bundle(bundle_folder, expected_sha256=None)
    with pytest.raises(NotApplicable) as caught:
        predict(
            scan.volume,
            bundle,
            places=(),
            progress=lambda done, total: None,
            checkpoint_dir=None,
            threads=1,
            backend="torch",
        )
    assert caught.value.code == code


def test_a_bundle_with_a_misspelt_limit_does_not_load(bundle_folder: Path) -> None:
    content = json.loads((bundle_folder / METADATA).read_text())
    (bundle_folder / METADATA).write_text(json.dumps(content | {"applicability": {"kernel": ["STANDARD"]}}))
    write_manifest(bundle_folder)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle_folder, expected_sha256=None)
    assert caught.value.code == "bundle-unreadable"
    assert "kernel" in caught.value.message

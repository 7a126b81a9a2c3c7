"""Turn a training's checkpoint into a bundle: ``python -m imaging.training.export --training DIR --bundle DIR``.

Weights are the running average of the training. What was measured (``imaging.training.evaluate``) goes in with
``--measured FILE``; without it the bundle is uncalibrated and says so. ``--judged FILE`` adds which scans it was judged
on (``imaging.training.judge``) and what it found of what was there; outside of those it abstains. ``--places DIR``
adds the place network of a training by ``imaging.training.run_places``, ``--places-from-bundle DIR`` that of a bundle.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import monai
import numpy as np
import torch

from imaging.inference.bundle import (
    GRAPH,
    METADATA,
    PLACE_GRAPH,
    PLACE_REFERENCE,
    PLACE_WEIGHTS,
    REFERENCE,
    WEIGHTS,
    load_bundle,
)
from imaging.inference.detectability import detectability_content
from imaging.inference.network import WINDOW_HU
from imaging.inference.place_settings import PLACE_SHAPE, place_settings_json
from imaging.training.backgrounds import WORKING_MM
from imaging.training.graph import add_graph, pin
from imaging.training.run import SHAPE

NAME = "lung_nodule_qa"
TILE, STRIDE = 128, 104
APPLICABILITY: dict[str, object] = {
    # What was judged: phantoms of 1 to 2.5 mm, and nodules put into real scans of 2 and 3 mm.
    "slice_step_mm": [1.0, 3.0],
    "slice_thickness_mm": [0.5, 4.0],
    # Phantoms ("none") imitate soft to medium kernels, and the real scans that were judged have such. Sharp lung and
    # bone kernels were never judged.
    "kernels": ["none", "STANDARD", "SOFT", "CHST", "DETAIL", "B[1-4]*", "I[1-4]*", "B[FR][1-4]*", "FC0*", "FC1*"],
    "unstated_kernel": True,
    "least_lung_ml": 800.0,
    "least_lung_length_mm": 80.0,
}
"""Stated by a bundle that was judged; a bundle that was not has nothing to state."""
SOURCE = "40 synthetic scans that no training has seen"
UNMEASURED = {
    "calibration": [[0.0, 0.0], [1.0, 1.0]],
    "threshold": 0.5,
    "validated_diameters_mm": [4.0, 30.0],
    "sensitivity_by_diameter": [],
    "figures": {"state": "not measured"},
}


@dataclass(frozen=True, slots=True)
class PlaceWeights:
    """A place network to go into a bundle. ``content``: of its file of weights; ``lineage``: of its training."""

    content: bytes
    lineage: dict[str, object]


def export(
    *,
    training: Path,
    bundle: Path,
    version: str,
    measured: Path | None,
    judged: Path | None,
    places: PlaceWeights | None = None,
) -> str:
    """Write weights, configuration and manifest into ``bundle`` and return the digest that pins it.

    ``judged``: what ``imaging.training.judge`` said of the bundle before; it changes none of the bundle's answers.
    ``places``: the place network, None for a bundle of the first network alone.
    ``docs/`` and ``LICENSE`` in the bundle are left as they are and become part of the manifest.
    """
    lineage = json.loads((training / "lineage.json").read_text())
    known = UNMEASURED if measured is None else json.loads(measured.read_text())
    if judged is not None:
        known = {**known, **stated(json.loads(judged.read_text()))}
    for folder in ("configs", "models", "docs"):
        (bundle / folder).mkdir(parents=True, exist_ok=True)
    for name in (*GRAPH, REFERENCE, PLACE_WEIGHTS, *PLACE_GRAPH, PLACE_REFERENCE):
        # Those of weights that were here before would speak for these.
        (bundle / name).unlink(missing_ok=True)
    (bundle / WEIGHTS).write_bytes(_averaged(training))
    metadata = _metadata(version, lineage, known)
    training_config = _training(lineage)
    if places is not None:
        (bundle / PLACE_WEIGHTS).write_bytes(places.content)
        metadata = _with_places(metadata, known, places.lineage)
        training_config["places"] = {
            "command": _command("run_places --output DIR --detector BUNDLE", places.lineage),
            "lineage": places.lineage,
        }
    _write(bundle / METADATA, metadata)
    _write(bundle / "configs" / "inference.json", _inference())
    _write(bundle / "configs" / "train.json", training_config)
    pin(bundle, name=NAME, version=version)
    add_graph(bundle)
    return pin(bundle, name=NAME, version=version)


def stated(judged: dict[str, dict[str, object]]) -> dict[str, object]:
    """Return what a bundle's metadata say of a judgement: its scope, what it misses, and the figures."""
    found = judged["phantoms"]["detectability_at_1_fp"]
    assert isinstance(found, dict)
    return {
        "applicability": APPLICABILITY,
        "detectability": detectability_content(judged=found, source=SOURCE, false_per_scan=1.0),
        "judged": {name: part for name, part in judged.items() if name != "phantoms_digest"},
    }


def places_of_training(folder: Path) -> PlaceWeights:
    """Return the place network of a training by ``imaging.training.run_places``."""
    return PlaceWeights(_averaged(folder), json.loads((folder / "lineage.json").read_text()))


def places_of_bundle(folder: Path) -> PlaceWeights:
    """Return the place network of a bundle, byte for byte, with its lineage.

    Raises BundleError for a bundle that is not what its manifest says; ValueError for one without such a network, with
    one of another shape, or without its lineage.
    """
    bundle = load_bundle(folder, expected_sha256=None)
    if bundle.places is None or bundle.places.shape != PLACE_SHAPE:
        raise ValueError(f"{folder} holds no place network of the shape that is trained here")
    lineage = json.loads((folder / METADATA).read_text())["lineage"].get("places")
    if lineage is None:
        raise ValueError(f"{folder} does not say what its place network was trained on")
    return PlaceWeights(bundle.places.weights, lineage)


def _averaged(training: Path) -> bytes:
    state = torch.load(training / "checkpoint.pt", weights_only=True)
    content = io.BytesIO()
    torch.save({name: _small(name, value) for name, value in state["averaged"].items()}, content)
    return content.getvalue()


def _with_places(
    metadata: dict[str, object], known: dict[str, object], lineage: dict[str, object]
) -> dict[str, object]:
    """Return metadata that tell of the place network too. Its lineage stands within the bundle's, so that it counts."""
    settings, first = metadata["qa_settings"], metadata["lineage"]
    assert isinstance(settings, dict)
    assert isinstance(first, dict)
    told = place_settings_json(
        shape=PLACE_SHAPE,
        calibration=_fitted(known, "place_calibration"),
        outline_calibration=_fitted(known, "outline_calibration"),
    )
    return {**metadata, "qa_settings": {**settings, "places": told}, "lineage": {**first, "places": lineage}}


def _fitted(known: dict[str, object], name: str) -> dict[str, float] | None:
    found = known.get(name)
    assert found is None or isinstance(found, dict)
    return found


def _small(name: str, value: torch.Tensor) -> torch.Tensor:
    """Weights keep eleven bits, which halves what the repository carries; running statistics keep all of theirs."""
    if value.dtype.is_floating_point and "running_" not in name:
        return value.contiguous().to(torch.float16)
    return value.contiguous()


def _metadata(version: str, lineage: dict[str, object], known: dict[str, object]) -> dict[str, object]:
    shape = {"channels": list(SHAPE.channels), "strides": list(SHAPE.strides), "features": SHAPE.features}
    return {
        "name": NAME,
        "version": version,
        "changelog": {version: "see docs/README.md"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__,
        "numpy_version": np.__version__,
        "python_version": platform.python_version(),
        "task": "Second opinion for label quality assurance of lung nodules on chest CT",
        "description": "Small 3-D UNet with a nodule mask head and a centre head, trained on synthetic nodules",
        "authors": "The project's contributors",
        "copyright": "Apache-2.0",
        "intended_use": "Pointing a human reviewer at labels worth a look. Not for clinical use.",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield",
                    "modality": "CT",
                    "num_channels": 1,
                    "spatial_shape": [TILE, TILE, TILE],
                    "dtype": "float32",
                    "value_range": [-1, 1],
                    "is_patch_data": True,
                    "channel_def": {"0": f"HU {WINDOW_HU[0]:g} to {WINDOW_HU[1]:g} scaled to -1 to 1"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "logits",
                    "num_channels": 2,
                    "spatial_shape": [TILE, TILE, TILE],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {"0": "nodule voxel", "1": "nodule centre"},
                }
            },
        },
        "qa_settings": {
            "network": shape,
            "spacing_mm": WORKING_MM,
            "tile": TILE,
            "stride": STRIDE,
            "calibration": known["calibration"],
            "threshold": known["threshold"],
            "validated_diameters_mm": known["validated_diameters_mm"],
            "sensitivity_by_diameter": known["sensitivity_by_diameter"],
        },
        "applicability": known.get("applicability"),
        "detectability": known.get("detectability"),
        "measured": known["figures"],
        "judged": known.get("judged"),
        "lineage": lineage,
    }


def _inference() -> dict[str, object]:
    return {
        "imports": ["$import torch", "$import imaging.inference.network as network"],
        "bundle_root": ".",
        "network_shape": {
            "_target_": "imaging.inference.network.NetworkShape",
            "channels": list(SHAPE.channels),
            "strides": list(SHAPE.strides),
            "features": SHAPE.features,
        },
        "network_def": "$network.build_network(@network_shape)",
        "weights": "$torch.load(@bundle_root + '/models/model.pt', map_location='cpu', weights_only=True)",
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [TILE, TILE, TILE],
            "sw_batch_size": 1,
            "overlap": (TILE - STRIDE) / TILE,
            "mode": "gaussian",
        },
    }


def _training(lineage: dict[str, object]) -> dict[str, object]:
    return {"command": _command("run --output DIR", lineage), "lineage": lineage}


def _command(wanted: str, lineage: dict[str, object]) -> str:
    """Return what trains such weights: by steps, which is repeatable, where the training went by them."""
    if "averaged_from" in lineage:
        return "python -m imaging.training.average --of DIR DIR --output DIR"
    steps = lineage.get("planned_steps")
    length = f"--minutes {lineage['minutes']}" if steps is None else f"--steps {steps}"
    parts = [f"python -m imaging.training.{wanted} {length} --seed {lineage['seed']}"]
    if lineage.get("background_series_instance_uids"):
        parts.append("--backgrounds DIR")
    if lineage.get("started_from") is not None:
        parts.append("--start-from DIR")
    if "peak_rate" in lineage:
        parts.append(f"--peak-rate {lineage['peak_rate']}")
    left_out = lineage.get("without")
    assert left_out is None or isinstance(left_out, list)
    parts.extend(f"--without {name}" for name in left_out or ())
    if lineage.get("bfloat16") is False:
        parts.append("--full-precision")
    return " ".join(parts)


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, required=True, help="folder with checkpoint.pt and lineage.json")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--version", required=True)
    parser.add_argument("--measured", type=Path, help="JSON from imaging.training.evaluate")
    parser.add_argument("--judged", type=Path, help="judged.json from imaging.training.judge")
    second = parser.add_mutually_exclusive_group()
    second.add_argument("--places", type=Path, help="the same of the place network (imaging.training.run_places)")
    second.add_argument("--places-from-bundle", type=Path, help="a bundle whose place network is taken over as it is")
    given = parser.parse_args()
    places = None
    if given.places is not None:
        places = places_of_training(given.places)
    elif given.places_from_bundle is not None:
        places = places_of_bundle(given.places_from_bundle)
    digest = export(
        training=given.training,
        bundle=given.bundle,
        version=given.version,
        measured=given.measured,
        judged=given.judged,
        places=places,
    )
    print(digest)  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()

"""A bundle's own preprocessing, network, inferer and postprocessing, run by MONAI's ConfigParser on one CT.

Runs inside the confined process. What is changed of the bundle's configuration is little and is told: where it lies,
what it reads, where it writes, that it computes on the processor, and that nothing is saved as a file. Its evaluator
and data loader are not used: they need other processes, and packages beyond MONAI's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.inferers.inferer import SimpleInferer
from numpy.typing import NDArray

from imaging.errors import BundleError
from imaging.inference.foreign.mapping import OutputMapping, Task

STAGES = ("network", "image", "inference", "output")
Report = Callable[[int, int, str], None]
_WRITERS = ("SaveImage", "SaveImaged", "SaveClassificationd")
_RUNNERS = ("evaluator", "trainer", "validator", "checkpointloader", "handlers", "val_handlers", "dataloader")


@dataclass(frozen=True, slots=True)
class Output:
    """What a bundle made of one CT.

    ``content``: JSON. ``labels``: (x, y, z) uint8 label map on the grid of ``affine`` (to RAS mm), segmentation only.
    ``certainty``: the probability of the label there in 1/255, where the bundle makes probabilities.
    """

    content: dict[str, Any]
    labels: NDArray[np.uint8] | None = None
    certainty: NDArray[np.uint8] | None = None


@dataclass(slots=True)
class _Bundle:
    parser: ConfigParser
    overridden: dict[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self.parser

    def part(self, name: str) -> Any:
        """Return a part of the configuration, its expressions evaluated and its targets made."""
        return self.parser.get_parsed_content(name)

    def override(self, name: str, value: Any, why: str) -> None:
        self.parser[name] = value
        self.overridden[name] = why


def run_bundle(
    *, bundle: Path, configuration: str, image: Path, work: Path, mapping: OutputMapping, report: Report
) -> Output:
    """Return what the bundle in folder ``bundle`` makes of the CT in ``image`` (NIfTI).

    ``report`` is told (steps done, steps in all, note). Raises whatever the bundle's code raises, and BundleError
    where its configuration does not have the parts that are needed or its weights do not fit.
    """
    parser = ConfigParser()
    parser.read_config(str(bundle / configuration))
    loaded = _Bundle(parser)
    _override(loaded, bundle, work)
    report(0, len(STAGES), "building the network")
    network = loaded.part("network" if loaded.has("network") else "network_def")
    if not isinstance(network, torch.nn.Module):
        raise BundleError("bundle-failed", "Its network is not a torch module.")
    loaded_from = _load_weights(loaded, network, bundle)
    _prepare(loaded)
    network.eval()
    report(1, len(STAGES), "preparing the image")
    # Postprocessing that undoes preprocessing has to refer to the very transforms that ran.
    data = loaded.part("preprocessing")({mapping.image_key: str(image)})
    if isinstance(data, list | tuple):
        data = data[0]
    report(2, len(STAGES), "looking at the image")
    inferer = loaded.part("inferer") if loaded.has("inferer") else SimpleInferer()
    _count_calls(network, report)
    content: dict[str, Any] = {"overridden": loaded.overridden, "weights": loaded_from}
    with torch.no_grad():
        if mapping.task is Task.DETECTION:
            return _detection(loaded, inferer, network, data, mapping, content, report)
        return _segmentation(loaded, inferer, network, data, mapping, content, report)


def _detection(
    loaded: _Bundle,
    inferer: Any,
    network: torch.nn.Module,
    data: Mapping[str, Any],
    mapping: OutputMapping,
    content: dict[str, Any],
    report: Report,
) -> Output:
    image = data[mapping.image_key]
    found = inferer([image], network)[0]
    report(3, len(STAGES), "reading the boxes")
    result: Any = {**found, mapping.image_key: image}
    if loaded.has("postprocessing"):
        result = loaded.part("postprocessing")(result)
    boxes = _rows(result[mapping.box_key], 6)
    labels = np.asarray(_plain(result[mapping.label_key])).reshape(-1)
    scores = np.asarray(_plain(result[mapping.score_key]), dtype=np.float64).reshape(-1)
    content |= {
        "boxes": boxes.tolist(),
        "labels": [int(one) for one in labels],
        "scores": [float(one) for one in scores],
        "affine": _affine(image).tolist(),
    }
    return Output(content)


def _segmentation(
    loaded: _Bundle,
    inferer: Any,
    network: torch.nn.Module,
    data: Mapping[str, Any],
    mapping: OutputMapping,
    content: dict[str, Any],
    report: Report,
) -> Output:
    image = data[mapping.image_key]
    predicted = inferer(image[None], network)
    report(3, len(STAGES), "reading the label map")
    key = mapping.prediction_key
    result: Any = {**data, key: predicted[0]}
    probabilities: NDArray[np.float32] | None = None
    for transform in _transforms(loaded):
        if type(transform).__name__.startswith("AsDiscrete"):
            probabilities = _probabilities(result[key])
        result = transform(result)
    final = result[key]
    array = np.asarray(_plain(final))
    labels = _label_map(array)
    certainty = None
    if probabilities is not None and probabilities.shape[1:] == labels.shape:
        chosen = probabilities[0] if len(probabilities) == 1 else np.take_along_axis(probabilities, labels[None], 0)[0]
        certainty = np.where(labels > 0, np.rint(chosen * 255.0), 0).astype(np.uint8)
    content["affine"] = _affine(final if hasattr(final, "affine") else image).tolist()
    content["shape"] = list(labels.shape)
    content["has_certainty"] = certainty is not None
    return Output(content, np.ascontiguousarray(labels), certainty)


def _label_map(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (x, y, z) labels of (channels, x, y, z): the greatest of several channels, or one channel of numbers."""
    if array.ndim != 4:
        raise BundleError("bundle-failed", f"Its output has {array.ndim} axes; channel, x, y, z are expected.")
    if len(array) > 1:
        if array.dtype.kind != "f" or np.array_equal(array, np.rint(array)):
            _require_one_label_each(array)
        return np.asarray(array.argmax(axis=0), dtype=np.uint8)
    only = array[0]
    low, high = float(only.min()), float(only.max())
    if np.array_equal(only, np.rint(only)):
        if low < 0 or high > 255:
            raise BundleError("bundle-failed", f"Its labels reach from {low:g} to {high:g}; 0 to 255 are expected.")
        return np.asarray(only, dtype=np.uint8)
    if low < 0.0 or high > 1.0:
        raise BundleError("bundle-failed", "Its output is neither labels nor probabilities; it lacks an activation.")
    return np.asarray(only > 0.5, dtype=np.uint8)


def _require_one_label_each(array: NDArray[Any]) -> None:
    if array.min() < 0 or array.max() > 1 or not (array.sum(axis=0) == 1).all():
        raise BundleError(
            "bundle-failed", "Its labels overlap, or leave voxels without any; one label a voxel is expected."
        )


def _probabilities(value: Any) -> NDArray[np.float32] | None:
    array = np.asarray(_plain(value))
    if array.ndim != 4 or array.dtype.kind != "f" or array.min() < -1e-4 or array.max() > 1.0 + 1e-4:
        return None
    return np.asarray(np.clip(array, 0.0, 1.0), dtype=np.float32)


def _transforms(loaded: _Bundle) -> Iterator[Any]:
    if loaded.has("postprocessing"):
        composed = loaded.part("postprocessing")
        yield from getattr(composed, "transforms", (composed,))


def _override(loaded: _Bundle, bundle: Path, work: Path) -> None:
    loaded.override("bundle_root", str(bundle), "where the pinned copy of the bundle lies")
    loaded.override("device", "$torch.device('cpu')", "a graphics card's driver cannot be reached from confinement")
    for name in ("output_dir", "dataset_dir", "data_file_base_dir"):
        if loaded.has(name):
            loaded.override(name, str(work), "the one folder that it may write")
    post = loaded.parser.get("postprocessing")
    transforms = post.get("transforms") if isinstance(post, dict) else None
    for index, one in enumerate(transforms if isinstance(transforms, list) else ()):
        if isinstance(one, dict) and str(one.get("_target_", "")).rpartition(".")[2] in _WRITERS:
            loaded.override(
                f"postprocessing::transforms::{index}::_disabled_", True, "the result is handed over, not saved"
            )


def _load_weights(loaded: _Bundle, network: torch.nn.Module, bundle: Path) -> list[str]:
    """Load every checkpoint that the configuration names, tensors only, into what it is for."""
    names: list[str] = []
    for place, loader in _checkpoint_loaders(loaded.parser.get(), ""):
        path = Path(loaded.part(f"{place}::load_path")).resolve()
        targets = loaded.part(f"{place}::load_dict")
        strict = loaded.part(f"{place}::strict") if "strict" in loader else True
        _load_into(path, dict(targets), bundle, strict=bool(strict))
        names.append(path.relative_to(bundle.resolve()).as_posix())
    usual = bundle / "models" / "model.pt"
    if not names and usual.is_file() and not isinstance(network, torch.jit.ScriptModule):
        _load_into(usual, {"model": network}, bundle, strict=True)
        names.append("models/model.pt")
    if not names and not isinstance(network, torch.jit.ScriptModule):
        raise BundleError("bundle-failed", "Nothing says which weights its network has; it would answer at random.")
    return names


def _load_into(path: Path, targets: dict[str, Any], bundle: Path, *, strict: bool) -> None:
    if not path.is_relative_to(bundle.resolve()) or not path.is_file():
        raise BundleError("bundle-failed", "Its configuration names weights that are not in the bundle.")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    only = next(iter(targets))
    if len(targets) == 1 and only not in checkpoint:
        checkpoint = {only: checkpoint}
    for name, target in targets.items():
        if isinstance(target, torch.nn.Module):
            if name not in checkpoint:
                raise BundleError("bundle-failed", f"{path.name} has no weights for {name!r}.")
            target.load_state_dict(checkpoint[name], strict=strict)


def _checkpoint_loaders(content: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(content, dict):
        if str(content.get("_target_", "")).rpartition(".")[2] == "CheckpointLoader":
            yield place, content
            return
        for key, value in content.items():
            yield from _checkpoint_loaders(value, f"{place}::{key}" if place else str(key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _checkpoint_loaders(value, f"{place}::{index}")


def _prepare(loaded: _Bundle) -> None:
    """Do what the bundle does before it runs: what its evaluator requires, and steps that need no evaluator."""
    evaluator = loaded.parser.get("evaluator")
    required = evaluator.get("_requires_") if isinstance(evaluator, dict) else None
    for one in required if isinstance(required, list) else [required]:
        if isinstance(one, str) and one.startswith("@"):
            loaded.part(one[1:])
    steps = loaded.parser.get("initialize")
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, str) and not any(f"@{name}" in step for name in _RUNNERS):
            loaded.part(f"initialize::{index}")


def _count_calls(network: torch.nn.Module, report: Report) -> None:
    count = 0

    def told(_module: Any, _inputs: Any) -> None:
        nonlocal count
        count += 1
        report(2, len(STAGES), f"looking at the image, window {count}")

    network.register_forward_pre_hook(told)


def _affine(image: Any) -> NDArray[np.float64]:
    return np.asarray(_plain(image.affine), dtype=np.float64)


def _rows(value: Any, columns: int) -> NDArray[np.float64]:
    array = np.asarray(_plain(value), dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, columns))
    if array.ndim != 2 or array.shape[1] != columns:
        raise BundleError("bundle-failed", f"Its boxes have the shape {array.shape}; rows of six numbers are expected.")
    return array


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value

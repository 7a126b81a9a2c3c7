"""What a bundle's output means here: which numbers are boxes, in which mode and frame, and which labels are nodules.

Nothing of it is guessed. What metadata and configuration say in plain values is taken; the rest is asked of whoever
registers the bundle, by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from imaging.errors import BundleError

NODULE = "nodule"
BACKGROUND = "background"
_NODULE_WORDS = re.compile(r"nodule|lung (cancer|tumou?r|lesion)|pulmonary lesion", re.IGNORECASE)


class Task(StrEnum):
    """What a bundle gives back."""

    DETECTION = "detection"
    SEGMENTATION = "segmentation"


class BoxMode(StrEnum):
    """How six numbers are a box: two corners, or a centre and three extents."""

    CORNERS = "xyzxyz"
    CENTRE_AND_EXTENTS = "cccwhd"


class Frame(StrEnum):
    """What a box's numbers count: millimetres in one of two orientations, or voxels of the image after preprocessing.

    DICOM's and LUNA16's patient space is LPS, NIfTI's is RAS.
    """

    LPS = "lps"
    RAS = "ras"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class OutputMapping:
    """How a bundle's output is read.

    ``labels``: label number to what it stands for; ``"nodule"`` makes candidates, ``"background"`` nothing, any other
    name is anatomy. ``threshold``: the score from which a candidate counts as reported. ``said_by``: for each of the
    fields, who said so.
    """

    task: Task
    labels: Mapping[int, str]
    threshold: float
    image_key: str = "image"
    prediction_key: str = "pred"
    box_key: str = "box"
    label_key: str = "label"
    score_key: str = "label_scores"
    box_mode: BoxMode | None = None
    frame: Frame | None = None
    said_by: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the mapping as JSON; ``mapping_from_json`` reads it back."""
        return {
            "task": self.task.value,
            "labels": {str(number): name for number, name in self.labels.items()},
            "threshold": self.threshold,
            "image_key": self.image_key,
            "prediction_key": self.prediction_key,
            "box_key": self.box_key,
            "label_key": self.label_key,
            "score_key": self.score_key,
            "box_mode": self.box_mode.value if self.box_mode else None,
            "frame": self.frame.value if self.frame else None,
            "said_by": dict(self.said_by),
        }


GIVEN_FIELDS = frozenset(
    {"task", "labels", "threshold", "image_key", "prediction_key", "box_key", "label_key", "score_key"}
    | {"box_mode", "frame"}
)
OPERATING_POINT = 0.5


def mapping_from_json(content: Mapping[str, Any]) -> OutputMapping:
    """Return a mapping from its JSON. Raises BundleError ``bundle-output-unknown`` for what is none."""
    try:
        threshold = float(content["threshold"])
        mapping = OutputMapping(
            task=Task(content["task"]),
            labels={int(number): str(name)[:80] for number, name in dict(content["labels"]).items()},
            threshold=threshold,
            image_key=str(content.get("image_key", "image")),
            prediction_key=str(content.get("prediction_key", "pred")),
            box_key=str(content.get("box_key", "box")),
            label_key=str(content.get("label_key", "label")),
            score_key=str(content.get("score_key", "label_scores")),
            box_mode=BoxMode(content["box_mode"]) if content.get("box_mode") else None,
            frame=Frame(content["frame"]) if content.get("frame") else None,
            said_by={str(key): str(value) for key, value in dict(content.get("said_by", {})).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("bundle-output-unknown", f"That does not say what the output means: {error}.") from error
    if not 0.0 <= threshold <= 1.0:
        raise BundleError("bundle-output-unknown", "A threshold lies between 0 and 1.")
    return mapping


def derive_mapping(
    *, metadata: Mapping[str, Any], configuration: Mapping[str, Any], given: Mapping[str, Any]
) -> OutputMapping:
    """Return how a bundle's output is to be read.

    ``given`` is what was said at registration (fields of ``OutputMapping``) and goes before what the bundle says.
    Raises BundleError ``bundle-output-unknown`` naming what nobody says; its subjects are the fields to give.
    """
    unknown = sorted(set(given) - GIVEN_FIELDS)
    if unknown:
        raise BundleError("bundle-output-unknown", f"There is no {', '.join(unknown)} to say.", subjects=tuple(unknown))
    said: dict[str, Any] = {}
    by: dict[str, str] = {}
    for source, values in (
        ("metadata", _from_metadata(metadata)),
        ("configuration", _from_configuration(configuration)),
        ("registration", given),
    ):
        for name, value in values.items():
            said[name] = value
            by[name] = source
    if "threshold" not in said:
        said["threshold"], by["threshold"] = OPERATING_POINT, "nobody; one half is taken"
    needed = ["task", "labels"]
    if said.get("task") == Task.DETECTION:
        needed += ["box_mode", "frame"]
    missing = [name for name in needed if not said.get(name)]
    if missing:
        raise BundleError(
            "bundle-output-unknown",
            f"Neither the bundle's metadata nor its configuration say in plain values: {', '.join(missing)}. Say it at "
            "registration.",
            subjects=tuple(missing),
        )
    return mapping_from_json({**said, "said_by": by})


def _from_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    data_format = metadata.get("network_data_format")
    outputs = data_format.get("outputs") if isinstance(data_format, dict) else None
    if not isinstance(outputs, dict) or len(outputs) != 1:
        return {}
    ((key, tensor),) = outputs.items()
    if not isinstance(tensor, dict):
        return {}
    said: dict[str, Any] = {}
    kind, form = str(tensor.get("type", "")), str(tensor.get("format", ""))
    if kind == "object":
        said["task"] = Task.DETECTION
    elif kind == "image" and form in ("segmentation", "labels", "classes"):
        said["task"] = Task.SEGMENTATION
        said["prediction_key"] = str(key)
        said["labels"] = _channel_labels(tensor.get("channel_def"))
    return said


def _channel_labels(channels: object) -> dict[str, str]:
    if not isinstance(channels, dict):
        return {}
    labels = {}
    for number, name in channels.items():
        if not str(number).isdigit():
            return {}
        labels[str(number)] = NODULE if _NODULE_WORDS.search(str(name)) else str(name)
    # One channel alone is no background: above one half is what the channel names.
    return {"1": labels["0"]} if set(labels) == {"0"} and labels["0"].lower() != BACKGROUND else labels


def _from_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for component in _components(configuration.get("preprocessing")):
        if _is(component, "LoadImaged") and isinstance(component.get("keys"), str):
            said.setdefault("image_key", component["keys"])
    detects = any(
        _is(one, "RetinaNetDetector") for one in configuration.values() if isinstance(one, dict)
    )  # a detector by its class, where metadata do not say so
    boxes = [
        one
        for one in _components(configuration.get("postprocessing"))
        if any(_is(one, name) for name in ("AffineBoxToWorldCoordinated", "ConvertBoxModed", "ClipBoxToImaged"))
    ]
    if not detects and not boxes:
        return said
    said["task"] = Task.DETECTION
    # MONAI's detectors give corners in voxels of the image that they saw; transforms say what became of them.
    said["box_mode"], said["frame"] = BoxMode.CORNERS, Frame.IMAGE
    for one in boxes:
        # Whether a transform with this key happens depends on an expression.
        plain = "_disabled_" not in one
        if _is(one, "AffineBoxToWorldCoordinated"):
            flag = one.get("affine_lps_to_ras", False)
            said["frame"] = (Frame.LPS if flag else Frame.RAS) if plain and isinstance(flag, bool) else None
        elif _is(one, "ConvertBoxModed"):
            mode = one.get("dst_mode")
            said["box_mode"] = BoxMode(mode) if plain and mode in set(BoxMode) else None
    network = configuration.get("network_def")
    if isinstance(network, dict) and network.get("num_classes") == 1:
        said["labels"] = {"0": NODULE}
    return said


def _components(content: object) -> Iterator[Mapping[str, Any]]:
    transforms = content.get("transforms") if isinstance(content, dict) else content
    if isinstance(transforms, list):
        yield from (one for one in transforms if isinstance(one, dict))


def _is(component: Mapping[str, Any], name: str) -> bool:
    return str(component.get("_target_", "")).rpartition(".")[2] in (name, f"{name[:-1]}D", f"{name[:-1]}Dict")

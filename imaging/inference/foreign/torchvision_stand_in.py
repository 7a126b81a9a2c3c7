"""What MONAI's detectors take from torchvision, where torchvision is not installed. For a bundle's process only.

torchvision does not load beside every build of torch. MONAI's RetinaNet needs three small things of it to predict;
they are written here from their descriptions, under torchvision's module names. Anything else that a bundle asks of
torchvision is not there, and says so.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor, nn

VERSION = "0.0+stand-in"


class IntermediateLayerGetter(nn.ModuleDict):
    """Runs a network's layers in their order up to the last one named, and returns what the named ones gave.

    ``return_layers``: layer name to the name under which its output is returned. Weights keep the names that they
    have in the network.
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        children = list(model.named_children())
        missing = set(return_layers) - {name for name, _ in children}
        if missing:
            raise ValueError(f"the network has no layer {', '.join(sorted(missing))}")
        last = max(index for index, (name, _) in enumerate(children) if name in return_layers)
        super().__init__(OrderedDict(children[: last + 1]))
        self.return_layers = {str(name): str(shown) for name, shown in return_layers.items()}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the named layers, in their order."""
        outputs: dict[str, Tensor] = OrderedDict()
        for name, layer in self.items():
            x = layer(x)
            if name in self.return_layers:
                outputs[self.return_layers[name]] = x
        return outputs


def validate_trainable_layers(
    is_trained: bool, trainable_backbone_layers: int | None, max_value: int, default_value: int
) -> int:
    """Return how many layers of a backbone would be trained: all of one that has no weights yet."""
    if not is_trained:
        return max_value
    chosen = default_value if trainable_backbone_layers is None else trainable_backbone_layers
    if not 0 <= chosen <= max_value:
        raise ValueError(f"trainable layers lie between 0 and {max_value}, not at {chosen}")
    return chosen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices (int64) of the boxes kept by greedy non-maximum suppression, best score first.

    ``boxes``: (n, 4) as x1, y1, x2, y2. A box is dropped if its intersection over union with a better one that is
    kept is greater than ``iou_threshold``.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[Tensor] = []
    while order.numel():
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        overlap = shared / (areas[best] + areas[rest] - shared).clamp(min=torch.finfo(boxes.dtype).tiny)
        order = rest[overlap <= iou_threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64, device=boxes.device)


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and weights stay as they are; weights under their usual names."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, h, w) normalised channel by channel."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


class _OnlyForTraining:
    """Stands for what only training uses."""

    def __init__(self, *_arguments: object) -> None:
        raise RuntimeError("torchvision is not installed here; a detector can predict without it, not be trained")


def provide() -> bool:
    """Put the stand-in in torchvision's place in this process, unless torchvision is installed; tell whether it did."""
    if find_spec("torchvision") is not None:
        return False
    contents: dict[str, dict[str, object]] = {
        "torchvision": {"__version__": VERSION},
        "torchvision.models": {},
        "torchvision.models._utils": {"IntermediateLayerGetter": IntermediateLayerGetter},
        "torchvision.models.detection": {},
        "torchvision.models.detection.backbone_utils": {"_validate_trainable_layers": validate_trainable_layers},
        "torchvision.models.detection._utils": {
            "BalancedPositiveNegativeSampler": _OnlyForTraining,
            "Matcher": _OnlyForTraining,
        },
        "torchvision.ops": {"nms": nms},
        "torchvision.ops.boxes": {"nms": nms},
        "torchvision.ops.misc": {"FrozenBatchNorm2d": FrozenBatchNorm2d},
    }
    for name, members in contents.items():
        module = ModuleType(name, "A stand-in: see imaging.inference.foreign.torchvision_stand_in.")
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        # MONAI takes a package without a file for an empty folder.
        module.__file__ = __file__
        for member, value in members.items():
            setattr(module, member, value)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    return True

"""What MONAI's own classes say, in a process of its own, where the stand-in comes before MONAI looks for torchvision.

``python -m tests.imaging.inference.foreign.reference WHAT FOLDER`` with WHAT one of the functions below.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from imaging.inference.foreign import torchvision_stand_in
from tests.imaging.inference.foreign.layouts import RIGGED

WEIGHTS, IMAGE, BOXES = "reference.pt", "ct.nii.gz", "boxes.npy"


def ask(what: str, folder: Path) -> None:
    """Run one of the functions below in a new process."""
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-W", "ignore", "-m", "tests.imaging.inference.foreign.reference", what, str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def _retinanet(features: Any) -> Any:
    from monai.apps.detection.networks.retinanet_network import RetinaNet

    return RetinaNet(3, 1, 3, features, [16, 16, 8])


def _untrained() -> Any:
    from monai.apps.detection.networks.retinanet_network import resnet_fpn_feature_extractor
    from monai.networks.nets.resnet import resnet10

    backbone = resnet10(spatial_dims=3, n_input_channels=1, conv1_t_stride=[2, 2, 1], conv1_t_size=[7, 7, 7])
    return _retinanet(resnet_fpn_feature_extractor(backbone, 3, False, [1, 2], None))


def untrained(folder: Path) -> None:
    """Write the weights of a RetinaNet on a ResNet that says something everywhere, a different thing at each place."""
    import torch

    torch.manual_seed(0)
    network = _untrained()
    network.classification_head.cls_logits.bias.data.fill_(-1.0)
    network.classification_head.cls_logits.weight.data.mul_(30.0)
    torch.save(network.state_dict(), folder / WEIGHTS)


def rigged(folder: Path) -> None:
    """Write weights by which the first level alone speaks, where the pooled image stands out; anchors stay."""
    import torch

    namespace: dict[str, Any] = {}
    exec(RIGGED, namespace)
    network = _retinanet(namespace["Pooled"]())
    for head in (network.classification_head, network.regression_head):
        for layer in head.modules():
            if isinstance(layer, torch.nn.Conv3d):
                layer.weight.data.zero_()
                layer.bias.data.zero_()
    for layer in network.classification_head.conv:
        if isinstance(layer, torch.nn.Conv3d):
            for channel in range(8):
                layer.weight.data[channel, channel, 1, 1, 1] = 1.0
    network.classification_head.cls_logits.weight.data[2, :, 1, 1, 1] = 0.05
    network.classification_head.cls_logits.bias.data[:] = torch.tensor([-30.0, -30.0, -5.0])
    torch.save(network.state_dict(), folder / WEIGHTS)


def boxes(folder: Path) -> None:
    """Write what the official bundle's steps give by MONAI's own classes: rows of cccwhd in LPS, and the score."""
    import torch
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
    from monai.apps.detection.transforms.dictionary import AffineBoxToWorldCoordinated, ClipBoxToImaged, ConvertBoxModed
    from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, Spacingd

    data = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=[1.5, 1.5, 2.0]),
            ScaleIntensityRanged("image", -1024.0, 300.0, 0.0, 1.0, clip=True),
        ]
    )({"image": str(folder / IMAGE)})
    network = _untrained()
    network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
    anchors = AnchorGeneratorWithAnchorShape((1, 2, 4), ((6, 8, 4), (8, 6, 5), (10, 10, 6)))
    detector = RetinaNetDetector(network.eval(), anchors)
    detector.set_target_keys(box_key="box", label_key="label")
    detector.set_box_selector_parameters(
        score_thresh=0.02, topk_candidates_per_level=1000, nms_thresh=0.22, detections_per_img=300
    )
    detector.set_sliding_window_inferer(
        roi_size=[64, 64, 32], overlap=0.25, sw_batch_size=1, mode="constant", device="cpu"
    )
    detector.eval()
    with torch.no_grad():
        large = data["image"][0].numel() >= 64 * 64 * 32
        found = detector([data["image"]], use_inferer=large)[0]
    post = Compose(
        [
            ClipBoxToImaged("box", "label", "image", remove_empty=True),
            AffineBoxToWorldCoordinated("box", "image", affine_lps_to_ras=True),
            ConvertBoxModed("box", "xyzxyz", "cccwhd"),
        ]
    )({**found, "image": data["image"]})
    np.save(folder / BOXES, np.column_stack([np.asarray(post["box"]), np.asarray(found["label_scores"])]))


if __name__ == "__main__":
    torchvision_stand_in.provide()
    {"untrained": untrained, "rigged": rigged, "boxes": boxes}[sys.argv[1]](Path(sys.argv[2]))

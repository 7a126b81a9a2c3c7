"""The reference network for the task, in a process of its own: it times one patch for each line that it is sent.

MONAI's RetinaNet as the published lung_nodule_ct_detection bundle lays it out: ResNet-50 with a feature pyramid, three
anchors, patches of 192 x 192 x 80 voxels. Its weights are random: how long it takes does not depend on them. Only the
network itself is timed, which leaves out all that the bundle does before and after it.
"""

from __future__ import annotations

import sys
import time

import torch

from imaging.inference.foreign import torchvision_stand_in

THREADS = 2
PATCH = (192, 192, 80)


def network() -> torch.nn.Module:
    """Return the network, in evaluation."""
    torchvision_stand_in.provide()
    from monai.apps.detection.networks.retinanet_network import RetinaNet, resnet_fpn_feature_extractor
    from monai.networks.nets import resnet

    torch.manual_seed(0)
    backbone = resnet.resnet50(spatial_dims=3, n_input_channels=1, conv1_t_stride=[2, 2, 1], conv1_t_size=[7, 7, 7])
    features = resnet_fpn_feature_extractor(backbone, 3, False, [1, 2], None)
    model: torch.nn.Module = RetinaNet(
        spatial_dims=3, num_classes=1, num_anchors=3, feature_extractor=features, size_divisible=[16, 16, 8]
    )
    return model.eval()


def main() -> None:
    torch.set_num_threads(THREADS)
    model = network()
    patch = torch.rand((1, 1, *PATCH))
    print("ready", flush=True)
    for line in sys.stdin:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=line.strip() == "bf16"):
            began = time.perf_counter()
            model(patch)
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()

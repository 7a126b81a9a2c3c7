"""The stand-in for torchvision against known results."""

import sys

import pytest

torch = pytest.importorskip("torch")

from imaging.inference.foreign import torchvision_stand_in as stand_in  # noqa: E402  # after the check for torch


def test_suppression_keeps_the_better_of_two_that_overlap_and_all_that_do_not():
    boxes = torch.tensor(
        [[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 11.0, 11.0], [20.0, 20.0, 30.0, 30.0], [0.0, 0.0, 9.0, 10.0]]
    )
    scores = torch.tensor([0.8, 0.9, 0.3, 0.7])
    # IoU of the first two is 81 / 119 = .681, of the second and the fourth 72 / 118 = .610.
    assert stand_in.nms(boxes, scores, 0.65).tolist() == [1, 3, 2]
    assert stand_in.nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert stand_in.nms(boxes, scores, 0.95).tolist() == [1, 0, 3, 2]


def test_suppression_at_exactly_the_threshold_keeps_both():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0]])
    third = 1.0 / 3.0
    assert stand_in.nms(boxes, torch.tensor([0.5, 0.4]), third + 1e-6).tolist() == [0, 1]
    assert stand_in.nms(boxes, torch.tensor([0.5, 0.4]), third - 1e-6).tolist() == [0]


def test_suppression_of_nothing_is_nothing():
    kept = stand_in.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,) and kept.dtype == torch.int64


def test_suppression_agrees_with_monai_s_own_in_two_dimensions():
    from monai.data.box_utils import non_max_suppression

    generator = torch.Generator().manual_seed(5)
    corner = torch.rand(200, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 1 + torch.rand(200, 2, generator=generator) * 20], dim=1)
    scores = torch.rand(200, generator=generator)
    expected = non_max_suppression(boxes, scores, 0.3)
    assert stand_in.nms(boxes, scores, 0.3).tolist() == expected.tolist()


def test_layers_are_run_up_to_the_last_one_named_and_keep_their_weights_names():
    network = torch.nn.Sequential()
    network.add_module("one", torch.nn.Linear(2, 3))
    network.add_module("two", torch.nn.Linear(3, 4))
    network.add_module("three", torch.nn.Linear(4, 5))
    getter = stand_in.IntermediateLayerGetter(network, {"one": "0", "two": "1"})
    assert set(getter.state_dict()) == {"one.weight", "one.bias", "two.weight", "two.bias"}
    value = torch.ones(1, 2)
    outputs = getter(value)
    assert list(outputs) == ["0", "1"]
    assert torch.equal(outputs["0"], network.one(value))
    assert torch.equal(outputs["1"], network.two(network.one(value)))
    with pytest.raises(ValueError, match="no layer four"):
        stand_in.IntermediateLayerGetter(network, {"four": "0"})


def test_a_frozen_normalisation_is_batch_normalisation_in_evaluation():
    usual = torch.nn.BatchNorm2d(3).eval()
    usual.running_mean.copy_(torch.tensor([0.1, -2.0, 3.0]))
    usual.running_var.copy_(torch.tensor([0.5, 2.0, 9.0]))
    frozen = stand_in.FrozenBatchNorm2d(3)
    frozen.load_state_dict({name: value for name, value in usual.state_dict().items() if "num_batches" not in name})
    image = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(frozen(image), usual(image), atol=1e-6)


def test_all_layers_of_an_untrained_backbone_are_trained():
    assert stand_in.validate_trainable_layers(False, 2, 5, 3) == 5
    assert stand_in.validate_trainable_layers(True, None, 5, 3) == 3
    with pytest.raises(ValueError, match="between 0 and 5"):
        stand_in.validate_trainable_layers(True, 6, 5, 3)


def test_it_stands_in_only_where_torchvision_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stand_in, "find_spec", lambda _name: object())
    before = sys.modules.get("torchvision")
    assert stand_in.provide() is False
    assert sys.modules.get("torchvision") is before

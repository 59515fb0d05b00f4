import pytest
import torch

from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.losses import LOSSES
from imcomp.losses.summed import WeightedSum, complete, split_weight

PLAIN = sorted(LOSSES.keys() - {"perceptual"})  # which wants a file, and has its own tests
BOXES = [Box(20, 12, 26, 20), Box(0, 0, 5, 7), Box(27, 3, 32, 4), Box(0, 0, 32, 32)]


def filled(box, channels=1, size=32, count=2):
    """What a network computed everywhere, the truth, and holes that are somewhere in the box."""
    generator = torch.Generator().manual_seed(0)
    output, image = torch.rand(2, count, channels, size, size, generator=generator)
    mask = torch.zeros(count, 1, size, size)
    inside = box.crop(mask)
    inside.copy_(torch.randint(2, inside.shape, generator=generator))
    inside[..., 0, 0] = 1
    return output, image, mask


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize("box", BOXES)
def test_every_loss_says_the_same_with_a_box_and_without(name, channels, box):
    output, image, mask = filled(box, channels)
    loss = WeightedSum({name: 1.0})
    gradients, values = [], []
    for given in (None, box):
        whole = output.clone().requires_grad_()
        value, _ = loss(whole if given is None else given.crop(whole), image, mask, given)
        value.backward()
        values.append(value)
        gradients.append(whole.grad)

    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-3)
    assert gradients[0][mask.expand_as(output) == 0].eq(0).all()
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("name", ["mse", "l1", "charbonnier", "psnr"])
def test_known_pixels_are_scored_everywhere_with_a_box_and_without(name):
    output, image, mask = filled(BOXES[0])
    loss = WeightedSum({name: {"known": 0.5}, "ssim": 1.0})
    whole, boxed = (loss(output, image, mask, box) for box in (None, BOXES[0]))

    assert loss.everywhere
    torch.testing.assert_close(whole, boxed)
    output[..., 31, 31] += 1  # far from the hole
    assert loss(output, image, mask, BOXES[0])[1][name] > boxed[1][name]
    assert loss(output, image, mask, BOXES[0])[1]["ssim"] == boxed[1]["ssim"]


@pytest.mark.parametrize("name", PLAIN)
def test_every_loss_is_lowest_for_the_truth_and_leaves_out_pictures_without_a_hole(name):
    output, image, mask = filled(BOXES[0])
    loss = WeightedSum({name: 1.0})

    lowest = -60 if name == "psnr" else 0  # dB
    assert loss(image, image, mask)[0].item() == pytest.approx(lowest, abs=2e-3)  # the tip of charbonnier
    one = loss(output[:1], image[:1], mask[:1])[0]
    mask[1] = 0
    torch.testing.assert_close(loss(output, image, mask)[0], one)
    output.requires_grad_()
    loss(output, image, torch.zeros_like(mask))[0].backward()
    assert output.grad.eq(0).all()


@pytest.mark.parametrize("name", PLAIN)
def test_every_loss_is_float32_whatever_the_network_computed_in(name):
    output, image, mask = filled(BOXES[0])
    output = output.bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        value = WeightedSum({name: 1.0})(output, image, mask)[0]

    assert value.dtype == torch.float32
    torch.testing.assert_close(value, WeightedSum({name: 1.0})(output.float(), image, mask)[0], rtol=1e-5, atol=1e-6)


def test_parts_are_summed_by_weight():
    target, mask = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)

    total, parts = WeightedSum({"mse": 2, "l1": {"weight": 0.5}})(target + 3, target, mask)

    assert {name: part.item() for name, part in parts.items()} == {"mse": 9, "l1": 3}
    assert total.item() == 2 * 9 + 0.5 * 3


def test_what_weighs_nothing_is_left_out():
    loss = WeightedSum({"mse": 1.0, "l1": 0, "ssim": {"weight": 0, "window": 7}, "gradient": None})

    assert [*loss.terms] == ["mse"]


def test_a_sum_has_no_weights_that_a_checkpoint_would_hold():
    assert WeightedSum(dict.fromkeys(PLAIN, 1.0)).state_dict() == {}


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "the loss has no part; give loss=mse, or a weight above 0"),
        ({"mse": 0}, "the loss has no part"),
        (
            {"l2": 1},
            "loss.l2 is unknown; choose from charbonnier, gradient, l1, mse, multiscale, perceptual, psnr",
        ),
        ({"l1": -1}, "loss.l1=-1 is no weight; give a number of at least 0"),
        ({"l1": float("nan")}, "loss.l1=nan is no weight"),
        ({"l1": {"weight": "a"}}, "loss.l1=a is no weight"),
        ({"l1": True}, "loss.l1=True is no weight"),
        ({"ssim": {"window": 4}}, "loss.ssim: window=4 has no middle; give"),
        ({"ssim": {"size": 4}}, "loss.ssim: .*unexpected keyword argument 'size'"),
        ({"mse": 1, "adversarial": 0.1}, "loss.adversarial trains a second network; build .*AdversarialModule"),
    ],
)
def test_a_wrong_term_is_told_in_one_line(terms, message):
    with pytest.raises(InputError, match=message):
        WeightedSum(terms)


def test_a_weight_is_parted_from_the_options():
    assert split_weight("a", 2) == (2, {})
    assert split_weight("a", None) == (0, {})
    assert split_weight("a", {"weight": 0.5, "b": 3}) == (0.5, {"b": 3})
    assert split_weight("a", {"b": 3}) == (1, {"b": 3})


class TestComplete:
    def test_the_window_is_the_box_and_its_margin_within_the_picture(self):
        box = Box(0, 10, 6, 20)
        output, image, mask = filled(box)

        completed, target, hole = complete(box.crop(output), image, mask, box, margin=3)

        assert completed.shape == (2, 1, 9, 16)
        assert torch.equal(target, image[..., :9, 7:23])
        assert torch.equal(hole, mask[..., :9, 7:23])
        assert torch.equal(completed, torch.where(mask > 0, output, image)[..., :9, 7:23])

    def test_without_a_margin_it_is_the_whole_picture(self):
        box = BOXES[0]
        output, image, mask = filled(box)
        wanted = torch.where(mask > 0, output, image)

        assert torch.equal(complete(box.crop(output), image, mask, box, margin=None)[0], wanted)
        assert torch.equal(complete(output, image, mask, None, margin=3)[0], wanted)

    def test_the_picture_is_left_as_it_was(self):
        box = BOXES[0]
        output, image, mask = filled(box)
        before = image.clone()

        complete(box.crop(output), image, mask, box, margin=None)

        assert torch.equal(image, before)

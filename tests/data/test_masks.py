import pytest
import torch

from imcomp.data.masks import MASKS, CenterMask, build_mask, mix_seeds


def seeds(count=1, device="cpu"):
    return torch.zeros(count, dtype=torch.int64, device=device)


def splitmix64(*parts):
    """The same mixer in Python's unbounded integers."""
    word = (1 << 64) - 1
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & word
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & word
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & word
        state ^= state >> 31
    return state - (1 << 64) if state >> 63 else state


@pytest.mark.parametrize(
    ("size", "center", "image_size", "box"),
    [
        pytest.param(40, (0.5, 0.5), (256, 256), (108, 108, 148, 148), id="the reference's"),
        pytest.param(2, (0.5, 0.5), (5, 5), (1, 1, 3, 3), id="one row above, two below"),
        pytest.param(3, (0.5, 0.5), (6, 6), (1, 1, 4, 4), id="an odd hole"),
        pytest.param((2, 4), (0.5, 0.5), (8, 8), (3, 2, 5, 6), id="high and wide"),
        pytest.param([2, 4], [0.25, 0.75], (8, 8), (1, 4, 3, 8), id="moved"),
        pytest.param(4, (0.5, 0.5), (8, 20), (2, 8, 6, 12), id="not square"),
        pytest.param(8, (0.5, 0.5), (8, 8), (0, 0, 8, 8), id="the whole picture"),
        pytest.param(2, (0.29, 0.57), (100, 100), (28, 56, 30, 58), id="0.29 * 100 < 29 in floating point"),
    ],
)
def test_center_mask_is_one_in_its_box_alone(size, center, image_size, box):
    generator = CenterMask(size, center)

    mask = generator(image_size, seeds())

    top, left, bottom, right = box
    assert generator.box(image_size) == box
    assert mask.sum() == (bottom - top) * (right - left)
    assert mask[0, 0, top:bottom, left:right].all()


def test_center_mask_is_the_same_for_every_seed():
    mask = CenterMask(2)((4, 6), torch.tensor([0, 7, -1]))

    assert mask.shape == (3, 1, 4, 6)
    assert mask.dtype == torch.float32
    assert mask[0].eq(mask).all()


def test_center_mask_is_made_on_the_device_of_its_seeds():
    assert CenterMask(2)((4, 4), seeds(device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("size", "center", "image_size", "what"),
    [
        (41, (0.5, 0.5), (40, 64), "41 pixels high"),
        (41, (0.5, 0.5), (64, 40), "41 pixels wide"),
        (4, (0.0, 0.5), (8, 8), "4 pixels high centred at 0 "),
        (4, (0.5, 0.9), (8, 8), "4 pixels wide centred at 0.9"),
    ],
)
def test_a_hole_that_does_not_fit_says_what_to_change(size, center, image_size, what):
    with pytest.raises(ValueError, match=rf"{what}.*mask\.size.*data\.size"):
        CenterMask(size, center)(image_size, seeds())


@pytest.mark.parametrize("size", [0, -1, (0, 4), (4, 0), 4.5, (4, 4.5), (4,), (4, 4, 4), "44", None])
def test_a_size_that_is_no_hole_is_refused(size):
    with pytest.raises(ValueError, match="is no hole; give"):
        CenterMask(size)


@pytest.mark.parametrize("center", [(-0.1, 0.5), (0.5, 1.1), (0.5, float("nan")), (0.5,), 0.5, "05"])
def test_a_center_outside_the_picture_is_refused(center):
    with pytest.raises(ValueError, match="is not in the picture; give"):
        CenterMask(4, center)


def test_build_mask_takes_plain_options_and_leaves_them_alone():
    options = {"name": "center", "size": [2, 4], "center": [0.5, 0.25]}

    mask = build_mask(options)

    assert isinstance(mask, CenterMask)
    assert mask.box((8, 8)) == (3, 0, 5, 4)
    assert options == {"name": "center", "size": [2, 4], "center": [0.5, 0.25]}


@pytest.mark.parametrize("options", [{"name": "centre"}, {"name": None}, {"size": 4}])
def test_an_unknown_mask_lists_the_choices(options):
    with pytest.raises(ValueError, match="unknown mask") as error:
        build_mask(options)

    assert all(name in str(error.value) for name in MASKS)


def test_an_unknown_option_is_named_with_its_mask():
    with pytest.raises(ValueError, match=r"mask 'center': .*'sizes'"):
        build_mask({"name": "center", "sizes": 4})


def test_mix_seeds_is_splitmix64():
    # the first outputs of the published generator, seeded with 0 and with 1234567
    assert mix_seeds(0) == 0xE220A8397B1DCDAF - (1 << 64)
    assert mix_seeds(1234567) == 6457827717110365317


@pytest.mark.parametrize(
    "parts", [(0,), (1,), (-1,), (0, 0), (1, 2, 3), (3, 2, 1), (2**63 - 1, -(2**63)), (7, 1 << 32, 26_639)]
)
def test_mix_seeds_equals_the_mixer_in_python_integers(parts):
    assert mix_seeds(*parts) == splitmix64(*parts)


def test_mix_seeds_depends_on_every_part_and_their_order():
    mixed = [mix_seeds(*parts).item() for parts in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0)]]

    assert len(set(mixed)) == 5


def test_mix_seeds_broadcasts_and_is_pure():
    epochs, index = torch.tensor([[0], [1]]), torch.tensor([0, 5, -3])

    mixed = mix_seeds(42, epochs, index)

    assert mixed.tolist() == [[splitmix64(42, epoch, number) for number in (0, 5, -3)] for epoch in (0, 1)]
    assert mixed.dtype == torch.int64
    assert torch.equal(mixed, mix_seeds(42, epochs, index))
    assert index.tolist() == [0, 5, -3]


def test_mix_seeds_stays_on_the_device_of_its_tensors():
    assert mix_seeds(1, seeds(3, device="meta"), 2).device.type == "meta"


def test_mix_seeds_spreads_neighbouring_numbers_over_all_bits():
    mixed = mix_seeds(0, 0, torch.arange(100_000))

    assert len(mixed.unique()) == 100_000
    for bit in range(64):
        share = ((mixed >> bit) & 1).float().mean().item()
        assert share == pytest.approx(0.5, abs=0.01), f"bit {bit}"

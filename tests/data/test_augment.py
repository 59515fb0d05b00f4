import pytest
import torch

from imcomp.box import Box
from imcomp.data.augment import Augmentation, build_augmentation, move
from imcomp.errors import InputError

SIGNS = {
    "scale": [0.85, 1.15], "aspect": 0.07, "degrees": 8, "shift": 0.04,
    "brightness": [0.7, 1.3], "contrast": [0.6, 1.4], "gamma": [0.8, 1.25],
}  # fmt: skip
EACH = [
    *({key: SIGNS[key]} for key in SIGNS),
    {"horizontal_flip": 0.5},
    {"vertical_flip": 0.5},
    {"saturation": [0, 2]},
    {"hue": 90},
    {"blur": [0.5, 2]},
    {"resolution": [8, 16]},
    {"noise": [0.01, 0.1]},
    {"jpeg": [10, 50]},
]
IDS = [next(iter(options)) for options in EACH]


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (8, 3, 32, 48), generator=generator, dtype=torch.uint8)


SEEDS = torch.arange(8) * 1_000_003


def plain(pictures):
    return pictures.float() / 255


@pytest.mark.parametrize("options", EACH, ids=IDS)
def test_each_option_changes_pictures_and_keeps_them_pictures(pictures, options):
    out = Augmentation(**options)(pictures, SEEDS)

    assert out.shape == pictures.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    changed = ((out - plain(pictures)).abs().amax(dim=(1, 2, 3)) > 1e-4).sum()
    chance = {"horizontal_flip", "vertical_flip", "blur", "resolution", "noise", "jpeg"} & options.keys()
    assert 0 < changed < 8 if chance else changed == 8


@pytest.mark.parametrize("options", [*EACH, SIGNS], ids=[*IDS, "signs"])
def test_a_picture_depends_on_its_seed_alone(pictures, options):
    augmentation = Augmentation(**options)
    whole = augmentation(pictures, SEEDS)
    assert torch.equal(augmentation(pictures, SEEDS), whole)
    assert torch.allclose(augmentation(pictures[5:6], SEEDS[5:6]), whole[5:6], atol=1e-6)
    assert not torch.allclose(augmentation(pictures, SEEDS + 1), whole, atol=1e-3)


def test_pictures_differ_in_their_changes(pictures):
    out = Augmentation(**SIGNS)(pictures[:1].expand(8, -1, -1, -1), SEEDS)
    assert len(out.flatten(1).unique(dim=0)) == 8


def test_options_do_not_depend_on_one_another():
    alone = Augmentation(degrees=20).draw_warp(SEEDS, (32, 48))
    more = Augmentation(degrees=20, horizontal_flip=0.5, brightness=[0.5, 1], noise=0.1).draw_warp(SEEDS, (32, 48))
    assert torch.equal(alone.maps, more.maps)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_pictures_is_flipped(share):
    how = Augmentation(horizontal_flip=share).draw_warp(torch.arange(4000), (8, 8))
    assert how.horizontal.float().mean().item() == pytest.approx(share, abs=0.03)
    assert not how.vertical.any()


@pytest.mark.parametrize("more", [{}, SIGNS, {"resolution": 8, "chance": 0.5}], ids=["alone", "signs", "degraded"])
def test_pictures_without_the_name_are_changed_but_never_flipped(pictures, more):
    flips, window = {"horizontal_flip": 1, "vertical_flip": 1}, Box(8, 4, 24, 36)
    some = Augmentation(**flips, flip_regex="^19/", **more)
    flippable = some.may_flip(["19/1", "20/19/2"] * 4)

    out = some(pictures, SEEDS, window, flippable)

    assert flippable.tolist() == [True, False] * 4
    flipped, unflipped = (Augmentation(**given, **more)(pictures, SEEDS, window) for given in (flips, {}))
    assert torch.equal(out, torch.where(flippable.view(-1, 1, 1, 1), flipped, unflipped))
    assert not torch.allclose(flipped, unflipped, atol=0.05)


def test_all_pictures_may_be_flipped_where_no_name_is_asked_for():
    assert Augmentation(horizontal_flip=1).may_flip(["a", "b"]) is None
    assert Augmentation(flip_regex="a").may_flip(["a", "b"]) is None  # and none is


def test_numbers_are_within_their_ranges():
    how = Augmentation(scale=[0.5, 2], shift=0.1).draw_warp(torch.arange(4000), (100, 200))
    scale = 1 / how.maps[:, 0, 0]
    assert scale.min() >= 0.5
    assert scale.max() <= 2
    moved = -how.maps[..., 2] * scale[:, None]
    assert moved[:, 0].abs().max().item() == pytest.approx(20, rel=0.01)
    assert moved[:, 1].abs().max().item() == pytest.approx(10, rel=0.01)


def test_one_number_is_that_number(pictures):
    assert torch.allclose(Augmentation(brightness=0.5)(pictures, SEEDS), plain(pictures) / 2, atol=1e-6)


def test_light_of_all_white_pictures_can_be_told_in_the_head():
    white = torch.full((1, 1, 4, 4), 255, dtype=torch.uint8)
    out = Augmentation(brightness=0.5, contrast=0.2, gamma=2)(white, SEEDS[:1])
    assert out.unique().item() == pytest.approx(0.25)  # contrast leaves the mean; half of it; squared


def test_grey_pictures_have_no_colour_to_change():
    grey = torch.full((2, 1, 4, 4), 51, dtype=torch.uint8)
    out = Augmentation(saturation=[0, 2], hue=180)(grey, SEEDS[:2])
    assert torch.allclose(out, torch.full_like(out, 0.2))


@pytest.mark.parametrize(
    "options",
    [*EACH, SIGNS, {**SIGNS, "resolution": 8}, {**SIGNS, "blur": 2, "jpeg": 20, "chance": 1}, {}],
    ids=[*IDS, "signs", "some degraded", "all degraded", "nothing"],
)
def test_a_window_is_what_the_whole_would_show_there(pictures, options):
    augmentation, window = Augmentation(**options), Box(8, 4, 24, 36)
    out = augmentation(pictures, SEEDS, window)
    assert out.shape == (8, 3, 16, 32)
    assert torch.allclose(out, window.crop(augmentation(pictures, SEEDS)), atol=1e-5)


def test_pictures_come_back_untouched(pictures):
    before = pictures.clone()
    Augmentation(**SIGNS, horizontal_flip=1, blur=1, resolution=8, noise=0.1, jpeg=50)(pictures, SEEDS)
    assert torch.equal(pictures, before)


def test_a_mask_moves_with_its_picture():
    augmentation = Augmentation(horizontal_flip=0.5, vertical_flip=0.5, scale=[0.9, 1.1], degrees=30, shift=0.1)
    mask = torch.zeros(8, 1, 40, 40)
    mask[..., 10:20, 24:34] = 1

    moved = move(mask, augmentation.draw_warp(SEEDS, (40, 40)))

    pictures = (mask * 255).byte()
    shown = augmentation(pictures, SEEDS)
    assert set(moved.unique().tolist()) == {0, 1}
    assert ((shown > 0.5).float() != moved).float().mean() < 0.02  # rims alone
    assert len(moved.flatten(1).unique(dim=0)) == 8


def test_a_mask_that_would_leave_the_picture_stays():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 0, 0] = 1
    how = Augmentation(scale=10).draw_warp(SEEDS[:1], (8, 8))
    assert torch.equal(move(mask, how), mask)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"scale": [2, 1]}, r"augment\.scale \[2, 1\] is no range"),
        ({"scale": 0}, r"augment\.scale 0 is no range; give .* from 0\.1 to 10"),
        ({"horizontal_flip": 1.5}, r"augment\.horizontal_flip=1\.5 is out of range; give a number from 0 to 1"),
        ({"degrees": -3}, r"augment\.degrees=-3 .*from 0 to 180"),
        ({"hue": True}, r"augment\.hue=True"),
        ({"crop": [0, 1]}, r"augment\.crop \[0, 1\] is no range; give .* from 0\.01 to 1"),
        ({"crop": [0.5, 1.2]}, r"augment\.crop"),
        ({"jpeg": 0}, r"augment\.jpeg 0 is no range; give .* at least 1"),
        ({"jpeg": [50, 101]}, r"augment\.jpeg=\[50, 101\] is no quality; give \[low, high\] from 1 to 100"),
        ({"resolution": 0}, r"augment\.resolution 0 is no range; give .* at least 1"),
        ({"noise": -0.1}, r"augment\.noise -0\.1 is no range"),
        ({"chance": float("nan")}, r"augment\.chance=nan"),
        ({"horizontal_flip": 1, "flip_regex": "(19"}, r"augment\.flip_regex '\(19' is not a regular expression: miss"),
        ({"vertical_flip": 1, "flip_regex": 19}, r"augment\.flip_regex=19 is no regular expression; give a text"),
        ({"flip": 0.5}, r"augment: .*flip"),
    ],
)
def test_a_wrong_option_names_its_key(options, what):
    with pytest.raises(InputError, match=what):
        build_augmentation(options)


@pytest.mark.parametrize(
    "options", [None, {}, {"scale": None, "horizontal_flip": 0.0}, {"chance": 0.1}, {"flip_regex": "19"}]
)
def test_options_that_change_nothing_are_no_augmentation(options):
    assert build_augmentation(options) is None

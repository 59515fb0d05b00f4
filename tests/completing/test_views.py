"""What a network is shown by each strategy."""

import numpy as np
import pytest

from imcomp.box import Box
from imcomp.completing.views import STRATEGIES, Training, View, plan

SIGNS = Training(size=256, multiple=16, channels=1, stretch=True, thickness=(40, 40))
PHOTOS = Training(size=256, multiple=16, channels=3, stretch=False, thickness=(8, 20))


def planned(size, *boxes, strategy="auto", training=SIGNS):
    hole = np.zeros(size, bool)
    for box in boxes:
        Box(*box).crop(hole)[:] = True
    views = plan(hole, training, strategy)
    covered = np.zeros(size, int)
    for view in views:
        view.target.crop(covered)[:] += 1
        assert view.target.within(view.window) == view.target.within(view.window).clip(
            (view.window.height, view.window.width)
        )
        assert view.window == view.window.clip(size)
    assert covered[hole].tolist() == [1] * hole.sum()
    return views


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_without_a_hole_nothing_is_shown(strategy):
    assert planned((30, 40), strategy=strategy) == []


@pytest.mark.parametrize("size", [(256, 256), (50, 45), (200, 256)])
def test_a_picture_no_larger_than_the_networks_is_shown_whole(size):
    (view,) = planned(size, (10, 10, 20, 20))
    assert view == View(Box(0, 0, *size), (256, 256), Box(10, 10, 20, 20))


def test_so_is_one_whose_hole_is_as_large_a_share_as_in_training():
    (view,) = planned((1000, 1100), (420, 460, 580, 620))  # 160 pixels, four times as in training: 1024 around it
    assert (view.window, view.size) == (Box(0, 0, 1000, 1100), (256, 256))


def test_a_network_trained_without_stretching_keeps_the_aspect_ratio():
    (view,) = planned((100, 180), (10, 10, 20, 20), training=PHOTOS)
    assert view.size == (256, 461)


@pytest.mark.parametrize(
    ("side", "shown"),
    [(40, 256), (80, 512), (20, 128), (10, 64), (1, 64)],  # at most four times as large as it is
)
def test_the_hole_is_shown_as_thick_as_in_training(side, shown):
    (view,) = planned((2000, 3000), (900, 1000, 900 + side, 1000 + side))
    assert (view.window.height, view.window.width, *view.size) == (shown, shown, 256, 256)
    centre = 900 + side // 2
    assert abs((view.window.top + view.window.bottom) // 2 - centre) <= 1


@pytest.mark.parametrize(("side", "scale"), [(8, 1), (15, 1), (20, 1), (40, 0.5), (4, 2)])
def test_within_the_range_of_training_nothing_is_resampled(side, scale):
    (view,) = planned((2000, 3000), (900, 1000, 900 + side, 1000 + side), training=PHOTOS)
    assert view.size[0] / view.window.height == pytest.approx(scale)


def test_at_the_border_the_window_stays_in_the_picture():
    (view,) = planned((2000, 3000), (1960, 2960, 2000, 3000))
    assert view.window == Box(1744, 2744, 2000, 3000)


def test_holes_far_apart_have_a_window_each():
    views = planned((2000, 3000), (100, 100, 140, 140), (1500, 2500, 1540, 2540), (100, 160, 140, 200))
    assert [view.target for view in views] == [Box(100, 100, 140, 200), Box(1500, 2500, 1540, 2540)]
    assert [view.size for view in views] == [(256, 256)] * 2


def test_a_long_hole_is_shown_with_a_margin():
    (view,) = planned((2000, 3000), (900, 500, 940, 2500))
    assert (view.window, view.size) == (Box(792, 436, 1048, 2564), (256, 2128))


def test_resize_and_original():
    hole = (900, 1000, 940, 1040)
    assert planned((2000, 3000), hole, strategy="resize")[0].size == (256, 256)
    (view,) = planned((2000, 3000), hole, strategy="original")
    assert (view.window.height, view.window.width) == view.size == (256, 256)
    (view,) = planned((300, 500), (9, 9, 49, 49), strategy="original")
    assert (view.window, view.size) == (Box(0, 0, 300, 500), (300, 500))


def test_crop_shows_a_window_of_a_small_picture_too():
    (view,) = planned((256, 256), (100, 100, 110, 110), strategy="crop")
    assert view.size == (256, 256)
    assert (view.window.height, view.window.width) == (64, 64)


@pytest.mark.parametrize("training", [SIGNS, PHOTOS])
def test_a_picture_all_hole_is_shown_whole(training):
    (view,) = planned((1000, 1000), (0, 0, 1000, 1000), training=training)
    assert view.size == (256, 256)


def test_no_view_is_larger_than_memory_allows():
    hole = np.zeros((9000, 12000), bool)
    hole[::500, :] = hole[:, ::500] = True
    hole[2000:2041, 2000:2041] = True  # a little thicker than the network knows
    for view in plan(hole, SIGNS, "crop"):
        assert view.size[0] * view.size[1] <= 1 << 24 or view.size == (view.window.height, view.window.width)

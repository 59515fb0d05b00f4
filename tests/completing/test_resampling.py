"""To a network's size and back."""

import numpy as np
import pytest

from imcomp.box import Box
from imcomp.completing import resampling
from imcomp.completing.resampling import lay, show
from imcomp.completing.surfaces import Canvas
from imcomp.completing.views import View


def test_at_its_own_size_nothing_is_resampled():
    picture = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    hole = np.zeros((20, 30), bool)
    hole[5, 6] = True
    shown, missing = show(Canvas(picture), hole, View(Box(2, 3, 12, 23), (10, 20), Box(5, 6, 6, 7)))
    assert np.array_equal(missing, hole[2:12, 3:23])
    assert np.array_equal(shown[:, ~missing], picture[:, 2:12, 3:23][:, ~missing])
    assert not shown[:, missing].any()


@pytest.mark.parametrize("size", [(5, 10), (40, 80), (7, 9)])
def test_known_pixels_alone_are_resized(size):
    picture = np.full((1, 20, 40), 0.5, np.float32)
    hole = np.zeros((20, 40), bool)
    hole[3:9, 11:20] = True
    picture[:, hole] = 1000
    shown, missing = show(Canvas(picture), hole, View(Box(0, 0, 20, 40), size, Box(3, 11, 9, 20)))
    assert shown[0][~missing] == pytest.approx(0.5, abs=1e-5)
    assert not shown[0][missing].any()


@pytest.mark.parametrize("size", [(3, 3), (10, 7), (100, 130), (300, 11)])
def test_no_pixel_of_the_hole_vanishes(size):
    hole = np.zeros((60, 77), bool)
    hole[31, 42] = True
    _, missing = show(
        Canvas(np.zeros((1, 60, 77), np.float32)), hole, View(Box(0, 0, 60, 77), size, Box(31, 42, 32, 43))
    )
    assert missing[int(31.5 / 60 * size[0]), int(42.5 / 77 * size[1])]
    assert missing.sum() <= (size[0] // 60 + 2) * (size[1] // 77 + 2)


def test_large_windows_are_averaged_first(monkeypatch):
    rows = np.linspace(0, 1, 120, dtype=np.float32)
    picture = np.broadcast_to(rows[:, None], (120, 133)).copy()[None]
    hole = np.zeros((120, 133), bool)
    hole[50:70, 50:70] = True
    view = View(Box(0, 0, 120, 133), (12, 13), Box(50, 50, 70, 70))
    exact, missing = show(Canvas(picture), hole, view)
    monkeypatch.setattr(resampling, "_LARGE", 1000)
    near, same = show(Canvas(picture), hole, view)
    assert np.array_equal(missing, same)
    assert near == pytest.approx(exact, abs=0.01)


def test_only_the_hole_of_the_target_is_written():
    canvas, hole = Canvas(np.zeros((1, 40, 40), np.float32)), np.zeros((40, 40), bool)
    hole[10:20, 10:20] = hole[30:, 30:] = True
    lay(canvas, hole, View(Box(0, 0, 40, 40), (8, 8), Box(10, 10, 20, 20)), np.ones((1, 8, 8), np.float32))
    assert canvas.picture[0, 10:20, 10:20].min() == 1
    assert canvas.picture.sum() == 100


def test_strips_are_as_the_whole(monkeypatch):
    filled = np.random.default_rng(0).random((3, 11, 13)).astype(np.float32)
    view, hole = View(Box(5, 6, 95, 96), (11, 13), Box(20, 30, 80, 90)), np.ones((100, 100), bool)
    whole, cut = (Canvas(np.zeros((3, 100, 100), np.float32)) for _ in range(2))
    lay(whole, hole, view, filled)
    monkeypatch.setattr(
        resampling, "strips", lambda box: (Box(row, box.left, row + 1, box.right) for row in range(20, 80))
    )
    lay(cut, hole, view, filled)
    assert cut.picture == pytest.approx(whole.picture, abs=1e-5)

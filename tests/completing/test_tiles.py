"""Large holes, tile by tile."""

import numpy as np
import pytest

from imcomp.box import Box
from imcomp.completing.surfaces import Canvas
from imcomp.completing.tiles import fill_tiles
from imcomp.completing.views import Training

TRAINING = Training(size=32, multiple=4, channels=1, stretch=True, thickness=(8, 8))


def filled(picture, hole, paint, region=None, training=TRAINING):
    canvas = Canvas(picture[None].astype(np.float32))
    fill_tiles(canvas, hole, region or Box(0, 0, *hole.shape), paint, training)
    return canvas.picture[0]


def constant(shade):
    return lambda picture, missing: np.where(missing, np.float32(shade), picture)


def mean_of_known(picture, missing):
    return np.where(missing, picture[:, ~missing].mean() if (~missing).any() else np.float32(9), picture)


@pytest.mark.parametrize("size", [(100, 90), (33, 200), (65, 64)])
@pytest.mark.parametrize("kind", ["all but the rim", "scratch", "everything"])
def test_all_of_the_hole_is_filled_and_nothing_else(size, kind):
    picture, hole = np.random.default_rng(0).random(size).astype(np.float32), np.zeros(size, bool)
    if kind == "all but the rim":
        hole[3:-3, 3:-3] = True
    elif kind == "scratch":
        hole[size[0] // 2] = hole[:, 5] = True
    else:
        hole[:] = True
    done = filled(picture, hole, constant(0.25))
    assert done[hole] == pytest.approx(0.25)
    assert np.array_equal(done[~hole], picture[~hole])


def test_only_the_region_is_filled():
    hole = np.ones((64, 64), bool)
    done = filled(np.zeros((64, 64)), hole, constant(1), Box(10, 20, 30, 60))
    assert done.sum() == 20 * 40


def test_from_the_rim_inwards():
    """Every tile sees something known, or filled before it."""
    hole = np.zeros((120, 120), bool)
    hole[10:-10, 10:-10] = True
    done = filled(np.full((120, 120), 0.5), hole, mean_of_known)
    assert done == pytest.approx(0.5)


def test_seams_are_blended():
    """Two tiles that disagree by 1: from one to the other there is no step, but a ramp over the overlap."""
    shades = iter((0.0, 1.0, 0.0, 1.0, 0.0, 1.0))
    training = Training(size=64, multiple=4, channels=1, stretch=True, thickness=(16, 16))
    hole = np.zeros((16, 128), bool)
    hole[:, 32:96] = True

    def paint(picture, missing):
        return constant(next(shades))(picture, missing)

    done = filled(np.zeros((16, 128)), hole, paint, training=training)
    assert {0.0, 1.0} <= set(done[8, 32:96].tolist())
    assert np.abs(np.diff(done[8, 32:96])).max() <= 0.25 + 1e-6


def test_a_tile_is_shown_its_own_part_as_missing_and_what_is_done_as_known():
    hole = np.zeros((48, 48), bool)
    hole[8:40, 8:40] = True
    seen = []

    def paint(picture, missing):
        seen.append((picture.copy(), missing.copy()))
        assert not picture[:, missing].any()
        return constant(0.5)(picture, missing)

    filled(np.ones((48, 48)), hole, paint)
    assert len(seen) > 4
    assert any((picture == 0.5).any() for picture, _ in seen[1:])
    assert all(max(missing.shape) <= TRAINING.most_at_once for _, missing in seen)

"""Classical fills: right in cases that the head can check, blind to what is under the hole."""

import sys

import numpy as np
import pytest

from imcomp.baselines import BASELINES, choose_baselines, fill_all, rim_mean, unavailable
from imcomp.errors import InputError

every_baseline = pytest.mark.parametrize("name", BASELINES)


@pytest.fixture(autouse=True)
def needs_its_package(request):
    package = {"biharmonic": "skimage", "telea": "cv2", "navier_stokes": "cv2"}
    if "name" in request.fixturenames and (needed := package.get(request.getfixturevalue("name"))):
        pytest.importorskip(needed)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def hole(size, top, left, bottom, right):
    mask = np.zeros((size, size), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
@every_baseline
def test_known_pixels_come_back_untouched(name, shape):
    picture = noise(*shape)
    before = picture.copy()
    cut = hole(16, 5, 6, 10, 12)
    completed = BASELINES[name](picture, cut)
    assert completed.shape == shape
    assert completed.dtype == np.uint8
    assert np.array_equal(completed[~cut], before[~cut])
    assert np.array_equal(picture, before)


@every_baseline
def test_what_is_under_the_hole_is_not_seen(name):
    picture, cut = noise(16, 16, 3), hole(16, 0, 0, 8, 8)
    other = picture.copy()
    other[cut] = 255 - other[cut]
    assert np.array_equal(BASELINES[name](picture, cut), BASELINES[name](other, cut))


@every_baseline
def test_a_plain_picture_is_completed(name):
    picture, cut = np.full((16, 16), 77, dtype=np.uint8), hole(16, 4, 4, 8, 8)
    damaged = np.where(cut, np.uint8(0), picture)
    # Telea's carries gradients on, and rounding makes some
    assert np.abs(BASELINES[name](damaged, cut).astype(int) - 77).max() <= (2 if name == "telea" else 0)


@every_baseline
def test_without_a_hole_the_picture_comes_back(name):
    picture = noise(8, 8)
    assert np.array_equal(BASELINES[name](picture, np.zeros((8, 8), dtype=bool)), picture)


@every_baseline
def test_where_nothing_is_known_the_hole_becomes_mid_grey(name):
    assert (BASELINES[name](noise(8, 8, 3), np.ones((8, 8), dtype=bool)) == 128).all()


@every_baseline
def test_a_picture_whose_channels_lie_apart_is_taken(name):
    planes, cut = noise(3, 8, 8), hole(8, 2, 2, 5, 5)
    apart = planes.transpose(1, 2, 0)
    assert np.array_equal(BASELINES[name](apart, cut), BASELINES[name](apart.copy(order="C"), cut))


def test_rim_mean_counts_the_eight_neighbours_alone():
    picture = np.zeros((5, 5), dtype=np.uint8)
    picture[1:4, 1:4] = 80
    picture[1, 1] = 0  # a corner touches too: (7 * 80 + 0) / 8 = 70
    assert rim_mean(picture, hole(5, 2, 2, 3, 3))[2, 2] == 70


def test_rim_mean_takes_each_channel_by_itself():
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2] = 10, 20, 30
    assert rim_mean(picture, hole(4, 1, 1, 3, 3))[1, 1].tolist() == [10, 20, 30]


def test_rim_mean_does_not_reach_round_the_picture():
    picture = np.zeros((4, 4), dtype=np.uint8)
    picture[3] = 200
    assert rim_mean(picture, hole(4, 0, 0, 1, 4))[0, 0] == 0


@every_baseline
@pytest.mark.parametrize(
    ("picture", "cut", "words"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4), dtype=bool), "float64"),
        (np.zeros((1, 4, 4), dtype=np.uint8), np.zeros((4, 4), dtype=bool), r"\(1, 4, 4\)"),
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4)), "give bool"),
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 5), dtype=bool), r"\(4, 4\)"),
    ],
)
def test_wrong_arrays_are_named(name, picture, cut, words):
    with pytest.raises(ValueError, match=words):
        BASELINES[name](picture, cut)


def test_choosing():
    pytest.importorskip("cv2")
    pytest.importorskip("skimage")
    assert unavailable() == {}
    assert choose_baselines() == (BASELINES, {})
    assert choose_baselines([]) == ({}, {})
    assert list(choose_baselines(["telea"])[0]) == ["telea"]
    with pytest.raises(InputError, match="unknown baseline 'median'; choose from rim_mean, telea, navier_stokes"):
        choose_baselines(["rim_mean", "median"])


def test_without_opencv_its_methods_are_left_out_with_a_reason(monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setitem(sys.modules, "cv2", None)  # makes the import fail
    chosen, skipped = choose_baselines()
    assert list(chosen) == ["rim_mean", "biharmonic"]
    assert list(skipped) == ["telea", "navier_stokes"]
    assert "pip install imcomp[opencv]" in skipped["telea"]
    with pytest.raises(InputError, match="baseline 'telea' cannot run: OpenCV"):
        choose_baselines(["telea"])
    with pytest.raises(InputError, match="pip install"):
        BASELINES["telea"](noise(8, 8), hole(8, 2, 2, 4, 4))


def test_without_scikit_image_biharmonic_is_left_out_with_a_reason(monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    chosen, skipped = choose_baselines()
    assert list(chosen) == ["rim_mean", "telea", "navier_stokes"]
    assert "pip install imcomp[reference]" in skipped["biharmonic"]


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_biharmonic_goes_on_with_a_slope(shape):
    pytest.importorskip("skimage")
    slope = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8).reshape(16, 1, *[1] * (len(shape) - 2)), shape).copy()
    cut = hole(16, 6, 6, 10, 10)
    assert np.abs(BASELINES["biharmonic"](slope, cut).astype(int) - slope).max() <= 1


def test_filling_many_keeps_the_order_and_tells_the_time():
    pictures = [np.full((4, 4), level, dtype=np.uint8) for level in (10, 20, 30)]
    filled, seconds = fill_all(rim_mean, pictures, [hole(4, 1, 1, 3, 3)] * 3)
    assert [int(one[1, 1]) for one in filled] == [10, 20, 30]
    assert seconds >= 0

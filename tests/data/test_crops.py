import numpy as np
import pytest
from PIL import Image

from imcomp.data.crops import RandomCrop


def ramp(width, height):
    """Each pixel's grey is its column, and its second and third channel are its row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, rows], axis=-1).astype(np.uint8))


def test_squares_are_within_the_range_and_anywhere():
    places = RandomCrop((0.5, 0.8), seed=0).draw(range(2000), epoch=0)
    for numbers, (low, high) in zip(zip(*places, strict=True), ((0.5, 0.8), (0, 1), (0, 1)), strict=True):
        assert low <= min(numbers) < low + 0.01
        assert high - 0.01 < max(numbers) <= high


def test_a_square_depends_on_seed_epoch_and_picture_alone():
    crop = RandomCrop((0.5, 1.0), seed=0)
    both = crop.draw([3, 8], epoch=1)
    assert crop.draw([8], epoch=1) == both[1:]
    others = [crop.draw([8], epoch=2), RandomCrop((0.5, 1.0), seed=1).draw([8], epoch=1), both[:1]]
    assert len({tuple(other[0]) for other in [*others, both[1:]]}) == 4


@pytest.mark.parametrize(
    ("place", "left", "top"), [((0.5, 0.0, 0.0), 0, 0), ((0.5, 1.0, 1.0), 80, 30), ((0.5, 0.0, 0.5), 40, 0)]
)
def test_a_square_of_the_pictures_own_pixels_is_exact(place, left, top):
    image = ramp(110, 60)  # the square is 30 pixels, half of the shorter side
    cut = RandomCrop.cut(image, 30, place)
    assert np.array_equal(np.asarray(cut), np.asarray(image.crop((left, top, left + 30, top + 30))))


def test_a_square_is_brought_to_size():
    cut = np.asarray(RandomCrop.cut(ramp(100, 50), 10, (0.4, 0.5, 0.5))).astype(float)  # 20 pixels to 10
    assert cut.shape == (10, 10, 3)
    assert cut[..., 0].mean() == pytest.approx(49.5, abs=0.6)
    assert cut[0, 1, 0] - cut[0, 0, 0] == pytest.approx(2, abs=1)


def test_a_picture_of_one_pixel_is_cut_too():
    assert RandomCrop.cut(Image.new("L", (1, 3), 9), 4, (0.01, 0.5, 0.5)).getextrema() == (9, 9)

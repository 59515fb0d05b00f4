import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2gray
from skimage.transform import resize

from imcomp.data.folders import GTSRBSource
from imcomp.data.transforms import FITS, to_channels, to_size, to_tensor


def random_picture(width, height, seed=0):
    """Every colour, no structure."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def smooth_picture(width, height, seed=0):
    """A random picture of 4 x 4 pixels, enlarged."""
    return random_picture(4, 4, seed).resize((width, height), Image.Resampling.BICUBIC)


def reference(image, size):
    """Grey in [0, 1] and resized as scikit-image does it."""
    return resize(rgb2gray(np.asarray(image)), (size, size))


def prepared(image, size):
    """The same by our transforms."""
    return np.asarray(to_size(to_channels(image, 1), size)) / 255


def columns(image):
    """The brightness of each column of a picture whose columns are uniform."""
    rows = np.asarray(image).tolist()
    assert all(row == rows[0] for row in rows)
    return rows[0]


def test_grey_is_rounded_rgb2gray_at_each_pixel():
    image = random_picture(64, 64)

    grey = to_channels(image, 1)

    assert grey.mode == "L"
    error = np.abs(np.asarray(grey) - 255 * rgb2gray(np.asarray(image)))
    assert error.max() <= 0.5 + 1e-4


@pytest.mark.parametrize(("colour", "grey"), [("red", 54), ("lime", 182), ("blue", 18), ("white", 255), ("black", 0)])
def test_grey_weighs_colours_by_bt709(colour, grey):
    image = to_channels(Image.new("RGB", (1, 1), colour), 1)

    assert image.getpixel((0, 0)) == grey  # 0.2125, 0.7154 and 0.0721 times 255


def test_grey_pictures_stay_as_they_are():
    image = Image.new("L", (2, 2), 77)

    assert to_channels(image, 1) is image


def test_colour_of_a_grey_picture_has_three_equal_channels():
    image = to_channels(Image.new("L", (2, 2), 77), 3)

    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == (77, 77, 77)


@pytest.mark.parametrize(("width", "height"), [(30, 29), (60, 110), (256, 100), (255, 257), (400, 300), (300, 1000)])
def test_resizing_is_scikit_images_on_smooth_pictures(width, height):
    image = smooth_picture(width, height)

    assert np.abs(prepared(image, 256) - reference(image, 256)).mean() < 1 / 255


def test_resizing_is_scikit_images_on_real_signs(gtsrb_root):
    source = GTSRBSource(gtsrb_root, download=False)

    for index in range(len(source)):
        image = source.read(index)
        assert np.abs(prepared(image, 256) - reference(image, 256)).mean() < 1 / 255, source.name(index)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sides", [(5, 9), (9, 5), (1, 7), (8, 8), (40, 30)])
def test_to_size_gives_the_size_and_keeps_the_mode(sides, fit, mode):
    image = to_size(Image.new(mode, sides, "white"), 8, fit)

    assert image.size == (8, 8)
    assert image.mode == mode
    assert np.asarray(image).min() == 255  # nothing dark comes in at the edges


def test_a_picture_of_the_right_size_is_not_touched():
    image = random_picture(8, 8)

    assert to_size(image, 8, "stretch") is image
    assert to_size(image, 8, "crop") is image


def test_crop_cuts_both_sides_of_a_wide_picture():
    # six columns, of which the middle four remain
    image = Image.fromarray(np.tile(np.array([0, 10, 20, 30, 40, 50], dtype=np.uint8), (4, 1)))

    assert columns(to_size(image, 4, "crop")) == [10, 20, 30, 40]
    assert columns(to_size(image, 4, "stretch")) != [10, 20, 30, 40]


def test_crop_cuts_top_and_bottom_of_a_high_picture():
    image = Image.fromarray(np.tile(np.array([[0], [10], [20], [30], [40], [50]], dtype=np.uint8), 4))

    cropped = to_size(image, 4, "crop")

    assert columns(cropped.transpose(Image.Transpose.TRANSPOSE)) == [10, 20, 30, 40]


@pytest.mark.parametrize("side", [20, 90])
def test_crop_keeps_the_aspect_and_the_centre(side):
    # a square of 12 x 12 in the middle of 60 x 36: a third of the height, so a third of the output
    image = Image.new("L", (60, 36))
    image.paste(255, (24, 12, 36, 24))

    cropped = np.asarray(to_size(image, side, "crop")) / 255
    stretched = np.asarray(to_size(image, side, "stretch")) / 255

    middle = side // 2
    assert cropped[middle].sum() == pytest.approx(side / 3, abs=0.5)
    assert cropped[:, middle].sum() == pytest.approx(side / 3, abs=0.5)
    assert np.array_equal(cropped, cropped[:, ::-1])
    assert stretched[middle].sum() == pytest.approx(side / 5, abs=0.5)
    assert stretched[:, middle].sum() == pytest.approx(side / 3, abs=0.5)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_to_tensor_is_contiguous_uint8_with_channels_first(mode, channels):
    image = Image.new(mode, (5, 3))
    image.putpixel((4, 1), 255 if mode == "L" else (1, 2, 3))

    tensor = to_tensor(image)

    assert tensor.shape == (channels, 3, 5)
    assert tensor.dtype == torch.uint8
    assert tensor.is_contiguous()
    assert tensor[:, 1, 4].tolist() == ([255] if mode == "L" else [1, 2, 3])
    tensor += 1  # its own memory, not the picture's
    assert image.getpixel((0, 0)) in (0, (0, 0, 0))

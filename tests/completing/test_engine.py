"""Pictures of every kind, mode and size: the hole is filled, and nothing else is touched."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.completing.engine import Engine
from imcomp.completing.views import STRATEGIES, Training
from imcomp.errors import InputError

TRAINING = Training(size=32, multiple=4, channels=3, stretch=True, thickness=(8, 8))
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
DEEP = ["I", "F", "I;16", "I;16B"]


class Painter:
    """Fills holes with one shade; notes what it is shown."""

    def __init__(self, shade=0.5):
        self.shade = shade
        self.shown = []

    def __call__(self, pictures, holes):
        assert pictures.dtype == np.float32
        assert pictures.shape[0] == holes.shape[0] >= 1
        assert pictures.shape[2:] == holes.shape[2:]
        assert not pictures[np.broadcast_to(holes, pictures.shape)].any()
        assert holes.any(axis=(1, 2, 3)).all()
        self.shown.append((pictures, holes))
        return np.where(holes, np.float32(self.shade), pictures)


def engine(shade=0.5, **changes):
    return Engine(Painter(shade), Training(**{**vars(TRAINING), **changes}))


def noise(mode, size=(40, 30), seed=0):
    """A picture whose every sample is random."""
    rng = np.random.default_rng(seed)
    width, height = size
    if mode in DEEP:
        values = rng.integers(0, 65536, (height, width))
        dtype = {"I": np.int32, "F": np.float32, "I;16": np.uint16, "I;16B": ">u2"}[mode]
        return Image.frombytes(mode, size, values.astype(dtype).tobytes())
    bands = len(Image.new(mode, (1, 1)).getbands())
    row = -(-width // 8) if mode == "1" else width * bands
    picture = Image.frombytes(mode, size, rng.integers(0, 256, (height, row), dtype=np.uint8).tobytes())
    if mode in {"P", "PA"}:
        picture.putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return picture


def hole_in(image, box=(15, 10, 23, 18)):
    mask = Image.new("L", image.size)
    mask.paste(255, box)
    return mask


def samples(image):
    return np.asarray(image)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", [*MODES, *DEEP])
def test_known_samples_stay_in_every_mode(mode, channels, strategy):
    image = noise(mode)
    before = samples(image).copy()
    mask = hole_in(image)
    completed = engine(channels=channels).complete(image, mask, strategy)
    assert (completed.mode, completed.size) == (image.mode, image.size)
    hole = np.asarray(mask) > 0
    assert np.array_equal(samples(completed)[~hole], before[~hole])
    assert not np.array_equal(samples(completed)[hole], before[hole])
    assert np.array_equal(samples(image), before)


@pytest.mark.parametrize(
    ("mode", "filled"),
    [
        ("1", True),
        ("L", 128),
        ("LA", [128, 255]),
        ("La", [128, 255]),
        ("RGB", [128] * 3),
        ("RGBA", [128, 128, 128, 255]),
        ("RGBa", [128, 128, 128, 255]),
        ("CMYK", [127, 127, 127, 0]),
        ("YCbCr", [128, 128, 128]),
        ("HSV", [0, 0, 128]),
        ("I;16", 32768),
        ("I", 32768),
        ("F", 32767.5),
    ],
)
def test_half_grey_in_each_modes_own_numbers(mode, filled):
    image = noise(mode)
    completed = engine(0.5).complete(image, hole_in(image), "original")
    assert samples(completed)[12, 18].tolist() == pytest.approx(filled, abs=1e-2)


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_a_palette_gives_its_nearest_opaque_colour(mode):
    image = Image.new(mode, (40, 30), 0)
    image.putpalette([0, 0, 0, 120, 120, 120, 128, 128, 128, 255, 255, 255])
    if mode == "P":
        image.info["transparency"] = 2
    completed = engine(0.5).complete(image, hole_in(image))
    assert samples(completed)[12, 18].tolist() == (1 if mode == "P" else [2, 255])


@pytest.mark.parametrize(("mode", "key", "filled"), [("L", 128, 127), ("RGB", (128,) * 3, [128, 128, 127])])
def test_the_fill_is_never_the_colour_that_is_transparent(mode, key, filled):
    image = Image.new(mode, (40, 30))
    image.info["transparency"] = key
    assert samples(engine(0.5).complete(image, hole_in(image)))[12, 18].tolist() == filled


def test_transparent_pixels_are_shown_white():
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    painted = engine()
    completed = painted.complete(image, hole_in(image))
    ((picture, hole),) = painted.network.shown
    assert (picture[0, 0][~hole[0, 0]] == 1).all()
    assert completed.getpixel((0, 0)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("numbers", "white"), [([0, 1], 1), ([0.5, 200], 255), ([0, 60000], 65535), ([-50.0, 150.0], 150)]
)
def test_the_range_of_floating_point(numbers, white):
    image = Image.new("F", (40, 30), numbers[1])
    image.putpixel((0, 0), numbers[0])
    completed = engine(1.0).complete(image, hole_in(image))
    assert completed.getpixel((18, 12)) == white


def test_what_is_no_number_is_missing_and_stays():
    image = np.full((30, 40), 100, np.float32)
    image[2, 2], image[12, 18], image[12, 19] = np.nan, np.nan, np.inf
    painted = engine(0.25)
    completed = painted.complete(image, hole_in(Image.new("L", (40, 30))))
    assert np.isnan(completed[2, 2])
    assert completed[12, 18] == completed[12, 19] == 0.25 * 255
    assert all(np.isfinite(picture).all() for picture, _ in painted.network.shown)


def test_metadata_comes_along():
    image = noise("RGB")
    image.info |= {"icc_profile": b"profile", "dpi": (300, 300), "comment": "a sign"}
    exif = image.getexif()
    exif[0x010E] = "described"
    image.info["exif"] = exif.tobytes()
    completed = engine().complete(image, hole_in(image))
    assert completed.info == image.info
    assert completed.getexif()[0x010E] == "described"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_upright_picture(orientation):
    from PIL import ImageOps

    image = noise("L")
    exif = Image.Exif()
    exif[274] = orientation
    image.info["exif"] = exif.tobytes()
    upright = ImageOps.exif_transpose(image)
    mask = hole_in(upright, (2, 3, 9, 8))
    if orientation < 5:
        mask = hole_in(image, (2, 3, 9, 8))  # of the same size: as the pixels are stored
        expected = np.asarray(mask) > 0
    else:
        marked = Image.new("L", image.size)
        marked.info["exif"] = exif.tobytes()
        expected = None
    completed = engine(0.5).complete(image, mask)
    changed = np.asarray(completed) != np.asarray(image)
    if expected is None:
        shown = ImageOps.exif_transpose(completed)
        changed = np.asarray(shown) != np.asarray(upright)
        expected = np.asarray(mask) > 0
    assert not (changed & ~expected).any()
    assert changed.sum() > 30


DTYPES = [np.bool_, np.uint8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 2), (30, 40, 3), (30, 40, 4)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays(dtype, shape):
    white = 1 if np.dtype(dtype).kind in "bf" else 65535 if dtype in (np.uint16, np.int32) else 255
    array = (np.random.default_rng(0).random(shape) * white).round(3).astype(dtype)
    array.flat[:2] = 0, white
    hole = np.zeros((30, 40), bool)
    hole[10:18, 15:23] = True
    completed = engine(0.5, channels=1).complete(array, hole)
    assert (completed.dtype, completed.shape) == (array.dtype, array.shape)
    assert np.array_equal(completed[~hole], array[~hole])
    middle = completed.reshape(30, 40, -1)[12, 18].astype(float)
    colours = middle[: 3 if len(middle) > 2 else 1]
    assert colours == pytest.approx(np.full(len(colours), 0.5 * white), abs=0.5)
    assert middle[-1] == (white if shape[2:] in {(2,), (4,)} else colours[-1])


@pytest.mark.parametrize("shape", [(30, 40), (1, 30, 40), (3, 30, 40), (4, 30, 40), (2, 3, 30, 40), (0, 3, 30, 40)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_tensors(dtype, shape):
    torch.manual_seed(0)
    tensor = torch.rand(shape)
    tensor = (tensor * 255).byte() if dtype == torch.uint8 else tensor.to(dtype)
    hole = torch.zeros(30, 40)
    hole[10:18, 15:23] = 1
    completed = engine(0.5).complete(tensor, hole)
    assert (completed.dtype, completed.shape, completed.device) == (tensor.dtype, tensor.shape, tensor.device)
    assert torch.equal(completed[..., hole == 0], tensor[..., hole == 0])
    if completed.numel():
        assert float(completed[..., 12, 18].flatten()[0]) == (128 if dtype == torch.uint8 else 0.5)


def test_a_batch_with_a_mask_each():
    tensor = torch.zeros(2, 1, 32, 32)
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, 0, 3, 4] = masks[1, 0, 5, 6] = 1
    completed = engine(1.0).complete(tensor, masks)
    assert completed.nonzero().tolist() == [[0, 0, 3, 4], [1, 0, 5, 6]]
    arrays = engine(1.0).complete(tensor.numpy().transpose(0, 2, 3, 1), masks[:, 0].numpy())
    assert np.argwhere(arrays).tolist() == [[0, 3, 4, 0], [1, 5, 6, 0]]
    with pytest.raises(InputError, match="there are 2 masks for 3 pictures; give one for each"):
        engine().complete(torch.zeros(3, 1, 32, 32), masks)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("a.png", "the picture is a str; give a PIL image, a NumPy array or a tensor"),
        (None, "the picture is a NoneType"),
        (np.zeros((3, 30, 40)), r"shape \(3, 30, 40\); give numbers of shape .* \(a tensor is \(C, H, W\)\)"),
        (np.zeros((30, 40), complex), "an array of complex128"),
        (np.zeros((30, 40), object), "an array of object"),
        (np.zeros(30), "give numbers of shape"),
        (torch.zeros(5, 30, 40), r"a tensor of torch.float32 and shape \(5, 30, 40\)"),
        (torch.zeros(30, 40, dtype=torch.complex64), "a tensor of torch.complex64"),
    ],
)
def test_what_is_no_picture(image, words):
    with pytest.raises(InputError, match=words):
        engine().complete(image, np.zeros((30, 40), bool))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 200), (32, 32), (90, 70), (300, 200)])
@pytest.mark.parametrize("box", ["none", "whole", "corner", "rim", "thin", "two"])
def test_holes_of_every_shape(strategy, size, box):
    image = Image.new("L", size, 200)
    width, height = size
    hole = np.zeros((height, width), bool)
    if box == "whole":
        hole[:] = True
    elif box == "corner":
        hole[-8:, -8:] = True
    elif box == "rim":
        hole[:1] = hole[:, -2:] = True
    elif box == "thin":
        hole[height // 2] = True
    elif box == "two":
        hole[0, 0] = hole[-1, -1] = True
    completed = np.asarray(engine(0.0).complete(image, hole, strategy))
    assert (completed[hole] < 200).all()
    assert (completed[~hole] == 200).all()


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("size", [(32, 32), (90, 70), (300, 200)])
def test_what_is_under_the_hole_is_not_seen(strategy, size):
    class Mean(Painter):
        def __call__(self, pictures, holes):
            super().__call__(pictures, holes)
            return np.where(holes, pictures.mean(axis=(1, 2, 3), keepdims=True), pictures)

    image = noise("RGB", size)
    mask = hole_in(image, (5, 6, size[0] // 2, size[1] // 2))
    other = Image.composite(noise("RGB", size, seed=1), image, mask)
    one, two = (Engine(Mean(), TRAINING).complete(each, mask, strategy) for each in (image, other))
    assert one == two


def test_it_says_once_that_channels_differ(caplog):
    grey = engine(channels=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            grey.complete(noise("RGB"), hole_in(noise("RGB")))
        grey.complete(noise("L"), hole_in(noise("L")))
    assert caplog.messages == ["a grey network completes the channels of a colour picture one by one"]
    caplog.clear()
    engine(channels=3).complete(noise("L"), hole_in(noise("L")))
    assert ["colour network completes a grey picture" in message for message in caplog.messages] == [True]


def test_an_unknown_strategy_is_told():
    with pytest.raises(InputError, match=r"^strategy=crp is unknown; did you mean crop\?$"):
        engine().complete(noise("L"), hole_in(noise("L")), "crp")


def test_views_of_one_size_are_computed_together():
    painted = engine()
    images = [noise("L", size) for size in ((32, 32), (20, 25), (31, 9))]
    painted.complete_images(images, [hole_in(image, (3, 3, 8, 8)) for image in images], "auto")
    assert [len(pictures) for pictures, _ in painted.network.shown] == [3]

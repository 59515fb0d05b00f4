"""Files read with their own samples and metadata."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imcomp.data.pictures import UnreadablePicture
from imcomp.data.stored import read_size, read_stored


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_modes_and_samples_stay(tmp_path, mode):
    image = Image.effect_noise((7, 5), 60).convert(mode)
    image.save(tmp_path / "a.png")
    stored = read_stored(tmp_path / "a.png")
    assert stored.mode == mode
    assert np.array_equal(np.asarray(stored), np.asarray(image))
    assert read_size(tmp_path / "a.png") == (7, 5)


def test_it_is_upright_and_says_so(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("L", (7, 5)).save(tmp_path / "a.jpg", exif=exif)
    stored = read_stored(tmp_path / "a.jpg")
    assert (stored.size, stored.getexif().get(274)) == ((5, 7), None)
    assert read_size(tmp_path / "a.jpg") == (7, 5)


def test_colour_of_16_bits_is_refused(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(13))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(UnreadablePicture, match="16 bits a channel in colour or with alpha, of which Pillow keeps 8"):
        read_stored(tmp_path / "a.png")


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_whether_there_are_more_frames_is_known_when_the_file_is_closed(tmp_path, form):
    frames = [Image.new("L", (7, 5), shade) for shade in (10, 200)]
    frames[0].save(tmp_path / "a", form, save_all=True, append_images=frames[1:])
    stored = read_stored(tmp_path / "a")
    assert stored.is_animated
    assert set(np.asarray(stored.convert("L")).flat) == {10}

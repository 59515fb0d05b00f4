"""Dirty picture files: read exactly, or refused with a reason."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imcomp
from imcomp.data.pictures import (
    BadPicture,
    UnreadablePicture,
    check_pictures,
    find_names,
    find_pictures,
    read_picture,
    to_grey_or_rgb,
    write_bad_report,
)

# pytest puts its own filters of warnings in place of those that the module sets on import
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def pixels(image: Image.Image) -> list[Any]:
    """The rows of an ``L`` or ``RGB`` picture."""
    rows: list[Any] = np.asarray(image).tolist()
    return rows


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes = b"", *, key: bytes = b"") -> bytes:
    """A PNG of kinds that Pillow cannot write; ``rows`` with a filter byte each."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    middle = chunk(b"tRNS", key) if key else b""
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(values: list[int], *, tag: int, old: int, new: int) -> bytes:
    """A TIFF of one row of 16-bit grey, in which one short tag is changed from ``old`` to ``new``."""
    data = encoded(Image.fromarray(np.array([values], dtype=np.uint16)), "TIFF")
    before, after = (struct.pack("<HHIH", tag, 3, 1, value) for value in (old, new))
    assert data.count(before) == 1
    return data.replace(before, after)


def read(folder: Path, data: bytes, **options: Any) -> Image.Image:
    file = folder / "picture"
    file.write_bytes(data)
    return read_picture(file, **options)


def reason(folder: Path, data: bytes, **options: Any) -> str:
    with pytest.raises(UnreadablePicture) as caught:
        read(folder, data, **options)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert str(folder) not in text
    return text


@pytest.fixture
def noise() -> Image.Image:
    """20 x 24 pixels that hold each byte, 10 and 13 among them, several times."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))


class TestFind:
    def test_sorts_by_relative_path_and_knows_every_extension(self, tmp_path: Path) -> None:
        names = ["b.PNG", "a/z.jpeg", "a/c.ppm", "a b.tif", "a\nb.webp", "ä.gif", "x.y.bmp", "three-d.mpo"]
        others = [
            "notes.txt",
            "a.pdf",
            "a.svg",
            "a.eps",
            "video.mpg",
            "png",
            ".hidden.png",
            "._b.png",
            ".git/a.png",
        ]
        for name in names + others:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
        assert found == sorted(names)

    def test_enters_a_folder_with_a_pictures_name(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").mkdir()
        (tmp_path / "x.png" / "y.png").touch()
        assert find_pictures(tmp_path) == [tmp_path / "x.png" / "y.png"]

    def test_follows_links_but_not_in_circles(self, tmp_path: Path) -> None:
        (tmp_path / "root" / "real").mkdir(parents=True)
        (tmp_path / "outside").mkdir()
        for name in ["root/real/a.png", "outside/b.png", "c.png"]:
            (tmp_path / name).touch()
        root = tmp_path / "root"
        (root / "file.png").symlink_to(tmp_path / "c.png")
        (root / "again").symlink_to(root / "real")  # sorts before "real", yet the real name wins
        (root / "real" / "up").symlink_to(root)
        (root / "there").symlink_to(tmp_path / "outside")
        (root / "self.png").symlink_to(root / "self.png")
        found = [path.relative_to(root).as_posix() for path in find_pictures(root)]
        assert found == ["file.png", "real/a.png", "self.png", "there/b.png"]

    def test_leaves_out_a_locked_folder_and_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "locked").mkdir()
        (tmp_path / "a.png").touch()
        scandir = os.scandir

        def refuse(folder: Path) -> Any:
            if folder.name == "locked":
                raise PermissionError(13, "Permission denied")
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", refuse)
        assert find_pictures(tmp_path) == [tmp_path / "a.png"]
        assert "locked" in caplog.text
        assert "Permission denied" in caplog.text

    def test_says_what_is_wrong_with_the_root(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no picture folder .*missing"):
            find_pictures(tmp_path / "missing")
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match="is a file; give the folder"):
            find_pictures(tmp_path / "file")


class TestModes:
    """Each kind of pixel, against values told in advance."""

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            (Image.new("1", (1, 1), 1), [[255]]),
            (Image.new("L", (1, 1), 7), [[7]]),
            (Image.new("LA", (1, 1), (0, 255)), [[0]]),
            (Image.new("LA", (1, 1), (0, 0)), [[255]]),
            (Image.new("LA", (1, 1), (0, 128)), [[127]]),
            (Image.new("RGB", (1, 1), (1, 2, 3)), [[[1, 2, 3]]]),
            (Image.new("RGBA", (1, 1), (255, 0, 0, 255)), [[RED]]),
            (Image.new("RGBA", (1, 1), (255, 0, 0, 0)), [[WHITE]]),
            (Image.new("RGBA", (1, 1), (255, 0, 0, 128)), [[[255, 127, 127]]]),
            (Image.new("RGBX", (1, 1), (1, 2, 3, 0)), [[[1, 2, 3]]]),
            (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), [[RED]]),
            (Image.new("YCbCr", (1, 1), (128, 128, 128)), [[[128, 128, 128]]]),
            (Image.new("HSV", (1, 1), (0, 255, 255)), [[RED]]),
            (Image.new("I;16", (1, 1), 257 * 7), [[7]]),
            (Image.new("I;16", (1, 1), 65535), [[255]]),
            (Image.new("I;16B", (1, 1), 257 * 7), [[7]]),
            (Image.new("F", (1, 1), 1.0), [[255]]),
            (Image.new("F", (1, 1), 0.2), [[51]]),
            (Image.new("F", (1, 1), 7.4), [[7]]),
        ],
        ids=lambda value: f"{value.mode}{value.getpixel((0, 0))}" if isinstance(value, Image.Image) else "",
    )
    def test_in_memory(self, image: Image.Image, expected: list[Any]) -> None:
        result = to_grey_or_rgb(image)
        assert result.mode == ("RGB" if isinstance(expected[0][0], list) else "L")
        assert pixels(result) == expected

    @pytest.mark.parametrize("values", [[0.0, 255.5], [-0.1, 1.0], [0.0, np.nan], [0.0, np.inf]])
    def test_floats_outside_the_rule_are_refused(self, values: list[float]) -> None:
        with pytest.raises(UnreadablePicture, match=r"expected \[0, 1\] or \[0, 255\]"):
            to_grey_or_rgb(Image.fromarray(np.array([values], dtype=np.float32)))

    @pytest.mark.parametrize(
        ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})]
    )
    def test_grey_of_16_bits_is_scaled_and_not_clipped(
        self, tmp_path: Path, kind: str, options: dict[str, str]
    ) -> None:
        image = Image.fromarray(np.array([[0, 257 * 7, 256 * 128, 65535]], dtype=np.uint16))
        result = read(tmp_path, encoded(image, kind, **options))
        assert result.mode == "L"
        assert pixels(result) == [[0, 7, 128, 255]]

    def test_netpbm_of_any_depth_is_scaled(self, tmp_path: Path) -> None:
        assert pixels(read(tmp_path, b"P5 3 1 15\n\x00\x01\x0f")) == [[0, 17, 255]]
        assert pixels(read(tmp_path, b"P5 2 1 1023\n\x00\x00\x03\xff")) == [[0, 255]]
        assert pixels(read(tmp_path, b"P2 3 1 15\n0 1 15\n")) == [[0, 17, 255]]
        assert pixels(read(tmp_path, b"P6 1 1 65535\n\x00\x00\xff\xff\x00\x00")) == [[GREEN]]
        assert pixels(read(tmp_path, b"P4 2 1\n\x40")) == [[255, 0]]  # a set bit is black

    def test_tiff_of_12_bits_has_its_own_white(self, tmp_path: Path) -> None:
        data = tiff16([0, 0], tag=258, old=16, new=12)
        packed = b"\xff\xf0\x00"  # 4095, 0
        assert pixels(read(tmp_path, data[:-4] + packed)) == [[255, 0]]

    def test_tiff_of_16_bits_whose_white_is_zero(self, tmp_path: Path) -> None:
        assert pixels(read(tmp_path, tiff16([0, 65535], tag=262, old=1, new=0))) == [[255, 0]]

    def test_integers_of_32_bits_are_refused(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 70_000]], dtype=np.int32))
        assert "32 bits" in reason(tmp_path, encoded(image, "TIFF"))

    def test_float_tiff(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 0.2, 1]], dtype=np.float32))
        assert pixels(read(tmp_path, encoded(image, "TIFF"))) == [[0, 51, 255]]

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (png(1, 1, 16, 2, b"\0" + bytes([7, 7, 8, 8, 9, 9])), [[[7, 8, 9]]]),
            (png(2, 1, 16, 4, b"\0" + bytes([7, 7, 255, 255, 7, 7, 0, 0])), [[7, 255]]),
            (png(2, 1, 8, 0, b"\0\7\10", key=b"\0\7"), [[255, 8]]),
            (png(2, 1, 1, 0, b"\0\x40", key=b"\0\0"), [[255, 255]]),
            (png(2, 1, 16, 0, b"\0\7\7\10\10", key=b"\7\7"), [[255, 8]]),
            (png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", key=b"\0\1\0\2\0\3"), [[WHITE, [4, 5, 6]]]),
        ],
        ids=["rgb16", "grey16-alpha", "grey8-key", "1-bit-key", "grey16-key", "rgb8-key"],
    )
    def test_rare_png(self, tmp_path: Path, data: bytes, expected: list[Any]) -> None:
        result = read(tmp_path, data)
        assert result.mode == ("RGB" if isinstance(expected[0][0], list) else "L")
        assert pixels(result) == expected

    @pytest.mark.parametrize(
        "data",
        [png(4, 1, 2, 0, b"\0\x1b", key=b"\0\1"), png(1, 1, 16, 2, bytes(7), key=bytes(6))],
        ids=["grey2", "rgb16"],
    )
    def test_transparent_colours_that_pillow_misreads_are_refused(self, tmp_path: Path, data: bytes) -> None:
        assert "transparent colour" in reason(tmp_path, data)

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette_with_and_without_transparency(self, tmp_path: Path, kind: str) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette(RED + BLUE)
        image.putpixel((1, 0), 1)
        assert pixels(read(tmp_path, encoded(image, kind))) == [[RED, BLUE]]
        assert pixels(read(tmp_path, encoded(image, kind, transparency=1))) == [[RED, WHITE]]

    def test_cmyk_jpeg_is_not_inverted(self, tmp_path: Path) -> None:
        # as Adobe does it, Pillow stores CMYK inverted in JPEG
        result = read(tmp_path, encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
        assert result.mode == "RGB"
        assert np.abs(np.asarray(result, dtype=int) - RED).max() <= 2

    def test_lab_tiff(self, tmp_path: Path) -> None:
        pytest.importorskip("PIL._imagingcms", reason="Pillow without LittleCMS")
        result = read(tmp_path, encoded(Image.new("LAB", (1, 1), (255, 128, 128)), "TIFF"))
        assert np.abs(np.asarray(result, dtype=int) - WHITE).max() <= 1

    def test_a_transparent_colour_does_not_outlive_reading(self, tmp_path: Path) -> None:
        result = read(tmp_path, png(2, 1, 8, 0, b"\0\7\10", key=b"\0\7"))
        assert result.info == {}


class TestFrames:
    @pytest.mark.parametrize(
        ("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
    )
    def test_first_frame_of_many(self, tmp_path: Path, kind: str, options: dict[str, bool]) -> None:
        red, blue = Image.new("RGB", (2, 1), "red"), Image.new("RGB", (2, 1), "blue")
        data = encoded(red, kind, save_all=True, append_images=[blue], **options)
        assert pixels(read(tmp_path, data)) == [[RED, RED]]

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [
            (1, [[1, 2]]),
            (2, [[2, 1]]),
            (3, [[2, 1]]),
            (4, [[1, 2]]),
            (5, [[1], [2]]),
            (6, [[1], [2]]),  # shown turned clockwise: the left pixel comes to the top
            (7, [[2], [1]]),
            (8, [[2], [1]]),
        ],
    )
    @pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
    def test_exif_orientation(
        self, tmp_path: Path, orientation: int, expected: list[Any], kind: str, options: dict[str, str]
    ) -> None:
        image = Image.fromarray(np.array([[1, 2]], dtype=np.uint8))
        exif = Image.Exif()
        exif[274] = orientation
        assert pixels(read(tmp_path, encoded(image, kind, exif=exif, **options))) == expected

    def test_unknown_orientation_leaves_the_picture_as_it_is(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[274] = 99
        assert read(tmp_path, encoded(Image.new("L", (2, 1)), "PNG", exif=exif)).size == (2, 1)

    def test_damaged_exif_leaves_the_picture_as_it_is(self, tmp_path: Path) -> None:
        data = encoded(Image.new("L", (8, 16), 7), "JPEG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff\x01")
        assert read(tmp_path, data).size == (8, 16)

    def test_one_pixel(self, tmp_path: Path) -> None:
        assert pixels(read(tmp_path, encoded(Image.new("RGB", (1, 1), "red"), "PNG"))) == [[RED]]


class TestCarriageReturns:
    """Netpbm files that a text tool has touched."""

    HEAD, PIXELS = b"P6\n# made by hand\n2 1\n255\n", bytes([1, 2, 3, 4, 5, 6])

    def test_pillow_alone_reads_shifted_colours(self) -> None:
        data = self.HEAD.replace(b"\n", b"\r\n") + self.PIXELS
        with Image.open(io.BytesIO(data)) as image:
            assert pixels(image) == [[[10, 1, 2], [3, 4, 5]]]

    def test_header_alone_converted(self, tmp_path: Path) -> None:
        data = self.HEAD.replace(b"\n", b"\r\n") + self.PIXELS
        assert pixels(read(tmp_path, data)) == [[[1, 2, 3], [4, 5, 6]]]

    def test_header_alone_converted_while_pixels_hold_line_ends(self, tmp_path: Path) -> None:
        data = self.HEAD.replace(b"\n", b"\r\n") + b"\n\r\n\r\r\n"
        assert pixels(read(tmp_path, data)) == [[[10, 13, 10], [13, 13, 10]]]

    def test_all_converted_is_undone_exactly(self, tmp_path: Path) -> None:
        data = (self.HEAD + bytes([10, 13, 3, 10, 10, 6])).replace(b"\n", b"\r\n")
        assert pixels(read(tmp_path, data)) == [[[10, 13, 3], [10, 10, 6]]]

    @pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "F"])
    def test_every_kind_is_undone(self, tmp_path: Path, noise: Image.Image, mode: str) -> None:
        image = noise.convert("L").convert(mode) if mode != "RGB" else noise
        if mode == "F":
            image = image.point(lambda value: value * (1 / 255))
        data = encoded(image, "PPM")
        assert pixels(read(tmp_path, data.replace(b"\n", b"\r\n"))) == pixels(read(tmp_path, data))

    def test_pixels_whose_own_pairs_cannot_be_told_apart_are_refused(self, tmp_path: Path) -> None:
        # git adds no CR where one stands already: pairs 2, surplus 1
        data = self.HEAD.replace(b"\n", b"\r\n") + bytes([13, 10, 3, 13, 10, 5, 6])
        assert "7 bytes of pixel data, expected 6: line ends were converted" in reason(tmp_path, data)

    def test_the_opposite_conversion_shortens_and_is_refused(self, tmp_path: Path) -> None:
        data = self.HEAD + bytes([1, 13, 10, 4, 5, 6])
        assert reason(tmp_path, data.replace(b"\r\n", b"\n")) == "truncated after 83% of the pixel data"

    def test_converted_and_truncated(self, tmp_path: Path) -> None:
        data = self.HEAD.replace(b"\n", b"\r\n") + self.PIXELS[:3]
        assert reason(tmp_path, data) == "truncated after 50% of the pixel data"

    def test_converted_twice_is_refused(self, tmp_path: Path) -> None:
        assert "line ends" in reason(tmp_path, self.HEAD.replace(b"\n", b"\r\r\n") + self.PIXELS)

    @pytest.mark.parametrize("space", [b" ", b"\t", b"\r", b"\n"])
    def test_healthy_files_stay_as_they_are(self, tmp_path: Path, space: bytes) -> None:
        data = space.join([b"P6", b"2", b"1", b"255", bytes([10, 13, 10, 4, 5, 6])])
        assert pixels(read(tmp_path, data)) == [[[10, 13, 10], [4, 5, 6]]]

    def test_plain_files_do_not_care(self, tmp_path: Path) -> None:
        assert pixels(read(tmp_path, b"P3\r\n# text\r\n1 1\r\n255\r\n1\r\n2\r\n3\r\n")) == [[[1, 2, 3]]]


class TestRefusals:
    def test_empty(self, tmp_path: Path) -> None:
        assert reason(tmp_path, b"") == "file is empty"

    @pytest.mark.parametrize(
        "data",
        [
            b"hello, I am no picture",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%PDF-1.7\n",
            b"%!PS-Adobe-3.0 EPSF",
        ],
        ids=["text", "svg", "pdf", "eps"],
    )
    def test_other_formats_show_how_they_begin(self, tmp_path: Path, data: bytes) -> None:
        assert f"begins with {data[:16]!r}" in reason(tmp_path, data)

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {}),
            ("PPM", {}),
            ("BMP", {}),
            ("GIF", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("WEBP", {}),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
    )
    def test_a_truncated_file_is_refused_or_whole(
        self, tmp_path: Path, noise: Image.Image, kind: str, options: dict[str, Any]
    ) -> None:
        data = encoded(noise, kind, **options)
        whole = pixels(read(tmp_path, data))
        assert reason(tmp_path, data[: len(data) * 6 // 10])
        for length in [*range(1, len(data), len(data) // 40), *range(len(data) - 14, len(data))]:
            try:  # a file may lack its end mark alone
                assert pixels(read(tmp_path, data[:length])) == whole
            except UnreadablePicture as error:
                assert "\n" not in str(error)  # noqa: PT017

    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_truncation_is_called_so(self, tmp_path: Path, noise: Image.Image, kind: str) -> None:
        data = encoded(noise, kind)
        assert reason(tmp_path, data[:-100]).startswith("truncated, the file ends before")

    def test_truncated_netpbm_says_where(self, tmp_path: Path) -> None:
        assert reason(tmp_path, b"P5 10 1 255\n" + bytes(6)) == "truncated after 60% of the pixel data"
        assert "damaged netpbm header" in reason(tmp_path, b"P5 10")

    @pytest.mark.parametrize("kind", ["PNG", "PPM"])
    def test_more_than_max_pixels(self, tmp_path: Path, kind: str) -> None:
        data = encoded(Image.new("L", (10, 10)), kind)
        assert read(tmp_path, data, max_pixels=100).size == (10, 10)
        assert reason(tmp_path, data, max_pixels=99) == "10 x 10, 0.0 megapixels, more than max_pixels=99"

    def test_bombs(self, tmp_path: Path) -> None:
        huge = "20000 x 12500, 250.0 megapixels, more than max_pixels="
        assert reason(tmp_path, b"P5 20000 12500 255\n").startswith(huge)
        assert "250000000 pixels" in reason(tmp_path, png(20_000, 12_500, 8, 0), max_pixels=10**9)

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadablePicture, match="is a folder"):
            read_picture(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_pipe_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x.png")
        with pytest.raises(UnreadablePicture, match="is a pipe"):
            read_picture(tmp_path / "x.png")

    def test_missing_and_broken_link(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadablePicture, match=r"^file does not exist$"):
            read_picture(tmp_path / "x.png")
        (tmp_path / "x.png").symlink_to(tmp_path / "gone.png")
        with pytest.raises(UnreadablePicture, match=r"^is a link to a file that does not exist$"):
            read_picture(tmp_path / "x.png")

    def test_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").symlink_to(tmp_path / "x.png")
        with pytest.raises(UnreadablePicture, match="symbolic link"):
            read_picture(tmp_path / "x.png")

    def test_permission_denied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path, *_: Any) -> Any:
            raise PermissionError(13, "Permission denied", str(path))

        (tmp_path / "x.png").write_bytes(b"x")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(UnreadablePicture, match=r"^permission denied$"):
            read_picture(tmp_path / "x.png")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_permission_denied_for_real(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(b"x")
        (tmp_path / "x.png").chmod(0)
        with pytest.raises(UnreadablePicture, match=r"^permission denied$"):
            read_picture(tmp_path / "x.png")

    @pytest.mark.parametrize("error", [MemoryError(), struct.error("short"), RecursionError(), AssertionError()])
    def test_whatever_a_decoder_raises(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(Image, "open", fail)
        assert reason(tmp_path, b"x").startswith(("damaged: ", "not enough memory"))

    def test_the_error_survives_a_worker_process(self) -> None:
        sent = pickle.dumps(UnreadablePicture("file is empty"))
        assert str(pickle.loads(sent)) == "file is empty"  # noqa: S301 - our own

    def test_nothing_is_printed(self, tmp_path: Path, noise: Image.Image) -> None:
        bomb = tmp_path / "bomb.png"  # 100 megapixels, where Pillow warns
        bomb.write_bytes(png(10_000, 10_000, 8, 0))
        damaged = tmp_path / "exif.jpg"  # Pillow warns of corrupt EXIF data
        damaged.write_bytes(encoded(noise, "JPEG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff\x01"))
        code = (
            "import sys; from pathlib import Path; from imcomp.data.pictures import check_pictures\n"
            "print(*[picture.path for picture in check_pictures(Path(), sys.argv[1:], workers=2)])"
        )
        run = subprocess.run(
            [sys.executable, "-W", "always", "-c", code, bomb, damaged],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(imcomp.__file__).parents[1],
        )
        assert (run.stdout.strip(), run.stderr) == (str(bomb), "")


class TestCheck:
    @pytest.mark.parametrize("workers", [0, 1, 3])
    def test_keeps_the_order_and_names_the_bad(self, tmp_path: Path, workers: int) -> None:
        paths = [tmp_path / f"{number:02}.png" for number in range(40)]
        for path in paths:
            path.write_bytes(encoded(Image.new("L", (2, 2)), "PNG"))
        paths[3].write_bytes(b"")
        paths[30].unlink()  # vanished since it was listed
        bad = check_pictures(tmp_path, [path.name for path in paths], workers=workers)
        assert bad == [BadPicture(paths[3], "file is empty"), BadPicture(paths[30], "file does not exist")]

    def test_nothing_to_check(self, tmp_path: Path) -> None:
        assert check_pictures(tmp_path, [], workers=2) == []

    def test_max_pixels_reaches_the_reader(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (2, 2)), "PNG"))
        assert check_pictures(tmp_path, ["a.png"], workers=1, max_pixels=3)
        assert not check_pictures(tmp_path, ["a.png"], workers=1, max_pixels=4)

    def test_bar_on_a_terminal_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.png").write_bytes(encoded(Image.new("L", (1, 1)), "PNG"))
        many = ["a.png"] * 300
        check_pictures(tmp_path, many, workers=2)
        assert capsys.readouterr() == ("", "")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert check_pictures(tmp_path, many, workers=2) == []
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "Checking pictures" in shown.err

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        try:
            (tmp_path / "\udcff.png").write_bytes(encoded(Image.new("L", (1, 1)), "PNG"))
        except (OSError, UnicodeError):
            pytest.skip("this file system takes text only")
        assert len(find_names(tmp_path)) == 1
        assert check_pictures(tmp_path, find_names(tmp_path), workers=1) == []


class TestReport:
    def test_table(self, tmp_path: Path) -> None:
        bad = [
            BadPicture(Path("a b/ä.png"), "file is empty"),
            BadPicture(Path("tab\there\nline\rreturn.png"), "damaged: b'\\x00'"),
            BadPicture(Path("\udcff.png"), "truncated"),
        ]
        report = tmp_path / "new" / "bad.tsv"
        write_bad_report(bad, report)
        assert report.read_text(encoding="utf-8").split("\n") == [
            "path\treason",
            "a b/ä.png\tfile is empty",
            r"tab\there\nline\rreturn.png" + "\t" + r"damaged: b'\\x00'",
            r"\udcff.png" + "\ttruncated",
            "",
        ]
        assert [path.name for path in report.parent.iterdir()] == ["bad.tsv"]

    def test_a_failure_leaves_the_old_report_and_no_debris(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        report = tmp_path / "bad.tsv"
        report.write_text("old")

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            write_bad_report([], report)
        assert report.read_text() == "old"
        assert list(tmp_path.iterdir()) == [report]

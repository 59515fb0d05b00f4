"""A file of decoded pictures: one read gives a picture, with nothing to decode."""

import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Pictures, uint8 (C, H, W) each, one after the other; then (N, 2) int32, height and width of each; then this footer:
# a mark, channels, pictures, bytes of all pictures. At the end, as a writer knows sizes only when it is through.
_FOOTER = struct.Struct("<8s3Q")
_MARK = b"imcomp\0\1"
_SIZES = np.dtype("<i4")


class DamagedFile(ValueError):  # noqa: N818 - as UnreadablePicture: what the file is, no defect of the program
    """Not such a file, or not all of it."""


def file_bytes(count: int, channels: int, size: int) -> int:
    """How long the file of so many pictures of ``size`` x ``size`` pixels is."""
    return count * (channels * size * size + 2 * _SIZES.itemsize) + _FOOTER.size


def write_pictures(file: BinaryIO, channels: int, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Write pictures, batch by batch.

    Args:
        file: empty, and open for writing.
        channels: of all pictures.
        batches: uint8 of any shape, pictures of ``(C, H, W)`` one after the other; ``(B, 2)``, their heights and
            widths.
    """
    total, sizes = 0, [np.empty((0, 2), _SIZES)]
    for pixels, shapes in batches:
        total += file.write(pixels.numpy().data)
        sizes.append(shapes.numpy().astype(_SIZES))
    table = np.concatenate(sizes)
    file.write(table.tobytes())
    file.write(_FOOTER.pack(_MARK, channels, len(table), total))
    file.flush()


class PictureFile:
    """Decoded pictures by number.

    Reads with calls of its own rather than from a memory map: what the system keeps of the file in memory then never
    counts as this process's, and a page that is not there costs no fault. The file stays open, so that on POSIX it
    can be deleted while it is in use; processes share it by forking, and open it anew where they are spawned.

    Args:
        path: what `write_pictures` wrote.

    Raises:
        DamagedFile: the file is not whole.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        length = os.fstat(self._file.fileno()).st_size
        if length < _FOOTER.size:
            self._refuse("cut short")
        mark, self.channels, count, total = _FOOTER.unpack(self._bytes(length - _FOOTER.size, _FOOTER.size))
        table = 2 * _SIZES.itemsize * count
        if mark != _MARK or length != total + table + _FOOTER.size:
            self._refuse("cut short, or no file of decoded pictures")
        self._sizes = np.frombuffer(self._bytes(total, table), _SIZES).reshape(count, 2)
        ends = np.cumsum(self._sizes.prod(axis=1, dtype=np.int64) * self.channels)
        self._starts = np.concatenate([[0], ends])
        if self._starts[-1] != total:
            self._refuse("the sizes of its pictures do not add up")
        alike = count > 0 and bool((self._sizes == self._sizes[0]).all())
        self.shape: tuple[int, int, int] | None = (self.channels, *map(int, self._sizes[0])) if alike else None
        """Of all pictures, ``(C, H, W)``; None where they differ."""

    def __len__(self) -> int:
        return len(self._sizes)

    def fileno(self) -> int:
        """The open file's descriptor."""
        return self._file.fileno()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def read(self, index: int) -> Image.Image:
        """One picture: mode `L` or `RGB`."""
        height, width = map(int, self._sizes[index])
        array = np.empty((self.channels, height, width), np.uint8)
        self._read_into(array, int(self._starts[index]))
        return Image.fromarray(array[0] if self.channels == 1 else array.transpose(1, 2, 0))

    def gather(self, indices: Sequence[int]) -> Tensor:
        """Pictures of one ``shape``, ``(B, C, H, W)`` uint8."""
        assert self.shape is not None
        pictures = torch.empty(len(indices), *self.shape, dtype=torch.uint8)
        for array, index in zip(pictures.numpy(), indices, strict=True):
            self._read_into(array, int(self._starts[index]))
        return pictures

    def _bytes(self, start: int, length: int) -> bytes:
        array = np.empty(length, np.uint8)
        self._read_into(array, start)
        return array.tobytes()

    def _read_into(self, array: np.ndarray[Any, np.dtype[np.uint8]], start: int) -> None:
        if hasattr(os, "preadv"):  # leaves the position alone, which forked processes share
            got = os.preadv(self._file.fileno(), [array.data], start)
        else:
            self._file.seek(start)
            got = self._file.readinto(array.data) or 0
        if got != array.nbytes:
            self._refuse(f"{got} of {array.nbytes} bytes at {start}")

    def _refuse(self, why: str) -> NoReturn:
        self._file.close()
        raise DamagedFile(f"{self.path}: {why}")

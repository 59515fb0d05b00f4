"""LitData's files: what a chunk and its index hold, written by LitData's own writer and read by number."""

import json
import os
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from imcomp.errors import InputError

# A chunk holds uint32 items; uint32 offsets of each item and of the end; the items. An item is a tuple
# (number, picture, name) of LitData's formats int, bytes or numpy, bytes: uint32 lengths of the three, then they. An
# array of LitData's has a head of uint32: type, dimensions and the length of each.
_LENGTHS = struct.Struct("<3I")
_NUMBER = struct.Struct("<q")
_ARRAY_HEAD = 4 * (2 + 3)

_MARK_EVERY = 2.0  # seconds
_NO_BOUND = 1 << 31  # of pictures in a chunk: whoever writes it knows how many


class Item(NamedTuple):
    """What is packed of one picture.

    Attributes:
        number: in the source that was packed; its holes depend on it.
        picture: the file's bytes, or the pixels in LitData's form of an array.
        name: in UTF-8.
    """

    number: int
    picture: bytes
    name: bytes

    @property
    def pixels(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Those of an array, one after the other."""
        return np.frombuffer(bytearray(self.picture), np.uint8, offset=_ARRAY_HEAD)


class ChunkFile:
    """A file of pictures. Reads with calls of its own, not from a map: a page that is not there costs no fault.

    Args:
        path: the file, which stays open.
        pictures: how many it should hold.

    Raises:
        InputError: it holds another number, ends too early, or is damaged.
    """

    def __init__(self, path: Path, pictures: int) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._marked = 0.0
        (count,) = struct.unpack("<I", self._bytes(0, 4))
        if count != pictures:
            raise InputError(f"{path} holds {count:,} pictures, {pictures:,} by the manifest; copy it again")
        self._offsets = np.frombuffer(self._bytes(4, 4 * (count + 1)), "<u4")
        if (np.diff(self._offsets.astype(np.int64)) < _LENGTHS.size + _NUMBER.size).any():
            raise self._damaged("its table of pictures is not in order")

    def item(self, within: int) -> Item:
        """The picture at a place in the file."""
        start, end = int(self._offsets[within]), int(self._offsets[within + 1])
        data = self._bytes(start, end - start)
        number_length, picture, name = _LENGTHS.unpack_from(data)
        if number_length != _NUMBER.size or _LENGTHS.size + number_length + picture + name != len(data):
            raise self._damaged("a picture of it has other lengths than it says")
        at = _LENGTHS.size + _NUMBER.size
        (number,) = _NUMBER.unpack_from(data, _LENGTHS.size)
        return Item(number, data[at : at + picture], data[at + picture : at + picture + name])

    def mark_used(self) -> None:
        """Tell whoever deletes old files, now and then, that this one is in use."""
        now = time.monotonic()
        if now - self._marked > _MARK_EVERY:
            self._marked = now
            with suppress(OSError):  # another's, to read only; or deleted meanwhile
                os.utime(self.path)

    def is_deleted(self) -> bool:
        """Whether the file has no name any more; its room on the disk is free when it is closed."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def _damaged(self, why: str) -> InputError:
        return InputError(f"{self.path} is damaged: {why}; copy it again, or pack anew")

    def _bytes(self, start: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            data = os.pread(self._file.fileno(), length, start)
        else:
            self._file.seek(start)
            data = self._file.read(length) or b""
        if len(data) != length:
            raise InputError(f"{self.path} ends after {start + len(data):,} bytes, in the middle; copy it again")
        return data


def write_chunk(path: Path, items: Iterable[tuple[int, Any, bytes]]) -> dict[str, Any]:
    """Write a chunk of items (number, picture as bytes or array, name) with LitData's writer.

    Args:
        path: the file, which is not there yet.
        items: at least one.

    Returns:
        LitData's config of such chunks, for `index_text`.
    """
    from litdata.streaming.writer import BinaryWriter

    with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        writer = BinaryWriter(folder, chunk_size=_NO_BOUND)
        for place, item in enumerate(items):
            writer[place] = item
        (written,) = writer.done()
        Path(written).replace(path)
        config: dict[str, Any] = writer.get_config()
    return config


def index_text(config: dict[str, Any], chunks: Sequence[tuple[str, int, int]], version: str) -> str:
    """LitData's ``index.json``.

    Args:
        config: of all chunks.
        chunks: name, pictures and bytes of each file.
        version: another one when any of them differs; LitData keeps its cached chunks apart by it.
    """
    entries = [
        {"chunk_bytes": length, "chunk_size": pictures, "dim": None, "filename": name}
        for name, pictures, length in chunks
    ]
    return json.dumps({"chunks": entries, "config": config, "updated_at": version}, sort_keys=True) + "\n"

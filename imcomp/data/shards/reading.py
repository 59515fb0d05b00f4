"""Packed pictures by number: what reads LitData's shards, one picture at a time and in any order."""

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imcomp.data.pictures import UnreadablePicture, decode_picture
from imcomp.data.shards.chunks import ChunkFile, Item
from imcomp.data.shards.manifest import NAME, Manifest, Shard, parse_manifest
from imcomp.data.shards.store import ShardStore, needed_bytes
from imcomp.data.splits import Part
from imcomp.data.transforms import Fit
from imcomp.errors import InputError


class ShardSource:
    """The pictures that ``scripts/pack.py`` packed, of all parts: those that train first, then val, then test.

    Args:
        root: the packed folder, or its address: ``s3://``, ``gs://``, ``http://`` or ``https://``.
        shuffle_shards: a process reads from so many shards at a time, in random order; more is a better shuffle, and
            more to fetch before the first batch.
        endpoint: address of an S3 server other than Amazon's.
        anonymous: read a public bucket without credentials.
        cache_dir: keeps shards that are fetched from an address.
        cache_gb: bound of what it keeps, in 10**9 bytes.

    Raises:
        InputError: there are no shards, they cannot be reached, or ``cache_gb`` is too little to train with.
    """

    def __init__(
        self,
        root: str,
        shuffle_shards: int = 8,
        endpoint: str | None = None,
        anonymous: bool = False,  # noqa: FBT001, FBT002  # set by keyword, from a config
        cache_dir: str | Path | None = None,
        cache_gb: float = 20,
    ) -> None:
        if shuffle_shards < 1:
            raise InputError(f"data.shuffle_shards={shuffle_shards} is no number of shards; give at least 1")
        self.root = root
        self.shuffle_shards = shuffle_shards
        self.store = ShardStore(
            root, Path(cache_dir) if cache_dir else None, cache_gb, endpoint=endpoint, anonymous=anonymous
        )
        self.manifest = read_manifest(self.store)
        self.split: dict[Part, range] = self.manifest.split_ranges()
        counts = [shard.pictures for shard in self.manifest.shards]
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._open: OrderedDict[int, ChunkFile] = OrderedDict()
        if self.store.remote:
            processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            needed = needed_bytes(self.manifest.shards, shuffle_shards, processes)
            if needed > self.store.bound:
                raise InputError(
                    f"data.cache_gb={cache_gb:g} is too little for data.shuffle_shards={shuffle_shards} of these"
                    f" shards; give data.cache_gb={needed / 1e9:.3g} or more, or fewer data.shuffle_shards"
                )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def check(self, channels: int, size: int, fit: Fit) -> None:
        """Refuse shards of resized pictures that are not as they are wanted.

        Raises:
            InputError: they were packed in another form.
        """
        packed = self.manifest
        if packed.form == "resized" and (packed.channels, packed.size, packed.fit) != (channels, size, fit):
            raise InputError(
                f"{self.root} holds pictures resized to data.channels={packed.channels} data.size={packed.size}"
                f" data.fit={packed.fit}; give the same, or pack with form=encoded for all sizes"
            )

    def read(self, index: int) -> Image.Image:
        """Decode a picture: mode `L` or `RGB`, at the size it was packed in."""
        item = self.item(index)
        if self.manifest.form == "resized":
            array = self.pixels(item)
            return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
        return self.decode(item)

    def item(self, index: int) -> Item:
        """What is packed of a picture."""
        place, within = self._place(index)
        return self._shard(place).item(within)

    def decode(self, item: Item) -> Image.Image:
        """Decode an encoded picture."""
        try:
            return decode_picture(item.picture)
        except UnreadablePicture as error:
            raise InputError(
                f"picture {_name(item)} in {self.root}: {error}; check the shards with pack verify=..., or pack anew"
            ) from error

    def pixels(self, item: Item) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A resized picture: uint8 ``(C, H, W)``."""
        channels, size = self.manifest.channels, self.manifest.size
        assert channels is not None
        assert size is not None
        return item.pixels.reshape(channels, size, size)

    def name(self, index: int) -> str:
        """The name that it had in the source that was packed."""
        return _name(self.item(index))

    def group(self, index: int) -> str:
        """The group that it had there."""
        place, within = self._place(index)
        return _groups(self.store, self.manifest.shards[place])[within]

    def fingerprint(self) -> str:
        """The manifest's digest."""
        return f"shards {self.manifest.digest}"

    def prefetch(self, places: Iterable[int]) -> None:
        """Fetch shards that will be read soon, meanwhile."""
        self.store.prefetch(self.manifest, [self.manifest.shards[place] for place in places])

    def places(self, indices: Sequence[int]) -> set[int]:
        """The shards that hold these pictures, as places in the manifest."""
        return set((np.searchsorted(self.starts, indices, side="right") - 1).tolist())

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        place = int(np.searchsorted(self.starts, index, side="right")) - 1
        return place, index - int(self.starts[place])

    def _shard(self, place: int) -> ChunkFile:
        found = self._open.get(place)
        if found is None:
            self._close_old()
            shard = self.manifest.shards[place]
            found = self._open[place] = ChunkFile(self.store.provide(self.manifest, shard), shard.pictures)
        self._open.move_to_end(place)
        found.mark_used()
        return found

    def _close_old(self) -> None:
        """Close what is no longer read, and what the store has deleted, so that its room on the disk is free."""
        for place in [place for place, shard in self._open.items() if shard.is_deleted()]:
            self._open.pop(place).close()
        while len(self._open) > self.shuffle_shards:
            self._open.popitem(last=False)[1].close()


def read_manifest(store: ShardStore) -> Manifest:
    """Read what a packed folder holds.

    Raises:
        InputError: it holds no shards, or not all of them yet, or cannot be reached.
    """
    where = f"{store.root.rstrip('/')}/{NAME}"
    try:
        text = store.read_text(NAME)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"no shards in {store.root}: there is no {NAME}; give data.root=PATH of a folder that scripts/pack.py has"
            " packed to its end"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no manifest of shards ({error}); give another data.root=PATH") from error
    return parse_manifest(text, where)


def _name(item: Item) -> str:
    return item.name.decode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)
def _groups(store: ShardStore, shard: Shard) -> list[str]:
    try:
        groups: list[str] = json.loads(store.read_text(shard.names_file))["groups"]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{store.root}/{shard.names_file} is missing or damaged; copy it again") from error
    return groups

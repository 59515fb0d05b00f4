"""What a packed folder holds: the shards of each part with their checksums, and what they were made of."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from imcomp.data.splits import Part
from imcomp.errors import InputError

NAME = "manifest.json"
"""The manifest's file, in the packed folder."""

FORMAT = 1
"""Counted up when a reader of the old one would be wrong."""

Form = Literal["encoded", "resized"]
FORMS: tuple[Form, ...] = get_args(Form)
PARTS: tuple[Part, ...] = get_args(Part)

# whoever wrote the manifest may be a stranger: no file outside of the folder
_FILE = re.compile(rf"(?:{'|'.join(PARTS)})/\d{{5,}}\.bin")


@dataclass(frozen=True)
class Shard:
    """One file of pictures.

    Attributes:
        file: relative to the packed folder, such as `train/00012.bin`.
        pictures: how many.
        bytes: its length.
        sha256: of all of it, in hexadecimal.
    """

    file: str
    pictures: int
    bytes: int
    sha256: str

    @property
    def names_file(self) -> str:
        """The file beside it with the names and groups of its pictures."""
        return self.file.removesuffix(".bin") + ".json"


@dataclass(frozen=True)
class Manifest:
    """All shards, in the order in which their pictures are numbered, and how they were made.

    Attributes:
        form: `encoded`, the files as they were; `resized`, uint8 ``(C, H, W)``.
        channels: of resized pictures; None for encoded ones.
        size: pixels of each side, the same.
        fit: how they came to that size, the same.
        source: where the pictures are from, a key of ``SOURCES``.
        split: how they were split, with which fractions and seed.
        plan: digest of all that decides on the shards' bytes.
        parts: the shards of `train`, `val` and `test`; a part without pictures has none.
        left_out: path and reason of each file that could not be read.
    """

    form: Form
    channels: int | None
    size: int | None
    fit: str | None
    source: str
    split: Mapping[str, Any]
    plan: str
    parts: Mapping[Part, tuple[Shard, ...]]
    left_out: tuple[tuple[str, str], ...] = ()

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Of all parts, one after the other."""
        return tuple(shard for part in PARTS for shard in self.parts[part])

    @property
    def pictures(self) -> int:
        """In all."""
        return sum(shard.pictures for shard in self.shards)

    @cached_property
    def digest(self) -> str:
        """Names the pictures: another one when any of their bytes, or their order, differs."""
        return hashlib.sha256("".join(shard.sha256 for shard in self.shards).encode()).hexdigest()[:32]

    def split_ranges(self) -> dict[Part, range]:
        """The numbers of each part's pictures."""
        ranges, start = {}, 0
        for part in PARTS:
            count = sum(shard.pictures for shard in self.parts[part])
            ranges[part] = range(start, start + count)
            start += count
        return ranges

    def to_json(self) -> str:
        """JSON text; a reader of the file finds the totals first."""
        totals = {part: sum(shard.pictures for shard in self.parts[part]) for part in PARTS}
        head = {"format": FORMAT, "digest": self.digest, "pictures": totals}
        return json.dumps({**head, **asdict(self)}, indent=1) + "\n"


def parse_manifest(text: str, where: str) -> Manifest:
    """Read what `Manifest.to_json` wrote.

    Args:
        text: the file's.
        where: the file, for the error.

    Raises:
        InputError: it is no such file, or one of another version.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != FORMAT:
            raise InputError(f"{where} is of another version of imcomp; pack the pictures again")
        digest, _ = values.pop("digest"), values.pop("pictures")
        parts = {part: tuple(Shard(**shard) for shard in values["parts"][part]) for part in PARTS}
        left_out = tuple((str(path), str(reason)) for path, reason in values["left_out"])
        manifest = Manifest(**{**values, "parts": parts, "left_out": left_out})
        strays = [shard.file for shard in manifest.shards if not _FILE.fullmatch(shard.file)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise _refuse(where, str(error)) from error
    if strays or manifest.digest != digest or manifest.form not in FORMS:
        raise _refuse(where, f"{strays[0]!r} is no name of a shard" if strays else "its digest is not its shards'")
    return manifest


def _refuse(where: str, why: str) -> InputError:
    return InputError(f"{where} is damaged, or no manifest of shards ({why}); copy it again or pack anew")

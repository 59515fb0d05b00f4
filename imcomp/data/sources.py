"""Where pictures come from. A source hands out pictures by number and knows each one's name and group."""

import io
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any, Protocol, get_args

from PIL import Image

from imcomp.data.folders import FolderSource, GTSRBSource
from imcomp.data.pictures import BadPicture
from imcomp.data.shards.reading import ShardSource
from imcomp.data.splits import Part
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError


class Source(Protocol):
    """Pictures by number, 0 to ``len(source) - 1``, always in the same order."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Image.Image:
        """Decode a picture: mode `L` or `RGB`, at its own size."""
        ...

    def name(self, index: int) -> str:
        """Name a picture for people and for files: a relative path with ``/``."""
        ...

    def group(self, index: int) -> str:
        """Name what must not be split apart, such as all frames of one physical sign."""
        ...

    def fingerprint(self) -> str:
        """Name what is in the pictures: another text when any of them may have changed, in this run or a later one.

        A source may go without this method; its pictures are then decoded each time they are read.
        """
        ...

    # and, where it decides on them, `part(index) -> Part | None` and `rate(index) -> float`, see `MixedSource`


class MixedSource:
    """Several sources, one after the other.

    Args:
        sources: options of `build_source` for each, with its name as ``source``. ``use`` says what for: `split` (the
            default) divides its pictures among the parts, `train`, `val` or `test` gives them all to one. ``weight``
            (default 1) says how often its pictures come in training: those of the highest weight once in each epoch,
            of half that weight every second one, in each epoch others.
        root: a source's own ``root`` is below it, unless that is absolute; GTSRB's may be left out, and is this one.
        cache_dir: as for `FolderSource`.

    Raises:
        InputError: no sources, a source that is split already, a use or a weight that there is not, pictures that would
            train and validate, or what a source refuses.
    """

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]],
        root: str | Path | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if not sources:
            raise InputError("data.sources is empty; give a list such as [{source: folder, root: A}, {source: gtsrb}]")
        self._sources: list[Source] = []
        self._uses: list[Part | None] = []
        weights = []
        for place, given in enumerate(sources):
            where = f"data.sources[{place}]"
            if not isinstance(given, Mapping):
                raise InputError(f"{where}={given} is no source; give options such as {{source: folder, root: A}}")
            options = dict(given)
            weight, use, name = options.pop("weight", 1), options.pop("use", "split"), options.pop("source", None)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise InputError(f"{where}.weight={weight} is no weight; give a number above 0")
            if use not in ("split", *get_args(Part)):
                raise InputError(f"{where}.use={use} is unknown; choose from split, {', '.join(get_args(Part))}")
            if name in _WHOLE:
                choices = ", ".join(sorted(SOURCES.keys() - _WHOLE))
                raise InputError(f"{where}.source={name} has a split of its own; choose from {choices}")
            if root is not None and ("root" in options or name == "gtsrb"):
                options["root"] = Path(root) / options.get("root", "")
            try:
                self._sources.append(build_source(name, options, cache_dir))
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            weights.append(weight)
            self._uses.append(None if use == "split" else use)
        self._check_overlap()
        trained = [use in (None, "train") for use in self._uses]
        highest = max((weight for weight, trains in zip(weights, trained, strict=True) if trains), default=1)
        self._rates = [weight / highest if trains else 1 for weight, trains in zip(weights, trained, strict=True)]
        self._ends = [*accumulate(map(len, self._sources))]
        self.bad = [picture for source in self._sources for picture in left_out(source)]
        if all(hasattr(source, "fingerprint") for source in self._sources):
            self.fingerprint = self._fingerprint

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, index: int) -> Image.Image:
        """Decode a picture: mode `L` or `RGB`, at its own size."""
        place, own = self._locate(index)
        return self._sources[place].read(own)

    def encoded(self, index: int) -> bytes:
        """As `encoded` gives it of the picture's own source."""
        place, own = self._locate(index)
        return encoded(self._sources[place], own)

    def name(self, index: int) -> str:
        """The source's place in the list, and the picture's name in it."""
        place, own = self._locate(index)
        return f"{place}/{self._sources[place].name(own)}"

    def group(self, index: int) -> str:
        """The source's place in the list, and the picture's group in it."""
        place, own = self._locate(index)
        return f"{place}/{self._sources[place].group(own)}"

    def part(self, index: int) -> Part | None:
        """The part that a picture is given to; None for one that is to be split."""
        return self._uses[self._locate(index)[0]]

    def rate(self, index: int) -> float:
        """In what share of epochs a picture is trained on, above 0 and at most 1."""
        return self._rates[self._locate(index)[0]]

    def _check_overlap(self) -> None:
        """The same picture must not be trained on in one source and validated on in another."""
        roots = [source.root.resolve() if isinstance(source, FolderSource) else None for source in self._sources]
        for (one, first), (other, second) in combinations(enumerate(roots), 2):
            uses = {self._uses[one], self._uses[other]}
            if first is None or second is None or (len(uses) == 1 and None not in uses):
                continue
            if first.is_relative_to(second) or second.is_relative_to(first):
                inner = second if second.is_relative_to(first) else first
                raise InputError(
                    f"data.sources[{one}] and data.sources[{other}] both hold the pictures of {inner}, and some would"
                    " train and validate; give other folders"
                )

    def _fingerprint(self) -> str:
        return json.dumps([source.fingerprint() for source in self._sources])

    def _locate(self, index: int) -> tuple[int, int]:
        place = bisect_right(self._ends, index)
        return place, index - (self._ends[place - 1] if place else 0)


_WHOLE = {"mixed", "stream"}  # have a split of their own, and are no part of a mixture

SOURCES: dict[str, Callable[..., Source]] = {
    "folder": FolderSource,
    "gtsrb": GTSRBSource,
    "mixed": MixedSource,
    "stream": ShardSource,
    "synthetic": SyntheticSource,
}


def build_source(
    name: str, options: Mapping[str, Any], cache_dir: str | Path | None = None, cache_gb: float = 20
) -> Source:
    """Build a registered source.

    Args:
        name: a key of ``SOURCES``.
        options: its keywords.
        cache_dir: where a source of files remembers which of them could be read, and one of shards keeps those that
            come from afar; None for nowhere.
        cache_gb: bound of such shards, in 10**9 bytes.

    Raises:
        InputError: an unknown name, or options that the source does not take or refuses.
    """
    if name not in SOURCES:
        raise InputError(f"unknown source {name!r}; choose from {', '.join(sorted(SOURCES))}")
    kind = SOURCES[name]
    if cache_dir is not None and isinstance(kind, type) and issubclass(kind, (FolderSource, MixedSource)):
        options = {**options, "cache_dir": cache_dir}
    if kind is ShardSource:
        options = {**options, "cache_dir": cache_dir, "cache_gb": cache_gb}
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"data source {name!r}: {error}") from error


def encoded(source: Source, index: int) -> bytes:
    """A picture as a file's bytes: the source's own file, or a PNG where it has none.

    Raises:
        OSError: the file is gone.
    """
    if isinstance(source, (FolderSource, MixedSource)):
        return source.encoded(index)
    file = io.BytesIO()
    source.read(index).save(file, "PNG")
    return file.getvalue()


def left_out(source: Source) -> Sequence[BadPicture]:
    """The unreadable files that a source left out; empty for sources without files."""
    bad: Sequence[BadPicture] = getattr(source, "bad", ())
    return bad

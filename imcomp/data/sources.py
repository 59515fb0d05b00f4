"""Where pictures come from. A source hands out pictures by number and knows each one's name and group."""

import hashlib
import io
import json
import logging
import math
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, get_args

import PIL
from PIL import Image

from imcomp.data.pictures import DEFAULT_MAX_PIXELS, BadPicture, check_pictures, find_names, read_picture
from imcomp.data.shards.reading import ShardSource
from imcomp.data.splits import Part
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError
from imcomp.files import remove_leftovers, write_text

log = logging.getLogger(__name__)


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


class FolderSource:
    """Every readable picture in a folder tree, sorted by path.

    All files are decoded once to find the unreadable ones; those are left out, listed in ``bad`` and named in
    the log. With ``cache_dir`` the result is remembered, and as long as no file changes only those that could not be
    read are tried again.

    Args:
        root: the folder.
        group_regex: matched (``re.search``) against each relative path; its capture groups, or else the whole
            match, name the picture's group. Empty: each picture is its own group.
        max_bad_fraction: largest share of unreadable files to go on with, in [0, 1].
        max_pixels: larger pictures count as unreadable.
        workers: threads that check the files.
        cache_dir: the folder to remember in which files could be read.

    Raises:
        InputError: no folder, no readable picture in it, too many unreadable ones, or a wrong
            ``group_regex``.
    """

    def __init__(
        self,
        root: str | Path,
        group_regex: str = "",
        max_bad_fraction: float = 0.05,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        workers: int = min(os.cpu_count() or 1, 8),
        cache_dir: str | Path | None = None,
    ) -> None:
        self.root = Path(root)
        self.max_pixels = max_pixels
        try:
            self._pattern = re.compile(group_regex)
        except re.error as error:
            raise InputError(f"data.group_regex {group_regex!r} is not a regular expression: {error}") from error
        try:
            found = find_names(self.root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{error}: data.root=PATH") from error
        if not found:
            raise InputError(f"no picture file anywhere in {self.root}; give another folder: data.root=PATH")
        self._stamp = _stamp(self.root, found)
        self.bad = self._check(found, workers, Path(cache_dir) / "checks" if cache_dir else None)
        self._check_bad(len(found), max_bad_fraction)
        unreadable = {bad.path for bad in self.bad}
        # text alone: a path object for each of very many files takes several times the memory
        self._names = [name for name in found if self.root / name not in unreadable] if unreadable else found
        if group_regex:
            self._check_groups()

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> Image.Image:
        """Decode a picture: mode `L` or `RGB`, at its own size."""
        return read_picture(self.root / self._names[index], max_pixels=self.max_pixels)

    def encoded(self, index: int) -> bytes:
        """The file as it is."""
        return (self.root / self._names[index]).read_bytes()

    def name(self, index: int) -> str:
        """The path below the root."""
        return self._names[index]

    def group(self, index: int) -> str:
        """What ``group_regex`` finds in the path, or the path itself."""
        name = self.name(index)
        match = self._pattern.search(name) if self._pattern.pattern else None
        if match is None:
            return name
        return "/".join(part or "" for part in match.groups()) if any(match.groups()) else match.group()

    def fingerprint(self) -> str:
        """Name, size and times of every file found, and which of them are left out."""
        left_out = [bad.path.relative_to(self.root).as_posix() for bad in self.bad]
        return json.dumps([self._stamp, left_out])

    def _check(self, names: list[str], workers: int, folder: Path | None) -> list[BadPicture]:
        if folder is None:
            return check_pictures(self.root, names, workers=workers, max_pixels=self.max_pixels)
        remove_leftovers(folder)
        key = json.dumps([PIL.__version__, self.max_pixels, self._stamp])
        memory = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        doubtful = names
        with suppress(OSError, ValueError, TypeError, IndexError):  # nothing remembered, or nothing that can be read
            # a reason may have gone since, such as too little memory
            doubtful = [names[place] for place in json.loads(memory.read_text(encoding="utf-8"))]
        bad = check_pictures(self.root, doubtful, workers=workers, max_pixels=self.max_pixels)
        unreadable = {picture.path for picture in bad}
        if doubtful is names or len(bad) < len(doubtful):
            places = [place for place, name in enumerate(names) if self.root / name in unreadable] if bad else []
            try:
                write_text(memory, json.dumps(places))
            except OSError as error:
                log.warning("the files will be checked again at the next start: %s", error)
        return bad

    def _check_bad(self, found: int, max_bad_fraction: float) -> None:
        if not self.bad:
            return
        examples = "; ".join(f"{bad.path.relative_to(self.root)}: {bad.reason}" for bad in self.bad[:3])
        summary = f"{len(self.bad):,} of {found:,} picture files in {self.root} cannot be read ({examples}"
        summary += "; ...)" if len(self.bad) > 3 else ")"
        if len(self.bad) == found:
            raise InputError(f"{summary}; no picture is left: give another folder with data.root=PATH")
        if len(self.bad) / found > max_bad_fraction:
            raise InputError(
                f"{summary}, more than data.max_bad_fraction={max_bad_fraction:g}; mend or remove them,"
                " or raise data.max_bad_fraction"
            )
        log.warning("%s; left out", summary)

    def _check_groups(self) -> None:
        unmatched = [name for name in map(self.name, range(len(self))) if not self._pattern.search(name)]
        if unmatched:
            raise InputError(
                f"data.group_regex {self._pattern.pattern!r} does not match {len(unmatched):,} of {len(self):,}"
                f" paths, such as {unmatched[0]!r}; give one that finds the group in every path"
            )


class GTSRBSource(FolderSource):
    """German Traffic Sign Recognition Benchmark: 26,640 training pictures, or 12,630 official test pictures.

    J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel: The German Traffic Sign Recognition Benchmark, IJCNN 2011.
    Fetched and laid out by ``torchvision.datasets.GTSRB``. The training files are named ``<track>_<frame>``: 30
    frames of one physical sign make a track, and a picture's group is its class and track.

    Args:
        root: torchvision's root: the pictures are in ``<root>/gtsrb/GTSRB``.
        part: `train` for the training pictures, `test` for the official test pictures (they have no tracks).
        download: fetch what is not there.
        options: ``max_bad_fraction``, ``max_pixels``, ``workers`` and ``cache_dir`` as for `FolderSource`.

    Raises:
        InputError: not there and not to be downloaded, or as `FolderSource`.
    """

    def __init__(self, root: str | Path, part: str = "train", *, download: bool = True, **options: Any) -> None:
        if part not in _GTSRB_FOLDERS:
            raise InputError(f"unknown part {part!r} of GTSRB; choose from {', '.join(_GTSRB_FOLDERS)}")
        folder = Path(root) / "gtsrb" / "GTSRB" / _GTSRB_FOLDERS[part]
        if not folder.is_dir():
            if not download:
                raise InputError(f"no GTSRB in {folder}; give data.root=PATH, or data.download=true to fetch it")
            _download_gtsrb(Path(root), part)
        super().__init__(folder, group_regex=r"^(\d+)/(\d+)_" if part == "train" else "", **options)


class MixedSource:
    """Several sources, one after the other.

    Args:
        sources: options of `build_source` for each, with its name as ``source``. ``use`` says what for: `split` (the
            default) divides its pictures among the parts, `train`, `val` or `test` gives them all to one. ``weight``
            (default 1) says how often its pictures come in training: those of the highest weight once in each epoch,
            of half that weight every second one, in each epoch others.
        root: a source's own ``root`` is below it, unless that is absolute.
        cache_dir: as for `FolderSource`.

    Raises:
        InputError: no sources, a use or a weight that there is not, or what a source refuses.
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
            options, where = dict(given), f"data.sources[{place}]"
            weight, use, name = options.pop("weight", 1), options.pop("use", "split"), options.pop("source", None)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise InputError(f"{where}.weight={weight} is no weight; give a number above 0")
            if use not in ("split", *get_args(Part)):
                raise InputError(f"{where}.use={use} is unknown; choose from split, {', '.join(get_args(Part))}")
            if root is not None and "root" in options:
                options["root"] = Path(root) / options["root"]
            try:
                self._sources.append(build_source(name, options, cache_dir))
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            weights.append(weight)
            self._uses.append(None if use == "split" else use)
        self._rates = [weight / max(weights) for weight in weights]
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

    def _fingerprint(self) -> str:
        return json.dumps([source.fingerprint() for source in self._sources])

    def _locate(self, index: int) -> tuple[int, int]:
        place = bisect_right(self._ends, index)
        return place, index - (self._ends[place - 1] if place else 0)


_GTSRB_FOLDERS = {"train": "Training", "test": "Final_Test/Images"}


def _stamp(root: Path, names: Sequence[str]) -> str:
    """Digest of the files' names, sizes and times: the time of the last change of the file or of its attributes too."""
    digest = hashlib.sha256()
    for name in names:
        try:
            status = (root / name).stat()
            facts = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        except OSError:  # a broken link, which the check will name
            facts = "gone"
        digest.update(f"{name}\0{facts}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _download_gtsrb(root: Path, part: str) -> None:
    from torchvision.datasets import GTSRB  # imports torchvision, which only a download needs

    log.info("downloading GTSRB to %s", root / "gtsrb")
    try:
        GTSRB(root, split=part, download=True)
    except (OSError, RuntimeError) as error:  # no network, no room, no right to write; a wrong checksum
        raise InputError(
            f"GTSRB is not in {root / 'gtsrb'} and cannot be downloaded ({error}); "
            "give data.root=PATH of a copy, or train on data=synthetic"
        ) from error


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

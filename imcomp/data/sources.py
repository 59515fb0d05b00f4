"""Where pictures come from. A source hands out pictures by number and knows each one's name and group."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from imcomp.data.pictures import DEFAULT_MAX_PIXELS, BadPicture, check_pictures, find_pictures, read_picture
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError

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


class FolderSource:
    """Every readable picture in a folder tree, sorted by path.

    All files are decoded once to find the unreadable ones; those are left out, listed in ``bad`` and named in
    the log.

    Args:
        root: the folder.
        group_regex: matched (``re.search``) against each relative path; its capture groups, or else the whole
            match, name the picture's group. Empty: each picture is its own group.
        max_bad_fraction: largest share of unreadable files to go on with, in [0, 1].
        max_pixels: larger pictures count as unreadable.
        workers: threads that check the files.

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
        workers: int = 2,
    ) -> None:
        self.root = Path(root)
        self.max_pixels = max_pixels
        try:
            self._pattern = re.compile(group_regex)
        except re.error as error:
            raise InputError(f"data.group_regex {group_regex!r} is not a regular expression: {error}") from error
        try:
            found = find_pictures(self.root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{error}: data.root=PATH") from error
        if not found:
            raise InputError(f"no picture file anywhere in {self.root}; give another folder: data.root=PATH")
        good, self.bad = check_pictures(found, workers=workers, max_pixels=max_pixels)
        self._check_bad(len(found), max_bad_fraction)
        self.paths = good
        if group_regex:
            self._check_groups()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Image.Image:
        """Decode a picture: mode `L` or `RGB`, at its own size."""
        return read_picture(self.paths[index], max_pixels=self.max_pixels)

    def name(self, index: int) -> str:
        """The path below the root."""
        return self.paths[index].relative_to(self.root).as_posix()

    def group(self, index: int) -> str:
        """What ``group_regex`` finds in the path, or the path itself."""
        name = self.name(index)
        match = self._pattern.search(name) if self._pattern.pattern else None
        if match is None:
            return name
        return "/".join(part or "" for part in match.groups()) if any(match.groups()) else match.group()

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
        options: ``max_bad_fraction``, ``max_pixels`` and ``workers`` as for `FolderSource`.

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


_GTSRB_FOLDERS = {"train": "Training", "test": "Final_Test/Images"}


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
    "synthetic": SyntheticSource,
}


def build_source(name: str, options: Mapping[str, Any]) -> Source:
    """Build a registered source.

    Raises:
        InputError: an unknown name, or options that the source does not take or refuses.
    """
    if name not in SOURCES:
        raise InputError(f"unknown source {name!r}; choose from {', '.join(sorted(SOURCES))}")
    try:
        return SOURCES[name](**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"data source {name!r}: {error}") from error


def left_out(source: Source) -> Sequence[BadPicture]:
    """The unreadable files that a source left out; empty for sources without files."""
    bad: Sequence[BadPicture] = getattr(source, "bad", ())
    return bad

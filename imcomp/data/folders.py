"""Pictures in a folder tree: the user's own, and GTSRB, fetched where it is not there."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import PIL
from filelock import FileLock
from PIL import Image

from imcomp.data.pictures import DEFAULT_MAX_PIXELS, BadPicture, check_pictures, escaped, find_names, read_picture
from imcomp.errors import InputError
from imcomp.files import remove_leftovers, write_text

log = logging.getLogger(__name__)

_GTSRB_FOLDERS = {"train": "Training", "test": "Final_Test/Images"}


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
        few = [(escaped(bad.path.relative_to(self.root).as_posix()), bad.reason) for bad in self.bad[:3]]
        examples = "; ".join(f"{name}: {reason}" for name, reason in few)
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

    folder = root / "gtsrb" / "GTSRB" / _GTSRB_FOLDERS[part]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # unpacked beside and renamed, so that what a killed run had unpacked is never taken for all of it
        with FileLock(root / ".gtsrb.lock"), TemporaryDirectory(dir=root, prefix=".gtsrb-") as beside:
            if not folder.is_dir():  # else another run fetched it meanwhile
                log.info("downloading GTSRB to %s", root / "gtsrb")
                GTSRB(Path(beside), split=part, download=True)
                (Path(beside) / folder.relative_to(root)).replace(folder)
    except (OSError, RuntimeError) as error:  # no network, no room, no right to write; a wrong checksum
        raise InputError(
            f"GTSRB is not in {root / 'gtsrb'} and cannot be downloaded ({error}); "
            "give data.root=PATH of a copy, or train on data=synthetic"
        ) from error

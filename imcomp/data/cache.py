"""Decoded once, read ever after: a bounded folder of decoded pictures that runs share, or memory."""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import PIL
import torch
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from imcomp.data.decoded import DamagedFile, PictureFile, file_bytes, write_pictures
from imcomp.data.loading import prepare, start_worker, whole_batch
from imcomp.data.pictures import UnreadablePicture, escaped
from imcomp.data.progress import with_bar
from imcomp.data.sources import Source
from imcomp.data.transforms import Fit
from imcomp.errors import InputError
from imcomp.files import atomic

log = logging.getLogger(__name__)

Cache = Literal["off", "ram", "disk"]
CACHES = ("off", "ram", "disk")
CacheAs = Literal["auto", "resized", "native"]
CACHES_AS = ("auto", "resized", "native")

_VERSION = 1  # raise when a file's layout changes, or what `prepare` makes of a picture
_RESERVE = 1_000_000_000  # bytes of disk or memory to leave for everything else
_STEP = 256_000_000  # bytes after which a file whose length is not known in advance asks for more room
_HANDED = 8_000_000  # bytes that a decoding process hands over at once, about


class NoRoom(Exception):  # noqa: N818 - no defect of the program; pictures can be used without being kept
    """Pictures cannot be kept; ``str()`` says why, and what to do."""


@dataclass(frozen=True)
class Kept:
    """All pictures of a source, and in which form they are kept.

    Attributes:
        source: its pictures are kept under their numbers in it, for all parts of a split.
        channels: 1 or 3.
        size: pixels of each side; None for each picture's own.
        fit: how they come to that size.
        workers: processes that decode; 0 for none but this.
    """

    source: Source
    channels: int
    size: int | None
    fit: Fit
    workers: int

    def key(self) -> str | None:
        """What names the file: changes with every picture and every option. None where the source has no name."""
        if not hasattr(self.source, "fingerprint"):
            return None
        form = [self.channels, self.size, self.fit if self.size else None]
        parts = [_VERSION, PIL.__version__, *form, len(self.source), self.source.fingerprint()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def bytes(self) -> int | None:
        """Length of the file; None for pictures of their own sizes, which only decoding tells."""
        return file_bytes(len(self.source), self.channels, self.size) if self.size else None

    def decode(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Decode every picture in order, in parallel, for `write_pictures`."""
        count = len(self.source)
        handed = 4 if self.size is None else max(1, min(64, _HANDED // (self.channels * self.size**2)))
        loader = DataLoader(
            _Decoding(self),
            batch_size=handed,
            num_workers=min(self.workers, count // 100),  # fewer are done before a process has started
            collate_fn=whole_batch,
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # else the loader draws a number from the global one
        )
        return with_bar(loader, "Decoding pictures", count, lambda batch: len(batch[1]))


class _Decoding(Dataset[tuple[Tensor, Tensor]]):
    """Batches as `write_pictures` takes them."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def __len__(self) -> int:
        return len(self.kept.source)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        kept = self.kept
        pictures = [prepare(self._read(index), kept.channels, kept.size, kept.fit) for index in indices]
        return torch.cat([picture.flatten() for picture in pictures]), torch.tensor([p.shape[1:] for p in pictures])

    def _read(self, index: int) -> Image.Image:
        try:
            return self.kept.source.read(index)
        except UnreadablePicture as error:
            raise UnreadablePicture(f"{escaped(self.kept.source.name(index))}: {error}") from error


def open_on_disk(kept: Kept, folder: Path, gigabytes: float, *, build: bool) -> PictureFile | None:
    """Open the pictures' file in ``folder``; where there is none, make it.

    Args:
        kept: the pictures.
        folder: the cache, which runs may share.
        gigabytes: bound of all files in the folder; those that were not used for the longest time are deleted.
        build: False opens what is there and makes nothing.

    Returns:
        None where they cannot be kept, with a line in the log that says why.
    """
    key = kept.key()
    if key is None:
        log.info("pictures are decoded each time they are read: their source has no fingerprint() to keep them by")
        return None
    cache = _Folder(folder, gigabytes)
    try:
        if (found := cache.find(key)) is not None or not build:
            return found
        return cache.build(key, kept)
    except NoRoom as error:
        log.warning("pictures are decoded each time they are read: %s", error)
    except OSError as error:
        log.warning(
            "pictures are decoded each time they are read: they cannot be kept in %s (%s);"
            " give another folder with paths.cache=PATH, or data.cache=off",
            *(folder, error.strerror or error),
        )
    return None


def open_in_memory(kept: Kept, gigabytes: float) -> PictureFile:
    """Decode pictures into memory that this process and its workers share.

    Args:
        kept: the pictures.
        gigabytes: bound of their size.

    Raises:
        InputError: they do not fit, or the system has no files in memory.
    """
    if not hasattr(os, "memfd_create"):
        raise InputError("data.cache=ram needs Linux; give data.cache=disk")
    bound, available = int(gigabytes * 1e9), available_memory() - _RESERVE

    def check(needed: int) -> None:
        if needed > bound:
            raise InputError(
                f"data.cache=ram needs {_gigabytes(needed)}, above data.cache_gb={gigabytes:g};"
                " raise it, or give data.cache=disk"
            )
        if needed > available:
            raise InputError(
                f"data.cache=ram needs {_gigabytes(needed)}, of {_gigabytes(max(available, 0))} that can be"
                " spared; give data.cache=disk or a smaller data.size"
            )

    check(kept.bytes() or 0)
    log.info("decoding %s pictures into memory", f"{len(kept.source):,}")
    with os.fdopen(os.memfd_create("imcomp"), "wb") as file:
        write_pictures(file, kept.channels, _measured(kept.decode(), check))
        decoded = PictureFile(Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"))
    # where processes are spawned they open it by the descriptor that stays open here
    decoded.path = Path(f"/proc/{os.getpid()}/fd/{decoded.fileno()}")
    return decoded


def available_memory() -> int:
    """Bytes that a process can still take, of the machine and of the container that it may run in; Linux only."""
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    available = 1024 * int(re.findall(r"MemAvailable:\s+(\d+)", meminfo)[0])
    group = Path("/sys/fs/cgroup")
    try:
        bound, used = ((group / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        # what the system keeps of files counts as used, and goes when memory is short
        spare = re.findall(r"^inactive_file (\d+)", (group / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
        return min(available, int(bound) - int(used) + int(spare[0]))
    except (OSError, ValueError, IndexError):  # no container, or no bound
        return available


class _Folder:
    """Files named by their keys. Whoever makes one holds its lock; whoever reads one holds nothing.

    A file is deleted while others read it: on POSIX they go on with what they have open, and its room is free when
    the last of them ends; elsewhere deleting an open file fails, and it stays.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder = folder
        self.gigabytes = gigabytes

    def find(self, key: str) -> PictureFile | None:
        """Open a file, and mark it as used now."""
        path = self._path(key)
        try:
            found = PictureFile(path)
        except FileNotFoundError:
            return None
        except DamagedFile as error:
            log.warning("damaged file of decoded pictures, which is made anew: %s", error)
            return None
        try:
            os.utime(path)
        except OSError:
            log.debug("cannot mark %s as used", path)  # another's, to read only
        log.info("pictures come decoded from %s", path)
        return found

    def build(self, key: str, kept: Kept) -> PictureFile:
        """Make a file, or wait for whoever is making it.

        Raises:
            NoRoom: the folder's bound or the disk is too small.
            OSError: the folder cannot be written.
        """
        path, needed = self._path(key), kept.bytes()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(key):
            if (found := self.find(key)) is not None:  # whom we waited for has made it
                return found
            path.unlink(missing_ok=True)  # damaged
            self._make_room(key, needed or 0)
            log.info("decoding %s pictures into %s, once", f"{len(kept.source):,}", path)
            written = 0

            def check(total: int) -> None:
                nonlocal written
                if needed is None and total - written > _STEP:
                    self._make_room(key, total + _STEP, written)
                    written = total

            with ExitStack() as room, atomic(path) as beside:
                with beside.open("wb") as file:
                    file.truncate(needed or 0)  # for others that make a file now and count what is there
                    write_pictures(file, kept.channels, _measured(kept.decode(), check))
                room.enter_context(self._room())  # a file that is renamed meanwhile is not counted
            return PictureFile(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.pictures"

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        lock = FileLock(self._path(key).with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            log.info("another process is decoding the same pictures; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _room(self) -> FileLock:
        """Hold it to count what is there, and to rename."""
        return FileLock(self.folder / "room.lock")

    def _make_room(self, key: str, needed: int, written: int | None = None) -> None:
        """Delete what was not used for the longest time, until a file fits.

        Args:
            key: of the file, which is locked.
            needed: its bytes.
            written: so many of them are on the disk; None before it is begun.
        """
        bound = int(self.gigabytes * 1e9)
        if needed > bound:
            raise NoRoom(
                f"they need {_gigabytes(needed)}, above data.cache_gb={self.gigabytes:g}; raise it, or give"
                " a smaller data.size or data.cache=off"
            )
        with self._room():
            self._remove_leftovers(key, own=written is None)
            others = {}
            for path in self.folder.glob("*.pictures"):
                with suppress(FileNotFoundError):
                    if not path.name.endswith(f".{key}.pictures"):
                        others[path] = path.stat()
            finished = [path for path in others if not path.name.startswith(".")]
            free = shutil.disk_usage(self.folder).free + (written or 0) - _RESERVE
            above = needed + sum(status.st_size for status in others.values()) - bound
            excess = max(above, needed - free)
            if excess > sum(others[path].st_size for path in finished):
                raise NoRoom(
                    f"they need {_gigabytes(needed)}, and {self.folder} has no room for that; free some,"
                    " or give another folder with paths.cache=PATH, or data.cache=off"
                )
            for path in sorted(finished, key=lambda path: others[path].st_mtime):
                if excess <= 0:
                    break
                path.unlink(missing_ok=True)
                excess -= others[path].st_size
                log.info("deleted %s, which was not used for the longest time, to make room", path)

    def _remove_leftovers(self, key: str, *, own: bool) -> None:
        """Remove what killed processes left; ``key`` is locked by us, so that under it nobody else is at work."""
        for beside in self.folder.glob(".*.pictures"):
            other = beside.name.split(".")[-2]
            if other == key:
                if own:
                    beside.unlink(missing_ok=True)
                continue
            try:
                with FileLock(self._path(other).with_suffix(".lock"), blocking=False):
                    beside.unlink(missing_ok=True)
            except Timeout:
                log.debug("%s is being made", beside)


def _measured(
    batches: Iterable[tuple[Tensor, Tensor]], check: Callable[[int], None]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hand batches through, and their bytes so far to ``check``, before each is written."""
    total = 0
    for batch in batches:
        total += batch[0].numel()
        check(total)
        yield batch


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.3g} GB"

"""Shards as local files: a folder's own, or fetched from afar into a bounded folder that processes share."""

import hashlib
import logging
import queue
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imcomp.data.shards.manifest import Manifest, Shard
from imcomp.data.shards.transport import NotThere, fetch, is_remote
from imcomp.errors import InputError
from imcomp.files import atomic, name_beside

log = logging.getLogger(__name__)

_RESERVE = 1_000_000_000  # bytes of disk to leave for everything else
_WAIT = 0.05  # seconds before looking again whether others have made room
_ROOM = ".room"  # ends the name of a file without content that is as long as a shard that is being fetched


class ShardStore:
    """The shards of one packed folder.

    Those of a folder are read where they are. Others are fetched when they are asked for, checked against the
    manifest's checksum and kept in ``<cache_dir>/shards``; those that were not used for the longest time go when the
    bound is reached. Whoever fetches a shard holds its lock, so that each machine fetches it once.

    Args:
        root: folder or address.
        cache_dir: needed for an address.
        gigabytes: bound of the folder of shards, of all data sets, in 10**9 bytes.
        options: of `fetch`.
    """

    def __init__(self, root: str, cache_dir: Path | None = None, gigabytes: float = 20, **options: Any) -> None:
        self.root = root
        self.options = options
        self.bound = int(gigabytes * 1e9)
        self.remote = is_remote(root)
        self.cache = cache_dir / "shards" if cache_dir else None
        if self.remote and self.cache is None:
            raise InputError(f"shards of {root} are kept on disk while they are read; give data.cache=disk")
        self._wanted: queue.SimpleQueue[tuple[Manifest, Shard]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_wanted": None}  # threads stay in their process

    def read_text(self, name: str) -> str:
        """A small file beside the shards.

        Raises:
            FileNotFoundError: it is not there.
            InputError: it cannot be reached.
        """
        if not self.remote:
            return (Path(self.root) / name).read_text(encoding="utf-8")
        import io

        file = io.BytesIO()
        try:
            fetch(self.root, name, file, **self.options)
        except NotThere as error:
            raise FileNotFoundError(str(error)) from error
        return file.getvalue().decode("utf-8")

    def path(self, manifest: Manifest, shard: Shard) -> Path:
        """Where a shard is, or would be."""
        if not self.remote:
            return Path(self.root) / shard.file
        assert self.cache is not None
        # by its content: copies of one data set in two places share it
        return self.cache / manifest.digest / shard.file

    def provide(self, manifest: Manifest, shard: Shard) -> Path:
        """Where a shard is, now that it is there and as long as it should be.

        Raises:
            InputError: it is missing, cut short, or cannot be fetched whole.
        """
        path = self.path(manifest, shard)
        for _ in range(2):
            length = _length(path)
            if length == shard.bytes:
                return path
            if not self.remote:
                state = "is missing" if length is None else f"has {length:,} of {shard.bytes:,} bytes"
                raise InputError(f"{path} {state}; copy it again, or pack anew")
            if length is not None:
                path.unlink(missing_ok=True)  # a crash of the whole machine
            self._fetch(shard, path)
        raise InputError(f"{path} goes as soon as it is fetched; raise data.cache_gb={self.bound / 1e9:g}")

    def prefetch(self, manifest: Manifest, shards: Iterable[Shard]) -> None:
        """Fetch shards that will be needed soon, in a thread of this process; errors wait until they are needed."""
        if not self.remote:
            return
        if self._wanted is None:
            self._wanted = queue.SimpleQueue()
            # a daemon, which no process waits for when it ends
            threading.Thread(target=self._serve, args=(self._wanted,), daemon=True).start()
        while True:  # what was wanted before and is not fetched yet has been needed since
            try:
                self._wanted.get_nowait()
            except queue.Empty:
                break
        for shard in shards:
            self._wanted.put((manifest, shard))

    def _serve(self, wanted: "queue.SimpleQueue[tuple[Manifest, Shard]]") -> None:
        while True:
            manifest, shard = wanted.get()
            with suppress(InputError, OSError):  # told when the shard is needed
                path = self.path(manifest, shard)
                if _length(path) is None:
                    self._fetch(shard, path, wait=False)

    def _fetch(self, shard: Shard, path: Path, *, wait: bool = True) -> None:
        """Fetch a shard under its lock; with ``wait=False`` leave it to whoever holds that."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path, wait=wait) as ours:
                if not ours or _length(path) is not None:
                    return
                for attempt in range(2):
                    try:
                        with ExitStack() as held, atomic(path) as beside:
                            room = beside.with_name(beside.name + _ROOM)
                            held.callback(room.unlink, missing_ok=True)
                            self._make_room(room, shard.bytes)
                            with beside.open("wb") as file:
                                fetch(self.root, shard.file, file, **self.options)
                            _check(beside, shard, f"{self.root.rstrip('/')}/{shard.file}")
                            # nobody counts while the shard takes its room's place: neither both, nor none
                            held.enter_context(self._room())
                            held.callback(room.unlink, missing_ok=True)
                        return
                    except _Damaged as error:  # on its way, perhaps
                        if attempt:
                            raise InputError(
                                f"{error}; copy that shard to it again (pack verify=... names every bad one)"
                            ) from error
        except OSError as error:
            raise InputError(
                f"{path} cannot be written ({error.strerror or error}); free some room, or give another folder with"
                " paths.cache=PATH"
            ) from error

    def _room(self) -> FileLock:
        """Hold it to count what is there, and to rename."""
        assert self.cache is not None
        return FileLock(self.cache / "room.lock")

    def _make_room(self, room: Path, needed: int) -> None:
        """Reserve ``needed`` bytes under the name ``room``; delete what is oldest until all is within the bound."""
        assert self.cache is not None
        if needed > self.bound:
            raise InputError(
                f"a shard of {needed / 1e9:.3g} GB is above data.cache_gb={self.bound / 1e9:g}; raise it, or pack"
                " smaller shards"
            )
        while True:
            with self._room():
                kept, used = {}, 0
                for path in self.cache.glob("*/*/*"):
                    if path.suffix not in (".bin", _ROOM):
                        continue
                    begun = path.name.startswith(".")
                    if begun and _is_leftover(path):
                        path.unlink(missing_ok=True)
                    elif path.suffix == _ROOM or not begun:
                        with suppress(FileNotFoundError):
                            status = path.stat()
                            used += status.st_size
                            if not begun:
                                kept[path] = status
                free = shutil.disk_usage(self.cache).free - _RESERVE
                excess = max(used + needed - self.bound, needed - free)
                for path in sorted(kept, key=lambda path: kept[path].st_mtime):
                    if excess <= 0:
                        break
                    path.unlink(missing_ok=True)
                    excess -= kept[path].st_size
                if excess <= 0:
                    with room.open("wb") as file:
                        file.truncate(needed)  # others count it
                    return
                if used == sum(status.st_size for status in kept.values()):  # nobody else is fetching
                    raise InputError(
                        f"{self.cache} has no room for a shard of {needed / 1e9:.3g} GB; free some, or give another"
                        " folder with paths.cache=PATH"
                    )
            time.sleep(_WAIT)


class _Damaged(Exception):  # noqa: N818 - what the file is, no defect of the program
    """A fetched file is not what the manifest says; ``str()`` is what is wrong."""


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check(path: Path, shard: Shard, address: str) -> None:
    length = path.stat().st_size
    if length != shard.bytes:
        raise _Damaged(f"{address} has {length:,} bytes, {shard.bytes:,} by the manifest")
    if sha256_of(path) != shard.sha256:
        raise _Damaged(f"{address} is damaged: its checksum is not the manifest's")


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[bool]:
    lock = FileLock(_lock_of(path), thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _is_leftover(beside: Path) -> bool:
    """Whether whoever wrote a file was killed: nobody holds the lock."""
    name = beside.name.removesuffix(_ROOM)
    final = beside.with_name(name.split(".", 2)[2])
    if name == name_beside(final).name:
        return False
    with _locked(final, wait=False) as ours:
        return ours


def needed_bytes(shards: Sequence[Shard], window: int, processes: int) -> int:
    """How much the store must be able to hold for training to find what it fetched.

    A process reads from ``window`` shards at a time while it fetches as many, and one more for validation.
    """
    largest = max((shard.bytes for shard in shards), default=0)
    return processes * min(2 * window + 1, len(shards)) * largest

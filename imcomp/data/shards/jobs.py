"""Shards written by several processes at once, each whole or not at all."""

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_end
from pathlib import Path
from typing import Any

from imcomp.data.loading import prepare
from imcomp.data.pictures import UnreadablePicture
from imcomp.data.progress import with_bar
from imcomp.data.shards.chunks import write_chunk
from imcomp.data.shards.manifest import Form, Shard
from imcomp.data.shards.store import sha256_of
from imcomp.data.sources import Source, encoded
from imcomp.data.splits import Split
from imcomp.data.transforms import Fit
from imcomp.errors import InputError
from imcomp.files import atomic, write_text

log = logging.getLogger(__name__)

_POLL = 0.2  # seconds between two looks at how far the workers are


@dataclass(frozen=True)
class Packing:
    """What is packed, and how.

    Attributes:
        source: all pictures.
        name: the source's, a key of ``SOURCES``.
        split: which part each belongs to, and in which order they are packed.
        split_options: how they were split, for the manifest.
        form: `encoded`: the files' own bytes, or PNG of a source without files. `resized`: uint8 ``(C, H, W)``.
        channels: of resized pictures.
        size: pixels of each side, the same.
        fit: how they come to that size, the same.
        shard_mb: length of a shard in 10**6 bytes, about.
    """

    source: Source
    name: str
    split: Split
    split_options: Mapping[str, Any]
    form: Form
    channels: int
    size: int
    fit: Fit
    shard_mb: float

    def item(self, index: int) -> tuple[int, Any, bytes]:
        """One picture as a chunk takes it.

        Raises:
            InputError: it cannot be read any more.
        """
        try:
            if self.form == "resized":
                picture: Any = prepare(self.source.read(index), self.channels, self.size, self.fit).numpy()
            else:
                picture = encoded(self.source, index)
        except (UnreadablePicture, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{self.source.name(index)} could be read when packing began and cannot now ({reason}); mend or remove"
                " it, and pack into another folder"
            ) from error
        return index, picture, self.source.name(index).encode("utf-8", "surrogateescape")

    def bytes(self, index: int) -> int:
        """How long a picture will be."""
        return self.channels * self.size**2 if self.form == "resized" else len(self.item(index)[1])


@dataclass(frozen=True)
class Job:
    """One shard to write.

    Attributes:
        packing: what, and how.
        folder: the packed folder.
        file: relative to it.
        indices: the pictures' numbers in the source.
    """

    packing: Packing
    folder: Path
    file: str
    indices: list[int]

    def finished(self) -> Shard | None:
        """The shard, if an earlier run has written all of it."""
        path = self.folder / self.file
        try:
            names = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            shard = Shard(self.file, len(names["names"]), names["bytes"], names["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return shard if path.is_file() and path.stat().st_size == shard.bytes else None

    def write(self) -> Shard:
        """Write the shard, then the names beside it, which say that it is whole.

        Raises:
            InputError: a picture cannot be read any more, or the disk is full.
        """
        try:
            return self._write()
        except OSError as error:
            raise InputError(
                f"{self.folder / self.file} cannot be written ({error.strerror or error}); free some room and start"
                " again: finished shards are kept"
            ) from error

    def _write(self) -> Shard:
        source, path = self.packing.source, self.folder / self.file
        with atomic(path) as beside:
            write_chunk(beside, self._items())
            length, sha256 = beside.stat().st_size, sha256_of(beside)
        names = {
            "bytes": length,
            "sha256": sha256,
            "names": [source.name(index) for index in self.indices],
            "groups": [source.group(index) for index in self.indices],
        }
        write_text(path.with_suffix(".json"), json.dumps(names) + "\n")
        return Shard(self.file, len(self.indices), length, sha256)

    def _items(self) -> Iterator[tuple[int, Any, bytes]]:
        for index in self.indices:
            if _shared.stop.is_set():
                raise _Stopped
            yield self.packing.item(index)
            with _shared.done.get_lock():
                _shared.done.value += 1


class _Stopped(Exception):  # noqa: N818 - no error: another one has ended the packing
    """The main process has given up."""


class _Shared:
    """What a worker shares with the main process."""

    done: Any
    stop: Any
    jobs: Sequence[Job]


_shared = _Shared()


def _start(done: Any, stop: Any, jobs: Sequence[Job]) -> None:
    _shared.done, _shared.stop, _shared.jobs = done, stop, jobs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt goes to the whole group; the main process ends all
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A killed main process cannot tell its workers to end."""
    wait_for_end([sentinel])
    os._exit(1)


def _write(number: int) -> Shard:
    return _shared.jobs[number].write()


def run(jobs: Sequence[Job], workers: int) -> list[Shard]:
    """Write the shards that are not there yet, in parallel, under a bar."""
    shards = [job.finished() for job in jobs]
    missing = [number for number, shard in enumerate(shards) if shard is None]
    total = sum(len(job.indices) for job in jobs)
    kept = total - sum(len(jobs[number].indices) for number in missing)
    if kept:
        log.info("%s of %s pictures are packed already", f"{kept:,}", f"{total:,}")
    if missing:
        context = multiprocessing.get_context()
        done, stop = context.Value("q", kept), context.Event()
        with ProcessPoolExecutor(
            max(1, min(workers, len(missing))), context, initializer=_start, initargs=(done, stop, jobs)
        ) as pool:
            futures = {pool.submit(_write, number): number for number in missing}
            try:
                for _ in with_bar(_progress(futures, done), "Packing pictures", total, pictures=int):
                    pass
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            for future, number in futures.items():
                shards[number] = future.result()
    return [shard for shard in shards if shard is not None]


def _progress(futures: Mapping["Future[Shard]", int], done: Any) -> Iterator[int]:
    """Pictures since the last look, until all is done or something fails."""
    seen, left = 0, set(futures)
    while left:
        finished, left = wait(left, timeout=_POLL, return_when=FIRST_COMPLETED)
        for future in finished:
            try:
                future.result()
            except BrokenProcessPool as error:
                raise InputError(
                    "a process that packs was killed, perhaps for want of memory; start again, with fewer workers:"
                    " finished shards are kept"
                ) from error
        now = int(done.value)
        yield now - seen
        seen = now

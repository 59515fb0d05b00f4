"""Streaming: packed pictures beside the folder they were packed from, from the disk and from servers, and memory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from imcomp.benchmark.configs import build_data, pack_pictures, quoted
from imcomp.benchmark.contest import Entrant, in_fresh_process
from imcomp.benchmark.memory import resident_mb
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.suites.data import Loading
from imcomp.errors import InputError

DECODED, CACHED = "folder, no cache", "folder, decoded cache on disk"
ENCODED, RESIZED = "shards as encoded", "shards as resized"
FIRST = "folder, no cache, first epoch"

EPOCHS = 50
"""Of the long run."""

_SHARD_MB = 1  # small, so that a few thousand small pictures make many shards
_CACHE_SHARDS = 20  # what the long run may keep: fewer than there are
_BUCKET = "pictures"


def entrants(protocol: Protocol) -> list[Entrant]:
    """Later epochs from the disk, first ones from servers, packing, and one long run."""
    encoded, resized = (_packed(protocol, form) for form in ("encoded", "resized"))
    later, first = ("later epochs", "pictures/s"), ("first epoch, from nothing", "pictures/s")
    off = ["data.val_fraction=0", "data.cache=off"]
    return [
        Entrant(DECODED, *later, Loading(protocol, off, cold=False), how="data=folder data.cache=off"),
        Entrant(ENCODED, *later, Loading(protocol, shards(encoded), cold=False), DECODED, "form=encoded"),
        Entrant(CACHED, *later, Loading(protocol, ["data.val_fraction=0"], cold=False), DECODED, "data.cache=disk"),
        Entrant(RESIZED, *later, Loading(protocol, shards(resized), cold=False), DECODED, "form=resized"),
        Entrant(FIRST, *first, Loading(protocol, off, cold=True), how="data=folder data.cache=off"),
        Entrant("shards as encoded, http://", *first, FromAfar(protocol, encoded, "http"), FIRST, "Python's server"),
        Entrant("shards as encoded, s3://", *first, FromAfar(protocol, encoded, "s3"), FIRST, "moto's server"),
        Entrant("packing as encoded", "packing", "pictures/s", Packing(protocol, "encoded"), how="form=encoded"),
        Entrant("packing as resized", "packing", "pictures/s", Packing(protocol, "resized"), how="form=resized"),
        Entrant(
            *(f"shards as resized, http://, {EPOCHS} epochs", "memory", "after the last epoch, MB"),
            LongRun(protocol, resized),
            how=f"anonymous memory; data.cache_gb for {_CACHE_SHARDS} shards",
        ),
    ]


def shards(root: Path | str) -> list[str]:
    """What loads packed pictures."""
    where = quoted(root) if isinstance(root, Path) else root
    return ["data=stream", "data.fit=stretch", f"data.root={where}"]


@dataclass(frozen=True)
class Packing:
    """Packs the pictures once.

    Attributes:
        protocol: the pictures.
        form: in which form.
    """

    protocol: Protocol
    form: str

    def __call__(self, seconds: float) -> Reading:
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            started = time.perf_counter()
            length = pack_pictures(self.protocol, self.form, Path(folder) / "packed", _SHARD_MB)
            taken = time.perf_counter() - started
        count = self.protocol.count
        return Reading({"pictures/s": count / taken, "1,000 pictures, MB": length / count / 1000})


@dataclass(frozen=True)
class FromAfar:
    """Loads one whole epoch from a server of its own, with a cache that is empty.

    Attributes:
        protocol: how.
        folder: the packed pictures.
        scheme: `http` or `s3`.
    """

    protocol: Protocol
    folder: Path
    scheme: str

    def __call__(self, seconds: float) -> Reading:
        with served(self.folder, self.scheme) as root:
            return Loading(self.protocol, shards(root), cold=True)(seconds)


@dataclass(frozen=True)
class LongRun:
    """Loads many epochs in one process, from a server, while the cache cannot hold all shards.

    Attributes:
        protocol: how.
        folder: the packed pictures.
    """

    protocol: Protocol
    folder: Path

    def __call__(self, seconds: float) -> Reading:
        with served(self.folder, "http") as root, TemporaryDirectory(dir=self.protocol.work) as work:
            bound = _CACHE_SHARDS * max(path.stat().st_size for path in (self.folder / "train").glob("*.bin")) / 1e9
            overrides = [f"data.cache_gb={bound}", f"paths.cache={quoted(Path(work) / 'cache')}", "data.num_workers=0"]
            datamodule = build_data(self.protocol, [*shards(root), *overrides], Path(work))
            datamodule.setup("fit")
            loader = datamodule.train_dataloader()
            values, kept = {}, 0
            for epoch in range(EPOCHS):
                loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # as Lightning does
                for batch in loader:
                    datamodule.make_batch(*batch, epoch=epoch)
                if epoch in (1, EPOCHS - 1):  # in the first one, libraries are still being loaded
                    name = "last" if epoch == EPOCHS - 1 else "second"
                    values[f"after the {name} epoch, MB"] = resident_mb().get("anonymous", 0.0)
                store = Path(work) / "cache" / "shards"
                with FileLock(store / "room.lock"):  # or a shard that is just being renamed counts twice
                    kept = max(kept, sum(path.stat().st_size for path in store.rglob("*.bin")))
            return Reading({**values, "most kept on disk, MB": kept / 1e6, "bound of that, MB": bound * 1e3})


@contextmanager
def served(folder: Path, scheme: str) -> Iterator[str]:
    """Serve a folder on the loopback, from a process of its own; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    modules = {"http": ["http.server", "--bind", "127.0.0.1", str(port)], "s3": ["moto.server", "-p", str(port)]}
    command, null = [sys.executable, "-m", *modules[scheme]], subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=null, stderr=null)  # noqa: S603  # of our own words
    try:
        _wait_for(port, process)
        if scheme == "s3":
            _upload(folder, port)
            yield f"s3://{_BUCKET}/packed"
        else:
            yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise InputError("the server did not start; pip install 'moto[server]' for s3://")


def _upload(folder: Path, port: int) -> None:
    import boto3

    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    client = boto3.client("s3")
    client.create_bucket(Bucket=_BUCKET)
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), _BUCKET, f"packed/{path.relative_to(folder).as_posix()}")


def _packed(protocol: Protocol, form: str) -> Path:
    folder = protocol.work / f"packed-{form}"
    if not (folder / "manifest.json").is_file():
        file = protocol.work / "logs" / f"pack-{form}.txt"
        packed = in_fresh_process(_Pack(protocol, form, folder), 0, file=file)
        if packed.reason:
            raise InputError(f"the pictures cannot be packed as {form}: {packed.reason}")
    return folder


@dataclass(frozen=True)
class _Pack:
    protocol: Protocol
    form: str
    folder: Path

    def __call__(self, seconds: float) -> None:
        pack_pictures(self.protocol, self.form, self.folder, _SHARD_MB)

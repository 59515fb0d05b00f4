"""A packed folder: planned, made in parallel, taken up again where a killed run stopped, and always the same bytes."""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock, Timeout

from imcomp.data.shards.chunks import index_text, write_chunk
from imcomp.data.shards.jobs import Job, Packing, run
from imcomp.data.shards.manifest import NAME, PARTS, Manifest, Shard, parse_manifest
from imcomp.data.sources import left_out
from imcomp.data.splits import Part
from imcomp.errors import InputError
from imcomp.files import remove_leftovers, write_text

log = logging.getLogger(__name__)

_VERSION = 1  # raise when the same pictures would give other bytes
_PLAN, _LOCK = ".plan.json", ".lock"
_SAMPLE = 100  # pictures whose lengths tell how many make a shard


def pack(packing: Packing, folder: Path, workers: int) -> Manifest:
    """Pack all pictures into ``folder``.

    It then holds, for each part, ``<part>/00000.bin`` and so on with the pictures' names and groups beside them,
    ``<part>/index.json`` of LitData's, and ``manifest.json``, which comes last. Each is written whole or not at all.
    What an earlier run has finished is kept; the result is the same, bit for bit.

    Args:
        packing: what, and how.
        folder: is made; what it holds must be of the same packing.
        workers: processes.

    Returns:
        The manifest.

    Raises:
        InputError: the folder holds something else, another process is packing into it, a picture cannot be read any
            more, or the disk is full.
    """
    if find_spec("litdata") is None:
        raise InputError("packing needs LitData; pip install 'imcomp[stream]'")
    plan = _plan(packing)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise InputError(f"another process is packing into {folder}; wait for it, or give another output") from error
    try:
        if (done := _begin(plan, folder)) is not None:
            log.info("all is packed in %s already", folder)
            return done
        jobs = [
            Job(packing, folder, f"{part}/{number:05d}.bin", indices)
            for part in PARTS
            for number, indices in enumerate(deal(getattr(packing.split, part), plan["pictures_per_shard"]))
        ]
        shards = run(jobs, workers)
        return _finish(packing, plan, folder, shards)
    finally:
        lock.release()
        (folder / _LOCK).unlink(missing_ok=True)


def _begin(plan: Mapping[str, Any], folder: Path) -> Manifest | None:
    """Note the plan in the folder, or compare it with the one that is there; the manifest where all is done."""
    manifest, noted = folder / NAME, folder / _PLAN
    remove_leftovers(folder)
    if manifest.is_file():
        found = parse_manifest(manifest.read_text(encoding="utf-8", errors="replace"), str(manifest))
        if found.plan != _digest(plan):
            raise InputError(f"{folder} holds other shards, packed to their end; give another output")
        noted.unlink(missing_ok=True)  # killed between the last two steps
        return found
    if noted.is_file():
        earlier = _read_plan(noted)
        if different := [key for key in plan if earlier.get(key) != plan[key]]:
            raise InputError(
                f"{folder} holds the beginning of another packing, which differs in {', '.join(different)}; give"
                " another output, or remove that folder"
            )
        for part in PARTS:  # what killed workers left
            for leftover in (folder / part).glob(".*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        return None
    if strays := [path.name for path in folder.iterdir() if path.name != _LOCK]:
        raise InputError(f"{folder} is not empty: it holds {strays[0]}; give another output")
    write_text(noted, json.dumps(plan, indent=1) + "\n")
    return None


def _read_plan(noted: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(noted.read_text(encoding="utf-8"))
        reason = "" if isinstance(earlier, dict) else "it holds no names and values"
    except ValueError as error:
        reason = str(error)
    if reason:
        raise InputError(f"{noted} is damaged ({reason}); remove that folder, or give another output")
    return dict(earlier)


def deal(indices: Sequence[int], per_shard: int) -> list[list[int]]:
    """Cut a part into shards whose numbers of pictures differ by one at most."""
    count = max(1, round(len(indices) / per_shard)) if indices else 0
    bounds = [len(indices) * number // count for number in range(count + 1)] if count else []
    return [list(indices[start:end]) for start, end in pairwise(bounds)]


def _finish(packing: Packing, plan: Mapping[str, Any], folder: Path, shards: Sequence[Shard]) -> Manifest:
    parts: dict[Part, tuple[Shard, ...]] = {
        part: tuple(shard for shard in shards if shard.file.startswith(f"{part}/")) for part in PARTS
    }
    resized = packing.form == "resized"
    root = getattr(packing.source, "root", None)
    manifest = Manifest(
        form=packing.form,
        channels=packing.channels if resized else None,
        size=packing.size if resized else None,
        fit=packing.fit if resized else None,
        source=packing.name,
        split=dict(packing.split_options),
        plan=_digest(plan),
        parts=parts,
        left_out=tuple(
            (bad.path.relative_to(root).as_posix() if root else str(bad.path), bad.reason)
            for bad in left_out(packing.source)
        ),
    )
    example = folder / ".example"
    config = write_chunk(example, [packing.item(packing.split.train[0])])
    example.unlink()
    for part, own in parts.items():
        chunks = [(Path(shard.file).name, shard.pictures, shard.bytes) for shard in own]
        if own:
            write_text(folder / part / "index.json", index_text(config, chunks, manifest.digest))
    write_text(folder / NAME, manifest.to_json())
    (folder / _PLAN).unlink()
    return manifest


def _digest(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _plan(packing: Packing) -> dict[str, Any]:
    """All that decides on the shards' bytes, and how many pictures make one."""
    sample = packing.split.train[:_SAMPLE]
    mean = sum(packing.bytes(index) for index in sample) / len(sample)
    fingerprint = getattr(packing.source, "fingerprint", lambda: "")()
    resized = {"channels": packing.channels, "size": packing.size, "fit": packing.fit, "pillow": PIL.__version__}
    order = hashlib.sha256(b"".join(np.asarray(part, "<i8").tobytes() for part in packing.split)).hexdigest()
    return {
        "version": _VERSION,
        "source": packing.name,
        "form": packing.form,
        **(resized if packing.form == "resized" else {}),
        "split": dict(packing.split_options),
        "pictures": sum(map(len, packing.split)),
        "pictures_per_shard": max(1, round(packing.shard_mb * 1e6 / mean)),
        "order": order,
        "files": hashlib.sha256(fingerprint.encode(errors="surrogatepass")).hexdigest(),
    }

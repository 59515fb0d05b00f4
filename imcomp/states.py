"""Checkpoint files: written whole, read only if they are, and found again."""

import errno
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from imcomp.errors import InputError
from imcomp.files import atomic, name_beside
from imcomp.weights import check_sums, flush_denormals, read_checkpoint

log = logging.getLogger(__name__)

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""A run's state, and the one before it."""

_CLUSTER = 1 << 16  # bytes within which a disk counts as full


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and without denormal numbers, as which training does not see them.

    Raises:
        OSError: on saving, where the disk is full or fails.
        InputError: on loading, a damaged file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        with atomic(path) as beside:
            try:
                torch.save(flush_denormals(checkpoint), beside)
            except RuntimeError as error:
                if not any(word in str(error) for word in ("PytorchStreamWriter", "inline_container")):
                    raise
                # torch's writer keeps to itself why the system would not write
                full = shutil.disk_usage(path.parent).free < _CLUSTER
                number = errno.ENOSPC if full else errno.EIO
                raise OSError(number, os.strerror(number), str(path)) from error

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        try:
            check_sums(Path(path))
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}); give another .ckpt file") from error
        checkpoint: dict[str, Any] = flush_denormals(super().load_checkpoint(path, *arguments, **options))
        return checkpoint


def newest_good(path: Path) -> Path:
    """The checkpoint to go on from: ``path``, or where that is a damaged ``last.ckpt`` the newest good one beside it.

    Raises:
        InputError: there is none, or ``path`` is damaged and no ``last.ckpt``.
    """
    try:
        _read_state(path)
        return path
    except InputError as error:
        good = []
        for other in path.parent.glob("*.ckpt") if path.name == LAST else []:
            with suppress(InputError):
                good.append((_read_state(other), other.stat().st_mtime, other))
        if not good:
            raise
        step, _, best = max(good)
        log.warning("%s; going on from %s instead, which is at step %d", _reason(error), best, step)
        return best


def find_state(output_dir: Path) -> Path | None:
    """Where a run that is repeated goes on: the state in its folder; None where there is none yet."""
    folder = output_dir / "checkpoints"
    return folder / LAST if any((folder / name).is_file() for name in (LAST, PREVIOUS)) else None


def _read_state(path: Path) -> int:
    """The step that a checkpoint is at, if training can go on from it."""
    checkpoint = read_checkpoint(path)
    if missing := sorted({"optimizer_states", "lr_schedulers", "loops", "global_step"} - checkpoint.keys()):
        raise InputError(f"{path} holds weights alone (no {missing[0]}), from which no run goes on; give init=PATH")
    return int(checkpoint["global_step"])


def _reason(error: Exception) -> str:
    return str(error).partition(";")[0]


def keep_as(file: Path, other: Path) -> None:
    """Give a file a second name, which takes the place of what had it; the first stays at every moment."""
    if not file.is_file():
        return
    beside = name_beside(other)
    try:
        beside.unlink(missing_ok=True)
        try:
            os.link(file, beside)
        except OSError:  # a file system without hard links
            shutil.copyfile(file, beside)
        beside.replace(other)
    finally:
        beside.unlink(missing_ok=True)

"""What a run was: its command, code, versions, data and machine, so that it can be repeated and compared."""

import hashlib
import json
import logging
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from imcomp.files import write_text

log = logging.getLogger(__name__)

FILE = "provenance.json"

PACKAGES = ("imcomp", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow", "hydra-core")
"""Those whose versions may change what a run computes."""


def describe(
    *, config: str, seed: int, data: Mapping[str, Any], device: str, processes: int, resumed: str | None = None
) -> dict[str, Any]:
    """Gather what a run was.

    Args:
        config: its config as text.
        seed: its seed.
        data: what `describe_data` says.
        device: what it trains on.
        processes: how many train together.
        resumed: the checkpoint that it goes on from.

    Returns:
        Plain values.
    """
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "folder": str(Path.cwd()),
        "seed": seed,
        "config_sha256": _digest(config),
        "data": dict(data),
        "versions": {"python": platform.python_version(), **_versions()},
        "git": git_state(Path(__file__).parents[1]),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "device": device,
            "processes": processes,
        },
        "resumed": resumed,
    }


def describe_data(source: Any, name: str, split: Mapping[str, int]) -> dict[str, Any]:
    """Name the pictures of a source, and how many of them each part has.

    The fingerprint is the SHA-256 of what the source says of its pictures; null where it says nothing.
    """
    said = source.fingerprint() if hasattr(source, "fingerprint") else None
    return {"source": name, "pictures": len(source), **split, "fingerprint": None if said is None else _digest(said)}


def write_provenance(folder: Path, described: Mapping[str, Any]) -> None:
    """Keep it in the run's folder, and below it what was kept there of the parts before a resume."""
    before: list[Any] = []
    with suppress(OSError, ValueError, TypeError):
        old = read_provenance(folder)
        before = [*old.pop("before", []), old] if old else []
    write_text(folder / FILE, json.dumps({**described, "before": before}, indent=2) + "\n")


def read_provenance(folder: Path) -> dict[str, Any]:
    """What a run's folder keeps; empty where it keeps nothing.

    Raises:
        ValueError: the file is damaged.
    """
    file = folder / FILE
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not isinstance(kept, dict):
        raise ValueError(f"{FILE} holds no names and values")  # noqa: TRY004  # as another damage
    return kept


def warn_of_differences(folder: Path, described: Mapping[str, Any]) -> None:
    """Log what is not as it was in the run that is repeated; a run does not stop where that is not known."""
    try:
        old = read_provenance(folder)
    except ValueError as error:
        log.warning("%s is damaged (%s): whether this run is as that one was is not known", folder / FILE, error)
        return
    for line in differences(old, described):
        log.warning("not as in %s: %s", folder, line)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Word what may make a repeated run come out otherwise: versions, code, data, processor."""
    found = []
    for group, keys in _DECISIVE.items():
        was, now = old.get(group) or {}, new.get(group) or {}
        found += [
            f"{group} {key}: {was[key]} then, {now.get(key)} now"
            for key in keys or was
            if key in was and was[key] != now.get(key)
        ]
    return found


_DECISIVE: dict[str, tuple[str, ...]] = {
    "versions": (),  # all
    "git": ("commit", "diff_sha256"),
    "data": ("fingerprint",),
    "machine": ("processor", "device", "processes"),
}


def git_state(root: Path) -> dict[str, Any] | None:
    """The commit of a checkout, and which files differ from it; None outside of one, or without git."""
    if not (root / ".git").exists():  # an installed package may lie inside somebody else's checkout
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain").splitlines()
        patch = _git(root, "diff", "HEAD") if changed else ""
    except (OSError, subprocess.SubprocessError):
        return None
    files = [line[3:] for line in changed]
    return {"commit": commit, "changed": files, "diff_sha256": _digest(patch) if patch else None}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, encoding="utf-8", errors="surrogateescape", check=True, timeout=20
    )
    return done.stdout.rstrip("\n")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

"""Resident memory, where the system tells it."""

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import resource

# Linux counts in KiB, macOS in bytes
PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024


def peak_mb() -> float | None:
    """Most memory that this process ever had, in MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB, 1)


def largest_child_mb() -> float | None:
    """The same of the largest child that has ended; 0 without one."""
    if sys.platform == "win32":
        return None
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / PER_MB, 1)


def resident_mb() -> dict[str, float]:
    """What this process has now, in MB: `anonymous`, which is its own, and `total`, with the files it has mapped.

    Empty where there is no ``/proc``.
    """
    status = Path(f"/proc/{os.getpid()}/status")
    if not status.is_file():
        return {}
    values = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    keys = {"anonymous": "RssAnon", "total": "VmRSS"}
    return {name: int(values[key].split()[0]) * 1024 / 1e6 for name, key in keys.items()}


def total_mb() -> float | None:
    """The machine's memory, in MB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6)

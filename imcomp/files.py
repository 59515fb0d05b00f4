"""Writing so that a reader, or a crash, finds the old file or the new one and never half of one."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST = 255  # bytes of a name, on nearly every file system
_BESIDE = re.compile(r"\.imcomp-(\d+)\.")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on leaving, flush it to the disk and rename it.

    On an exception what was written is removed and ``path`` stays as it was. Missing folders are made. The path to
    write to has the same suffix, for writers that choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = name_beside(path)
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def name_beside(path: Path) -> Path:
    """Where this process writes what is to become ``path``: hidden, in the same folder and with the same suffix."""
    own = f".imcomp-{os.getpid()}."
    if len(os.fsencode(own + path.name)) > _LONGEST:
        return path.with_name(own + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16] + path.suffix)
    return path.with_name(own + path.name)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process of this machine had begun to write in a folder or below it, see `name_beside`.

    What may not be removed, such as another user's, stays.
    """
    for beside in folder.rglob(".imcomp-*.*"):
        named = _BESIDE.match(beside.name)
        if named and not _lives(int(named[1])) and beside.is_file():
            with suppress(OSError):
                beside.unlink()


def _lives(process: int) -> bool:
    if os.name != "posix":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # a number that no process has
        return False
    except OSError:
        return True
    return process != os.getpid()  # whoever asks has begun nothing yet; a number may come again


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")

"""Writing so that a reader, or a crash, finds the old file or the new one and never half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on leaving, flush it to the disk and rename it.

    On an exception what was written is removed and ``path`` stays as it was. Missing folders are made. The path to
    write to has the same suffix, for writers that choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process of this machine had begun to write in a folder or below it, with `atomic`."""
    for beside in folder.rglob(".*.*"):
        number = beside.name.split(".")[1]
        if number.isdigit() and not _lives(int(number)):
            beside.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    if os.name != "posix":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()  # whoever asks has begun nothing yet; a number may come again


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")

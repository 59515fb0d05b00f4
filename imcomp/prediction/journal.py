"""What is done already: so that an interrupted run goes on, and a repeated one does nothing."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

FOLDER = ".imcomp"
"""Below the output folder: what runs remember."""


class Journal:
    """A line for each finished picture, written as soon as its files are there.

    A picture is done if its line tells of the same input, mask, checkpoint and options as now, and its output is there
    with the length that it had. Files are told by their path, length and time of change, as ``make`` does; a checkpoint
    by its content.

    Args:
        output: the output folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = journal_file(output)
        self.lock = Lock()
        self.lines: dict[str, dict[str, Any]] = {}
        for line in self._stored().splitlines():
            try:
                entry = json.loads(line)
                self.lines[entry["job"]] = {"key": entry["key"], "row": dict(entry["row"]), "length": entry["length"]}
            except (ValueError, TypeError, KeyError):
                continue  # cut short, or not ours: the picture is completed again

    def find(self, job: str, key: str) -> Mapping[str, Any] | None:
        """The table's row of a picture that is done; None where it is not."""
        line = self.lines.get(job)
        if line is None or line["key"] != key:
            return None
        file = self.output / str(line["row"].get("output"))
        whole = file.is_file() and not file.is_symlink() and file.stat().st_size == line["length"]
        row: Mapping[str, Any] = line["row"]
        return row if whole else None

    def begin(self) -> None:
        """Make the file, which tells from now on that what is in the output folder may be written over."""
        self._write("")

    def add(self, job: str, key: str, row: Mapping[str, Any]) -> None:
        """Note that a picture is done; its files must be there."""
        length = (self.output / str(row["output"])).stat().st_size
        line = json.dumps({"job": job, "key": key, "row": row, "length": length})
        self._write(f"\n{line}\n")  # after a line that was cut short, too

    def _write(self, text: str) -> None:
        with self.lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(self.path, flags, 0o666), "a", encoding="utf-8") as file:
                file.write(text)

    def _stored(self) -> str:
        if self.path.is_symlink():
            return ""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def journal_file(output: Path) -> Path:
    """Where the journal of an output folder is."""
    return output / FOLDER / "journal.jsonl"


def key_of(*facts: Any) -> str:
    """A digest of plain values, to compare them by."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def file_facts(path: Path | None) -> list[Any] | None:
    """What tells one state of a file from another: its place, its length and its time of change."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def content_digest(path: Path) -> str:
    """Of a file's content, or of its name where it is none."""
    if not path.is_file():
        return str(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""What was measured: readings, lines of several readings, and the JSON that holds them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from imcomp.errors import InputError
from imcomp.files import write_text

FORMAT = 1
"""Of the JSON; counted up when a reader of the old one would be wrong."""

UNITS = {
    **dict.fromkeys(("pictures/s", "TFLOP/s", "GB/s"), True),
    **dict.fromkeys(("s", "ms", "ms/picture", "MB", "%", "MSE"), False),
}
"""Every unit, and whether more of it is better."""


@dataclass(frozen=True)
class Work:
    """The least that a picture costs, whoever computes it.

    Attributes:
        flops: floating-point operations of its matrix products and convolutions; a multiply-add is two. 0 where there
            are none.
        moved: bytes that must be read and written, each once.
        kind: `float32` or `bfloat16`, what they multiply.
    """

    flops: float
    moved: float
    kind: str


@dataclass(frozen=True)
class Reading:
    """One repeat of one entrant.

    Attributes:
        values: what was measured, by unit; or by `name, unit` where there are several of one unit.
        work: the least that a picture costs, where that is known.
        peak_mb: most resident memory of the process.
        worker_mb: the same of its largest child; 0 without.
        threads: of torch.
    """

    values: Mapping[str, float]
    work: Work | None = None
    peak_mb: float | None = None
    worker_mb: float | None = None
    threads: int = 0


@dataclass(frozen=True)
class Line:
    """All repeats of one quantity of one entrant.

    Attributes:
        name: the entrant's.
        group: lines of one group stand in one table.
        quantity: a unit, or `name, unit`.
        values: one a repeat, in their order; empty where it could not be measured.
        against: the line of the same quantity that it is compared with; None where there is none.
        how: the settings or the command.
        reason: why it could not be measured, or None.
        work: see ``Work``.
        limit: pictures/s that the hardware allows at most, by the rates measured in the same run.
        peak_mb: see ``Reading``; the most of all repeats.
        worker_mb: the same.
        threads: the same.
    """

    name: str
    group: str
    quantity: str
    values: list[float]
    against: str | None = None
    how: str = ""
    reason: str | None = None
    work: Work | None = None
    limit: float | None = None
    peak_mb: float | None = None
    worker_mb: float | None = None
    threads: int = 0

    @property
    def unit(self) -> str:
        """A key of ``UNITS``."""
        return self.quantity.rpartition(", ")[2]

    @property
    def median(self) -> float:
        """Of the repeats; there must be one."""
        return median(self.values)

    def gain_over(self, other: "Line") -> float:
        """How many times as good its median is."""
        ratio = self.median / other.median
        return ratio if UNITS[self.unit] else 1 / ratio


@dataclass(frozen=True)
class Result:
    """All that one suite measured in one run on one machine.

    Attributes:
        suite: its name.
        device: `cpu` or `cuda`.
        machine: see ``describe_machine``.
        date: UTC, ISO 8601.
        commit: of the code; None outside of a checkout.
        command: what was typed.
        settings: repeats, seconds of each, pictures and their size.
        pictures: which they were.
        lines: what was measured.
    """

    suite: str
    device: str
    machine: dict[str, Any]
    date: str
    commit: str | None
    command: str
    settings: dict[str, Any]
    pictures: str
    lines: list[Line] = field(default_factory=list)

    def find(self, name: str, quantity: str) -> Line | None:
        """The line of this name and quantity, measured or not; None where there is none."""
        return next((line for line in self.lines if (line.name, line.quantity) == (name, quantity)), None)


def write_result(result: Result, path: Path) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps({"format": FORMAT, **asdict(result)}, indent=1) + "\n")


def read_results(folder: Path) -> list[Result]:
    """Read every JSON file of a folder, in the order of their names.

    Raises:
        InputError: a file that no benchmark of this version wrote.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Result:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise InputError(f"{path} is of another version of the benchmark; measure it again or remove it")
        lines = [Line(**{**line, "work": line["work"] and Work(**line["work"])}) for line in values.pop("lines")]
        return Result(**values, lines=lines)
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is no result of the benchmark ({error}); measure it again or remove it") from error

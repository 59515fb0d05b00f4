"""The page of figures, made of the results and of nothing else."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from imcomp.benchmark.machine import label_of
from imcomp.benchmark.readings import Line, Result
from imcomp.benchmark.registry import SUITES
from imcomp.benchmark.targets import TARGETS, Target, judge

PICTURE = "speed.svg"
"""Name of the picture beside the results."""

_HEAD = """# Benchmarks

Every figure on this page was measured by `scripts/benchmark.py` and stands in a JSON file in [`{folder}/`]({folder});
the page is written from those files by `python scripts/benchmark.py suite=report`.

imcomp is measured against **a reference loop**: a student project as one writes it first. It decodes with scikit-image,
makes pictures grey and resizes them in double precision, one by one in two worker processes; trains the same network in
float32 with Adam in a plain loop; and completes pictures one by one (`imcomp/benchmark/reference.py`).

All entrants of a suite take turns: each is measured once, then each again, so that what slows a machine down slows all
alike. Each time is a fresh process that warms up first. A figure is the median of the repeats, with the lowest and the
highest behind it.

- `x`: how many times as good it is as the line named there.
- `of limit`: the share of what the hardware allows. That is the arithmetic of convolutions and matrix products over the
  rate of a large matrix product, or the bytes that they must read and write over the rate of a copy, whichever takes
  longer; for a loader, the bytes of a picture read once and written once as float32. The rates were measured in the
  same run; above 100% a kernel was quicker than that product. It is empty where no such count says what is needed: a
  classical fill, a start, a whole run.
- `peak`: resident memory of the process in MB, and behind a plus that of its largest worker.

First epochs find the picture files in the system's own cache of files.
"""


def render(results: Sequence[Result], *, tried: str, folder: str) -> str:
    """Write the page.

    Args:
        results: of any machines and suites.
        tried: Markdown on what did not help, written by hand; empty for none.
        folder: of the results and the picture, relative to the page; empty for its own.
    """
    here = folder or "."
    results = sorted(results, key=lambda result: (*_place(result), [*SUITES].index(result.suite)))
    parts = [_HEAD.format(folder=here), "## Targets\n", _targets(results)]
    if results:
        parts.append(f"![Pictures a second]({here}/{PICTURE})\n")
    for (label, device), measured in groupby(results, key=_place):
        parts.append("\n".join(_machine(label, device, list(measured))))
    if missing := [*_missing(results)]:
        parts += ["## Not yet measured\n", "\n".join(f"- {line}" for line in missing) + "\n"]
    if tried:
        parts += ["## What was tried and did not help\n", tried.strip() + "\n"]
    return "\n".join(parts)


def command(suite: str, device: str) -> str:
    """What measures a suite and renews the page."""
    return f"python scripts/benchmark.py suite={suite} device={device} publish=true"


def _targets(results: Sequence[Result]) -> str:
    rows = []
    for target in TARGETS:
        wanted = f"{'at least' if target.more_is_better else 'at most'} {target.bound:,g}{_unit(target)}"
        what = f"{target.suite}: {target.line}" + (f" over {target.over}" if target.over else "")
        own = [result for result in results if (result.suite, result.device) == (target.suite, target.device)]
        judged = [(result, verdict) for result in own if (verdict := judge(target, result))]
        for result, verdict in judged:
            outcome = "met" if verdict.met else "**missed**"
            reached = str(verdict.reason) if verdict.reached is None else f"{_number(verdict.reached)}{_unit(target)}"
            rows.append((what, label_of(result.machine, result.device), wanted, reached, outcome))
        if not judged:
            rows.append((what, "a GPU" if target.device == "cuda" else "a CPU", wanted, "", "not yet measured"))
    return _table(("what", "where", "wanted", "reached", ""), rows)


def _unit(target: Target) -> str:
    if target.over:
        return " x"
    unit = target.quantity.rpartition(", ")[2]
    return f" {unit}"


def _place(result: Result) -> tuple[str, str]:
    return label_of(result.machine, result.device), result.device


def _machine(label: str, device: str, results: Sequence[Result]) -> Iterator[str]:
    machine = results[-1].machine
    yield f"## {label}\n"
    facts = [machine["processor"], f"{machine['cores']} cores", f"{(machine['memory_mb'] or 0) / 1000:.0f} GB"]
    if device == "cuda":
        facts.append(f"{machine['gpu']}, {machine['gpu_memory_mb'] / 1000:.0f} GB")
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield f"{', '.join(facts)}; {machine['system']}; {versions}.\n"
    for result in results:
        yield from _suite(result)


def _suite(result: Result) -> Iterator[str]:
    settings = ", ".join(f"{key} {value}" for key, value in result.settings.items())
    yield f"### {result.suite}\n"
    yield f"{result.date}, commit `{result.commit or 'unknown'}`; {result.pictures}; {settings}.\n"
    yield f"```sh\n{result.command}\n```\n"
    for group, grouped in groupby(result.lines, key=lambda line: line.group):
        lines = list(grouped)
        against = " or ".join(dict.fromkeys(line.against for line in lines if line.against))
        rows = [row for _, own in groupby(lines, key=lambda line: line.name) for row in _rows([*own], result)]
        yield _table((group, "", "lowest to highest", f"x {against}", "of limit", "peak", "threads", "how"), rows)
    rest = [line for line in result.lines if line.reason]
    if rest:
        yield "Not measured here: " + "; ".join(f"{line.name} ({line.reason})" for line in rest) + ".\n"


def _rows(lines: Sequence[Line], result: Result) -> Iterator[tuple[str, ...]]:
    """The rows of one entrant: what is not of one quantity stands in the first."""
    for number, line in enumerate(lines):
        name = (
            line.name if line.quantity == line.unit else f"{line.name}: {line.quantity.removesuffix(f', {line.unit}')}"
        )
        how = f"`{line.how}`" if "=" in line.how else line.how
        if not line.values:
            yield (name, "not measured", *[""] * 5, how)
            continue
        other = result.find(line.against, line.quantity) if line.against else None
        peak = "" if line.peak_mb is None else f"{line.peak_mb:,.0f}"
        worker = f" + {line.worker_mb:,.0f}" if line.worker_mb else ""
        yield (
            name,
            f"**{_number(line.median)}** {line.unit}",
            f"{_number(min(line.values))} to {_number(max(line.values))}",
            _number(line.gain_over(other)) if other and other.values else "",
            f"{line.median / line.limit:.0%}" if line.limit else "",
            *((peak + worker, str(line.threads or ""), how) if number == 0 else [""] * 3),
        )


def _missing(results: Sequence[Result]) -> Iterator[str]:
    measured = {(result.suite, result.device) for result in results}
    for device in ("cpu", "cuda"):
        for suite in SUITES:
            if (suite, device) not in measured:
                yield f"{suite} on {'a GPU' if device == 'cuda' else 'a CPU'}: `{command(suite, device)}`"


def _number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 10 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells) + "\n"

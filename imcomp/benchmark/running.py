"""The whole of a benchmark: choose the suites, measure, write what came out."""

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from imcomp.benchmark.contest import alternate
from imcomp.benchmark.floor import with_limits
from imcomp.benchmark.machine import describe_machine, find_commit, label_of
from imcomp.benchmark.page import PICTURE, render
from imcomp.benchmark.plot import draw
from imcomp.benchmark.protocol import Protocol, lay_out_pictures
from imcomp.benchmark.readings import Result, read_results, write_result
from imcomp.benchmark.registry import LONG, SUITES
from imcomp.errors import InputError
from imcomp.files import write_text
from imcomp.inference import find_device

log = logging.getLogger(__name__)

REPORT = "report"
"""The suite that measures nothing and writes the page anew."""

_TRIED = "tried.md"
_RESULTS = "benchmarks"


@dataclass(frozen=True)
class Settings:
    """The keys of ``conf/benchmark.yaml``.

    Attributes:
        suite: names of ``SUITES``, `all`, or `report`.
        repeats: how often each entrant is measured.
        seconds: for each time.
        device: `auto`, `cpu` or `cuda`.
        pictures: how many there are to load, to train on and to complete.
        size: pixels of each of their sides.
        hole: the same of their hole.
        batch_size: pictures a step.
        counts: of pictures, for the suite `scale`.
        data_root: GTSRB's folder, as `data.root`; drawn signs where it is not there.
        publish: add the results to those in ``docs``, and write the page there anew.
        docs: that folder.
        output_dir: takes the results otherwise.
    """

    suite: str | Sequence[str]
    repeats: int
    seconds: float
    device: str
    pictures: int
    size: int
    hole: int
    batch_size: int
    counts: Sequence[int]
    data_root: str
    publish: bool
    docs: str
    output_dir: str


def benchmark(settings: Settings, config_dir: Path) -> bool:
    """Measure the suites and write ``<machine>-<suite>.json``, a page and a picture.

    Args:
        settings: what, how long and where.
        config_dir: the config tree.

    Returns:
        Whether all entrants of all suites could be measured.

    Raises:
        InputError: a mistake in the settings, or something that all of a suite needs is not there.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    suites = choose_suites(settings.suite)
    _check(settings)
    docs = Path(settings.docs)
    if (settings.publish or suites == [REPORT]) and not docs.is_dir():
        raise InputError(f"there is no folder {docs} to publish in; run it in a checkout, or give docs=PATH")
    if suites == [REPORT]:
        console.print(f"page:    {write_page(docs / _RESULTS, docs / 'benchmarks.md')}")
        return True
    folder = docs / _RESULTS if settings.publish else Path(settings.output_dir)
    complete = True
    with _protocol(settings, config_dir) as (protocol, pictures):
        machine, commit = describe_machine(), find_commit(Path(__file__).parent)
        for suite in suites:
            log.info("%s on %s: repeats=%d seconds=%g", suite, protocol.device, settings.repeats, settings.seconds)
            lines = alternate(
                SUITES[suite](protocol),
                repeats=settings.repeats,
                seconds=settings.seconds,
                logs=Path(settings.output_dir) / "logs" / suite,
            )
            result = Result(
                suite=suite,
                device=protocol.device,
                machine=machine,
                date=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
                commit=commit,
                command=f"python scripts/benchmark.py {shlex.join(repeatable(suite, sys.argv[1:]))}",
                settings={
                    key: getattr(settings, key) for key in ("repeats", "seconds", "pictures", "size", "batch_size")
                },
                pictures=pictures,
                lines=with_limits(lines),
            )
            path = folder / f"{label_of(machine, protocol.device)}-{suite}.json"
            write_result(result, path)
            console.print(f"results: {path}")
            complete &= all(line.values for line in lines)
    page = docs / "benchmarks.md" if settings.publish else folder / "benchmarks.md"
    console.print(f"page:    {write_page(folder, page)}")
    return complete


def choose_suites(given: str | Sequence[str]) -> list[str]:
    """The suites' names, in the order given.

    Raises:
        InputError: an unknown one, or `report` beside others.
    """
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    if names == ["all"]:
        return [name for name in SUITES if name not in LONG]
    for name in names:
        if name not in SUITES and names != [REPORT]:
            raise InputError(f"suite={name} is unknown; choose from {', '.join(SUITES)}, or all or report alone")
    if not names:
        raise InputError(f"suite=[] names none; choose from {', '.join(SUITES)}, or all or report alone")
    return names


def repeatable(suite: str, arguments: Sequence[str]) -> list[str]:
    """The command line for one suite, without the places of one machine."""
    kept = [argument for argument in arguments if not argument.startswith(("suite=", "hydra.", "paths.", "docs="))]
    return [
        f"suite={suite}",
        *("data_root=PATH" if argument.startswith("data_root=") else argument for argument in kept),
    ]


def write_page(folder: Path, page: Path) -> Path:
    """Write the page and its picture from the results in ``folder``; return the page's path."""
    write_text(page, page_of(folder, page))
    draw(read_results(folder), folder / PICTURE)
    return page


def page_of(folder: Path, page: Path) -> str:
    """What the page at ``page`` says of the results in ``folder``, which is its own or in it."""
    tried = folder / _TRIED
    relative = folder.relative_to(page.parent).as_posix()
    return render(
        read_results(folder),
        tried=tried.read_text(encoding="utf-8") if tried.is_file() else "",
        folder="" if relative == "." else relative,
    )


@contextmanager
def _protocol(settings: Settings, config_dir: Path) -> Iterator[tuple[Protocol, str]]:
    device = find_device(settings.device).type
    if device not in ("cpu", "cuda"):
        raise InputError(f"device={device} is not measured; give device=cpu or device=cuda")
    output_dir = Path(settings.output_dir).resolve()
    output_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output_dir, prefix="work-") as name:
        work = Path(name)
        root = Path(settings.data_root)
        pictures = lay_out_pictures(work / "pictures", settings.pictures, root)
        log.info("%d pictures: %s", settings.pictures, pictures)
        protocol = Protocol(
            *(work / "pictures", settings.pictures, settings.size, settings.hole, settings.batch_size),
            *(device, config_dir, work, root, tuple(settings.counts)),
        )
        yield protocol, pictures


def _check(settings: Settings) -> None:
    numbers = asdict(settings)
    for key in ("repeats", "pictures", "size", "hole", "batch_size"):
        if numbers[key] < 1:
            raise InputError(f"{key}={numbers[key]} is too few; give at least 1")
    if not settings.seconds > 0:
        raise InputError(f"seconds={settings.seconds} is no time; give more than 0")
    if settings.hole > settings.size:
        raise InputError(f"hole={settings.hole} does not fit into size={settings.size}; give a smaller hole")
    if bad := [count for count in settings.counts if count < 100]:
        raise InputError(f"counts={list(settings.counts)}: {bad[0]} are too few to train on; give at least 100")

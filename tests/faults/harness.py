"""Killing work at random moments, and seeing that what is repeated ends as if nothing had happened."""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_LONGEST = 300  # seconds that one attempt may take


@dataclass(frozen=True)
class Subject:
    """Something that is to survive being killed.

    Attributes:
        name: in one word.
        command: what a user would type for it; in words, for the page.
        work: does it from beginning to end in a folder, or goes on with what it finds there: called again after each
            kill, with nothing changed.
        result: what it left in the folder, as names with digests: those of a run that was killed must be the same as
            those of one that was not. Leftovers count.
        prepare: makes, once, what every round needs; its folder is handed to ``work`` as the second argument.
    """

    name: str
    command: str
    work: Callable[[Path, Path], None]
    result: Callable[[Path], dict[str, str]]
    prepare: Callable[[Path], None] = lambda folder: None


@dataclass(frozen=True)
class Outcome:
    """What some rounds came to.

    Attributes:
        subject: its name.
        command: what was killed.
        rounds: in each, the work was killed one to three times and then left to end.
        kills: that hit it before it ended.
        equal: rounds whose result was the undisturbed one.
        seconds: what the undisturbed work took.
        seed: of the moments.
    """

    subject: str
    command: str
    rounds: int
    kills: int
    equal: int
    seconds: float
    seed: int


def run_rounds(
    subject: Subject, folder: Path, rounds: int, seed: int = 0, report: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Kill a subject's work in ``rounds`` rounds.

    Args:
        subject: whose.
        folder: an empty one.
        rounds: how many.
        seed: of the moments.
        report: takes a line for each round.
    """
    shared = folder / "shared"
    shared.mkdir(parents=True)
    subject.prepare(shared)
    calm = folder / "calm"
    calm.mkdir()
    started = time.monotonic()
    finish(subject, calm, shared)
    seconds = time.monotonic() - started
    expected = subject.result(calm)
    assert expected, f"{subject.name} left nothing to compare"
    kills = equal = 0
    for number in range(rounds):
        moments = random.Random(f"{seed}-{subject.name}-{number}")  # of its own, whatever came before
        place = folder / f"round{number}"
        place.mkdir()
        hits = sum(
            kill_after(subject, place, shared, moments.uniform(0, seconds)) for _ in range(moments.randint(1, 3))
        )
        finish(subject, place, shared)
        got = subject.result(place)
        kills, equal = kills + hits, equal + (got == expected)
        report(f"{subject.name} {number + 1}/{rounds}: {hits} kills, {'equal' if got == expected else 'DIFFERENT'}")
        if got == expected:
            shutil.rmtree(place)
        else:
            differing = sorted(key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key))
            report(f"  see {place}: {', '.join(differing)}")
    return Outcome(subject.name, subject.command, rounds, kills, equal, round(seconds, 1), seed)


def finish(subject: Subject, place: Path, shared: Path) -> None:
    """Let the work come to its end, in a process of its own."""
    child = _start(subject, place, shared)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"{subject.name} ended with {code}:\n{_log(place).read_text()}"


def kill_after(subject: Subject, place: Path, shared: Path, seconds: float) -> bool:
    """Start the work, and kill it and all its processes after so long; whether it had not ended by then."""
    child = _start(subject, place, shared)
    time.sleep(seconds)
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        assert status == 0, f"{subject.name} failed by itself:\n{_log(place).read_text()}"
        return False
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _start(subject: Subject, place: Path, shared: Path) -> int:
    """Fork: what is imported stays imported, which makes an attempt seconds shorter."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        with suppress(PermissionError):  # it has done so itself
            os.setpgid(child, child)
        return child
    os.setpgid(0, 0)
    code = 1
    try:
        signal.alarm(_LONGEST)
        log = os.open(_log(place), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        subject.work(place, shared)
        code = 0
    except BaseException:  # noqa: BLE001  # this process ends here whatever happens
        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _log(place: Path) -> Path:
    return place.with_suffix(".log")


def digests(folder: Path, ignore: Callable[[str], bool] = lambda name: False) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with the SHA-256 of its bytes."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not ignore(name := path.relative_to(folder).as_posix())
    }


def as_json(outcomes: list[Outcome]) -> str:
    """For a file."""
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n"

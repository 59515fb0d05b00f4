"""Measuring several ways to do one thing in turn, each time in a process of its own."""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

import torch

from imcomp.benchmark.memory import largest_child_mb, peak_mb
from imcomp.benchmark.readings import Line, Reading
from imcomp.errors import InputError

log = logging.getLogger(__name__)

T = TypeVar("T")

Task = Callable[[float], Reading]
"""Prepares, warms up and measures for so many seconds. It must be picklable, since it goes to another process."""

# what a fresh process begins with: not more than any loop in PyTorch imports
_PRELOADED = ["torch"]


@dataclass(frozen=True)
class Entrant:
    """One way to do a thing; see ``Line`` for the names.

    Attributes:
        quantity: what of its readings counts most: where it fails, the line that says so is of this.
    """

    name: str
    group: str
    quantity: str
    task: Task
    against: str | None = None
    how: str = ""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a process returned, or the one line that says why it did not."""

    value: T | None = None
    reason: str | None = None


def alternate(entrants: Sequence[Entrant], *, repeats: int, seconds: float, logs: Path) -> list[Line]:
    """Measure every entrant once, then every one again, and so on: what slows a machine down slows all of them alike.

    Each time is a fresh process, so that no settings, threads or memory of one entrant are another's. One that fails is
    not tried again, and its line says why.

    Args:
        entrants: of different names.
        repeats: how often each is measured.
        seconds: for each time, after warming up.
        logs: folder for what each of them prints.

    Returns:
        A line for each quantity of each entrant, in the entrants' order.
    """
    readings: dict[str, list[Reading]] = {entrant.name: [] for entrant in entrants}
    reasons: dict[str, str] = {}
    for repeat in range(repeats):
        for entrant in entrants:
            if entrant.name in reasons:
                continue
            outcome = in_fresh_process(entrant.task, seconds, file=logs / f"{_slug(entrant.name)}.txt")
            if outcome.value is None:
                reasons[entrant.name] = str(outcome.reason)
                log.warning("%s: not measured: %s", entrant.name, outcome.reason)
                continue
            readings[entrant.name].append(outcome.value)
            shown = "; ".join(f"{value:.4g} {quantity}" for quantity, value in outcome.value.values.items())
            log.info("repeat %d of %d: %s: %s", repeat + 1, repeats, entrant.name, shown)
    return [line for entrant in entrants for line in _lines(entrant, readings[entrant.name], reasons)]


def in_fresh_process(task: Callable[[float], T], seconds: float, *, file: Path) -> Outcome[T]:
    """Run a task in a process that has imported torch and done nothing else.

    Args:
        task: what to run, with ``seconds``.
        seconds: handed on.
        file: takes what it prints.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(_PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    # not a daemon, which might not start loaders' workers
    process = context.Process(target=_run, args=(sender, task, seconds, file))  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        outcome: Outcome[T] = receiver.recv()
    except EOFError:
        process.join()
        outcome = Outcome(reason=f"its process ended with exit code {process.exitcode}; see logs/.../{file.name}")
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()
    return outcome


def _run(sender: Connection, task: Callable[[float], T], seconds: float, file: Path) -> None:
    # loaders' workers start as they do anywhere, and not as this process did
    multiprocessing.set_start_method(None, force=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt goes to the whole group; the parent words it
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.stdout, sys.stderr = out, out
        try:
            value = task(seconds)
            sender.send(Outcome(_with_memory(value) if isinstance(value, Reading) else value))
        except InputError as error:
            sender.send(Outcome(reason=str(error)))
        except Exception as error:  # noqa: BLE001  # whatever stops one entrant, the others are measured
            traceback.print_exc()
            first = next(iter(str(error).splitlines()), "")
            sender.send(Outcome(reason=f"{type(error).__name__}: {first}"))
        finally:
            with contextlib.suppress(ValueError):
                out.flush()


def _with_memory(reading: Reading) -> Reading:
    if reading.peak_mb is not None:
        return reading
    gc.collect()  # ends the loaders' workers, whose memory is known once they have ended
    return replace(reading, peak_mb=peak_mb(), worker_mb=largest_child_mb(), threads=torch.get_num_threads())


def _lines(entrant: Entrant, readings: Sequence[Reading], reasons: dict[str, str]) -> list[Line]:
    common = {"group": entrant.group, "against": entrant.against, "how": entrant.how}
    if entrant.name in reasons or not readings:
        return [Line(entrant.name, quantity=entrant.quantity, values=[], reason=reasons.get(entrant.name), **common)]  # type: ignore[arg-type]
    peaks = [reading.peak_mb for reading in readings if reading.peak_mb is not None]
    workers = [reading.worker_mb for reading in readings if reading.worker_mb is not None]
    return [
        Line(
            entrant.name,
            quantity=quantity,
            values=[reading.values[quantity] for reading in readings],
            work=readings[0].work if quantity == entrant.quantity else None,
            peak_mb=max(peaks, default=None),
            worker_mb=max(workers, default=None),
            threads=readings[0].threads,
            **common,  # type: ignore[arg-type]
        )
        for quantity in readings[0].values
    ]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)

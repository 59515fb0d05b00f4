"""Pictures, or calls, a second."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


def per_second(step: Callable[[], int], seconds: float, device: str = "cpu") -> float:
    """Take one step to warm up, then whole ones for at least so many seconds.

    Args:
        step: does some work and returns how much it was.
        seconds: at least; one step is taken in any case.
        device: where it is done, `cpu` or `cuda`.

    Returns:
        Work a second.
    """
    step()
    synchronize(device)
    started, done, steps = time.perf_counter(), 0, 0
    while steps == 0 or time.perf_counter() - started < seconds:
        done += step()
        steps += 1
    synchronize(device)
    return done / (time.perf_counter() - started)


def synchronize(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def forever(loader: Iterable[T]) -> Iterator[T]:
    """One epoch after the other."""
    while True:
        yield from loader

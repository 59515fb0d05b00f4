"""Learning-rate schedules: by epoch, or by optimiser step over the whole run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler, OneCycleLR, StepLR

from imcomp.errors import InputError


class Schedule(Protocol):
    """The options of a schedule, checked when they are given; the optimiser's own rate is the highest.

    Attributes:
        interval: how often the schedule is stepped. Only one that is stepped each ``step`` needs the run's length.
    """

    interval: ClassVar[Literal["epoch", "step"]]

    def over(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Schedule a run of so many optimiser steps."""
        ...


@dataclass(frozen=True)
class Constant:
    """The rate stays."""

    interval: ClassVar[Literal["epoch", "step"]] = "epoch"

    def over(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Hold the rate."""
        return ConstantLR(optimizer, factor=1.0)


@dataclass(frozen=True)
class Step:
    """The rate is multiplied by ``gamma`` every ``step_size`` epochs."""

    step_size: int
    gamma: float = 0.1
    interval: ClassVar[Literal["epoch", "step"]] = "epoch"

    def __post_init__(self) -> None:
        _check_number("step_size", self.step_size, least=1)
        if self.step_size != int(self.step_size):
            raise ValueError(f"step_size={self.step_size} is no number of epochs; give a whole one")
        _check_number("gamma", self.gamma)

    def over(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Fall by ``gamma`` again and again."""
        return _StepLR(optimizer, step_size=self.step_size, gamma=self.gamma)


@dataclass(frozen=True)
class OneCycle:
    """Up from ``lr / div_factor``, then down to ``1 / final_div_factor`` of that, along cosines (Smith, 2018).

    Args:
        pct_start: fraction of the run that goes up, in [0, 1).
        div_factor: the first rate is so many times below the highest.
        final_div_factor: the last rate is so many times below the first.
        cycle_momentum: momentum, or Adam's first beta, goes from 0.95 down to 0.85 and up again, against the rate;
            Muon's stays.
    """

    pct_start: float = 0.1
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    cycle_momentum: bool = True
    interval: ClassVar[Literal["epoch", "step"]] = "step"

    def __post_init__(self) -> None:
        _check_number("pct_start", self.pct_start, most=1)
        if self.pct_start == 1:
            raise ValueError("pct_start=1 leaves no step to go down; give a fraction below 1")
        for name in ("div_factor", "final_div_factor"):
            _check_number(name, getattr(self, name), least=1)
        if self.cycle_momentum not in (True, False):
            raise ValueError(f"cycle_momentum={self.cycle_momentum} is neither; give true or false")

    def over(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Go up and down once."""
        # a way up of one step has no length, by which torch divides
        pct_start = 0.0 if math.isclose(self.pct_start * steps, 1) else float(self.pct_start)
        return _OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=steps,
            pct_start=pct_start,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
            cycle_momentum=self.cycle_momentum and bool({"betas", "momentum"} & optimizer.defaults.keys()),
        )


@dataclass(frozen=True)
class Cosine:
    """Linearly up to the rate, then along half a cosine down to ``floor`` times the rate (Loshchilov & Hutter, 2017).

    Args:
        warmup: the way up: below 1 a fraction of the run, from 1 on a number of optimiser steps.
        floor: fraction of the rate that is left at the end, in [0, 1].
    """

    warmup: float = 0.05
    floor: float = 0.0
    interval: ClassVar[Literal["epoch", "step"]] = "step"

    def __post_init__(self) -> None:
        _check_number("warmup", self.warmup)
        if self.warmup > 1 and self.warmup != int(self.warmup):
            raise ValueError(f"warmup={self.warmup} is no number of steps; give a whole one, or a fraction below 1")
        _check_number("floor", self.floor, most=1)

    def over(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Warm up and fall.

        Raises:
            InputError: the run is over before the way up is.
        """
        warmup = round(self.warmup * steps) if self.warmup < 1 else int(self.warmup)
        if warmup >= steps:
            raise InputError(f"warmup={self.warmup} is no part of a run of {steps} steps; give less, such as 0.05")

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)  # not from 0: the first step is to learn something too
            fallen = min(1.0, (step - warmup) / (steps - warmup))
            return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * fallen)) / 2

        return LambdaLR(optimizer, factor)


class _StepLR(StepLR):
    """Torch's, for a run that is resumed with other options: from there on they hold."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the position, not the options."""
        super().load_state_dict({**state_dict, "step_size": self.step_size, "gamma": self.gamma})


class _OneCycleLR(OneCycleLR):
    """Torch's, for a run that is resumed with another length: the cycle is then that of the new length."""

    def step(self, epoch: int | None = None) -> None:
        """Take a step; after the cycle's end, where torch goes up again and then raises, the last rate stays."""
        if self.last_epoch < self.total_steps - 1:
            super().step(epoch)
        else:
            self.last_epoch += 1

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the position, not the length."""
        own = {key: getattr(self, key) for key in ("total_steps", "_schedule_phases")}
        super().load_state_dict({**state_dict, **own})


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "onecycle": OneCycle,
    "step": Step,
}


def build_schedule(options: Mapping[str, Any] | None) -> Schedule:
    """Check the options of a schedule: ``{"name": "cosine", "warmup": 0.1}``; None is ``constant``.

    Args:
        options: ``name``, a key of ``SCHEDULES``, and that schedule's own.

    Raises:
        ValueError: an unknown name, or an option that the schedule does not take or refuses.
    """
    given = dict(options or {"name": "constant"})
    name = given.pop("name", None)
    if name not in SCHEDULES:
        raise ValueError(f"unknown scheduler {name!r}; choose from {', '.join(SCHEDULES)}")
    known = [field.name for field in fields(SCHEDULES[name])]  # type: ignore[arg-type]
    if strange := sorted(given.keys() - set(known)):
        raise ValueError(
            f"scheduler {name!r} has no option {strange[0]!r}; give model/scheduler={name}, and of it"
            f" {', '.join(known) or 'none'}"
        )
    try:
        return SCHEDULES[name](**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"scheduler {name!r}: {error}") from error


def rescale(optimizer: Mapping[str, Any], schedule: dict[str, Any], factors: Sequence[float]) -> None:
    """Multiply the rates in the saved states of an optimiser and of its schedule, as if they had begun with others.

    Args:
        optimizer: its ``state_dict()``.
        schedule: its ``state_dict()``.
        factors: one for each group of parameters.
    """
    for group, factor in zip(optimizer["param_groups"], factors, strict=True):
        group.update({key: group[key] * factor for key in ("lr", "initial_lr", "max_lr", "min_lr") if key in group})
    for key in schedule.keys() & {"base_lrs", "_last_lr"}:
        schedule[key] = [rate * factor for rate, factor in zip(schedule[key], factors, strict=True)]


def count_steps(trainer: pl.Trainer) -> int:
    """Count the optimiser's steps in the whole of a run, those before it was resumed included.

    Raises:
        InputError: an endless run, over which there is no schedule.
    """
    steps = trainer.estimated_stepping_batches
    # Lightning has made the loader to count its batches, and would keep it; but one that is made before a checkpoint's
    # loops are restored forgets its position in the epoch
    trainer.fit_loop._combined_loader = None  # noqa: SLF001
    if not 0 < steps < math.inf:
        raise InputError(
            "a schedule over the whole run needs one that ends; give trainer.max_epochs or trainer.max_steps,"
            " or model/scheduler=constant"
        )
    return int(steps)


def _check_number(name: str, value: Any, least: float = 0, most: float = math.inf) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:
        upper = "" if most == math.inf else f" and at most {most:g}"
        raise ValueError(f"{name}={value} is out of range; give a number of at least {least:g}{upper}")

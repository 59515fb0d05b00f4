"""What a sweep can weigh besides the metrics of validation: what a network costs."""

import statistics
import time
from collections.abc import Collection, Sequence

import torch

from imcomp.batch import Batch
from imcomp.errors import InputError
from imcomp.module import InpaintingModule

REPEATS = 20
"""Pictures completed one after the other to time one."""


def count_params(module: InpaintingModule, _: Batch) -> float:
    """Parameters of the network."""
    return float(sum(parameter.numel() for parameter in module.network.parameters()))


def time_picture(module: InpaintingModule, batch: Batch) -> float:
    """Milliseconds that one picture takes on the batch's device, the median of `REPEATS`, after as long a warm-up."""
    image, mask = batch.image[:1], batch.mask[:1]
    times = []
    training = module.training
    module.eval()
    with torch.inference_mode():
        for _ in range(2 * REPEATS):
            started = time.perf_counter()
            module(image, mask, batch.box)
            if image.is_cuda:
                torch.cuda.synchronize()
            times.append(1000 * (time.perf_counter() - started))
    module.train(training)
    return statistics.median(times[REPEATS:])


COSTS = {"params": count_params, "latency": time_picture}
"""Objectives that are measured when they are asked for, from a trained module and a batch of validation."""


HIGHER_IS_BETTER = ("val/accuracy", "val/psnr")
"""The objectives to maximize; errors, losses and costs are minimized."""


def check_names(monitor: str, objectives: Sequence[str], validated: Collection[str]) -> None:
    """Refuse what a run would keep the worst weights by, or miss at its end.

    Args:
        monitor: the metric whose lowest value is kept.
        objectives: what a sweep improves.
        validated: what validation measures.

    Raises:
        InputError: a name that is not measured, a monitor that is best where it is highest, or no objective.
    """
    if monitor not in validated or monitor in HIGHER_IS_BETTER:
        wrong = "best where it is highest, and the lowest is kept" if monitor in validated else "not measured"
        known = ", ".join(sorted({*validated} - {*HIGHER_IS_BETTER}))
        raise InputError(f"monitor={monitor} is {wrong}; choose from {known}")
    choose(dict.fromkeys([*validated, *COSTS], 0.0), objectives)


def choose(metrics: dict[str, float], names: Sequence[str]) -> float | list[float]:
    """Pick a sweep's objectives from a run's metrics: one number for one name, a list for several.

    Raises:
        InputError: a name that is not among the metrics, or none at all.
    """
    if not names:
        raise InputError("objectives=[] leaves nothing to improve; name one or more, such as [val/mse]")
    for name in names:
        if name not in metrics:
            known = ", ".join(sorted({*metrics, *COSTS}))
            raise InputError(f"objectives={name} is not measured; choose from {known}")
    values = [metrics[name] for name in names]
    return values[0] if len(values) == 1 else values

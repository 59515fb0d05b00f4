"""How long a run takes from the shell's line to the reference's best validation error."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from imcomp.baselines import choose_baselines
from imcomp.benchmark.configs import STOPWATCH, build_data, quoted
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.protocol import Protocol, gtsrb_folder
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.stopwatch import Times, read_times
from imcomp.errors import InputError

GOAL = 0.00141
"""The best `val/mse` that the reference published, at epoch 37 of 42."""

RANDOM, TRACK = "experiment=fast, random split", "experiment=fast, track-disjoint split"
TELEA_RANDOM, TELEA_TRACK = "OpenCV, Telea, random split", "OpenCV, Telea, track-disjoint split"
ERROR = "best val/mse, MSE"
EPOCHS, EPOCHS_TIME = "43 epochs of the reference's network", "the whole run, s"
GOAL_TIME = f"to val/mse {GOAL}, s"


def entrants(protocol: Protocol) -> list[Entrant]:
    """Whole runs on GTSRB, each from an empty cache.

    Raises:
        InputError: there is no GTSRB.
    """
    if not gtsrb_folder(protocol.data_root).is_dir():
        raise InputError(f"suite=quality needs GTSRB, which is not in {protocol.data_root}; give data_root=PATH")
    group = "from start, cold cache"
    fast = {split: ("experiment=fast", f"data.split={split}") for split in ("random", "track")}
    # as long as the reference's run was, whatever early stopping would say
    epochs = ("trainer.max_epochs=43", "callbacks.early_stopping=null")
    errors = "without a network, on the same pictures"
    return [
        Entrant(RANDOM, group, GOAL_TIME, Run(protocol, fast["random"], to_goal=True), how=" ".join(fast["random"])),
        # the reference published no error on this split
        Entrant(TRACK, group, EPOCHS_TIME, Run(protocol, fast["track"], to_goal=False), how=" ".join(fast["track"])),
        Entrant(TELEA_RANDOM, errors, ERROR, ClassicalError(protocol, "random", "telea")),
        Entrant(TELEA_TRACK, errors, ERROR, ClassicalError(protocol, "track", "telea")),
        *(
            [Entrant(EPOCHS, group, EPOCHS_TIME, Run(protocol, epochs, to_goal=False), how=" ".join(epochs))]
            if protocol.device == "cuda"
            else []
        ),
    ]


@dataclass(frozen=True)
class Run:
    """Runs ``train.py`` on GTSRB.

    Attributes:
        protocol: where the pictures are.
        overrides: on the command line.
        to_goal: it must reach ``GOAL``.
    """

    protocol: Protocol
    overrides: Sequence[str]
    to_goal: bool

    def __call__(self, seconds: float) -> Reading:
        with TemporaryDirectory(dir=self.protocol.work) as name:
            folder = Path(name)
            values = {
                "data.root": quoted(self.protocol.data_root.resolve()),
                "data.download": "false",
                "paths.outputs": quoted(folder),
                "hydra.run.dir": quoted(folder / "run"),
                "paths.cache": quoted(folder / "cache"),
                "trainer.accelerator": "gpu" if self.protocol.device == "cuda" else "cpu",
                "+callbacks.stopwatch._target_": STOPWATCH,
                "+callbacks.stopwatch.path": quoted(folder / "times.json"),
                "+callbacks.stopwatch.count": "false",
            }
            arguments = ["data=gtsrb", *self.overrides, *(f"{key}={value}" for key, value in values.items())]
            command = [sys.executable, "-c", "from imcomp.cli import run; run('train')", *arguments]
            started = time.time()
            ended = subprocess.call(command)  # noqa: S603  # the arguments are our own
            taken = time.time() - started
            if ended:
                raise InputError(f"train.py data=gtsrb {' '.join(self.overrides)} ended with exit code {ended}")
            return summarise(read_times(folder / "times.json"), started, taken, to_goal=self.to_goal)


@dataclass(frozen=True)
class ClassicalError:
    """Completes the validation pictures of GTSRB without a network.

    Attributes:
        protocol: where the pictures are.
        split: `random` or `track`.
        method: a key of ``BASELINES``.
    """

    protocol: Protocol
    split: str
    method: str

    def __call__(self, seconds: float) -> Reading:
        fill = choose_baselines([self.method])[0][self.method]
        overrides = ["data=gtsrb", f"data.root={quoted(self.protocol.data_root.resolve())}", "data.download=false"]
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            datamodule = build_data(self.protocol, [*overrides, f"data.split={self.split}"], Path(folder))
            datamodule.setup("validate")
            errors = []
            for pictures, indices in datamodule.val_dataloader():
                holes = datamodule.make_batch(pictures, indices).mask[:, 0].numpy() > 0
                for picture, hole in zip(pictures[:, 0].numpy(), holes, strict=True):
                    difference = fill(picture, hole)[hole].astype(np.float64) - picture[hole]
                    errors.append(np.mean((difference / 255) ** 2))
            return Reading({ERROR: float(np.mean(errors))})


def summarise(times: Times, started: float, taken: float, *, to_goal: bool) -> Reading:
    """What a whole run amounts to.

    Args:
        times: of the run.
        started: the moment it was.
        taken: seconds until it had ended.
        to_goal: tell when it reached ``GOAL``.

    Raises:
        InputError: it never did.
    """
    best = min(mse for _, _, mse in times.validations)
    values = {EPOCHS_TIME: taken, ERROR: best}
    if to_goal:
        if best > GOAL:
            raise InputError(f"val/mse fell to {best:.5f} in {taken:.0f} s, and not to {GOAL}")
        values |= {GOAL_TIME: next(moment - started for moment, _, mse in times.validations if mse <= GOAL)}
    return Reading(values)

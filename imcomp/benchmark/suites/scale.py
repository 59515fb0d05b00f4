"""Whether time and memory of a picture depend on how many there are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from imcomp.benchmark.configs import build_data, time_training
from imcomp.benchmark.contest import Entrant, in_fresh_process
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.errors import InputError

_SIZE, _HOLE = 32, 8  # pixels; small, so that many pictures are drawn in minutes and little is computed


def entrants(protocol: Protocol) -> list[Entrant]:
    """One epoch of a tiny network for each number of drawn pictures, which are drawn before."""
    small = replace(protocol, size=_SIZE, hole=_HOLE)
    found = []
    for count in protocol.counts:
        overrides = ["data=synthetic", f"data.count={count}", "model.channels=[4,8]", "data.cache=disk"]
        drawn = in_fresh_process(_Draw(small, overrides), 0, file=protocol.work / "logs" / f"draw-{count}.txt")
        if drawn.reason:
            raise InputError(f"{count} pictures cannot be drawn: {drawn.reason}")
        found.append(
            Entrant(
                *(f"{count:,} pictures", f"{_SIZE}x{_SIZE} pixels", "training, ms/picture"),
                OneEpoch(small, overrides),
                how=" ".join(overrides),
            )
        )
    return found


@dataclass(frozen=True)
class OneEpoch:
    """Trains for one epoch and validates.

    Attributes:
        protocol: how.
        overrides: of the run's config.
    """

    protocol: Protocol
    overrides: Sequence[str]

    def __call__(self, seconds: float) -> Reading:
        started = time.time()
        times = time_training(self.protocol, [*self.overrides, "trainer.max_epochs=1"], seconds=None, count=False)
        assert times.first_batch is not None
        assert times.epoch is not None
        resident = {f"{name} memory at the end, MB": value for name, value in times.resident.items()}
        return Reading(
            {
                "start to first batch, s": times.first_batch - started,
                "training, ms/picture": 1000 * times.seconds / times.pictures,
                "validation, s": times.validations[0][0] - times.epoch,
                **resident,
            }
        )


@dataclass(frozen=True)
class _Draw:
    protocol: Protocol
    overrides: Sequence[str]

    def __call__(self, seconds: float) -> None:
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            build_data(self.protocol, self.overrides, Path(folder)).setup("fit")

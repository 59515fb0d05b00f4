"""The suites by name."""

from collections.abc import Callable

from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.suites import data, predict, quality, scale, startup, stream, train

__all__ = ["LONG", "SUITES"]

SUITES: dict[str, Callable[[Protocol], list[Entrant]]] = {
    "data": data.entrants,
    "train": train.entrants,
    "predict": predict.entrants,
    "startup": startup.entrants,
    "scale": scale.entrants,
    "stream": stream.entrants,
    "quality": quality.entrants,
}
"""Each names its entrants."""

LONG = {"quality"}
"""Those that `all` leaves out: they take hours on a CPU."""

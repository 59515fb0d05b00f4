"""Training: the step alone, with its data in memory, and the whole of it with loaders."""

from collections.abc import Sequence
from dataclasses import dataclass

from imcomp.benchmark.configs import time_training
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.floor import rate_entrants
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.rivals import ReferenceRun

REFERENCE_STEP, STEP = "reference loop, data in memory", "imcomp, as it is by default"
REFERENCE_WHOLE, WHOLE = "reference loop with its loader", "imcomp with its loader"
BUSY = "GPU without work, of a step"

_PLAIN = ["perf=plain", "model.context=null"]
_CHANGES = {
    "not channels last": "perf.channels_last=false",
    "optimiser not fused": "perf.fused=false",
    "compiled": "perf.compile=true",
    "in float32": "perf.precision=32-true",
    "in bf16-mixed": "perf.precision=bf16-mixed",
    "the whole picture computed": "model.context=null",
    "weights averaged": "callbacks=ema",
}


def entrants(protocol: Protocol) -> list[Entrant]:
    """The reference's loop, imcomp's runs, and imcomp's with one setting changed."""
    step, whole = ("the step, data in memory", "pictures/s"), ("with loaders", "pictures/s")
    changed = ("one setting changed", "pictures/s")

    def run(*overrides: str, cache: str = "ram") -> "Training":
        return Training(protocol, [f"data.cache={cache}", *overrides])

    batch_size = f"data.batch_size={8 * protocol.batch_size}"
    gpu = [
        Entrant(f"imcomp, {batch_size}", *step, run(batch_size), REFERENCE_STEP, batch_size),
        Entrant(BUSY, "one step", "%", Training(protocol, ["data.cache=disk"], profile=True)),
    ]
    return [
        *rate_entrants(protocol.device),
        Entrant(REFERENCE_STEP, *step, ReferenceRun(protocol, in_memory=True), how="float32, contiguous"),
        Entrant("imcomp, whole picture, float32", *step, run(*_PLAIN), REFERENCE_STEP, " ".join(_PLAIN)),
        Entrant("imcomp, window, float32", *step, run("perf=plain"), REFERENCE_STEP, "perf=plain"),
        Entrant(STEP, *step, run(), REFERENCE_STEP, "window, bf16-mixed where that is quicker"),
        Entrant("imcomp, experiment=fast", *step, run("experiment=fast"), REFERENCE_STEP, "experiment=fast"),
        *(Entrant(f"imcomp, {name}", *changed, run(change), STEP, change) for name, change in _CHANGES.items()),
        Entrant(REFERENCE_WHOLE, *whole, ReferenceRun(protocol, in_memory=False), how="2 workers"),
        Entrant(WHOLE, *whole, run(cache="disk"), REFERENCE_WHOLE, "data.cache=disk"),
        Entrant(
            "imcomp with its loader, experiment=fast",
            *(*whole, run("experiment=fast", cache="disk"), REFERENCE_WHOLE, "experiment=fast data.cache=disk"),
        ),
        *(gpu if protocol.device == "cuda" else []),
    ]


@dataclass(frozen=True)
class Training:
    """Trains as ``train.py`` does.

    Attributes:
        protocol: the pictures.
        overrides: of the run's config.
        profile: find out how long a GPU is idle, instead of pictures a second.
    """

    protocol: Protocol
    overrides: Sequence[str]
    profile: bool = False

    def __call__(self, seconds: float) -> Reading:
        times = time_training(self.protocol, self.overrides, seconds=seconds, profile=self.profile)
        if times.idle is not None:
            return Reading({"%": 100 * times.idle})
        return Reading({"pictures/s": times.pictures / times.seconds}, times.work)

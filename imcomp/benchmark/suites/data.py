"""Loading pictures: decoding, grey, size, hole and batch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imcomp.benchmark.configs import build_data, quoted
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.floor import copy_entrant, loading_work
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.rivals import ReferenceLoading
from imcomp.benchmark.timing import forever, per_second

REFERENCE_COLD, COLD = "reference loader, first epoch", "imcomp, first epoch, from no cache"
REFERENCE_WARM, WARM = "reference loader, later epochs", "imcomp, later epochs, cache on disk"


def entrants(protocol: Protocol) -> list[Entrant]:
    """First epochs whole, with all that comes before their first batch, and later ones."""
    how, first, later = "scikit-image, 2 workers", ("the first epoch", "pictures/s"), ("later epochs", "pictures/s")
    disk, ram, off = (["data.val_fraction=0", f"data.cache={cache}"] for cache in ("disk", "ram", "off"))
    cached, in_memory, uncached = (Loading(protocol, overrides, cold=False) for overrides in (disk, ram, off))
    return [
        copy_entrant("cpu"),  # where batches are made, whatever trains on them
        Entrant(REFERENCE_COLD, *first, ReferenceLoading(protocol, cold=True), how=how),
        Entrant(COLD, *first, Loading(protocol, disk, cold=True), REFERENCE_COLD, "data.cache=disk"),
        Entrant(REFERENCE_WARM, *later, ReferenceLoading(protocol, cold=False), how=how),
        Entrant(WARM, *later, cached, REFERENCE_WARM, "data.cache=disk"),
        Entrant("imcomp, later epochs, cache in memory", *later, in_memory, REFERENCE_WARM, "data.cache=ram"),
        Entrant("imcomp, later epochs, no cache", *later, uncached, REFERENCE_WARM, "data.cache=off"),
    ]


@dataclass(frozen=True)
class Loading:
    """Loads as ``train.py`` does, up to the batch with its holes.

    Attributes:
        protocol: the pictures.
        overrides: of the run's config.
        cold: one whole epoch from the start, with a cache of its own that is empty; else so many seconds after a first
            batch, with a cache that was filled before.
    """

    protocol: Protocol
    overrides: Sequence[str]
    cold: bool

    def __call__(self, seconds: float) -> Reading:
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            started = time.perf_counter()
            cache = [f"paths.cache={quoted(Path(folder) / 'cache')}"] if self.cold else []
            datamodule = build_data(self.protocol, [*self.overrides, *cache], Path(folder))
            datamodule.setup("fit")
            loader = datamodule.train_dataloader()
            work = loading_work(self.protocol.size)
            if self.cold:
                count = sum(len(datamodule.make_batch(*batch, epoch=0).image) for batch in loader)
                return Reading({"pictures/s": count / (time.perf_counter() - started)}, work)
            batches = forever(loader)
            rate = per_second(lambda: len(datamodule.make_batch(*next(batches), epoch=0).image), seconds)
            return Reading({"pictures/s": rate}, work)

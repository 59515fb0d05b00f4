"""What imcomp is measured against: the reference's loops, and fills without a network.

Like the reference it imports none of Lightning, so that its time and memory are its own.
"""

import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from imcomp.baselines import choose_baselines
from imcomp.benchmark.floor import count_work, loading_work
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.reference import (
    ReferencePictures,
    ReferenceTraining,
    complete_one,
    read_grey,
    reference_loader,
    scikit_image,
)
from imcomp.benchmark.timing import forever, per_second
from imcomp.models.autoencoder import Autoencoder

FILES = 1000
"""Files that are completed, at most."""

# what is turned over in memory
_BATCHES, _PICTURES = 8, 64


@dataclass(frozen=True)
class ReferenceLoading:
    """Loads as the reference does.

    Attributes:
        protocol: the pictures.
        cold: one whole epoch from the start; else so many seconds after a first batch.
    """

    protocol: Protocol
    cold: bool

    def __call__(self, seconds: float) -> Reading:
        pictures = ReferencePictures(self.protocol.paths, self.protocol.size, self.protocol.rows)
        pictures[0]  # scikit-image loads what it needs; the workers are forked with it
        loader = reference_loader(pictures, self.protocol.batch_size)
        started = time.perf_counter()
        work = loading_work(self.protocol.size)
        if self.cold:
            count = sum(len(image) for _, image in loader)
            return Reading({"pictures/s": count / (time.perf_counter() - started)}, work)
        batches = forever(loader)
        return Reading({"pictures/s": per_second(lambda: len(next(batches)[1]), seconds)}, work)


@dataclass(frozen=True)
class ReferenceRun:
    """Trains as the reference does.

    Attributes:
        protocol: the pictures.
        in_memory: turn over a few batches that are loaded already; else load while training.
    """

    protocol: Protocol
    in_memory: bool

    def __call__(self, seconds: float) -> Reading:
        protocol = self.protocol
        pictures = ReferencePictures(protocol.paths, protocol.size, protocol.rows)
        pictures[0]  # as above
        batches = forever(reference_loader(pictures, protocol.batch_size))
        training = ReferenceTraining(protocol.rows, protocol.device)
        masked, image = (part.to(protocol.device) for part in next(batches))
        work = count_work(lambda: training.loss(masked, image).backward(), len(image), "float32")  # type: ignore[no-untyped-call]
        if self.in_memory:
            batches = cycle(list(islice(batches, _BATCHES)))

        def step() -> int:
            masked, image = next(batches)
            training.step(masked, image)
            return len(image)

        return Reading({"pictures/s": per_second(step, seconds, protocol.device)}, work)


@dataclass(frozen=True)
class ReferenceCompleting:
    """Completes pictures in memory as the reference does, one by one.

    Attributes:
        protocol: the pictures.
        checkpoint: of the autoencoder.
    """

    protocol: Protocol
    checkpoint: Path

    def __call__(self, seconds: float) -> Reading:
        protocol = self.protocol
        network = _reference_network(self.checkpoint, protocol.device)
        pictures = cycle([read_grey(path, protocol.size) for path in protocol.paths[:_PICTURES]])

        def step() -> int:
            complete_one(network, next(pictures), protocol.rows, protocol.device)
            return 1

        work = count_work(step, 1, "float32")
        rate = per_second(step, seconds, protocol.device)
        return Reading({"pictures/s": rate, "ms": 1000 / rate}, work)


@dataclass(frozen=True)
class Classical:
    """Completes pictures in memory without a network, one by one.

    Attributes:
        protocol: the pictures.
        method: a key of ``BASELINES``.
    """

    protocol: Protocol
    method: str

    def __call__(self, seconds: float) -> Reading:
        hole = np.zeros((self.protocol.size, self.protocol.size), dtype=bool)
        hole[self.protocol.rows, self.protocol.rows] = True
        fill = choose_baselines([self.method])[0][self.method]
        pictures = cycle([np.asarray(image) for image in grey_images(self.protocol)])

        def step() -> int:
            fill(next(pictures), hole)
            return 1

        rate = per_second(step, seconds)
        return Reading({"pictures/s": rate, "ms": 1000 / rate})


@dataclass(frozen=True)
class ReferenceFiles:
    """Reads, completes and writes files as the reference does.

    Attributes:
        protocol: the pictures.
        checkpoint: of the autoencoder.
    """

    protocol: Protocol
    checkpoint: Path

    def __call__(self, seconds: float) -> Reading:
        protocol, paths = self.protocol, self.protocol.paths[:FILES]
        network = _reference_network(self.checkpoint, protocol.device)
        skimage = scikit_image()
        with TemporaryDirectory(dir=protocol.work) as folder:
            started = time.perf_counter()
            for path in paths:
                completed = complete_one(network, read_grey(path, protocol.size), protocol.rows, protocol.device)
                skimage.io.imsave(
                    f"{folder}/{path.stem}.png", (completed.clip(0, 1) * 255).astype(np.uint8), check_contrast=False
                )
            return Reading({"pictures/s": len(paths) / (time.perf_counter() - started)})


def grey_images(protocol: Protocol) -> list[Image.Image]:
    """A few pictures of mode `L` and the protocol's size."""
    images = []
    for path in protocol.paths[:_PICTURES]:
        with Image.open(path) as image:
            images.append(image.convert("L").resize((protocol.size, protocol.size)))
    return images


def _reference_network(checkpoint: Path, device: str) -> Autoencoder:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network = Autoencoder()
    network.load_state_dict({key.removeprefix("network."): value for key, value in state.items()})
    return network.to(device).eval()

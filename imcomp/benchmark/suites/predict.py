"""Completing pictures: in memory, from file to file, and with numbers that a CPU is slow on."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from imcomp.benchmark.configs import checkpoint_of
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.floor import count_work, rate_entrants
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.rivals import FILES, Classical, ReferenceCompleting, ReferenceFiles, grey_images
from imcomp.benchmark.timing import per_second
from imcomp.inference import TorchCompleter
from imcomp.prediction import Inputs
from imcomp.prediction import predict as predict_files

REFERENCE, TELEA = "reference, one by one", "OpenCV, Telea"
BATCHED, FAST = "imcomp, autoencoder, 16 at once", "imcomp, experiment=fast, 16 at once"
FAST_AUTO = f"{FAST}, precision=auto"
_REFERENCE_FILES, _REFERENCE_DENORMAL = "reference, from file to file", "reference, a tenth of its weights denormal"

_DENORMAL = 1e-40


def entrants(protocol: Protocol) -> list[Entrant]:
    """The reference, classical fills, and imcomp with its networks, backends and precisions."""
    autoencoder, fast = (checkpoint_of(protocol, choice) for choice in ("model=autoencoder", "experiment=fast"))
    denormal = protocol.work / "denormal.ckpt"
    _plant_denormals(autoencoder, denormal)
    memory, files = ("in memory", "pictures/s"), ("from file to file", "pictures/s")
    denormals = ("denormal weights", "pictures/s")

    def complete(path: Path, count: int, **options: str) -> "Completing":
        return Completing(protocol, path, count, options)

    def change(**options: str) -> Entrant:
        how = " ".join(f"{key}={value}" for key, value in options.items())
        return Entrant(f"{BATCHED}, {how}", *memory, complete(autoencoder, 16, **options), REFERENCE, how)

    return [
        *rate_entrants(protocol.device),
        Entrant(REFERENCE, *memory, ReferenceCompleting(protocol, autoencoder), how="float32, the whole picture"),
        Entrant(TELEA, *memory, Classical(protocol, "telea"), REFERENCE, "one thread, radius 3"),
        Entrant("OpenCV, Navier-Stokes", *memory, Classical(protocol, "navier_stokes"), REFERENCE, "one thread"),
        Entrant("scikit-image, biharmonic", *memory, Classical(protocol, "biharmonic"), REFERENCE),
        Entrant("imcomp, autoencoder, one by one", *memory, complete(autoencoder, 1), REFERENCE),
        Entrant(BATCHED, *memory, complete(autoencoder, 16), REFERENCE),
        change(precision="bf16"),
        change(backend="compile"),
        change(backend="onnx", precision="32"),
        Entrant("imcomp, experiment=fast, one by one", *memory, complete(fast, 1), REFERENCE),
        Entrant(FAST, *memory, complete(fast, 16), REFERENCE),
        Entrant(FAST_AUTO, *memory, complete(fast, 16, precision="auto"), REFERENCE, "bfloat16 where it is quicker"),
        Entrant(_REFERENCE_FILES, *files, ReferenceFiles(protocol, autoencoder), how="writes 256x256 pictures"),
        Entrant("imcomp, from file to file", *files, Files(protocol, autoencoder), _REFERENCE_FILES, "with sheets"),
        Entrant(
            "imcomp, from file to file, no sheets",
            *(*files, Files(protocol, autoencoder, {"side_by_side": False}), _REFERENCE_FILES, "side_by_side=false"),
        ),
        Entrant(_REFERENCE_DENORMAL, *denormals, ReferenceCompleting(protocol, denormal)),
        Entrant(
            "imcomp, a tenth of its weights denormal",
            *denormals,
            complete(denormal, 1),
            _REFERENCE_DENORMAL,
            "one by one",
        ),
    ]


@dataclass(frozen=True)
class Completing:
    """Completes pictures in memory with a ``Completer``.

    Attributes:
        protocol: the pictures.
        checkpoint: a network.
        count: pictures at once.
        options: of the ``Completer``.
    """

    protocol: Protocol
    checkpoint: Path
    count: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, seconds: float) -> Reading:
        protocol = self.protocol
        completer = TorchCompleter(self.checkpoint, protocol.device, **self.options)
        images = cycle(grey_images(protocol))
        hole = np.zeros((protocol.size, protocol.size), dtype=np.uint8)
        hole[protocol.rows, protocol.rows] = 255
        masks = [Image.fromarray(hole)] * self.count

        def step() -> int:
            return len(completer.complete_batch(list(islice(images, self.count)), masks))

        eager = self.options.get("backend", "auto") in ("auto", "eager")
        kind = str(completer.dtype).removeprefix("torch.")
        work = count_work(step, self.count, kind) if eager else None
        rate = per_second(step, seconds, protocol.device)
        return Reading({"pictures/s": rate} | ({"ms": 1000 / rate} if self.count == 1 else {}), work)


@dataclass(frozen=True)
class Files:
    """Reads, completes and writes files as ``predict.py`` does.

    Attributes:
        protocol: the pictures.
        checkpoint: a network.
        options: of ``imcomp.prediction.predict``.
    """

    protocol: Protocol
    checkpoint: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, seconds: float) -> Reading:
        completer = TorchCompleter(self.checkpoint, self.protocol.device)
        inputs = Inputs(self.protocol.folder, self.protocol.paths[:FILES])
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            started = time.perf_counter()
            predict_files(completer, inputs, Path(folder), **self.options)
            return Reading({"pictures/s": len(inputs.paths) / (time.perf_counter() - started)})


def _plant_denormals(checkpoint: Path, target: Path) -> None:
    """Copy a checkpoint with a tenth of its convolutions' weights set to a number below float32's normal ones."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for tensor in content["state_dict"].values():
        if tensor.ndim > 1:  # of convolutions
            tensor[torch.rand(tensor.shape, generator=generator) < 0.1] = _DENORMAL
    torch.save(content, target)

"""What is killed: training, packing, caching, completing. Each on tiny pictures, so that it takes seconds."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from imcomp.cli import config_dir
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.inference import Completer
from imcomp.packing import pack_as_configured
from imcomp.prediction import find_inputs, predict
from imcomp.training import train
from tests.faults.harness import Subject, digests

_SIZE = 64


def _draw_pictures(folder: Path, count: int) -> None:
    """Smooth random pictures, the same ones every time."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
        coarse.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC).save(folder / f"{number:04d}.png")


def _train(place: Path, shared: Path, *overrides: str) -> None:
    with initialize_config_dir(str(config_dir())):
        cfg = compose(
            "train",
            [
                *("debug=fast", "trainer=cpu", "perf=plain", "logger=csv", "resume=auto"),
                *("data=folder", f"data.root={shared / 'pictures'}", "~data.count", "~data.frames_per_track"),
                *("data.val_fraction=0.2", f"data.size={_SIZE}", "mask.size=24", "model.channels=[8,16]"),
                *("model.dropout=0.1", "trainer.max_epochs=6", "trainer.limit_train_batches=1.0"),
                *("callbacks.progress=null", "+trainer.enable_progress_bar=false", "data.cache=off"),
                *(f"paths.outputs={place}", f"paths.output_dir={place / 'run'}"),
                *overrides,
            ],
        )
    train(cfg)


def _trained(place: Path) -> dict[str, str]:
    """Every tensor of the weights and of the optimiser, the metrics, and the files that there are."""
    found = {}
    for name in ("last", "best"):
        checkpoint = torch.load(place / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
            found |= _flat(checkpoint[key], f"{name}/{key}")
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    found |= {f"metrics/{key}": str(value) for key, value in metrics.items() if key != "seconds"}
    names = digests(place / "run", ignore=lambda name: name.startswith("csv/"))  # each part of a run has a table
    return found | dict.fromkeys(names, "there")


def _flat(value: object, name: str) -> dict[str, str]:
    if isinstance(value, dict):
        return {key: text for k, v in value.items() for key, text in _flat(v, f"{name}/{k}").items()}
    if isinstance(value, (list, tuple)):
        return {key: text for k, v in enumerate(value) for key, text in _flat(v, f"{name}/{k}").items()}
    if isinstance(value, torch.Tensor):
        return {name: digest_of(value)}
    return {name: repr(value)}


def digest_of(tensor: torch.Tensor) -> str:
    """Of its bytes."""
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _cache(place: Path, shared: Path) -> None:
    InpaintingDataModule(
        *("folder", {"name": "center", "size": 24}),
        root=str(shared / "pictures"),
        size=_SIZE,
        num_workers=0,
        cache="disk",
        cache_dir=place / "cache",
    ).setup("fit")


def _cached(place: Path) -> dict[str, str]:
    return digests(place / "cache", ignore=lambda name: name.endswith(".lock"))


def _predict(place: Path, shared: Path) -> None:
    completer = Completer(shared / "run" / "checkpoints" / "best.ckpt", "cpu")
    predict(completer, find_inputs(str(shared / "pictures"), place / "completed"), place / "completed", seed=0)


def _pack(place: Path, shared: Path) -> None:
    with initialize_config_dir(str(config_dir())):
        cfg = compose(
            "pack",
            [
                *(f"data.root={shared / 'pictures'}", "data.cache=off", f"output={place / 'shards'}"),
                *("form=resized", "data.size=64", "shard_mb=0.2", "workers=1", "paths.output_dir=null"),
            ],
        )
    pack_as_configured(cfg)


def _train_and_draw(shared: Path) -> None:
    """A checkpoint, and what it is to complete."""
    _draw_pictures(shared / "pictures", 60)
    _train(shared, shared, "trainer.max_epochs=1")


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "training",
            "python train.py resume=auto, 6 epochs of 64 pictures",
            _train,
            _trained,
            lambda shared: _draw_pictures(shared / "pictures", 80),
        ),
        Subject(
            "packing",
            "python scripts/pack.py form=resized, 2,000 pictures into shards of 0.2 MB",
            _pack,
            lambda place: digests(place / "shards"),
            lambda shared: _draw_pictures(shared / "pictures", 2000),
        ),
        Subject(
            "caching",
            "the first start of training on 2,000 pictures, which decodes them",
            _cache,
            _cached,
            lambda shared: _draw_pictures(shared / "pictures", 2000),
        ),
        Subject(
            "predicting",
            "python predict.py on 60 pictures",
            _predict,
            lambda place: digests(place / "completed"),
            _train_and_draw,
        ),
    )
}
"""What is killed, by name."""

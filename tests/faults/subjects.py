"""What is killed: training, sweeping, packing, caching, completing; on tiny pictures, so that each takes seconds."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import optuna
import plotly.graph_objects  # noqa: F401  # what a sweep imports at its end: here once, and not in each fork
import torch
import torch.utils.tensorboard
from hydra import compose, initialize_config_dir
from optuna.trial import TrialState
from PIL import Image

import imcomp.sweeps.plots  # noqa: F401  # the same
from hydra_plugins.hydra_study_sweeper import open_storage
from imcomp.cli import config_dir, run
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


def _overrides(shared: Path) -> list[str]:
    """A run of seconds."""
    return [
        *("debug=fast", "trainer=cpu", "perf=plain", "logger=csv"),
        *("data=folder", f"data.root={shared / 'pictures'}", "~data.count=120", "~data.frames_per_track=4"),
        *("data.val_fraction=0.2", f"data.size={_SIZE}", "mask.size=24", "model.channels=[8,16]", "data.cache=off"),
        *("model=autoencoder", "callbacks=default", "model.dropout=0.1"),
        *("trainer.limit_train_batches=1.0", "callbacks.progress=null"),
    ]


def _train(place: Path, shared: Path, *overrides: str) -> None:
    folders = [f"paths.outputs={place}", f"paths.output_dir={place / 'run'}"]
    options = ["resume=auto", "trainer.max_epochs=6", "+trainer.enable_progress_bar=false"]
    with initialize_config_dir(str(config_dir())):
        cfg = compose("train", [*_overrides(shared), *options, *folders, *overrides])
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


def _sweep(place: Path, shared: Path) -> None:
    """As from the command line; of a grid, so that what is tried does not depend on what was tried before."""
    fixed = ["sweep/width=none", "data.batch_size=8", "model.weight_decay=0", "model/scheduler=constant"]
    fixed += ["++loss.l1.weight=0", "++loss.gradient.weight=0"]
    space = ["hydra/sweeper/sampler=grid", "model.lr=choice(0.001,0.003,0.01,0.03)", "hydra.sweeper.n_trials=4"]
    options = ["trainer.max_epochs=2", f"paths.outputs={place}"]
    sys.argv[1:] = ["-m", "sweep=optuna", *_overrides(shared), *fixed, *space, *options]
    run("train")


def _swept(place: Path) -> dict[str, str]:
    """What each value came to, to the last digit; how often it was begun is no matter."""
    storage = open_storage(str(place / "sweeps" / "default" / "study.journal"))
    trials = optuna.load_study(study_name="default", storage=storage).get_trials(states=[TrialState.COMPLETE])
    return {"complete": str(len(trials)), **{f"lr={trial.params['model.lr']}": repr(trial.value) for trial in trials}}


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
            "sweeping",
            "python train.py -m sweep=optuna, 4 trials of 2 epochs",
            _sweep,
            _swept,
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

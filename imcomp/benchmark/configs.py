"""imcomp as its users run it: from ``conf/train.yaml`` and overrides."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from imcomp.benchmark.contest import in_fresh_process
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.stopwatch import Times, read_times
from imcomp.config import build
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.errors import InputError
from imcomp.packing import pack_as_configured
from imcomp.training import train

VALIDATION = 0.1
"""Share of the pictures that a measured run validates on."""


def compose_train(protocol: Protocol, overrides: Sequence[str], output_dir: Path) -> DictConfig:
    """Compose the config of a run on the protocol's pictures that writes into ``output_dir``, and its cache, alone.

    Overrides win; an experiment among them has batches of its own size, and its own network.
    """
    values: dict[str, object] = {
        "data": "folder",
        "model": "autoencoder",
        "callbacks": "default",
        "data.root": protocol.folder,
        "data.fit": "stretch",
        "data.split": "random",
        "data.val_fraction": VALIDATION,
        "data.size": protocol.size,
        "data.batch_size": protocol.batch_size,
        "mask.size": protocol.hole,
        "paths.outputs": output_dir,
        "paths.output_dir": output_dir / "run",
        "paths.cache": protocol.work / "cache",
        "trainer.accelerator": "gpu" if protocol.device == "cuda" else "cpu",
        "test": "false",
    }
    given = {override.partition("=")[0] for override in overrides}
    left = given | ({"data.batch_size", "model", "callbacks"} if "experiment" in given else set())
    if "data" in given:  # another source, with options of its own
        left |= {"data.root", "data.fit", "data.split", "data.val_fraction"}
    own = [f"{key}={quoted(value)}" for key, value in values.items() if key not in left]
    with initialize_config_dir(str(protocol.config_dir)):
        return compose("train", [*own, *overrides])


def quoted(value: object) -> str:
    """A value as Hydra's command line takes it; paths may hold any sign."""
    if not isinstance(value, Path):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def build_data(protocol: Protocol, overrides: Sequence[str], output_dir: Path) -> InpaintingDataModule:
    """Build the data module of such a run."""
    cfg = compose_train(protocol, overrides, output_dir)
    mask = OmegaConf.to_container(cfg.mask, resolve=True, throw_on_missing=True)
    datamodule: InpaintingDataModule = build(cfg.data, "data", mask=mask)
    return datamodule


def pack_pictures(protocol: Protocol, form: str, folder: Path, shard_mb: float) -> int:
    """Pack the protocol's pictures, all of them to train with; return the shards' bytes."""
    values = {"data.root": protocol.folder, "data.size": protocol.size, "data.val_fraction": 0, "output": folder}
    values |= {"data.fit": "stretch", "form": form, "shard_mb": shard_mb, "paths.cache": protocol.work / "cache"}
    with initialize_config_dir(str(protocol.config_dir)):
        cfg = compose("pack", [f"{key}={quoted(value)}" for key, value in values.items()])
    return sum(shard.bytes for shard in pack_as_configured(cfg).shards)


def time_training(
    protocol: Protocol, overrides: Sequence[str], *, seconds: float | None, count: bool = True, profile: bool = False
) -> Times:
    """Train through the very function that ``train.py`` calls, and take the time.

    Args:
        protocol: the pictures.
        overrides: of the run's config.
        seconds: how long; None for as long as the config says.
        count: count the arithmetic of a step.
        profile: find out how long a GPU is idle.

    Raises:
        InputError: a mistake in the overrides, or too few pictures to take the time of a few batches.
    """
    with TemporaryDirectory(dir=protocol.work) as folder:
        cfg = compose_train(protocol, overrides, Path(folder))
        path = Path(folder) / "times.json"
        stopwatch = {"_target_": STOPWATCH, "path": str(path), "seconds": seconds}
        stopwatch |= {"count": count, "profile": profile}
        OmegaConf.update(cfg, "callbacks.stopwatch", stopwatch, force_add=True)
        if seconds is not None:
            _never_end(cfg, protocol.count - round(protocol.count * cfg.data.val_fraction))
        train(cfg)
        return read_times(path)


def checkpoint_of(protocol: Protocol, choice: str) -> Path:
    """A checkpoint that ``train.py`` saved after one step, of ``choice``: ``model=autoencoder``, say; made once.

    Raises:
        InputError: it cannot be trained.
    """
    path = protocol.work / f"{choice}.ckpt"
    if not path.is_file():
        made = in_fresh_process(_OneStep(protocol, choice, path), 0, file=protocol.work / "logs" / f"{choice}.txt")
        if made.reason:
            raise InputError(f"no checkpoint of {choice} to measure with: {made.reason}")
    return path


@dataclass(frozen=True)
class _OneStep:
    protocol: Protocol
    choice: str
    path: Path

    def __call__(self, seconds: float) -> None:
        short = ["trainer.max_epochs=1", "++trainer.limit_train_batches=1", "++trainer.limit_val_batches=1"]
        overrides = [self.choice, "data.cache=off", *short]
        with TemporaryDirectory(dir=self.protocol.work) as folder:
            train(compose_train(self.protocol, overrides, Path(folder)))
            shutil.copy(Path(folder) / "run" / "checkpoints" / "best.ckpt", self.path)


def _never_end(cfg: DictConfig, pictures: int) -> None:
    if pictures < 4 * cfg.data.batch_size:
        needed = math.ceil(4 * cfg.data.batch_size / (1 - cfg.data.val_fraction))
        raise InputError(f"too few pictures for batches of {cfg.data.batch_size}; give pictures={needed} or more")
    cfg.trainer.max_epochs = 1_000_000
    # the last, smaller batch of an epoch would be compiled once more
    OmegaConf.update(cfg, "trainer.limit_train_batches", pictures // cfg.data.batch_size, force_add=True)
    OmegaConf.update(cfg, "trainer.limit_val_batches", 1, force_add=True)


STOPWATCH = "imcomp.benchmark.stopwatch.Stopwatch"
"""Its name in a config."""

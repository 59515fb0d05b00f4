"""Pretraining a decoder: on whole pictures first, then with holes; and from scratch, at equal compute, beside it."""

import csv
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from imcomp.config import check_arguments
from imcomp.errors import InputError
from imcomp.files import write_text
from imcomp.models import NETWORKS, decoder_parts_of
from imcomp.overrides import FIRST_STAGE
from imcomp.states import find_state
from imcomp.training import choose_seed, train
from imcomp.weights import read_checkpoint

log = logging.getLogger(__name__)

SCRATCH = "scratch"
"""The folder, in a run's own, of the run from scratch."""


@dataclass(frozen=True)
class Pretraining:
    """The keys of ``pretrain``.

    Attributes:
        epochs: of ``trainer.max_epochs``, how many on whole pictures; those with holes are the others.
        frozen_epochs: of those with holes, how many the decoder is held for.
        decoder_lr: the decoder's learning rate after that, as a factor of ``model.lr``.
        keep_encoder: keep the pretrained encoder too; else it starts anew.
        compare: train from scratch as well, with ``trainer.max_epochs`` epochs with holes.
    """

    epochs: int
    frozen_epochs: int
    decoder_lr: float
    keep_encoder: bool
    compare: bool

    def check(self, total: int | None) -> int:
        """Check the epochs against ``trainer.max_epochs``; return how many are with holes.

        Raises:
            InputError: they do not add up.
        """
        total = total or 0
        if not 1 <= self.epochs < total:
            raise InputError(
                f"pretrain.epochs={self.epochs} of trainer.max_epochs={total} leaves nothing for one of the two stages;"
                f" give pretrain.epochs from 1 to {max(total - 1, 1)}, or more trainer.max_epochs"
            )
        holed = total - self.epochs
        if not 0 <= self.frozen_epochs <= holed:
            raise InputError(
                f"pretrain.frozen_epochs={self.frozen_epochs} is out of range; give 0 to {holed}, as many as have holes"
            )
        return holed


class Stage(NamedTuple):
    """One run of several: its name for people, its folder, and its scores."""

    name: str
    folder: Path
    metrics: dict[str, float]


def pretrain(cfg: DictConfig) -> dict[str, float]:
    """Train in two stages, and from scratch where ``cfg.pretrain.compare`` says so.

    The first stage lies in ``pretrain/`` of ``cfg.paths.output_dir``, the second in the folder itself, as any run does,
    and the run from scratch in ``scratch/``; ``pretraining.md`` and ``pretraining.csv`` compare them. With
    ``cfg.resume``, what has ended stays and what has begun goes on.

    Args:
        cfg: a composed ``conf/train.yaml`` with ``pretrain``.

    Returns:
        The metrics of the second stage, as `train` does.

    Raises:
        InputError: a mistake in the config, or a network without a decoder of its own.
        SystemExit: a signal ended the run; its state is saved.
    """
    keys: Any = OmegaConf.to_container(cfg.pretrain, resolve=True)
    check_arguments(Pretraining, keys, "pretrain")
    options = Pretraining(**keys)
    total = cfg.trainer.max_epochs
    holed = options.check(total)
    _check_decoder(cfg)
    folder = Path(cfg.paths.output_dir)
    if cfg.seed is None:  # one for all stages, whose pictures are to be parted alike
        cfg = cfg.copy()
        cfg.seed = choose_seed(find_state(folder / FIRST_STAGE) if cfg.resume else None)
    whole = {
        "mask": {"name": "center", "size": cfg.data.size},
        "model._target_": "imcomp.finetuning.WholePictureModule",
        "trainer.max_epochs": options.epochs,
        "test": False,
    }
    if "adversarial" in cfg.loss:
        whole["loss.adversarial"] = 0  # what is shown whole needs nobody to tell it from a fill
    stages = [_run(cfg, "on whole pictures", folder / FIRST_STAGE, whole)]
    second = {
        "init": str(folder / FIRST_STAGE / "checkpoints" / "best.ckpt"),
        "init_only": None if options.keep_encoder else "decoder",
        "model.decoder_lr": options.decoder_lr,
        "callbacks.frozen_decoder": {
            "_target_": "imcomp.finetuning.FrozenDecoder",
            "epochs": options.frozen_epochs,
        },
        "trainer.max_epochs": holed,
    }
    stages.append(_run(cfg, "then with holes", folder, second))
    if options.compare:
        stages.append(_run(cfg, "from scratch", folder / SCRATCH, {"trainer.max_epochs": total}))
    write_report(stages, describe(cfg, options), folder)
    return stages[1].metrics


def _check_decoder(cfg: DictConfig) -> None:
    """Refuse a network without a decoder before it is trained for it."""
    name = cfg.model.network
    try:
        if name in NETWORKS:  # else the first stage says so
            decoder_parts_of(NETWORKS[name])
    except ValueError as error:
        raise InputError(f"experiment=pretrain_decoder: {error}") from error


def describe(cfg: DictConfig, options: Pretraining) -> str:
    """Word what was done."""
    holed = options.check(cfg.trainer.max_epochs)
    encoder = "was kept too" if options.keep_encoder else "started anew"
    return (
        f"`{cfg.model.network}` on `{cfg.data.source}`: {options.epochs} epochs on whole pictures, then {holed} with"
        f" holes. For the first {options.frozen_epochs} of these the decoder was held, and then trained at"
        f" {options.decoder_lr:g} of the rate; the encoder {encoder}."
    )


def _run(cfg: DictConfig, name: str, folder: Path, changes: Mapping[str, Any]) -> Stage:
    """Train one stage, or go on with it, or take what it has come to."""
    stage = cfg.copy()
    for key, value in {"pretrain": None, "resume": None, "paths.output_dir": str(folder), **changes}.items():
        OmegaConf.update(stage, key, value, merge=False, force_add=True)
    result, state = folder / "metrics.json", find_state(folder) if cfg.resume else None
    if state is not None:
        stage.resume = str(state)
        before = OmegaConf.load(folder / "config.yaml")
        if result.is_file() and before.trainer.max_epochs == stage.trainer.max_epochs:
            log.info("%s: has ended", name)
            return Stage(name, folder, json.loads(result.read_text(encoding="utf-8")))
    result.unlink(missing_ok=True)  # of fewer epochs
    log.info("%s: %d epochs", name, stage.trainer.max_epochs)
    return Stage(name, folder, train(stage, latest=folder == Path(cfg.paths.output_dir)))


def write_report(stages: list[Stage], done: str, folder: Path) -> None:
    """Write ``pretraining.md`` and ``pretraining.csv``: all scores, and what they took.

    Args:
        stages: the two, and the run from scratch where there was one.
        done: in words.
        folder: the run's.
    """
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["stage", "epoch", "steps", *_SCORES])
    table = ["| stage | epochs | steps | seconds | best epoch | val/mse | val/accuracy | val/psnr |", "|---" * 8 + "|"]
    for stage in stages:
        rows.writerows(
            [stage.name, *(row[column] for column in ("epoch", "step", *_SCORES))] for row in read_curve(stage.folder)
        )
        last = read_checkpoint(stage.folder / "checkpoints" / "last.ckpt")
        best, seconds = int(stage.metrics["epoch"]) + 1, stage.metrics["seconds"]
        scores = " | ".join(f"{stage.metrics[key]:.4g}" for key in _SCORES)
        table.append(
            f"| {stage.name} | {last['epoch'] + 1} | {last['global_step']} | {seconds:.0f} | {best} | {scores} |"
        )
    write_text(folder / "pretraining.csv", file.getvalue())
    ending = "`pretrain.compare=true` trains from scratch as well, at equal compute."
    if len(stages) > 2:
        ratio = stages[1].metrics["val/mse"] / stages[2].metrics["val/mse"]
        ending = f"Pretraining ended with {ratio:.3g} times the `val/mse` of as many epochs from scratch."
    notes = (
        "Scores on whole pictures are of all pixels, which the network was shown; the others are of the hole, and can"
        " be compared. Seconds are those since a stage was last started."
    )
    text = "\n\n".join(["# Pretraining", done, "\n".join(table), notes, ending])
    write_text(folder / "pretraining.md", f"{text}\n")


_SCORES = ("val/mse", "val/accuracy", "val/psnr")


def read_curve(folder: Path) -> list[dict[str, str]]:
    """The scores after each epoch, from Lightning's CSV logs; empty where there are none.

    Args:
        folder: a run's; each start of the run has a version of its own, of which later ones count.
    """
    epochs: dict[int, dict[str, str]] = {}
    versions = [file.parent for file in folder.glob("csv/version_*/metrics.csv")]
    for version in sorted(versions, key=lambda path: int(path.name.rpartition("_")[2])):
        with (version / "metrics.csv").open(encoding="utf-8", newline="") as file:
            epochs |= {int(row["epoch"]): row for row in csv.DictReader(file) if row.get(_SCORES[0])}
    return [epochs[epoch] for epoch in sorted(epochs)]

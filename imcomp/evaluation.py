"""Scoring a trained network, and classical fills beside it, on the same pictures with the same holes."""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader

from imcomp.baselines import Baseline, choose_baselines
from imcomp.callbacks import SampleGrid
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import whole_batch
from imcomp.data.splits import Part
from imcomp.errors import InputError
from imcomp.files import atomic, write_text
from imcomp.inference import Trained, find_device, load_trained
from imcomp.metrics import hole_metrics
from imcomp.module import InpaintingModule

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

PICTURE_OPTIONS = ("channels", "size", "fit")
"""Data options that an evaluation takes from the checkpoint unless they are given."""

SPLIT_OPTIONS = ("split", "val_fraction", "test_fraction", "seed")
"""The same, where the checkpoint was trained on the source that is evaluated."""

INHERITED = (*PICTURE_OPTIONS, *SPLIT_OPTIONS)

# what decides which pictures of a source are trained on
_LEAK_OPTIONS = (
    *("split", "seed", "val_fraction", "test_fraction"),
    *("count", "frames_per_track", "group_regex"),
)


@dataclass(frozen=True)
class Scores:
    """How well one method fills the holes of a set of pictures.

    Attributes:
        mse: mean over pictures of `hole_mse`.
        accuracy: share of pictures in [0, 1] with a `hole_mse` of at most ``imcomp.metrics.TOLERANCE``.
        psnr: mean over pictures of `hole_psnr`, in dB.
        count: pictures; those without a hole do not count.
        pictures_per_second: of the method alone, without reading the pictures.
    """

    mse: float
    accuracy: float
    psnr: float
    count: int
    pictures_per_second: float

    def plain(self) -> dict[str, float | None]:
        """What is repeatable of it, for a file: no speed, and None for what is not a number."""
        values = {"mse": self.mse, "accuracy": self.accuracy, "psnr": self.psnr}
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        return {**finite, "count": self.count}


@dataclass(frozen=True)
class Evaluation:
    """Scores of the network, and of each baseline by name, on the very same pictures and holes."""

    network: Scores
    baselines: dict[str, Scores]

    def plain(self) -> dict[str, Any]:
        """The network's scores, and each baseline's under `baselines`; see `Scores.plain`."""
        baselines = {name: scores.plain() for name, scores in self.baselines.items()}
        return {**self.network.plain(), "baselines": baselines}


def evaluate(cfg: "DictConfig") -> dict[str, Any]:
    """Score a checkpoint as the config says; see ``conf/evaluate.yaml``.

    The pictures come from ``cfg.data``; what of ``INHERITED`` is null there, and a null ``cfg.mask``, are as the
    network was trained. Prints a table and writes ``metrics.json`` and ``samples.png`` (the part's first pictures:
    masked, completed, original, error times 4) into ``cfg.paths.output_dir``.

    The network's raw output is scored, in float32 and not clamped to [0, 1], as in validation while training:
    on the same data, `mse` is the checkpoint's `val/mse`, to rounding where training ran in lower precision.
    Baselines fill 8-bit pictures and are compared with the truth in [0, 1].

    Returns:
        What ``metrics.json`` holds: `mse`, `accuracy`, `psnr` and `count` of the network, the same by name in
        `baselines`, the reasons in `skipped_baselines`, and what was evaluated.

    Raises:
        InputError: a mistake in the config, the checkpoint or the data.
    """
    # here, so that `score_part` can be imported without Hydra
    from omegaconf import OmegaConf

    from imcomp.config import build, check_settings

    options: Any = OmegaConf.to_container(cfg, resolve=True)
    check_settings(options, ckpt=str | None, samples=int, limit=int | None, baselines=list[str] | None, device=str)
    if not options["ckpt"]:
        raise InputError("no checkpoint; give ckpt=PATH, such as ckpt=outputs/latest/checkpoints/best.ckpt")
    baselines, skipped = choose_baselines(options["baselines"])
    trained = load_trained(str(options["ckpt"]))
    mask = options.get("mask") or trained.data.get("mask")
    if mask is None:
        raise InputError(f"{options['ckpt']} does not say which holes it was trained on; give mask=center")
    data = inherit(options["data"], trained.data)
    datamodule: InpaintingDataModule = build(OmegaConf.create(data), "data", mask=mask)
    if options["part"] != "train" and (warning := leak_warning(trained.data, datamodule.hparams)):
        log.warning("%s", warning)

    console = Console(highlight=False, soft_wrap=True)
    module = as_module(trained)
    evaluation = score_part(
        *(module, datamodule, options["part"]),
        baselines=baselines,
        limit=options["limit"],
        device=options["device"],
        progress=console.is_terminal,
    )
    output_dir = Path(options["paths"]["output_dir"])
    if options["samples"]:
        samples = draw_samples(module, datamodule, options["part"], options["samples"])
        with atomic(output_dir / "samples.png") as beside:
            samples.save(beside)
    metrics = {
        **evaluation.plain(),
        "skipped_baselines": skipped,
        **{key: options[key] for key in ("ckpt", "part", "limit")},
        **{key: datamodule.hparams[key] for key in ("source", "mask", *INHERITED)},
    }
    path = output_dir / "metrics.json"
    write_text(path, json.dumps(metrics, indent=2) + "\n")
    console.print(score_table(evaluation))
    for name, reason in skipped.items():
        console.print(f"left out: {name}: {reason}", markup=False)
    console.print(f"outputs:  {output_dir}", markup=False)
    return metrics


@torch.inference_mode()
def score_part(
    module: InpaintingModule,
    datamodule: InpaintingDataModule,
    part: Part = "val",
    *,
    baselines: Mapping[str, Baseline] | None = None,
    limit: int | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Evaluation:
    """Score a network and baselines on one part of the data, batch by batch.

    Args:
        module: is moved to ``device`` and left in evaluation mode; its raw, unclamped output is scored.
        datamodule: cuts the holes, each a function of its seed and the picture's number alone, in every part.
        part: `train`, `val` or `test`.
        baselines: fills by name, such as ``imcomp.baselines.BASELINES``.
        limit: only that many pictures, the first in the split's order.
        device: a torch device, or `auto` for the best that the machine has.
        progress: show a bar.

    Raises:
        InputError: no such part, no pictures in it, pictures that the network does not take, or no such
            device.

    Example:
        >>> datamodule = InpaintingDataModule("folder", {"name": "center"}, root="signs")  # doctest: +SKIP
        >>> score_part(as_module(load_trained("best.ckpt")), datamodule).network.mse  # doctest: +SKIP
    """
    if part not in get_args(Part):
        raise InputError(f"part={part} is unknown; choose from {', '.join(get_args(Part))}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit} leaves no picture; give at least 1, or null for all")
    _check_pictures(module, datamodule)
    where = find_device(device)
    torch.set_flush_denormal(True)  # on denormal weights a CPU computes 15 times slower
    module.to(where).eval()
    datamodule.setup()
    loader = _loader(datamodule, part, limit)
    network = _Tally(where)
    tallies = {name: _Tally(torch.device("cpu")) for name in baselines or {}}
    for pictures, index in _shown(loader, f"scoring {part}") if progress else loader:
        batch = datamodule.make_batch(pictures.to(where), index.to(where))
        started = time.perf_counter()
        output = module(batch.image, batch.mask)
        if where.type != "cpu":
            torch.accelerator.synchronize(where)
        network.seconds += time.perf_counter() - started
        network.add(output, batch.image, batch.mask)
        if not baselines:
            continue
        mask = batch.mask.cpu()
        for name, fill in baselines.items():
            started = time.perf_counter()
            filled = fill_batch(fill, pictures, mask)
            tallies[name].seconds += time.perf_counter() - started
            tallies[name].add(filled.float() / 255, pictures.float() / 255, mask)
    return Evaluation(network.scores(), {name: tally.scores() for name, tally in tallies.items()})


@torch.inference_mode()
def draw_samples(
    module: InpaintingModule, datamodule: InpaintingDataModule, part: Part = "val", count: int = 8
) -> Image.Image:
    """Show the first pictures of a part: rows of masked, completed, original, and error in the hole times 4.

    Args:
        module: in evaluation mode.
        datamodule: after ``setup``.
        part: `train`, `val` or `test`.
        count: pictures, at least 1.
    """
    dataset = datamodule.dataset(part)
    items = [dataset[position] for position in range(min(count, len(dataset)))]
    pictures = torch.stack([picture for picture, _ in items]).to(module.device)
    batch = datamodule.make_batch(pictures, torch.tensor([index for _, index in items], device=module.device))
    grid = SampleGrid(count).grid(batch, module(batch.image, batch.mask))
    return Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())


def as_module(trained: Trained) -> InpaintingModule:
    """The Lightning module that the network was trained in, but for what it was trained by."""
    module = InpaintingModule(**trained.options)
    module.network = trained.network
    return module.eval()


def fill_batch(fill: Baseline, pictures: Tensor, mask: Tensor) -> Tensor:
    """Fill each picture of a batch by a baseline.

    Args:
        fill: takes one picture.
        pictures: ``(B, C, H, W)`` uint8 with C of 1 or 3, on the CPU.
        mask: ``(B, 1, H, W)``, 1 = hole, on the CPU.

    Returns:
        ``(B, C, H, W)`` uint8.
    """
    filled = torch.empty_like(pictures)
    for one, picture, hole in zip(filled, pictures, mask, strict=True):
        array = picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy()
        planes = torch.from_numpy(fill(array, hole[0].numpy() > 0))
        one.copy_(planes if planes.ndim == 2 else planes.permute(2, 0, 1))
    return filled


def inherit(options: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """Put the checkpoint's value wherever one of ``INHERITED`` is None; how to split, only for the same source.

    Args:
        options: of the data to evaluate on.
        trained: of the data module that the network was trained with; what is not taken from it is left to the class
            default.
    """
    filled = dict(options)
    usable = INHERITED if options.get("source") == trained.get("source") else PICTURE_OPTIONS
    for key in INHERITED:
        if filled.get(key) is not None:
            continue
        filled.pop(key, None)
        if key in usable and key in trained:
            filled[key] = trained[key]
    if options.get("source") == "stream":
        filled |= {"split": "packed", "val_fraction": None, "test_fraction": None}  # settled in packing
    return filled


def leak_warning(trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str | None:
    """Word a warning where the evaluated pictures may be among those that the network was trained on.

    That is where both are from the same source, split in another way.

    Args:
        trained: plain options of the data module that the network was trained with.
        evaluated: the same of the data evaluated on.

    Returns:
        One line, or None where there is nothing to warn of.
    """
    if not _same_source(trained, evaluated):
        return None
    known = trained.keys() & evaluated.keys()  # an option that one of them leaves at its default says nothing
    changed = [key for key in _LEAK_OPTIONS if key in known and trained[key] != evaluated[key]]
    if not changed:
        return None
    before, now = (", ".join(f"{key}={options[key]}" for key in changed) for options in (trained, evaluated))
    return (
        f"the network was trained on {trained['source']} with {before}, and is evaluated with {now}:"
        " some of these pictures may have been trained on"
    )


def score_table(evaluation: Evaluation) -> Table:
    """The scores as a table, the network first."""
    table = Table("method")
    for name in ("mse", "accuracy", "psnr", "count", "pictures/s"):
        table.add_column(name, justify="right")
    for method, scores in {"network": evaluation.network, **evaluation.baselines}.items():
        table.add_row(
            method,
            f"{scores.mse:.6g}",
            f"{scores.accuracy:.4f}",
            f"{scores.psnr:.2f}",
            f"{scores.count:,}",
            f"{scores.pictures_per_second:,.1f}",
        )
    return table


class _Tally:
    """Adds up one method's scores, with the metrics that training logs."""

    def __init__(self, device: torch.device) -> None:
        self.metrics = hole_metrics().to(device)
        self.seconds = 0.0
        self.pictures = 0  # with those that have no hole

    def add(self, output: Tensor, target: Tensor, mask: Tensor) -> None:
        self.metrics.update(output, target, mask)
        self.pictures += len(output)

    def scores(self) -> Scores:
        values = {key: float(value) for key, value in self.metrics.compute().items()}
        count = self.metrics["mse"].count
        assert isinstance(count, Tensor)
        speed = self.pictures / self.seconds if self.seconds else math.inf
        return Scores(**values, count=int(count), pictures_per_second=speed)


def _check_pictures(module: InpaintingModule, datamodule: InpaintingDataModule) -> None:
    if datamodule.channels != module.in_channels:
        raise InputError(
            f"data.channels={datamodule.channels}, but the network takes pictures of {module.in_channels};"
            " leave data.channels out"
        )
    if datamodule.size % module.multiple:
        raise InputError(
            f"data.size={datamodule.size} is not a multiple of {module.multiple}, which this network needs;"
            f" give {-(-datamodule.size // module.multiple) * module.multiple}"
        )


def _loader(datamodule: InpaintingDataModule, part: Part, limit: int | None) -> DataLoader[Any]:
    """The first pictures of a part in the split's order; the module's own loader of training shuffles."""
    dataset = datamodule.dataset(part)
    dataset.indices = dataset.indices[:limit]
    batches = -(-len(dataset) // datamodule.batch_size)
    return DataLoader(
        dataset,
        batch_size=datamodule.batch_size,
        num_workers=min(datamodule.num_workers, batches),
        collate_fn=whole_batch,
        generator=torch.Generator(),  # else each loader draws a number from the global one
    )


def _same_source(trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> bool:
    if trained.get("source") != evaluated.get("source"):
        return False
    if trained.get("source") == "folder":
        return Path(str(trained.get("root"))).resolve() == Path(str(evaluated.get("root"))).resolve()
    # GTSRB's official test pictures are none of its training pictures
    return bool(trained.get("part", "train") == evaluated.get("part", "train"))


def _shown(loader: DataLoader[Any], what: str) -> Iterator[Any]:
    """Go through a loader under a bar that counts pictures and goes away at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(what, total=len(loader.dataset))  # type: ignore[arg-type]
        for batch in loader:
            yield batch
            bar.advance(task, len(batch[0]))

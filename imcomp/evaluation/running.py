"""An evaluation from the config to the report: what ``scripts/evaluate.py`` runs."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console

from imcomp.baselines import BASELINES, choose_baselines
from imcomp.config import build, check_options, check_settings
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.masks import MASKS
from imcomp.errors import InputError
from imcomp.evaluation.agreement import INHERITED, inherit, inherit_mask, leak_warning, name_checkpoints
from imcomp.evaluation.curves import draw_curves
from imcomp.evaluation.document import to_html, to_markdown
from imcomp.evaluation.entrants import Workers, build_entrants
from imcomp.evaluation.gallery import GAIN, Gallery
from imcomp.evaluation.listing import write_listing
from imcomp.evaluation.report import Comparison, compare, score_table, write_parts
from imcomp.evaluation.scoring import Scored, part_of, score
from imcomp.files import atomic, write_text
from imcomp.inference import Trained, find_device, load_trained
from imcomp.pretrained import choose_checkpoint

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Compare checkpoints and classical fills as the config says; see ``conf/evaluate.yaml``.

    The pictures come from ``cfg.data``; what of ``INHERITED`` is null there, and a null ``cfg.mask``, are as the
    networks were trained. Writes ``metrics.json``, ``report.md``, ``report.html``, ``pictures.csv``, ``curves.svg``
    and pictures into ``cfg.paths.output_dir``, and prints a table.

    The networks' raw output is scored, in float32 and not clamped to [0, 1], as in validation while training: on the
    same data, `mse` is the checkpoint's `val/mse`, to rounding where training ran in lower precision.

    Returns:
        What ``metrics.json`` holds, see docs/evaluation.md.

    Raises:
        InputError: a mistake in the config, a checkpoint or the data.
    """
    options: Any = OmegaConf.to_container(cfg, resolve=True)
    check_settings(
        options,
        samples=int,
        limit=int | None,
        baselines=list[str] | None,
        device=str,
        resamples=int,
        self_ensemble=bool,
        lpips=Mapping,
        fid=Mapping,
    )
    backbones = {f"{key}.{name}": value for key in ("lpips", "fid") for name, value in options[key].items()}
    weights = str | None
    check_settings(backbones, **{"lpips.net": Literal["alex", "squeeze", "vgg"]})
    check_settings(backbones, **{"lpips.weights": weights, "fid.weights": weights})
    for key in ("samples", "resamples"):
        if options[key] < 0:
            raise InputError(f"{key}={options[key]} is no number of {key}; give 0 or more")
    output_dir = Path(options["paths"]["output_dir"])
    checkpoints = find_checkpoints(options["ckpt"], Path(options["paths"]["outputs"]))
    baselines, skipped = choose_baselines(options["baselines"])
    trained = {name: load_trained(path) for name, path in checkpoints.items()}
    if not trained and not baselines:
        raise InputError("there is nothing to evaluate; give ckpt=PATH, or baselines")
    further, fid, without = _perceptual(options["lpips"], options["fid"])
    skipped |= without
    device = find_device(options["device"])
    datamodule = build_data(cfg, options, trained)
    datamodule.setup()
    warnings = _warnings(trained, datamodule, options["part"])
    dataset = part_of(datamodule, options["part"], options["limit"])

    torch.set_flush_denormal(True)  # on denormal weights a CPU computes 15 times slower
    console = Console(highlight=False, soft_wrap=True, markup=False)
    with Workers(options["workers"], len(dataset)) as workers:
        entrants = build_entrants(
            *(trained, baselines, workers, device),
            channels=datamodule.channels,
            size=datamodule.size,
            self_ensemble=options["self_ensemble"],
        )
        scored = score(
            *(entrants, datamodule, options["part"]),
            device=device,
            limit=options["limit"],
            further={name: metric.to(device).score for name, metric in further.items()},
            fid=fid.to(device) if fid else None,
            progress=console.is_terminal,
        )
        pictures = {
            "count": len(scored.positions),
            "part": options["part"],
            "limit": options["limit"],
            **{key: datamodule.hparams[key] for key in ("source", "mask", "resolution", *INHERITED)},
        }
        comparison = compare(
            *(scored, entrants, checkpoints),
            resamples=options["resamples"],
            pictures=pictures,
            skipped=skipped,
            warnings=warnings,
        )
        gallery = Gallery(entrants, datamodule, dataset, device)
        metrics = _write(comparison, scored, gallery, options["samples"], output_dir)
    console.print(score_table(comparison))
    for name, reason in skipped.items():
        console.print(f"left out: {name}: {reason}")
    console.print(f"report:   {output_dir / 'report.html'}")
    return metrics


def find_checkpoints(given: Any, outputs: Path) -> dict[str, str]:
    """Name the checkpoints of ``ckpt``: one, a list, or a mapping from names of one's own.

    Raises:
        InputError: none, not even an empty list; the same twice; or something else.
    """
    if given is None:
        raise InputError(
            "no checkpoint; give ckpt=PATH, such as ckpt=outputs/latest/checkpoints/best.ckpt, ckpt=[A,B] to compare"
            " some, or ckpt=[] for classical fills alone"
        )
    if isinstance(given, Mapping):
        found = {str(name): path for name, path in given.items()}
        if taken := found.keys() & BASELINES.keys():
            raise InputError(f"ckpt names a checkpoint {min(taken)}, as a classical fill is called; give another name")
    else:
        paths = [given] if isinstance(given, str) else given
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise InputError(f"ckpt={given} is no path; give a path or a published name, or a list of such")
        found = name_checkpoints(paths, BASELINES)
    if not all(isinstance(path, str) for path in found.values()):
        raise InputError(f"ckpt={given} names something that is no path; give paths or published names")
    return {name: choose_checkpoint(path, outputs) for name, path in found.items()}


def build_data(cfg: DictConfig, options: Mapping[str, Any], trained: Mapping[str, Trained]) -> InpaintingDataModule:
    """The data to evaluate on, with what is not given taken from the networks' training.

    Raises:
        InputError: the checkpoints differ in it, or as ``InpaintingDataModule``.
    """
    datas = {name: one.data for name, one in trained.items()}
    if options.get("mask") is not None:
        check_options(cfg.mask, "mask", MASKS, "name")
    mask = inherit_mask(options.get("mask"), datas)
    datamodule: InpaintingDataModule = build(OmegaConf.create(inherit(options["data"], datas)), "data", mask=mask)
    return datamodule


def _warnings(trained: Mapping[str, Trained], datamodule: InpaintingDataModule, part: str) -> list[str]:
    if part == "train":
        return []
    warnings = [leak_warning(name, one.data, datamodule.hparams) for name, one in trained.items()]
    for line in filter(None, warnings):
        log.warning("%s", line)
    return [line for line in warnings if line]


def _perceptual(lpips: Mapping[str, Any], fid: Mapping[str, Any]) -> tuple[dict[str, Any], Any, dict[str, str]]:
    """What is measured with networks from files, and why not where there is no file."""
    skipped = {
        key: f"no backbone; give {key}.weights=FILE"
        for key, options in (("lpips", lpips), ("fid", fid))
        if options["weights"] is None
    }
    if len(skipped) == 2:
        return {}, None, skipped
    from imcomp.perception import LPIPS, build_fid

    further = {} if "lpips" in skipped else {"lpips": LPIPS(lpips["net"], lpips["weights"])}
    return further, None if "fid" in skipped else build_fid(fid["weights"]), skipped


def _write(comparison: Comparison, scored: Scored, gallery: Gallery, samples: int, folder: Path) -> dict[str, Any]:
    curves: Path | None = folder / "curves.svg"
    errors = {name: scores["mse"] for name, scores in scored.scores.items()}
    try:
        draw_curves(errors, comparison.areas, folder / "curves.svg")
    except InputError as error:
        curves, comparison = None, replace(comparison, skipped={**comparison.skipped, "curves": str(error)})
    galleries = {}
    if samples and len(scored.positions):
        drawn = {"The first pictures, by all": ("samples.png", gallery.first(scored, samples))}
        for number, name in enumerate(gallery.entrants):
            caption = f"{name}: best, median and worst by MSE; errors are drawn {GAIN} times as bright"
            drawn[caption] = (f"pictures_{number}.png", gallery.extremes(scored, name, samples))
        galleries = {caption: _save(image, folder / file) for caption, (file, image) in drawn.items()}
    metrics = comparison.plain()
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    parts = write_parts(comparison, curves, galleries)
    write_listing(scored, folder / "pictures.csv")
    write_text(folder / "report.md", to_markdown(parts))
    write_text(folder / "report.html", to_html(parts))
    return metrics


def _save(image: Image.Image, path: Path) -> Path:
    with atomic(path) as beside:
        image.save(beside, optimize=True)
    return path

"""What ``predict.py`` does: from settings to files and a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imcomp import Completer, pretrained
from imcomp.data.masks import build_mask
from imcomp.data.pictures import UnreadablePicture
from imcomp.data.stored import read_stored
from imcomp.errors import InputError, suggest
from imcomp.prediction.holes import Drawn, FromAlpha, FromBox, FromColour, FromFile, Holes
from imcomp.prediction.inputs import find_inputs
from imcomp.prediction.jobs import Plan, list_jobs
from imcomp.prediction.journal import content_digest
from imcomp.prediction.running import Options, check_plan, find_done, predict
from imcomp.report import report_dry_run, report_prediction

# what keys of ``mask`` go with
_GOES_WITH = {
    "options": "a kind of hole, such as mask=center,",
    "tolerance": "mask.color",
    "resize": "mask files",
    "invert": "mask files",
}


@dataclass(frozen=True)
class MaskSettings:
    """Where the holes come from; one of ``file``, ``color`` and ``box``, or none for the hole trained on."""

    file: str | None
    options: dict[str, Any]
    color: str | None
    tolerance: int
    box: list[int] | None
    resize: bool
    invert: bool


@dataclass(frozen=True)
class Settings:
    """The keys of ``conf/predict.yaml`` beside ``mask``."""

    ckpt: str | None
    input: str | list[str]
    output: str
    strategy: str
    format: str
    overwrite: bool
    dry: bool
    contact_sheet: bool
    side_by_side: bool
    max_pixels: int
    device: str
    precision: str | int  # 32 is read as a number
    backend: str
    self_ensemble: bool
    batch_size: int
    seed: int


def run_prediction(settings: Settings, mask: MaskSettings, kinds: Mapping[str, Callable[[], dict[str, Any]]]) -> bool:
    """Complete files as the settings say, and print what became of them.

    Args:
        settings: of the run.
        mask: where the holes come from.
        kinds: of holes that can be drawn, by name: each gives its options.

    Returns:
        Whether nothing was left out and every file had its partner.

    Raises:
        InputError: a mistake in the settings, the checkpoint or the files.
    """
    assert settings.ckpt is not None  # the command line has chosen one
    for key, value in (("output", settings.output), ("mask", mask.file)):
        if value == "":  # a variable that is not set, say; a path takes it for the working directory
            raise InputError(f"{key}= is empty; give a value, or leave it out")
    checkpoint, output = pretrained.find(settings.ckpt) or Path(settings.ckpt), Path(settings.output)
    if not checkpoint.is_file():
        raise InputError(
            f"no checkpoint {checkpoint}; give the path of a .ckpt, .safetensors or .onnx file, or the name of"
            f" published weights ({pretrained.choices()})"
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"output={output} is a file; give a folder")
    precision = str(settings.precision)
    options = Options(
        settings.strategy,
        settings.format,
        settings.seed,
        settings.batch_size,
        settings.side_by_side,
        settings.contact_sheet,
        settings.overwrite,
        settings.max_pixels,
        identity=[content_digest(checkpoint), precision, settings.backend, settings.self_ensemble],
    )
    inputs = find_inputs(settings.input, output)
    holes, masks = find_holes(mask, kinds, settings.max_pixels)
    plan = list_jobs(inputs, holes, masks, output)
    if settings.dry:
        check_plan(plan, inputs, output, options)
        report_dry_run(_listed(plan, find_done(plan, output, options)), plan.unmatched, output)
        return not plan.unmatched
    if not plan.jobs:
        report_prediction(0, 0, 0, {}, plan.unmatched, {}, output)
        return False
    completer = Completer(
        *(settings.ckpt, settings.device),
        precision=precision,
        backend=settings.backend,
        self_ensemble=settings.self_ensemble,
    )
    report = predict(completer, inputs, output, plan=plan, **vars(options))
    counts = (len(plan.jobs), report.completed, report.skipped)
    report_prediction(*counts, report.left_out, report.unmatched, report.notes, output)
    return not report.left_out and not report.unmatched


def find_holes(
    mask: MaskSettings, kinds: Mapping[str, Callable[[], dict[str, Any]]], max_pixels: int
) -> tuple[Holes, Path | None]:
    """The kind of hole that is asked for, and its mask file or folder.

    Raises:
        InputError: several at once, none of that name, or keys or options that it does not take.
    """
    given = [key for key in ("file", "color", "box") if getattr(mask, key) is not None]
    if len(given) > 1:
        raise InputError(f"mask.{given[0]} and mask.{given[1]} are two holes for one picture; give one of them")
    if mask.color is not None:
        _check_others(mask, "tolerance")
        return FromColour(mask.color, mask.tolerance), None
    if mask.box is not None:
        _check_others(mask)
        return FromBox(mask.box), None
    if mask.file is None:
        _check_others(mask)
        return Drawn(), None
    path = Path(mask.file)
    if path.exists() or path.is_symlink():
        _check_others(mask, "resize", "invert")
        if not path.is_dir():
            _check_readable(path, max_pixels)
        return FromFile(mask.resize, mask.invert, max_pixels), path
    if mask.file == "alpha":
        _check_others(mask)
        return FromAlpha(), None
    if mask.file in kinds:
        _check_others(mask, "options")
        options = kinds[mask.file]() | mask.options
        try:
            build_mask(options)
        except ValueError as error:
            raise InputError(f"mask={mask.file}: {error}") from error
        return Drawn(options), None
    near = suggest(mask.file, ["alpha", *kinds])
    raise InputError(
        f"mask={mask.file}: file does not exist; give a picture that is white where the hole is, a folder of them,"
        f" alpha, or a kind of hole ({near})"
    )


def _check_others(mask: MaskSettings, *taken: str) -> None:
    """Refuse what the hole does not take; by default all of it is empty, 0 or false."""
    for key, what in _GOES_WITH.items():
        if key not in taken and getattr(mask, key):
            raise InputError(f"mask.{key} goes with {what} alone; leave it out")


def _check_readable(path: Path, max_pixels: int) -> None:
    try:
        read_stored(path, max_pixels=max_pixels)
    except UnreadablePicture as error:
        raise InputError(f"mask={path}: {error}; give a picture that is white where the hole is") from error


def _listed(plan: Plan, done: Mapping[str, Any]) -> list[tuple[Path, str, Path | None, bool]]:
    """Each job's picture, result and mask, and whether it is done."""
    return [(job.path, job.name, job.mask, job.name in done) for job in plan.jobs]

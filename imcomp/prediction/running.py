"""Completing files: batch by batch on all processors, and going on where an earlier run stopped."""

import csv
import errno
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from imcomp import Completer
from imcomp.completing.holes import find_bounds
from imcomp.completing.surfaces import ImageSurface
from imcomp.completing.views import check_strategy
from imcomp.data.masks import mix_seeds
from imcomp.data.pictures import UnreadablePicture
from imcomp.data.stored import read_size, read_stored
from imcomp.errors import InputError, check_seed
from imcomp.files import atomic, remove_leftovers
from imcomp.prediction.contact import MOST, write_contact_sheet
from imcomp.prediction.inputs import Inputs, is_file
from imcomp.prediction.jobs import SHEETS, Job, Plan, check_targets, list_jobs
from imcomp.prediction.journal import FOLDER, Journal, journal_file
from imcomp.prediction.saving import check_format, choose_format, possible_suffixes, save
from imcomp.prediction.sheets import Prediction, draw_sheet, draw_thumbnails, thumbnail_names
from imcomp.scores import hole_accuracy, hole_psnr

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = Mapping[str, Any]
_Read = tuple[Job, Image.Image, Image.Image]  # with the picture and its mask

MAX_PIXELS = 1 << 27
"""Of a picture that is completed: 134 megapixels, half a GiB once decoded to RGB."""

_MOST_THREADS = 8  # and batches in memory
_LARGE = 1 << 24  # pixels; such a picture is completed alone
_SMALL_FILE = 1 << 16  # bytes that no picture of many megapixels fits into
_COLUMNS = ("file", "output", "mask", "width", "height", "hole_pixels", "mse", "accuracy", "psnr")


@dataclass(frozen=True)
class Report:
    """What became of the pictures.

    Attributes:
        completed: how many were completed now.
        skipped: how many were done before.
        left_out: files that could not be completed, and why; with several masks, for each of them.
        unmatched: files without a partner, and what each is missing.
        notes: what a person should know of results.
    """

    completed: int
    skipped: int
    left_out: dict[Path, str]
    unmatched: dict[Path, str]
    notes: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How files are completed.

    Attributes:
        strategy: see ``Completer.complete``.
        form: of the results, one of ``FORMATS``.
        seed: with the picture's number, decides on holes that are drawn.
        batch_size: pictures read, completed and written together.
        side_by_side: write the sheets.
        contact_sheet: write the page.
        overwrite: write over what is in the output folder, be it done or somebody's own.
        max_pixels: larger pictures are left out, before they are decoded.
        identity: plain values that tell the network and how it computes; what another one did is not taken for done.
            None: nothing is, no journal is kept, and what is in the output folder is written over.
    """

    strategy: str = "auto"
    form: str = "lossless"
    seed: int = 0
    batch_size: int = 16
    side_by_side: bool = True
    contact_sheet: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    identity: Any = None

    def __post_init__(self) -> None:
        check_strategy(self.strategy)
        check_format(self.form)
        for name, least in (("batch_size", 1), ("max_pixels", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)} is too small; give at least {least}")
        check_seed("seed", self.seed)

    def settings(self, plan: Plan) -> list[Any]:
        """What a result depends on beside its picture and mask."""
        shown = [self.side_by_side, self.contact_sheet]
        return [self.identity, plan.holes.describe(), self.strategy, self.form, self.seed, shown]


def predict(completer: Completer, inputs: Inputs, output: Path, *, plan: Plan | None = None, **options: Any) -> Report:
    """Complete files and write them below ``output``.

    Writes ``NAME.png`` (or what ``form`` says) for each picture, ``side_by_side/NAME.png`` if ``side_by_side``,
    ``index.html`` if ``contact_sheet``, and ``predictions.csv``: file, output, mask, width, height, hole_pixels, and
    mse, accuracy and psnr (dB) inside the hole where the truth is known. Whatever stops it, the files that are there
    are whole.

    Args:
        completer: does the work.
        inputs: the pictures.
        output: the folder.
        plan: what is done, see `list_jobs`; None for one hole as trained in each picture.
        options: of `Options`.

    Raises:
        InputError: ``output`` holds the inputs or files that no run has left, two results of one name, or an unknown
            strategy or format.
    """
    plan, chosen = plan or list_jobs(inputs), Options(**options)
    check_plan(plan, inputs, output, chosen)
    worker = _Worker(completer, plan, output, chosen)
    done = find_done(plan, output, chosen)
    remove_leftovers(output)
    if chosen.identity is not None:
        worker.journal.begin()
    waiting = [job for job in plan.jobs if job.name not in done]
    rows: dict[str, Row] = dict(done)
    left_out: dict[Path, dict[str, None]] = {}  # each reason once
    batches = list(_batches(waiting, chosen.batch_size))
    with _threads(len(batches)) as threads:
        results = chain.from_iterable(threads.map(worker.work, batches))
        for job, result in _progress(zip(waiting, results, strict=True), len(waiting)):
            if isinstance(result, str):
                left_out.setdefault(job.path, {})[result] = None
            else:
                rows[job.name] = result
    table = [(job.name, rows[job.name]) for job in plan.jobs if job.name in rows]
    _write_table(output / "predictions.csv", [row for _, row in table])
    if chosen.contact_sheet:
        write_contact_sheet(output, table)
    reasons = {path: "; ".join(found) for path, found in left_out.items()}
    return Report(len(rows) - len(done), len(done), reasons, plan.unmatched, worker.notes)


def check_plan(plan: Plan, inputs: Inputs, output: Path, options: Options) -> None:
    """Refuse a plan whose results would overwrite anything but results of an earlier run; see `check_targets`.

    Raises:
        InputError: a file that would be written over.
    """
    names = [job.name for job in plan.jobs]
    sheets = [f"{SHEETS}/{name}" for name in names if options.side_by_side]
    masks = [job.mask for job in plan.jobs if job.mask is not None]
    check_targets(output, [*names, *sheets], [*inputs.paths, *dict.fromkeys(masks)])
    if options.identity is None or options.overwrite or journal_file(output).is_file():
        return
    written = [output / f"{job.name}{end}" for job in plan.jobs for end in possible_suffixes(options.form, job.path)]
    written += [output / f"{sheet}.png" for sheet in sheets]
    written += [output / name for name in ("predictions.csv", *(["index.html"] if options.contact_sheet else []))]
    for file in written:
        if is_file(file) and not file.is_symlink():  # a link is replaced, and what it leads to stays
            raise InputError(f"output: {file} is not of an earlier run; give another folder, or overwrite=true")


def find_done(plan: Plan, output: Path, options: Options) -> dict[str, Row]:
    """The rows of what an earlier run did, by the jobs' names."""
    if options.identity is None or options.overwrite:
        return {}
    journal, settings = Journal(output), options.settings(plan)
    found = {job.name: journal.find(job.name, plan.key(job, settings)) for job in plan.jobs}
    return {name: row for name, row in found.items() if row is not None}


class _Worker:
    """Takes batches from reading to writing; several threads call it."""

    def __init__(self, completer: Completer, plan: Plan, output: Path, options: Options) -> None:
        self.completer, self.plan, self.output, self.options = completer, plan, output, options
        self.journal = Journal(output)
        self.settings = options.settings(plan)
        self.pictured = {job.name for job in plan.jobs[:MOST]} if options.contact_sheet else set()
        self.notes: dict[Path, str] = {}
        self.large = Lock()

    def work(self, batch: Sequence[Job]) -> list[Row | str]:
        """Each job's row, or why there is none."""
        results: dict[str, Row | str] = {}
        some: list[_Read] = []
        for job in batch:
            if self._is_large(job):
                with self.large:  # one at a time, so that memory has room for it
                    alone: list[_Read] = []
                    self._read(job, alone, results)
                    self._complete(alone, results)
            else:
                self._read(job, some, results)
        self._complete(some, results)
        return [results[job.name] for job in batch]

    def _is_large(self, job: Job) -> bool:
        try:
            if job.path.stat().st_size < _SMALL_FILE:
                return False
            width, height = read_size(job.path)
        except (OSError, UnreadablePicture):
            return False  # reading it tells why
        return width * height > _LARGE

    def _read(self, job: Job, some: list[_Read], results: dict[str, Row | str]) -> None:
        try:
            image = read_stored(job.path, max_pixels=self.options.max_pixels)
            choose_format(self.options.form, image, job.path)
            mask = self.plan.holes.cut(image, job.mask, int(mix_seeds(self.options.seed, job.number)), self.completer)
        except (UnreadablePicture, InputError) as error:
            results[job.name] = str(error)
        else:
            if getattr(image, "is_animated", False):
                self.notes[job.path] = "of its frames, the first was completed"
            some.append((job, image, mask))

    def _complete(self, some: list[_Read], results: dict[str, Row | str]) -> None:
        if not some:
            return
        images, masks = [image for _, image, _ in some], [mask for _, _, mask in some]
        completed = self.completer.complete_batch(images, masks, strategy=self.options.strategy)
        for (job, image, mask), result in zip(some, completed, strict=True):
            mse = _mse(image, result, mask) if self.plan.holes.known else None
            try:
                results[job.name] = self._write(job, Prediction(job.path, image, mask, result, mse))
            except InputError as error:
                results[job.name] = str(error)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # a full disk is every picture's trouble
                    raise
                results[job.name] = "its name is too long for what is written; rename it"

    def _write(self, job: Job, prediction: Prediction) -> Row:
        form = choose_format(self.options.form, prediction.image, job.path)
        place = self.output / f"{job.name}{form.suffix}"
        if not save(prediction.completed, place, form, prediction.image):
            self.notes[job.path] = "its metadata are damaged and were left out"
        if self.options.side_by_side:
            sheet = self.output / SHEETS / f"{job.name}.png"
            _save_small(draw_sheet(prediction), sheet, "PNG", compress_level=1)
        if job.name in self.pictured:
            folder = self.output / FOLDER / "thumbnails"
            for image, name in zip(draw_thumbnails(prediction), thumbnail_names(job.name), strict=True):
                _save_small(image, folder / name, "JPEG", quality=85)
        row = _row(job, place.relative_to(self.output).as_posix(), prediction)
        if not row["hole_pixels"]:
            self.notes[job.path] = "it has no hole and was copied"
        if self.options.identity is not None:
            self.journal.add(job.name, self.plan.key(job, self.settings), row)
        return row


def _row(job: Job, output: str, prediction: Prediction) -> Row:
    width, height = prediction.image.size
    hole = int(np.count_nonzero(np.asarray(prediction.mask) >= 128))
    row: dict[str, Any] = {"file": job.source.as_posix(), "output": output, "mask": str(job.mask or "")}
    row |= {"width": width, "height": height, "hole_pixels": hole}
    if prediction.mse is not None and hole:
        mse = torch.tensor(prediction.mse)
        row |= {
            "mse": f"{prediction.mse:.6g}",
            "accuracy": int(hole_accuracy(mse)),
            "psnr": f"{float(hole_psnr(mse)) + 0.0:.2f}",  # and not -0.00
        }
    return row


def _mse(truth: Image.Image, completed: Image.Image, mask: Image.Image) -> float:
    hole = np.asarray(mask) >= 128
    bounds = find_bounds(hole)
    if bounds is None:
        return 0.0
    inner = bounds.crop(hole)
    box = (bounds.left, bounds.top, bounds.right, bounds.bottom)
    if truth.mode in ("L", "RGB"):
        before, after = (
            np.asarray(picture.crop(box))[inner].astype(np.float64) / 255 for picture in (truth, completed)
        )
        return float(np.mean((before - after) ** 2))
    surface = ImageSurface(truth, np.zeros_like(hole))
    original = surface.read(bounds)[:, inner]
    surface.result = completed
    return float(np.nanmean((original - surface.read(bounds)[:, inner]).astype(np.float64) ** 2))


def _save_small(image: Image.Image, path: Path, form: str, **options: Any) -> None:
    with atomic(path) as beside:
        image.save(beside, form, **options)


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    # names of bytes that are no text come out as escapes
    with atomic(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """Share torch's threads out among at most so many; on leaving, what has begun is finished, the rest dropped.

    Each takes a batch from reading to writing. Two batches side by side are done sooner than one after the other with
    twice the threads, which wait for each other after every layer; and reading and writing leave no processor idle.
    """
    before = torch.get_num_threads()
    count = max(min(before, most, _MOST_THREADS), 1)

    def begin() -> None:
        torch.set_flush_denormal(True)
        torch.set_num_threads(before // count)

    threads = ThreadPoolExecutor(count, initializer=begin)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _progress(items: Iterable[T], total: int) -> Iterator[T]:
    """Go through ``items`` under a bar with the rate and the time left, if stderr is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    columns = (
        TextColumn("Completing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate="")
        for item in items:
            yield item
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:.1f} pictures/s" if speed else "")

"""Completing files: a picture, a folder or a glob in, PNG pictures and a table out."""

import csv
import glob
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from imcomp import Completer
from imcomp.data.masks import mix_seeds
from imcomp.data.pictures import UnreadablePicture, find_pictures, read_picture
from imcomp.errors import InputError
from imcomp.files import atomic, remove_leftovers
from imcomp.scores import hole_accuracy, hole_psnr

log = logging.getLogger(__name__)

T = TypeVar("T")

_SHEETS = "side_by_side"
# zlib's quickest: its usual 6 saves 4% of a photograph's bytes and takes three times as long
_COMPRESSION = 1
_MOST_THREADS = 8  # and batches in memory
_GAP = 4  # white pixels between the pictures that stand side by side


@dataclass(frozen=True)
class Inputs:
    """Picture files and the folder that their names are relative to."""

    root: Path
    paths: list[Path]


@dataclass(frozen=True)
class Prediction:
    """One completed picture.

    Attributes:
        path: the input file.
        image: the picture as it came in, `L` or `RGB`.
        mask: mode `L`, 255 = hole.
        completed: of the picture's mode and size.
        mse: mean squared error over the hole in [0, 1], as written (8 bits); None where the truth is not known.
    """

    path: Path
    image: Image.Image
    mask: Image.Image
    completed: Image.Image
    mse: float | None


def find_inputs(pattern: str, output: Path | None = None) -> Inputs:
    """Find what a file name, a folder or a glob (``**`` included) names.

    Args:
        pattern: what is to be found; of a folder's files, those that have a picture's suffix.
        output: a folder to leave out where it lies inside the inputs' folder: what is there is from an earlier run.

    Raises:
        InputError: nothing there, no picture in it, or ``output`` is the inputs' folder itself.
    """
    path = Path(pattern)
    if path.is_file():
        return Inputs(path.parent, [path])
    if path.is_dir():
        root, paths = path, find_pictures(path)
    else:
        root = Path()
        for part in path.parts:
            if glob.has_magic(part) and not (root / part).is_dir():  # brackets may be a folder's own
                break
            root /= part
        if root == path:
            raise InputError(f"input={pattern}: no such file or folder; give a picture, a folder or a glob")
        paths = sorted(found for found in root.glob(str(path.relative_to(root))) if found.is_file())
    if output is not None:
        if output.resolve() == root.resolve():
            raise InputError(f"output={output} is the folder of the inputs; give another")
        if output.resolve().is_relative_to(root.resolve()):
            paths = [found for found in paths if not found.resolve().is_relative_to(output.resolve())]
    if not paths:
        raise InputError(f"input={pattern}: no picture there; give a picture, a folder or a glob that matches some")
    return Inputs(root, paths)


def output_names(inputs: Inputs) -> list[Path]:
    """Name each output below the output folder: the input's name and sub-folders, with ``.png`` for its suffix.

    Inputs that differ in their suffix alone keep it: ``a.jpg`` beside ``a.bmp`` become ``a.jpg.png``, ``a.bmp.png``.
    """
    relative = [path.relative_to(inputs.root) for path in inputs.paths]
    names = [path.with_suffix(".png") for path in relative]
    while len(set(names)) < len(names):  # again where `a.jpg.png` is itself an input
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else path.with_name(f"{path.name}.png")
            for name, path in zip(names, relative, strict=True)
        ]
    return names


def complete_files(
    completer: Completer, numbered: Sequence[tuple[int, Path]], *, mask: Image.Image | None, seed: int
) -> list[Prediction | UnreadablePicture]:
    """Complete picture files at once.

    Args:
        completer: does the work.
        numbered: each file's number, and the file.
        mask: the hole of every picture, of its size; None cuts the hole that the network was trained on, so that the
            truth is known.
        seed: with the picture's number, decides on the hole.

    Returns:
        What became of each file; for an unreadable one, the error.

    Raises:
        InputError: a mask of another size than its picture.
    """
    results: list[UnreadablePicture | None] = []
    images, masks, readable = [], [], []
    for index, path in numbered:
        try:
            image = read_picture(path)
        except UnreadablePicture as error:
            results.append(error)
            continue
        if mask is not None and mask.size != image.size:
            sizes = f"{mask.width}x{mask.height}, {path} is {image.width}x{image.height}"
            raise InputError(f"the mask is {sizes}; give a mask of its size")
        images.append(image)
        masks.append(mask or completer.cut_hole(image, seed=int(mix_seeds(seed, index))))
        readable.append(path)
        results.append(None)
    completed = completer.complete_batch(images, masks) if images else []
    predictions = (
        Prediction(path, image, hole, result, None if mask else _mse(image, result, hole))
        for path, image, hole, result in zip(readable, images, masks, completed, strict=True)
    )
    return [done or next(predictions) for done in results]


def draw_sheet(prediction: Prediction) -> Image.Image:
    """Masked, completed and, where it is known, original, from left to right."""
    masked = Image.composite(Image.new(prediction.image.mode, prediction.image.size), prediction.image, prediction.mask)
    panels = [masked, prediction.completed]
    if prediction.mse is not None:
        panels.append(prediction.image)
    width, height = prediction.image.size
    sheet = Image.new(prediction.image.mode, (len(panels) * (width + _GAP) - _GAP, height), "white")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (width + _GAP), 0))
    return sheet


def predict(
    completer: Completer,
    inputs: Inputs,
    output: Path,
    *,
    mask: Image.Image | None = None,
    seed: int = 0,
    batch_size: int = 16,
    side_by_side: bool = True,
) -> dict[Path, str]:
    """Complete files and write them below ``output``.

    Writes ``NAME.png`` for each picture, ``side_by_side/NAME.png`` if ``side_by_side``, and ``predictions.csv``: file,
    width, height, hole_pixels, and mse, accuracy and psnr (dB) inside the hole where the truth is known. Whatever stops
    it, the files that are there are whole.

    Returns:
        The unreadable files and why each is.

    Raises:
        InputError: ``output`` holds the inputs, or a mask of another size than its picture.
    """
    names = output_names(inputs)
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size} is no number of pictures; give at least 1")
    targets = [output / name for name in names]
    if side_by_side:
        targets += [output / _SHEETS / name for name in names]
    if {target.resolve() for target in targets} & {path.resolve() for path in inputs.paths}:
        raise InputError(f"output={output} would overwrite the inputs; give another folder")
    if twice := [target for target, count in Counter(targets).items() if count > 1]:
        raise InputError(
            f"two pictures would be written to {twice[0]}; leave {_SHEETS} out, as in input='FOLDER/*.png'"
        )
    remove_leftovers(output)

    def work(batch: list[tuple[int, Path]]) -> list[dict[str, object] | UnreadablePicture]:
        done: list[dict[str, object] | UnreadablePicture] = []
        for (index, path), result in zip(batch, complete_files(completer, batch, mask=mask, seed=seed), strict=True):
            if isinstance(result, Prediction):
                _save(result.completed, output / names[index])
                if side_by_side:
                    _save(draw_sheet(result), output / _SHEETS / names[index])
                done.append(_row(path.relative_to(inputs.root), result))
            else:
                done.append(result)
        return done

    unreadable: dict[Path, str] = {}
    rows = []
    batches = list(_batches(enumerate(inputs.paths), batch_size))
    with _threads(len(batches)) as threads:
        done = chain.from_iterable(threads.map(work, batches))
        for path, row in _progress(zip(inputs.paths, done, strict=True), len(names)):
            if isinstance(row, UnreadablePicture):
                unreadable[path] = str(row)
            else:
                rows.append(row)
    with atomic(output / "predictions.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return unreadable


_COLUMNS = ("file", "width", "height", "hole_pixels", "mse", "accuracy", "psnr")


def _row(name: Path, prediction: Prediction) -> dict[str, object]:
    width, height = prediction.image.size
    hole = int(np.count_nonzero(np.asarray(prediction.mask) >= 128))
    row: dict[str, object] = {"file": name.as_posix(), "width": width, "height": height, "hole_pixels": hole}
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
    difference = (np.asarray(truth)[hole].astype(np.float64) - np.asarray(completed)[hole]) / 255
    return float(np.mean(difference**2)) if hole.any() else 0.0


def _save(image: Image.Image, path: Path) -> None:
    with atomic(path) as beside:
        image.save(beside, "PNG", compress_level=_COMPRESSION)


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


def _progress(items: Iterable[T], total: int) -> Iterable[T]:
    console = Console(stderr=True)
    return track(items, "Completing", total, console=console, transient=True) if console.is_terminal else items

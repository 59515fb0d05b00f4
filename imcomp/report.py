"""What a person reads when a run has ended."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Column, Table

from imcomp.pretrained import Published


def report_run(metrics: Mapping[str, float], output_dir: Path) -> None:
    """Print the metrics, where the outputs are and what to type next."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.5g}")
    console.print(table)
    if "val/mse" in metrics:
        console.print(f"val/mse={metrics['val/mse']:.6g}")
    folder = _near(output_dir)
    console.print(f"outputs:  {folder}")
    checkpoint = _override("ckpt", folder / "checkpoints" / "best.ckpt")
    console.print(f"complete: {program('predict')} {checkpoint} input=FOLDER output=completed")
    console.print(f"watch:    tensorboard --logdir {shlex.quote(str(folder / 'tensorboard'))}")


def report_tuning(key: str, value: float, arguments: Sequence[str]) -> None:
    """Print what was found, and the command that trains with it.

    Args:
        key: of the config.
        value: what it should be.
        arguments: of the command line that asked, without the one that did.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{key}={value:g}")
    given = [argument for argument in arguments if not argument.startswith(f"{key}=")]
    console.print(f"train:    {shlex.join([*program('train').split(), *given, f'{key}={value:g}'])}")


def report_prediction(
    count: int,
    completed: int,
    skipped: int,
    left_out: Mapping[Path, str],
    unmatched: Mapping[Path, str],
    notes: Mapping[Path, str],
    output: Path,
) -> None:
    """Print how many pictures were completed, where they are, and which were not.

    Args:
        count: all.
        completed: now.
        skipped: done before.
        left_out: files that could not be completed, and why.
        unmatched: files without a partner, and what each is missing.
        notes: what a person should know of results.
        output: the folder.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"completed {completed:,} of {count:,} pictures: {output}")
    if skipped:
        console.print(f"skipped {skipped:,} that are done; overwrite=true completes them again")
    for words, files in (("note", notes), ("left out", left_out), ("unmatched", unmatched)):
        for path, reason in files.items():
            console.print(f"{words} {str(path)!r}: {reason}")


def report_dry_run(
    jobs: Sequence[tuple[Path, str, Path | None, bool]], unmatched: Mapping[Path, str], output: Path
) -> None:
    """Print what would be done.

    Args:
        jobs: each one's picture, result without a suffix and mask, and whether it is done.
        unmatched: files without a partner, and what each is missing.
        output: the folder.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for path, name, mask, done in jobs:
        with_mask = f", mask {str(mask)!r}" if mask else ""
        console.print(f"{'is done' if done else 'would complete'} {str(path)!r} to {str(output / name)!r}{with_mask}")
    for path, reason in unmatched.items():
        console.print(f"unmatched {str(path)!r}: {reason}")
    waiting = sum(not done for *_, done in jobs)
    console.print(f"would complete {waiting:,} of {len(jobs):,} pictures; nothing was written")


def report_published(published: Iterable[Published]) -> None:
    """Print a line for each of the published weights."""
    console = Console(highlight=False, markup=False)
    columns = (Column("name", no_wrap=True), Column("MB", justify="right"), "parameters", "pictures", "holes", "for")
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for one in published:
        pictures = f"{'grey' if one.channels == 1 else 'colour'}, {one.size}x{one.size}"
        table.add_row(one.name, f"{one.bytes / 1e6:.1f}", f"{one.parameters:,}", pictures, one.hole, one.purpose)
    if table.row_count:
        console.print(table)
        console.print("use one as ckpt=NAME, init=NAME or Completer(NAME)")
    else:
        console.print("this version ships no published weights")


def report_publication(weights: Path, card: Path, dtype: str, difference: float) -> None:
    """Print what was written, and in which precision."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"weights:  {weights} ({weights.stat().st_size / 1e6:.1f} MB, {dtype})")
    console.print(f"card:     {card}")
    console.print(f"completions differ from the checkpoint's by at most {difference:.2f} of 255 grey levels")


def report_export(path: Path, difference: float) -> None:
    """Print where an exported network is, and how near to the network itself what it computes is."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"exported: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    console.print(f"its pixels differ from the network's by at most {difference:.1g} of [0, 1]")


def how_to_resume(output_dir: Path) -> str:
    """The command that goes on with a run."""
    return f"{program('train')} {_override('resume', _near(output_dir))}"


def program(command: str) -> str:
    """What to type for a command: its script where we stand in a checkout, else the installed program."""
    script = f"{command}.py"
    return f"python {script}" if Path(script).is_file() else f"imcomp {command}"


def _near(path: Path) -> Path:
    """The path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _override(key: str, path: Path) -> str:
    """An override to type into a shell; Hydra has quotes of its own around names with signs in them."""
    if re.fullmatch(r"[\w./:+-]+", str(path)):
        return f"{key}={path}"
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return shlex.quote(f"{key}='{escaped}'")

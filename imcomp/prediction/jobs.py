"""What is to be done: a job for each picture and mask, and what has no partner."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imcomp.errors import InputError
from imcomp.prediction.holes import Drawn, Holes, Matched, match_masks
from imcomp.prediction.inputs import Inputs, output_names, resolved
from imcomp.prediction.journal import FOLDER, file_facts, key_of

SHEETS = "side_by_side"
"""Below the output folder: the sheets."""


@dataclass(frozen=True)
class Job:
    """A picture to complete with one mask.

    Attributes:
        number: of the picture among the inputs; decides, with the seed, on a hole that is drawn.
        path: its file.
        source: its name, relative to the folder that it was found in.
        name: of the result below the output folder, without a suffix.
        mask: its mask file.
    """

    number: int
    path: Path
    source: Path
    name: str
    mask: Path | None = None


@dataclass(frozen=True)
class Plan:
    """All that a run is to do.

    Attributes:
        jobs: in order.
        holes: of what kind they are.
        unmatched: files without a partner, and what each is missing.
    """

    jobs: list[Job]
    holes: Holes
    unmatched: dict[Path, str]

    def key(self, job: Job, settings: Any) -> str:
        """Tells what a job's result depends on; on the picture's number where that decides on the hole."""
        number = job.number if isinstance(self.holes, Drawn) else None
        return key_of(number, file_facts(job.path), file_facts(job.mask), settings)


def list_jobs(inputs: Inputs, holes: Holes | None = None, mask: Path | None = None, output: Path | None = None) -> Plan:
    """Decide what is done.

    Args:
        inputs: the pictures.
        holes: the kind of hole; None for that trained on.
        mask: a mask file for all, or a folder whose files are matched by name.
        output: a folder where no mask is looked for: what is there is from an earlier run.

    Raises:
        InputError: two results of one name, or ``output`` is the masks' folder itself.
    """
    kind = holes or Drawn()
    names = [name.with_suffix("").as_posix() for name in output_names(inputs)]
    sources = inputs.relative
    matched = match_masks(inputs, mask, output) if mask is not None and mask.is_dir() else None
    jobs, unmatched = [], dict[Path, str]()
    for number, (path, source, name) in enumerate(zip(inputs.paths, sources, names, strict=True)):
        if matched is None:
            jobs.append(Job(number, path, source, name, mask))
        elif number in matched.taken:
            continue
        elif not matched.masks[number]:
            unmatched[path] = f"no mask for it in {mask}"
        else:
            jobs += [
                Job(number, path, source, own, file) for own, file in _named(name, source, matched, number).items()
            ]
    for file in matched.left_over if matched else ():
        unmatched[file] = "a mask without a picture"
    if twice := [name for name, count in Counter(job.name for job in jobs).items() if count > 1]:
        raise InputError(f"two results would be called {twice[0]}; rename a mask or a picture")
    return Plan(jobs, kind, unmatched)


def check_targets(output: Path, names: Iterable[str], inputs: Sequence[Path]) -> None:
    """Refuse results that would be written over an input, over one another or outside of the output folder.

    Args:
        output: the folder.
        names: of results below it, without their suffixes.
        inputs: files that are read.

    Raises:
        InputError: such a result.
    """
    try:
        top = output.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise InputError(f"output: {output} cannot be followed ({error}); give another folder") from error
    read = {_stemmed(resolved(path)): path for path in inputs}
    seen: set[Path] = set()
    parents: dict[Path, Path] = {}
    for name in names:
        target = output / name
        if target.parent not in parents:
            try:
                parents[target.parent] = target.parent.resolve()
            except (OSError, RuntimeError) as error:  # a link to itself
                raise InputError(
                    f"output: {target.parent} cannot be followed ({error}); give another folder"
                ) from error
            if not parents[target.parent].is_relative_to(top):
                raise InputError(f"output: {target.parent} is a link that leads out of {output}; give another folder")
        place = parents[target.parent] / target.name
        if place in read:
            raise InputError(f"output={output} would overwrite the inputs; give another folder")
        if target in seen:
            raise InputError(
                f"two pictures would be written to {target}; leave {SHEETS} out, as in input='FOLDER/*.png'"
            )
        seen.add(target)
    if (output / FOLDER).is_symlink():
        raise InputError(f"output: {output / FOLDER} is a link; remove it, or give another folder")


def _named(name: str, source: Path, matched: Matched, number: int) -> Mapping[str, Path]:
    """What the results of a picture are called: as the picture, and with several masks as each of them."""
    files = matched.masks[number]
    if len(files) == 1:
        return {name: files[0]}
    folder = source.parent
    named: dict[str, Path] = {}
    for file in files:
        own = re.sub(r"^.*?(_mask\d*)?$", r"\1", file.stem)
        stem = f"{name}{own}"
        named[stem if stem not in named else (folder / file.name).as_posix()] = file
    return named


def _stemmed(path: Path) -> Path:
    return path.with_suffix("")

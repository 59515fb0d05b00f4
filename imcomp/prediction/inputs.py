"""Which files are completed, and what the results are called."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imcomp.data.pictures import find_pictures
from imcomp.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """Picture files and the names that their results are made of.

    Attributes:
        root: the folder that holds them; the first of several.
        paths: the files.
        names: of each file, relative to the folder that it was found in; None for relative to ``root``.
    """

    root: Path
    paths: list[Path]
    names: list[Path] | None = None

    @property
    def relative(self) -> list[Path]:
        """Each file's name below the folder that it was found in."""
        return [_name(path, self.root) for path in self.paths] if self.names is None else self.names


def find_inputs(patterns: str | Sequence[str], output: Path | None = None) -> Inputs:
    """Find what file names, folders or globs (``**`` included) name.

    Args:
        patterns: what is to be found, or one text with commas between what is; of a folder's files, those that have a
            picture's suffix.
        output: a folder to leave out where it lies inside the inputs' folder: what is there is from an earlier run.

    Raises:
        InputError: nothing there, no picture in it, or ``output`` is the inputs' folder itself.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    patterns = _apart(patterns) if isinstance(patterns, str) else patterns
    if not patterns:
        raise InputError("input=[] names nothing; give a picture, a folder or a glob")
    roots = []
    for pattern in patterns:
        root, paths = _find(pattern)
        roots.append(root)
        paths = outside(paths, root, output, "inputs")
        if not paths:
            raise InputError(f"input={pattern}: no picture there; give a picture, a folder or a glob that matches some")
        for path in paths:
            found.setdefault(path.absolute(), (path, _name(path, root)))
    files = list(found.values())
    paths, names = [path for path, _ in files], [name for _, name in files]
    return Inputs(roots[0], paths, names if len(roots) > 1 else None)


def outside(paths: Iterable[Path], root: Path, output: Path | None, what: str) -> list[Path]:
    """Leave out what lies in the output folder, where that is inside the files' own: an earlier run wrote it.

    Args:
        paths: files below ``root``.
        root: their folder.
        output: the output folder.
        what: the files are, for the error.

    Raises:
        InputError: ``output`` is ``root``.
    """
    if output is None:
        return [*paths]
    own, written = resolved(root), resolved(output)
    if own == written:
        raise InputError(f"output={output} is the folder of the {what}; give another")
    inside = written.is_relative_to(own)
    return [path for path in paths if not (inside and resolved(path).is_relative_to(written))]


def output_names(inputs: Inputs, suffix: str = ".png") -> list[Path]:
    """Name each output below the output folder: the input's name and sub-folders, with a suffix of its own.

    Inputs that differ in their suffix alone keep it: ``a.jpg`` beside ``a.bmp`` become ``a.jpg.png``, ``a.bmp.png``.

    Raises:
        InputError: two inputs of one name, from different folders.
    """
    relative = inputs.relative
    if twice := [name for name, count in Counter(relative).items() if count > 1]:
        raise InputError(f"two inputs are called {twice[0]}; give one folder above both, or one after the other")
    names = [path.with_suffix(suffix) for path in relative]
    while len(set(names)) < len(names):  # again where `a.jpg.png` is itself an input
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else path.with_name(f"{path.name}{suffix}")
            for name, path in zip(names, relative, strict=True)
        ]
    return names


def _apart(pattern: str) -> list[str]:
    """Several globs with commas between them; one where files are named so."""
    if "," not in pattern or not glob.has_magic(pattern) or _find(pattern)[1]:
        return [pattern]
    return pattern.split(",")


def _find(pattern: str) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files."""
    if not pattern:  # which a path takes for the working directory
        raise InputError("input= is empty; give a picture, a folder or a glob")
    path = Path(pattern)
    if is_file(path):
        return path.parent, [path]
    if path.is_dir():
        return path, find_pictures(path)
    root = Path()
    for part in path.parts:
        if glob.has_magic(part) and not (root / part).is_dir():  # brackets may be a folder's own
            break
        root /= part
    if root == path:
        raise InputError(f"input={pattern}: no such file or folder; give a picture, a folder or a glob")
    wanted = path.relative_to(root)
    found = sorted(file for file in root.glob(str(wanted)) if is_file(file))
    # as in a shell: hidden files, such as macOS's ._*, are meant where the glob names their dot
    return root, found if _is_hidden(wanted) else [file for file in found if not _is_hidden(file.relative_to(root))]


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def resolved(path: Path) -> Path:
    """The path without links; as it is, where links lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def is_file(path: Path) -> bool:
    """Whether there is such a file, or a link to one; false for what can be no name."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a link to itself, a name that is too long or holds a null
        return False


def _name(path: Path, root: Path) -> Path:
    """The file's name below ``root``, without ``..``."""
    name = Path(os.path.normpath(path.relative_to(root)))
    if ".." in name.parts or name.is_absolute():
        raise InputError(f"input: {path} lies outside of {root}, below which results are named; give its own folder")
    return name

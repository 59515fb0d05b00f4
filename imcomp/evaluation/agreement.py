"""Which pictures and holes: what is given, what the checkpoints were trained with, and whether they agree on it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imcomp.errors import InputError

PICTURE_OPTIONS = ("channels", "size", "fit")
"""Data options that an evaluation takes from the checkpoints unless they are given."""

SPLIT_OPTIONS = ("split", "val_fraction", "test_fraction", "seed")
"""The same, from checkpoints that were trained on the source that is evaluated."""

INHERITED = (*PICTURE_OPTIONS, *SPLIT_OPTIONS)

# what decides which pictures of a source are trained on
_LEAK_OPTIONS = (
    *("source", "sources"),
    *("split", "seed", "val_fraction", "test_fraction"),
    *("count", "frames_per_track", "group_regex"),
)


def name_checkpoints(checkpoints: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Name checkpoints for a table: published ones as they are, those of a run by its folder.

    Args:
        checkpoints: paths or names.
        taken: names that are something else's.

    Returns:
        Each checkpoint by its name; where short names would be the same, the whole path is the name.

    Raises:
        InputError: the same checkpoint twice.
    """
    paths = list(checkpoints)
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"ckpt={twice} is given twice; give each checkpoint once")
    short = [_short(path) for path in paths]
    others = set(taken)
    return {
        path if short.count(name) > 1 or name in others else name: path for name, path in zip(short, paths, strict=True)
    }


def inherit(options: Mapping[str, Any], trained: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put the checkpoints' value wherever one of ``INHERITED`` is None; how to split, only of the same source.

    Args:
        options: of the data to evaluate on.
        trained: by the checkpoints' names, options of the data that each was trained with; what none of them says is
            left to the class default.

    Raises:
        InputError: the checkpoints differ in what they would have to share.
    """
    filled = dict(options)
    for key in INHERITED:
        if filled.get(key) is not None:
            continue
        filled.pop(key, None)
        values = {
            name: data[key]
            for name, data in trained.items()
            if key in data and (key in PICTURE_OPTIONS or data.get("source") == options.get("source"))
        }
        if values:
            filled[key] = _agreed(f"data.{key}", values)
    if options.get("source") == "stream":
        filled |= {"split": "packed", "val_fraction": None, "test_fraction": None}  # settled in packing
    return filled


def inherit_mask(given: Mapping[str, Any] | None, trained: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The holes that are given, or else those that all checkpoints were trained on.

    Raises:
        InputError: neither.
    """
    if given is not None:
        return dict(given)
    masks = {name: data["mask"] for name, data in trained.items() if data.get("mask")}
    if missing := [name for name in trained if name not in masks]:
        raise InputError(f"{missing[0]} does not say which holes it was trained on; give mask=center")
    if not masks:
        raise InputError("without a checkpoint nothing says which holes to fill; give mask=center")
    return dict(_agreed("mask", masks))


def leak_warning(name: str, trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str | None:
    """Word a warning where the evaluated pictures may be among those that a network was trained on.

    That is where both are from the same source, split in another way. A mixture is from each of its sources, and a
    split of it is another than of one of them alone.

    Args:
        name: the network's.
        trained: plain options of the data module that it was trained with.
        evaluated: the same of the data evaluated on.

    Returns:
        One line, or None where there is nothing to warn of.
    """
    learned, shown = _sources(trained, ("split", "train")), _sources(evaluated, ("split", "val", "test"))
    if not any(_same_source(one, other) for one in learned for other in shown):
        return None
    known = trained.keys() & evaluated.keys()  # an option that one of them leaves at its default says nothing
    changed = [key for key in _LEAK_OPTIONS if key in known and trained[key] != evaluated[key]]
    if not changed:
        return None
    before, now = (", ".join(f"{key}={options[key]}" for key in changed) for options in (trained, evaluated))
    return (
        f"{name} was trained on {trained['source']} with {before}, and is evaluated with {now}:"
        " some of these pictures may have been trained on"
    )


def _short(checkpoint: str) -> str:
    path = Path(checkpoint)
    if path.parent.name == "checkpoints" and path.parent.parent.name:
        run = path.parent.parent.name
        return run if path.stem == "best" else f"{run}/{path.stem}"
    return path.stem if path.suffix in (".ckpt", ".safetensors") else checkpoint


def _agreed(key: str, values: Mapping[str, Any]) -> Any:
    first, *others = values.values()
    if any(other != first for other in others):
        told = ", ".join(f"{name}: {value}" for name, value in values.items())
        raise InputError(f"the checkpoints were trained with different {key} ({told}); give {key}=... for all")
    return first


def _sources(options: Mapping[str, Any], uses: Sequence[str]) -> list[Mapping[str, Any]]:
    """The source of a data module, or those of a mixture that are for one of some uses."""
    if options.get("source") != "mixed":
        return [options]
    root = Path(str(options.get("root") or ""))
    used = [one for one in options.get("sources", ()) if one.get("use", "split") in uses]
    return [{**one, "root": root / str(one.get("root", ""))} for one in used]


def _same_source(trained: Mapping[str, Any], evaluated: Mapping[str, Any]) -> bool:
    if trained.get("source") != evaluated.get("source"):
        return False
    if trained.get("source") == "folder":
        return Path(str(trained.get("root"))).resolve() == Path(str(evaluated.get("root"))).resolve()
    # GTSRB's official test pictures are none of its training pictures
    return bool(trained.get("part", "train") == evaluated.get("part", "train"))

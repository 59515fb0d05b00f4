"""Which pictures train, validate and test. The three parts never overlap and together hold every picture."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from imcomp.errors import check_seed

Part = Literal["train", "val", "test"]
SPLITS = ("random", "track", "packed")


class Split(NamedTuple):
    """Picture numbers of each part, in the order in which validation and test go through them."""

    train: Sequence[int]
    val: Sequence[int]
    test: Sequence[int]


def divide(
    count: int,
    part_of: Callable[[int], Part | None],
    group_of: Callable[[int], str] | None,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> Split:
    """Give each picture to the part that is named for it, else by a split of those for which none is.

    Args:
        count: how many pictures there are.
        part_of: the part that a picture is for; None for one that is to be split.
        group_of: a picture's group, to split by groups; None to split at random.
        val_fraction: share of validation, of the pictures that are split.
        test_fraction: share of test, the same.
        seed: the same seed gives the same split.

    Raises:
        ValueError: no picture to train on, or as `group_split` and `random_split`.
    """
    given: dict[Part, list[int]] = {"train": [], "val": [], "test": []}
    free: list[int] = []
    for index in range(count):
        part = part_of(index)
        (free if part is None else given[part]).append(index)
    split = Split([], [], [])
    if free:
        fractions = {"val_fraction": val_fraction, "test_fraction": test_fraction}
        split = (
            random_split(len(free), **fractions, seed=seed)
            if group_of is None
            else group_split([*map(group_of, free)], **fractions, seed=seed)
        )
    whole = [[free[position] for position in getattr(split, part)] + numbers for part, numbers in given.items()]
    if not whole[0]:
        raise ValueError("no picture is to be trained on; give data.sources one of use: train or split")
    return Split(*whole)


def random_split(count: int, *, val_fraction: float, test_fraction: float, seed: int) -> Split:
    """Shuffle the pictures and cut the list in three.

    Args:
        count: how many pictures there are.
        val_fraction: share of validation, rounded to whole pictures.
        test_fraction: share of test, rounded to whole pictures.
        seed: the same seed gives the same split.

    Raises:
        ValueError: fractions that are negative or leave nothing to train on, a seed out of range, or too few pictures.
    """
    _check_options(val_fraction, test_fraction, seed)
    order = np.random.default_rng(seed).permutation(count).tolist()
    val = round(count * val_fraction)
    test = round(count * test_fraction)
    train = count - val - test
    split = Split(order[:train], order[train : train + val], order[train + val :])
    return _checked(split, val_fraction, test_fraction)


def group_split(groups: Sequence[str], *, val_fraction: float, test_fraction: float, seed: int) -> Split:
    """Deal whole groups (a sign's track, a scene, a patient) to the parts, so that no group is on two sides.

    Groups are shuffled; each goes to the first of validation, test and train that has room for it, so that a
    part is at most one group short of its share.

    Args:
        groups: the group of each picture.
        val_fraction: share of validation, in pictures.
        test_fraction: share of test, in pictures.
        seed: the same seed gives the same split.

    Raises:
        ValueError: fractions that are negative or leave nothing to train on, a seed out of range, or fewer groups than
            parts.
    """
    _check_options(val_fraction, test_fraction, seed)
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    names = sorted(members)
    rng = np.random.default_rng(seed)
    val_room = round(len(groups) * val_fraction)
    test_room = round(len(groups) * test_fraction)
    split = {"train": list[int](), "val": list[int](), "test": list[int]()}
    for position in rng.permutation(len(names)):
        group_members = members[names[position]]
        if len(split["val"]) + len(group_members) <= val_room:
            split["val"].extend(group_members)
        elif len(split["test"]) + len(group_members) <= test_room:
            split["test"].extend(group_members)
        else:
            split["train"].extend(group_members)
    # validation shows its first pictures: they should not all be one track
    for part in split.values():
        rng.shuffle(part)
    return _checked(Split(**split), val_fraction, test_fraction)


def _check_options(val_fraction: float, test_fraction: float, seed: int) -> None:
    check_seed("data.seed", seed)
    if not (val_fraction >= 0 and test_fraction >= 0 and val_fraction + test_fraction < 1):  # refuses NaN too
        raise ValueError(
            f"val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on;"
            " give two fractions of at least 0 whose sum is below 1"
        )


def _checked(split: Split, val_fraction: float, test_fraction: float) -> Split:
    train, val, test = map(len, split)
    if not train or (val_fraction > 0 and not val) or (test_fraction > 0 and not test):
        raise ValueError(
            f"{train + val + test} pictures are too few for this split: {train} would train, {val} validate,"
            f" {test} test; give more pictures, other fractions (data.val_fraction, data.test_fraction) or"
            " smaller groups"
        )
    return split

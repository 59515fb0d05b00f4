import pytest

from imcomp.data.splits import Split, group_split, random_split

FRACTIONS = [(0.3, 0.0), (0.0, 0.0), (0.2, 0.1), (0.5, 0.49), (0.0, 0.25), (0.05, 0.9)]


def groups_of(*sizes):
    """Groups `g0`, `g1`, ... of these sizes."""
    return [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]


def assert_covers(split, count):
    assert sorted([*split.train, *split.val, *split.test]) == list(range(count))


def test_random_split_of_gtsrb():
    split = random_split(26_640, val_fraction=0.3, test_fraction=0.0, seed=0)

    assert [len(part) for part in split] == [18_648, 7_992, 0]


@pytest.mark.parametrize(("val_fraction", "test_fraction"), FRACTIONS)
@pytest.mark.parametrize("count", [100, 101, 999])
def test_random_split_holds_every_picture_once(count, val_fraction, test_fraction):
    for seed in range(20):
        split = random_split(count, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)

        assert_covers(split, count)
        assert len(split.val) == round(count * val_fraction)
        assert len(split.test) == round(count * test_fraction)


def test_random_split_shuffles():
    split = random_split(1000, val_fraction=0.3, test_fraction=0.2, seed=0)

    for part in split:
        assert part != sorted(part)
        assert sum(part) / len(part) == pytest.approx(500, abs=60)  # three standard deviations


@pytest.mark.parametrize(("val_fraction", "test_fraction"), FRACTIONS)
@pytest.mark.parametrize("sizes", [(30,) * 30, range(1, 40), (1,) * 200], ids=["tracks", "uneven", "singles"])
def test_group_split_cuts_no_group_and_comes_near_the_shares(sizes, val_fraction, test_fraction):
    groups = groups_of(*sizes)
    for seed in range(20):
        split = group_split(groups, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)

        assert_covers(split, len(groups))
        train, val, test = ({groups[index] for index in part} for part in split)
        assert not train & val
        assert not train & test
        assert not val & test
        # no group that trains would still have found room
        smallest = min(groups.count(group) for group in train)
        assert 0 <= round(len(groups) * val_fraction) - len(split.val) < smallest
        assert 0 <= round(len(groups) * test_fraction) - len(split.test) < smallest


def test_group_split_shuffles_pictures_within_a_part():
    split = group_split(groups_of(*(30,) * 10), val_fraction=0.3, test_fraction=0.0, seed=0)

    assert len({index // 30 for index in split.val[:10]}) > 1


def test_group_split_does_not_depend_on_which_group_comes_first():
    groups = groups_of(2, 2, 2, 2, 2)
    forward = group_split(groups, val_fraction=0.4, test_fraction=0.2, seed=3)
    backward = group_split(groups[::-1], val_fraction=0.4, test_fraction=0.2, seed=3)

    for one, other in zip(forward, backward, strict=True):
        assert {groups[index] for index in one} == {groups[::-1][index] for index in other}


@pytest.mark.parametrize(
    "split",
    [
        lambda seed: random_split(60, val_fraction=0.3, test_fraction=0.1, seed=seed),
        lambda seed: group_split(groups_of(*(3,) * 20), val_fraction=0.3, test_fraction=0.1, seed=seed),
    ],
    ids=["random", "group"],
)
def test_the_seed_alone_decides(split):
    assert split(5) == split(5)
    assert len({frozenset(split(seed).val) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("count", "val_fraction", "test_fraction", "what"),
    [
        (0, 0.3, 0.0, "0 pictures are too few.*0 would train, 0 validate, 0 test"),
        (1, 0.3, 0.0, "1 pictures are too few.*1 would train, 0 validate"),
        (1, 0.9, 0.0, "1 pictures are too few.*0 would train, 1 validate"),
        (3, 0.4, 0.1, "3 pictures are too few.*2 would train, 1 validate, 0 test"),
    ],
)
def test_too_few_pictures_are_counted(count, val_fraction, test_fraction, what):
    with pytest.raises(ValueError, match=what):
        random_split(count, val_fraction=val_fraction, test_fraction=test_fraction, seed=0)


def test_too_large_groups_leave_a_part_empty():
    with pytest.raises(ValueError, match=r"20 would train, 0 validate.*data\.val_fraction.*smaller groups"):
        group_split(groups_of(10, 10), val_fraction=0.3, test_fraction=0.0, seed=0)


def test_two_pictures_are_enough_for_two_parts():
    split = random_split(2, val_fraction=0.5, test_fraction=0.0, seed=0)

    assert [len(part) for part in split] == [1, 1, 0]


@pytest.mark.parametrize(
    "split",
    [
        lambda **fractions: random_split(10, seed=0, **fractions),
        lambda **fractions: group_split(groups_of(5, 5), seed=0, **fractions),
    ],
    ids=["random", "group"],
)
@pytest.mark.parametrize(
    ("val_fraction", "test_fraction"),
    [(-0.1, 0.0), (0.0, -0.1), (1.0, 0.0), (0.5, 0.5), (float("nan"), 0.0), (0.0, float("nan"))],
)
def test_fractions_that_leave_nothing_are_refused(split, val_fraction, test_fraction):
    with pytest.raises(ValueError, match=f"val_fraction {val_fraction:g} and test_fraction {test_fraction:g}"):
        split(val_fraction=val_fraction, test_fraction=test_fraction)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_a_seed_out_of_range_is_told(seed):
    for split, pictures in ((random_split, 9), (group_split, ["a", "b", "c"])):
        with pytest.raises(ValueError, match=f"data.seed={seed} is out of range; give one from 0"):
            split(pictures, val_fraction=0.5, test_fraction=0, seed=seed)


def test_parts_have_names():
    assert Split._fields == ("train", "val", "test")

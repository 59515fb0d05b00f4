"""From plain values to objects: what fits, and what is said where it does not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, TypeVar, Union

import pytest
from omegaconf import OmegaConf

from imcomp.config import build, check_arguments, check_options, check_settings, fits
from imcomp.errors import InputError
from imcomp.models.autoencoder import Autoencoder

NETWORKS = {"autoencoder": Autoencoder}
STOPPING = "imcomp.callbacks.ForgivingEarlyStopping"


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0, 0.5, float("inf")], [False, "0.5", None]),
        (bool, [True, False], [0, 1, "true"]),
        (str, ["", "a"], [1, None, ["a"]]),
        (None, [None], [0, ""]),
        (Path, ["a/b"], [1, None]),
        (Any, [None, 1, "a", [1], {}], []),
        (TypeVar("T"), [1], []),
        ("a name that is not resolved", [1], []),
        (int | None, [None, 1], ["1", True]),
        (Optional[float], [None, 1], ["1"]),  # noqa: UP045  # the old spelling is in libraries
        (Union[int, Sequence[int]], [1, [1, 2], []], ["12", [1.5], [True], None]),  # noqa: UP007
        (int | str, [1, "auto"], [1.5, None, True]),
        (Sequence[int], [[], [1, 2]], ["12", 1, [1, "a"], {1: 2}]),
        (Sequence[Sequence[int]], [[[1], []]], [[1]]),
        (list[str] | None, [None, ["a"]], ["a", [1]]),
        (list, [[1, "a"]], [1, "a"]),
        (tuple[float, ...], [[1, 0.5]], [["a"]]),
        (Literal["stretch", "crop"], ["crop"], ["squeeze", None]),
        (Literal[1, 3], [3], [2, "1"]),
        (Mapping[str, Any], [{}, {"a": 1}], [[], "a", None]),
        (dict[str, int] | None, [{"a": 1}, None], [[1]]),
    ],
)
def test_fits(hint, good, bad):
    assert [value for value in good if not fits(value, hint)] == []
    assert [value for value in bad if fits(value, hint)] == []


class Taker:
    def __init__(
        self,
        count: int,
        rate: float = 0.5,
        name: str | None = None,
        fit: Literal["a", "b"] = "a",
        sizes: Sequence[int] = (),
    ) -> None:
        if rate > 1:
            raise ValueError("rate is\nabove 1")


class Collector:
    def __init__(self, count: int = 1, **options: Any) -> None: ...


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "many"}, "here.count=many is a str; expected int"),
        ({"count": True}, "here.count=True is a bool; expected int"),
        ({"rate": None}, "here.rate=None is a NoneType; expected float"),
        ({"name": 3}, "here.name=3 is a int; expected str or null"),
        ({"fit": "c"}, "here.fit=c is a str; expected a or b"),
        ({"sizes": [1, "a"]}, "here.sizes=[1, 'a'] is a list; expected list of int"),
        ({"ratte": 1}, "unknown key here.ratte; did you mean here.rate?"),
    ],
)
def test_arguments_that_do_not_fit_are_told(values, message):
    with pytest.raises(InputError) as raised:
        check_arguments(Taker, values, "here")
    assert str(raised.value) == message


def test_arguments_that_fit_pass():
    check_arguments(Taker, {"count": 1, "rate": 1, "name": None, "sizes": [3], "_target_": "x"}, "here")
    check_arguments(Collector, {"anything": object()}, "here")


def test_settings():
    config = OmegaConf.create({"seed": 1, "init": None, "monitor": 3})
    check_settings(config, seed=int, init=str | None)
    with pytest.raises(InputError, match=r"^monitor=3 is a int; expected str$"):
        check_settings(config, monitor=str)


def made(**values):
    return OmegaConf.create(values)


def test_build_takes_plain_values_interpolations_and_objects():
    root = OmegaConf.create({"monitor": "val/mse", "stop": {"_target_": STOPPING, "monitor": "${monitor}"}})
    assert build(root.stop, "stop", patience=7).__dict__ == {
        "monitor": "val/mse",
        "patience": 7,
        "count": 0,
        "lowest": float("inf"),
    }


def test_build_hands_over_lists_and_dicts_that_a_checkpoint_can_hold():
    config = made(_target_="imcomp.module.InpaintingModule", channels=[4], scheduler={"name": "step", "step_size": 1})
    parameters = build(config, "model").hparams
    assert type(parameters["channels"]) is list
    assert type(parameters["scheduler"]) is dict


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that says so when it is imported."""
    sprung = tmp_path / "sprung"
    (tmp_path / "a_trap.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Trap: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return sprung


@pytest.mark.parametrize(
    "target", ["a_trap.Trap", "os.system", "imcompx.Y", "pytorch_lightning_x.Y", "", None, 3, "imcomp"]
)
def test_targets_elsewhere_are_refused_unseen(trap, target):
    with pytest.raises(InputError, match=r"^here\._target_=.* is not allowed; name a class of imcomp\.\* or"):
        build(made(_target_=target), "here")
    if target:
        with pytest.raises(InputError, match="is not allowed"):
            check_options(made(_target_=target, network="autoencoder"), "here", NETWORKS, "network")
    assert not trap.exists()


@pytest.mark.parametrize("options", [{"x": {"_target_": "a_trap.Trap"}}, {"x": [{"y": [{"_target_": "a_trap.Trap"}]}]}])
def test_nested_targets_elsewhere_are_refused_unseen(trap, options):
    with pytest.raises(InputError, match=r"^here\.scheduler\.x.*_target_=a_trap\.Trap is not allowed"):
        build(made(_target_="imcomp.module.InpaintingModule", scheduler=options), "here")
    assert not trap.exists()


@pytest.mark.parametrize("target", ["imcomp.files.os.system", "imcomp.files.os.getcwd", "imcomp.files.write_text"])
def test_functions_and_what_a_module_imports_are_no_way_round(target):
    with pytest.raises(InputError):
        build(made(_target_=target), "here")


def test_classes_that_a_module_imports_are_no_way_round(tmp_path):
    with pytest.raises(InputError):
        build(made(_target_="imcomp.files.Path"), "here")


@pytest.mark.parametrize("target", ["imcomp.nowhere.X", "imcomp.callbacks.X"])
def test_a_missing_class_is_told(target):
    with pytest.raises(InputError, match=rf"^here\._target_={target} cannot be found .*name an existing class$"):
        build(made(_target_=target), "here")


def test_what_a_constructor_refuses_is_one_line():
    with pytest.raises(InputError, match=r"^here: patience 0 would stop before the first epoch; give at least 1$"):
        build(made(_target_=STOPPING, monitor="a", patience=0), "here")
    with pytest.raises(InputError, match=r"^here: .*monitor") as raised:
        build(made(_target_=STOPPING), "here")  # an argument is missing
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "unett"}, "here.network=unett is unknown; choose from autoencoder"),
        ({}, "here.network=None is unknown; choose from autoencoder"),
        ({"network": "autoencoder", "kernel_siz": 3}, "unknown key here.kernel_siz; did you mean here.kernel_size?"),
        ({"network": "autoencoder", "channels": 3}, "here.channels=3 is a int; expected list of int"),
    ],
)
def test_options_are_those_of_what_the_name_chooses(values, message):
    with pytest.raises(InputError) as raised:
        check_options(made(**values), "here", NETWORKS, "network")
    assert str(raised.value) == message


def test_options_may_be_the_targets_own():
    config = made(_target_="imcomp.module.InpaintingModule", network="autoencoder", lr=1e-3, dropout=0.1)
    check_options(config, "here", NETWORKS, "network")

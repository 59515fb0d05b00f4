"""What is evaluated: as given, else as trained; checkpoints that differ in it are told."""

import pytest

from imcomp.errors import InputError
from imcomp.evaluation.agreement import inherit, inherit_mask, leak_warning, name_checkpoints

CENTER = {"name": "center", "size": 8}


def test_the_checkpoints_values_where_none_are_given():
    trained = {"a": {"size": 64, "seed": 1, "batch_size": 9}}
    assert inherit({"size": None, "seed": 0, "fit": None, "batch_size": 2}, trained) == {
        "size": 64,  # the checkpoint's
        "seed": 0,  # given, though 0
        "batch_size": 2,  # not the network's business
    }  # and `fit`, which neither says, is left to the class


def test_how_to_split_is_the_checkpoints_on_its_own_source_alone():
    trained = {"source": "synthetic", "size": 32, "val_fraction": 0.1, "seed": 5}
    options = {"source": "synthetic", "size": None, "val_fraction": None, "seed": None}
    assert inherit(options, {"a": trained}) == trained
    assert inherit({**options, "source": "gtsrb"}, {"a": trained}) == {"source": "gtsrb", "size": 32}


def test_checkpoints_must_agree_on_what_is_not_given():
    trained = {"wide": {"source": "gtsrb", "size": 256}, "small": {"source": "gtsrb", "size": 128}}
    with pytest.raises(InputError, match=r"different data\.size \(wide: 256, small: 128\); give data\.size=\.\.\. for"):
        inherit({"source": "gtsrb", "size": None}, trained)
    assert inherit({"source": "gtsrb", "size": 64}, trained)["size"] == 64


def test_a_checkpoint_of_another_source_has_no_say_in_the_split():
    trained = {"a": {"source": "gtsrb", "seed": 1}, "b": {"source": "folder", "seed": 2}}
    assert inherit({"source": "gtsrb", "seed": None}, trained)["seed"] == 1


def test_the_holes():
    assert inherit_mask(None, {"a": {"mask": CENTER}, "b": {"mask": CENTER}}) == CENTER
    assert inherit_mask({"name": "box"}, {"a": {"mask": CENTER}}) == {"name": "box"}
    assert inherit_mask(CENTER, {}) == CENTER
    with pytest.raises(InputError, match=r"different mask \(a: .*, b: .*\); give mask="):
        inherit_mask(None, {"a": {"mask": CENTER}, "b": {"mask": {"name": "box"}}})
    with pytest.raises(InputError, match="a does not say which holes it was trained on; give mask=center"):
        inherit_mask(None, {"a": {}})
    with pytest.raises(InputError, match="give mask=center"):
        inherit_mask(None, {})


def test_warning_of_pictures_trained_on():
    trained = {"source": "gtsrb", "root": "a", "split": "random", "seed": 0, "val_fraction": 0.3}
    assert leak_warning("net", trained, {**trained, "root": "b"}) is None  # a copy
    assert leak_warning("net", trained, {**trained, "source": "folder", "split": "track"}) is None
    assert leak_warning("net", trained, {**trained, "part": "test", "split": "track"}) is None
    warning = leak_warning("net", trained, {**trained, "split": "track", "seed": 1})
    assert warning is not None
    assert "net was trained on gtsrb with split=random, seed=0" in warning
    assert "evaluated with split=track, seed=1" in warning
    folder = {**trained, "source": "folder"}
    assert leak_warning("net", folder, {**folder, "root": "b", "seed": 1}) is None
    assert leak_warning("net", folder, {**folder, "root": "./a", "seed": 1}) is not None


def test_warning_of_pictures_of_a_mixture():
    gtsrb = {"source": "gtsrb", "root": "data", "split": "random", "seed": 0}
    own = {"source": "folder", "root": "own"}
    mixed = {**gtsrb, "source": "mixed", "sources": [own, {"source": "gtsrb"}]}
    assert leak_warning("net", mixed, mixed) is None
    assert "net was trained on mixed with source=mixed" in str(leak_warning("net", mixed, gtsrb))
    assert leak_warning("net", mixed, {**own, "root": "data/own"}) is not None
    assert leak_warning("net", mixed, {**own, "root": "elsewhere"}) is None
    assert "sources=" in str(leak_warning("net", mixed, {**mixed, "sources": mixed["sources"][::-1]}))
    assert leak_warning("net", {**mixed, "sources": [own, {"source": "gtsrb", "use": "val"}]}, gtsrb) is None


@pytest.mark.parametrize(
    ("checkpoints", "names"),
    [
        (["gtsrb-fast"], ["gtsrb-fast"]),
        (["runs/now/checkpoints/best.ckpt", "runs/then/checkpoints/best.ckpt"], ["now", "then"]),
        (["runs/now/checkpoints/best.ckpt", "runs/now/checkpoints/last.ckpt"], ["now", "now/last"]),
        (["a.ckpt", "b.safetensors"], ["a", "b"]),
        (["x/a.ckpt", "y/a.ckpt", "b.ckpt"], ["x/a.ckpt", "y/a.ckpt", "b"]),
        (["telea.ckpt"], ["telea.ckpt"]),
    ],
)
def test_names(checkpoints, names):
    assert name_checkpoints(checkpoints, ["telea"]) == dict(zip(names, checkpoints, strict=True))


def test_the_same_twice():
    with pytest.raises(InputError, match=r"ckpt=a\.ckpt is given twice"):
        name_checkpoints(["a.ckpt", "b.ckpt", "a.ckpt"])

"""Mistakes on the command line, in one line each."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imcomp.cli import config_dir
from imcomp.errors import InputError
from imcomp.mistakes import check_groups, check_keys, check_tags, explain


def test_a_group_without_an_option_is_told():
    check_groups(["data=folder", "resume=null", "model.scheduler=null", "--help"], config_dir())
    with pytest.raises(InputError, match=r"^debug=null names no option; choose from .*fast.*, or leave it out$"):
        check_groups(["debug=null"], config_dir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.lrr=1"], ["unknown key model.lrr; did you mean model.lr?", "+model.lrr=..."]),
        (["modle.lr=1"], ["unknown key modle.lr; did you mean model.lr?"]),
        (["modell=unet"], ["unknown key modell; did you mean model?"]),
        (["lr=1e-3"], ["unknown key lr; did you mean model.lr?"]),
        (["epochs=7"], ["unknown key epochs; did you mean trainer.max_epochs?"]),
        (["zzz=7"], ["unknown key zzz; choose from augment, callbacks, data, ", ", ..."]),
        (["data=folder", "data.rot=x"], ["unknown key data.rot; did you mean data.root?"]),
        (["data=folder", "data.root=x", "data.count=3"], ["unknown key data.count;"]),
        (["experiment=referense"], ["experiment=referense is unknown; did you mean reference?"]),
        (["data=sintetic"], ["data=sintetic is unknown; did you mean synthetic?"]),
        (["data=zzz"], ["data=zzz is unknown; choose from folder, "]),
        (["model.lr=[1"], ["cannot read 'model.lr=[1'", "quote the value: 'model.lr=\"...\"'"]),
        (["seed=choice()"], ["cannot read 'seed=choice()' (empty choice is not legal); write choice(a, b)"]),
        (["model.lr=interval(1)"], ["(missing a required argument: 'end'); write interval(low, high)"]),
        (["seed=rang(1,2)"], ["cannot read 'seed=rang(1,2)' (unknown function 'rang'); did you mean range?"]),
        (
            ["trainer.gradient_clip_val=choice(null,0.5)"],
            ["(choice(...) takes no null); write trainer.gradient_clip_val=null,... without choice(...)"],
        ),
        (["model.lr"], ["cannot read 'model.lr'; write key=value, such as model.lr=..."]),
    ],
)
def test_hydras_errors_are_one_line_that_says_what_to_do(arguments, words):
    with pytest.raises(HydraException) as raised, initialize_config_dir(str(config_dir())):
        compose("train", arguments)
    line = explain(raised.value, config_dir(), "train", arguments)
    assert "\n" not in line
    assert all(word in line for word in words), line
    assert "base" not in line  # what the options of a group share


@pytest.mark.parametrize(
    ("config", "key", "line"),
    [
        ({"data": {"root": "???"}}, "data.root", "data.root is not given; give data.root=..."),
        ({}, "model", "model is not in the config and is needed; give model=..., or leave out ~model"),
    ],
)
def test_a_missing_value_is_told(config, key, line):
    cfg = OmegaConf.create(config)
    OmegaConf.set_struct(cfg, True)
    with pytest.raises(OmegaConfBaseException) as raised:
        OmegaConf.select(cfg, key, throw_on_missing=True) or cfg[key]
    assert explain(raised.value, config_dir(), "train") == line


def test_a_key_at_the_top_that_nothing_reads_is_refused():
    with initialize_config_dir(str(config_dir())):
        check_keys(compose("train", ["experiment=pretrain_decoder", "debug=fast"]), config_dir(), "train")
        check_keys(compose("evaluate", ["mask=center"]), config_dir(), "evaluate")
        with pytest.raises(InputError, match=r"^unknown key lr; did you mean model\.lr\?$"):
            check_keys(compose("train", ["+lr=1e-3"]), config_dir(), "train")


def test_a_file_that_cannot_be_opened_is_named():
    line = explain(FileNotFoundError(2, "No such file or directory", "a/b"), config_dir(), "train")
    assert line == "a/b: no such file or directory; give another path or mend it"


def test_other_messages_become_one_line():
    assert explain(ValueError("a\n  b"), config_dir(), "train") == "a b"


@pytest.mark.parametrize(
    ("argument", "tag"), [("model.lr=tag(lgo, interval(1, 2))", "lgo"), ("seed=tag(log, range(1, 9))", "log")]
)
def test_a_tag_that_says_nothing_is_told(argument, tag):
    words = f"cannot search {argument}: the tag {tag} says nothing here; write tag(log, interval(low, high))"
    with pytest.raises(InputError) as raised:
        check_tags(["-m", "sweep=optuna", argument])
    assert str(raised.value) == words


@pytest.mark.parametrize("argument", ["model.lr=tag(log, interval(1, 2))", "seed=1,2", "-m", "data.root=[x", "a=1"])
def test_what_has_no_tag_that_is_lost_is_passed(argument):
    assert check_tags(["-m", argument]) == ["-m", argument]

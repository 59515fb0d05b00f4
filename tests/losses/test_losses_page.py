"""What docs/losses.md says is so; what it says of adding a loss works, word for word."""

import inspect
import re
import sys
import types
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import imcomp.losses
from imcomp.cli import config_dir
from imcomp.errors import InputError
from imcomp.losses import LOSSES
from imcomp.losses.adversarial import Adversarial
from imcomp.training import build_module

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Adding a loss")[2]
OPTIONS = sorted(file.stem for file in (config_dir() / "loss").glob("*.yaml"))


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    return text


def configured(*overrides):
    with initialize_config_dir(str(config_dir())):
        return compose("train", [*overrides])


def keys(name):
    cls = Adversarial if name == "adversarial" else LOSSES[name]
    return inspect.signature(cls).parameters.keys() - {"weight"}


@pytest.mark.parametrize("option", OPTIONS)
def test_the_weights_of_every_option_are_stated(option):
    terms = configured(f"loss={option}").loss
    stated = re.search(rf"^\| `{option}`(?: \(default\))? \| (.*?) \|", PAGE, re.MULTILINE)[1]

    assert dict(re.findall(r"`(\w+)` ([\d.]+)", stated)) == {
        name: f"{options.weight:g}" for name, options in terms.items()
    }


@pytest.mark.parametrize("name", [*LOSSES, "adversarial"])
def test_every_part_has_a_file_that_states_its_defaults(name):
    options = OmegaConf.to_container(configured(f"loss={name}").loss)[name]
    cls = Adversarial if name == "adversarial" else LOSSES[name]
    defaults = {key: value.default for key, value in inspect.signature(cls).parameters.items() if key != "weight"}

    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    assert {key: value for key, value in plain.items() if key != "weight"} == defaults


@pytest.mark.parametrize("name", [*LOSSES, "adversarial"])
def test_every_part_and_key_is_told_of(name):
    assert re.search(rf"^\| `{name}` \| .*\|.*\|$", PAGE, re.MULTILINE)
    assert all(f"`{key}`" in PAGE for key in keys(name))


def test_the_defaults_of_the_discriminator_are_stated():
    table = dict(
        re.findall(r"^\| `(\w+)`[^|]* \| `([^`]+)`", PAGE.partition("key of `loss.adversarial`")[2], re.MULTILINE)
    )
    defaults = {field.name: field.default for field in fields(Adversarial)}

    assert {name: float(value) for name, value in table.items()} == {name: defaults[name] for name in table}
    assert table.keys() == {"weight", "feature_matching", "r1", "lr", "width", "margin"}


@pytest.fixture
def search_path(tmp_path, monkeypatch):
    """Do as the page says, the files in a folder of the test's own."""
    module = types.ModuleType("imcomp.losses.tone")
    exec(block("python"), module.__dict__)  # noqa: S102  # a page of this repository
    monkeypatch.setitem(sys.modules, module.__name__, module)
    statement, entry = re.findall(r"^\+(.*)$", block("diff"), re.MULTILINE)
    names = {}
    exec(statement, names)  # noqa: S102
    for name, loss in eval(f"{{{entry}}}", names).items():  # noqa: S307
        monkeypatch.setitem(LOSSES, name, loss)
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "tone.yaml").write_text(block("yaml"), encoding="utf-8")
    return f"hydra.searchpath=[file://{tmp_path}]"


def test_the_pages_loss_is_chosen_by_name_and_trains(search_path):
    cfg = configured(search_path, "loss=tone", "loss.tone.power=1", "model.channels=[2,4]")
    module = build_module(cfg)
    output, image = torch.zeros(1, 1, 4, 4).requires_grad_(), torch.full((1, 1, 4, 4), 0.5)

    total, parts = module.loss(output, image, torch.ones(1, 1, 4, 4))
    total.backward()

    assert {name: part.item() for name, part in parts.items()} == {"l1": 0.5, "tone": 0.5}
    assert total.item() == 1
    assert output.grad.lt(0).all()


def test_a_mistake_with_the_pages_loss_is_told(search_path):
    with pytest.raises(InputError, match=r"loss.tone.power=a is a str; expected int"):
        build_module(configured(search_path, "loss=tone", "loss.tone.power=a"))
    with pytest.raises(InputError, match=r"unknown key loss.tone.powers; did you mean loss.tone.power\?"):
        build_module(configured(search_path, "loss=tone", "+loss.tone.powers=2"))
    with pytest.raises(InputError, match=r"^loss.tone: power=0 has no slope at 0"):
        build_module(configured(search_path, "loss=tone", "loss.tone.power=0"))


def test_the_registry_is_as_the_page_shows_it():
    source = Path(imcomp.losses.__file__).read_text(encoding="utf-8")
    shown = [line[1:] for line in block("diff").splitlines() if line.startswith(" ")]

    assert shown
    assert set(shown) <= set(source.splitlines())

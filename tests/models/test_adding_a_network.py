"""What docs/networks.md says of adding a network works, word for word."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from imcomp.cli import config_dir
from imcomp.config import build, check_options
from imcomp.models import NETWORKS
from imcomp.module import InpaintingModule

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Adding a network")[2]


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture
def search_path(tmp_path, monkeypatch):
    """Do as the page says, the files in a folder of the test's own."""
    module = types.ModuleType("imcomp.models.tiny")
    exec(block("python"), module.__dict__)  # noqa: S102  # a page of this repository
    monkeypatch.setitem(sys.modules, module.__name__, module)
    statement, entry = re.findall(r"^\+(.*)$", block("diff"), re.MULTILINE)
    names = {}
    exec(statement, names)  # noqa: S102
    for name, network in eval(f"{{{entry}}}", names).items():  # noqa: S307
        monkeypatch.setitem(NETWORKS, name, network)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text(block("yaml"), encoding="utf-8")
    return f"hydra.searchpath=[file://{tmp_path}]"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mask_channel", [False, True])
def test_the_pages_network_is_chosen_by_name_and_runs(search_path, channels, mask_channel):
    overrides = ["model=tiny", "model.width=4", f"model.mask_channel={mask_channel}", f"data.channels={channels}"]
    with initialize_config_dir(str(config_dir())):
        cfg = compose("train", [search_path, *overrides])

    check_options(cfg.model, "model", NETWORKS, "network")
    module = build(cfg.model, "model")
    image, mask = torch.rand(2, channels, 7, 5), torch.zeros(2, 1, 7, 5)

    assert module(image, mask).shape == image.shape
    assert module.input_channels == channels + mask_channel
    assert InpaintingModule(**module.hparams).network.layers[0].out_channels == 4


def test_the_registry_is_as_the_page_shows_it():
    source = Path(sys.modules["imcomp.models"].__file__).read_text(encoding="utf-8")
    shown = [line[1:] for line in block("diff").splitlines() if line.startswith(" ")]

    assert shown
    assert set(shown) <= set(source.splitlines())

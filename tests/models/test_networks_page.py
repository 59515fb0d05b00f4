"""The numbers of docs/networks.md are those of the networks."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from imcomp.cli import config_dir
from imcomp.config import build
from imcomp.models import NETWORKS
from imcomp.module import InpaintingModule

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
ROWS = {
    name: [cell.strip() for cell in cells.strip("|").split("|")]
    for name, cells in re.findall(r"^\| `(\w+)` (\|(?: [^|]+ \|){6})$", PAGE, re.MULTILINE)
}
every_network = pytest.mark.parametrize("name", sorted(NETWORKS))


def configured(name):
    with initialize_config_dir(str(config_dir())):
        return compose("train", [f"model={name}", "data.channels=1"]).model


def test_every_network_has_a_row():
    assert ROWS.keys() == NETWORKS.keys()


@every_network
def test_the_row_is_true(name):
    options = configured(name)
    module = build(options, "model").to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.network(torch.zeros(1, module.input_channels, 256, 256, device="meta"))
    mask = "by key" if "mask_channel" in options else "always" if module.takes_mask else "never"

    parameters, gflop, multiple, _, stated_mask, _ = ROWS[name]

    assert parameters == f"{sum(parameter.numel() for parameter in module.parameters()):,}"
    assert gflop == f"{counter.get_total_flops() / 1e9:.2f}"
    assert (multiple, stated_mask) == (str(module.multiple), mask)


@every_network
def test_a_config_has_the_defaults_of_its_class(name):
    network = build(configured(name), "model").network

    for key, value in NETWORKS[name]().state_dict().items():
        assert network.state_dict()[key].shape == value.shape, key


def stated_defaults():
    """Network, key and default of each row of the page's second table; an empty cell repeats the one above."""
    names = []
    for cell, key, default in re.findall(r"^\| (.*?) ?\| `model\.(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE):
        names = re.findall(r"`(\w+)`", cell) or names
        yield from ((name, key, default) for name in names)


@pytest.mark.parametrize(("name", "key", "default"), [*stated_defaults()])
def test_every_key_has_the_stated_default(name, key, default):
    assert configured(name)[key] == OmegaConf.create(f"value: {default}").value


@every_network
def test_every_own_key_has_a_row(name):
    shared = {"_target_", "network", *inspect.signature(InpaintingModule).parameters}
    own = configured(name).keys() - shared

    if name != "autoencoder":  # the page of training has its keys
        assert {key for network, key, _ in stated_defaults() if network == name} == own

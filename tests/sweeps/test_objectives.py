"""What a network costs, and what a sweep weighs."""

import pytest
import torch

from imcomp.batch import Batch
from imcomp.errors import InputError
from imcomp.module import InpaintingModule
from imcomp.sweeps.objectives import COSTS, check_names, choose


@pytest.fixture
def batch():
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:16, 8:16] = 1
    return Batch(torch.rand(2, 1, 32, 32), mask, torch.arange(2))


def test_the_parameters_are_counted(batch):
    module = InpaintingModule(channels=[4, 8])
    assert COSTS["params"](module, batch) == sum(p.numel() for p in module.parameters())


def test_a_wider_network_is_slower_and_the_module_is_left_as_it_was(batch):
    narrow, wide = (InpaintingModule(channels=channels) for channels in ([2, 4], [128, 256]))
    assert 0 < COSTS["latency"](narrow, batch) < COSTS["latency"](wide, batch)
    assert narrow.training


def test_one_objective_is_a_number_and_several_are_a_list():
    metrics = {"val/mse": 0.5, "params": 7.0}
    assert choose(metrics, ["val/mse"]) == 0.5
    assert choose(metrics, ["params", "val/mse"]) == [7.0, 0.5]


@pytest.mark.parametrize(
    ("names", "words"), [([], "name one or more"), (["val/mes"], "choose from latency, params, val")]
)
def test_an_unknown_objective_is_told(names, words):
    with pytest.raises(InputError, match=words):
        choose({"val/mse": 0.5}, names)


@pytest.mark.parametrize("monitor", ["val/psnr", "val/accuracy"])
def test_a_monitor_that_would_keep_the_worst_is_told(monitor):
    words = f"monitor={monitor} is best where it is highest, and the lowest is kept; choose from val/loss, val/mse"
    with pytest.raises(InputError, match=words):
        check_names(monitor, ["val/mse"], {"val/mse", "val/loss", "val/psnr", "val/accuracy"})


def test_a_run_without_an_objective_is_told_before_it_begins():
    with pytest.raises(InputError, match=r"objectives=\[\] leaves nothing to improve"):
        check_names("val/mse", [], {"val/mse"})

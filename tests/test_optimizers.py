from copy import deepcopy

import pytest
import torch

from imcomp.errors import InputError
from imcomp.models import NETWORKS, build_network
from imcomp.module import InpaintingModule
from imcomp.optimizers import Muon, build_optimizer, orthogonalise

SMALL = {"network": "fast", "channels": (8, 12), "stem": 2, "bottom_blocks": 0}


def build(network, groups=None, **options):
    groups = [{"params": list(network.parameters())}] if groups is None else groups
    return build_optimizer("muon", network, groups, **({"lr": 0.01, "weight_decay": 0.0, "fused": False} | options))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_muon_takes_the_hidden_weights_of_every_network_and_adamw_the_rest(name):
    network = build_network(name, in_channels=3, mask_channel=False)
    names = {id(parameter): key for key, parameter in network.named_parameters()}

    hidden, rest = build(network).param_groups

    assert len(hidden["params"]) + len(rest["params"]) == len(names)
    assert all(parameter.ndim > 1 for parameter in hidden["params"])
    matrices = [parameter for parameter in rest["params"] if parameter.ndim > 1]
    # those that the picture goes into and comes out of
    assert {id(parameter) for parameter in matrices} == {
        next(id(parameter) for parameter in network.parameters() if parameter.ndim > 1),
        next(id(parameter) for parameter in [*network.parameters()][::-1] if parameter.ndim > 1),
    }
    assert 3 in matrices[0].shape[:2] or name == "fast"  # which folds the picture
    assert 3 in matrices[1].shape[:2] or name == "fast"


def test_a_step_is_orthogonal_and_as_long_as_one_of_adamw():
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(8, 16, 3), torch.nn.Conv2d(16, 1, 3))
    before = network[1].weight.detach().clone()
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)

    build(network).step()

    step = (network[1].weight.detach() - before).flatten(1) / -0.01
    stretches = torch.linalg.svdvals(step) / (0.2 * 72**0.5)  # rms 0.2 for 16 rows of 72 numbers
    assert ((stretches > 0.5) & (stretches < 1.5)).all()


def test_each_group_keeps_its_rate_and_all_have_the_weight_decay():
    module = InpaintingModule(optimizer="muon", lr=0.5, decoder_lr=0.1, weight_decay=0.25, **SMALL)
    groups = module.configure_optimizers()["optimizer"].param_groups

    assert [(group["name"], group["lr"], group["use_muon"]) for group in groups] == [
        *(("encoder_hidden", 0.5, True), ("encoder_rest", 0.5, False)),
        *(("decoder_hidden", 0.05, True), ("decoder_rest", 0.05, False)),
    ]
    assert {group["weight_decay"] for group in groups} == {0.25}


def test_it_goes_on_from_its_state():
    def step(network, optimizer):
        optimizer.zero_grad()
        network(torch.ones(1, 1, 8, 8)).square().mean().backward()
        optimizer.step()

    torch.manual_seed(0)
    options = {"name": "fast", "in_channels": 1, "channels": (8, 12), "stem": 2, "bottom_blocks": 0}
    network, again = build_network(**options), build_network(**options)
    optimizer = build(network)
    step(network, optimizer)
    again.load_state_dict(network.state_dict())
    resumed = build(again)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))

    step(network, optimizer)
    step(again, resumed)

    torch.testing.assert_close([*again.parameters()], [*network.parameters()], rtol=0, atol=0)


def test_a_network_without_hidden_weights_is_refused():
    network = torch.nn.Conv2d(1, 1, 3)

    with pytest.raises(InputError, match=r"finds no hidden weights that are matrices .* give model.optimizer=adamw"):
        build(network)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (16, 16)])
def test_in_either_precision_the_singular_values_come_near_one_and_the_directions_stay(monkeypatch, shape, precision):
    monkeypatch.setattr("imcomp.optimizers.fastest_precision", lambda _: precision)
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    result = orthogonalise(matrix)

    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ result @ right.T
    assert result.dtype == torch.float32
    assert ((turned.diagonal() > 0.5) & (turned.diagonal() < 1.3)).all()
    assert (turned - turned.diagonal().diag()).abs().max() < 0.05


def test_the_rest_is_stepped_as_by_adamw():
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    options = {"lr": 0.1, "weight_decay": 0.3}
    muon = Muon([{"params": [ours]}], **options)
    adamw = torch.optim.AdamW([theirs], betas=(0.9, 0.95), eps=1e-10, **options)

    for index in range(5):
        for parameter in (ours, theirs):
            parameter.grad = torch.sin(torch.arange(7.0) + index)
        muon.step()
        adamw.step()

    torch.testing.assert_close(ours, theirs)


def test_weights_without_a_gradient_stay():
    network = build_network("fast", in_channels=1, channels=(8, 12), stem=2, bottom_blocks=0)
    before = [parameter.detach().clone() for parameter in network.parameters()]

    build(network, weight_decay=0.5).step()

    torch.testing.assert_close([*network.parameters()], before, rtol=0, atol=0)


def test_a_closure_is_called_and_its_loss_returned():
    network = build_network("fast", in_channels=1, channels=(8, 12), stem=2, bottom_blocks=0)

    def closure():
        loss = network(torch.ones(1, 1, 8, 8)).square().mean()
        loss.backward()
        return loss

    assert build(network).step(closure) > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_by_name():
    module = InpaintingModule(optimizer="muon", scheduler={"name": "constant"}, **SMALL)
    assert isinstance(module.configure_optimizers()["optimizer"], Muon)

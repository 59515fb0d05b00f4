"""Optimisers by name, of a network's parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pytorch_optimizer import Muon
from torch import nn

from imcomp.errors import InputError

ParameterGroup = dict[str, Any]
"""Parameters as ``params``, and what is other for them, such as ``lr``; ``name`` is what its rate is logged under."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "muon": Muon,
}


def build_optimizer(
    name: str, network: nn.Module, groups: Iterable[ParameterGroup], *, lr: float, weight_decay: float, fused: bool
) -> torch.optim.Optimizer:
    """Build a registered optimiser.

    `muon` takes the step of a hidden convolution's or product's weights along the nearest orthogonal matrix to their
    momentum (K. Jordan et al., 2024: https://kellerjordan.github.io/posts/muon), as long as an AdamW step is, so that
    its rates do for both (J. Liu et al., 2025: https://arxiv.org/abs/2502.16982). AdamW steps the rest: what the
    picture goes into and comes out of, normalisations, biases.

    Args:
        name: a key of ``OPTIMIZERS``.
        network: whose parameters they are.
        groups: its parameters. With `muon`, each group becomes two.
        lr: learning rate, where a group has no other.
        weight_decay: as the optimiser takes it.
        fused: take the step as one kernel, where the optimiser has one.

    Raises:
        InputError: `muon`, and a network without a hidden weight of two or more dimensions.
    """
    if name != "muon":
        # not False, which forbids the kernels for several weights at once too
        return OPTIMIZERS[name](groups, lr=lr, weight_decay=weight_decay, fused=fused or None)
    hidden = _hidden_weights(network)
    divided: list[ParameterGroup] = []
    for group in groups:
        own_name = [group["name"]] if "name" in group else []
        for use_muon in (True, False):
            part = {
                "params": [parameter for parameter in group["params"] if (id(parameter) in hidden) == use_muon],
                "name": "_".join([*own_name, "hidden" if use_muon else "rest"]),
                "use_muon": use_muon,
            }
            divided.append({"lr": lr, "weight_decay": weight_decay} | group | part)
    return Muon(divided, use_adjusted_lr=True)


def _hidden_weights(network: nn.Module) -> set[int]:
    """The ids of the weights between the first and the last that have rows and columns."""
    matrices = [id(parameter) for parameter in network.parameters() if parameter.ndim > 1]
    if len(matrices) < 3:  # first, hidden, last
        raise InputError(
            "model.optimizer=muon finds no hidden weights that are matrices (trainer=fsdp deals them out as lists of"
            " numbers); give model.optimizer=adamw"
        )
    return set(matrices[1:-1])

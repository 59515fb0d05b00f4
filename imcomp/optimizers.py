"""Optimisers by name, of a network's parameters."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from imcomp.errors import InputError
from imcomp.perf import fastest_precision

ParameterGroup = dict[str, Any]
"""Parameters as ``params``, and what is other for them, such as ``lr``; ``name`` is what its rate is logged under."""


class Muon(Optimizer):
    """Momentum orthogonalised by Newton-Schulz for hidden weights, AdamW for the others.

    A weight of two or more dimensions is a matrix with a row for each output. Its step goes along the nearest
    orthogonal matrix to its Nesterov momentum (K. Jordan et al., 2024: https://kellerjordan.github.io/posts/muon), and
    is as long as one of AdamW, so that the same rate and weight decay suit both (J. Liu et al., Muon is Scalable for
    LLM Training, 2025: https://arxiv.org/abs/2502.16982).

    ``torch.optim.Muon`` takes matrices alone, and like other implementations multiplies in bfloat16 everywhere, which
    takes a CPU without instructions for it seconds a step; here it is what the device is quickest in.

    Args:
        groups: parameters; those of a group with ``use_muon`` are hidden weights.
        lr: learning rate, where a group has no other.
        weight_decay: decoupled, as AdamW's, where a group has no other.
        momentum: of the hidden weights' gradients, in [0, 1).
        betas: AdamW's.
        eps: AdamW's.
    """

    def __init__(
        self,
        groups: Iterable[ParameterGroup],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-10,
    ) -> None:
        # beta1 and momentum are no defaults: a schedule that cycles them would take them for Adam's
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "use_muon": False})
        self.momentum, self.betas, self.eps = momentum, betas, eps

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step, along the gradients of the weights that have one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            direction_of = self._orthogonal if group["use_muon"] else self._adam
            for weight in group["params"]:
                if weight.grad is not None:
                    direction = direction_of(weight.grad, self.state[weight])
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
        return loss

    def _orthogonal(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        average = _kept(state, "momentum_buffer", gradient)
        average.lerp_(gradient, 1 - self.momentum)
        matrix = gradient.lerp(average, self.momentum).flatten(1)
        # root mean square 0.2, which is about what AdamW's steps have
        return orthogonalise(matrix).reshape_as(gradient) * (0.2 * math.sqrt(max(matrix.shape)))

    def _adam(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        average, average_square = _kept(state, "exp_avg", gradient), _kept(state, "exp_avg_sq", gradient)
        steps: int = state.get("step", 0) + 1
        state["step"] = steps
        beta, beta_square = self.betas
        average.lerp_(gradient, 1 - beta)
        average_square.lerp_(gradient.square(), 1 - beta_square)
        size = (average_square / (1 - beta_square**steps)).sqrt_().add_(self.eps)
        return average / (1 - beta**steps) / size


def _kept(state: dict[str, Any], name: str, like: Tensor) -> Tensor:
    """What a weight's state holds under a name, from 0 on."""
    if name not in state:
        state[name] = torch.zeros_like(like)
    kept: Tensor = state[name]
    return kept


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix, roughly: five quintic Newton-Schulz iterations bring singular values near 1.

    Jordan's coefficients raise small ones fastest, and leave most between 0.7 and 1.2.

    Args:
        matrix: ``(rows, columns)`` float32.
    """
    half = fastest_precision(matrix.device) == "bf16-mixed"
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide.to(torch.bfloat16 if half else torch.float32)
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), wide, beta=3.4445)
    return (wide.T if len(matrix) > matrix.shape[1] else wide).to(matrix.dtype)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "muon": Muon}


def build_optimizer(
    name: str, network: nn.Module, groups: Iterable[ParameterGroup], *, lr: float, weight_decay: float, fused: bool
) -> Optimizer:
    """Build a registered optimiser.

    `muon` leaves to AdamW what the picture goes into and comes out of, normalisations and biases.

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
            divided.append(group | part)
    return Muon(divided, lr=lr, weight_decay=weight_decay)


def _hidden_weights(network: nn.Module) -> set[int]:
    """The ids of the weights between the first and the last that have rows and columns."""
    matrices = [id(parameter) for parameter in network.parameters() if parameter.ndim > 1]
    if len(matrices) < 3:  # first, hidden, last
        raise InputError(
            "model.optimizer=muon finds no hidden weights that are matrices (trainer=fsdp deals them out as lists of"
            " numbers); give model.optimizer=adamw"
        )
    return set(matrices[1:-1])

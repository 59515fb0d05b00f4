"""What the hardware allows at most: the arithmetic and the bytes of a step over rates measured in the same run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.readings import Line, Reading, Work
from imcomp.benchmark.timing import per_second

GROUP = "what the hardware does"
COPY = "copying memory"
PRODUCTS = {"float32": "matrix product in float32", "bfloat16": "matrix product in bfloat16"}
"""The entrant that measures the rate of each kind."""


def count_work(step: Callable[[], object], pictures: int, kind: str) -> Work:
    """Count what a step costs a picture.

    Everything between convolutions and matrix products could be fused into them, and need not be counted; what they
    read and write themselves must go through memory once.

    Args:
        step: computes ``pictures`` pictures, not compiled.
        pictures: at least 1.
        kind: `float32` or `bfloat16`.
    """
    with _Bytes() as traffic, FlopCounterMode(display=False) as counter:
        step()
    return Work(counter.get_total_flops() / pictures, traffic.total / pictures, kind)


def loading_work(size: int) -> Work:
    """What loading costs a grey picture at least: its bytes are read once and written once as float32.

    Args:
        size: pixels of each side.
    """
    return Work(flops=0, moved=size**2 * (1 + 4), kind="float32")


def limit(work: Work, rates: Mapping[str, float]) -> float | None:
    """Pictures a second that no program can exceed which multiplies and moves memory no quicker than measured.

    Args:
        work: of a picture.
        rates: FLOP/s by kind, and bytes/s as `copy`.

    Returns:
        None where a rate is missing, or there is no work.
    """
    if "copy" not in rates or (work.flops and work.kind not in rates) or not (work.flops or work.moved):
        return None
    multiplying = work.flops / rates[work.kind] if work.flops else 0.0
    return 1 / max(multiplying, work.moved / rates["copy"])


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up the bytes that operations with a FLOP formula read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:  # noqa: SLF001  # as FlopCounterMode itself looks it up
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


def rate_entrants(device: str) -> list[Entrant]:
    """Measure the rates, in the same run as what they limit."""
    products = [Entrant(PRODUCTS[kind], GROUP, "TFLOP/s", MatrixProduct(device, kind)) for kind in PRODUCTS]
    return [*products, copy_entrant(device)]


def copy_entrant(device: str) -> Entrant:
    """Measure the rate of a copy alone, for what multiplies nothing."""
    return Entrant(COPY, GROUP, "GB/s", Copy(device))


def with_limits(lines: Sequence[Line]) -> list[Line]:
    """Set ``limit`` on every line whose work is known, from the rates among the lines."""
    measured = {line.name: line.median for line in lines if line.group == GROUP and line.values}
    rates = {kind: measured[name] * 1e12 for kind, name in PRODUCTS.items() if name in measured}
    if COPY in measured:
        rates["copy"] = measured[COPY] * 1e9
    return [replace(line, limit=limit(line.work, rates)) if line.work else line for line in lines]


@dataclass(frozen=True)
class MatrixProduct:
    """Measures TFLOP/s of a square matrix product.

    Attributes:
        device: `cpu` or `cuda`.
        kind: `float32` (with TF32, where there is it) or `bfloat16`.
    """

    device: str
    kind: str

    def __call__(self, seconds: float) -> Reading:
        torch.set_float32_matmul_precision("high")
        side = 8192 if self.device == "cuda" else 2048
        left, right = torch.rand(2, side, side, device=self.device).to(getattr(torch, self.kind))

        def multiply() -> int:
            torch.mm(left, right)
            return 2 * side**3

        return Reading({"TFLOP/s": per_second(multiply, seconds, self.device) / 1e12})


@dataclass(frozen=True)
class Copy:
    """Measures GB/s of copying, each byte counted once read and once written.

    Attributes:
        device: `cpu` or `cuda`.
    """

    device: str

    def __call__(self, seconds: float) -> Reading:
        # far more than a processor's caches hold
        source = torch.rand(1 << (28 if self.device == "cuda" else 26), device=self.device)
        target = torch.empty_like(source)

        def copy() -> int:
            target.copy_(source)
            return 2 * source.numel() * source.element_size()

        return Reading({"GB/s": per_second(copy, seconds, self.device) / 1e9})

"""What is quickest on a device: found out before training, from torch alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from imcomp.errors import InputError


@dataclass(frozen=True)
class Perf:
    """The keys of the group ``perf``.

    Attributes:
        precision: ``auto`` for ``fastest_precision``, ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        channels_last: memory layout of weights and pictures; the same numbers to rounding.
        fused: the optimiser's step as one kernel, where the device has it.
        compile: the network through ``torch.compile``.
        tf32: on NVIDIA, multiply float32 with 10 bits of mantissa.
        flush_denormal: on CPUs, numbers below 1e-38 count as 0; dead channels decay to them, and with them a CPU is 15
            times slower.
    """

    precision: str
    channels_last: bool
    fused: bool
    compile: bool
    tf32: bool
    flush_denormal: bool


def find_device(accelerator: str) -> torch.device:
    """The device that Lightning's ``Trainer(accelerator=...)`` will train on; the CPU where torch has no such one."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found if found and accelerator in ("auto", "gpu", found.type) else torch.device("cpu")


def fastest_precision(device: torch.device) -> Literal["32-true", "bf16-mixed"]:
    """bfloat16 where the hardware multiplies it quicker than float32, else float32.

    That is AVX512-BF16 and AMX on CPUs, Ampere (compute capability 8.0) and later on NVIDIA. Other processors compute
    bfloat16 by way of float32, if at all, and lose time.
    """
    if device.type == "cuda":
        quick = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        has = torch.cpu.get_capabilities()
        quick = has.get("avx512_bf16", False) or has.get("amx_bf16", False)
    else:
        quick = False
    return "bf16-mixed" if quick else "32-true"


def can_fuse(device: torch.device) -> bool:
    """Whether the device has Adam's step as one kernel."""
    weight = nn.Parameter(torch.zeros(1, device=device))
    weight.grad = torch.zeros_like(weight)
    try:
        torch.optim.Adam([weight], fused=True).step()  # the first step is where torch looks at the device
    except RuntimeError:
        return False
    return True


def set_arithmetic(*, tf32: bool, flush_denormal: bool) -> None:
    """Set for this process how float32 is computed; see ``Perf``."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_flush_denormal(flush_denormal)


@contextmanager
def compiled(network: nn.Module) -> Iterator[None]:
    """Compile a network in place, which keeps the names of its weights; inside, it may run.

    Raises:
        InputError: it cannot be compiled here, which shows in the first batch.
    """
    from torch._dynamo.exc import TorchDynamoException  # slow to import, and only needed here

    network.compile()
    try:
        yield
    except TorchDynamoException as error:
        cause = getattr(error, "inner_exception", error)
        reason = next(filter(None, map(str.strip, str(cause).splitlines())), type(cause).__name__)
        raise InputError(f"the network cannot be compiled here ({reason}); give perf.compile=false") from error

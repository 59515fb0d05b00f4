"""Randomness as a function: integers in, well-spread integers and fractions out; no generator, no state.

Integer arithmetic alone, so that every device and every size of batch gives the same numbers.
"""

import torch
from torch import Tensor


def mix_seeds(*parts: int | Tensor) -> Tensor:
    """Mix integers into well-spread seeds, with SplitMix64's finaliser after each part.

    G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.

    Args:
        parts: integers or int64 tensors that broadcast against one another, such as (seed, epoch, indices).

    Returns:
        int64 tensor of the broadcast shape, on the tensors' device. The same parts give the same seeds.
    """
    device = next((part.device for part in parts if isinstance(part, Tensor)), None)
    state = torch.zeros((), dtype=torch.int64, device=device)
    for part in parts:
        state = state + part + _signed(0x9E3779B97F4A7C15)  # int64 arithmetic wraps round, as intended
        state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
        state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
        state = state ^ _shift_right(state, 31)
    return state


def random_bits(seeds: Tensor, count: int) -> Tensor:
    """Draw ``count`` numbers from each seed; the first ones do not depend on how many are drawn.

    Args:
        seeds: ``(B,)`` int64.
        count: how many.

    Returns:
        ``(B, count)`` int64, evenly spread over [0, 2**24).
    """
    return _shift_right(mix_seeds(seeds[:, None], torch.arange(count, device=seeds.device)), 64 - _BITS)


def uniform(bits: Tensor, low: float, high: float) -> Tensor:
    """Turn `random_bits` into float32 from ``low`` to ``high``."""
    return bits.float() * ((high - low) / (1 << _BITS)) + low


def integers(bits: Tensor, low: int | Tensor, high: int | Tensor) -> Tensor:
    """Turn `random_bits` into int64 from ``low`` to ``high``, both included."""
    return low + (bits * (high - low + 1) >> _BITS)


_BITS = 24  # as many as a float32 holds exactly


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift_right(value: Tensor, bits: int) -> Tensor:
    # torch's >> on int64 copies the sign bit; the mixer wants zeros
    return (value >> bits) & ((1 << (64 - bits)) - 1)

"""Checks that the networks' options share: what was got, what was expected, what to do."""

from collections.abc import Sequence


def check_channels(channels: Sequence[int]) -> None:
    """Refuse what is no list of widths.

    Raises:
        ValueError: no width, or one below 1.
    """
    if not channels or min(channels) < 1:
        raise ValueError(f"channels {list(channels)} is no list of widths; give one of at least 1 for each level")


def check_kernel_size(kernel_size: int) -> None:
    """Refuse kernels that have no centre.

    Raises:
        ValueError: an even size, or one below 1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} is not odd; give 3, 5 or 7, so that sizes are kept")


def check_dropout(dropout: float) -> None:
    """Refuse what is no probability, or drops everything.

    Raises:
        ValueError: outside [0, 1).
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout {dropout} is not a probability below 1; give 0 to turn it off")


def check_at_least(least: int, **values: int) -> None:
    """Refuse counts that are too small: ``check_at_least(1, blocks=blocks)``.

    Raises:
        ValueError: a value below ``least``.
    """
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} {value} is too small; give at least {least}")

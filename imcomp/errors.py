"""The error that a user can mend, and what several places word alike."""

from collections.abc import Sequence
from difflib import get_close_matches


class InputError(ValueError):
    """A mistake in what the user gave: a key, a file, a checkpoint.

    Its message is one line that says what was got, what was expected and what to do. The command line prints
    that line alone; every other exception is a defect of the program and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        # a loader raises its worker's error anew, with the worker's whole traceback for a message
        if message.startswith("Caught "):
            message = message.rstrip().rpartition("\n")[2].partition(": ")[2] or message
        super().__init__(message)


class RunEnded(RuntimeError):  # noqa: N818 - what the run met, no defect of the program
    """A run cannot go on for a reason outside of it, such as a full disk; its state is saved where that could be done.

    Its message is one line that says what happened and how to go on. The command line prints that line alone.
    """


def suggest(name: str, choices: Sequence[str]) -> str:
    """Word the way out of an unknown name: the nearest choice if one is near, else all of them."""
    near = get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(choices))}"


def check_seed(key: str, seed: int, otherwise: str = "") -> None:
    """Refuse what some library takes for no seed: NumPy none below 0, Lightning none beyond 32 bits.

    Args:
        key: of the config.
        seed: its value.
        otherwise: a further way out, such as ", or null to draw one".

    Raises:
        InputError: a seed out of range.
    """
    if not 0 <= seed < 1 << 32:
        raise InputError(f"{key}={seed} is out of range; give one from 0 to {(1 << 32) - 1}{otherwise}")

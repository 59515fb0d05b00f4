"""What is wanted, each beside what it is measured by."""

from dataclasses import dataclass

from imcomp.benchmark.readings import UNITS, Result
from imcomp.benchmark.suites import data, predict, quality, startup, train


@dataclass(frozen=True)
class Target:
    """A bound on a line, or on how many times as good it is as another.

    Attributes:
        suite: measures it.
        device: on which.
        line: its name.
        bound: at least so much of what is better in large numbers, at most of the rest.
        over: the line that it is compared with; None for the value itself.
        quantity: of the line.
    """

    suite: str
    device: str
    line: str
    bound: float
    over: str | None = None
    quantity: str = "pictures/s"

    @property
    def more_is_better(self) -> bool:
        """Whether the bound is the least, and not the most."""
        return self.over is not None or UNITS[self.quantity.rpartition(", ")[2]]


@dataclass(frozen=True)
class Verdict:
    """A target, and what one result says of it.

    Attributes:
        reached: the value, or the ratio; None where it could not be measured.
        met: whether it is within the bound.
        reason: why it could not be measured, or None.
    """

    reached: float | None
    met: bool
    reason: str | None = None


TARGETS = (
    Target("data", "cpu", data.WARM, 10, over=data.REFERENCE_WARM),
    Target("data", "cpu", data.COLD, 1, over=data.REFERENCE_COLD),
    Target("train", "cpu", train.STEP, 4, over=train.REFERENCE_STEP),
    Target("train", "cpu", train.WHOLE, 4, over=train.REFERENCE_WHOLE),
    Target("predict", "cpu", predict.FAST_AUTO, 1, over=predict.TELEA),
    Target("startup", "cpu", startup.HELP, 1, quantity="s"),
    Target("startup", "cpu", startup.CONFIG, 1, quantity="s"),
    Target("startup", "cpu", startup.PREDICT, 4, quantity="s"),
    Target("quality", "cpu", quality.RANDOM, 300, quantity=quality.GOAL_TIME),
    Target("quality", "cpu", quality.RANDOM, 8, quantity=quality.ERROR, over=quality.TELEA_RANDOM),
    Target("quality", "cpu", quality.TRACK, 8, quantity=quality.ERROR, over=quality.TELEA_TRACK),
    Target("train", "cuda", train.STEP, 20_000),
    Target("train", "cuda", train.BUSY, 5, quantity="%"),
    Target("quality", "cuda", quality.EPOCHS, 60, quantity=quality.EPOCHS_TIME),
    Target("quality", "cuda", quality.RANDOM, 30, quantity=quality.GOAL_TIME),
)
"""On a CPU the machine meant has 2 cores, and the GPU is an H100."""


def judge(target: Target, result: Result) -> Verdict | None:
    """Hold a result of the target's suite and device against it; None where the result knows nothing of its lines."""
    line = result.find(target.line, target.quantity)
    if line is None or not line.values:
        reason = next((found.reason for found in result.lines if found.name == target.line and found.reason), None)
        return Verdict(None, met=False, reason=reason) if reason else None
    reached = line.median
    if target.over is not None:
        other = result.find(target.over, target.quantity)
        if other is None or not other.values:
            return Verdict(None, met=False, reason=f"nothing to compare with: {target.over}")
        reached = line.gain_over(other)
    return Verdict(reached, met=reached >= target.bound if target.more_is_better else reached <= target.bound)

import math
import re

import pytest
import torch

from imcomp.errors import InputError
from imcomp.optimizers import build_optimizer
from imcomp.schedules import SCHEDULES, build_schedule
from imcomp.training import train

QUICK = ("logger=csv", "callbacks.progress=null", "trainer.limit_train_batches=4")


def scheduled(options, steps, lr=1.0):
    """An optimiser, its rate under a schedule over so many steps."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    return optimizer, build_schedule(options).over(optimizer, steps)


def rates(options, steps, count=None, lr=1.0):
    """The rates of the first steps, and the one that would come next."""
    optimizer, schedule = scheduled(options, steps, lr)
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps if count is None else count):
        optimizer.step()
        schedule.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


class TestCosine:
    def test_up_by_steps_then_half_a_cosine(self):
        assert rates({"name": "cosine", "warmup": 1}, 5) == pytest.approx(
            [0.5, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
        )

    def test_the_way_up_may_be_a_fraction_and_the_end_a_floor(self):
        seen = rates({"name": "cosine", "warmup": 0.3, "floor": 0.1}, 10, lr=2.0)

        assert seen[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
        assert seen[10] == pytest.approx(0.2)

    def test_after_the_end_the_rate_stays(self):
        assert rates({"name": "cosine", "warmup": 0, "floor": 0.5}, 2, count=5)[2:] == pytest.approx([0.5] * 4)

    def test_a_way_up_as_long_as_the_run_is_refused(self):
        with pytest.raises(InputError, match="warmup=5 is no part of a run of 5 steps; give less"):
            scheduled({"name": "cosine", "warmup": 5}, 5)


class TestOneCycle:
    def test_up_for_a_tenth_and_down_for_the_rest(self):
        seen = rates({"name": "onecycle"}, 100)

        assert seen[0] == pytest.approx(1 / 25)
        assert seen.index(max(seen)) == 9
        assert max(seen) == pytest.approx(1)
        assert seen[99] == pytest.approx(1 / 25e4)
        assert seen[9:] == sorted(seen[9:], reverse=True)

    @pytest.mark.parametrize("steps", range(1, 13))
    @pytest.mark.parametrize("pct_start", [0, 0.1, 0.5, 0.99])
    def test_every_length_has_a_rate(self, steps, pct_start):
        assert all(
            0 < rate <= 1 for rate in rates({"name": "onecycle", "pct_start": pct_start}, steps, count=steps + 3)
        )

    def test_a_longer_run_goes_on_in_the_longer_cycle(self):
        optimizer, schedule = scheduled({"name": "onecycle"}, 10)
        for _ in range(10):
            optimizer.step()
            schedule.step()
        longer, again = scheduled({"name": "onecycle"}, 40)
        again.load_state_dict(schedule.state_dict())

        longer.step()
        again.step()

        assert longer.param_groups[0]["lr"] == pytest.approx(rates({"name": "onecycle"}, 40)[11])

    def test_a_shorter_run_stays_at_the_end(self):
        optimizer, schedule = scheduled({"name": "onecycle"}, 10)
        for _ in range(8):
            optimizer.step()
            schedule.step()
        before = optimizer.param_groups[0]["lr"]
        state = schedule.state_dict()
        schedule = build_schedule({"name": "onecycle"}).over(optimizer, 5)
        schedule.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = before

        schedule.step()

        assert optimizer.param_groups[0]["lr"] == before


@pytest.mark.parametrize("cycle", [False, True])
def test_one_cycle_leaves_a_momentum_that_it_does_not_know(cycle):
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
    groups = [{"params": list(network.parameters())}]
    optimizer = build_optimizer("muon", network, groups, lr=1.0, weight_decay=0.0, fused=False)

    schedule = build_schedule({"name": "onecycle", "cycle_momentum": cycle}).over(optimizer, 10)
    optimizer.step()
    schedule.step()

    assert [{"betas", "momentum"} & group.keys() for group in optimizer.param_groups] == [set(), set()]
    assert optimizer.param_groups[0]["lr"] == optimizer.param_groups[1]["lr"] == rates({"name": "onecycle"}, 10)[1]


def test_none_is_constant():
    assert rates(None, 3) == rates({"name": "constant"}, 3) == [1.0] * 4


def test_step_falls_again_and_again():
    assert rates({"name": "step", "step_size": 2, "gamma": 0.5}, 5) == [1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "line"}, "unknown scheduler 'line'; choose from constant, cosine, onecycle, step"),
        (
            {"name": "cosine", "step_size": 3},
            "scheduler 'cosine' has no option 'step_size'; give model/scheduler=cosine",
        ),
        ({"name": "constant", "gamma": 1}, "and of it none"),
        ({"name": "step"}, "scheduler 'step': .*'step_size'"),
        ({"name": "step", "step_size": 0}, "step_size=0 is out of range; give a number of at least 1"),
        ({"name": "step", "step_size": 1.5}, "step_size=1.5 is no number of epochs; give a whole one"),
        ({"name": "step", "step_size": 1, "gamma": -1}, "gamma=-1 is out of range; give a number of at least 0"),
        ({"name": "onecycle", "pct_start": 1}, "pct_start=1 leaves no step to go down; give a fraction below 1"),
        (
            {"name": "onecycle", "pct_start": "a"},
            "pct_start=a is out of range; give a number of at least 0 and at most 1",
        ),
        ({"name": "onecycle", "div_factor": 0.5}, "div_factor=0.5 is out of range; give a number of at least 1"),
        ({"name": "onecycle", "cycle_momentum": "no"}, "cycle_momentum=no is neither; give true or false"),
        (
            {"name": "cosine", "warmup": 1.5},
            "warmup=1.5 is no number of steps; give a whole one, or a fraction below 1",
        ),
        ({"name": "cosine", "floor": float("nan")}, "floor=nan is out of range"),
    ],
)
def test_a_wrong_option_is_told(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_schedule(options)

    assert "\n" not in str(caught.value)


def logged_rates(root):
    rows = (root / "run" / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr")
    return [float(value) for row in rows[1:] if (value := row.split(",")[column])]


@pytest.mark.parametrize("name", [name for name, kind in SCHEDULES.items() if kind.interval == "step"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_is_as_long_as_its_schedule(train_config, tmp_path, name, accumulate):
    """Two epochs of four batches, as many or half as many steps; every rate is logged."""
    options = (f"model/scheduler={name}", f"trainer.accumulate_grad_batches={accumulate}")

    train(train_config(tmp_path, *QUICK, *options, "model.lr=1"))

    expected = rates(train_config(tmp_path, *options).model.scheduler, 8 // accumulate)
    assert logged_rates(tmp_path) == pytest.approx([rate for rate in expected[:-1] for _ in range(accumulate)])


def test_a_finished_run_goes_on_in_a_longer_cycle(train_config, tmp_path):
    train(train_config(tmp_path, *QUICK, "model/scheduler=onecycle", "trainer.max_epochs=1"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"

    train(train_config(tmp_path, *QUICK, "model/scheduler=onecycle", f"resume={last}"))

    (state,) = torch.load(last, weights_only=True)["lr_schedulers"]
    assert (state["last_epoch"], state["total_steps"]) == (8, 8)


def test_other_steps_hold_from_there_on():
    def made(**options):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        return build_schedule({"name": "step", **options}).over(optimizer, 0)

    before, after = made(step_size=1, gamma=0.5), made(step_size=3, gamma=0.1)
    after.load_state_dict(before.state_dict())

    assert (after.step_size, after.gamma) == (3, 0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_run_goes_on_with_another_rate_and_weight_decay(train_config, tmp_path, name, optimizer):
    options = (f"model/scheduler={name}", f"model.optimizer={optimizer}", "model.decoder_lr=0.5")
    options += ("callbacks.early_stopping=null",)
    train(train_config(tmp_path, *QUICK, *options, "model.lr=1e-3", "trainer.max_epochs=2", run="whole"))
    train(train_config(tmp_path, *QUICK, *options, "model.lr=1e-2", "trainer.max_epochs=1", "model.weight_decay=0.1"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"

    train(train_config(tmp_path, *QUICK, *options, "model.lr=1e-3", f"resume={last}", "trainer.max_epochs=2"))

    went_on, whole = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
        for run in ("run", "whole")
    )
    for one, other in zip(went_on["param_groups"], whole["param_groups"], strict=True):
        assert one.keys() == other.keys()
        assert all(one[key] == pytest.approx(other[key]) for key in one.keys() & {"lr", "initial_lr", "max_lr"})
        assert one["weight_decay"] == other["weight_decay"] != 0.1


@pytest.mark.parametrize("name", ["onecycle", "cosine"])
def test_a_run_without_an_end_is_refused_in_one_line(train_config, tmp_path, name):
    cfg = train_config(tmp_path, *QUICK, f"model/scheduler={name}", "trainer.max_epochs=-1")

    with pytest.raises(InputError, match=re.escape("needs one that ends; give trainer.max_epochs")) as caught:
        train(cfg)

    assert "\n" not in str(caught.value)

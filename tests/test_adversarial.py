"""Training against a discriminator: on tiny pictures of stripes, which a mean error can only blur."""

import copy

import pytest
import pytorch_lightning as pl
import torch

from imcomp.adversarial import AdversarialModule
from imcomp.averaging import EMA
from imcomp.batch import Batch
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.losses.summed import WeightedSum
from imcomp.models import NETWORKS
from imcomp.module import InpaintingModule
from imcomp.starting import check_resumed

BOX = Box(4, 4, 12, 12)
SMALL = {
    "autoencoder": {"channels": [2, 4]},
    "fast": {"channels": [4, 6], "stem": 2, "bottom_blocks": 0},
    "ffc": {"width": 4, "blocks": 1},
    "gated": {"width": 4, "dilations": [2]},
    "unet": {"channels": [4, 6]},
}
LOSS = {"l1": 1.0, "adversarial": {"weight": 0.1, "width": 4, "layers": 2, "margin": 4, "r1_every": 2}}


def pictures(count=4, channels=1, size=16, box=BOX, seed=0):
    """Stripes that begin anywhere, with a hole in the middle."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(4, (count, 1, 1, 1), generator=generator)
    image = ((torch.arange(size) + starts) // 2 % 2).float().expand(-1, channels, size, -1).contiguous()
    mask = torch.zeros(count, 1, size, size)
    BOX.crop(mask).fill_(1)
    return Batch(image, mask, torch.arange(count), box)


def made(network="autoencoder", loss=LOSS, seed=0, **options):
    torch.manual_seed(seed)
    return AdversarialModule(loss=loss, network=network, **{**SMALL[network], **options})


def fit(module, batches, epochs=1, callbacks=(), **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[*callbacks],
        **{"limit_val_batches": 1, **options},
    )
    trainer.fit(module, *([torch.utils.data.DataLoader(batches, batch_size=None)] * 2))
    return trainer


def weights(part):
    return torch.cat([parameter.detach().flatten().clone() for parameter in part.parameters()])


class Recorder(pl.Callback):
    """Keeps what was logged in each step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        logged = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("train/")}
        self.steps.append({**logged, "global_step": trainer.global_step})


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize("box", [BOX, None], ids=["box", "anywhere"])
def test_every_network_and_its_discriminator_are_trained(network, channels, box):
    module = made(network, in_channels=channels, lr=1e-2)
    before = weights(module.network), weights(module.discriminator)

    trainer = fit(module, [pictures(channels=channels, box=box)] * 2)

    assert not torch.equal(weights(module.network), before[0])
    assert not torch.equal(weights(module.discriminator), before[1])
    names = {"loss", "loss/l1", "loss/adversarial", "loss/feature_matching", "mse", "accuracy", "psnr"}
    names |= {"discriminator/loss", "discriminator/accuracy", "discriminator/r1"}
    validated = {"val/loss", "val/mse", "val/accuracy", "val/psnr"}
    assert trainer.callback_metrics.keys() == {f"train/{name}" for name in names} | validated
    assert all(value.isfinite() for value in trainer.callback_metrics.values())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_loss_is_the_weighted_sum_of_its_parts():
    record = Recorder()
    fit(made(loss={"l1": 2.0, "mse": 1.0, "adversarial": LOSS["adversarial"]}), [pictures()], callbacks=[record])
    (step,) = record.steps

    parts = {name: step[f"train/loss/{name}"] for name in ("l1", "mse", "adversarial", "feature_matching")}
    wanted = 2 * parts["l1"] + parts["mse"] + 0.1 * (parts["adversarial"] + 10 * parts["feature_matching"])
    assert step["train/loss"] == pytest.approx(wanted)


def test_a_discriminator_alone_learns_to_tell_and_a_network_alone_to_fool():
    batch = pictures(8)
    told = Recorder()
    learning = {**LOSS["adversarial"], "lr": 1e-2, "r1": 0.0}
    module = made(loss={"l1": 1.0, "adversarial": learning}, lr=0.0)
    fit(module, [batch] * 60, callbacks=[told])

    assert told.steps[-1]["train/discriminator/loss"] < 0.3
    assert told.steps[0]["train/discriminator/loss"] > 1  # about 2 log 2: it guesses
    assert told.steps[-1]["train/discriminator/accuracy"] > 0.95
    assert told.steps[-1]["train/loss/adversarial"] > 2 * told.steps[0]["train/loss/adversarial"]

    fooled = Recorder()
    fooling = made(loss={"l1": 1e-6, "adversarial": {**learning, "lr": 0.0, "feature_matching": 0.0}}, lr=1e-2)
    fooling.discriminator.load_state_dict(module.discriminator.state_dict())
    fit(fooling, [batch] * 60, callbacks=[fooled])

    assert fooled.steps[-1]["train/loss/adversarial"] < fooled.steps[0]["train/loss/adversarial"] / 2
    assert torch.equal(weights(fooling.discriminator), weights(module.discriminator))


def test_the_penalty_holds_the_slope():
    slopes = []
    for r1 in (1e-6, 0.1):
        record = Recorder()
        options = {**LOSS["adversarial"], "lr": 1e-2, "r1": r1, "r1_every": 1}
        fit(made(loss={"l1": 1.0, "adversarial": options}, lr=0.0), [pictures(8)] * 40, callbacks=[record])
        slopes.append(record.steps[-1]["train/discriminator/r1"])

    assert slopes[1] < slopes[0] / 5


def test_the_penalty_comes_every_so_many_steps():
    record = Recorder()
    fit(
        made(loss={**LOSS, "adversarial": {**LOSS["adversarial"], "r1_every": 3}}), [pictures()] * 6, callbacks=[record]
    )

    slopes = [step["train/discriminator/r1"] for step in record.steps]
    assert slopes[0] == slopes[1] == slopes[2] != slopes[3] == slopes[4]


def test_a_step_is_one_of_the_network():
    record = Recorder()
    fit(made(), [pictures()] * 3, callbacks=[record], epochs=2)

    assert [step["global_step"] for step in record.steps] == [1, 2, 3, 4, 5, 6]


class TestTheTrainersOptions:
    def test_two_batches_that_make_a_step_are_one_twice_as_large(self):
        batches = [pictures(2, seed=1), pictures(2, seed=2)]
        whole = Batch(*map(torch.cat, zip(*(batch[:3] for batch in batches), strict=True)), BOX)
        results = []
        for given, options in ((batches, {"accumulate_grad_batches": 2}), ([whole], {})):
            module = made("gated", lr=1e-2)  # no batch norm, whose statistics are a batch's own
            record = Recorder()
            fit(module, given, callbacks=[record], **options)
            assert record.steps[-1]["global_step"] == 1
            results.append((weights(module.network), weights(module.discriminator)))

        for parted, joint in zip(*results, strict=True):
            torch.testing.assert_close(parted, joint, atol=2e-4, rtol=1e-3)

    def test_the_last_batches_of_an_epoch_make_a_step_too(self):
        record = Recorder()
        fit(made(), [pictures()] * 3, callbacks=[record], epochs=2, accumulate_grad_batches=2)

        assert [step["global_step"] for step in record.steps] == [0, 1, 2, 2, 3, 4]

    @pytest.mark.parametrize("fused", [False, True])
    def test_gradients_of_both_are_clipped(self, fused, monkeypatch):
        norms = []
        step = torch.optim.Adam.step

        def spying(self, closure=None):
            if closure is not None:
                closure()
            grads = [weight.grad.flatten() for group in self.param_groups for weight in group["params"]]
            norms.append(torch.cat(grads).norm().item())
            return step(self)

        monkeypatch.setattr(torch.optim.Adam, "step", spying)
        fit(made(fused=fused), [pictures()], gradient_clip_val=1e-3)

        assert norms == pytest.approx([1e-3, 1e-3], rel=1e-3)

    def test_bfloat16_trains(self):
        record = Recorder()
        fit(made("fast"), [pictures()] * 2, callbacks=[record], precision="bf16-mixed")

        assert all(torch.tensor([*step.values()]).isfinite().all() for step in record.steps)

    def test_an_average_of_the_weights_is_kept(self):
        module = made(lr=1e-2)
        average = EMA(decay=0.5)
        seen = []

        class Copy(pl.Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                seen.append(weights(pl_module.network))

        fit(module, [pictures()] * 4, callbacks=[Copy(), average])

        assert average._latest_update_step == 4
        assert not torch.equal(weights(module.network), seen[-1])  # the run ends with the average
        assert torch.stack(seen).amin(dim=0).sub(1e-6).le(weights(module.network)).all()

    @pytest.mark.parametrize(
        ("trainer", "message"),
        [
            ({"precision": "16-mixed", "world_size": 1}, "cannot be trained in 16-mixed.*perf.precision=bf16-mixed"),
            ({"precision": "32-true", "world_size": 2}, "in one process alone; give trainer.devices=1"),
        ],
    )
    def test_what_does_not_work_is_refused_in_one_line(self, trainer, message):
        module = made()
        module._trainer = type("Trainer", (), {**trainer, "gradient_clip_val": None})()
        with pytest.raises(InputError, match=message):
            module.setup("fit")

    def test_a_picture_smaller_than_a_patch_is_refused(self):
        loss = {"l1": 1.0, "adversarial": {"width": 2, "layers": 5}}
        with pytest.raises(InputError, match="needs pictures of at least 32 pixels; give a larger data"):
            fit(made(loss=loss), [pictures()])


class TestSchedules:
    @pytest.mark.parametrize(
        ("scheduler", "wanted"),
        [
            ({"name": "step", "step_size": 1, "gamma": 0.5}, [0.4, 0.4, 0.2, 0.2]),
            ({"name": "cosine", "warmup": 0.0}, [0.4, 0.3414, 0.2, 0.0586]),
        ],
    )
    def test_the_discriminator_follows_the_network(self, scheduler, wanted):
        rates = []

        class Spy(pl.Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                rates.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

        loss = {"l1": 1.0, "adversarial": {**LOSS["adversarial"], "lr": 0.04}}
        fit(made(loss=loss, lr=0.4, scheduler=scheduler), [pictures()] * 2, epochs=2, callbacks=[Spy()])

        assert [network for network, _ in rates] == pytest.approx(wanted, rel=1e-3)
        assert [other for _, other in rates] == pytest.approx([rate / 10 for rate in wanted], rel=1e-3)


class TestCheckpoint:
    def test_plain_options_rebuild_both_networks(self, tmp_path):
        module = made()
        fit(module, [pictures()]).save_checkpoint(tmp_path / "a.ckpt")

        again = AdversarialModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)

        assert again.hparams["loss"] == LOSS
        assert all(torch.equal(value, again.state_dict()[key]) for key, value in module.state_dict().items())
        assert again.adversarial.layers == 2

    def test_a_weight_alone_will_do(self):
        assert made(loss={"l1": 1.0, "adversarial": 0.25}).adversarial.weight == 0.25

    @pytest.mark.parametrize("scheduler", [None, {"name": "cosine"}], ids=["constant", "cosine"])
    def test_both_optimisers_go_on(self, tmp_path, scheduler):
        class Stop(pl.Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                trainer.should_stop = True

        batches = [pictures(seed=seed) for seed in range(2)]
        whole = made(lr=1e-2, scheduler=scheduler)
        fit(whole, batches, epochs=3)

        half = made(lr=1e-2, scheduler=scheduler)
        fit(half, batches, epochs=3, callbacks=[Stop()]).save_checkpoint(tmp_path / "half.ckpt")
        saved = torch.load(tmp_path / "half.ckpt", weights_only=True)
        assert [len(state["state"]) > 0 for state in saved["optimizer_states"]] == [True, True]
        rest = made(lr=1e-2, seed=5, scheduler=scheduler)
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        trainer.fit(rest, loader, ckpt_path=tmp_path / "half.ckpt", weights_only=True)

        assert torch.equal(weights(whole.network), weights(rest.network))
        assert torch.equal(weights(whole.discriminator), weights(rest.discriminator))

    def test_another_rate_of_the_discriminators_is_refused(self):
        module = made()
        options = {**module.hparams, "loss": {"l1": 1.0, "adversarial": {**LOSS["adversarial"], "lr": 0.5}}}
        other = made(loss={"l1": 1.0, "adversarial": {**LOSS["adversarial"], "lr": 0.25}})
        with pytest.raises(
            InputError, match=r"with loss\.adversarial\.lr=0\.5 and cannot be resumed with 0\.25; .* init="
        ):
            check_resumed(other, {"state_dict": module.state_dict(), "hyper_parameters": options}, "a.ckpt")


def test_validation_is_that_of_the_other_parts():
    module, plain = made(), InpaintingModule(loss={"l1": 1.0}, **SMALL["autoencoder"])
    plain.network = copy.deepcopy(module.network)
    trainer = fit(module, [pictures()], limit_train_batches=0)
    trainer.validate(module, torch.utils.data.DataLoader([pictures()], batch_size=None), verbose=False)
    scores = dict(trainer.callback_metrics)
    trainer.validate(plain, torch.utils.data.DataLoader([pictures()], batch_size=None), verbose=False)

    assert scores == trainer.callback_metrics


@pytest.mark.parametrize(
    ("margin", "window"), [(4, Box(24, 24, 40, 40)), (16, Box(12, 12, 52, 52)), (None, Box(0, 0, 64, 64))]
)
def test_the_window_shows_what_the_discriminator_looks_at(margin, window):
    module = made(loss={"l1": 1.0, "adversarial": {"margin": margin}}, context=4)

    assert module.window((64, 64), Box(28, 28, 36, 36)) == window


def test_without_a_reconstruction_there_is_nothing_to_train():
    with pytest.raises(InputError, match="the loss has no part"):
        made(loss={"adversarial": 1.0})
    with pytest.raises(InputError, match=r"loss.adversarial trains a second network"):
        WeightedSum(LOSS)

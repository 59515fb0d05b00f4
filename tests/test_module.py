import pytest
import pytorch_lightning as pl
import torch

from imcomp.batch import Batch
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.losses import masked_mse
from imcomp.metrics import HoleAccuracy, MaskedPSNR
from imcomp.module import InpaintingModule

SMALL = {"channels": [2, 4]}  # two blocks: sides are multiples of 4


def pictures(count=2, channels=1, side=8, seed=0):
    """Random pictures, each with a hole of 4 x 4 pixels."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(count, 1, side, side)
    mask[..., 2:6, 2:6] = 1
    return Batch(torch.rand(count, channels, side, side, generator=generator), mask, torch.arange(count))


def fit(module, train_batches, val_batches=(), epochs=1, **options):
    """Train on batches as they are."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(module, as_loader(train_batches), as_loader(val_batches) if val_batches else None)
    return trainer


def as_loader(batches):
    return torch.utils.data.DataLoader(batches, batch_size=None)


class TestForward:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_an_output_has_the_pictures_shape(self, channels):
        batch = pictures(channels=channels)

        assert InpaintingModule(in_channels=channels, **SMALL)(batch.image, batch.mask).shape == batch.image.shape

    def test_what_is_under_the_hole_is_not_seen(self):
        module = InpaintingModule(**SMALL).eval()
        batch = pictures()
        other = torch.where(batch.mask > 0, 1 - batch.image, batch.image)

        assert not torch.equal(batch.image, other)
        assert torch.equal(module(batch.image, batch.mask), module(other, batch.mask))

    def test_what_is_outside_the_hole_is_seen(self):
        module = InpaintingModule(**SMALL).eval()
        batch = pictures()
        other = torch.where(batch.mask > 0, batch.image, 1 - batch.image)

        assert not torch.equal(module(batch.image, batch.mask), module(other, batch.mask))

    @pytest.mark.parametrize(
        ("size", "message"),
        [
            ((10, 8), "height 10 is not a multiple of 4; pad or resize to 12"),
            ((8, 13), "width 13 is not a multiple of 4; pad or resize to 16"),
            ((3, 3), "height 3 is not a multiple of 4; pad or resize to 4"),
        ],
    )
    def test_a_size_that_does_not_fit_is_refused(self, size, message):
        with pytest.raises(ValueError, match=message):
            InpaintingModule(**SMALL)(torch.zeros(1, 1, *size), torch.zeros(1, 1, *size))

    def test_a_batch_that_batch_norm_cannot_average_is_told(self):
        module = InpaintingModule(**SMALL)
        image = torch.zeros(1, 1, 4, 4)  # halved twice: one number a channel
        batch = Batch(image, torch.ones_like(image), torch.arange(1))

        with pytest.raises(InputError, match=r"batch of 1 picture of 4x4 pixels .*; give a larger data\.size, or"):
            module.training_step(batch, 0)

    def test_another_number_of_channels_is_refused(self):
        with pytest.raises(ValueError, match="the picture has 3 channels, the network takes 1"):
            InpaintingModule(**SMALL)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'; choose from adam, adamw, muon"),
        ({"scheduler": {"name": "line"}}, "unknown scheduler 'line'; choose from constant, cosine, onecycle, step"),
        ({"scheduler": {"step_size": 30}}, "unknown scheduler None; choose from constant"),
        ({"scheduler": {"name": "step", "stepsize": 30}}, "scheduler 'step' has no option 'stepsize'"),
        ({"network": "unet9"}, "unknown network 'unet9'; choose from .*autoencoder"),
        ({"depth": 3}, "network 'autoencoder': .*unexpected keyword argument 'depth'"),
        ({"lr": -1.0}, "lr=-1.0 is not a rate; give a number of at least 0"),
        ({"lr": float("nan")}, "lr=nan is not a rate"),
        ({"weight_decay": float("inf")}, "weight_decay=inf is not a rate"),
    ],
)
def test_a_wrong_option_is_told_with_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        InpaintingModule(**options)


class TestOptimizer:
    def test_adam_gets_rate_and_decay(self):
        optimizer = InpaintingModule(lr=0.5, weight_decay=0.25, **SMALL).configure_optimizers()["optimizer"]

        assert isinstance(optimizer, torch.optim.Adam)
        assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.5, 0.25)

    def test_adamw_is_there_too(self):
        assert isinstance(
            InpaintingModule(optimizer="adamw", **SMALL).configure_optimizers()["optimizer"],
            torch.optim.AdamW,
        )

    def test_all_weights_are_trained(self):
        module = InpaintingModule(**SMALL)
        (group,) = module.configure_optimizers()["optimizer"].param_groups

        assert len(group["params"]) == len([*module.network.parameters()])

    def test_without_a_scheduler_the_rate_stays_and_is_logged_alike(self):
        configured = InpaintingModule(lr=0.5, scheduler=None, **SMALL).configure_optimizers()
        schedule = configured["lr_scheduler"]["scheduler"]
        configured["optimizer"].step()
        for _ in range(100):
            schedule.step()

        assert configured["lr_scheduler"]["name"] == "lr"
        assert schedule.get_last_lr() == [0.5]

    def test_the_rate_halves_every_thirty_epochs(self):
        rates = []

        class Module(InpaintingModule):
            def on_train_epoch_start(self):
                rates.append(self.optimizers().param_groups[0]["lr"])

        scheduler = {"name": "step", "step_size": 30, "gamma": 0.5}
        fit(Module(lr=1.0, scheduler=scheduler, **SMALL), [pictures()], epochs=61)

        assert rates == [1.0] * 30 + [0.5] * 30 + [0.25]

    @pytest.mark.parametrize("fused", [False, True])
    def test_a_fused_step_is_the_same_step(self, fused):
        torch.manual_seed(0)
        module = InpaintingModule(lr=0.01, fused=fused, **SMALL)
        (group,) = module.configure_optimizers()["optimizer"].param_groups
        assert bool(group["fused"]) == fused

        loss = fit(module, [pictures()] * 5).callback_metrics["train/loss"].item()
        torch.manual_seed(0)
        plain = fit(InpaintingModule(lr=0.01, **SMALL), [pictures()] * 5).callback_metrics["train/loss"].item()
        assert loss == pytest.approx(plain, rel=1e-4)


class TestLogging:
    def test_each_phase_logs_its_metrics(self):
        module = InpaintingModule(**SMALL)
        names = ("loss", "mse", "accuracy", "psnr")

        trainer = fit(module, [pictures()], [pictures(seed=1)])
        assert trainer.callback_metrics.keys() == {f"{phase}/{name}" for phase in ("train", "val") for name in names}

        trainer.test(module, as_loader([pictures(seed=2)]), verbose=False)
        assert trainer.callback_metrics.keys() == {f"test/{name}" for name in names}

    def test_the_numbers_are_of_the_pictures_and_not_of_the_batches(self):
        module = InpaintingModule(lr=0.0, **SMALL)
        batches = [pictures(3, seed=1), pictures(1, seed=2)]
        trainer = fit(module, [pictures()], batches)

        whole = Batch(*map(torch.cat, zip(*(batch[:3] for batch in batches), strict=True)))
        with torch.no_grad():
            output = module.eval()(whole.image, whole.mask)
        assert trainer.callback_metrics["val/mse"] == pytest.approx(masked_mse(output, whole.image, whole.mask).item())
        assert trainer.callback_metrics["val/loss"] == pytest.approx(trainer.callback_metrics["val/mse"].item())
        for name, metric in (("psnr", MaskedPSNR()), ("accuracy", HoleAccuracy())):
            metric.update(output, whole.image, whole.mask)
            assert trainer.callback_metrics[f"val/{name}"] == pytest.approx(metric.compute().item())

    def test_parts_are_of_the_pictures_that_have_a_hole_as_the_loss_is(self):
        module = InpaintingModule(lr=0.0, loss={"mse": 1.0, "l1": 2.0}, **SMALL)
        batches = [pictures(4, seed=1), pictures(4, seed=2)]
        batches[1].mask[1:] = 0

        scores = fit(module, [pictures()], batches).callback_metrics

        parts = scores["val/loss/mse"] + 2 * scores["val/loss/l1"]
        assert parts.item() == pytest.approx(scores["val/loss"].item())
        assert scores["val/loss/mse"].item() == pytest.approx(scores["val/mse"].item())

    def test_the_loss_is_the_hole_error_of_the_batch(self, monkeypatch):
        module = InpaintingModule(**SMALL)
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        monkeypatch.setattr(module.network, "forward", torch.zeros_like)
        batch = Batch(torch.full((1, 1, 8, 8), 0.5), pictures(1).mask, torch.arange(1))

        assert module.training_step(batch, 0).item() == 0.25
        assert module.validation_step(batch, 0).eq(0).all()
        assert module.test_step(batch, 0).eq(0).all()

    def test_each_epoch_starts_anew(self):
        seen = []

        class Module(InpaintingModule):
            def on_validation_epoch_end(self):
                seen.append(int(self.val_metrics["mse"].count))

        fit(Module(**SMALL), [pictures()], [pictures(3), pictures(2)], epochs=3)

        assert seen == [5, 5, 5]


def plain(value):
    if isinstance(value, dict):
        return type(value) is dict and all(map(plain, value.values()))
    if isinstance(value, list):
        return type(value) is list and all(map(plain, value))
    return type(value) in (bool, int, float, str, type(None))


class TestCheckpoint:
    OPTIONS = {"lr": 0.5, "scheduler": {"name": "step", "step_size": 3}, "dropout": 0.25, **SMALL}  # noqa: RUF012

    def test_hyper_parameters_are_the_plain_options(self):
        kept = dict(InpaintingModule(**self.OPTIONS).hparams)

        assert kept.items() >= self.OPTIONS.items()
        assert plain(kept)
        assert kept.keys() >= {"network", "in_channels", "init", "optimizer", "weight_decay", "channels_last"}

    def test_a_checkpoint_alone_rebuilds_the_module(self, tmp_path):
        module = InpaintingModule(**self.OPTIONS)
        trainer = fit(module, [pictures()])
        trainer.save_checkpoint(tmp_path / "a.ckpt")

        again = InpaintingModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)

        assert dict(again.hparams) == dict(module.hparams)
        assert again.state_dict().keys() == module.state_dict().keys()
        assert all(torch.equal(value, module.state_dict()[key]) for key, value in again.state_dict().items())
        batch = pictures()
        assert torch.equal(again.eval()(batch.image, batch.mask), module.eval()(batch.image, batch.mask))


def test_channels_last_gives_the_same_numbers():
    batches = [pictures(4, channels=3, side=16, seed=seed) for seed in range(3)]
    outputs, losses = [], []
    for channels_last in (False, True):
        torch.manual_seed(0)
        module = InpaintingModule(in_channels=3, channels=[4, 8], channels_last=channels_last)
        weight = module.network.encoder[1][0].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        with torch.no_grad():
            outputs.append(module.eval()(batches[0].image, batches[0].mask))
        losses.append(fit(module.train(), batches).callback_metrics["train/mse"].item())

    assert torch.allclose(*outputs, atol=1e-5)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


class TestMaskChannel:
    OPTIONS = {"network": "unet", **SMALL}  # noqa: RUF012

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("options", [{**OPTIONS, "mask_channel": True}, {"network": "gated", "width": 4}])
    def test_the_mask_decides_where_all_is_black(self, channels, options):
        torch.manual_seed(0)
        module = InpaintingModule(in_channels=channels, **options).eval()
        mask = pictures(1).mask
        black = torch.zeros(1, channels, 8, 8)

        assert module.takes_mask
        assert module.input_channels == channels + 1
        assert not torch.equal(module(black, mask), module(black, mask.roll(1, 2)))
        assert module(black, mask).shape == black.shape

    def test_without_it_a_hole_is_black(self):
        torch.manual_seed(0)
        module = InpaintingModule(**self.OPTIONS).eval()
        black = torch.zeros(1, 1, 8, 8)

        assert not module.takes_mask
        assert module.input_channels == 1
        assert torch.equal(module(black, pictures(1).mask), module(black, torch.zeros(1, 1, 8, 8)))

    def test_the_network_is_handed_the_masked_picture_and_behind_it_the_mask(self, monkeypatch):
        module = InpaintingModule(in_channels=3, mask_channel=True, **self.OPTIONS)
        monkeypatch.setattr(module.network, "forward", lambda image: image)
        batch = pictures(channels=3)

        handed = module(batch.image, batch.mask)

        assert torch.equal(handed[:, :3], batch.image * (1 - batch.mask))
        assert torch.equal(handed[:, 3:], batch.mask)

    @pytest.mark.parametrize("mask_channel", [False, True])
    def test_a_checkpoint_remembers(self, mask_channel, tmp_path):
        module = InpaintingModule(mask_channel=mask_channel, **self.OPTIONS)
        fit(module, [pictures()]).save_checkpoint(tmp_path / "a.ckpt")

        again = InpaintingModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)

        assert plain(dict(again.hparams))
        assert again.takes_mask == mask_channel
        batch = pictures()
        assert torch.equal(again.eval()(batch.image, batch.mask), module.eval()(batch.image, batch.mask))

    def test_a_checkpoint_from_before_the_key_loads(self, tmp_path):
        module = InpaintingModule(**self.OPTIONS)
        assert "mask_channel" not in module.hparams
        fit(module, [pictures()]).save_checkpoint(tmp_path / "old.ckpt")

        again = InpaintingModule.load_from_checkpoint(tmp_path / "old.ckpt", weights_only=True)

        assert not again.takes_mask


class TestLoss:
    def test_the_default_is_the_mean_squared_error(self):
        assert dict(InpaintingModule(**SMALL).loss.weights) == {"mse": 1.0}

    @pytest.mark.parametrize("loss", [{"l1": 1.0}, {"mse": 1.0, "ssim": {"weight": 0.1, "window": 3}}])
    def test_a_checkpoint_holds_its_plain_options(self, loss, tmp_path):
        fit(InpaintingModule(loss=loss, **SMALL), [pictures()]).save_checkpoint(tmp_path / "a.ckpt")

        again = InpaintingModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)

        assert again.hparams["loss"] == loss
        assert again.loss.weights.keys() == loss.keys()
        assert InpaintingModule.load_from_checkpoint(tmp_path / "a.ckpt", loss=None).loss.weights == {"mse": 1.0}

    def test_a_checkpoint_from_before_it_loads(self, tmp_path):
        fit(InpaintingModule(**SMALL), [pictures()]).save_checkpoint(tmp_path / "a.ckpt")
        old = torch.load(tmp_path / "a.ckpt", weights_only=True)
        del old["hyper_parameters"]["loss"]
        torch.save(old, tmp_path / "old.ckpt")

        again = InpaintingModule.load_from_checkpoint(tmp_path / "old.ckpt", weights_only=True)

        assert again.loss.weights == {"mse": 1.0}

    def test_known_pixels_make_the_network_compute_them(self):
        box = Box(2, 2, 6, 6)
        batch = pictures()._replace(box=box)
        torch.manual_seed(0)
        module = InpaintingModule(loss={"mse": {"known": 1.0}}, context="reach", **SMALL).eval()
        module.log = module.log_dict = lambda *_, **__: None

        output = module.validation_step(batch, 0)

        assert output.shape[-2:] == (4, 4)
        torch.testing.assert_close(output, box.crop(module(batch.image, batch.mask)))
        whole = module(batch.image, batch.mask)
        wanted = masked_mse(whole, batch.image, batch.mask) + masked_mse(whole, batch.image, 1 - batch.mask)
        torch.testing.assert_close(module.training_step(batch, 0), wanted)

    @pytest.mark.parametrize(
        ("loss", "window"),
        [
            ({"mse": 1.0}, Box(28, 28, 36, 36)),  # context alone, to multiples of 4
            ({"mse": 1.0, "ssim": 1.0}, Box(20, 20, 44, 44)),  # and 10 pixels round the hole
            ({"gradient": 1.0}, Box(28, 28, 36, 36)),
        ],
    )
    def test_the_window_shows_what_the_loss_looks_at(self, loss, window):
        module = InpaintingModule(loss=loss, context=2, **SMALL)

        assert module.window((64, 64), Box(30, 30, 34, 34)) == window
        assert module.window((64, 64), None) == Box(0, 0, 64, 64)

    @pytest.mark.parametrize(("context", "kept"), [("reach", "reach"), (4, "reach"), (None, None)])
    def test_known_pixels_are_all_there_are(self, context, kept):
        module = InpaintingModule(loss={"l1": {"known": 0.1}}, context=context, **SMALL)

        assert module.window((512, 512), Box(30, 30, 34, 34)) == Box(0, 0, 512, 512)
        assert module.context == module.hparams.context == kept  # and so it is used

import csv
import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from imcomp.config import build
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.errors import InputError
from imcomp.inference import Completer
from imcomp.losses import hole_mse
from imcomp.module import InpaintingModule
from imcomp.training import load_weights, train

QUIET = ("logger=csv", "callbacks.progress=null")


def rows(folder):
    with (folder / "csv" / "version_0" / "metrics.csv").open() as lines:
        return [*csv.DictReader(lines)]


def logged(folder, name):
    return [float(row[name]) for row in rows(folder) if row.get(name)]


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.fixture(scope="module")
def run(train_config, tmp_path_factory):
    """``debug=fast`` as it is, with a test part: its config, metrics and folder."""
    root = tmp_path_factory.mktemp("fast")
    cfg = train_config(root, "data.test_fraction=0.1", small=False)
    return SimpleNamespace(cfg=cfg, metrics=train(cfg), folder=root / "run", root=root)


@pytest.fixture(scope="module")
def events(run):
    """What TensorBoard shows of it."""
    sizes = {SCALARS: 0, IMAGES: 0}  # 0 keeps all
    return EventAccumulator(str(run.folder / "tensorboard"), size_guidance=sizes).Reload()


class TestMetrics:
    def test_they_are_of_validation_and_test(self, run):
        names = {f"{phase}/{name}" for phase in ("val", "test") for name in ("mse", "accuracy", "psnr", "loss")}

        assert run.metrics.keys() == names | {"epoch", "seconds"}
        assert run.metrics["epoch"] in (0, 1)
        assert 0 < run.metrics["val/mse"] == min(logged(run.folder, "val/mse"))
        assert 0 <= run.metrics["val/accuracy"] <= 1
        assert run.metrics["val/psnr"] > 0

    def test_they_are_kept_in_a_file(self, run):
        assert json.loads((run.folder / "metrics.json").read_text()) == run.metrics

    def test_the_test_part_is_scored_with_the_best_weights(self, run):
        datamodule = build(run.cfg.data, "data", mask=OmegaConf.to_container(run.cfg.mask, resolve=True))
        datamodule.setup()
        best = run.folder / "checkpoints" / "best.ckpt"
        module = InpaintingModule.load_from_checkpoint(best, weights_only=True).eval()
        errors = []
        for pictures, indices in datamodule.test_dataloader():
            batch = datamodule.make_batch(pictures, indices)
            with torch.no_grad():
                errors.append(hole_mse(module(batch.image, batch.mask), batch.image, batch.mask))

        assert len(torch.cat(errors)) == 12
        assert run.metrics["test/mse"] == pytest.approx(torch.cat(errors).mean().item(), rel=1e-5)

    @pytest.mark.parametrize("overrides", [("data.test_fraction=0",), ("data.test_fraction=0.1", "test=false")])
    def test_there_may_be_no_test(self, train_config, tmp_path, overrides):
        metrics = train(train_config(tmp_path, *QUIET, *overrides, "trainer.max_epochs=1"))

        assert metrics.keys() == {"epoch", "val/mse", "val/accuracy", "val/psnr", "val/loss", "seconds"}


class TestFiles:
    def test_all_are_there(self, run):
        assert {path.name for path in run.folder.iterdir()} == {
            *("checkpoints", "config.yaml", "csv", "metrics.json", "provenance.json", "tensorboard"),
        }
        assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {
            *("best.ckpt", "last.ckpt", "previous.ckpt"),
        }

    def test_the_config_composes_again(self, run):
        with initialize_config_dir(str(run.folder)):
            again = compose("config")

        assert OmegaConf.to_container(again) == OmegaConf.to_container(run.cfg, resolve=True)
        again.data.size = 48  # what the file holds can be trained on again
        assert build(again.data, "data", mask=OmegaConf.to_container(again.mask)).size == 48

    def test_latest_points_to_the_last_run(self, train_config, tmp_path):
        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", run="first"))
        assert os.readlink(tmp_path / "latest") == "first"  # noqa: PTH115  # relative: the folder may move

        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", run="second"))
        assert (tmp_path / "latest").resolve() == tmp_path / "second"
        assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "latest"}

    def test_a_folder_called_latest_is_left_alone(self, train_config, tmp_path, caplog):
        (tmp_path / "latest").mkdir()

        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1"))

        assert not (tmp_path / "latest").is_symlink()
        assert f"cannot point {tmp_path / 'latest'} to this run" in caplog.text

    def test_csv_alone_is_enough(self, train_config, tmp_path):
        train(train_config(tmp_path, *QUIET))

        assert not (tmp_path / "run" / "tensorboard").exists()
        assert [int(row["step"]) for row in rows(tmp_path / "run") if row["train/loss"]] == [0, 1, 2, 3]
        assert len(logged(tmp_path / "run", "val/mse")) == 2

    def test_without_a_progress_bar_nothing_is_drawn(self, train_config, tmp_path, capsys):
        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1"))

        assert capsys.readouterr().out == ""

    def test_pictures_left_out_are_listed(self, train_config, tmp_path, picture_folder):
        (picture_folder / "track1" / "broken.png").write_bytes(b"no picture")

        train(train_config(tmp_path, *QUIET, f"data.root={picture_folder}"))

        lines = (tmp_path / "run" / "left_out.tsv").read_text().splitlines()
        assert len([line for line in lines if "track1/broken.png" in line]) == 1
        assert not [line for line in lines if "frame0.png" in line]


class TestTensorBoard:
    def test_curves(self, events):
        scalars = set(events.Tags()["scalars"])
        wanted = {f"{phase}/{name}" for phase in ("train", "val") for name in ("mse", "accuracy", "psnr")}

        assert wanted | {"lr", "train/loss", "val/loss", "train/images_per_second"} <= scalars
        for name in wanted:
            assert len(events.Scalars(name)) == 2  # one an epoch
        assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3]
        assert [event.value for event in events.Scalars("lr")] == pytest.approx([1e-3, 1e-3])

    def test_they_are_the_numbers_of_the_csv(self, run, events):
        for name in ("val/mse", "train/psnr"):
            assert [event.value for event in events.Scalars(name)] == pytest.approx(logged(run.folder, name))

    def test_the_same_pictures_after_each_validation(self, events):
        images = events.Images("val/samples")
        assert [image.step for image in images] == [2, 4]
        first, second = (torch.from_numpy(decode(image)) for image in images)
        assert first.shape == (4 * 66 + 2, 8 * 66 + 2, 3)

        masked, completed, original, error = (slice(66 * row, 66 * (row + 1)) for row in range(4))
        assert torch.equal(first[original], second[original])
        assert torch.equal(first[masked], second[masked])
        assert not torch.equal(first[completed], second[completed])
        assert not torch.equal(first[error], second[error])
        assert len({column.numpy().tobytes() for column in first[original, 2:].split(66, dim=1)}) == 8  # all differ

    def test_the_network_is_drawn(self, events):
        assert any("decoder" in node.name for node in events.Graph().node)

    def test_hyper_parameters_stand_beside_the_scores(self, run, events):
        contents = events.PluginTagToContent(metadata.PLUGIN_NAME)
        start = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
        assert isinstance(start, plugin_data_pb2.SessionStartInfo)

        assert start.hparams["lr"].number_value == 1e-3
        assert start.hparams["data/size"].number_value == 64
        assert start.hparams["network"].string_value == "autoencoder"
        (best,) = events.Scalars("best/val/mse")
        assert best.value == pytest.approx(run.metrics["val/mse"])
        experiment = metadata.parse_experiment_plugin_data(contents[metadata.EXPERIMENT_TAG])
        assert {info.name.tag for info in experiment.metric_infos} >= {"best/val/mse", "best/test/mse"}


def decode(image):
    import io

    with Image.open(io.BytesIO(image.encoded_image_string)) as picture:
        return np.array(picture)


class TestCheckpoints:
    @pytest.mark.parametrize("name", ["best", "last"])
    def test_they_load_safely(self, run, name):
        file = run.folder / "checkpoints" / f"{name}.ckpt"

        weights = torch.load(file, weights_only=True)["state_dict"]
        module = InpaintingModule.load_from_checkpoint(file, weights_only=True)
        datamodule = InpaintingDataModule.load_from_checkpoint(file, weights_only=True)

        assert same_weights(module.state_dict(), weights)
        assert (datamodule.size, datamodule.mask.size) == (64, (40, 40))

    def test_hyper_parameters_are_plain(self, run):
        saved = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            assert impurities(dict(saved[key])) == []
        assert saved["hyper_parameters"]["scheduler"] == {"name": "step", "step_size": 30, "gamma": 0.5}
        assert saved["datamodule_hyper_parameters"]["mask"] == {"name": "center", "size": 40, "center": [0.5, 0.5]}


def impurities(value):
    """The types in a nested structure that are neither plain values nor plain containers."""
    if type(value) is dict:
        return [found for item in value.values() for found in impurities(item)]
    if type(value) is list:
        return [found for item in value for found in impurities(item)]
    return [] if type(value) in (bool, int, float, str, type(None)) else [type(value)]


class TestLearning:
    # 12 pictures train, all in one batch
    ONE_BATCH = ("data.val_fraction=0.8", "data.batch_size=12", "callbacks.early_stopping=null", *QUIET)

    def test_one_batch_is_learnt_by_heart(self, train_config, tmp_path):
        train(train_config(tmp_path, *self.ONE_BATCH, "model.lr=0.01", "trainer.max_epochs=12"))

        losses = logged(tmp_path / "run", "train/loss")
        assert len(losses) == 12
        assert losses[-1] < losses[0] / 2

    def test_a_rate_of_zero_learns_nothing(self, train_config, tmp_path):
        train(train_config(tmp_path, *self.ONE_BATCH, "model.lr=0", "trainer.max_epochs=3"))

        first, *rest = logged(tmp_path / "run", "train/loss")
        assert rest == pytest.approx([first] * 2, rel=1e-4)  # the order within the batch differs

    def test_the_same_seed_gives_the_same_run(self, train_config, tmp_path):
        one, other, third = (
            train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", f"seed={seed}", run=name))
            for name, seed in (("one", 0), ("other", 0), ("third", 1))
        )

        assert one["val/mse"] == other["val/mse"] != third["val/mse"]


class TestInit:
    def test_all_weights_are_taken(self, run):
        file = run.folder / "checkpoints" / "best.ckpt"
        module = build(run.cfg.model, "model")
        weights = torch.load(file, weights_only=True)["state_dict"]
        assert not same_weights(module.state_dict(), weights)

        load_weights(module, file)

        assert same_weights(module.state_dict(), weights)

    def test_a_run_starts_from_them_and_from_nothing_else(self, train_config, tmp_path):
        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", run="first"))
        file = tmp_path / "first" / "checkpoints" / "last.ckpt"
        still = ("model.lr=0", "model.weight_decay=0", "trainer.max_epochs=1")

        train(train_config(tmp_path, *QUIET, *still, f"init={file}", run="second"))

        first = torch.load(file, weights_only=True)
        second = torch.load(tmp_path / "second" / "checkpoints" / "last.ckpt", weights_only=True)
        learnt = {name for name, _ in InpaintingModule(**second["hyper_parameters"]).named_parameters()}
        assert all(torch.equal(first["state_dict"][name], second["state_dict"][name]) for name in learnt)
        assert (second["epoch"], second["global_step"]) == (0, 2)
        assert second["optimizer_states"][0]["param_groups"][0]["lr"] == 0

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("model.channels=[4,16]", "network.encoder.1.0.weight is (8, 4, 3, 3), expected (16, 4, 3, 3)"),
            ("data.channels=3", "network.encoder.0.0.weight is (4, 1, 3, 3), expected (4, 3, 3, 3)"),
            ("model.channels=[4,8,8]", "it has no network.decoder.2"),
            ("model=fast", "its network.decoder.0.1.bias has no place here"),
        ],
    )
    def test_another_shape_is_refused_in_one_line(self, train_config, tmp_path, override, message):
        file = tmp_path / "small.ckpt"
        small = InpaintingModule(channels=[4, 8])
        torch.save({"state_dict": small.state_dict(), "hyper_parameters": dict(small.hparams)}, file)

        with pytest.raises(InputError, match=re.escape(message)) as caught:
            train(train_config(tmp_path, f"init={file}", override))

        assert str(caught.value).startswith(f"{file} holds another network")
        assert "\n" not in str(caught.value)

    def test_a_deeper_network_starts_with_what_a_shallower_one_does(self, tmp_path):
        fast = {"network": "fast", "channels": [4, 8], "stem": 2}
        shallow = InpaintingModule(**fast, blocks=1, bottom_blocks=1).eval()
        deep = InpaintingModule(**fast, blocks=2, bottom_blocks=2).eval()
        image = torch.rand(1, 1, 16, 16)
        for norm in shallow.network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.uniform_()
        file = tmp_path / "shallow.ckpt"
        torch.save({"state_dict": shallow.state_dict(), "hyper_parameters": dict(shallow.hparams)}, file)

        load_weights(deep, file)

        assert torch.equal(deep.network(image), shallow.network(image))
        deep.network(image).sum().backward()
        assert deep.network.down[0][1].change[-1].weight.grad.any()  # and is not stuck there

    def test_a_shallower_network_is_refused(self, tmp_path):
        fast = {"network": "fast", "channels": [4, 8], "stem": 2}
        deep = InpaintingModule(**fast, blocks=2)
        file = tmp_path / "deep.ckpt"
        torch.save({"state_dict": deep.state_dict(), "hyper_parameters": dict(deep.hparams)}, file)

        with pytest.raises(InputError, match=r"holds another network: its network\.bottom\.3.* has no place here"):
            load_weights(InpaintingModule(**fast, blocks=1), file)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.size=30"], "data.size=30 is not a multiple of 4, which this network needs; give 28 or 32"),
        (["data.size=3", "mask.size=2"], "data.size=3 is not a multiple of 4, which this network needs; give 4"),
        (["mask.name=star"], "mask.name=star is unknown; choose from "),
        (["model.optimizer=sgd"], "unknown optimizer 'sgd'; choose from adam, adamw, muon"),
        (["trainer.max_epochs=many"], "trainer.max_epochs=many is a str; expected int or null"),
        (["init=nowhere.ckpt"], "no checkpoint nowhere.ckpt; give the path of a .ckpt file"),
        (["callbacks.early_stopping.patience=0"], "patience 0 would stop before the first epoch; give at least 1"),
        (
            ["+loss.l2=1"],
            "loss.l2 is unknown; choose from adversarial, charbonnier, gradient, l1, mse, multiscale, perc",
        ),
        (["loss.mse.weight=a"], "loss.mse=a is a str; expected a weight"),
        (["loss.mse.weight=-1"], "loss.mse=-1 is no weight; give a number of at least 0"),
        (["+loss.mse.kown=1"], "unknown key loss.mse.kown; did you mean loss.mse.known?"),
        (["loss.mse.weight=0"], "the loss has no part; give loss=mse, or a weight above 0 to one of its parts"),
        (["loss=ssim", "loss.ssim.window=4"], "loss.ssim: window=4 has no middle"),
        (["loss=adversarial", "loss.adversarial.layers=0"], "loss.adversarial.layers=0 is too small; give at least 1"),
        (["loss=perceptual", "loss.perceptual.weights=a.pth"], "loss.perceptual.weights=a.pth: no such file; give"),
        (["+callbacks.mine._target_=os.system"], "callbacks.mine._target_=os.system is not allowed"),
        (["monitor=val/mes", "callbacks.early_stopping=null"], "monitor=val/mes is not measured; choose from val/loss"),
        (["monitor=train/loss"], "monitor=train/loss is not measured; choose from val/loss, val/mse"),
        (["monitor=val/psnr"], "monitor=val/psnr is best where it is highest, and the lowest is kept; choose from"),
        (["objectives=[val/foo]"], "objectives=val/foo is not measured; choose from latency, params, val/accuracy"),
        (["trainer.accumulate_grad_batches=0"], "accumulate_grad_batches=0 batches never make a step; give at least 1"),
        (["callbacks.samples.count=0"], "count 0 shows nothing; give at least 1, or callbacks.samples=null"),
        (["model.in_channels=3"], "model.in_channels=3 is not data.channels=1; give the latter alone"),
        (["init_only=decoder"], "init_only=decoder is a part of weights that are not given; give init=PATH too"),
    ],
)
def test_a_mistake_is_told_before_training(train_config, tmp_path, overrides, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        train(train_config(tmp_path, *overrides))

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "latest").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["loss=ssim", "loss.ssim.window=33"],
            "loss.ssim: a picture of 32x32 pixels has no room for a window of 33; give a smaller",
        ),
        (["logger=csv", "logger.csv=null"], "Cannot use `LearningRateMonitor`"),
    ],
)
def test_a_mistake_that_shows_in_training_is_told_in_one_line(train_config, tmp_path, overrides, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        train(train_config(tmp_path, *overrides))

    assert "\n" not in str(caught.value)


def test_weights_that_were_trained_on_another_scale_are_refused(train_config, tmp_path):
    train(train_config(tmp_path, *QUIET, "model.mean=0.45", "model.std=0.225", run="first"))
    first = tmp_path / "first" / "checkpoints" / "last.ckpt"

    message = "was trained on pictures of model.mean=0.45 and model.std=0.225, not 0 and 1; give model.mean=0.45"
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        train(train_config(tmp_path, *QUIET, f"init={first}"))

    assert "\n" not in str(caught.value)
    train(train_config(tmp_path, *QUIET, "model.mean=0.45", "model.std=0.225", f"init={first}", run="second"))


class TestLoss:
    def test_a_sum_logs_its_parts(self, train_config, tmp_path):
        metrics = train(train_config(tmp_path, *QUIET, "loss=sharp", "loss.l1.weight=2"))

        parts = {name: metrics[f"val/loss/{name}"] for name in ("l1", "ssim", "gradient")}
        assert metrics["val/loss"] == pytest.approx(2 * parts["l1"] + 0.1 * parts["ssim"] + 0.5 * parts["gradient"])
        assert all(logged(tmp_path / "run", f"train/loss/{name}") for name in parts)

    def test_one_part_is_the_loss_and_is_logged_once(self, train_config, tmp_path):
        metrics = train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1"))

        assert metrics["val/loss"] == pytest.approx(metrics["val/mse"], rel=1e-5)
        assert not any(key.startswith("val/loss/") for key in metrics)

    def test_adversarial_training_starts_from_a_network_and_is_completed_without_the_second(
        self, train_config, tmp_path
    ):
        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", run="first"))
        first = tmp_path / "first" / "checkpoints" / "last.ckpt"
        options = ("loss=adversarial", "loss.adversarial.width=4", "model.lr=0", "model.weight_decay=0")
        train(train_config(tmp_path, *QUIET, *options, f"init={first}"))
        second = tmp_path / "run" / "checkpoints" / "last.ckpt"

        weights = [torch.load(file, weights_only=True)["state_dict"] for file in (first, second)]
        assert any(key.startswith("discriminator.") for key in weights[1])
        learnt = [name for name, _ in InpaintingModule(channels=[4, 8]).named_parameters()]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in learnt)
        completer = Completer(second, "cpu")
        picture, hole = Image.new("L", (32, 32), 90), Image.new("L", (32, 32))
        hole.paste(255, (10, 10, 20, 20))
        assert completer.complete(picture, hole).size == (32, 32)

    def test_a_run_is_resumed_with_its_kind_of_loss(self, train_config, tmp_path):
        for name, option, other in (("plain", "mse", "adversarial"), ("versus", "adversarial", "mse")):
            train(train_config(tmp_path, *QUIET, f"loss={option}", "trainer.max_epochs=1", run=name))
            file = tmp_path / name / "checkpoints" / "last.ckpt"
            with pytest.raises(
                InputError, match=r"loss.adversarial and cannot be resumed otherwise; .*init="
            ) as caught:
                train(train_config(tmp_path, *QUIET, f"loss={other}", f"resume={file}", run=name))
            assert "\n" not in str(caught.value)

    def test_an_adversarial_run_that_is_resumed_is_one_that_was_not_stopped(self, train_config, tmp_path):
        options = (*QUIET, "loss=adversarial", "loss.adversarial.width=4", "model.init=default", "callbacks=ema")
        options = (*options, "model.scheduler.step_size=1", "trainer.limit_train_batches=4", "model.lr=0.01")
        options = (*options, "trainer.gradient_clip_val=1", "trainer.accumulate_grad_batches=2")
        whole = train(train_config(tmp_path, *options, "trainer.max_epochs=2", run="whole"))
        train(train_config(tmp_path, *options, "trainer.max_epochs=1", run="half"))
        file = tmp_path / "half" / "checkpoints" / "last.ckpt"
        rest = train(train_config(tmp_path, *options, "trainer.max_epochs=2", f"resume={file}", run="half"))

        one, other = (
            torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "half")
        )
        assert same_weights(one["state_dict"], other["state_dict"])
        assert same_weights(one["current_model_state"], other["current_model_state"])
        assert one["global_step"] == other["global_step"] == 4
        assert rest["val/mse"] == whole["val/mse"]


def test_a_network_of_another_shape_does_not_resume(train_config, tmp_path):
    train(train_config(tmp_path))
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"

    with pytest.raises(InputError, match="holds another network") as caught:
        train(train_config(tmp_path, f"resume={checkpoint}", "model.channels=[4,16]"))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["trainer.max_epochs=0", "trainer.limit_val_batches=0"])
def test_a_run_without_validation_says_so(train_config, tmp_path, override):
    with pytest.raises(InputError, match="without a validation, so there is no val/mse"):
        train(train_config(tmp_path, override))

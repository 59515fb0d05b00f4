"""Every option of every group composes, is built and trains; the defaults are the reference's numbers."""

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from imcomp.cli import COMMANDS, config_dir
from imcomp.config import build, check_options
from imcomp.data.masks import MASKS
from imcomp.data.sources import SOURCES
from imcomp.models import NETWORKS
from imcomp.packing import pack_as_configured
from imcomp.pretraining import pretrain
from imcomp.training import build_data, build_module, train

CONF = config_dir()
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
SKIPPED = {"base"}  # what the options of a group share


def options(group):
    return sorted(file.stem for file in (CONF / group).glob("*.yaml") if file.stem not in SKIPPED)


OPTIONS = [(group, option) for group in GROUPS for option in options(group)]


def composed(*overrides, name="train", **kwargs):
    with initialize_config_dir(str(CONF)):
        return compose(name, [*overrides], **kwargs)


@pytest.fixture
def data_root(tmp_path):
    """Pictures for each data option: GTSRB's layout, which is a folder tree too."""
    for folder in ("photos-1k", "bsds500/train", "bsds500/val"):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(4):
            Image.effect_noise((50, 40 + index), 40).convert("RGB").save(tmp_path / folder / f"{index}.jpg")
    for label in ("00000", "00014"):
        for track in (0, 1):
            for frame in range(5):
                file = tmp_path / "gtsrb" / "GTSRB" / "Training" / label / f"{track:05d}_{frame:05d}.ppm"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.effect_noise((30 + frame, 28), 40).convert("RGB").save(file)
    return tmp_path


def data_overrides(option, root):
    """What makes a data option small."""
    small = [f"data={option}", "data.size=32", "mask.size=8", "data.num_workers=0", "data.batch_size=4"]
    if option == "stream":
        pytest.importorskip("litdata", reason="streaming: pip install 'imcomp[stream]'")
        with initialize_config_dir(str(CONF)):
            pack_as_configured(compose("pack", [f"data.root={root}", f"output={root / 'packed'}", "workers=1"]))
        root = root / "packed"
    if option == "synthetic":
        return [*small, "data.count=80"]
    sources = ["data.sources=[{source: gtsrb}, {source: synthetic, count: 20}]"]
    return [*small, f"data.root={root}", *(sources if option == "mixed" else [])]


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_has_a_config(name):
    cfg = composed(name=name, return_hydra_config=True)
    assert cfg.hydra.job.name == name
    assert cfg.hydra.job.chdir is False


@pytest.mark.parametrize("name", [*COMMANDS])
def test_configs_say_what_is_needed_and_nothing_else(name):
    missing = OmegaConf.missing_keys(composed("paths.output_dir=x", name=name))
    needed = {"predict": {"input"}, "publish": {"ckpt", "name", "card"}, "pack": {"data.root"}, "compare": {"runs"}}
    assert missing == needed.get(name, set())


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_option_composes(group, option):
    cfg = composed(f"{group}={option}", return_hydra_config=True)
    assert cfg.hydra.runtime.choices[group] == option


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: file.relative_to(CONF).as_posix())
def test_no_file_names_a_path_of_one_machine(file):
    text = file.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/Users/", "C:\\"))


@pytest.mark.parametrize("option", options("data"))
def test_every_data_option_is_built(option, data_root):
    cfg = composed(*data_overrides(option, data_root))
    check_options(cfg.data, "data", SOURCES, "source")
    datamodule = build(cfg.data, "data", mask=OmegaConf.to_container(cfg.mask))
    datamodule.setup("fit")
    pictures, indices = next(iter(datamodule.train_dataloader()))
    batch = datamodule.make_batch(pictures, indices)
    assert batch.image.shape == (4, 1, 32, 32)
    assert batch.mask.sum(dim=(1, 2, 3)).tolist() == [64] * 4


@pytest.mark.parametrize("option", options("model"))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_model_option_is_built(option, channels):
    cfg = composed(f"model={option}", f"data.channels={channels}")
    check_options(cfg.model, "model", NETWORKS, "network")
    module = build(cfg.model, "model")
    side = 2 * module.multiple
    image = torch.rand(1, channels, side, side)
    assert module.eval()(image, torch.zeros(1, 1, side, side)).shape == image.shape
    OmegaConf.create(dict(module.hparams))  # plain values alone, or this fails
    # one over the whole run needs a run
    steady = composed(f"model={option}", f"data.channels={channels}", "model/scheduler=constant")
    assert build(steady.model, "model").configure_optimizers()


@pytest.mark.parametrize("option", options("loss"))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_loss_option_is_built(option, channels, monkeypatch):
    # weights of a backbone are a file of the user's
    monkeypatch.setattr("imcomp.losses.perceptual.load_stages", lambda *_, count: torch.nn.ModuleList())
    cfg = composed(f"loss={option}", f"data.channels={channels}")
    module = build_module(cfg)
    assert module.loss.weights == {name: term.weight for name, term in cfg.loss.items() if name != "adversarial"}
    assert hasattr(module, "discriminator") == ("adversarial" in cfg.loss)
    assert module.hparams["loss"] == OmegaConf.to_container(cfg.loss)
    OmegaConf.create(dict(module.hparams))  # plain values alone, or this fails


@pytest.mark.parametrize("option", options("mask"))
def test_every_mask_option_is_built(option, tmp_path):
    cfg = composed(f"mask={option}")
    if OmegaConf.is_missing(cfg.mask, "root"):  # a folder of mask files
        Image.new("L", (256, 256), 255).save(tmp_path / "mask.png")
        cfg.mask.root = str(tmp_path)
    check_options(cfg.mask, "mask", MASKS, "name")
    holes = build(cfg.data, "data", mask=OmegaConf.to_container(cfg.mask)).mask((256, 256), torch.arange(3))
    assert holes.shape == (3, 1, 256, 256)
    assert set(holes.unique().tolist()) <= {0, 1}
    assert (holes.sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("option", options("augment"))
def test_every_augmentation_is_built(option):
    datamodule = build_data(composed(f"augment={option}"))
    assert (datamodule.augment is None) == (option == "none")


def test_signs_are_never_mirrored():
    assert build_data(composed("augment=signs")).augment.flips == (0, 0)


SWEEPER_GROUPS = [
    (group, file.stem) for group in ("hydra/sweeper/pruner", "hydra/launcher") for file in (CONF / group).glob("*.yaml")
]


@pytest.mark.parametrize(("group", "option"), SWEEPER_GROUPS)
def test_every_pruner_and_launcher_composes(group, option):
    launcher = {
        "workers": "hydra_joblib_launcher",
        "slurm": "hydra_submitit_launcher",
        "ray": "hydra_ray_launcher",
    }
    if option in launcher:
        pytest.importorskip(f"hydra_plugins.{launcher[option]}")
    cfg = composed("sweep=optuna", f"{group}={option}", return_hydra_config=True)
    if group == "hydra/sweeper/pruner":
        instantiate(cfg.hydra.sweeper.pruner, _execution_whitelist_="optuna.pruners.*")
    else:
        assert launcher[option] in cfg.hydra.launcher._target_


@pytest.mark.parametrize("model", options("model"))
def test_the_default_space_fits_every_network(model):
    cfg = composed("sweep=optuna", f"model={model}", return_hydra_config=True)
    space = {
        key: OverridesParser.create().parse_override(f"{key}={value}")
        for key, value in cfg.hydra.sweeper.params.items()
    }
    assert {"model.lr", "model.weight_decay", "model/scheduler", "data.batch_size"} < {*space}
    assert all(override.is_sweep_override() for override in space.values())
    width = next(key for key in space if key in {"model.channels", "model.width"})
    for choice in space[width].sweep_string_iterator():
        module = build(composed(f"model={model}", f"{width}={choice}").model, "model")
        assert module.multiple <= 256


@pytest.mark.parametrize("option", options("callbacks"))
def test_every_callback_is_built(option, tmp_path):
    cfg = composed(f"callbacks={option}", f"paths.output_dir={tmp_path}")
    for key, node in cfg.callbacks.items():
        assert build(node, f"callbacks.{key}").__class__.__name__ == node._target_.rpartition(".")[2]


@pytest.mark.parametrize("option", options("logger"))
def test_every_logger_is_built(option, tmp_path):
    cfg = composed(f"logger={option}", f"paths.output_dir={tmp_path}")
    for key, node in cfg.logger.items():
        build(node, f"logger.{key}").log_metrics({"a": 1.0}, step=0)


@pytest.mark.parametrize("option", options("trainer"))
def test_every_trainer_is_built(option):
    cfg = composed(f"trainer={option}", "perf=plain", "+trainer.logger=false", "+trainer.enable_checkpointing=false")
    if (cfg.trainer.accelerator == "gpu" or option == "fsdp") and not torch.cuda.is_available():
        pytest.skip("a machine with a GPU builds it")
    assert build(cfg.trainer, "trainer").max_epochs == 5


@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_trains(option, data_root, tmp_path):
    plain = composed(f"experiment={option}")
    small = ["mask.size=8"] if "size" in plain.mask else []
    small += ["data.count=80"] if plain.data.source == "synthetic" else [f"data.root={data_root}"]
    cfg = composed(
        f"experiment={option}",
        *("data.size=32", *small, "data.num_workers=0", "data.batch_size=4"),
        *("trainer=cpu", "trainer.max_epochs=1"),
        *("+trainer.limit_train_batches=1", "+trainer.limit_val_batches=1", "callbacks.progress=null"),
        *(f"paths.output_dir={tmp_path / 'run'}", f"paths.outputs={tmp_path}"),
    )
    if cfg.pretrain:
        cfg.trainer.max_epochs, cfg.pretrain.epochs, cfg.pretrain.frozen_epochs = 2, 1, 1
    metrics = pretrain(cfg) if cfg.pretrain else train(cfg)
    assert 0 < metrics["val/mse"] < math.inf
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
    assert (tmp_path / "latest" / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_trains_on_real_pictures(option, gtsrb_root, tmp_path):
    if (source := composed(f"experiment={option}").data.source) != "gtsrb":
        pytest.skip(f"its pictures are of {source}")
    test_every_experiment_trains(option, gtsrb_root, tmp_path)


@pytest.mark.parametrize("option", options("debug"))
def test_every_debug_preset_trains(option, tmp_path):
    cfg = composed(
        *(f"debug={option}", "trainer.max_epochs=1", "trainer=cpu", "callbacks.progress=null"),
        *(f"paths.output_dir={tmp_path / 'run'}", f"paths.outputs={tmp_path}"),
    )
    assert train(cfg)["val/mse"] < math.inf


def test_the_experiment_is_the_references():
    cfg = composed("experiment=reference")
    module = build(cfg.model, "model")
    assert sum(parameter.numel() for parameter in module.parameters()) == 776_843
    stated = {
        "data.source": "gtsrb",
        "data.channels": 1,
        "data.size": 256,
        "data.fit": "stretch",
        "data.split": "random",
        "data.val_fraction": 0.3,
        "data.test_fraction": 0.0,
        "data.batch_size": 32,
        "mask.name": "center",
        "mask.size": 40,
        "mask.center": [0.5, 0.5],
        "model.init": "xavier",
        "model.dropout": 0.0,
        "model.optimizer": "adam",
        "model.lr": 1e-3,
        "model.weight_decay": 1e-5,
        "model.scheduler": {"name": "step", "step_size": 30, "gamma": 0.5},
        "callbacks.early_stopping._target_": "imcomp.callbacks.ForgivingEarlyStopping",
        "callbacks.early_stopping.patience": 5,
        "trainer.max_epochs": 100,
        "trainer.precision": "32-true",
    }
    assert {key: OmegaConf.select(cfg, key) for key in stated} == stated


def test_the_optimiser_takes_the_references_numbers():
    configured = build(composed("experiment=reference").model, "model").configure_optimizers()
    (group,) = configured["optimizer"].param_groups
    assert (type(configured["optimizer"]), group["lr"], group["weight_decay"]) == (torch.optim.Adam, 1e-3, 1e-5)
    schedule = configured["lr_scheduler"]["scheduler"]
    assert (schedule.step_size, schedule.gamma) == (30, 0.5)


def test_the_monitored_quantity_is_named_once():
    cfg = composed("monitor=val/loss")
    assert {node.monitor for node in cfg.callbacks.values() if "monitor" in node} == {"val/loss"}
    files = [file for file in CONF.rglob("*.yaml") if "val/mse" in file.read_text(encoding="utf-8")]
    assert files == [CONF / "train.yaml"]


def test_conf_stands_where_the_package_looks():
    assert (Path(__file__).parents[1] / "conf").samefile(CONF)

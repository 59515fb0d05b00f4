import csv
import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch

from imcomp.cli import run as run_command
from imcomp.errors import InputError
from imcomp.inference import Completer
from imcomp.models import NETWORKS
from imcomp.pretraining import pretrain, read_curve
from imcomp.training import load_weights, train

QUIET = ("callbacks.progress=null", "callbacks.early_stopping=null", "logger=csv")
KEYS = "{epochs: 1, frozen_epochs: 1, decoder_lr: 0.5, keep_encoder: false, compare: true}"
STAGED = (*QUIET, f"pretrain={KEYS}", "trainer.max_epochs=3")


def weights(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def decoder(state):
    return {key: tensor for key, tensor in state.items() if ".decoder." in key}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.fixture(scope="module")
def run(train_config, tmp_path_factory):
    """Three epochs: one on whole pictures, one with holes and the decoder held, one with both; and from scratch."""
    root = tmp_path_factory.mktemp("pretraining")
    cfg = train_config(root, *STAGED)
    return SimpleNamespace(cfg=cfg, metrics=pretrain(cfg), folder=root / "run", root=root)


def test_the_run_is_like_any_other_with_its_stages_inside(run):
    assert json.loads((run.folder / "metrics.json").read_text()) == run.metrics
    assert (run.root / "latest").resolve() == run.folder
    best = run.folder / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["datamodule_hyper_parameters"]["mask"]["size"] == 8
    assert Completer(best, "cpu").network.multiple == 4
    for stage in ("pretrain", "scratch"):
        assert (run.folder / stage / "checkpoints" / "best.ckpt").is_file()


def test_stages_are_as_long_as_the_run_from_scratch(run):
    steps = [
        torch.load(run.folder / stage / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        for stage in ("pretrain", ".", "scratch")
    ]
    assert steps == [2, 4, 6]


def test_the_first_stage_learns_whole_pictures(run):
    saved = torch.load(run.folder / "pretrain" / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["datamodule_hyper_parameters"]["mask"] == {"name": "center", "size": 32}


def test_the_decoder_is_kept_and_the_encoder_is_not(train_config, tmp_path, run):
    # one epoch with holes, in which the decoder is held: what is there then is what came from the first stage
    cfg = train_config(tmp_path, *STAGED, "pretrain.compare=false", "trainer.max_epochs=2")
    pretrain(cfg)

    before, after = weights(tmp_path / "run" / "pretrain", "best"), weights(tmp_path / "run")
    assert same(decoder(before), decoder(after))
    assert not same(before, after)
    assert not same(decoder(before), decoder(weights(run.folder)))  # held no longer in the second epoch


def test_the_encoder_may_be_kept(run, train_config, tmp_path):
    from imcomp.module import InpaintingModule

    best = run.folder / "pretrain" / "checkpoints" / "best.ckpt"
    both, half = (InpaintingModule(**torch.load(best, weights_only=True)["hyper_parameters"]) for _ in range(2))
    load_weights(both, best)
    load_weights(half, best, "decoder")

    assert same(both.state_dict(), weights(run.folder / "pretrain", "best"))
    assert same(decoder(half.state_dict()), decoder(both.state_dict()))
    assert not same(half.network.encoder.state_dict(), both.network.encoder.state_dict())


def test_the_report_compares_at_equal_compute(run):
    text = (run.folder / "pretraining.md").read_text(encoding="utf-8")
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    head, _, *rows = lines
    assert head == ["stage", "epochs", "steps", "seconds", "best epoch", "val/mse", "val/accuracy", "val/psnr"]
    assert [row[:3] for row in rows] == [
        ["on whole pictures", "1", "2"],
        ["then with holes", "2", "4"],
        ["from scratch", "3", "6"],
    ]
    assert float(rows[1][5]) == pytest.approx(run.metrics["val/mse"], rel=1e-3)
    scratch = json.loads((run.folder / "scratch" / "metrics.json").read_text())
    ratio = run.metrics["val/mse"] / scratch["val/mse"]
    assert f"{ratio:.3g} times the `val/mse` of as many epochs from scratch" in text


def test_the_table_holds_every_epoch(run):
    with (run.folder / "pretraining.csv").open() as lines:
        rows = [*csv.DictReader(lines)]
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("on whole pictures", "0"),
        ("then with holes", "0"),
        ("then with holes", "1"),
        *(("from scratch", str(epoch)) for epoch in range(3)),
    ]
    assert min(float(row["val/mse"]) for row in rows[1:3]) == pytest.approx(run.metrics["val/mse"])


def test_no_log_is_no_curve(tmp_path):
    assert read_curve(tmp_path) == []


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_a_run_that_was_stopped_goes_on_where_it_was(run, train_config, tmp_path, monkeypatch, batch):
    """After so many batches: of the first stage 1, of the first 2 (all), of the second 1, of the run from scratch 2."""
    from imcomp.module import InpaintingModule

    step, count = InpaintingModule.training_step, 0

    def stopping(self, *arguments):
        nonlocal count
        count += 1
        if count == batch + 1:
            raise RuntimeError
        return step(self, *arguments)

    cfg = train_config(tmp_path, *STAGED)
    monkeypatch.setattr(InpaintingModule, "training_step", stopping)
    with pytest.raises(RuntimeError):
        pretrain(cfg)
    monkeypatch.setattr(InpaintingModule, "training_step", step)
    folders = [tmp_path / "run" / stage for stage in ("", "pretrain", "scratch")]
    last = next(folder for folder in folders if (folder / "checkpoints" / "last.ckpt").is_file())
    cfg.resume = str(last / "checkpoints" / "last.ckpt")

    metrics = pretrain(cfg)

    assert metrics["val/mse"] == run.metrics["val/mse"]
    for stage in ("pretrain", "", "scratch"):
        assert same(weights(tmp_path / "run" / stage), weights(run.folder / stage))


def test_a_run_that_has_ended_is_not_trained_again(run, monkeypatch):
    monkeypatch.setattr("imcomp.pretraining.train", lambda *_, **__: pytest.fail("trained again"))
    run.cfg.resume = str(run.folder / "checkpoints" / "last.ckpt")
    assert pretrain(run.cfg) == run.metrics
    run.cfg.resume = None


def test_a_seed_that_is_drawn_is_one_for_all_stages(run, train_config, tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr("imcomp.pretraining.train", lambda cfg, **_: seeds.append(cfg.seed) or {})
    monkeypatch.setattr("imcomp.pretraining.write_report", lambda *_: None)
    monkeypatch.setattr("imcomp.training.draw_seed", iter([7, 8, 9]).__next__)

    pretrain(train_config(tmp_path, *STAGED, "seed=null", run="other"))
    assert seeds == [7, 7, 7]

    shutil.copytree(run.folder, tmp_path / "run")
    cfg = train_config(tmp_path, *STAGED, "seed=null", "trainer.max_epochs=4")
    cfg.resume = str(tmp_path / "run" / "checkpoints" / "last.ckpt")
    pretrain(cfg)
    assert seeds[3:] == [0, 0]  # of the first stage, which has ended


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("epochs: 3, frozen_epochs: 0", r"pretrain\.epochs=3 of trainer\.max_epochs=3 leaves nothing .* from 1 to 2"),
        ("epochs: 0, frozen_epochs: 0", r"pretrain\.epochs=0"),
        ("epochs: 1, frozen_epochs: 3", r"pretrain\.frozen_epochs=3 is out of range; give 0 to 2"),
        ("epochs: many, frozen_epochs: 0", r"pretrain\.epochs=many is a str; expected int"),
        ("epochs: 1, frozen_epochs: 0, frost: 1", r"unknown key pretrain\.frost"),
    ],
)
def test_keys_that_do_not_add_up_are_told(train_config, tmp_path, keys, what):
    rest = "decoder_lr: 0.5, keep_encoder: false, compare: false"
    with pytest.raises(InputError, match=what):
        pretrain(train_config(tmp_path, *QUIET, "trainer.max_epochs=3", f"pretrain={{{keys}, {rest}}}"))


def test_a_network_without_a_decoder_is_told_before_anything_is_trained(train_config, tmp_path, monkeypatch):
    monkeypatch.setattr(NETWORKS["autoencoder"], "decoder_parts", ())
    with pytest.raises(InputError, match="Autoencoder has no decoder_parts"):
        pretrain(train_config(tmp_path, *STAGED))
    assert not (tmp_path / "run" / "pretrain").exists()


def test_the_command_line_goes_on_with_the_stage_it_was_in(train_config, tmp_path, monkeypatch, capsys):
    common = ["debug=fast", "trainer=cpu", "model.channels=[4,8]", "trainer.max_epochs=2", *QUIET]
    keys = ["pretrain.epochs=1", "pretrain.frozen_epochs=1"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["train.py", "experiment=pretrain_decoder", *common, *keys, "hydra.run.dir=outputs/a"]
    )
    run_command("train")
    folder = tmp_path / "outputs" / "a"
    for leftover in ("checkpoints", "metrics.json", "csv"):
        (folder / leftover).rename(tmp_path / leftover)
    before = weights(folder / "pretrain")

    monkeypatch.setattr(sys, "argv", ["train.py", "resume=outputs/a"])
    run_command("train")

    assert same(weights(folder / "pretrain"), before)
    assert same(weights(folder), torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    assert "val/mse=" in capsys.readouterr().out
    assert (folder / "pretraining.md").is_file()


def test_other_weights_are_refused_by_part(run, train_config, tmp_path):
    best = run.folder / "pretrain" / "checkpoints" / "best.ckpt"
    with pytest.raises(InputError, match=r"init_only=encoder is unknown; choose decoder"):
        train(train_config(tmp_path, *QUIET, f"init={best}", "init_only=encoder"))

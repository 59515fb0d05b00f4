"""The command line: what it does with what people type."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imcomp import __version__, cli
from imcomp.errors import RunEnded
from imcomp.model_card import NOTES

ROOT = Path(__file__).parents[1]
SMALL = ["debug=fast", "data.size=32", "mask.size=8", "model.channels=[4,8]", "trainer=cpu", "trainer.max_epochs=1"]


def start(*arguments, cwd=ROOT, **environment):
    """Run the interpreter from the repository, or elsewhere, as from a shell."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(command, arguments):
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert all(name in out for name in [*cli.COMMANDS, "list"])


def test_version(command):
    assert command("--version") == (0, f"imcomp {__version__}\n", "")


@pytest.mark.parametrize("name", [*cli.COMMANDS])
def test_every_commands_help_lists_its_keys(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    known = {"train": "max_epochs: 5", "predict": "input: ???", "evaluate": "part: val", "benchmark": "suite: all"}
    known |= {"publish": "card: ???", "compare": "runs: ???"}
    known |= {"pack": "form: encoded"}
    known |= {"export": "format: onnx", "app": "host: 127.0.0.1"}
    assert known[name] in out


def test_cfg_shows_the_config(command):
    code, out, err = command("train", "--cfg", "job", "model.lr=0.5", "experiment=reference")
    assert (code, err) == (0, "")
    assert "lr: 0.5" in out
    assert "source: gtsrb" in out


TINY = ["data.size=32", "mask.size=8", "data.num_workers=0", "paths.outputs=out"]

MISTAKES = [
    (["trian"], "unknown command 'trian'; choose from train, predict, evaluate"),
    (["train", "model.lrr=1e-3"], "unknown key model.lrr; did you mean model.lr?"),
    (["train", "modle.lr=1e-3"], "unknown key modle.lr; did you mean model.lr?"),
    (["train", "data=folder", "data.rot=x"], "did you mean data.root?"),
    (["train", "model=zzz"], "model=zzz is unknown; choose from autoencoder"),
    (["train", "experiment=referense"], "did you mean reference?"),
    (["train", "logger=null"], "logger=null names no option; choose from csv"),
    (["train", "model.lr="], "model.lr= is a str; expected float"),
    (["train", "model.lr=abc"], "model.lr=abc is a str; expected float"),
    (["train", "model.lr=-1"], "lr=-1 is not a rate"),
    (["train", "model.lr=[1"], "cannot read 'model.lr=[1'"),
    (["train", "model.lr"], "write key=value"),
    (["train", "model.lr=1,2"], "model.lr=1,2"),
    (["train", "~model"], "model is not in the config and is needed"),
    (["train", "model.optimizer=sgdd"], "unknown optimizer 'sgdd'; choose from"),
    (["train", "model.channels=3"], "model.channels=3 is a int; expected list of int"),
    (["train", "+model.foo=3"], "unknown key model.foo"),
    (["train", "+epochs=7"], "unknown key epochs; did you mean trainer.max_epochs?"),
    (["train", "++model._target_=os.system"], "model._target_=os.system is not allowed"),
    (["train", "model.scheduler.name=cosine-ish"], "unknown scheduler 'cosine-ish'; choose from"),
    (["train", "data=folder"], "data.root is not given; give data.root=..."),
    (["train", "data=folder", "data.root=nowhere"], "no picture folder 'nowhere'"),
    (
        ["train", "data.size=250", "mask.size=8"],
        "data.size=250 is not a multiple of 16, which this network needs; give 240",
    ),
    (["train", "data.channels=2"], "data.channels=2 is unknown; choose from 1, 3"),
    (["train", "data.fit=squeeze"], "expected stretch or crop"),
    (["train", "data.batch_size=0"], "data.batch_size=0"),
    (["train", "mask.size=999"], "does not fit a picture 256"),
    (["train", "seed=abc"], "seed=abc is a str; expected int"),
    (["train", "seed=-1"], "seed=-1 is out of range; give one from 0"),
    (["train", "test=maybe"], "test=maybe is a str; expected bool"),
    (["train", "resume=nowhere"], "resume=nowhere: no checkpoint nowhere; give a run's folder"),
    (["train", "resume=gtsrb-fast.safetensors"], "weights alone cannot be resumed; start a new run from them, init="),
    (["train", "resume=last"], "there is no last run at outputs/latest"),
    (["train", "rerun=nowhere"], "rerun=nowhere: nowhere tells no command (no .hydra/overrides.yaml)"),
    (["train", "halve_on_oom=maybe"], "halve_on_oom=maybe is a str; expected bool"),
    (["train", *TINY, "trainer=ddp_cpu", "data.batch_size=7"], "data.batch_size=7 cannot be dealt out evenly to 2"),
    (["train", "init=nowhere.ckpt"], "no checkpoint nowhere.ckpt; give"),
    (["train", *TINY, "trainer.max_epochs=abc"], "trainer.max_epochs=abc is a str; expected int or null"),
    (["train", *TINY, "trainer.accelerator=abacus"], "accelerator='abacus'"),
    (["train", *TINY, "callbacks.early_stopping.patience=0"], "patience 0 would stop before the first epoch; give"),
    (["train", *TINY, "data.val_fraction=1.5"], "give two fractions"),
    (["train", "--config-name=nothing"], "Cannot find primary config 'nothing'"),
    (["predict"], "input is not given; give input=..."),
    (["predict", "input="], "input= is empty; give a picture, a folder or a glob"),
    (["predict", "input=a.png,"], "input= is empty; give a picture, a folder or a glob"),
    (["predict", "input=a.png", "output="], "output= is empty; give a value, or leave it out"),
    (["predict", "input=a.png", "mask="], "mask= is empty; give a value, or leave it out"),
    (["predict", "input=a.png", "ckpt="], "ckpt= is empty; give a value, or leave it out"),
    (["export", "ckpt="], "ckpt= is empty; give a value, or leave it out"),
    (["evaluate", "ckpt="], "ckpt= is empty; give a value, or leave it out"),
    (["predict", "input=nowhere"], "input=nowhere: no such file or folder; give a picture"),
    (["predict", "input=a.png", "ckpt=nowhere"], "no checkpoint nowhere; give"),
    (["predict", "input=a.png", "mask=nowhere"], "mask=nowhere: file does not exist; give a picture that is white"),
    (["predict", "input=.", "output=."], "output=. is the folder of the inputs"),
    (["predict", "input=a.png", "batch_size=many"], "batch_size=many is a str; expected int"),
    (["predict", "input=a.png", "side_by_side=maybe"], "side_by_side=maybe is a str; expected bool"),
    (["predict", "input=a.png", "precision=[32]"], "precision=[32] is a list; expected str or int"),
    (["predict", "inptu=a.png"], "unknown key inptu; did you mean input?"),
    (["predict", "input=a.png", "ckpt=a.safetensors"], "no checkpoint a.safetensors; give the path"),
    (["publish", "ckpt=nowhere.ckpt", "name=a"], "card is not given; give card=..."),
    (["publish", "ckpt=nowhere.ckpt", "name=a", "card=nowhere.yaml"], "nowhere.yaml: no such file"),
    (["publish", "ckpt=nowhere.ckpt", "name=a", "card=a.png"], "card=a.png is not YAML ("),
    (["evaluate"], "no checkpoint; give ckpt=PATH"),
    (["compare", "a", "b"], "a holds no run (no config.yaml); give a folder"),
    (["compare", "a"], "1 runs to compare; give two runs' folders"),
    (["app", "ckpts=[nowhere.ckpt]"], "no checkpoint nowhere.ckpt"),
    (["app", "ckpts=7"], "ckpts=7 is a int; expected list of str or str or null"),
    (["app", "port=many"], "port=many is a str; expected int"),
    (["app", "port=70000"], "port=70000 is no port"),
    (["app", "max_mb=0"], "max_mb=0 is too small; give a number above 0"),
    (["export", "ckpt=nowhere.ckpt"], "no checkpoint nowhere.ckpt; give"),
    (["export", "ckpt=a.ckpt", "format=tflite"], "format=tflite is unknown; choose from onnx, torch_export"),
    (["export", "ckpt=a.ckpt", "opset=new"], "opset=new is a str; expected int"),
    (["export", "ckpt=a.ckpt", "output=a.png"], "output=a.png does not end in .onnx"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_ends_in_one_line(command, tmp_path, arguments, words):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code, _, err = command(*arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--nonsense"], "unknown flag --nonsense; a key is given without dashes, as in nonsense=true"),
        (["predict", "input=a", "--overwrite", "device=cpu"], "unknown flag --overwrite; a key is given without"),
        (["predict", "--output", "a"], "unknown flag --output; a key is given without dashes, as in output="),
        (["predict", "--input=a.png"], "unknown flag --input=a.png; a key is given without dashes, as in input=a.png"),
        (["train", "--config-dir"], "argument --config-dir/-cd: expected one argument; see --help"),
        (["train", "--cfg", "all-of-it"], "argument --cfg/-c: invalid choice: 'all-of-it'"),
    ],
    ids=str,
)
def test_a_wrong_flag_is_told_in_one_line(command, arguments, words):
    code, _, err = command(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {words}")


@pytest.mark.parametrize("channels", ["model.channels=[4]", "model.channels=3"])
def test_the_environment_is_left_as_it_was(command, channels):
    before = dict(os.environ)
    command("train", "--cfg", "job", channels)
    assert os.environ == before


def test_with_full_errors_there_is_a_traceback(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match=r"Could not override 'model\.lrr'"):
        command("train", "model.lrr=1")


def test_a_defect_keeps_its_traceback(command, monkeypatch):
    monkeypatch.setattr("imcomp.training.train", lambda cfg: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command("train", *TINY)


def test_ctrl_c_is_told_in_a_word(command, monkeypatch):
    def interrupted(cfg):
        raise KeyboardInterrupt

    monkeypatch.setattr("imcomp.training.train", interrupted)
    code, _, err = command("train", *TINY)
    assert (code, err) == (130, "interrupted\n")


def test_what_ended_a_run_is_one_line_and_no_mistake_of_the_users(command, monkeypatch):
    def ended(cfg):
        raise RunEnded("the disk is full; make room")

    monkeypatch.setattr("imcomp.training.train", ended)
    code, _, err = command("train", *TINY)
    assert (code, err) == (1, "error: the disk is full; make room\n")


def test_two_runs_are_put_side_by_side(command, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"monitor: val/mse\nname: run {name}\n")

    code, out, err = command("compare", "a", "b", "output=both.md")

    assert (code, err) == (0, "")
    assert "run a" in out
    assert "| name | run a | run b |" in (tmp_path / "both.md").read_text()


def test_an_option_of_ones_own(command, tmp_path):
    file = tmp_path / "my conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nmodel:\n  lr: 0.125\n")
    code, out, err = command("train", "--config-dir", file.parents[1], "experiment=mine", "--cfg", "job")
    assert (code, err) == (0, "")
    assert "lr: 0.125" in out


def test_training_says_what_came_out_and_predicting_uses_it(command, tmp_path):
    code, out, err = command("train", *SMALL, "callbacks.progress=null")
    assert code == 0, err
    assert f"val/mse={json.loads((tmp_path / 'outputs/latest/metrics.json').read_text())['val/mse']:.6g}" in out
    Image.effect_noise((50, 40), 50).save(tmp_path / "a.png")
    code, out, err = command("predict", "ckpt=last", "input=a.png", "device=cpu")
    assert (code, err) == (0, "")
    assert "completed 1 of 1 pictures: completed" in out
    assert (tmp_path / "completed" / "a.png").is_file()


def test_predicting_without_a_checkpoint_takes_the_published_weights(command, tmp_path, checkpoint, monkeypatch):
    card = tmp_path / "card.yaml"
    card.write_text("\n".join(f"{key}: of a test" for key in NOTES))
    monkeypatch.setattr("imcomp.pretrained.FOLDER", tmp_path / "published")
    code, out, err = command(*("publish", f"ckpt={checkpoint}", "name=gtsrb-fast", f"card={card}", "output=published"))
    assert (code, err) == (0, "")
    assert "weights:  published/gtsrb-fast.safetensors" in out
    Image.effect_noise((50, 40), 50).save(tmp_path / "a.png")
    code, out, err = command("predict", "input=a.png", "device=cpu")
    assert (code, err) == (0, "")
    assert "completing with gtsrb-fast" in out
    by_name = (tmp_path / "completed" / "a.png").read_bytes()
    assert command("predict", "ckpt=published/gtsrb-fast.safetensors", "input=a.png", "device=cpu")[0] == 0
    assert (tmp_path / "completed" / "a.png").read_bytes() == by_name
    code, out, err = command("list")
    assert (code, err) == (0, "")
    assert all(word in out for word in ("gtsrb-fast", "grey, 32x32", "center, size 8", "of a test"))


def test_a_list_of_nothing(command, tmp_path, monkeypatch):
    monkeypatch.setattr("imcomp.pretrained.FOLDER", tmp_path)
    assert command("list") == (0, "this version ships no published weights\n", "")
    (tmp_path / "broken.safetensors").touch()
    code, _, err = command("list")
    assert (code, err.count("\n")) == (2, 1)
    assert "broken.safetensors is damaged" in err


def test_predicting_with_a_mask_of_ones_own(command, tmp_path, checkpoint):
    pictures = tmp_path / "my pictures"
    pictures.mkdir()
    Image.new("L", (8, 8), 77).save(pictures / "a.png")
    mask = Image.new("L", (8, 8))
    mask.paste(255, (0, 0, 4, 8))
    mask.save(tmp_path / "the mask.png")
    code, _, err = command("predict", f"ckpt={checkpoint}", "input=my pictures", "mask=the mask.png", "device=cpu")
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "completed" / "a.png") as image:
        assert (np.asarray(image)[:, 4:] == 77).all()
        assert (np.asarray(image)[:, :4] != 77).any()


@pytest.fixture
def predicting(command, tmp_path, checkpoint):
    """Run ``imcomp predict`` on two pictures, ``in/a.png`` and ``in/b.png``."""
    (tmp_path / "in").mkdir()
    for name, shade in (("a", 77), ("b", 99)):
        Image.new("RGB", (40, 30), (shade, 0, 255)).save(tmp_path / "in" / f"{name}.png")
    return lambda *arguments: command("predict", f"ckpt={checkpoint}", "input=in", "device=cpu", *arguments)


def test_predicting_again_does_nothing(predicting, tmp_path):
    code, out, _ = predicting()
    assert (code, "completed 2 of 2 pictures" in out) == (0, True)
    (tmp_path / "completed" / "a.png").write_bytes(b"cut short")
    Image.new("RGB", (40, 30)).save(tmp_path / "in" / "c.png")
    code, out, _ = predicting()
    assert (code, "completed 2 of 3 pictures" in out) == (0, True)
    assert "skipped 1 that are done; overwrite=true completes them again" in out
    with Image.open(tmp_path / "completed" / "a.png") as image:
        image.load()
    table = (tmp_path / "completed" / "predictions.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in table] == ["file", "a.png", "b.png", "c.png"]
    assert "completed 3 of 3 pictures" in predicting("overwrite=true")[1]
    assert "completed 3 of 3 pictures" in predicting("strategy=original")[1]
    assert "skipped 3 that are done" in predicting("strategy=original")[1]


def test_a_dry_run_lists_and_writes_nothing(predicting, tmp_path):
    code, out, err = predicting("--dry")
    assert (code, err) == (0, "")
    assert "would complete 'in/a.png' to 'completed/a'" in out
    assert "would complete 2 of 2 pictures; nothing was written" in out
    assert not (tmp_path / "completed").exists()
    assert predicting()[0] == 0
    assert "is done 'in/a.png'" in predicting("--dry")[1]


def test_masks_by_name_and_what_has_no_partner(predicting, tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("a_mask001", "a_mask002", "x"):
        Image.new("L", (40, 30), 255).save(tmp_path / "masks" / f"{name}.png")
    for arguments in (["--dry"], []):
        code, out, _ = predicting("mask=masks", *arguments)
        assert code == 1
        assert "unmatched 'in/b.png': no mask for it in masks" in out
        assert "unmatched 'masks/x.png': a mask without a picture" in out
    assert sorted(path.name for path in (tmp_path / "completed").glob("*.png")) == ["a_mask001.png", "a_mask002.png"]


@pytest.mark.parametrize(
    ("hole", "pixels"),
    [
        (["mask.color=#4d00ff"], 1200),
        (["mask.color=#4b00ff"], 0),
        (["mask.color=#4b00ff", "mask.tolerance=2"], 1200),
        (["mask.box=[1,2,3,4]"], 12),
        (["mask=center", "mask.options={size: 16}"], 300),
        (["mask=brush_medium"], None),
    ],
)
def test_holes_of_every_source(predicting, tmp_path, hole, pixels):
    code, _, err = predicting("input=in/a.png", *hole)
    assert (code, err) == (0, "")
    row = (tmp_path / "completed" / "predictions.csv").read_text().splitlines()[1].split(",")
    assert (int(row[5]) == pixels) if pixels is not None else 100 < int(row[5]) < 600
    assert bool(row[6]) == (hole[0] in {"mask=center", "mask=brush_medium"})


def test_predicting_says_how_a_grey_network_sees_colour(predicting):
    assert predicting()[1].count("a grey network completes the channels of a colour picture one by one") == 1


def test_predicting_names_what_cannot_be_read(command, tmp_path, checkpoint):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.png").touch()
    Image.new("L", (8, 8), 77).save(tmp_path / "in" / "a.png")
    code, out, err = command("predict", f"ckpt={checkpoint}", "input=in", "device=cpu")
    assert (code, err) == (1, "")
    assert "completed 1 of 2 pictures: completed" in out
    assert "left out 'in/empty.png': file is empty" in out
    assert not (tmp_path / "outputs").exists()  # predicting leaves nothing but its output


@pytest.mark.slow
def test_exporting_says_where_and_how_near_and_predicting_takes_the_file(command, tmp_path, checkpoint):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    code, out, err = command("export", f"ckpt={checkpoint}", "output=signs.onnx")
    assert (code, err) == (0, "")
    assert out.startswith("exported: signs.onnx (")
    assert "its pixels differ from the network's by at most" in out
    assert [*tmp_path.iterdir()] == [tmp_path / "signs.onnx"]
    Image.effect_noise((50, 40), 50).save(tmp_path / "a.png")
    code, out, err = command("predict", "ckpt=signs.onnx", "input=a.png")
    assert (code, err) == (0, "")
    assert "completed 1 of 1 pictures: completed" in out


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("precision=16", "precision=16 is unknown; choose from auto, 32, bf16"),
        ("backend=tvm", "backend=tvm is unknown; choose from auto, eager, compile, onnx"),
        ("device=abacus", "device 'abacus' is not there"),
    ],
)
def test_predicting_in_no_known_way(command, tmp_path, checkpoint, option, words):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code, _, err = command("predict", f"ckpt={checkpoint}", "input=a.png", option)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


HEAVY = {"pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "tensorboard", "optuna", "matplotlib"}
HEAVY |= {"torch._dynamo", "scipy", "onnxruntime"}


def test_predicting_starts_light(tmp_path, checkpoint):
    Image.effect_noise((8, 8), 50).save(tmp_path / "a.png")
    script = "import sys; from imcomp.cli import main; main(); print(*sys.modules)"
    ended = start("-c", script, "predict", f"ckpt={checkpoint}", "input=a.png", "device=cpu", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "completed" / "side_by_side" / "a.png").is_file()
    assert "torch" in (loaded := set(ended.stdout.split()))
    assert loaded & HEAVY == set()


def test_the_script_tells_a_mistake_in_one_line(tmp_path):
    ended = start(ROOT / "train.py", "model.lrr=1e-3", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: unknown key model.lrr; did you mean model.lr?")
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("train.py", ["--help"], "max_epochs: 5"),
        ("train.py", ["--cfg", "job"], "monitor: val/mse"),
        ("predict.py", ["--help"], "input: ???"),
        ("scripts/evaluate.py", ["--help"], "part: val"),
        ("scripts/pack.py", ["--help"], "form: encoded"),
        ("scripts/benchmark.py", ["--help"], "suite: all"),
        ("scripts/publish.py", ["--help"], "card: ???"),
        ("scripts/export.py", ["--help"], "format: onnx"),
    ],
)
def test_the_scripts_show_what_there_is(script, arguments, words):
    ended = start(script, *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert words in ended.stdout


@pytest.mark.slow
def test_full_errors_show_the_traceback(tmp_path):
    ended = start(ROOT / "train.py", "data.channels=2", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "InputError: data.channels=2 is unknown" in ended.stderr


@pytest.mark.slow
def test_a_sweep_runs_every_job(tmp_path):
    ended = start(ROOT / "train.py", "-m", "model.lr=1e-3,3e-4", *SMALL, "callbacks.progress=null", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = sorted(tmp_path.glob("outputs/multirun/*/*/metrics.json"))
    assert [file.parent.name for file in found] == ["0", "1"]
    assert len({json.loads(file.read_text())["val/mse"] for file in found}) == 2


@pytest.mark.slow
def test_a_mistake_in_a_sweep_is_one_line(tmp_path):
    ended = start(ROOT / "train.py", "-m", "model.lr=-1,-2", *SMALL, cwd=tmp_path)
    assert ended.returncode == 2
    *before, line = ended.stderr.splitlines()
    assert line == "error: model: lr=-1 is not a rate; give a number of at least 0"
    assert len(before) <= 1  # Hydra's, which says which job it was

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from imcomp.report import how_to_resume, report_prediction, report_run


def test_a_run_ends_with_its_metrics_and_what_to_type_next(capsys):
    report_run({"val/mse": 0.0123456789, "val/psnr": 20.5, "epoch": 3}, Path("outputs/train/now"))
    lines = capsys.readouterr().out.splitlines()
    assert "val/mse=0.0123457" in lines
    assert "outputs:  outputs/train/now" in lines
    command = "python predict.py ckpt=outputs/train/now/checkpoints/best.ckpt input=FOLDER output=completed"
    assert f"complete: {command}" in lines
    assert "watch:    tensorboard --logdir outputs/train/now/tensorboard" in lines
    assert any("val/psnr" in line and "20.5" in line for line in lines)


def test_a_run_without_validation_is_told_too(capsys):
    report_run({"epoch": 0}, Path("run"))
    assert "val/mse" not in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["a b", "it's", "[red]x[/red]", "a=b,c", "x" * 200])
def test_what_to_type_works_for_any_folder(capsys, folder):
    report_run({"val/mse": 1.0}, Path(folder))
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines() if ": " in line)
    override = shlex.split(lines["complete"])[2]
    assert OverridesParser.create().parse_override(override).value() == f"{folder}/checkpoints/best.ckpt"
    assert shlex.split(lines["watch"])[-1] == f"{folder}/tensorboard"
    assert lines["outputs"].strip() == folder


def test_prediction_names_what_was_left_out(capsys):
    report_prediction(1234, 1233, 0, {Path("a [b].png"): "file is empty"}, {}, {}, Path("completed"))
    assert capsys.readouterr().out.splitlines() == [
        "completed 1,233 of 1,234 pictures: completed",
        "left out 'a [b].png': file is empty",
    ]


def test_installed_it_is_called_by_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report_run({"val/mse": 1.0}, tmp_path / "outputs" / "now")
    text = capsys.readouterr().out
    assert "complete: imcomp predict ckpt=outputs/now/checkpoints/best.ckpt input=FOLDER" in text
    assert how_to_resume(tmp_path / "outputs" / "now") == "imcomp train resume=outputs/now"
    assert how_to_resume(Path("/elsewhere/now")) == "imcomp train resume=/elsewhere/now"

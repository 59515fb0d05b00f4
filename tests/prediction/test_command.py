"""From settings to files: what is refused before anything is done, and what is done again."""

import pytest
from PIL import Image

from imcomp.weight_files import write_weight_file
from imcomp.weights import read_checkpoint


@pytest.fixture
def predicting(command, tmp_path, checkpoint):
    """Run ``imcomp predict`` on ``in/a.png``, with ``in/a_mask.png`` beside it."""
    (tmp_path / "in").mkdir()
    for name in ("a", "a_mask"):
        Image.new("L", (40, 30), 255).save(tmp_path / "in" / f"{name}.png")
    return lambda *arguments: command("predict", f"ckpt={checkpoint}", "input=in", "device=cpu", *arguments)


@pytest.mark.parametrize("dry", [[], ["--dry"]])
def test_a_checkpoint_that_is_not_there_is_told(predicting, dry):
    code, out, err = predicting("ckpt=nope", *dry)
    assert (code, err.count("\n")) == (2, 1)
    assert "error: no checkpoint nope; give the path of a .ckpt, .safetensors or .onnx file, or the name of pub" in err
    assert "would complete" not in out


def test_published_weights_that_have_changed_complete_again(predicting, tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr("imcomp.pretrained.FOLDER", tmp_path)
    content = read_checkpoint(checkpoint)
    weights = {key.removeprefix("network."): value for key, value in content["state_dict"].items()}
    facts = {key: content[key] for key in ("hyper_parameters", "datamodule_hyper_parameters")}
    for purpose in ("first", "second"):
        write_weight_file(tmp_path / "mine.safetensors", weights, {**facts, "parameters": 1, "purpose": purpose})
        assert "completed 1 of 1 pictures" in predicting("ckpt=mine", "input=in/a.png")[1]
        assert "skipped 1 that are done" in predicting("ckpt=mine", "input=in/a.png")[1]


def test_masks_beside_the_pictures_again(predicting):
    for words in ("completed 1 of 1 pictures", "skipped 1 that are done"):
        code, out, err = predicting("mask=in", "output=in/done")
        assert (code, err) == (0, "")
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mask.options={size: 60}"], "mask.options goes with a kind of hole, such as mask=center, alone"),
        (["mask=alpha", "mask.tolerance=1"], "mask.tolerance goes with mask.color alone"),
        (["mask=center", "mask.tolerance=1"], "mask.tolerance goes with mask.color alone"),
        (["mask=in/a_mask.png", "mask.tolerance=1"], "mask.tolerance goes with mask.color alone"),
        (["mask.box=[0,0,1,1]", "mask.invert=true"], "mask.invert goes with mask files alone"),
        (["mask.color=red", "mask.resize=true"], "mask.resize goes with mask files alone"),
    ],
)
def test_keys_that_the_hole_does_not_take_are_told(predicting, arguments, words):
    code, _, err = predicting(*arguments)
    assert (code, err) == (2, f"error: {words}; leave it out\n")

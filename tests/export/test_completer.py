"""Completing with ONNX Runtime: as with the checkpoint, and without torch."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from imcomp import Completer
from imcomp.errors import InputError
from imcomp.export.completer import OnnxCompleter
from imcomp.export.running import export
from imcomp.inference import TorchCompleter

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def picture(width, height, mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def hole_in(image):
    """The middle is missing."""
    width, height = image.size
    mask = Image.new("L", image.size)
    mask.paste(255, (width // 4, height // 4, width - width // 4, height - height // 4))
    return mask


def compare(checkpoint, path, image, **options):
    mask = hole_in(image)
    ours, theirs = Completer(path, **options), Completer(checkpoint, "cpu", **options)
    assert isinstance(ours, OnnxCompleter)
    assert isinstance(theirs, TorchCompleter)
    completed = ours.complete(image, mask)
    difference = np.asarray(completed, int) - np.asarray(theirs.complete(image, mask), int)
    assert np.abs(difference).max() <= 1  # rounding
    known = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(completed)[known], np.asarray(image)[known])
    assert completed != image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(32, 32), (45, 31), (300, 200)])
def test_it_completes_as_the_checkpoint_does(exported, mode, size):
    compare(exported[0], exported[1].path, picture(*size, mode))


def test_a_self_ensemble_does_so_too(exported):
    compare(exported[0], exported[1].path, picture(60, 50), self_ensemble=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("unet", {"in_channels": 3, "mask_channel": True}),  # a reach of its own
        ("fast", {"context": 4}),  # trained on less than its reach
        ("ffc", {}),
    ],
)
def test_every_reach_completes_as_the_checkpoint_does(save_checkpoint, tmp_path, network, options):
    checkpoint = save_checkpoint(network, **options)
    path = export(checkpoint, tmp_path / "a.onnx").path
    compare(checkpoint, path, picture(100, 90))


def test_pictures_are_completed_together(exported):
    path = exported[1].path
    images = [picture(32, 32), picture(60, 20, "L"), picture(32, 32, "L")]
    masks = [hole_in(images[0]), hole_in(images[1]), Image.new("L", (32, 32))]
    completer = Completer(path)
    for together, image, mask in zip(completer.complete_batch(images, masks), images, masks, strict=True):
        assert together == completer.complete(image, mask, strategy="resize")
    assert completer.complete(images[2], masks[2]) == images[2]


def test_it_cuts_the_hole_that_it_was_trained_on(exported):
    checkpoint, path = exported[0], exported[1].path
    image = picture(64, 32)
    assert Completer(path).cut_hole(image) == Completer(checkpoint, "cpu").cut_hole(image)


def test_no_torch_is_imported(exported, tmp_path):
    image = picture(40, 30)
    image.save(tmp_path / "a.png")
    hole_in(image).save(tmp_path / "mask.png")
    script = (
        "import sys; from PIL import Image; from imcomp import Completer; "
        f"completer = Completer({str(exported[1].path)!r}); "
        "completer.complete(Image.open('a.png'), Image.open('mask.png')).save('completed.png'); "
        "print(*sys.modules)"
    )
    run = [sys.executable, "-c", script]
    loaded = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "torchvision", "pytorch_lightning", "hydra"} & set(loaded) == set()
    assert "onnxruntime" in loaded
    with Image.open(tmp_path / "completed.png") as completed:
        expected = Completer(exported[1].path).complete(image, hole_in(image))
        assert np.array_equal(np.asarray(completed), np.asarray(expected))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda"}, "device=cuda is not for .*; give auto or cpu"),
        ({"precision": "bf16"}, "precision=bf16 is not for .*; give auto or 32"),
        ({"backend": "compile"}, "backend=compile is not for .*; give auto or onnx"),
    ],
)
def test_other_ways_to_compute_are_told(exported, options, words):
    with pytest.raises(InputError, match=words):
        Completer(exported[1].path, **options)


def change(path, changed, edit):
    model = onnx.load(path)
    edit(model)
    onnx.save(model, changed)
    return changed


def other_task(model):
    del model.metadata_props[:]


def other_inputs(model):
    for node in model.graph.node:
        node.input[:] = ["picture" if name == "image" else name for name in node.input]
    model.graph.input[0].name = "picture"


def lies(model):
    """It says that it takes pictures of any size."""
    for entry in model.metadata_props:
        if entry.key == "multiple":
            entry.value = "1"


@pytest.mark.parametrize(
    ("edit", "words"),
    [(other_task, "is for another task"), (other_inputs, "does not take image and mask")],
)
def test_a_file_of_another_task_is_told(exported, tmp_path, edit, words):
    with pytest.raises(InputError, match=words) as told:
        Completer(change(exported[1].path, tmp_path / "b.onnx", edit))
    assert "\n" not in str(told.value)


def test_a_file_that_lies_is_told(exported, tmp_path):
    completer = Completer(change(exported[1].path, tmp_path / "b.onnx", lies))
    image = picture(45, 31)
    with pytest.raises(InputError, match=r"cannot complete pictures of .*; export it again") as told:
        completer.complete(image, hole_in(image), strategy="original")
    assert "\n" not in str(told.value)

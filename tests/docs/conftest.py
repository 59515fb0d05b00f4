"""A place to type the documentation's commands in: a few small pictures, a trained network, and nothing else."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]

SMALL = [
    *("trainer=cpu", "trainer.max_epochs=1", "++trainer.limit_train_batches=2", "++trainer.limit_val_batches=1"),
    *("data.size=128", "data.batch_size=4", "data.num_workers=0", "trainer.log_every_n_steps=1"),
]
"""What a training run of the documentation gets besides, so that it takes a second."""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A checkout's files by links, and what the pages call by names of their own."""
    place = tmp_path_factory.mktemp("workspace")
    for name in ("train.py", "predict.py", "scripts", "Makefile", "pyproject.toml"):
        (place / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", place / "docs")  # some commands write there
    scenes = [f"SCENES/{letter}" for letter in "abcdef"]
    photographs = [f"PHOTOGRAPHS/{name}" for name in ("photos-1k", "bsds500/train", "bsds500/val")]
    for folder in ("PICTURES", "PHOTOS", "BSDS500/val", "photos", "HOLED", *photographs, *scenes):
        draw_pictures(place / folder, 12)
    for name in ("photo.png", "photo.jpg"):
        shade(0).save(place / name)
    draw_masks(place / "MASKS", 12)
    draw_masks(place / "masks", 12)
    for name in ("hole.png", "HOLE.png"):
        (place / name).write_bytes((place / "MASKS" / "00.png").read_bytes())
    for name in ("mine", "others", "held-out"):
        draw_pictures(place / "PICTURES" / name, 12)
    signs = place / "data" / "gtsrb" / "GTSRB" / "Training"
    for label in range(2):
        for track in range(5):
            for frame in range(2):
                file = signs / f"{label:05d}" / f"{track:05d}_{frame:05d}.ppm"
                file.parent.mkdir(parents=True, exist_ok=True)
                shade(track * 20 + frame).resize((40, 40)).save(file)
    return place


def shade(level):
    """A picture ``(80, 96)`` that gets lighter from top to bottom."""
    ramp = Image.linear_gradient("L").resize((96, 80)).point(lambda value: (value + level) // 2)
    return Image.merge("RGB", [ramp, ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM)])


def draw_pictures(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        shade(10 * index).save(folder / f"{index:02d}.jpg")


def draw_masks(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        mask = Image.new("L", (96, 80))
        mask.paste(255, (10, 10, 24 + index, 30))
        mask.save(folder / f"{index:02d}.png")

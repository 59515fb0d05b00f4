"""Masks of all kinds: the right result, or one line that says what is wrong."""

import numpy as np
import pytest
from PIL import Image


def changed(tmp_path, name="a.png"):
    with Image.open(tmp_path / "in" / name) as before, Image.open(tmp_path / "completed" / name) as after:
        return np.asarray(before) != np.asarray(after)


@pytest.mark.parametrize(
    ("options", "pixels"),
    [
        ({}, 64),  # 8 x 8
        ({"white": 128}, 64),
        ({"white": 127}, 0),
        ({"white": 1}, 64),  # 0 and 1, as NumPy's masks are
        ({"box": (0, 0, 0, 0)}, 0),
        ({"box": (0, 0, 40, 30)}, 1200),
        ({"box": (39, 29, 40, 30)}, 1),
        ({"box": (0, 0, 40, 1)}, 40),
        ({"mode": "1"}, 64),
        ({"mode": "RGB"}, 64),
        ({"mode": "P"}, 64),
        ({"mode": "RGBA"}, 64),
        ({"mode": "I;16"}, 64),
    ],
    ids=str,
)
def test_masks_that_are_right(command, tmp_path, picture, mask, options, pixels):
    Image.new("L", (40, 30), 200).save(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "in" / "a.png")
    mask("m.png", **options)
    code, out, err = command("input=in", "mask=m.png", "side_by_side=false", "contact_sheet=false")
    assert (code, err) == (0, "")
    assert ("it has no hole and was copied" in out) == (pixels == 0)
    differs = changed(tmp_path)
    hole = np.zeros((30, 40), bool)
    left, top, right, bottom = options.get("box", (10, 10, 18, 18))
    hole[top:bottom, left:right] = pixels > 0
    assert hole.sum() == pixels
    assert not differs[~hole].any()
    assert differs[hole].mean() > 0.9 if pixels else True


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["mask=small.png"],
            1,
            "its mask small.png is 20x15, the picture 40x30; give a mask of its size, or mask.resize",
        ),
        (["mask=clear.png"], 1, "the mask is partly transparent; give one that is white in the hole"),
        (["mask=alpha"], 1, "it has no transparency (mode L), and mask=alpha takes the hole from that"),
        (["mask.box=[25,0,10,10]"], 1, "mask.box=[25, 0, 10, 10] does not lie in the picture, which is 30 high"),
        (["mask.box=[0,0,0,10]"], 2, "mask.box=[0, 0, 0, 10] is no rectangle; give [top,left,height,width]"),
        (["mask.box=[-1,0,5,5]"], 2, "is no rectangle"),
        (["mask.box=[1,2,3]"], 2, "is no rectangle"),
        (["mask.box=5"], 2, "mask.box=5 is a int; expected list"),
        (["mask.color=#nothex"], 2, "mask.color=#nothex is no colour; give one such as '#ff00ff'"),
        (["mask.color=red", "mask.tolerance=300"], 2, "mask.tolerance=300 is none; give levels from 0 to 255"),
        (["mask.color=red", "mask=small.png"], 2, "mask.file and mask.color are two holes for one picture"),
        (["mask=nowhere.png"], 2, "mask=nowhere.png: file does not exist; give a picture that is white"),
        (["mask=brush_mediun"], 2, "did you mean brush_medium?"),
        (["mask=center", "mask.options={size: 999}"], 1, "does not fit a picture 32 pixels"),
        (["mask=center", "mask.options={sise: 9}"], 2, "mask=center: mask 'center': "),
        (["mask=folder"], 2, "mask=folder: "),
        (["strategy=corp"], 2, "strategy=corp is unknown; did you mean crop?"),
        (["format=gif"], 2, "format=gif is unknown; "),
        (["format=webp"], 1, "WEBP cannot hold a picture of mode L; give format=lossless"),
    ],
)
def test_masks_and_options_that_are_wrong(command, picture, mask, arguments, code, words, written):
    picture("in/a.png")
    mask("small.png", size=(20, 15))
    Image.new("LA", (40, 30), (255, 0)).save(picture("clear.png"))
    ended, out, err = command("input=in", *arguments)
    assert ended == code
    assert words in (err if code == 2 else out)
    assert err.count("\n") == (code == 2)
    assert written() == []


def test_a_mask_may_be_brought_to_size_and_inverted(command, tmp_path, mask, picture):
    Image.new("L", (40, 30), 200).save(picture("in/a.png"))
    mask("m.png", size=(20, 15), box=(5, 5, 9, 9))
    assert command("input=in", "mask=m.png", "mask.resize=true")[0] == 0
    assert changed(tmp_path).sum() > 50
    assert not changed(tmp_path)[:10].any()
    assert command("input=in", "mask=m.png", "mask.resize=true", "mask.invert=true")[0] == 0
    assert not changed(tmp_path)[10:18, 10:18].any()
    assert changed(tmp_path).sum() > 1000

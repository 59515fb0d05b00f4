"""Masks matched by name, names of results, and what is done already."""

import numpy as np
import pytest
from PIL import Image

from imcomp.errors import InputError
from imcomp.prediction.holes import Drawn, FromAlpha, FromBox, FromColour, FromFile
from imcomp.prediction.inputs import Inputs, find_inputs
from imcomp.prediction.jobs import list_jobs
from imcomp.prediction.journal import Journal, content_digest, file_facts, key_of


@pytest.fixture
def files(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 2), 255).save(path)
        return tmp_path

    return make


def listed(plan):
    return {job.name: (job.source.as_posix(), job.mask and job.mask.name) for job in plan.jobs}


def test_masks_are_matched_by_name(files):
    root = files(
        *("in/a.jpg", "in/b.png", "in/c.png", "in/deep/a.png", "in/e.png"),
        *("masks/a.png", "masks/b_mask.png", "masks/c_mask001.png", "masks/c_mask002.bmp", "masks/deep/a_mask.png"),
        *("masks/x.png", "masks/b_masks.png"),
    )
    plan = list_jobs(find_inputs(str(root / "in")), FromFile(), root / "masks")
    assert listed(plan) == {
        "a": ("a.jpg", "a.png"),
        "b": ("b.png", "b_mask.png"),
        "c_mask001": ("c.png", "c_mask001.png"),
        "c_mask002": ("c.png", "c_mask002.bmp"),
        "deep/a": ("deep/a.png", "a_mask.png"),
    }
    assert {path.name: why for path, why in plan.unmatched.items()} == {
        "e.png": f"no mask for it in {root / 'masks'}",
        "x.png": "a mask without a picture",
        "b_masks.png": "a mask without a picture",
    }


def test_masks_beside_the_pictures(files):
    root = files("in/a.png", "in/a_mask.png", "in/b.png", "in/b_mask001.png", "in/b_mask002.png", "in/c.png")
    plan = list_jobs(find_inputs(str(root / "in")), FromFile(), root / "in")
    assert listed(plan) == {
        "a": ("a.png", "a_mask.png"),
        "b_mask001": ("b.png", "b_mask001.png"),
        "b_mask002": ("b.png", "b_mask002.png"),
    }
    assert [path.name for path in plan.unmatched] == ["c.png"]


def test_results_beside_the_masks_are_no_masks(files):
    root = files("in/a.png", "in/a_mask.png")
    output = files("in/done/a.png", "in/done/side_by_side/a.png") / "in" / "done"
    plan = list_jobs(find_inputs(str(root / "in"), output), FromFile(), root / "in", output)
    assert listed(plan) == {"a": ("a.png", "a_mask.png")}
    assert plan.unmatched == {}
    with pytest.raises(InputError, match="is the folder of the masks; give another"):
        list_jobs(find_inputs(str(root / "in" / "a.png"), output), FromFile(), root / "in" / "done", output)


def test_pictures_that_differ_in_their_suffix_may_have_masks_of_their_own(files):
    root = files("in/a.bmp", "in/a.jpg", "masks/a.bmp.png", "masks/a.jpg_mask.png")
    plan = list_jobs(find_inputs(str(root / "in")), FromFile(), root / "masks")
    assert listed(plan) == {"a.bmp": ("a.bmp", "a.bmp.png"), "a.jpg": ("a.jpg", "a.jpg_mask.png")}


def test_results_of_one_name_are_refused(files):
    root = files(
        "in/a.png", "in/a_mask001.png", "masks/a_mask001.png", "masks/a_mask002.png", "masks/a_mask001_mask.png"
    )
    with pytest.raises(InputError, match="two results would be called a_mask001; rename"):
        list_jobs(find_inputs(str(root / "in")), FromFile(), root / "masks")


def test_several_inputs(files):
    root = files("one/a.png", "two/b.png", "two/deep/c.png")
    found = find_inputs([str(root / "one"), str(root / "two" / "**" / "*.png"), str(root / "one" / "a.png")])
    assert [name.as_posix() for name in found.relative] == ["a.png", "b.png", "deep/c.png"]
    with pytest.raises(InputError, match=r"two inputs are called a\.png; give one folder above both"):
        list_jobs(find_inputs([str(root / "one"), str(files("three/a.png") / "three")]))
    with pytest.raises(InputError, match=r"input=\[\] names nothing"):
        find_inputs([])


class Cutter:
    size = 32

    def cut_hole(self, image, seed=0):
        return Image.new("L", image.size, 255)


def holes_of(kind, image):
    return np.asarray(kind.cut(image, None, 3, Cutter())) > 0


def test_alpha_is_the_hole():
    image = Image.new("RGBA", (3, 1), (9, 9, 9, 255))
    image.putpixel((0, 0), (9, 9, 9, 0))
    image.putpixel((1, 0), (9, 9, 9, 254))
    assert holes_of(FromAlpha(), image).tolist() == [[True, True, False]]
    palette = Image.new("P", (2, 1), 1)
    palette.info["transparency"] = 0
    palette.putpixel((0, 0), 0)
    assert holes_of(FromAlpha(), palette).tolist() == [[True, False]]


@pytest.mark.parametrize(("tolerance", "hole"), [(0, [True, False, False]), (5, [True, True, False])])
@pytest.mark.parametrize("colour", ["#ff00ff", "magenta", "rgb(255,0,255)"])
def test_a_colour_is_the_hole(colour, tolerance, hole):
    image = Image.new("RGB", (3, 1), (255, 0, 255))
    image.putpixel((1, 0), (250, 5, 255))
    image.putpixel((2, 0), (249, 0, 255))
    assert holes_of(FromColour(colour, tolerance), image).tolist() == [hole]


def test_a_box_is_the_hole():
    hole = holes_of(FromBox([1, 2, 3, 4]), Image.new("L", (10, 8)))
    assert np.argwhere(hole).min(0).tolist() == [1, 2]
    assert np.argwhere(hole).max(0).tolist() == [3, 5]
    assert hole.sum() == 12


def test_a_drawn_hole_is_scaled_to_the_picture():
    hole = holes_of(Drawn({"name": "center", "size": 8}), Image.new("L", (64, 32)))
    assert hole.sum() == 16 * 8
    same = [holes_of(Drawn({"name": "brush"}), Image.new("L", (64, 32))) for _ in range(2)]
    assert np.array_equal(*same)
    assert holes_of(Drawn(), Image.new("L", (4, 4))).all()


def test_a_journal_tells_what_is_done(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    Journal(tmp_path).add("a", "key", {"output": "a.png", "width": 4})
    assert Journal(tmp_path).find("a", "key") == {"output": "a.png", "width": 4}
    assert Journal(tmp_path).find("a", "other key") is None
    assert Journal(tmp_path).find("b", "key") is None
    (tmp_path / "a.png").write_bytes(b"1234")
    assert Journal(tmp_path).find("a", "key") is None
    (tmp_path / "a.png").unlink()
    assert Journal(tmp_path).find("a", "key") is None


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    journal = Journal(tmp_path)
    journal.add("a", "key", {"output": "a.png"})
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"job": "b", "ke')
    journal.add("c", "key", {"output": "a.png"})
    assert set(Journal(tmp_path).lines) == {"a", "c"}


def test_what_a_result_depends_on(tmp_path):
    one = tmp_path / "a"
    one.write_text("a")
    before = file_facts(one), content_digest(one)
    one.write_text("ab")
    assert file_facts(one) != before[0]
    assert content_digest(one) != before[1]
    assert file_facts(None) is None
    assert key_of(1, "a") != key_of(1, "b") != key_of("1", "b")
    assert content_digest(tmp_path / "gtsrb-fast") == str(tmp_path / "gtsrb-fast")


def test_a_job_of_another_picture_has_another_key(files):
    root = files("in/a.png", "in/b.png")
    plan = list_jobs(Inputs(root / "in", [root / "in" / "a.png", root / "in" / "b.png"]))
    first, second = plan.jobs
    assert plan.key(first, [1]) != plan.key(second, [1])
    assert plan.key(first, [1]) != plan.key(first, [2])


@pytest.mark.parametrize(("holes", "same"), [(Drawn(), False), (FromBox([0, 0, 1, 1]), True), (FromAlpha(), True)])
def test_the_place_among_the_inputs_counts_for_drawn_holes_alone(files, holes, same):
    root = files("in/a.png", "in/b.png") / "in"
    before, after = (list_jobs(Inputs(root, paths), holes) for paths in ([root / "b.png"], [*sorted(root.iterdir())]))
    assert (before.key(before.jobs[0], []) == after.key(after.jobs[1], [])) is same

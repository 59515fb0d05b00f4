"""Files in, files out."""

import csv
import logging
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.errors import InputError
from imcomp.prediction.holes import FromFile
from imcomp.prediction.inputs import Inputs, find_inputs, output_names
from imcomp.prediction.jobs import list_jobs
from imcomp.prediction.running import predict
from imcomp.prediction.sheets import Prediction, draw_sheet


class Painter:
    """Fills holes with one shade; cuts the left half."""

    def __init__(self, shade=0):
        self.shade = shade
        self.batches = []
        self.seeds = []

    def cut_hole(self, image, seed=0):
        self.seeds.append(seed)
        mask = Image.new("L", image.size)
        mask.paste(255, (0, 0, image.width // 2, image.height))
        return mask

    def complete_batch(self, images, masks, *, strategy):
        self.batches.append(len(images))
        fills = (Image.new("RGB", image.size, (self.shade,) * 3).convert(image.mode) for image in images)
        return [Image.composite(*both) for both in zip(fills, images, masks, strict=True)]


def save(path, shade=100, size=(4, 2), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade,) * 3).convert(mode).save(path)
    return path


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def table(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for name in ("b.png", "a.jpg", "deep/c.bmp", "deep/er/d.png"):
        save(root / name)
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("photos", ["a.jpg", "b.png", "deep/c.bmp", "deep/er/d.png"]),
        ("photos/", ["a.jpg", "b.png", "deep/c.bmp", "deep/er/d.png"]),
        ("photos/b.png", ["b.png"]),
        ("photos/*.png", ["b.png"]),
        ("photos/**/*.png", ["b.png", "deep/er/d.png"]),
        ("photos/deep/*/?.png", ["er/d.png"]),
        ("photos/[ab].*", ["a.jpg", "b.png"]),
        ("./photos/*.png", ["b.png"]),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_inputs(photos, monkeypatch, pattern, names, absolute):
    monkeypatch.chdir(photos.parent)
    found = find_inputs(f"{photos.parent}/{pattern}" if absolute else pattern)
    assert [path.relative_to(found.root).as_posix() for path in found.paths] == names


def test_a_glob_leaves_hidden_files_out(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    save(photos / "._b.png")
    save(photos / ".old" / "b.png")
    assert find_inputs("photos/*.png").paths == [Path("photos/b.png")]
    assert find_inputs("photos/**/b.png").paths == [Path("photos/b.png")]
    assert find_inputs("photos/._*.png").paths == [Path("photos/._b.png")]


@pytest.mark.parametrize("pattern", ["photos/*.png,photos/deep", "photos/b.png,photos/deep/*.bmp,photos/deep/er/*"])
def test_globs_with_commas_between_them(photos, monkeypatch, pattern):
    monkeypatch.chdir(photos.parent)
    assert sorted(path.name for path in find_inputs(pattern).paths) == ["b.png", "c.bmp", "d.png"]
    save(Path("a,b") / "e.png")
    assert find_inputs("a,b/*.png").paths == [Path("a,b/e.png")]


@pytest.mark.parametrize("name", ["a b", "a [1]", "[ab]", "it's", "100%", "α"])
def test_inputs_of_odd_names(tmp_path, name):
    file = save(tmp_path / name / f"{name}.png")
    assert find_inputs(str(file)).paths == [file]
    assert find_inputs(str(file.parent)).paths == [file]
    assert find_inputs(f"{file.parent}/*.png") == Inputs(file.parent, [file])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nowhere", "input=nowhere: no such file or folder"),
        ("nowhere/a.png", "input=nowhere/a.png: no such file or folder"),
        ("empty", "input=empty: no picture there"),
        ("*.gif", r"input=\*.gif: no picture there"),
        ("nowhere/**/*.png", "no picture there"),
    ],
)
def test_no_inputs(tmp_path, monkeypatch, pattern, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=words):
        find_inputs(pattern)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b/a.jpg"], ["a.png", "b/a.png"]),
        (["a.bmp", "a.jpg", "b.jpg"], ["a.bmp.png", "a.jpg.png", "b.png"]),
        (["a.png"], ["a.png"]),
        (["a"], ["a.png"]),
        (["a.tar.gif"], ["a.tar.png"]),
        (["a.bmp", "a.jpg", "a.jpg.bmp"], ["a.bmp.png", "a.jpg.png", "a.jpg.bmp.png"]),
    ],
)
def test_outputs_are_named_after_inputs_and_never_the_same(tmp_path, names, expected):
    outputs = [path.as_posix() for path in output_names(Inputs(tmp_path, [tmp_path / name for name in names]))]
    assert outputs == expected
    assert len(set(outputs)) == len(names)


def test_names_and_folders_are_kept(photos, tmp_path):
    output = tmp_path / "completed"
    assert predict(Painter(), find_inputs(str(photos)), output).left_out == {}
    names = ["a.png", "b.png", "deep/c.png", "deep/er/d.png"]
    assert tree(output) == sorted([*names, *(f"side_by_side/{name}" for name in names), "predictions.csv"])
    for name in names:
        with Image.open(output / name) as image:
            assert (image.format, image.size, image.mode) == ("PNG", (4, 2), "L")


def test_the_table_says_how_good_it_is(tmp_path):
    save(tmp_path / "in" / "far.png", shade=255)  # completed with 0: wrong by 1 everywhere in the hole
    save(tmp_path / "in" / "near.png", shade=51, mode="RGB")  # wrong by 0.2
    save(tmp_path / "in" / "right.png", shade=0)
    predict(Painter(shade=0), find_inputs(str(tmp_path / "in")), tmp_path / "out")
    columns = {"mask": "", "width": "4", "height": "2", "hole_pixels": "4"}
    assert table(tmp_path / "out") == [
        {"file": "far.png", "output": "far.png", **columns, "mse": "1", "accuracy": "0", "psnr": "0.00"},
        {
            "file": "near.png",
            "output": "near.png",
            **columns,
            "mse": "0.04",
            "accuracy": "0",
            "psnr": f"{10 * math.log10(25):.2f}",
        },
        {"file": "right.png", "output": "right.png", **columns, "mse": "0", "accuracy": "1", "psnr": "100.00"},
    ]


def test_accuracy_is_an_error_of_at_most_five_thousandths(tmp_path):
    for shade in (18, 19):  # (18 / 255)^2 = 0.00498, (19 / 255)^2 = 0.00555
        save(tmp_path / "in" / f"{shade}.png", shade=shade)
    predict(Painter(), find_inputs(str(tmp_path / "in")), tmp_path / "out")
    assert [row["accuracy"] for row in table(tmp_path / "out")] == ["1", "0"]


def test_with_a_mask_of_ones_own_the_truth_is_unknown(tmp_path):
    save(tmp_path / "in" / "a.png", shade=200)
    mask = Image.new("L", (4, 2))
    mask.putpixel((3, 1), 255)
    mask.save(tmp_path / "mask.png")
    inputs = find_inputs(str(tmp_path / "in"))
    plan = list_jobs(inputs, FromFile(), tmp_path / "mask.png")
    predict(Painter(shade=7), inputs, tmp_path / "out", plan=plan)
    (row,) = table(tmp_path / "out")
    assert row == {
        "file": "a.png",
        "output": "a.png",
        "mask": str(tmp_path / "mask.png"),
        "width": "4",
        "height": "2",
        "hole_pixels": "1",
        "mse": "",
        "accuracy": "",
        "psnr": "",
    }
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert np.asarray(image).tolist() == [[200] * 4, [200, 200, 200, 7]]
    with Image.open(tmp_path / "out" / "side_by_side" / "a.png") as image:
        assert image.width == 2 * 4 + 4  # masked and completed


def test_an_empty_mask_changes_nothing(tmp_path):
    file = save(tmp_path / "in" / "a.png", shade=200)
    inputs, mask = find_inputs(str(file)), save(tmp_path / "mask.png", shade=0)
    report = predict(Painter(), inputs, tmp_path / "out", plan=list_jobs(inputs, FromFile(), mask))
    assert report.notes == {file: "it has no hole and was copied"}
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert set(np.asarray(image).flat) == {200}


def test_a_mask_of_another_size_names_the_picture(tmp_path):
    file, mask = save(tmp_path / "a.png"), save(tmp_path / "mask.png", shade=255, size=(5, 5))
    inputs = find_inputs(str(file))
    report = predict(Painter(), inputs, tmp_path / "out", plan=list_jobs(inputs, FromFile(), mask))
    words = "is 5x5, the picture 4x2; give a mask of its size, or mask.resize=true"
    assert report.left_out == {file: f"its mask {mask} {words}"}
    report = predict(Painter(), inputs, tmp_path / "out", plan=list_jobs(inputs, FromFile(resize=True), mask))
    assert report.completed == 1
    assert table(tmp_path / "out")[0]["hole_pixels"] == "8"


def test_panels_from_left_to_right(tmp_path):
    image, completed = Image.new("L", (2, 1), 9), Image.new("L", (2, 1), 5)
    mask = Image.fromarray(np.array([[255, 0]], np.uint8))
    sheet = draw_sheet(Prediction(tmp_path, image, mask, completed, mse=0.0))
    assert np.asarray(sheet).tolist() == [[0, 9, *[255] * 4, 5, 5, *[255] * 4, 9, 9]]


@pytest.mark.parametrize("batch_size", [1, 2, 99])
def test_unreadable_files_are_named_and_the_rest_goes_on(photos, tmp_path, batch_size):
    (photos / "aa.png").write_bytes(b"no picture")
    (photos / "deep" / "empty.jpg").touch()
    painter = Painter()
    unreadable = predict(painter, find_inputs(str(photos)), tmp_path / "out", batch_size=batch_size).left_out
    assert [*unreadable] == [photos / "aa.png", photos / "deep" / "empty.jpg"]
    assert unreadable[photos / "deep" / "empty.jpg"] == "file is empty"
    assert [row["file"] for row in table(tmp_path / "out")] == ["a.jpg", "b.png", "deep/c.bmp", "deep/er/d.png"]
    assert sum(painter.batches) == 4
    assert max(painter.batches) <= batch_size


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
@pytest.mark.parametrize(
    ("name", "form", "words"),
    [
        (os.fsdecode(b"no-\xff-text.png"), "tiff", "it cannot be written as TIFF"),
        ("a" * 251 + ".png", "webp", "its name is too long for what is written; rename it"),  # .webp is longer
    ],
)
def test_a_picture_that_cannot_be_written_is_named_and_the_rest_goes_on(tmp_path, name, form, words):
    save(tmp_path / "in" / "b.png", mode="RGB")
    save(tmp_path / "in" / "a.png", mode="RGB").rename(tmp_path / "in" / name)
    report = predict(Painter(), find_inputs(str(tmp_path / "in")), tmp_path / "out", form=form, identity="painter")
    assert report.completed == 1
    ((path, reason),) = report.left_out.items()
    assert (path.name, words in reason) == (name, True)
    assert [row["file"] for row in table(tmp_path / "out")] == ["b.png"]


def test_each_mask_that_does_not_fit_is_named(tmp_path):
    file = save(tmp_path / "in" / "a.png")
    for number in (1, 2, 3):
        save(tmp_path / "masks" / f"a_mask{number}.png", shade=255, size=(5, 5))
    inputs = find_inputs(str(file))
    plan = list_jobs(inputs, FromFile(), tmp_path / "masks")
    reason = predict(Painter(), inputs, tmp_path / "out", plan=plan).left_out[file]
    assert [f"a_mask{number}.png is 5x5" in reason for number in (1, 2, 3)] == [True] * 3


@pytest.mark.parametrize("name", ["a.png", "side_by_side/a.png", "index.html", "predictions.csv"])
def test_files_that_no_run_has_left_are_not_written_over(tmp_path, name):
    inputs, output = find_inputs(str(save(tmp_path / "in" / "a.png"))), tmp_path / "out"
    options = {"identity": "painter", "contact_sheet": True}
    (output / name).parent.mkdir(parents=True)
    (output / name).write_bytes(b"precious")
    (output / "b.png").write_bytes(b"in nobody's way")
    with pytest.raises(InputError, match=rf"{name} is not of an earlier run; give another folder, or overwrite=true"):
        predict(Painter(), inputs, output, **options)
    assert tree(output) == sorted([name, "b.png"])
    assert (output / name).read_bytes() == b"precious"
    assert predict(Painter(), inputs, output, overwrite=True, **options).completed == 1
    assert (output / name).read_bytes() != b"precious"
    assert predict(Painter(), inputs, output, **options).skipped == 1


def test_what_a_run_left_that_was_killed_early_is_written_over(tmp_path):
    class Killed(Painter):
        def complete_batch(self, images, masks, *, strategy):
            raise KeyboardInterrupt

    inputs, output = find_inputs(str(save(tmp_path / "in" / "a.png"))), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(Killed(), inputs, output, identity="painter")
    save(output / "a.png")  # written, and not noted yet
    assert predict(Painter(), inputs, output, identity="painter").completed == 1


def test_where_nothing_can_be_read_the_table_is_empty(tmp_path):
    (tmp_path / "a.png").touch()
    report = predict(Painter(), find_inputs(str(tmp_path)), tmp_path / "out")
    assert report.left_out == {tmp_path / "a.png": "file is empty"}
    assert table(tmp_path / "out") == []


def test_holes_depend_on_the_seed_and_the_place_alone(photos, tmp_path):
    def seeds(seed, batch_size):
        painter = Painter()
        predict(painter, find_inputs(str(photos)), tmp_path / "out", seed=seed, batch_size=batch_size)
        return painter.seeds

    assert sorted(seeds(0, 1)) == sorted(seeds(0, 3))
    assert len({*seeds(0, 1), *seeds(1, 1)}) == 8


def test_without_sheets(photos, tmp_path):
    save(photos / "side_by_side" / "b.png")
    predict(Painter(), find_inputs(str(photos)), tmp_path / "out", side_by_side=False)
    names = ["a.png", "b.png", "deep/c.png", "deep/er/d.png", "side_by_side/b.png"]
    assert tree(tmp_path / "out") == sorted([*names, "predictions.csv"])


class Waiting(Painter):
    """Completes no batch before another has begun."""

    def __init__(self, parties):
        super().__init__()
        self.meeting = threading.Barrier(parties)

    def complete_batch(self, images, masks, *, strategy):
        self.meeting.wait(timeout=30)
        return super().complete_batch(images, masks, strategy=strategy)


def test_batches_share_the_processors(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    predict(Waiting(2), find_inputs(str(photos)), tmp_path / "out", batch_size=2)
    assert given == [2, 2, 4]  # each thread's share, and what the caller had
    assert [row["file"] for row in table(tmp_path / "out")] == ["a.jpg", "b.png", "deep/c.bmp", "deep/er/d.png"]


def test_stopped_halfway_all_files_are_whole(photos, tmp_path):
    for number in range(8):
        save(photos / f"{number}.png")

    class Stopped(Painter):
        def complete_batch(self, images, masks, *, strategy):
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().complete_batch(images, masks, strategy=strategy)

    with pytest.raises(KeyboardInterrupt):
        predict(Stopped(), find_inputs(str(photos)), tmp_path / "out", batch_size=1)
    written = tree(tmp_path / "out")
    assert 1 <= len([name for name in written if "/" not in name]) < 12
    for name in written:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()


def test_running_again_gives_the_same_bytes(photos, tmp_path):
    def contents():
        predict(Painter(50), find_inputs(str(photos)), tmp_path / "out")
        return {name: (tmp_path / "out" / name).read_bytes() for name in tree(tmp_path / "out")}

    assert contents() == contents()


def test_inputs_are_never_written_over(photos):
    before = {name: (photos / name).read_bytes() for name in tree(photos)}
    with pytest.raises(InputError, match="would overwrite the inputs; give another folder"):
        predict(Painter(), find_inputs(str(photos / "b.png")), photos)
    save(photos / "side_by_side" / "x.png")
    with pytest.raises(InputError, match="would overwrite the inputs; give another folder"):
        predict(Painter(), find_inputs(str(photos / "side_by_side")), photos)
    (photos / "side_by_side" / "x.png").unlink()
    assert {name: (photos / name).read_bytes() for name in tree(photos)} == before


def test_the_inputs_folder_is_no_output(photos):
    with pytest.raises(InputError, match="is the folder of the inputs; give another"):
        find_inputs(str(photos), photos.parent / "photos" / "deep" / "..")


@pytest.mark.parametrize("pattern", ["", "/**/*.png"])
def test_an_output_inside_the_inputs_is_not_taken_for_input(photos, pattern):
    output = photos / "completed"
    for _ in range(2):
        inputs = find_inputs(f"{photos}{pattern}", output)
        predict(Painter(), inputs, output)
    assert "completed/completed" not in "".join(tree(photos))
    assert len(table(output)) == (2 if pattern else 4)


def test_an_output_around_the_inputs_is_allowed(photos, tmp_path):
    inputs = find_inputs(str(photos / "deep"), photos)
    predict(Painter(), inputs, photos)
    assert {"c.png", "er/d.png"} <= {*tree(photos)}


def test_two_pictures_never_share_a_file(photos, tmp_path):
    save(photos / "side_by_side" / "b.png")
    with pytest.raises(InputError, match="two pictures would be written to"):
        predict(Painter(), find_inputs(str(photos)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_told(photos, tmp_path, batch_size):
    with pytest.raises(InputError, match=r"batch_size=.* is too small; give at least 1"):
        predict(Painter(), find_inputs(str(photos)), tmp_path / "out", batch_size=batch_size)


@pytest.mark.parametrize("seed", [-1, 99999999999999999999])
def test_a_seed_out_of_range_is_told(photos, tmp_path, seed):
    with pytest.raises(InputError, match=f"seed={seed} is out of range; give one from 0 to 4294967295"):
        predict(Painter(), find_inputs(str(photos)), tmp_path / "out", seed=seed)


def test_no_warning_is_logged(photos, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        predict(Painter(), find_inputs(str(photos)), tmp_path / "out")
    assert caplog.messages == []

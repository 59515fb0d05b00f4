import json
import logging
import os
import subprocess
import sys
from urllib.error import URLError

import pytest
import torchvision
from PIL import Image

from imcomp.data import folders
from imcomp.data.folders import FolderSource, GTSRBSource
from imcomp.data.sources import build_source, left_out
from imcomp.errors import InputError


def names(source):
    return [source.name(index) for index in range(len(source))]


def groups(source):
    return [source.group(index) for index in range(len(source))]


def save(file, size=(4, 3), colour="red"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


def spoil(file):
    """Put a file there that no decoder takes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"no picture")


def test_folder_lists_pictures_of_all_levels_in_order(tmp_path):
    for name in ("b.png", "a/z.jpg", "a/b/c.PNG", "c.bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")

    source = FolderSource(tmp_path)

    assert names(source) == ["a/b/c.PNG", "a/z.jpg", "b.png", "c.bmp"]
    assert groups(source) == names(source)
    assert source.bad == []


def test_folder_reads_the_picture_it_names(picture_folder):
    source = FolderSource(str(picture_folder))

    assert len(source) == 20
    assert source.name(7) == "track1/frame2.png"
    assert source.read(7).size == (12, 10)
    assert source.read(7).getpixel((0, 0)) == (70, 70, 70)


@pytest.mark.parametrize(
    ("regex", "group"),
    [
        pytest.param(r"^track\d+", "track1", id="the whole match"),
        pytest.param(r"^track(\d+)", "1", id="one group"),
        pytest.param(r"(\d)/frame(\d)", "1/2", id="two groups"),
        pytest.param(r"^(nothing)?track(\d+)", "/1", id="a group that took no part"),
        pytest.param(r"^(nothing)?track\d(else)?", "track1", id="no group that took part"),
    ],
)
def test_group_regex_names_groups(picture_folder, regex, group):
    assert FolderSource(picture_folder, group_regex=regex).group(7) == group


def test_group_regex_must_match_every_path(picture_folder):
    with pytest.raises(InputError, match=r"'track\[01\]' does not match 10 of 20 paths, such as 'track2/frame0"):
        FolderSource(picture_folder, group_regex="track[01]")


def test_group_regex_must_be_one(picture_folder):
    with pytest.raises(InputError, match=r"data\.group_regex '\(' is not a regular expression"):
        FolderSource(picture_folder, group_regex="(")


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_files_are_left_out_and_listed(picture_folder, caplog, workers):
    spoil(picture_folder / "track1" / "broken.png")

    with caplog.at_level(logging.WARNING, logger="imcomp"):
        source = FolderSource(picture_folder, workers=workers)

    assert len(source) == 20
    assert "track1/broken.png" not in names(source)
    assert [bad.path for bad in source.bad] == [picture_folder / "track1" / "broken.png"]
    assert left_out(source) == source.bad
    (record,) = caplog.records
    assert "1 of 21 picture files" in record.message
    assert "track1/broken.png" in record.message
    assert record.message.endswith("left out")


def test_too_large_pictures_are_left_out(tmp_path):
    save(tmp_path / "large.png", (20, 20))
    save(tmp_path / "small.png", (10, 10))

    source = FolderSource(tmp_path, max_pixels=100, max_bad_fraction=0.5)

    assert names(source) == ["small.png"]
    assert "20 x 20" in source.bad[0].reason


@pytest.mark.parametrize(("bad", "good", "limit"), [(1, 19, 0.05), (29, 71, 0.29), (7, 93, 0.07)])
def test_as_many_unreadable_files_as_allowed_are_forgiven(tmp_path, bad, good, limit):
    for index in range(good):
        save(tmp_path / f"{index}.png")
    for index in range(bad):
        spoil(tmp_path / f"bad{index}.png")

    assert len(FolderSource(tmp_path, max_bad_fraction=limit).bad) == bad
    with pytest.raises(InputError, match=rf"{bad} of {bad + good} .*more than data\.max_bad_fraction=0\.01;"):
        FolderSource(tmp_path, max_bad_fraction=0.01)


def test_three_unreadable_files_are_named_of_many(picture_folder):
    for index in range(5):
        spoil(picture_folder / f"bad{index}.png")

    with pytest.raises(InputError) as error:
        FolderSource(picture_folder)

    message = str(error.value)
    assert message.startswith("5 of 25 picture files")
    assert [f"bad{index}.png" in message for index in range(5)] == [True, True, True, False, False]
    assert "; ...)" in message
    assert "\n" not in message


def test_nothing_but_unreadable_files_is_an_error(tmp_path):
    spoil(tmp_path / "a.png")

    with pytest.raises(InputError, match=r"1 of 1 picture files.*a\.png.*no picture is left.*data\.root"):
        FolderSource(tmp_path, max_bad_fraction=1.0)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")

    with pytest.raises(InputError, match=r"no picture file anywhere in .*data\.root"):
        FolderSource(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_no_folder_is_an_error(tmp_path, name):
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match=rf"{name}.*data\.root=PATH"):
        FolderSource(tmp_path / name)


def test_gtsrb_groups_are_tracks_within_classes(miniature_gtsrb):
    source = GTSRBSource(miniature_gtsrb, download=False)

    assert len(source) == 8
    assert source.name(0) == "00000/00000_00000.ppm"
    assert groups(source) == [
        *("00000/00000", "00000/00000", "00000/00001", "00000/00001"),
        *("00007/00000", "00007/00000", "00007/00001", "00007/00001"),
    ]


def test_gtsrb_test_pictures_have_no_tracks(miniature_gtsrb):
    source = GTSRBSource(miniature_gtsrb, part="test", download=False)

    assert names(source) == groups(source) == ["00000.ppm"]


def test_gtsrb_that_is_there_is_not_fetched(miniature_gtsrb, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "GTSRB", lambda *_, **__: pytest.fail("fetched"))

    assert len(GTSRBSource(miniature_gtsrb, download=True)) == 8


def test_gtsrb_of_real_pictures(gtsrb_root):
    source = GTSRBSource(gtsrb_root, download=False)

    assert len(source) == 40
    assert len(set(groups(source))) == 4
    assert source.bad == []
    assert all(25 <= side <= 250 for index in range(40) for side in source.read(index).size)


def test_gtsrb_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"no GTSRB in .*Training; give data\.root=PATH, or data\.download=true"):
        GTSRBSource(tmp_path, download=False)


@pytest.mark.parametrize(
    "failure",
    [
        URLError("Name or service not known"),
        TimeoutError("timed out"),
        PermissionError(13, "Permission denied"),
        RuntimeError("File not found or corrupted."),
    ],
)
def test_a_failed_download_is_one_line(tmp_path, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(torchvision.datasets, "GTSRB", fail)

    with pytest.raises(InputError, match=r"cannot be downloaded.*data\.root=PATH.*data=synthetic") as error:
        build_source("gtsrb", {"root": tmp_path})

    assert str(failure) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_download_is_read_where_torchvision_puts_it(tmp_path, monkeypatch):
    def fetch(root, *, split, download):
        assert (split, download) == ("train", True)
        save(root / "gtsrb" / "GTSRB" / "Training" / "00000" / "00000_00000.ppm")

    monkeypatch.setattr(torchvision.datasets, "GTSRB", fetch)

    assert names(GTSRBSource(tmp_path)) == ["00000/00000_00000.ppm"]


def test_half_a_download_is_not_taken_for_all_of_it(tmp_path, monkeypatch):
    def fetch(root, *, split, download):
        save(root / "gtsrb" / "GTSRB" / "Training" / "00000" / "00000_00000.ppm")
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.datasets, "GTSRB", fetch)
    with pytest.raises(KeyboardInterrupt):
        GTSRBSource(tmp_path)

    with pytest.raises(InputError, match="no GTSRB in"):
        GTSRBSource(tmp_path, download=False)
    assert not [*tmp_path.glob(".gtsrb-*")]


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_names_that_are_no_text_are_told_in_one_line(picture_folder, caplog):
    (picture_folder / os.fsdecode(b"b\xff\n.png")).write_bytes(b"")

    FolderSource(picture_folder)

    assert r"(b\udcff\n.png: file is empty)" in caplog.text


def test_an_unknown_part_lists_the_choices(tmp_path):
    with pytest.raises(InputError, match="unknown part 'val' of GTSRB; choose from train, test"):
        GTSRBSource(tmp_path, part="val")


@pytest.fixture
def checked(monkeypatch):
    """The names of the files that were decoded to see whether they can be read."""
    seen = []
    check = folders.check_pictures
    monkeypatch.setattr(
        folders, "check_pictures", lambda root, names, **kwargs: seen.extend(names) or check(root, names, **kwargs)
    )
    return seen


def test_files_are_checked_once(picture_folder, tmp_path, checked):
    options = {"root": picture_folder}
    assert len(build_source("folder", options, tmp_path / "cache")) == 20
    assert len(checked) == 20

    assert len(build_source("folder", options, tmp_path / "cache")) == 20
    assert len(checked) == 20

    build_source("folder", options)
    assert len(checked) == 40


def test_unreadable_files_are_tried_again(picture_folder, tmp_path, checked):
    (picture_folder / "bad.png").write_bytes(b"no picture")
    first = FolderSource(picture_folder, cache_dir=tmp_path / "cache")
    checked.clear()

    second = FolderSource(picture_folder, cache_dir=tmp_path / "cache")

    assert checked == ["bad.png"]
    assert second.bad == first.bad
    assert names(second) == names(first)
    assert second.fingerprint() == first.fingerprint()


def touch(file):
    os.utime(file, ns=(1, 1))


def darken(file):
    """Another picture, of the same size and times where a program can set them."""
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [touch, darken, lambda file: save(file.with_name("new.png")), lambda f: f.unlink()])
def test_any_change_of_a_file_changes_the_fingerprint_and_is_checked(picture_folder, tmp_path, checked, change):
    before = FolderSource(picture_folder, cache_dir=tmp_path / "cache")
    assert FolderSource(picture_folder).fingerprint() == before.fingerprint()
    checked.clear()

    change(picture_folder / "track0" / "frame1.png")
    after = FolderSource(picture_folder, cache_dir=tmp_path / "cache", max_bad_fraction=0.5)

    assert after.fingerprint() != before.fingerprint()
    assert len(checked) in (19, 20, 21)


@pytest.mark.parametrize("content", ["", "{", "3", '["a"]', "[99]", "null"])
def test_a_damaged_memory_is_no_memory(picture_folder, tmp_path, checked, content):
    FolderSource(picture_folder, cache_dir=tmp_path)
    (memory,) = (tmp_path / "checks").iterdir()
    memory.write_text(content)
    checked.clear()

    assert len(FolderSource(picture_folder, cache_dir=tmp_path)) == 20
    assert len(checked) == 20
    assert json.loads(memory.read_text()) == []


def test_where_nothing_can_be_remembered_files_are_checked_each_time(picture_folder, tmp_path, checked, caplog):
    (tmp_path / "cache").touch()  # a file, not a folder

    with caplog.at_level(logging.WARNING, logger="imcomp"):
        assert len(FolderSource(picture_folder, cache_dir=tmp_path / "cache")) == 20

    assert "checked again at the next start" in caplog.text


def test_what_a_killed_process_had_begun_to_remember_is_removed(picture_folder, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / "checks" / f".imcomp-{ended.pid}.0123.json"
    left.parent.mkdir()
    left.touch()

    FolderSource(picture_folder, cache_dir=tmp_path)

    assert not left.exists()

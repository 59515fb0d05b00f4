import errno
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from imcomp.data.folders import FolderSource
from imcomp.data.shards.checking import find_faults
from imcomp.data.shards.manifest import NAME
from imcomp.data.shards.packing import pack
from imcomp.data.shards.reading import ShardSource
from imcomp.data.shards.store import ShardStore
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError


def tree(folder):
    """Every file and its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Failing(FolderSource):
    """Its pictures cannot be read any more after so many."""

    left = 0

    def encoded(self, index):
        self.left -= 1
        if self.left < 0:
            raise FileNotFoundError(2, "No such file or directory")
        return super().encoded(index)


def test_every_picture_is_in_its_part_with_number_name_and_group(packing, packed):
    source, wanted = ShardSource(str(packed)), packing()

    assert len(source) == 60
    for part, indices in source.split.items():
        assert [source.item(index).number for index in indices] == list(getattr(wanted.split, part))
    for index in range(60):
        number = source.item(index).number
        assert source.name(index) == wanted.source.name(number)
        assert source.group(index) == wanted.source.group(number) == f"track{number // 10}"
        assert source.read(index).getextrema() == (4 * number, 4 * number)
        assert source.item(index).picture == (wanted.source.root / source.name(index)).read_bytes()


def test_shards_are_alike(packed):
    sizes = [shard.pictures for shard in ShardSource(str(packed)).manifest.parts["train"]]

    assert sum(sizes) == 45
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) >= 8


@pytest.mark.parametrize("form", ["encoded", "resized"])
def test_the_same_pictures_give_the_same_bytes(packing, tmp_path, form):
    for workers in (1, 2):
        pack(packing(form=form), tmp_path / str(workers), workers)

    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert one == two
    assert {Path(name).suffix for name in one} == {".bin", ".json"}


def test_resized_pictures_are_pixels(packing, tmp_path):
    pack(packing(form="resized"), tmp_path / "shards", workers=1)

    source = ShardSource(str(tmp_path / "shards"))

    pixels = source.pixels(source.item(0))
    assert pixels.shape == (1, 8, 8)
    assert source.read(1).size == (8, 8)
    assert source.read(1).getextrema() == (28, 28)  # picture 7
    with pytest.raises(InputError, match=r"resized to data.channels=1 data.size=8 data.fit=stretch"):
        source.check(channels=1, size=16, fit="stretch")


def test_sources_without_files_are_packed_as_png(packing, tmp_path):
    drawn = SyntheticSource(60)
    pack(packing(drawn), tmp_path / "shards", workers=1)

    source = ShardSource(str(tmp_path / "shards"))

    assert source.item(1).picture.startswith(b"\x89PNG")
    assert source.read(1).tobytes() == drawn.read(7).tobytes()
    assert source.group(1) == drawn.group(7)


def test_litdata_reads_each_part(packed):
    from litdata import StreamingDataset

    dataset = StreamingDataset(str(packed / "train"))

    assert len(dataset) == 45
    number, picture, name = dataset[1]
    assert (number, name) == (7, b"track0/7.png")
    assert picture == ShardSource(str(packed)).item(1).picture
    assert sorted(item[0] for item in StreamingDataset(str(packed / "train"), shuffle=True)) == sorted(
        7 * place % 60 for place in range(45)
    )


def test_a_stopped_packing_goes_on_to_the_same_bytes(packing, packed, grey_folder, tmp_path):
    folder, options = tmp_path / "shards", {"group_regex": r"^(\w+)/"}
    source = Failing(grey_folder, **options)
    source.left = 45 + 12  # as many are read to plan, then two shards and a bit
    with pytest.raises(InputError, match=r"could be read when packing began and cannot now \(No such file"):
        pack(packing(source), folder, workers=1)
    with pytest.raises(InputError, match=r"no shards in .*: there is no manifest.json"):
        ShardSource(str(folder))
    finished = sorted((folder / "train").glob("*.bin"))
    times = [path.stat().st_mtime_ns for path in finished]
    assert len(finished) == 2
    (folder / "train" / ".1234.00005.bin").write_bytes(b"half")  # what a killed worker leaves
    (folder / "train" / ".abc").mkdir()

    pack(packing(), folder, workers=1)

    assert [path.stat().st_mtime_ns for path in finished] == times
    assert tree(folder) == tree(packed)


def test_a_packing_killed_at_its_first_or_last_step_leaves_nothing_behind(packing, packed, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / f".imcomp-{ended.pid}..plan.json").touch()
    pack(packing(), folder, workers=1)
    assert tree(folder) == tree(packed)

    (folder / ".plan.json").touch()  # the manifest is there, and the plan was to be removed
    pack(packing(), folder, workers=1)
    assert tree(folder) == tree(packed)


def test_what_is_packed_is_left_as_it_is(packing, tmp_path):
    first = pack(packing(), tmp_path / "shards", workers=1)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*.*")}

    assert pack(packing(), tmp_path / "shards", workers=1) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").rglob("*.*")} == times


def test_another_packing_is_refused(packing, packed, grey_folder, tmp_path):
    with pytest.raises(InputError, match="holds other shards, packed to their end; give another output"):
        pack(packing(form="resized"), packed, workers=1)

    source = Failing(grey_folder)
    source.left = 50
    with pytest.raises(InputError, match="cannot now"):
        pack(packing(source), tmp_path / "begun", workers=1)
    with pytest.raises(InputError, match="beginning of another packing, which differs in pictures_per_shard"):
        pack(packing(FolderSource(grey_folder), shard_mb=1), tmp_path / "begun", workers=1)

    with pytest.raises(InputError, match="is not empty: it holds track"):
        pack(packing(), grey_folder, workers=1)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1,', b"\xff"])
@pytest.mark.parametrize("file", [NAME, ".plan.json"])
def test_a_folder_whose_notes_are_damaged_is_one_line(packing, tmp_path, file, content):
    (tmp_path / file).write_bytes(content)

    with pytest.raises(InputError, match=rf"{re.escape(file)} is damaged.*; .* another output$|anew$") as caught:
        pack(packing(), tmp_path, workers=1)
    assert "\n" not in str(caught.value)


def test_two_do_not_pack_into_one_folder(packing, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(InputError, match="another process is packing into"):
        pack(packing(), tmp_path, workers=1)


def test_files_that_cannot_be_read_are_left_out_by_name(packing, tmp_path):
    for index in range(60):
        Image.new("L", (4, 4), index).save(tmp_path / f"{index:02d}.png")
    (tmp_path / "bad.png").write_bytes(b"")

    manifest = pack(packing(FolderSource(tmp_path)), tmp_path / ".packed", workers=1)

    assert manifest.left_out == (("bad.png", "file is empty"),)
    assert json.loads((tmp_path / ".packed" / NAME).read_text())["left_out"] == [["bad.png", "file is empty"]]


def test_names_that_are_no_text_survive(packing, tmp_path):
    for index in range(60):
        Image.new("L", (4, 4), index).save(tmp_path / f"{index:02d}.png")
    odd = os.fsdecode(b"\xff.png")
    try:
        Image.new("L", (4, 4)).save(tmp_path / odd)
    except OSError:
        pytest.skip("this file system takes text alone")

    source = FolderSource(tmp_path)
    pack(packing(source), tmp_path / ".packed", workers=1)

    packed = ShardSource(str(tmp_path / ".packed"))
    assert {packed.name(index) for index in range(60)} <= {source.name(index) for index in range(61)}


def test_faults_are_found(packing, tmp_path):
    folder = tmp_path / "shards"
    manifest = pack(packing(), folder, workers=1)
    store = ShardStore(str(folder))
    assert find_faults(store, manifest, workers=2) == []
    damaged, short, gone = (folder / shard.file for shard in manifest.shards[:3])
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    short.write_bytes(short.read_bytes()[:-1])
    gone.unlink()

    faults = find_faults(store, manifest, workers=2)

    assert [re.sub(r"[\d,]+ of [\d,]+", "N of M", fault.removeprefix(f"{folder}/")) for fault in faults] == [
        "train/00000.bin is damaged: its checksum is not the manifest's; copy it again, or pack anew",
        "train/00001.bin has N of M bytes; copy it again, or pack anew",
        "train/00002.bin is missing; copy it again, or pack anew",
    ]


class Slow(FolderSource):
    """Takes its time over each picture."""

    def encoded(self, index):
        time.sleep(0.01)
        return super().encoded(index)


def pack_as_soon_as_possible(packing, folder):
    """The workers of a killed run hold its lock until they notice."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return pack(packing, folder, workers=2)
        except InputError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes by forking")
def test_killed_again_and_again_the_result_is_the_same(packing, packed, grey_folder, tmp_path):
    slow = packing(Slow(grey_folder, group_regex=r"^(\w+)/"))
    kills = 0
    for moment in (0.5, 0.6, 0.65, 0.7):
        process = multiprocessing.get_context("fork").Process(
            target=pack_as_soon_as_possible, args=(slow, tmp_path / "shards")
        )
        process.start()
        process.join(moment)
        kills += process.is_alive()
        process.kill()
        process.join()

    pack_as_soon_as_possible(slow, tmp_path / "shards")

    assert kills
    assert tree(tmp_path / "shards") == tree(packed)


def test_a_full_disk_is_told_of_and_leaves_no_half_shard(packing, tmp_path, monkeypatch):
    def full(path, items):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("imcomp.data.shards.jobs.write_chunk", full)

    with pytest.raises(InputError, match=r"0000\d.bin cannot be written \(No space left on device\); free some room"):
        pack(packing(), tmp_path / "shards", workers=1)
    assert [path.name for path in (tmp_path / "shards").rglob("*.bin")] == []

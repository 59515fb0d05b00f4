import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from imcomp.data import cache
from imcomp.data.cache import Kept, available_memory, open_in_memory, open_on_disk
from imcomp.data.folders import FolderSource
from imcomp.data.pictures import UnreadablePicture
from imcomp.errors import InputError

ROOT = Path(__file__).parents[2]


class Shades:
    """Picture ``i`` is ``3 + i`` x 2 pixels of grey ``i``; counts what is read."""

    def __init__(self, count=5, name="shades"):
        self.count, self.name, self.reads = count, name, 0

    def __len__(self):
        return self.count

    def read(self, index):
        self.reads += 1
        return Image.new("L", (3 + index, 2), index)

    def fingerprint(self):
        return self.name


def kept(source=None, channels=1, size=4, fit="stretch", workers=0):
    return Kept(source or Shades(), channels, size, fit, workers)


def opened(folder, what=None, gigabytes=1, **options):
    return open_on_disk(what or kept(), folder, gigabytes, **{"build": True, **options})


def entries(folder):
    return sorted(path.name for path in folder.glob("*.pictures"))


def entry_bytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*.pictures"))


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_are_decoded_once(tmp_path, workers):
    source = Shades(250)

    first = opened(tmp_path, kept(source, workers=workers))
    reads = source.reads
    second = opened(tmp_path, kept(source, workers=workers))

    assert reads == (0 if workers else 250)  # other processes' reads do not show here
    assert source.reads == reads
    for decoded in (first, second):
        assert len(decoded) == 250
        assert decoded.gather(range(250)).flatten(1).unique(dim=1).flatten().tolist() == [*range(250)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_is_gone_meanwhile_is_named(tmp_path, workers):
    for index in range(200):
        Image.new("L", (4, 4)).save(tmp_path / f"{index:03d}.png")
    source = FolderSource(tmp_path)
    (tmp_path / "070.png").unlink()
    with pytest.raises(UnreadablePicture, match=r"070\.png: file does not exist"):
        open_in_memory(Kept(source, 1, 4, "stretch", workers), 1)


def test_decoding_leaves_the_global_random_state_alone(tmp_path):
    before = torch.get_rng_state()

    opened(tmp_path)

    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_made_where_nothing_is_to_be_made(tmp_path):
    assert opened(tmp_path / "cache", build=False) is None
    assert not (tmp_path / "cache").exists()

    opened(tmp_path / "cache")
    assert opened(tmp_path / "cache", build=False).shape == (1, 4, 4)


def test_pictures_of_their_own_size_are_for_all_sizes(tmp_path):
    decoded = opened(tmp_path, kept(size=None))

    assert [decoded.read(index).size for index in range(5)] == [(3 + index, 2) for index in range(5)]
    assert kept(size=None, fit="crop").key() == kept(size=None, fit="stretch").key()


@pytest.mark.parametrize(
    "other",
    [{"channels": 3}, {"size": 5}, {"size": None}, {"fit": "crop"}, {"source": Shades(name="others")}],
)
def test_other_pictures_have_another_file(tmp_path, other):
    opened(tmp_path)
    opened(tmp_path, kept(**other))

    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize("version", ["imcomp.data.cache._VERSION", "PIL.__version__"])
def test_other_versions_have_another_file(monkeypatch, version):
    before = kept().key()
    monkeypatch.setattr(version, "another")

    assert kept().key() != before


def test_a_source_without_a_fingerprint_is_not_kept(tmp_path, caplog):
    nameless = SimpleNamespace(read=Shades().read)

    with caplog.at_level(logging.INFO, logger="imcomp"):
        assert opened(tmp_path, kept(nameless)) is None

    assert "no fingerprint()" in caplog.text
    assert entries(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[1:]])
def test_a_damaged_file_is_made_anew(tmp_path, caplog, damage):
    opened(tmp_path)
    (file,) = tmp_path.glob("*.pictures")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))

    assert len(opened(tmp_path)) == 5

    assert file.read_bytes() == whole
    assert "damaged file" in caplog.text


def test_the_folder_is_bounded_and_the_least_used_goes_first(tmp_path, caplog):
    options = {"gigabytes": 2.5 * kept().bytes() / 1e9}  # room for two
    first, second, third = (kept(Shades(name=name)) for name in ("first", "second", "third"))
    opened(tmp_path, first, **options)
    old = opened(tmp_path, second, **options)
    for age, path in enumerate(tmp_path.glob("*.pictures")):
        os.utime(path, (age + 1, age + 1))
    opened(tmp_path, first, **options)  # used last

    with caplog.at_level(logging.INFO, logger="imcomp"):
        opened(tmp_path, third, **options)

    assert entries(tmp_path) == sorted(f"{one.key()}.pictures" for one in (first, third))
    assert entry_bytes(tmp_path) <= options["gigabytes"] * 1e9
    assert "to make room" in caplog.text
    assert len(old.gather([4])) == 1  # whoever uses it goes on


@pytest.mark.parametrize("size", [4, None])
def test_what_does_not_fit_at_all_is_not_kept(tmp_path, caplog, monkeypatch, size):
    monkeypatch.setattr(cache, "_STEP", 10)
    opened(tmp_path, kept(Shades(2)))

    assert opened(tmp_path, kept(Shades(40), size=size), gigabytes=300e-9) is None

    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "above data.cache_gb=3e-07; raise it" in record.message
    assert entries(tmp_path) == [f"{kept(Shades(2)).key()}.pictures"]


def test_a_file_that_asks_for_room_as_it_grows_is_kept(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(cache, "_STEP", 10)

    assert len(opened(tmp_path, kept(Shades(250), size=None))) == 250

    assert not [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert entries(tmp_path) == [f"{kept(Shades(250), size=None).key()}.pictures"]


def test_a_full_disk_trains_without(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))

    assert opened(tmp_path) is None

    assert "has no room for that; free some, or give another folder with paths.cache=PATH" in caplog.text


def test_an_error_of_the_disk_trains_without_and_leaves_nothing(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_pictures", full)

    assert opened(tmp_path) is None

    assert "No space left on device" in caplog.text
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_trains_without(tmp_path, caplog):
    (tmp_path / "cache").touch()

    assert opened(tmp_path / "cache") is None

    assert "cannot be kept in" in caplog.text
    assert "paths.cache=PATH, or data.cache=off" in caplog.text


def test_an_interrupt_leaves_nothing(tmp_path):
    source = Shades()
    source.read = lambda index: exec("raise KeyboardInterrupt")  # noqa: S102 - a lambda that raises

    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, kept(source))

    assert entries(tmp_path) == []
    assert len(opened(tmp_path)) == 5


@pytest.mark.parametrize("size", [4, None])
def test_memory_holds_the_same_and_no_disk_does(tmp_path, size):
    memory, disk = open_in_memory(kept(size=size), 1), opened(tmp_path, kept(size=size))

    assert [memory.read(index) for index in range(5)] == [disk.read(index) for index in range(5)]


def test_memory_is_shared_with_a_process_of_its_own():
    decoded = open_in_memory(kept(), 1)
    script = "import pathlib, sys; print(len(pathlib.Path(sys.argv[1]).read_bytes()))"

    run = subprocess.run([sys.executable, "-c", script, str(decoded.path)], capture_output=True, text=True, check=True)

    assert int(run.stdout) == kept().bytes()


@pytest.mark.parametrize("size", [4, None])
@pytest.mark.parametrize(
    ("gigabytes", "available", "why"),
    [(50e-9, 10**12, r"above data\.cache_gb=5e-08; raise it"), (1, 10**9 + 50, r"of 5e-08 GB that can be spared")],
)
def test_memory_that_does_not_suffice_is_refused(monkeypatch, size, gigabytes, available, why):
    monkeypatch.setattr(cache, "available_memory", lambda: available)

    with pytest.raises(InputError, match=rf"data\.cache=ram needs .*{why}.*data\.cache=disk"):
        open_in_memory(kept(Shades(20), size=size), gigabytes)


def test_memory_needs_linux(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")

    with pytest.raises(InputError, match=r"data\.cache=ram needs Linux"):
        open_in_memory(kept(), 1)


def test_available_memory_is_some():
    assert 10**7 < available_memory() < 10**14


# stops half way until there is a file named "go"
SLOW = """
import sys, time, logging, pathlib
from PIL import Image
from imcomp.data.cache import Kept, open_on_disk

class Slow:
    def __len__(self): return 240
    def fingerprint(self): return "slow"
    def read(self, index):
        while index == 100 and not go.exists():
            time.sleep(0.01)
        return Image.new("L", (64, 64), index)

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
go = pathlib.Path(sys.argv[1]) / "go"
decoded = open_on_disk(Kept(Slow(), 1, 64, "stretch", int(sys.argv[2])), pathlib.Path(sys.argv[1]), 1, build=True)
print("shades", decoded.gather(range(240))[:, 0, 0, 0].tolist() == list(range(240)))
"""


def start(folder, workers=0):
    command = [sys.executable, "-c", SLOW, str(folder), str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_process_leaves_nothing_that_counts_and_the_next_removes_it(tmp_path, workers):
    killed = start(tmp_path, workers)
    wait_for(lambda: entries(tmp_path))
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    (left,) = entries(tmp_path)
    assert left.startswith(".")
    (tmp_path / "go").touch()

    assert "shades True" in start(tmp_path, workers).communicate(timeout=120)[0]

    assert entries(tmp_path) == [left.split(".", 2)[2]]


@pytest.mark.slow
def test_what_a_killed_process_left_goes_when_other_pictures_need_room(tmp_path):
    killed = start(tmp_path)
    wait_for(lambda: entries(tmp_path))
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)

    opened(tmp_path)

    assert entries(tmp_path) == [f"{kept().key()}.pictures"]


@pytest.mark.slow
def test_of_two_processes_one_decodes_and_the_other_waits(tmp_path):
    first = start(tmp_path)
    wait_for(lambda: entries(tmp_path))
    opened(tmp_path)  # other pictures wait for nobody, and remove nothing of a process that lives
    second = start(tmp_path)
    assert second.stdout.readline() == "another process is decoding the same pictures; waiting for it\n"
    (tmp_path / "go").touch()

    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]

    assert ["decoding 240 pictures" in output for output in outputs] == [True, False]
    assert all("shades True" in output for output in outputs)
    assert len(entries(tmp_path)) == 2

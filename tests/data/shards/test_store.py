import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from imcomp.data.shards.manifest import NAME
from imcomp.data.shards.reading import ShardSource, read_manifest
from imcomp.data.shards.store import ShardStore
from imcomp.data.shards.transport import fetch
from imcomp.errors import InputError


def kept(cache):
    return {path.name for path in (cache / "shards").glob("*/train/[0-9]*.bin")}


def used(cache):
    return sum(path.stat().st_size for path in (cache / "shards").rglob("*.bin"))


def test_a_folder_is_read_in_place(packed, tmp_path):
    store = ShardStore(str(packed))
    manifest = read_manifest(store)

    assert store.provide(manifest, manifest.shards[0]) == packed / "train" / "00000.bin"


def test_a_shard_is_fetched_once_and_kept(packed, serve, tmp_path):
    server = serve(packed)
    for _ in range(2):
        store = ShardStore(server.root, tmp_path)
        manifest = read_manifest(store)
        path = store.provide(manifest, manifest.shards[0])

    assert path.read_bytes() == (packed / "train" / "00000.bin").read_bytes()
    assert server.asked["/train/00000.bin"] == 1
    assert server.asked["/train/00001.bin"] == 0


def test_the_folder_stays_within_its_bound_and_keeps_what_is_used(packed, serve, tmp_path):
    server = serve(packed)
    manifest = read_manifest(ShardStore(server.root, tmp_path))
    bound = 3 * max(shard.bytes for shard in manifest.shards)
    store = ShardStore(server.root, tmp_path, bound / 1e9)

    for shard in manifest.parts["train"]:
        store.provide(manifest, shard)
        first = store.provide(manifest, manifest.shards[0])
        os.utime(first)  # as whoever reads from it does
        assert used(tmp_path) <= bound
        time.sleep(0.01)

    assert "00000.bin" in kept(tmp_path)
    assert len(kept(tmp_path)) == 3
    assert server.asked["/train/00000.bin"] == 1


def test_a_shard_is_renamed_while_nobody_counts(packed, serve, tmp_path, monkeypatch):
    store = ShardStore(serve(packed).root, tmp_path)
    manifest = read_manifest(store)
    counting, replace = [], Path.replace

    def renamed(path, target):
        try:
            with FileLock(tmp_path / "shards" / "room.lock", timeout=0):
                counting.append(True)
        except Timeout:
            counting.append(False)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", renamed)
    store.provide(manifest, manifest.shards[0])

    assert counting == [False]


def test_a_shard_has_its_room_while_it_is_fetched(packed, serve, tmp_path, monkeypatch):
    server = serve(packed)
    manifest = read_manifest(ShardStore(server.root, tmp_path))
    first, second = manifest.shards[:2]
    bound = max(first.bytes, second.bytes)
    store = ShardStore(server.root, tmp_path, bound / 1e9)
    waits, sleep, turns = threading.Event(), time.sleep, []

    def other(root, name, file, **options):
        fetch(root, name, file, **options)
        if name == first.file:  # again, and nothing has come yet when another wants room
            file.truncate(0)
            thread.start()
            assert waits.wait(30)
            fetch(root, name, file, **options)
        turns.append(name)

    def look(seconds):
        waits.set()
        sleep(seconds)

    monkeypatch.setattr("imcomp.data.shards.store.time.sleep", look)
    monkeypatch.setattr("imcomp.data.shards.store.fetch", other)
    thread = threading.Thread(target=store.provide, args=(manifest, second))
    store.provide(manifest, first)
    thread.join(30)

    assert turns == [first.file, second.file]  # the second waited for room
    assert kept(tmp_path) == {Path(second.file).name}
    assert not list(tmp_path.rglob("*.room"))


def test_a_bound_below_a_shard_is_refused(packed, serve, tmp_path):
    store = ShardStore(serve(packed).root, tmp_path, 1e-9)
    manifest = read_manifest(store)

    with pytest.raises(InputError, match=r"is above data.cache_gb=1e-09; raise it, or pack smaller shards"):
        store.provide(manifest, manifest.shards[0])


def test_a_source_needs_room_for_what_it_reads_from(packed, serve, tmp_path):
    with pytest.raises(InputError, match=r"too little for data.shuffle_shards=8 .* give data.cache_gb="):
        ShardSource(serve(packed).root, cache_dir=tmp_path, cache_gb=1e-6)


def test_what_a_killed_process_left_is_removed(packed, serve, tmp_path):
    server = serve(packed)
    store = ShardStore(server.root, tmp_path)
    manifest = read_manifest(store)
    folder = store.path(manifest, manifest.shards[0]).parent
    folder.mkdir(parents=True)
    leftovers = [folder / ".imcomp-99999.00003.bin", folder / ".imcomp-99999.00003.bin.room"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")

    store.provide(manifest, manifest.shards[0])

    assert not any(leftover.exists() for leftover in leftovers)


def test_what_a_crash_of_the_machine_cut_short_is_fetched_again(packed, serve, tmp_path):
    store = ShardStore(serve(packed).root, tmp_path)
    manifest = read_manifest(store)
    path = store.provide(manifest, manifest.shards[0])
    path.write_bytes(path.read_bytes()[:100])

    assert store.provide(manifest, manifest.shards[0]).stat().st_size == manifest.shards[0].bytes


@pytest.mark.parametrize("failures", [[503], [0], [500, 503, 0]])
def test_a_server_may_fail_now_and_then(packed, serve, tmp_path, failures):
    server = serve(packed)
    server.failures["/train/00000.bin"] = [*failures]
    store = ShardStore(server.root, tmp_path)
    manifest = read_manifest(store)

    store.provide(manifest, manifest.shards[0])

    assert server.asked["/train/00000.bin"] == len(failures) + 1


def test_a_server_that_fails_always_is_told_of(packed, serve, tmp_path):
    server = serve(packed)
    server.failures["/train/00000.bin"] = [503] * 10
    store = ShardStore(server.root, tmp_path)
    manifest = read_manifest(store)

    with pytest.raises(InputError, match=r"train/00000.bin cannot be reached in 4 tries \(HTTP Error 503"):
        store.provide(manifest, manifest.shards[0])
    assert used(tmp_path) == 0


def test_a_damaged_shard_is_fetched_again_and_then_told_of(packed, serve, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    shard = copy / "train" / "00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    server = serve(copy)
    store = ShardStore(server.root, tmp_path / "cache")
    manifest = read_manifest(store)

    with pytest.raises(InputError, match=r"/train/00000.bin is damaged: its checksum is not the manifest's; copy that"):
        store.provide(manifest, manifest.shards[0])
    assert server.asked["/train/00000.bin"] == 2
    assert used(tmp_path / "cache") == 0

    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"has [\d,]+ bytes, [\d,]+ by the manifest; copy that shard"):
        store.provide(manifest, manifest.shards[0])


def test_what_is_missing_is_told_of(packed, serve, tmp_path):
    (tmp_path / "empty").mkdir()
    server = serve(tmp_path / "empty")

    with pytest.raises(InputError, match=f"no shards in {server.root}: there is no {NAME}; give data.root=PATH"):
        ShardSource(server.root, cache_dir=tmp_path)
    with pytest.raises(InputError, match=f"no shards in .*empty: there is no {NAME}"):
        ShardSource(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="no shards in nowhere"):
        ShardSource("nowhere")


def test_no_network_is_told_of(monkeypatch, tmp_path):
    monkeypatch.setattr("imcomp.data.shards.transport._PAUSE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(InputError, match=rf":{port}/manifest.json cannot be reached in 4 tries .*; check the network"):
        ShardSource(f"http://127.0.0.1:{port}", cache_dir=tmp_path)


def test_an_address_needs_a_cache_and_a_scheme_that_is_known(tmp_path):
    with pytest.raises(InputError, match=r"kept on disk while they are read; give data.cache=disk"):
        ShardSource("https://example.invalid/packed")
    with pytest.raises(InputError, match="ftp://there cannot be read; give a folder, or an address with s3://, gs://"):
        ShardSource("ftp://there", cache_dir=tmp_path)


def test_shards_are_fetched_ahead(packed, serve, tmp_path):
    server = serve(packed)
    source = ShardSource(server.root, cache_dir=tmp_path)
    server.failures["/train/00001.bin"] = [404]  # its error waits until it is needed

    source.prefetch([0, 1, 2])

    deadline = time.monotonic() + 20
    while len(kept(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kept(tmp_path) == {"00000.bin", "00002.bin"}
    assert source.read(0).size == (12, 10)
    assert server.asked["/train/00000.bin"] == 1


@pytest.mark.slow
def test_processes_that_share_a_cache_fetch_a_shard_once(packed, serve, tmp_path):
    server = serve(packed)
    script = (
        "import sys; from imcomp.data.shards.reading import ShardSource\n"
        "source = ShardSource(sys.argv[1], cache_dir=sys.argv[2])\n"
        "print(sum(source.read(index).getextrema()[0] for index in range(60)))"
    )
    command = [sys.executable, "-c", script, server.root, str(tmp_path)]

    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    assert [process.communicate()[0] for process in processes] == [f"{4 * sum(range(60))}\n"] * 2
    assert {count for path, count in server.asked.items() if path.endswith(".bin")} == {1}


def test_threads_of_one_process_fetch_a_shard_once(packed, serve, tmp_path):
    server = serve(packed)
    store = ShardStore(server.root, tmp_path)
    manifest = read_manifest(store)

    threads = [threading.Thread(target=store.provide, args=(manifest, manifest.shards[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.asked["/train/00000.bin"] == 1

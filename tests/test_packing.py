"""Packing from the command line, and training from what was packed."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imcomp.cli import config_dir
from imcomp.config import build
from imcomp.data.shards.reading import ShardSource
from imcomp.data.shards.transport import _downloader
from imcomp.errors import InputError
from imcomp.evaluation.running import evaluate
from imcomp.packing import pack_as_configured
from imcomp.training import train

pytest.importorskip("litdata", reason="streaming: pip install 'imcomp[stream]'")


def packed(*overrides):
    with initialize_config_dir(str(config_dir())):
        return pack_as_configured(compose("pack", [*overrides]))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Sixty shaded pictures, five of each of twelve tracks."""
    root = tmp_path_factory.mktemp("pictures")
    ramp = Image.linear_gradient("L").resize((16, 16))
    for index in range(60):
        shade = ramp.rotate(90 * (index % 4)).point(lambda level, index=index: 4 * index * level // 255)
        shade.save(root / f"{index // 5:02d}_{index:02d}.png")
    return root


SPLIT = ("data.val_fraction=0.2", "data.fit=stretch")


@pytest.fixture(scope="module")
def shards(pictures, tmp_path_factory):
    """Them, 48 to train with in twelve shards or so and 12 to validate with."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    packed(f"data.root={pictures}", f"output={folder}", *SPLIT, "shard_mb=0.0006", "workers=1")
    return folder


@pytest.fixture(scope="module")
def config(train_config):
    """``config(root, "data=stream", "data.root=...")``: a run of two epochs of twelve batches."""

    def composed(root, *overrides, **options):
        tiny = ["~data.count", "~data.frames_per_track", "data.size=32", "mask.size=8", "model.channels=[4,8]"]
        tiny += ["data.batch_size=4", "trainer.limit_train_batches=null", "trainer.limit_val_batches=null"]
        tiny += ["callbacks.progress=null", "logger=csv"]
        return train_config(root, *tiny, *overrides, small=False, **options)

    return composed


class Seen(pl.Callback):
    """Notes the pictures of each training batch, and kills the run after so many."""

    def __init__(self, path, kill_after=None):
        self.path = Path(path)
        self.left = kill_after

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        with self.path.open("a") as file:
            file.write(f"{trainer.current_epoch} {batch.indices.tolist()}\n")
        if self.left is not None:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGTERM)


def seen(path):
    """The pictures of each epoch."""
    epochs = {}
    for line in path.read_text().splitlines():
        epoch, _, indices = line.partition(" ")
        epochs.setdefault(int(epoch), []).extend(json.loads(indices))
    return epochs


def trained(monkeypatch, cfg, callback):
    """Train with one more callback; the metrics, or the exit code of a run that was stopped."""

    def with_callback(node, where, **objects):
        if where == "trainer":
            objects["callbacks"] = [*objects["callbacks"], callback]
        return build(node, where, **objects)

    with monkeypatch.context() as patch:
        patch.setattr("imcomp.training.build", with_callback)
        try:
            return train(cfg)
        except SystemExit as stop:
            return stop.code


def test_what_is_packed_is_reported(shards, pictures, tmp_path, capsys):
    manifest = packed(f"data.root={pictures}", f"output={tmp_path / 'again'}", *SPLIT, "shard_mb=0.0006", "workers=1")
    said = capsys.readouterr().out

    assert said.startswith(f"packed into {tmp_path / 'again'}: 48 train, 12 val, 0 test pictures in ")
    assert manifest.digest == packed(f"verify={shards}").digest
    assert f"{shards} is as it was packed: 48 train, 12 val" in capsys.readouterr().out


def test_a_damaged_shard_fails_the_check(pictures, tmp_path, caplog):
    folder = tmp_path / "shards"
    packed(f"data.root={pictures}", f"output={folder}", *SPLIT, "shard_mb=0.0006", "workers=1")
    shard = folder / "train" / "00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1])

    with pytest.raises(InputError, match=r"^1 of \d+ shards of .* are not as they were packed$"):
        packed(f"verify={folder}")
    assert "00000.bin has " in caplog.text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "output is not given; give output=FOLDER"),
        (["output=s3://bucket/x"], "output=s3://bucket/x is no folder; pack into one, and copy it there"),
        (["output=x", "form=jpeg"], "form=jpeg is unknown; choose from encoded, resized"),
        (["output=x", "shard_mb=0"], "shard_mb=0 is out of range; give more than 0 and at most 2000"),
        (["output=x", "workers=0"], "workers=0 is no number of processes; give auto, or at least 1"),
        (["output=x", "data=stream"], "data=stream is packed already"),
        (["output=x", "data.val_fraction=1.5"], "give two fractions"),
        (["verify=nowhere"], "no shards in nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line(pictures, tmp_path, monkeypatch, overrides, said):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError) as caught:
        packed(f"data.root={pictures}", *overrides)

    assert said in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_several_sources_are_packed_together(pictures, tmp_path):
    """Each picture as its own source has it."""
    folders = "{source: folder, root: ., use: train}, {source: synthetic, count: 20, use: val}"
    mixed = ("data=mixed", f"data.root={pictures}", "workers=1")

    manifest = packed(*mixed, f"data.sources=[{folders}]", f"output={tmp_path / 'shards'}")

    counts = {part: sum(shard.pictures for shard in found) for part, found in manifest.parts.items()}
    assert counts == {"train": 60, "val": 20, "test": 0}
    source = ShardSource(str(tmp_path / "shards"))
    assert source.item(0).picture == (pictures / source.name(0).removeprefix("0/")).read_bytes()

    weighted = folders.replace("use: train", "use: train, weight: 2") + ", {source: synthetic, count: 9, use: train}"
    with pytest.raises(InputError, match="all come once in an epoch; leave out weight"):
        packed(*mixed, f"data.sources=[{weighted}]", f"output={tmp_path / 'weighted'}")


def test_tracks_stay_on_one_side(pictures, tmp_path):
    packed(
        *(f"data.root={pictures}", f"output={tmp_path / 'shards'}", "data.split=track", r"data.group_regex='^(\d+)_'"),
        *("data.val_fraction=0.25", "data.test_fraction=0.25", "workers=1", "shard_mb=0.0006"),
    )
    groups = {}
    for part in ("train", "val", "test"):
        files = (tmp_path / "shards" / part).glob("0*.json")
        groups[part] = {group for file in files for group in json.loads(file.read_text())["groups"]}

    assert {part: len(found) for part, found in groups.items()} == {"train": 6, "val": 3, "test": 3}
    assert len(set.union(*groups.values())) == 12


def test_shards_give_the_pictures_and_holes_of_the_folder(shards, pictures, config, tmp_path):
    """In validation in the same batches; in training only the order differs."""

    def loaded(*overrides):
        cfg = config(tmp_path, "mask=box", "mask.size=[4,16]", "data.fit=stretch", *overrides)
        datamodule = build(cfg.data, "data", mask=OmegaConf.to_container(cfg.mask))
        datamodule.setup("fit")
        return datamodule

    folder = loaded("data=folder", f"data.root={pictures}", *SPLIT)
    packed = loaded("data=stream", f"data.root={shards}")

    for one, other in zip(folder.val_dataloader(), packed.val_dataloader(), strict=True):
        assert all(map(torch.equal, folder.make_batch(*one)[:3], packed.make_batch(*other)[:3]))
    trained = {}
    for datamodule in (folder, packed):
        batches = [datamodule.make_batch(*batch, epoch=3) for batch in datamodule.train_dataloader()]
        order = torch.cat([batch.indices for batch in batches]).argsort()
        trained[datamodule] = [torch.cat(parts)[order] for parts in list(zip(*batches, strict=True))[:3]]
    assert all(map(torch.equal, trained[folder], trained[packed]))


@pytest.mark.parametrize("workers", [(0, 0), (0, 2)])
def test_a_killed_run_goes_on_without_repeating_or_skipping_a_picture(shards, config, tmp_path, monkeypatch, workers):
    data = ("data=stream", f"data.root={shards}", "data.fit=stretch", "data.shuffle_shards=2")
    calm = trained(monkeypatch, config(tmp_path / "calm", *data), Seen(tmp_path / "whole"))

    first, then = (f"data.num_workers={count}" for count in workers)
    stopped = trained(monkeypatch, config(tmp_path / "cut", *data, first), Seen(tmp_path / "parts", kill_after=5))
    last = tmp_path / "cut" / "run" / "checkpoints" / "last.ckpt"
    resumed = trained(monkeypatch, config(tmp_path / "cut", *data, then, f"resume={last}"), Seen(tmp_path / "parts"))

    assert stopped == 143
    assert {epoch: sorted(indices) for epoch, indices in seen(tmp_path / "parts").items()} == {
        epoch: sorted(indices) for epoch, indices in seen(tmp_path / "whole").items()
    }
    for indices in seen(tmp_path / "parts").values():
        assert len(indices) == len({*indices}) == 48
    assert seen(tmp_path / "parts") == seen(tmp_path / "whole")
    weights = (
        torch.load(tmp_path / root / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for root in ("calm", "cut")
    )
    assert all(map(torch.equal, *(state.values() for state in weights)))
    assert resumed["val/mse"] == calm["val/mse"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.split=random"], "needs data.val_fraction and data.test_fraction; give both"),
        (
            ["data.split=random", "data.val_fraction=0.3", "data.test_fraction=0"],
            "data.split=random does not go with data.source=stream; give packed",
        ),
        (["data.val_fraction=0.3"], "data.val_fraction=0.3: shards were split when they were packed; leave it out"),
        (["data.cache=ram"], "data.cache=ram: shards are read from the disk; give data.cache=disk"),
        (["data.shuffle_shards=0"], "data.shuffle_shards=0 is no number of shards"),
        (["data.root=nowhere"], "no shards in nowhere: there is no manifest.json"),
        (["data.root=ftp://x"], "ftp://x cannot be read; give a folder, or an address with s3://"),
    ],
)
def test_a_mistake_in_streaming_is_told_in_one_line(shards, config, tmp_path, overrides, said):
    given = [] if any(override.startswith("data.root") for override in overrides) else [f"data.root={shards}"]

    with pytest.raises(InputError) as caught:
        train(config(tmp_path, "data=stream", *given, *overrides))

    assert said in str(caught.value)


def test_pictures_that_are_no_shards_are_not_packed(config, pictures, tmp_path):
    cfg = config(
        *(tmp_path, "data=folder", f"data.root={pictures}", "data.split=packed"),
        *("data.val_fraction=null", "data.test_fraction=null"),
    )

    with pytest.raises(InputError, match=r"does not go with data.source=folder; give random, track"):
        train(cfg)


@pytest.fixture(scope="module")
def bucket(shards):
    """The shards in a bucket of an S3 server on the loopback, which wants a signature: the environment for it."""
    moto = pytest.importorskip("moto.server", reason="an S3 server: pip install 'moto[server]'")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "of-a-test", "aws_secret_access_key": "of-a-test"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    for name, access in (("pictures", "private"), ("public", "public-read")):
        client.create_bucket(Bucket=name)
        for path in sorted(path for path in shards.rglob("*") if path.is_file()):
            key = f"packed/{path.relative_to(shards).as_posix()}"
            client.upload_file(str(path), name, key, ExtraArgs={"ACL": access})
    yield {"AWS_ENDPOINT_URL": address, **{key.upper(): value for key, value in keys.items()}}
    server.stop()


@pytest.fixture
def credentials(bucket, monkeypatch):
    """``credentials(AWS_ACCESS_KEY_ID=None)`` sets what stands in the environment, and nothing else does."""

    def given(**changes):
        monkeypatch.setattr("imcomp.data.shards.transport._PAUSE", 0.0)
        _downloader.cache_clear()
        for key in [key for key in os.environ if key.startswith("AWS_")]:
            monkeypatch.delenv(key)
        # neither files nor the cloud's own server may hand any out
        elsewhere = {
            "AWS_SHARED_CREDENTIALS_FILE": "none",
            "AWS_CONFIG_FILE": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        values = {**bucket, **elsewhere, "AWS_DEFAULT_REGION": "us-east-1", **changes}
        for key, value in values.items():
            if value is not None:
                monkeypatch.setenv(key, value)

    yield given
    _downloader.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_training_from_a_bucket_is_training_from_the_folder(
    credentials, shards, config, tmp_path, monkeypatch, workers
):
    credentials()
    options = ("data=stream", "data.fit=stretch", "data.shuffle_shards=2", f"data.num_workers={workers}")
    cache = f"paths.cache={tmp_path / 'cache'}"

    here = train(config(tmp_path / "here", *options, f"data.root={shards}"))
    there = train(config(tmp_path / "there", *options, "data.root=s3://pictures/packed", cache))

    del here["seconds"], there["seconds"]
    assert there == here
    kept = sorted(path.name for path in (tmp_path / "cache" / "shards").rglob("*.bin"))
    assert kept == sorted(path.name for part in ("train", "val") for path in (shards / part).glob("*.bin"))


@pytest.mark.slow
def test_a_killed_run_goes_on_from_a_bucket_within_the_bound_of_its_cache(
    credentials, shards, config, tmp_path, monkeypatch
):
    credentials()
    gigabytes = 6 * max(path.stat().st_size for path in shards.rglob("*.bin")) / 1e9
    data = ["data=stream", "data.root=s3://pictures/packed", "data.fit=stretch", "data.shuffle_shards=2"]
    data += [f"data.cache_gb={gigabytes}", f"paths.cache={tmp_path / 'cache'}", "data.num_workers=2"]

    stopped = trained(monkeypatch, config(tmp_path / "cut", *data), Seen(tmp_path / "parts", kill_after=7))
    last = tmp_path / "cut" / "run" / "checkpoints" / "last.ckpt"
    trained(monkeypatch, config(tmp_path / "cut", *data, f"resume={last}"), Seen(tmp_path / "parts"))

    assert stopped == 143
    assert [len(indices) for indices in seen(tmp_path / "parts").values()] == [48, 48]
    assert all(len({*indices}) == 48 for indices in seen(tmp_path / "parts").values())
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.bin")) <= gigabytes * 1e9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "overrides", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": None}, [], "no credentials (Unable to locate credentials); set AWS_ACCESS_KEY_ID"),
        ({}, ["data.root=s3://pictures/elsewhere"], "no shards in s3://pictures/elsewhere: there is no manifest.json"),
        ({}, ["data.root=s3://nobodys/packed"], "no shards in s3://nobodys/packed: there is no manifest.json"),
        ({}, ["data.anonymous=true"], "access is refused"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, [], "cannot be reached in 4 tries"),
        ({}, ["data.endpoint=http://127.0.0.1:9"], "check the network and AWS_ENDPOINT_URL or data.endpoint"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_one_line(credentials, config, tmp_path, environment, overrides, said):
    credentials(**environment)
    root = [] if any(override.startswith("data.root") for override in overrides) else ["data.root=s3://pictures/packed"]

    with pytest.raises(InputError) as caught:
        train(config(tmp_path, "data=stream", *root, *overrides))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_public_bucket_needs_no_credentials(credentials, shards, tmp_path, capsys):
    credentials(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)

    packed("verify=s3://public/packed", "anonymous=true", f"paths.cache={tmp_path}")

    assert "s3://public/packed is as it was packed: 48 train, 12 val" in capsys.readouterr().out


@pytest.mark.slow
def test_training_from_google_is_training_from_the_folder(shards, config, tmp_path, monkeypatch):
    pytest.importorskip("google.cloud.storage", reason="Google Cloud: pip install google-cloud-storage")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="a server of its kind: gcp-storage-emulator")
    from google.cloud import storage

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("imcomp.data.shards.transport._PAUSE", 0.0)
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="pictures")
    server.start()
    try:
        bucket = storage.Client().bucket("pictures")
        for path in sorted(path for path in shards.rglob("*") if path.is_file()):
            bucket.blob(f"packed/{path.relative_to(shards).as_posix()}").upload_from_filename(str(path))
        options = ("data=stream", "data.fit=stretch", f"paths.cache={tmp_path / 'cache'}", "trainer.max_epochs=1")

        here = train(config(tmp_path / "here", *options, f"data.root={shards}"))
        there = train(config(tmp_path / "there", *options, "data.root=gs://pictures/packed"))

        assert there["val/mse"] == here["val/mse"]
        with pytest.raises(InputError, match=r"no shards in gs://pictures/elsewhere: there is no manifest.json"):
            train(config(tmp_path / "wrong", *options, "data.root=gs://pictures/elsewhere"))
    finally:
        server.stop()
        _downloader.cache_clear()


def test_a_network_trained_on_shards_is_evaluated_on_them(shards, config, tmp_path):
    best = train(config(tmp_path, "data=stream", f"data.root={shards}", "data.fit=stretch", "trainer.max_epochs=1"))
    with initialize_config_dir(str(config_dir())):
        checkpoint = f"ckpt={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}"
        data = ("data=stream", f"data.root={shards}", "baselines=[]", f"paths.output_dir={tmp_path / 'scores'}")
        scores = evaluate(compose("evaluate", [checkpoint, *data]))

    assert scores["pictures"]["count"] == 12
    assert scores["entrants"]["run"]["scores"]["mse"]["mean"] == pytest.approx(best["val/mse"], rel=1e-5)

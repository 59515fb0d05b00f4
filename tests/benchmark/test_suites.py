"""What is measured: every entrant runs, on tiny pictures; and targets name lines that there are."""

import pickle
from dataclasses import replace

import pytest
from PIL import Image

from imcomp.benchmark.configs import checkpoint_of
from imcomp.benchmark.protocol import gtsrb_folder
from imcomp.benchmark.readings import UNITS
from imcomp.benchmark.registry import SUITES
from imcomp.benchmark.rivals import Classical, ReferenceCompleting, ReferenceFiles, ReferenceLoading, ReferenceRun
from imcomp.benchmark.stopwatch import Times
from imcomp.benchmark.suites import data, predict, quality, scale, startup, stream, train
from imcomp.benchmark.targets import TARGETS
from imcomp.errors import InputError

pytest.importorskip("skimage")


@pytest.fixture
def quick(protocol, monkeypatch):
    """Suites whose entrants need nothing made: there are checkpoints, pictures and GTSRB."""
    for suite in (predict, startup):
        monkeypatch.setattr(suite, "checkpoint_of", lambda protocol, name: protocol.work / f"{name}.ckpt")
    monkeypatch.setattr(predict, "_plant_denormals", lambda source, target: None)
    monkeypatch.setattr(stream, "_packed", lambda protocol, form: protocol.work / form)
    gtsrb_folder(protocol.data_root).mkdir(parents=True)
    return protocol


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_targets_name_lines_that_are_measured(quick, device):
    for target in TARGETS:
        if target.device == device:
            entrants = SUITES[target.suite](replace(quick, device=device))
            names = {entrant.name: entrant for entrant in entrants}
            assert target.line in names
            assert target.over is None or target.over in names
            measured_on = target.over if target.quantity == quality.ERROR else target.line
            assert names[measured_on].quantity == target.quantity


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", sorted(SUITES.keys() - {"scale"}))
def test_entrants_have_names_of_their_own_and_can_go_to_another_process(quick, name, device):
    entrants = SUITES[name](replace(quick, device=device))
    names = [entrant.name for entrant in entrants]
    assert len(set(names)) == len(names)
    for entrant in entrants:
        assert pickle.loads(pickle.dumps(entrant.task)) == entrant.task  # noqa: S301
        assert entrant.against is None or entrant.against in names
        assert entrant.quantity.rpartition(", ")[2] in UNITS


@pytest.mark.parametrize("cold", [True, False])
def test_loading(protocol, cold):
    overrides = ["data.val_fraction=0", "data.cache=disk"]
    for task in (ReferenceLoading(protocol, cold=cold), data.Loading(protocol, overrides, cold=cold)):
        assert task(0.01).values["pictures/s"] > 0
    assert (protocol.work / "cache").exists() != cold  # a cold cache is its own, and gone


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_references_training(protocol, in_memory):
    reading = ReferenceRun(protocol, in_memory=in_memory)(0.01)
    assert reading.values["pictures/s"] > 0
    assert reading.work.flops > 0


def test_training(protocol):
    reading = train.Training(protocol, ["data.cache=ram", "perf=plain", "model.context=null"])(0.05)
    assert reading.values["pictures/s"] > 0
    # the same network, the same pictures: the same arithmetic
    assert reading.work.flops == ReferenceRun(protocol, in_memory=True)(0.01).work.flops


def test_too_few_pictures_to_time_are_refused(protocol):
    with pytest.raises(InputError, match="too few pictures for batches of 32; give pictures=143 or more"):
        train.Training(protocol, ["data.batch_size=32"])(0.01)


@pytest.mark.slow
def test_completing(protocol):
    checkpoint = checkpoint_of(protocol, "model=autoencoder")
    assert checkpoint_of(protocol, "model=autoencoder") == checkpoint  # made once
    denormal = protocol.work / "denormal.ckpt"
    predict._plant_denormals(checkpoint, denormal)
    one = predict.Completing(protocol, checkpoint, 1)(0.01)
    assert one.values["ms"] == pytest.approx(1000 / one.values["pictures/s"])
    assert predict.Completing(protocol, denormal, 3, {"backend": "eager"})(0.01).work.flops == pytest.approx(
        one.work.flops
    )
    assert ReferenceCompleting(protocol, denormal)(0.01).work.flops > one.work.flops  # of the window alone
    for task in (ReferenceFiles(protocol, checkpoint), predict.Files(protocol, checkpoint, {"side_by_side": False})):
        assert task(0.01).values["pictures/s"] > 0


@pytest.mark.parametrize("method", ["telea", "navier_stokes", "biharmonic"])
def test_classical_fills(protocol, method):
    if method != "biharmonic":
        pytest.importorskip("cv2")
    assert Classical(protocol, method)(0.01).values["pictures/s"] > 0


def test_a_command_is_timed(tmp_path):
    reading = startup.Command(tmp_path, ("-c", "bytearray(100_000_000)"))(0)
    assert reading.values["s"] > 0
    assert reading.peak_mb is None or 100 < reading.peak_mb < 200  # its own, not that of who started it
    with pytest.raises(InputError, match="exit code 3"):
        startup.Command(tmp_path, ("-c", "raise SystemExit(3)"))(0)


@pytest.mark.slow
def test_an_epoch_of_many_pictures(protocol):
    (entrant,) = scale.entrants(protocol)
    values = entrant.task(0).values
    assert entrant.name == "100 pictures"
    assert all(value > 0 for value in values.values())
    assert {"start to first batch, s", "training, ms/picture", "validation, s"} <= values.keys()


def test_the_time_to_the_goal():
    times = Times(validations=[(110.0, 0, 0.01), (120.0, 1, 0.0014), (130.0, 2, 0.0012)])
    values = quality.summarise(times, 100.0, 35.0, to_goal=True).values
    assert values == {quality.GOAL_TIME: 20, quality.EPOCHS_TIME: 35, "best val/mse, MSE": 0.0012}
    with pytest.raises(InputError, match=r"fell to 0.01000 in 35 s, and not to 0.00141"):
        quality.summarise(Times(validations=times.validations[:1]), 100.0, 35.0, to_goal=True)


@pytest.mark.parametrize("split", ["random", "track"])
def test_the_error_of_a_classical_fill(protocol, gtsrb_root, split):
    pytest.importorskip("cv2")
    real = replace(protocol, data_root=gtsrb_root)
    assert 0 < quality.ClassicalError(real, split, "telea")(0).values[quality.ERROR] < 0.1


def test_a_flat_picture_costs_a_classical_fill_nothing(protocol, tmp_path):
    folder = gtsrb_folder(tmp_path) / "00000"
    folder.mkdir(parents=True)
    for frame in range(10):
        Image.new("RGB", (30, 30), (10 * frame,) * 3).save(folder / f"00000_{frame:05d}.ppm")
    flat = quality.ClassicalError(replace(protocol, data_root=tmp_path), "random", "rim_mean")
    assert flat(0).values == {quality.ERROR: 0}


@pytest.mark.parametrize("form", ["encoded", "resized"])
def test_streaming(protocol, form):
    pytest.importorskip("litdata", reason="streaming: pip install 'imcomp[stream]'")
    packing = stream.Packing(protocol, form)(0.01)
    assert packing.values["pictures/s"] > 0
    assert form != "resized" or packing.values["1,000 pictures, MB"] == pytest.approx(32 * 32 / 1000, rel=0.1)

    folder = protocol.work / form
    stream.pack_pictures(protocol, form, folder, 0.01)
    assert data.Loading(protocol, stream.shards(folder), cold=False)(0.01).values["pictures/s"] > 0


@pytest.mark.slow
def test_streaming_from_afar(protocol, monkeypatch):
    pytest.importorskip("moto", reason="an S3 server: pip install 'moto[server]'")
    folder = protocol.work / "packed"
    stream.pack_pictures(protocol, "resized", folder, 0.001)
    monkeypatch.setattr(stream, "EPOCHS", 3)
    for key in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "")  # set by the suite, in a process of its own; gone after the test
    for scheme in ("http", "s3"):
        assert stream.FromAfar(protocol, folder, scheme)(0.01).values["pictures/s"] > 0

    values = stream.LongRun(protocol, folder)(0.01).values

    assert 0 < values["most kept on disk, MB"] <= values["bound of that, MB"]
    assert values["after the last epoch, MB"] > 0

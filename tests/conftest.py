"""What several test files share."""

import io
import signal
import socket
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

torch.set_num_threads(1)  # on tiny tensors threads only wait for one another

_REAL_PICTURES = Path(__file__).parents[2] / "shared" / "data" / "gtsrb-training.zip"


@pytest.fixture
def miniature_gtsrb(tmp_path):
    """Two classes of two tracks of two frames; the tracks of both classes have the same numbers."""
    root = tmp_path / "gtsrb" / "GTSRB"
    frames = ("00000_00000", "00000_00001", "00001_00000", "00001_00001")
    names = [f"Training/{label}/{frame}.ppm" for label in ("00000", "00007") for frame in frames]
    for name in (*names, "Final_Test/Images/00000.ppm"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), "red").save(root / name)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """No run of a test writes to the checkout's ``data/cache``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMCOMP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Run ``imcomp ARGUMENTS`` in this process and in a folder of its own: exit code, stdout, stderr."""
    from hydra.core.global_hydra import GlobalHydra

    from imcomp import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["imcomp", *map(str, arguments)])
        GlobalHydra.instance().clear()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            GlobalHydra.instance().clear()
        return (code, *capsys.readouterr())

    yield called
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """An untrained autoencoder for grey pictures of 32 pixels with a hole of 8 in the middle."""
    from imcomp.module import InpaintingModule

    torch.manual_seed(0)
    module = InpaintingModule(channels=[4, 8])
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    data = {"size": 32, "mask": {"name": "center", "size": 8}}
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save({**content, "datamodule_hyper_parameters": data}, path)
    return path


@pytest.fixture
def picture_folder(tmp_path):
    """Twenty pictures of 12 x 10 pixels, ``track0/frame0.png`` to ``track3/frame4.png``.

    Picture ``i`` in sorted order is all ``10 * i`` grey, so that its pixels tell its number.
    """
    root = tmp_path / "pictures"
    for index in range(20):
        file = root / f"track{index // 5}" / f"frame{index % 5}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (10 * index,) * 3).save(file)
    return root


@pytest.fixture(scope="session")
def gtsrb_root(tmp_path_factory):
    """Forty real traffic signs as torchvision lays them out: ten frames of each of two tracks of two classes."""
    if not _REAL_PICTURES.is_file():
        pytest.skip("real pictures: ../shared is not there")
    root = tmp_path_factory.mktemp("gtsrb")
    with zipfile.ZipFile(_REAL_PICTURES) as archive:
        for label in (0, 14):
            folder = root / "gtsrb" / "GTSRB" / "Training" / f"{label:05d}"
            folder.mkdir(parents=True)
            for track in (0, 1):
                for frame in range(0, 30, 3):
                    name = f"{track:05d}_{frame:05d}"
                    with Image.open(io.BytesIO(archive.read(f"{label:05d}/{name}.webp"))) as image:
                        image.save(folder / f"{name}.ppm")
    return root


@pytest.fixture(scope="session")
def train_config(tmp_path_factory):
    """Composes the config of a training run that takes a quarter of a second, in a folder of the test's own.

    ``train_config(root, "model.lr=0.1", run="other")``: two epochs of two batches of 8 out of 48 pictures, which are
    32 pixels square and shaded from one grey to another, and a validation of 8 and 4; the run's folder is
    ``root / run``. With ``small=False`` it is ``debug=fast`` in float32.
    """
    from hydra import compose, initialize_config_dir

    from imcomp.cli import config_dir

    pictures = tmp_path_factory.mktemp("shaded")
    ramp = Image.linear_gradient("L").resize((16, 16))
    for index in range(60):
        shade = ramp.rotate(90 * (index % 4)).point(lambda level, index=index: 4 * index * level // 255)
        shade.convert("RGB").save(pictures / f"{index:02d}.png")
    tiny = ["data=folder", f"data.root={pictures}", "~data.count", "~data.frames_per_track", "data.val_fraction=0.2"]
    tiny += ["data.size=32", "mask.size=8", "model.channels=[4,8]"]
    setup = ["debug=fast", "trainer=cpu", "perf=plain"]  # the same numbers on every machine
    network = {"model": "autoencoder", "callbacks": "default"}  # the plainest, unless a test has another

    def composed(root, *overrides, run="run", small=True):
        folders = [f"paths.outputs={root}", f"paths.output_dir={root / run}"]
        with initialize_config_dir(str(config_dir())):
            given = {override.partition("=")[0] for override in overrides}
            plain = [f"{key}={name}" for key, name in network.items() if not given & {key, "experiment"}]
            return compose("train", [*setup, *plain, *(tiny if small else []), *folders, *overrides])

    return composed

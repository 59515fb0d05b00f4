"""What the app's tests share: a tiny network, pictures, and the app itself."""

import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.module import InpaintingModule


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    module = InpaintingModule(network="autoencoder", channels=[4, 8], in_channels=3)
    data = {"size": 32, "fit": "crop", "mask": {"name": "center", "size": 8}}
    path = tmp_path_factory.mktemp("network") / "tiny.ckpt"
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save({**content, "datamodule_hyper_parameters": data}, path)
    return path


@pytest.fixture
def picture():
    """Noise of 60 x 40 pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


@pytest.fixture
def mask(picture):
    """10 x 8 pixels are missing, from (20, 12) on."""
    hole = Image.new("L", picture.size)
    hole.paste(255, (20, 12, 30, 20))
    return hole


@pytest.fixture
def files(picture, mask, tmp_path):
    """Both as files."""
    picture.save(tmp_path / "sign.png")
    mask.save(tmp_path / "mask.png")
    return tmp_path / "sign.png", tmp_path / "mask.png"


@pytest.fixture(scope="session")
def app(checkpoint):
    """The app's address, on a port of its own."""
    pytest.importorskip("gradio")
    from imcomp.app.serving import serving
    from imcomp.app.settings import Settings

    with serving(Settings((str(checkpoint),), port=0, device="cpu", max_mb=2, max_megapixels=4)) as address:
        yield address.rstrip("/")

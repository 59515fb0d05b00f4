"""What the tests of exported networks share."""

import pytest
import torch

from imcomp.module import InpaintingModule

SMALL = {
    "autoencoder": {"channels": [4, 8]},
    "fast": {"channels": [4, 8]},
    "ffc": {"width": 4, "blocks": 1},
    "gated": {"width": 4},
    "unet": {"channels": [4, 8]},
}
"""What makes a network tiny."""


@pytest.fixture(scope="session")
def exported(save_checkpoint, tmp_path_factory):
    """A checkpoint of a colour network, and what came out of it in a folder of its own."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from imcomp.export.running import export

    checkpoint = save_checkpoint(in_channels=3)
    return checkpoint, export(checkpoint, tmp_path_factory.mktemp("exported") / "new folder" / "best.onnx")


@pytest.fixture(scope="session")
def save_checkpoint(tmp_path_factory):
    """Save a tiny untrained network as training leaves it: ``save_checkpoint("unet", in_channels=3)``."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def save(network="autoencoder", *, mask=None, **options):
        torch.manual_seed(0)
        module = InpaintingModule(network=network, **{"in_channels": 1, **SMALL[network], **options})
        path = folder / f"{network}{len(list(folder.iterdir()))}.ckpt"
        data = {"source": "folder", "root": "/home/somebody/pictures", "size": 32, "fit": "crop", "channels": 1}
        data |= {"mask": mask or {"name": "center", "size": 8}}
        torch.save(
            {
                "state_dict": module.state_dict(),
                "hyper_parameters": dict(module.hparams),
                "datamodule_hyper_parameters": data,
            },
            path,
        )
        return path

    return save

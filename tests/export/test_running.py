"""Exporting: every network, whole or not at all."""

import json

import numpy as np
import pytest
import torch

import imcomp.export.running
from imcomp.errors import InputError
from imcomp.export.metadata import read_metadata
from imcomp.export.parity import TOLERANCE
from imcomp.export.program import Completion
from imcomp.export.running import FORMATS, Format, export
from imcomp.export.session import open_graph
from imcomp.export.writing import METADATA, to_program
from imcomp.inference import load_trained
from imcomp.models import NETWORKS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

VARIANTS = [
    (name, channels, options)
    for name in sorted(NETWORKS)
    for channels in (1, 3)
    for options in ([{}] if name == "gated" else [{}, {"mask_channel": True}])
]
IDS = [f"{name}-{channels}{'-mask' if options else ''}" for name, channels, options in VARIANTS]


def noise(channels, height, width, count=1):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(count, channels, height, width, generator=generator)
    return image, (torch.rand(count, 1, height, width, generator=generator) > 0.5).float()


def complete(checkpoint, image, mask):
    trained = load_trained(checkpoint)
    with torch.no_grad():
        return Completion(trained.network, trained.in_channels)(image, mask)


def check_graph(path, checkpoint, channels):
    """It computes what the checkpoint's network does, of sizes that the exporter has not tried."""
    session = open_graph(path)
    multiple = read_metadata(session.get_modelmeta().custom_metadata_map, path).multiple
    for count, rows, columns in ((1, 1, 4), (5, 3, 1)):
        image, mask = noise(channels, rows * multiple, columns * multiple, count)
        (completed,) = session.run(["completed"], {"image": image.numpy(), "mask": mask.numpy()})
        expected = complete(checkpoint, image, mask)
        np.testing.assert_allclose(completed, expected, atol=TOLERANCE)
        known = (mask == 0).expand_as(image).numpy()
        assert np.array_equal(completed[known], image.numpy()[known])


def test_a_network_is_exported(exported):
    checkpoint, (path, difference) = exported[0], (exported[1].path, exported[1].difference)
    assert 0 <= difference <= TOLERANCE
    assert [*path.parent.iterdir()] == [path]
    check_graph(path, checkpoint, 3)

    about = read_metadata(open_graph(path).get_modelmeta().custom_metadata_map, path)
    assert (about.channels, about.multiple, about.size, about.stretch) == (3, 4, 32, False)
    assert about.thickness == (8, 8)
    assert about.reach is None  # upsampling with aligned corners
    assert about.trained["network"]["network"] == "autoencoder"
    assert about.trained["data"]["mask"] == {"name": "center", "size": 8}
    assert b"/home/somebody" not in path.read_bytes()
    assert b".py" not in path.read_bytes()  # where this machine keeps its code
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "channels", "options"), VARIANTS, ids=IDS)
def test_every_network_is_exported(save_checkpoint, tmp_path, network, channels, options):
    checkpoint = save_checkpoint(network, in_channels=channels, **options)
    exported = export(checkpoint, tmp_path / "a.onnx")
    check_graph(exported.path, checkpoint, channels)


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_every_network_is_exported_for_torch(save_checkpoint, tmp_path, network):
    checkpoint = save_checkpoint(network, in_channels=3)
    path = export(checkpoint, tmp_path / "a.pt2", format="torch_export").path
    details = {METADATA: ""}
    program = torch.export.load(path, extra_files=details).module(check_guards=False)
    multiple = json.loads(json.loads(details[METADATA])["multiple"])
    image, mask = noise(3, multiple, 3 * multiple, 5)
    torch.testing.assert_close(program(image, mask), complete(checkpoint, image, mask), atol=TOLERANCE, rtol=0)
    assert b"/home/somebody" not in path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 23])
def test_the_opset_is_chosen(save_checkpoint, tmp_path, opset):
    path = export(save_checkpoint("fast"), tmp_path / "a.onnx", opset=opset).path
    assert [(entry.domain, entry.version) for entry in onnx.load(path).opset_import] == [("", opset)]


def test_the_name_is_the_checkpoints(save_checkpoint, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", Format(".onnx", lambda *_: b"graph", lambda path: complete_as(checkpoint)))
    checkpoint = save_checkpoint()
    assert export(checkpoint).path == checkpoint.with_suffix(".onnx")
    assert checkpoint.with_suffix(".onnx").read_bytes() == b"graph"


def complete_as(checkpoint, error=0.0):
    return lambda image, mask: complete(checkpoint, image, mask) + error * mask


def fail(*_):
    raise RuntimeError("no such operator\nand a page more")


@pytest.mark.parametrize(
    ("write", "error", "words"),
    [
        (lambda *_: b"graph", 0.1, "exported, the network computes something else"),
        (fail, 0, r"the network cannot be exported to format=onnx \(no such operator\)$"),
    ],
)
def test_what_fails_leaves_what_was_there(save_checkpoint, tmp_path, monkeypatch, write, error, words):
    checkpoint, path = save_checkpoint(), tmp_path / "a.onnx"
    path.write_bytes(b"an earlier one")
    monkeypatch.setitem(FORMATS, "onnx", Format(".onnx", write, lambda path: complete_as(checkpoint, error)))
    with pytest.raises(InputError, match=words) as told:
        export(checkpoint, path)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == b"an earlier one"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("a.onnx", {"format": "onnyx"}, "format=onnyx is unknown; did you mean onnx?"),
        ("a.onnx", {"opset": 3}, "opset=3 is not written; give one from 18 to 23"),
        ("a.png", {}, r"a\.png does not end in \.onnx, as files of format=onnx do"),
        ("a.onnx", {"format": "torch_export"}, r"does not end in \.pt2"),
        ("folder.onnx", {}, "is a folder; name a file"),
    ],
)
def test_mistakes_are_told(save_checkpoint, tmp_path, output, options, words):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match=words):
        export(save_checkpoint(), tmp_path / output, **options)
    assert [*tmp_path.iterdir()] == [tmp_path / "folder.onnx"]


def test_missing_packages_are_told(save_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(imcomp.export.writing, "NEEDS", ("onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"^format=onnx needs no_such_package; pip install 'imcomp\[onnx\]', or give"):
        export(save_checkpoint(), tmp_path / "a.onnx")


def test_a_program_holds_no_path_of_this_machine():
    module = Completion(torch.nn.Identity(), 3)
    module.network.multiple = 2
    image, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    assert b".py" not in to_program(module.eval(), (image, mask), (None, None))

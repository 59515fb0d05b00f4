"""From a checkpoint to published weights: small, the same completions, and a card that leaves nothing out."""

import json

import pytest
import torch

from imcomp import Completer, pretrained
from imcomp.errors import InputError
from imcomp.inference import load_trained
from imcomp.model_card import NOTES
from imcomp.module import InpaintingModule
from imcomp.publishing import largest_difference, publish, run_notes
from imcomp.weight_files import read_metadata, read_weight_file

CARD = {key: f"the {key} of a test" for key in NOTES}


def save_checkpoint(path, change=None, **data):
    """A tiny network, untrained."""
    torch.manual_seed(0)
    module = InpaintingModule(channels=[4, 8])
    if change:
        change(module.network)
    content = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "datamodule_hyper_parameters": {
            "source": "folder",
            "root": "/home/somebody/pictures",
            "size": 32,
            "seed": 3,
            "num_workers": 2,
            "mask": {"name": "center", "size": 8},
            **data,
        },
    }
    torch.save(content, path)
    return path


@pytest.fixture
def checkpoint(tmp_path):
    return save_checkpoint(tmp_path / "best.ckpt")


def test_large_tensors_are_halved_and_completions_stay(checkpoint, tmp_path):
    published = publish(checkpoint, "my-signs", CARD, tmp_path / "out")

    assert (published.dtype, published.weights) == ("float16", tmp_path / "out" / "my-signs.safetensors")
    before, after = load_trained(checkpoint), load_trained(published.weights)
    assert largest_difference(before, after.network.state_dict()) == published.difference
    assert 0 < published.difference < 1
    weights = after.network.state_dict()
    for key, value in before.network.state_dict().items():
        kept = value.half().float() if value.ndim > 1 else value
        assert torch.equal(weights[key], kept), key
    assert published.weights.stat().st_size < 0.7 * checkpoint.stat().st_size


def test_it_says_which_pictures_and_nothing_of_the_machine(checkpoint, tmp_path):
    published = publish(checkpoint, "my-signs", CARD, tmp_path)
    facts = read_metadata(published.weights)
    assert facts["datamodule_hyper_parameters"] == {
        "source": "folder",
        "mask": {"name": "center", "size": 8},
        "size": 32,
        "seed": 3,
    }
    assert "lr" not in facts["hyper_parameters"]
    assert facts["purpose"] == "the purpose of a test"
    assert "somebody" not in published.weights.read_bytes().decode("latin-1") + published.card.read_text()


def test_where_half_the_bits_would_be_seen_all_are_kept(tmp_path):
    def large(network):  # a fill of some 20,000, whose differences are its hundredths
        torch.nn.init.constant_(next(network.parameters()), 1e5)

    published = publish(save_checkpoint(tmp_path / "best.ckpt", large), "my-signs", CARD, tmp_path)
    assert (published.dtype, published.difference) == ("float32", 0)
    assert read_weight_file(published.weights)["state_dict"]["network.encoder.0.0.weight"].max() == 1e5


def test_no_denormals_are_written(tmp_path):
    def fade(network):
        with torch.no_grad():
            next(network.parameters()).mul_(0).add_(1e-6)  # a normal float32, and a denormal float16

    published = publish(save_checkpoint(tmp_path / "best.ckpt", fade), "my-signs", CARD, tmp_path)
    for key, value in read_weight_file(published.weights)["state_dict"].items():
        least = torch.finfo(torch.float16 if value.ndim > 1 else torch.float32).tiny
        assert not ((value != 0) & (value.abs() < least)).any(), key


def test_of_averaged_weights_the_average_is_published(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["current_model_state"] = {key: value + 1 for key, value in content["state_dict"].items()}
    torch.save(content, checkpoint)  # as `callbacks=ema` leaves it

    written = read_weight_file(publish(checkpoint, "average", CARD, tmp_path).weights)["state_dict"]

    key = "network.encoder.0.0.weight"
    assert torch.equal(written[key], content["state_dict"][key].half().float())


@pytest.mark.parametrize("name", ["", "My-Signs", "a/b", "../a", "a.b", "-a", "a b"])
def test_names_that_do_not_do(checkpoint, tmp_path, name):
    with pytest.raises(InputError, match="give small letters, digits and hyphens"):
        publish(checkpoint, name, CARD, tmp_path)


def test_weights_that_are_not_numbers(tmp_path):
    def break_(network):
        torch.nn.init.constant_(next(network.parameters()), float("nan"))

    with pytest.raises(InputError, match="weights that are not numbers"):
        publish(save_checkpoint(tmp_path / "best.ckpt", break_), "broken", CARD, tmp_path)


def test_holes_from_files_stay_at_home(tmp_path):
    path = save_checkpoint(tmp_path / "best.ckpt", mask={"name": "folder", "root": "masks"})
    with pytest.raises(InputError, match="holes from files, which cannot be published"):
        publish(path, "my-signs", CARD, tmp_path)


def test_what_ships_stays_small(checkpoint, tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", shelf)
    monkeypatch.setattr(pretrained, "LIMIT", 10_000)
    (shelf / "other.safetensors").write_bytes(bytes(9_999))
    with pytest.raises(InputError, match=r"does not fit beside the 0\.0 MB of the other published weights"):
        publish(checkpoint, "my-signs", CARD, shelf)
    assert [file.name for file in shelf.iterdir()] == ["other.safetensors"]
    publish(checkpoint, "my-signs", CARD, tmp_path)  # a folder of one's own has no bounds


def test_publishing_is_adding_two_files(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "shelf")
    publish(checkpoint, "my-signs", CARD, tmp_path / "shelf")
    assert sorted(file.name for file in (tmp_path / "shelf").iterdir()) == ["my-signs.md", "my-signs.safetensors"]
    assert pretrained.names() == ["my-signs"]
    assert Completer("my-signs", "cpu").size == 32


def test_a_run_tells_its_command_and_time(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    assert run_notes(checkpoint, None) == {}
    assert run_notes(checkpoint, "python train.py") == {"command": "python train.py"}
    (tmp_path / "metrics.json").write_text(json.dumps({"seconds": 90.4}))
    assert run_notes(checkpoint, "python train.py")["time"] == "90 seconds"
    (tmp_path / "metrics.json").write_text(json.dumps({"seconds": 3600}))
    assert run_notes(checkpoint, "python train.py")["time"] == "60 minutes"

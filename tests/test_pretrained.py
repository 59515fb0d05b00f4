"""Published weights: found by name, whatever files are there; those that are there are what they say."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from imcomp import Completer, pretrained
from imcomp.errors import InputError
from imcomp.inference import load_trained
from imcomp.module import InpaintingModule
from imcomp.training import load_weights
from imcomp.weight_files import write_weight_file
from imcomp.weights import read_checkpoint


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of published weights of its own, with ``tiny`` in it, untrained."""
    folder = tmp_path / "published"
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    torch.manual_seed(0)
    module = InpaintingModule(channels=[4, 8])
    facts = {
        "hyper_parameters": {"network": "autoencoder", "in_channels": 1, "channels": [4, 8]},
        "datamodule_hyper_parameters": {"size": 32, "mask": {"name": "center", "size": 8}, "source": "synthetic"},
        "parameters": 1234,
        "purpose": "tests",
    }
    weights = {key: value.half() if value.ndim > 1 else value for key, value in module.network.state_dict().items()}
    write_weight_file(folder / "tiny.safetensors", weights, facts)
    return folder


def test_a_file_in_the_folder_is_published(shelf):
    assert pretrained.names() == ["tiny"]
    one = pretrained.describe("tiny")
    assert (one.name, one.parameters, one.channels, one.size, one.purpose) == ("tiny", 1234, 1, 32, "tests")
    assert (one.hole, one.card) == ("center, size 8", shelf / "tiny.md")
    assert one.bytes == (shelf / "tiny.safetensors").stat().st_size


def test_a_name_is_as_good_as_a_path(shelf):
    image = Image.effect_noise((32, 32), 60)
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 20, 20))
    by_name, by_path = (Completer(ckpt, "cpu").complete(image, mask) for ckpt in ("tiny", shelf / "tiny.safetensors"))
    assert by_name == by_path != image


def test_it_starts_a_run(shelf):
    module = InpaintingModule(channels=[4, 8])
    load_weights(module, "tiny")
    trained = load_trained("tiny").network.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in module.network.state_dict().items())


def test_an_unknown_name_lists_those_that_there_are(shelf):
    for name in ("tyni", "tiny.ckpt", "../published/tiny", "published"):
        with pytest.raises(InputError, match=r"no checkpoint .*published weights \(choose from tiny\)"):
            read_checkpoint(name)
    with pytest.raises(InputError, match="no published weights 'tyni'; choose from tiny"):
        pretrained.describe("tyni")


def test_where_none_are_shipped_that_is_told(shelf, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", shelf / "empty")
    assert pretrained.names() == []
    with pytest.raises(InputError, match="this version ships none"):
        read_checkpoint("tiny")


def test_a_folder_of_the_same_name_is_not_in_the_way(shelf, tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_checkpoint("tiny")["purpose"] == "tests"


@pytest.mark.parametrize("change", [{"hyper_parameters": {}}, {"datamodule_hyper_parameters": {"size": []}}])
def test_a_file_that_says_too_little_is_named(shelf, change):
    facts = {"hyper_parameters": {"in_channels": 1}, "datamodule_hyper_parameters": {"size": 8, "mask": {}}}
    write_weight_file(shelf / "bad.safetensors", {}, {**facts, "parameters": 1, "purpose": "", **change})
    with pytest.raises(InputError, match=r"bad\.safetensors does not say which pictures and holes it is for"):
        pretrained.describe("bad")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "no-such"}, "unknown network"),
        ({"network": ["autoencoder"]}, "cannot rebuild"),
        ({"network": "autoencoder", "channels": [50_000, 60_000]}, "expected"),
        ({"network": "autoencoder", "channels": [10**12]}, "out of range"),
        ({"network": "autoencoder", "channels": "wide"}, "cannot rebuild"),
        ({"network": "autoencoder", "context": "all"}, "context=all is no distance"),
        ({"network": "fast"}, "cannot rebuild"),
    ],
)
def test_metadata_that_ask_for_another_network(shelf, options, words):
    weights = {
        key.removeprefix("network."): value
        for key, value in read_checkpoint(shelf / "tiny.safetensors")["state_dict"].items()
    }
    facts = {"hyper_parameters": {"in_channels": 1, **options}, "datamodule_hyper_parameters": {}}
    write_weight_file(shelf / "bad.safetensors", weights, {**facts, "parameters": 1, "purpose": ""})
    with pytest.raises(InputError, match=words) as caught:
        load_trained("bad")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, 10**9, "large", None, [8]])
def test_metadata_with_a_size_that_no_picture_has(shelf, size):
    content = read_checkpoint("tiny")
    weights = {key.removeprefix("network."): value for key, value in content["state_dict"].items()}
    content["datamodule_hyper_parameters"]["size"] = size
    write_weight_file(shelf / "bad.safetensors", weights, content)
    with pytest.raises(InputError, match="size") as caught:
        Completer("bad", "cpu")
    assert "\n" not in str(caught.value)


def test_what_completes_where_no_checkpoint_is_given(shelf):
    outputs = Path("runs")
    last = str(outputs / "latest" / "checkpoints" / "best.ckpt")
    assert pretrained.choose_checkpoint("a.ckpt", outputs) == "a.ckpt"
    assert pretrained.choose_checkpoint("last", outputs) == last
    assert pretrained.choose_checkpoint(None, outputs) == last
    (shelf / "gtsrb-fast.safetensors").touch()
    assert pretrained.choose_checkpoint(None, outputs) == "gtsrb-fast"


SHIPPED = pretrained.names()


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_completes_and_has_a_card(name):
    one = pretrained.describe(name)
    completer = Completer(name, "cpu")
    image = Image.effect_noise((one.size, one.size), 40)
    mask = completer.cut_hole(image)
    assert completer.complete(image, mask) != image
    assert sum(parameter.numel() for parameter in completer.network.parameters()) == one.parameters
    card = one.card.read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    assert all(f"## {part}\n" in card for part in ("Data", "Training", "Scores", "Known failures"))


def test_what_is_shipped_is_small():
    files = Path(pretrained.__file__).parent.glob("*.safetensors")
    assert sum(file.stat().st_size for file in files) <= pretrained.LIMIT == 20_000_000

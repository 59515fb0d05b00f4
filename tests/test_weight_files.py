"""Weights as safetensors: what is written is read, and nothing else is."""

import json
import struct

import pytest
import torch

from imcomp.errors import InputError
from imcomp.weight_files import KEY, read_metadata, read_weight_file, write_weight_file

FACTS = {"hyper_parameters": {"network": "fast"}, "datamodule_hyper_parameters": {"size": 8}, "parameters": 3}
FACTS |= {"purpose": "tests"}


def file_of(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def message(path):
    """Both ways of reading refuse the file in the same line."""
    said = set()
    for read in (read_weight_file, read_metadata):
        with pytest.raises(InputError) as caught:
            read(path)
        said.add(str(caught.value))
    (line,) = said
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def test_whoever_may_read_other_files_may_read_this_one(path):
    write_weight_file(path, {"a": torch.ones(3)}, FACTS)
    path.with_suffix(".txt").write_text("")

    assert path.stat().st_mode == path.with_suffix(".txt").stat().st_mode


def test_what_is_written_is_read(path):
    half, count = torch.tensor([[1.0, 0.5]], dtype=torch.float16), torch.tensor(7)
    write_weight_file(path, {"weight": half, "bias": torch.tensor([0.1]), "count": count}, FACTS)

    content = read_weight_file(path)

    weights = content.pop("state_dict")
    assert content == read_metadata(path) == FACTS
    assert {key: (value.dtype, value.tolist()) for key, value in weights.items()} == {
        "network.weight": (torch.float32, [[1.0, 0.5]]),
        "network.bias": (torch.float32, [pytest.approx(0.1)]),
        "network.count": (torch.int64, 7),
    }


def test_a_file_that_is_overwritten_does_not_change_what_was_read(path):
    write_weight_file(path, {"weight": torch.ones(1000)}, FACTS)
    weights = read_weight_file(path)["state_dict"]["network.weight"]
    path.write_bytes(bytes(path.stat().st_size))
    assert weights.sum() == 1000


def test_a_write_that_fails_leaves_what_was_there(path):
    write_weight_file(path, {"weight": torch.ones(1)}, FACTS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_weight_file(path, {"weight": torch.zeros(1)}, {**FACTS, "hyper_parameters": {"lr": float("nan")}})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_no_file(path):
    assert "give the path of a .safetensors file" in message(path)
    path.mkdir()
    assert "give the path of a .safetensors file" in message(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file(path, share):
    write_weight_file(path, {"weight": torch.ones(1000)}, FACTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "is damaged or not a .safetensors file (" in message(path)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"no JSON", b""),
        (b"{" + b"[" * 100_000, b""),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        ({"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 8]}}, b"12345678"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),
        ({"__metadata__": {KEY: {"size": 8}}}, b""),
    ],
)
def test_a_hostile_header(path, header, data):
    assert "is damaged or not a .safetensors file (" in message(file_of(path, header, data))


def test_a_length_that_is_a_lie(path):
    path.write_bytes(struct.pack("<Q", (1 << 63) - 1) + b"{}")
    assert "is damaged or not a .safetensors file (" in message(path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "its metadata have no 'imcomp'"),
        ({"format": "pt"}, "its metadata have no 'imcomp'"),
        ({KEY: "no JSON"}, "are no JSON"),
        ({KEY: "[" * 100_000}, "are no JSON"),
        ({KEY: "1" * 10_000}, "are no JSON"),
        ({KEY: "[1, 2]"}, "are a list"),
        ({KEY: "{}"}, "no hyper_parameters of type dict"),
        ({KEY: json.dumps({**FACTS, "hyper_parameters": [1]})}, "no hyper_parameters of type dict"),
        ({KEY: json.dumps({**FACTS, "parameters": "many"})}, "no parameters of type int"),
        ({KEY: json.dumps({**FACTS, "hyper_parameters": {"lr": float("nan")}})}, "are no JSON"),
    ],
)
def test_another_programs_file(path, metadata, words):
    header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    line = message(file_of(path, header if metadata is None else {"__metadata__": metadata, **header}, b"1234"))
    assert "is not of imcomp" in line
    assert words in line


@pytest.mark.parametrize("kind", ["F8_E4M3", "U8", "BOOL"])
def test_tensors_of_a_kind_that_no_network_has(path, kind):
    header = {"a": {"dtype": kind, "shape": [1], "data_offsets": [0, 1]}}
    file_of(path, {"__metadata__": {KEY: json.dumps(FACTS)}, **header}, b"1")
    with pytest.raises(InputError, match=f"a is {kind}, expected a float or I64; give another"):
        read_weight_file(path)

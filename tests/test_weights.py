"""Reading checkpoints: all that is right, nothing that is not, and no number that only costs time."""

import pickle
from collections import OrderedDict

import pytest
import torch

from imcomp.errors import InputError
from imcomp.weights import flush_denormals, read_checkpoint


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


class TestReadCheckpoint:
    @staticmethod
    def message(path):
        with pytest.raises(InputError) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    def test_a_checkpoint_is_read(self, tmp_path):
        content = {"state_dict": {"weight": torch.ones(1)}, "hyper_parameters": {"lr": 0.5}}
        torch.save(content, tmp_path / "a.ckpt")

        assert read_checkpoint(str(tmp_path / "a.ckpt")) == content

    def test_no_file(self, tmp_path):
        assert "give the path of a .ckpt file" in self.message(tmp_path / "a.ckpt")

    def test_a_folder(self, tmp_path):
        assert "give the path of a .ckpt file" in self.message(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all\n", b"PK\x03\x04", bytes(range(256))])
    def test_something_else(self, tmp_path, content):
        (tmp_path / "a.ckpt").write_bytes(content)

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_part_of_one(self, tmp_path, share):
        torch.save({"state_dict": {"weight": torch.ones(9999)}, "hyper_parameters": {}}, tmp_path / "a.ckpt")
        content = (tmp_path / "a.ckpt").read_bytes()
        (tmp_path / "a.ckpt").write_bytes(content[: int(share * len(content))])

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
    def test_nothing_is_executed(self, tmp_path, save):
        save({"state_dict": Trap(tmp_path / "made"), "hyper_parameters": {}}, tmp_path / "a.ckpt")

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("content", [{"state_dict": {}}, {"hyper_parameters": {}}, {}, [1, 2], torch.ones(2)])
    def test_another_programs(self, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")

        assert "is not a checkpoint of imcomp" in self.message(tmp_path / "a.ckpt")

    def test_it_holds_no_denormals(self, tmp_path):
        torch.set_flush_denormal(False)  # to see them
        weight = torch.tensor([1e-39, -1e-32, 1e-29])
        torch.save({"state_dict": {"weight": weight}, "hyper_parameters": {}}, tmp_path / "a.ckpt")

        assert read_checkpoint(tmp_path / "a.ckpt")["state_dict"]["weight"].tolist() == [0, 0, weight[2].item()]


class TestFlushDenormals:
    @pytest.fixture(autouse=True, params=[False, True], ids=["denormals", "as zero"])
    def denormals(self, request):
        """Whether the CPU itself takes denormals for 0, which must not hide them."""
        torch.set_flush_denormal(request.param)
        yield
        torch.set_flush_denormal(False)

    @staticmethod
    def bits(tensor):
        return tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]).tolist()

    @pytest.mark.parametrize(
        ("dtype", "tiny"),
        [(torch.float32, 1 << 22), (torch.float64, 1 << 50), (torch.float16, 1 << 9), (torch.bfloat16, 1 << 6)],
    )
    def test_of_every_type(self, dtype, tiny):
        integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
        values = torch.cat([torch.tensor([tiny, 1], dtype=integers).view(dtype), torch.ones(1, dtype=dtype)])

        assert self.bits(flush_denormals(values)) == [0, 0, *self.bits(torch.ones(1, dtype=dtype))]

    def test_what_is_normal_keeps_its_bits(self):
        values = torch.tensor([0.0, -0.0, 1.2e-38, -3.0, float("inf"), float("nan")])
        assert self.bits(flush_denormals(values)) == self.bits(values)

    def test_wherever_they_are(self):
        tiny = torch.tensor([1], dtype=torch.int32).view(torch.float32)
        weights = OrderedDict(weight=tiny)
        weights._metadata = {"version": 1}
        content = {"state_dict": weights, "rest": [1, "a", (tiny, None)], "step": torch.tensor([1])}

        flushed = flush_denormals(content)

        assert self.bits(flushed["state_dict"]["weight"]) == self.bits(flushed["rest"][2][0]) == [0]
        assert type(flushed["state_dict"]) is OrderedDict
        assert flushed["state_dict"]._metadata == {"version": 1}
        assert flushed["rest"][:2] == [1, "a"]
        assert flushed["step"] is content["step"]
        assert self.bits(tiny) == [1]

    def test_without_any_nothing_is_copied(self):
        content = {"state_dict": {"weight": torch.ones(2)}, "rest": [1, 2]}
        assert flush_denormals(content) is content

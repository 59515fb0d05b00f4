"""Files that pose as checkpoints: nothing of them is executed, and each is one line."""

import pickle
import zipfile

import pytest
import torch

from imcomp import Completer
from imcomp.errors import InputError


class Evil:
    """What a pickle can do to whoever loads it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def pickled(path, evil):
    path.write_bytes(pickle.dumps({"state_dict": evil, "hyper_parameters": {}}))


def torch_saved(path, evil):
    torch.save({"state_dict": {"network.a": torch.zeros(1)}, "hyper_parameters": {}, "extra": evil}, path)


def torch_saved_old(path, evil):
    torch.save({"state_dict": {}, "hyper_parameters": {"a": evil}}, path, _use_new_zipfile_serialization=False)


def module_saved(path, evil):
    torch.save(torch.nn.Linear(1, 1), path)


def zipped(path, evil):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil))
        archive.writestr("../../escaped", "out of the archive")


def of_another_program(path, evil):
    torch.save({"model": {"weight": torch.zeros(3)}, "epoch": 7}, path)


def foreign_weights(path, evil):
    torch.save({"state_dict": {"layer.weight": torch.zeros(3)}, "hyper_parameters": {"lr": 1}}, path)


def foreign_network(path, evil):
    options = {"network": "os.system", "in_channels": 1}
    content = {"state_dict": {}, "hyper_parameters": options, "datamodule_hyper_parameters": {"size": 32}}
    torch.save(content, path)


def absurd_size(path, evil):
    options = {"network": "autoencoder", "channels": [1 << 40, 8]}
    content = {"state_dict": {}, "hyper_parameters": options, "datamodule_hyper_parameters": {"size": 32}}
    torch.save(content, path)


def nothing(path, evil):
    path.write_bytes(b"")


def words(path, evil):
    path.write_text("outputs/latest/checkpoints/best.ckpt")


def long_header(path, evil):
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")


def a_folder(path, evil):
    path.mkdir()


def a_link_to_itself(path, evil):
    path.symlink_to(path.name)


KINDS = [
    *(pickled, torch_saved, torch_saved_old, module_saved, zipped, of_another_program, foreign_weights),
    *(foreign_network, absurd_size, nothing, words, long_header, a_folder, a_link_to_itself),
]


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".pt"])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_in_python(tmp_path, monkeypatch, make, suffix):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / f"bad{suffix}", Evil(tmp_path / "hacked"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as raised:
        Completer(f"bad{suffix}", "cpu")
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize(
    "make", [torch_saved, of_another_program, foreign_network, words], ids=lambda make: make.__name__
)
def test_on_the_command_line(command, tmp_path, picture, make, suffix):
    make(tmp_path / f"bad{suffix}", Evil(tmp_path / "hacked"))
    picture("a.png")
    code, _, err = command(f"ckpt=bad{suffix}", "input=a.png")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert not (tmp_path / "hacked").exists()
    assert not (tmp_path / "completed").exists()

import json
import subprocess
import sys

import pytest
import torch

from imcomp.provenance import (
    describe_data,
    differences,
    git_state,
    read_provenance,
    warn_of_differences,
    write_provenance,
)
from imcomp.training import train

QUIET = ("logger=csv", "callbacks.progress=null")


class Pictures:
    def __len__(self):
        return 3

    def fingerprint(self):
        return "abc"


def test_data_are_named_by_what_the_source_says():
    # printf abc | sha256sum
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    described = describe_data(Pictures(), "folder", {"train": 2, "val": 1})

    assert described == {"source": "folder", "pictures": 3, "train": 2, "val": 1, "fingerprint": abc}
    assert describe_data([1, 2], "folder", {})["fingerprint"] is None


class TestGit:
    @pytest.fixture
    def checkout(self, tmp_path):
        if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:
            pytest.skip("git is not installed")
        (tmp_path / "a.py").write_text("a = 1\n")
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
            identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
            subprocess.run(["git", "-C", tmp_path, *identity, *command], check=True)
        return tmp_path

    def test_a_clean_checkout(self, checkout):
        state = git_state(checkout)

        assert len(state["commit"]) == 40
        assert (state["changed"], state["diff_sha256"]) == ([], None)

    def test_what_was_changed_is_told(self, checkout):
        (checkout / "a.py").write_text("a = 2\n")
        (checkout / "b.py").touch()

        first = git_state(checkout)
        (checkout / "a.py").write_text("a = 3\n")

        assert first["changed"] == ["a.py", "b.py"]
        assert git_state(checkout)["diff_sha256"] != first["diff_sha256"]

    def test_a_change_that_is_not_utf_8(self, checkout):
        (checkout / "a.py").write_bytes(b"# caf\xe9\n")
        assert len(git_state(checkout)["diff_sha256"]) == 64

    def test_outside_of_a_checkout(self, tmp_path):
        assert git_state(tmp_path) is None


def test_the_parts_of_a_resumed_run_are_kept(tmp_path):
    for number in range(3):
        write_provenance(tmp_path, {"started": number})

    assert read_provenance(tmp_path) == {"started": 2, "before": [{"started": 0}, {"started": 1}]}


def test_a_damaged_file_does_not_stop_a_run(tmp_path):
    (tmp_path / "provenance.json").write_text("{")

    write_provenance(tmp_path, {"started": 1})

    assert read_provenance(tmp_path) == {"started": 1, "before": []}


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_a_repeated_run_goes_on_where_the_other_ones_file_is_damaged(tmp_path, caplog, content):
    (tmp_path / "provenance.json").write_bytes(content)

    warn_of_differences(tmp_path, {"versions": {"torch": "2.15"}})

    assert "provenance.json is damaged" in caplog.text
    assert "whether this run is as that one was is not known" in caplog.text


def test_what_may_change_the_numbers_is_named():
    old = {"versions": {"torch": "2.14"}, "data": {"fingerprint": "a"}, "machine": {"cores": 2}, "git": None}
    new = {"versions": {"torch": "2.15"}, "data": {"fingerprint": "a"}, "machine": {"cores": 4}, "git": {}}

    assert differences(old, new) == ["versions torch: 2.14 then, 2.15 now"]


@pytest.fixture(scope="module")
def twice(train_config, tmp_path_factory):
    """One run, and the same again."""
    root = tmp_path_factory.mktemp("twice")
    train(train_config(root, *QUIET, "model.dropout=0.1", run="first"))
    train(train_config(root, *QUIET, "model.dropout=0.1", f"rerun={root / 'first'}", run="second"))
    return root


class TestRun:
    def test_it_says_what_it_was(self, twice):
        kept = json.loads((twice / "first" / "provenance.json").read_text())

        assert kept["seed"] == 0
        assert kept["versions"]["torch"] == torch.__version__.partition("+")[0]
        assert sys.orig_argv[0] in kept["command"]
        assert kept["data"]["pictures"] == 60
        assert (kept["data"]["train"], kept["data"]["val"], kept["data"]["test"]) == (48, 12, 0)
        assert len(kept["data"]["fingerprint"]) == 64
        assert (kept["machine"]["device"], kept["machine"]["processes"]) == ("cpu", 1)
        assert (kept["resumed"], kept["before"]) == (None, [])

    @pytest.mark.parametrize("name", ["best", "last"])
    def test_the_same_again_is_the_same_to_the_bit(self, twice, name):
        one, other = (
            torch.load(twice / run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for run in ("first", "second")
        )

        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())

    def test_what_is_not_as_it_was_is_told(self, twice, train_config, tmp_path, caplog):
        file = twice / "first" / "provenance.json"
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({**kept, "versions": {**kept["versions"], "torch": "1.0"}}))

        train(train_config(tmp_path, *QUIET, "trainer.max_epochs=1", f"rerun={twice / 'first'}"))
        file.write_text(json.dumps(kept))

        assert f"not as in {twice / 'first'}: versions torch: 1.0 then, {kept['versions']['torch']} now" in caplog.text

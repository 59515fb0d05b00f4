"""Networks to choose among: by name, and no others."""

import pytest

from imcomp.app.networks import Networks, name_checkpoints
from imcomp.errors import InputError


@pytest.mark.parametrize(
    ("checkpoints", "names"),
    [
        (["best.ckpt"], ["best"]),
        (["a/signs.onnx", "b/signs.safetensors", "c/signs.ckpt"], ["signs", "signs (2)", "signs (3)"]),
        (["runs/one/checkpoints/best.ckpt", "runs/two/checkpoints/best.ckpt"], ["one best", "two best"]),
        (["gtsrb-fast", "v1.5.ckpt"], ["gtsrb-fast", "v1.5"]),
    ],
)
def test_each_has_a_name_of_its_own(checkpoints, names):
    assert name_checkpoints(checkpoints) == names


def test_without_a_name_it_is_the_first(checkpoint):
    networks = Networks([str(checkpoint)], "cpu")
    assert networks.names == ["tiny"]
    assert networks.get("tiny") is networks.get(None) is networks.get("")


@pytest.mark.parametrize("name", ["other", "../tiny", "/etc/passwd"])
def test_no_other_file_can_be_named(checkpoint, name):
    with pytest.raises(InputError, match=r"there is no network .* here; choose from tiny"):
        Networks([str(checkpoint)], "cpu").get(name)


@pytest.mark.parametrize(
    ("checkpoints", "words"), [([], "no network to complete with"), (["nowhere.ckpt"], "no checkpoint nowhere.ckpt")]
)
def test_a_mistake_is_told_before_the_page_is_up(checkpoints, words):
    with pytest.raises(InputError, match=words):
        Networks(checkpoints, "cpu")

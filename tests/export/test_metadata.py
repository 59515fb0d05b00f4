"""What an exported file says of itself."""

import json

import pytest

from imcomp.errors import InputError
from imcomp.export.metadata import Metadata, read_metadata

METADATA = Metadata(
    channels=1, multiple=16, size=256, stretch=True, thickness=(8, 40), reach=None, trained={"network": {"width": 3}}
)


def test_it_reads_what_it_wrote():
    assert read_metadata(METADATA.to_strings(), "a.onnx") == METADATA


def test_a_person_can_read_it():
    strings = METADATA.to_strings()
    assert strings["task"] == "image completion"
    assert "1 = hole" in strings["mask"]
    assert "[0, 1]" in strings["image"]
    assert (strings["multiple"], strings["channels"]) == ("16", "1")


@pytest.mark.parametrize("strings", [{}, {"task": "detection"}, {"multiple": "16"}])
def test_another_task_is_told(strings):
    with pytest.raises(InputError, match=r"^a\.onnx is for another task, or not of imcomp's; give a file that"):
        read_metadata(strings, "a.onnx")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("multiple", None, "does not say which pictures"),
        ("multiple", "many", "does not say which pictures"),
        ("thickness", "[1]", "does not say which pictures"),
        ("multiple", "0", "says nonsense"),
        ("multiple", "true", "says nonsense"),
        ("size", "-3", "says nonsense"),
        ("size", '"256"', "says nonsense"),
        ("channels", "2", "says nonsense"),
        ("channels", "[1]", "says nonsense"),
        ("reach", "-1", "says nonsense"),
        ("thickness", "[0, 4]", "says nonsense"),
    ],
)
def test_nonsense_is_told(key, value, words):
    strings = METADATA.to_strings() | {key: value}
    with pytest.raises(InputError, match=words) as told:
        read_metadata({name: text for name, text in strings.items() if text is not None}, "a.onnx")
    assert "\n" not in str(told.value)


def test_its_numbers_are_json():
    strings = METADATA.to_strings()
    assert json.loads(strings["thickness"]) == [8, 40]
    assert json.loads(strings["reach"]) is None

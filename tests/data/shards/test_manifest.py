import json

import pytest

from imcomp.data.shards.manifest import Manifest, Shard, parse_manifest
from imcomp.errors import InputError

TRAIN = (Shard("train/00000.bin", 3, 100, "aa"), Shard("train/00001.bin", 2, 90, "bb"))
VAL = (Shard("val/00000.bin", 1, 40, "cc"),)


def manifest(**changes):
    values = {
        "form": "encoded",
        "channels": None,
        "size": None,
        "fit": None,
        "source": "folder",
        "split": {"split": "random", "seed": 0},
        "plan": "dd",
        "parts": {"train": TRAIN, "val": VAL, "test": ()},
        "left_out": (("a.png", "file is empty"),),
    }
    return Manifest(**{**values, **changes})


def test_pictures_are_numbered_through_the_parts():
    assert manifest().split_ranges() == {"train": range(5), "val": range(5, 6), "test": range(6, 6)}
    assert manifest().shards == (*TRAIN, *VAL)
    assert manifest().pictures == 6


def test_what_is_written_is_read():
    text = manifest().to_json()

    assert parse_manifest(text, "x") == manifest()
    assert json.loads(text)["pictures"] == {"train": 5, "val": 1, "test": 0}


def test_the_digest_names_the_bytes_and_their_order():
    turned = manifest(parts={"train": TRAIN[::-1], "val": VAL, "test": ()})

    assert manifest().digest == manifest(plan="ee").digest
    assert manifest().digest != turned.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.update(format=0), "another version"),
        (lambda values: values["parts"]["train"][0].update(file="../../etc/passwd"), "is no name of a shard"),
        (lambda values: values["parts"]["train"][0].update(sha256="ff"), "its digest is not its shards'"),
        (lambda values: values.pop("parts"), "'parts'"),
        (lambda values: values.update(form="pickled"), "damaged"),
    ],
)
def test_another_file_is_refused(change, said):
    values = json.loads(manifest().to_json())
    change(values)

    with pytest.raises(InputError, match=f"^here/manifest.json .*{said}"):
        parse_manifest(json.dumps(values), "here/manifest.json")


def test_half_a_file_is_refused():
    with pytest.raises(InputError, match="copy it again"):
        parse_manifest(manifest().to_json()[:-50], "here")

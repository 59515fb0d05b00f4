"""Model cards: what they hold, and what they refuse to leave out."""

import json

import pytest

from imcomp.errors import InputError
from imcomp.model_card import NOTES, check_notes, read_evaluations, write_card

CARD = {key: f"the {key} of a test" for key in NOTES}
FACTS = {
    "hyper_parameters": {"network": "fast", "in_channels": 3},
    "datamodule_hyper_parameters": {"size": 64, "mask": {"name": "brush", "width": [8, 20], "area": None}},
    "parameters": 1_234_567,
}


def score(mean):
    return {"mean": mean, "low": mean - 1, "high": mean + 1}


def evaluation(path, ckpt):
    content = {
        "pictures": {
            "source": "gtsrb",
            "part": "val",
            "split": "track",
            "seed": 0,
            "count": 7980,
            "mask": {"name": "center", "size": 40},
        },
        "entrants": {
            "a run": {"kind": "network", "ckpt": str(ckpt), "scores": {"psnr": score(30.0), "mse": score(2.0)}},
            "other": {"kind": "network", "ckpt": "other.ckpt", "scores": {"psnr": score(99.0)}},
            "telea": {"kind": "classical", "ckpt": None, "scores": {"psnr": score(20.0), "mse": score(3.0)}},
        },
    }
    path.write_text(json.dumps(content))
    return path


def test_all_that_is_known_is_told(tmp_path):
    scored = read_evaluations([evaluation(tmp_path / "metrics.json", tmp_path / "best.ckpt")], tmp_path / "best.ckpt")
    card = write_card("my-signs", FACTS, CARD, "5.1 MB, float16", scored)
    assert all(text in card for text in CARD.values())
    for line in (
        "# my-signs",
        "python predict.py ckpt=my-signs input=PICTURES output=completed",
        "| network | `fast`, 1,234,567 parameters |",
        "| pictures | colour, 64x64 |",
        "| holes | brush (width [8, 20]) |",
        "| weights | 5.1 MB, float16 |",
        "7,980 pictures of gtsrb, val, track split, seed 0, holes center (size 40):",
        "| | MSE | PSNR, dB |",
        "| **these weights** | 2.00000 (1.00000 to 3.00000) | 30.00 (29.00 to 31.00) |",
        "| telea | 3.00000 (2.00000 to 4.00000) | 20.00 (19.00 to 21.00) |",
        "## Known failures",
    ):
        assert line in card.splitlines()
    assert "99" not in card  # another network's


def test_pictures_that_were_brought_to_few_pixels_are_told_apart(tmp_path):
    file = evaluation(tmp_path / "metrics.json", tmp_path / "best.ckpt")
    content = json.loads(file.read_text())
    content["pictures"]["resolution"] = 32
    file.write_text(json.dumps(content))
    card = write_card("my-signs", FACTS, CARD, "5.1 MB", read_evaluations([file], tmp_path / "best.ckpt"))
    assert "7,980 pictures of gtsrb brought to 32x32, val, track split, seed 0, holes center (size 40):" in card


def test_scores_of_a_self_ensemble_are_told_apart(tmp_path):
    file = evaluation(tmp_path / "metrics.json", tmp_path / "best.ckpt")
    content = json.loads(file.read_text())
    content["entrants"]["a run"]["self_ensemble"] = True
    file.write_text(json.dumps(content))
    card = write_card("my-signs", FACTS, CARD, "5.1 MB", read_evaluations([file], tmp_path / "best.ckpt"))
    assert "| **these weights**, self-ensemble | 2.0" in card


def test_without_an_evaluation_there_are_no_scores():
    assert "## Scores" not in write_card("my-signs", FACTS, CARD, "5.1 MB", [])


@pytest.mark.parametrize("key", NOTES)
def test_nothing_is_left_out(key):
    for notes in ({k: v for k, v in CARD.items() if k != key}, {**CARD, key: " "}, {**CARD, key: None}):
        with pytest.raises(InputError, match=f"the card's notes have no '{key}'"):
            check_notes(notes)


def test_notes_of_another_kind():
    with pytest.raises(InputError, match="the card's notes are a list; give purpose, data"):
        check_notes([1])
    with pytest.raises(InputError, match="unknown key 'licence'; choose from purpose"):
        check_notes({**CARD, "licence": "MIT"})
    with pytest.raises(InputError, match="purpose has several lines"):
        check_notes({**CARD, "purpose": "one\ntwo"})


def test_evaluations_that_do_not_do(tmp_path):
    file = evaluation(tmp_path / "metrics.json", tmp_path / "other" / "best.ckpt")
    with pytest.raises(InputError, match="is an evaluation of other checkpoints than"):
        read_evaluations([file], tmp_path / "best.ckpt")
    for content in ("", "[]", "{}", '{"mse": 1}'):
        file.write_text(content)
        with pytest.raises(InputError, match=r"is not the metrics\.json of an evaluation"):
            read_evaluations([file], tmp_path / "best.ckpt")
    with pytest.raises(InputError, match=r"is not the metrics\.json of an evaluation"):
        read_evaluations([tmp_path / "nowhere.json"], tmp_path / "best.ckpt")

import csv

import numpy as np
import pytest

from imcomp.evaluation.listing import write_listing
from imcomp.evaluation.scoring import Scored


def scored(**changes):
    fill = {"mse": np.array([0.25, 1e-9]), "psnr": np.array([6.0206, 90.0])}
    other = {"mse": np.array([0.5, 0.125]), "psnr": np.array([3.0103, 9.0309])}
    options = {
        "positions": np.array([0, 2]),
        "names": ["00001/a.ppm", "00002/b, c.ppm"],
        "groups": ["00001", "00002"],
        "areas": np.array([0.5, 1 / 3]),
        "scores": {"fill": fill, "other": other},
        "seconds": {"fill": 1.0, "other": 1.0},
        "pictures": 3,
    }
    return Scored(**{**options, **changes})


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_picture_has_a_row_for_each_entrant(tmp_path):
    write_listing(scored(), tmp_path / "pictures.csv")
    rows = read(tmp_path / "pictures.csv")
    assert list(rows[0]) == ["picture", "group", "hole_area", "entrant", "mse", "psnr"]
    assert [(row["picture"], row["entrant"]) for row in rows] == [
        (name, entrant) for name in ("00001/a.ppm", "00002/b, c.ppm") for entrant in ("fill", "other")
    ]
    assert [float(row["mse"]) for row in rows] == [0.25, 0.5, 1e-9, 0.125]
    assert float(rows[2]["hole_area"]) == pytest.approx(1 / 3, rel=1e-6)
    assert rows[2]["group"] == "00002"


def test_without_pictures_there_is_a_head(tmp_path):
    nothing = {"fill": {"mse": np.array([])}}
    write_listing(scored(names=[], groups=[], areas=np.array([]), scores=nothing), tmp_path / "pictures.csv")
    assert (tmp_path / "pictures.csv").read_text() == "picture,group,hole_area,entrant,mse\n"


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    write_listing(scored(names=["a\udcff.png", "b.png"]), tmp_path / "pictures.csv")
    assert read(tmp_path / "pictures.csv")[0]["picture"] == r"a\udcff.png"

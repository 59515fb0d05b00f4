"""Reports: what stands in them is shown as it is, whatever signs it holds."""

import re

import pytest
from PIL import Image

from imcomp.evaluation.document import Figure, Grid, Heading, Lines, to_html, to_markdown


@pytest.fixture
def parts(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return [
        Heading("A & B"),
        Lines(["<script>alert(1)</script>", "*stars* | pipes"]),
        Heading("Scores"),
        Grid(["", "MSE"], [["my_run", "0.1 (0 to 1)"], ["telea", "0.2"]], frozenset({(0, 1)})),
        Figure(tmp_path / "a.png", "first"),
        Figure(tmp_path / "b.svg", "curves"),
    ]


def test_markdown(parts):
    assert to_markdown(parts).split("\n\n") == [
        "# A & B",
        "- \\<script\\>alert(1)\\</script\\>\n- \\*stars\\* \\| pipes",
        "## Scores",
        "|  | MSE |\n| --- | ---: |\n| my\\_run | **0.1 (0 to 1)** |\n| telea | 0.2 |",
        "![first](a.png)",
        "![curves](b.svg)\n",
    ]


def test_html_is_one_file_that_runs_nothing(parts):
    page = to_html(parts)
    assert page.startswith("<!doctype html>")
    assert "<title>A &amp; B</title>" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<td>my_run</td><td><b>0.1</b><br><small>(0 to 1)</small></td>" in page
    sources = re.findall(r'src="([^"]{20})', page)
    assert [source[:15] for source in sources] == ["data:image/png;", "data:image/svg+"]
    assert "http" not in page.replace("data:", "")

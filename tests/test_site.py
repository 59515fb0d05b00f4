"""The documentation as a site: every page has a place, every link a target."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytest.importorskip("mkdocs", reason="the site needs mkdocs: pip install imcomp[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(target)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=_environment())
    assert (built.returncode, built.stderr) == (0, "")
    return target


def _environment():
    return {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}


def test_it_builds_without_a_warning(site):
    assert (site / "index.html").is_file()
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").glob("*.md")}
    assert {path for path in pages if not (site / path).is_file()} == set()


def test_the_reference_is_made_of_the_docstrings(site):
    text = (site / "api" / "completer.html").read_text(encoding="utf-8")
    assert "Fills holes in pictures" in text
    assert "Completer" in text


def test_a_page_asks_no_other_server_for_anything(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=[\"']?(https?:[^\"' >]+)", text)
        styles = re.findall(r"<link[^>]* rel=[\"']?(?:stylesheet|preconnect)[^>]*>", text)
        loaded += [found for style in styles for found in re.findall(r"href=[\"']?(https?:[^\"' >]+)", style)]
        assert loaded == [], page

"""The page with sliders."""

import re

from PIL import Image

from imcomp.prediction import contact
from imcomp.prediction.contact import write_contact_sheet
from imcomp.prediction.journal import FOLDER
from imcomp.prediction.sheets import Prediction, draw_thumbnails, thumbnail_names


def written(output, *names):
    folder = output / FOLDER / "thumbnails"
    folder.mkdir(parents=True)
    for name in names:
        for file in thumbnail_names(name):
            Image.new("RGB", (4, 2)).save(folder / file)
    rows = [(name, {"output": f"{name}.png", "width": 4, "height": 2, "hole_pixels": 3}) for name in names]
    write_contact_sheet(output, rows)
    return (output / "index.html").read_text(encoding="utf-8")


def test_it_needs_no_other_file(tmp_path):
    page = written(tmp_path, "a", "deep/b")
    assert page.count("data:image/jpeg;base64,") == 4
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {source for source in sources if not source.startswith("data:")} == {"a.png", "deep/b.png"}
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('type="range"') == 2
    assert "4 × 2, hole 3 pixels" in page


def test_names_are_escaped(tmp_path):
    page = written(tmp_path, '<script>"x"</script>', "new\nline", "a & b %", "no-\udcff-text")
    assert "<script>&" not in page
    assert page.count("<script>") == 1  # its own
    assert "&lt;script&gt;&quot;x&quot;&lt;/script&gt;" in page
    assert "new\\nline.png" in page
    assert 'href="a%20%26%20b%20%25.png"' in page
    assert 'href="no-%FF-text.png"' in page


def test_it_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(contact, "MOST", 2)
    page = written(tmp_path, "a", "b", "c")
    assert page.count("<figure>") == 2
    assert "2 of 3 pictures" in page


def test_thumbnails_mark_the_hole(tmp_path):
    mask = Image.new("L", (1000, 500))
    mask.paste(255, (0, 0, 500, 500))
    image, completed = Image.new("I;16", (1000, 500), 65535), Image.new("I;16", (1000, 500), 32768)
    before, after = draw_thumbnails(Prediction(tmp_path, image, mask, completed, None))
    assert before.size == after.size == (480, 240)
    assert (before.getpixel((10, 10)), before.getpixel((400, 10))) == ((230, 0, 126), (255, 255, 255))
    assert after.getpixel((10, 10)) == (128, 128, 128)

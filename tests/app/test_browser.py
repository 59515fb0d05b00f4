"""The page in a real browser: upload, paint, complete, compare, go on."""

import shutil

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

SIZES = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not there")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--use-gl=swiftshader"])
        yield browser
        browser.close()


@pytest.fixture(params=["wide"])
def page(request, chromium, app):
    """The page, on a screen of some size; nothing but the app is asked for anything."""
    name, _, scheme = request.param.partition(" ")
    width, height = SIZES[name]
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme or "light")
    asked, complaints = [], []
    opened = context.new_page()
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(app)
    opened.locator("#picture input[type=file]").wait_for(state="attached")
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith((app, "data:", "blob:"))] == []
    assert complaints == []


def give(page, path):
    page.locator("#picture input[type=file]").set_input_files(path)
    page.locator("#canvas canvas").first.wait_for()
    page.wait_for_timeout(1000)  # until the canvas has drawn it


def paint(page):
    """A stroke across the middle of the canvas."""
    page.locator("#canvas canvas").first.scroll_into_view_if_needed()
    box = page.locator("#canvas canvas").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=8)
    page.mouse.up()


def complete(page, into):
    page.locator("#complete").click()
    page.locator("#result a[download]").first.wait_for()
    with page.expect_download() as download:
        page.locator("#result a[download]").first.click()
    download.value.save_as(into)
    with Image.open(into) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.mark.parametrize("page", ["wide", "phone", "wide dark"], indirect=True)
def test_upload_paint_complete_and_download(page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "sign.png")
    give(page, tmp_path / "sign.png")
    paint(page)

    pixels = complete(page, tmp_path / "completed.png")

    assert pixels.shape == noise.shape
    changed = (pixels != noise).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 1000
    # nothing but the stroke, with the brush's width around it
    assert 150 < rows.min() <= rows.max() < 250
    assert 180 < columns.min() <= columns.max() < 420
    assert page.locator("#compared img").count() >= 2
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_going_on_keeps_what_was_completed(page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "sign.png")
    give(page, tmp_path / "sign.png")
    paint(page)
    first = complete(page, tmp_path / "completed.png")
    page.locator("#again").click()
    page.wait_for_timeout(2000)  # until the canvas has drawn it
    paint(page)
    second = complete(page, tmp_path / "again.png")
    kept = (second == first).all(axis=2)
    assert kept.mean() > 0.9
    assert np.array_equal(second[kept], first[kept])


def test_undo_leaves_nothing_to_fill(page, tmp_path):
    Image.effect_noise((600, 400), 50).save(tmp_path / "sign.png")
    give(page, tmp_path / "sign.png")
    paint(page)
    page.locator("#canvas button[aria-label=Undo]").click()
    page.locator("#complete").click()
    page.get_by_text("nothing is marked").wait_for()


def test_an_example_is_completed_with_its_mask(page, tmp_path):
    page.locator("table tbody tr, .gallery-item").first.click()
    page.locator("#canvas canvas").first.wait_for()
    assert complete(page, tmp_path / "completed.png").shape == (143, 134, 3)


def test_a_wrong_file_is_told(page, tmp_path):
    (tmp_path / "text.png").write_text("I am a picture, honestly")
    page.locator("#picture input[type=file]").set_input_files(tmp_path / "text.png")
    page.get_by_text("the file is damaged or not a picture").wait_for()


def test_without_a_picture_it_is_told(page):
    page.locator("#complete").click()
    page.get_by_text("there is no picture; upload one").wait_for()

"""The page in a real browser: upload, paint, complete, compare, go on."""

import base64
import io
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


@pytest.fixture
def noise(tmp_path):
    """A picture of 600 x 400 pixels, in `sign.png`."""
    pixels = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "sign.png")
    return pixels


def give(page, path):
    page.locator("#picture input[type=file]").set_input_files(path)
    wait_for_middle(page, lambda patch: patch.std() > 10)  # noise, and not an empty canvas


def wait_for_middle(page, holds):
    """Wait until the middle of the canvas, 8 x 8 pixels, is drawn as it should be."""
    canvas = page.locator("#canvas canvas").first
    canvas.wait_for()
    for _ in range(50):
        with Image.open(io.BytesIO(canvas.screenshot())) as shown:
            left, top = shown.width // 2 - 4, shown.height // 2 - 4
            if holds(np.asarray(shown.convert("RGB").crop((left, top, left + 8, top + 8)), float)):
                return
        page.wait_for_timeout(200)
    pytest.fail("the canvas does not show what it should")


def painted(patch):
    """Whether it is all of the brush's colour, #e6007e."""
    return np.abs(patch - (0xE6, 0, 0x7E)).max() < 60


def paint(page, at=0.5):
    """A stroke across the canvas, at a part of its height."""
    canvas = page.locator("#canvas canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    height = box["y"] + box["height"] * at
    page.mouse.move(box["x"] + box["width"] * 0.4, height)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, height, steps=8)
    page.mouse.up()


def complete(page, into):
    """Complete, and download what was not there before."""
    link = page.locator("#result a[download]")
    earlier = link.first.get_attribute("href") if link.count() else ""
    page.locator("#complete").click()
    page.locator(f"#result a[download]:not([href='{earlier}'])").first.wait_for()
    return download(page, into)


def download(page, into):
    with page.expect_download() as downloaded:
        page.locator("#result a[download]").first.click()
    downloaded.value.save_as(into)
    with Image.open(into) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.mark.parametrize("page", ["wide", "phone", "wide dark"], indirect=True)
def test_upload_paint_complete_and_download(page, noise, tmp_path):
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


@pytest.mark.parametrize("page", ["wide", "phone"], indirect=True)
def test_going_on_changes_the_new_stroke_alone(page, noise, tmp_path):
    give(page, tmp_path / "sign.png")
    paint(page)
    wait_for_middle(page, painted)
    first = complete(page, tmp_path / "completed.png")
    page.locator("#again").click()
    wait_for_middle(page, lambda patch: not painted(patch))  # the result is shown, the old stroke gone

    paint(page, at=0.65)
    second = complete(page, tmp_path / "again.png")

    old, new = np.zeros((2, 400, 600), bool)
    old[150:250, 180:420] = True
    new[250:370, 180:420] = True
    assert (first != noise).any(axis=2)[old].sum() > 1000
    assert (second != first).any(axis=2)[new].sum() > 1000
    assert np.array_equal(second[~new], first[~new])
    assert np.array_equal(second[~old & ~new], noise[~old & ~new])


@pytest.mark.parametrize("page", ["wide", "phone"], indirect=True)
def test_after_a_mistake_the_last_result_can_be_downloaded(page, noise, tmp_path):
    give(page, tmp_path / "sign.png")
    paint(page)
    first = complete(page, tmp_path / "completed.png")
    page.locator("#canvas button[aria-label=Undo]").click()
    page.locator("#complete").click()
    page.get_by_text("nothing is marked").wait_for()
    assert np.array_equal(download(page, tmp_path / "again.png"), first)


def test_a_picture_is_pasted(page, app, noise, tmp_path):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=app)
    content = base64.b64encode((tmp_path / "sign.png").read_bytes()).decode()
    try:
        page.evaluate(
            """async content => {
                const blob = await (await fetch(`data:image/png;base64,${content}`)).blob()
                await navigator.clipboard.write([new ClipboardItem({"image/png": blob})])
            }""",
            content,
        )
    except pytest.importorskip("playwright.sync_api").Error as error:
        pytest.skip(f"this browser has no clipboard: {error}")
    page.locator("#picture button[aria-label='Paste from clipboard']").click()
    wait_for_middle(page, lambda patch: patch.std() > 10)
    paint(page)
    pixels = complete(page, tmp_path / "completed.png")
    assert np.array_equal(pixels[:150], noise[:150])
    assert (pixels != noise).any()


def test_without_its_picture_the_canvas_goes(page, noise, tmp_path):
    give(page, tmp_path / "sign.png")
    page.locator("#picture button[aria-label='Remove Image']").click()
    page.locator("#canvas canvas").first.wait_for(state="hidden")


def test_undo_leaves_nothing_to_fill(page, noise, tmp_path):
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

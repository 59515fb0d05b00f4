"""Photograph the app in a headless Chromium: a wide screen, a phone, dark mode.

    python scripts/draw_app.py docs/images ckpt=best.ckpt

paints over an example with the brush, completes it, and writes app.png, app-phone.png and app-dark.png.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from imcomp.app.serving import find_examples, serving
from imcomp.app.settings import Settings

SCREENS = {  # width, height, scheme
    "app": (1200, 900, "light"),
    "app-phone": (390, 844, "light"),
    "app-dark": (1200, 900, "dark"),
}


def paint(page: Page) -> None:
    """A stroke down the middle of the canvas."""
    page.locator("#canvas canvas").first.scroll_into_view_if_needed()
    box = page.locator("#canvas canvas").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.46, box["y"] + box["height"] * 0.44)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.58, box["y"] + box["height"] * 0.6, steps=10)
    page.mouse.up()


def photograph(page: Page, picture: Path, target: Path) -> None:
    """Upload, paint, complete, and write what the page looks like then."""
    page.locator("#picture input[type=file]").set_input_files(picture)
    page.locator("#canvas canvas").first.wait_for()
    page.wait_for_timeout(2000)  # until the canvas has drawn it
    paint(page)
    page.locator("#complete").click()
    page.locator("#result a[download]").first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=target, full_page=True)
    with Image.open(target) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"wrote {target}")


def main() -> None:
    """Parse the command line, serve and photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("ckpt", help="ckpt=PATH", type=lambda text: text.removeprefix("ckpt="))
    options = parser.parse_args()
    picture = next(picture for picture, _ in find_examples() if picture.stem == "limit-70")
    with (
        serving(Settings((options.ckpt,), port=0, device="cpu")) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, height, scheme) in SCREENS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            photograph(page, picture, options.folder / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

"""Draw examples of every option of conf/mask: a row for each option, a column for each seed.

    python scripts/draw_masks.py docs/images/masks.png

White is the hole. The mask files of `folder` are drawn here, and stand for a user's own.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont

from imcomp.cli import config_dir
from imcomp.data.masks import build_mask

PICTURE = 256  # pixels of the pictures that holes are cut into
SHOWN, GAP, LABEL = 104, 8, 236  # pixels in the drawing
BACKGROUND, KNOWN, HOLE, INK, FAINT = "white", "#3b4252", "#ffffff", "#2e3440", "#7b8494"

# what stands under an option's name
NOTES = {
    "center": "one place, always",
    "box": "1 to 4 boxes",
    "brush": "strokes, any area",
    "brush_thin": "3 to 8 pixels wide",
    "brush_medium": "8 to 20 pixels wide",
    "brush_thick": "24 to 48 pixels wide",
    "outpaint": "beyond the sides",
    "grid": "squares, moved at random",
    "folder": "files of your own",
    "mixed": "several kinds by weight",
}


def draw_mask_files(folder: Path) -> None:
    """Draw some mask files that no generator makes: letters, a disc, a scratch."""
    font = ImageFont.load_default(size=120)
    for index, shape in enumerate(("ring", "disc", "text", "scratch")):
        image = Image.new("L", (PICTURE, PICTURE))
        pen = ImageDraw.Draw(image)
        if shape == "text":
            pen.text((PICTURE / 2, PICTURE / 2), "abc", fill=255, font=font, anchor="mm")
        elif shape == "disc":
            pen.circle((150, 110), 60, fill=255)
        elif shape == "ring":
            pen.circle((120, 130), 80, outline=255, width=26)
        else:
            pen.line([(20, 30), (90, 120), (130, 110), (240, 230)], fill=255, width=14, joint="curve")
        image.save(folder / f"{index}.png")


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--columns", type=int, default=8)
    options = parser.parse_args()

    found = {file.stem for file in (config_dir() / "mask").glob("*.yaml")}
    names = [name for name in NOTES if name in found] + sorted(found - NOTES.keys())
    pitch = SHOWN + GAP
    size = (LABEL + options.columns * pitch + GAP, len(names) * pitch + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    name_font, note_font = ImageFont.load_default(size=19), ImageFont.load_default(size=14)
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(config_dir())):
        draw_mask_files(Path(folder))
        for row, name in enumerate(names):
            overrides = [f"mask={name}"] + ([f"mask.root={folder}"] if name == "folder" else [])
            mask = build_mask(OmegaConf.to_container(compose("train", overrides).mask))
            holes = mask((PICTURE, PICTURE), torch.arange(options.columns))
            top = GAP + row * pitch
            pen.text((GAP + 6, top + SHOWN / 2 - 2), name, fill=INK, font=name_font, anchor="ls")
            shares = (holes.mean(dim=(1, 2, 3)) * 100).round().long().tolist()
            area = " to ".join(map(str, sorted({min(shares), max(shares)})))
            pen.text((GAP + 6, top + SHOWN / 2 + 18), NOTES.get(name, ""), fill=FAINT, font=note_font, anchor="ls")
            pen.text(
                (GAP + 6, top + SHOWN / 2 + 36), f"{area}% of the picture", fill=FAINT, font=note_font, anchor="ls"
            )
            for column, hole in enumerate(holes):
                shape = Image.fromarray((hole[0] * 255).byte().numpy()).resize((SHOWN, SHOWN), Image.Resampling.BOX)
                corner = (LABEL + column * pitch, top)
                sheet.paste(KNOWN, (*corner, corner[0] + SHOWN, corner[1] + SHOWN))
                sheet.paste(HOLE, corner, shape)
                pen.rectangle((*corner, corner[0] + SHOWN - 1, corner[1] + SHOWN - 1), outline=KNOWN)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(32, dither=Image.Dither.NONE).save(options.picture, optimize=True)
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()

"""Draw what augmentation does: a row for each option, a column for each seed; the first column is the picture itself.

    python scripts/draw_augment.py docs/images/augment.png

The picture is a drawn sign of `data=synthetic`; with --picture it is any other.
"""

import argparse
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont

from imcomp.cli import config_dir
from imcomp.data.augment import build_augmentation
from imcomp.data.crops import RandomCrop
from imcomp.data.pictures import read_picture
from imcomp.data.synthetic import SyntheticSource
from imcomp.data.transforms import to_size, to_tensor

PICTURE, SIGN = 104, (16, 3)  # pixels of each picture; the sign's track and frame
GAP, LABEL = 8, 236
BACKGROUND, INK, FAINT = "white", "#2e3440", "#7b8494"

ROWS = {
    "augment=signs": ["augment=signs"],
    "augment=photos": ["augment=photos"],
    "crop": ["augment.crop=[0.5,0.9]"],
    "flips": ["augment.horizontal_flip=0.5", "augment.vertical_flip=0.5"],
    "scale, aspect": ["augment.scale=[0.6,1.4]", "augment.aspect=0.5"],
    "degrees, shift": ["augment.degrees=45", "augment.shift=0.2"],
    "brightness": ["augment.brightness=[0.4,1.8]"],
    "contrast, gamma": ["augment.contrast=[0.3,2]", "augment.gamma=[0.5,2]"],
    "saturation, hue": ["augment.saturation=[0,2]", "augment.hue=90"],
    "blur": ["augment.blur=[0.5,3]", "augment.chance=1"],
    "noise": ["augment.noise=[0.02,0.2]", "augment.chance=1"],
    "jpeg": ["augment.jpeg=[3,30]", "augment.chance=1"],
}


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--columns", type=int, default=8)
    options = parser.parse_args()

    track, frame = SIGN
    sign = SyntheticSource(1000, frames_per_track=4)
    source = (read_picture(options.picture) if options.picture else sign.read(4 * track + frame)).convert("RGB")
    whole = to_tensor(to_size(source, PICTURE, "crop"))
    pitch = PICTURE + GAP
    sheet = Image.new("RGB", (LABEL + (options.columns + 1) * pitch + GAP, len(ROWS) * pitch + GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    name_font, note_font = ImageFont.load_default(size=19), ImageFont.load_default(size=14)
    seeds = torch.arange(options.columns)
    with initialize_config_dir(str(config_dir())):
        for row, (name, overrides) in enumerate(ROWS.items()):
            values = OmegaConf.to_container(compose("train", overrides).augment)
            augmentation = build_augmentation(values)
            assert augmentation is not None
            pictures = whole.expand(len(seeds), -1, -1, -1)
            if augmentation.crop:
                crop = RandomCrop(augmentation.crop, seed=0)
                places = crop.draw(seeds.tolist(), epoch=0)
                pictures = torch.stack([to_tensor(crop.cut(source, PICTURE, place)) for place in places])
            shown = torch.cat([whole[None].float() / 255, augmentation(pictures, seeds)])
            top = GAP + row * pitch
            pen.text((GAP + 6, top + PICTURE / 2 - 2), name, fill=INK, font=name_font, anchor="ls")
            notes = [override.removeprefix("augment.") for override in overrides if "." in override]
            for line, note in enumerate(notes):
                place = (GAP + 6, top + PICTURE / 2 + 18 + 18 * line)
                pen.text(place, note, fill=FAINT, font=note_font, anchor="ls")
            for column, image in enumerate((shown * 255).round().byte().permute(0, 2, 3, 1).numpy()):
                # a little apart: the picture itself
                sheet.paste(Image.fromarray(image), (LABEL + column * pitch + (GAP if column else 0), top))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(128).save(options.output, optimize=True)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

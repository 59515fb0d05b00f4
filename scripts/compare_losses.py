"""Draw fills of networks trained with different losses beside one another, and score them.

    python scripts/compare_losses.py docs/images/losses.png mse=PATH.ckpt l1=PATH.ckpt ...

A row for each validation picture: masked, one column for each checkpoint, original. All checkpoints were trained on the
same pictures with the same holes.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from imcomp.batch import Batch
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.filling import fill
from imcomp.inference import Trained, load_trained
from imcomp.losses import hole_mse, hole_ssim
from imcomp.losses.pixels import masked_l1, masked_mean

SHOWN, GAP, HEAD = 128, 6, 28  # pixels in the drawing
BACKGROUND, INK = "white", "#2e3440"


def slopes(images: Tensor, mask: Tensor) -> float:
    """Mean absolute difference between neighbours, both in the hole: how much detail there is."""
    across = masked_mean(images.diff(dim=3).abs(), mask[..., 1:] * mask[..., :-1])
    down = masked_mean(images.diff(dim=2).abs(), mask[..., 1:, :] * mask[..., :-1, :])
    return (across + down).item()


@torch.inference_mode()
def complete(trained: Trained, batch: Batch) -> Tensor:
    """Fill the holes of a batch; ``(B, C, H, W)`` in [0, 1]."""
    parts = zip(batch.image.split(32), batch.mask.split(32), strict=True)
    output = torch.cat([fill(trained.network, *part, batch.box, context=trained.context) for part in parts])
    return torch.where(batch.mask > 0, batch.spread(output).clamp(0, 1), batch.image)


def draw(columns: dict[str, Tensor], count: int, skip: int) -> Image.Image:
    """One row a picture, one column a method."""
    pitch = SHOWN + GAP
    sheet = Image.new("RGB", (GAP + len(columns) * pitch, HEAD + count * pitch), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for column, (name, images) in enumerate(columns.items()):
        left = GAP + column * pitch
        pen.text((left + SHOWN / 2, HEAD - 8), name, fill=INK, font=font, anchor="ms")
        for row in range(count):
            levels = (images[row * skip] * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
            shown = Image.fromarray(levels).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
            sheet.paste(shown, (left, HEAD + row * pitch))
    return sheet


def main() -> None:
    """Parse the command line, score and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=CKPT")
    parser.add_argument("--rows", type=int, default=6)
    options = parser.parse_args()

    trained = {name: load_trained(path) for name, _, path in (text.partition("=") for text in options.checkpoints)}
    datamodule = InpaintingDataModule(**{**next(iter(trained.values())).data, "num_workers": 0})
    datamodule.setup("validate")
    dataset = datamodule.dataset("val")
    pictures, indices = dataset.__getitems__(range(len(dataset)))
    batch = datamodule.make_batch(pictures, indices)
    columns = {"masked": batch.image * (1 - batch.mask)}
    columns |= {name: complete(one, batch) for name, one in trained.items()} | {"original": batch.image}

    print("| loss | MSE | L1 | SSIM | detail |\n|---|---|---|---|---|")
    for name in trained:
        fills = columns[name]
        scores = (
            f"{hole_mse(fills, batch.image, batch.mask).mean():.5f}",
            f"{masked_l1(fills, batch.image, batch.mask):.4f}",
            f"{hole_ssim(fills, batch.image, batch.mask).mean():.4f}",
            f"{slopes(fills, batch.mask) / slopes(batch.image, batch.mask):.2f}",
        )
        print(f"| `{name}` | {' | '.join(scores)} |")
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    sheet = draw(columns, options.rows, skip=len(dataset) // options.rows)
    sheet.quantize(256, dither=Image.Dither.NONE).save(options.picture, optimize=True)
    print(f"wrote {options.picture}: {len(dataset)} pictures, every {len(dataset) // options.rows}th is shown")


if __name__ == "__main__":
    main()

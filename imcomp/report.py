"""What a person reads when a run has ended."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table


def report_run(metrics: Mapping[str, float], output_dir: Path) -> None:
    """Print the metrics, where the outputs are and what to type next."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.5g}")
    console.print(table)
    console.print(f"val/mse={metrics['val/mse']:.6g}")
    console.print(f"outputs:  {output_dir}")
    console.print("complete: python predict.py ckpt=outputs/latest/checkpoints/best.ckpt input=FOLDER output=completed")
    console.print("watch:    tensorboard --logdir outputs/latest/tensorboard")


def report_prediction(count: int, unreadable: Mapping[Path, str], output: Path) -> None:
    """Print how many pictures were completed, where they are and which were left out."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"completed {count - len(unreadable):,} of {count:,} pictures: {output}")
    for path, reason in unreadable.items():
        console.print(f"left out {str(path)!r}: {reason}")

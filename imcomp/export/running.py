"""The whole of an export: read, write beside, compare, keep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imcomp.errors import InputError, suggest
from imcomp.export.metadata import Metadata
from imcomp.export.parity import check_parity
from imcomp.export.program import Completion, dynamic_shapes, examples
from imcomp.export.session import open_graph, reason_of
from imcomp.export.writing import OPSETS, check_packages, silent, to_onnx, to_program
from imcomp.files import atomic
from imcomp.inference import TorchCompleter

Run = Callable[[Tensor, Tensor], Tensor]

_TOLD_OF_DATA = ("source", "channels", "size", "fit", "mask")  # and no path of the machine that trained it


@dataclass(frozen=True)
class Exported:
    """What came out.

    Attributes:
        path: the file.
        difference: the largest of a pixel in [0, 1] between it and the network in torch.
    """

    path: Path
    difference: float


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of its name.
        write: makes its bytes.
        load: reads it and gives what completes images with it.
    """

    suffix: str
    write: Callable[[Completion, Mapping[str, str], int, int], bytes]
    load: Callable[[Path], Run]


def export(
    checkpoint: str | Path,
    output: Path | None = None,
    *,
    format: str = "onnx",  # noqa: A002 - what the command line calls it
    opset: int = OPSETS[0],
) -> Exported:
    """Write a network to a file that takes an image and a mask and gives the completed image.

    The file is kept if it computes what the network does, see `check_parity`.

    Args:
        checkpoint: what ``Completer`` takes.
        output: the file; None for the checkpoint's name with the format's suffix.
        format: a key of `FORMATS`.
        opset: version of ONNX's operators.

    Raises:
        InputError: no such format, a name with another suffix, a package that is missing, or a network that comes out
            other than it is.
    """
    if format not in FORMATS:
        raise InputError(f"format={format} is unknown; {suggest(format, list(FORMATS))}")
    chosen = FORMATS[format]
    path = Path(checkpoint).with_suffix(chosen.suffix) if output is None else output
    if path.suffix != chosen.suffix:
        raise InputError(f"output={path} does not end in {chosen.suffix}, as files of format={format} do; name another")
    if path.is_dir():
        raise InputError(f"output={path} is a folder; name a file")
    if format == "onnx":
        check_packages("format=onnx", "format=torch_export")
        if not OPSETS[0] <= opset <= OPSETS[1]:
            raise InputError(f"opset={opset} is not written; give one from {OPSETS[0]} to {OPSETS[1]}")
    completer = TorchCompleter(checkpoint, "cpu")
    metadata = describe(completer, Path(checkpoint).name)
    module = Completion(completer.network, completer.in_channels).eval()
    with atomic(path) as beside:
        try:
            beside.write_bytes(chosen.write(module, metadata.to_strings(), metadata.multiple, opset))
        except OSError:
            raise
        except Exception as error:  # what can fail in an exporter, given a network of any kind, is its own to know
            raise InputError(f"the network cannot be exported to format={format} ({reason_of(error)})") from error
        difference = check_parity(module, chosen.load(beside), multiple=metadata.multiple, size=metadata.size)
    return Exported(path, difference)


def describe(completer: TorchCompleter, name: str) -> Metadata:
    """What a network's file says of itself.

    Args:
        completer: has the network.
        name: of its checkpoint, for the record.
    """
    network: Any = completer.network
    training = completer.engine.training
    reach = getattr(network, "reach", None) if completer.context == "reach" else completer.context
    data = {key: completer.trained.data[key] for key in _TOLD_OF_DATA if key in completer.trained.data}
    return Metadata(
        channels=completer.in_channels,
        multiple=network.multiple,
        size=training.size,
        stretch=training.stretch,
        thickness=training.thickness,
        reach=reach,
        trained={"checkpoint": name, "network": dict(completer.trained.options), "data": data},
    )


def _write_onnx(module: Completion, metadata: Mapping[str, str], multiple: int, opset: int) -> bytes:
    image, mask = examples(module.in_channels, multiple)
    return to_onnx(
        module,
        {"image": image, "mask": mask},
        "completed",
        dynamic_shapes(module.in_channels, multiple),
        opset=opset,
        metadata=metadata,
    )


def _write_program(module: Completion, metadata: Mapping[str, str], multiple: int, _opset: int) -> bytes:
    return to_program(
        module,
        examples(module.in_channels, multiple),
        dynamic_shapes(module.in_channels, multiple),
        metadata=metadata,
    )


def _load_onnx(path: Path) -> Run:
    session = open_graph(path)
    return lambda image, mask: torch.from_numpy(session.run(None, {"image": image.numpy(), "mask": mask.numpy()})[0])


def _load_program(path: Path) -> Run:
    with silent():
        # its guards speak of how torch lays maps of one pixel out in memory, and refuse what computes right
        program: Any = torch.export.load(path).module(check_guards=False)
    return torch.inference_mode()(program)  # type: ignore[no-any-return]


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _write_onnx, _load_onnx),
    "torch_export": Format(".pt2", _write_program, _load_program),
}
"""Kinds of files by name."""

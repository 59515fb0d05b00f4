"""From a module of torch to the bytes of a file: a graph of ONNX, or a program of ``torch.export``."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from imcomp.errors import InputError

# Hydra shows what is logged at INFO, as which these tell each of their steps.
for name in ("onnx_ir", "onnxscript"):
    logging.getLogger(name).setLevel(logging.WARNING)

OPSETS = (18, 23)
"""The lowest and the highest version of ONNX's operators that are written."""

NEEDS = ("onnx", "onnxscript", "onnxruntime")
"""Packages that ONNX takes."""

METADATA = "imcomp.json"
"""The file inside a program of ``torch.export`` that holds what it says of itself."""


def check_packages(what: str, otherwise: str) -> None:
    """Refuse to go on without what ONNX takes.

    Args:
        what: needs it, for the error: `backend=onnx`.
        otherwise: what to give instead.

    Raises:
        InputError: one is missing.
    """
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise InputError(f"{what} needs {', '.join(missing)}; pip install 'imcomp[onnx]', or give {otherwise}")


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    output: str,
    dynamic_shapes: tuple[Any, ...],
    *,
    opset: int = OPSETS[0],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write a module as a graph of ONNX, with its weights.

    Args:
        module: in evaluation mode, on the CPU.
        inputs: examples of its arguments, by the names that they get; their shapes alone count.
        output: the name of what it returns.
        dynamic_shapes: which sizes of each may vary, as ``torch.export`` takes it.
        opset: version of ONNX's operators.
        metadata: what the file says of itself.
    """
    with silent(), torch.inference_mode(mode=False):  # what is made in it cannot be exported
        program: Any = torch.onnx.export(
            module,
            tuple(map(torch.zeros_like, inputs.values())),
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            input_names=list(inputs),
            output_names=[output],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    graph = program.model_proto
    for node in (*graph.graph.node, *(node for function in graph.functions for node in function.node)):
        del node.metadata_props[:]  # the lines of this machine's files that it came from
        node.doc_string = ""
    del graph.metadata_props[:], graph.graph.metadata_props[:]
    for key, value in (metadata or {}).items():
        graph.metadata_props.add(key=key, value=value)
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def to_program(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    dynamic_shapes: tuple[Any, ...],
    *,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Write a module as a program of ``torch.export``, with its weights.

    Args:
        module: in evaluation mode, on the CPU.
        inputs: examples of its arguments.
        dynamic_shapes: which sizes of each may vary.
        metadata: what the file says of itself, as JSON in its entry `METADATA`.
    """
    with silent(), torch.inference_mode(mode=False):
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # the lines of this machine's files that it came from
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(metadata or {}), indent=1)})
    return buffer.getvalue()


@contextmanager
def silent() -> Iterator[None]:
    """What compilers and exporters warn of is their own: what they ignore, and what will change in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""What computes a trained network: torch as it is, torch compiled, or ONNX Runtime."""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from imcomp.box import Box
from imcomp.errors import InputError

# Hydra shows what is logged at INFO, as which these tell each of their steps.
for name in ("onnx_ir", "onnxscript"):
    logging.getLogger(name).setLevel(logging.WARNING)

MOST_PROGRAMS = 8
"""Programs that one backend builds: each costs seconds, and holes in ever new places must not cost them for ever."""

Run = Callable[[Tensor], Tensor]


class Program(nn.Module):
    """Stands for a network before ``fill``, and computes it by programs that are built when they are first needed.

    There is one for each size of the input and each box, for any number of pictures. After `MOST_PROGRAMS`, the network
    computes what is new itself.

    Args:
        network: one of ``NETWORKS``, in evaluation mode.

    Raises:
        InputError: when called, if the network cannot be brought into this form here.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name in ("multiple", "reach", "takes_box", "takes_mask"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))
        self.programs: dict[tuple[torch.Size, Box | None], Run] = {}
        self.lock = Lock()  # of several threads that need the same program, one builds it

    def forward(self, image: Tensor, box: Box | None = None) -> Tensor:
        key = (image.shape[1:], box)
        boxed = _Boxed(self.network, box)
        with self.lock:
            if key not in self.programs and len(self.programs) < MOST_PROGRAMS:
                self.programs[key] = self.build(boxed, image)
        return self.programs.get(key, boxed)(image)

    def build(self, boxed: nn.Module, image: Tensor) -> Run:
        """Build what computes ``boxed`` for pictures of the size of ``image``."""
        raise NotImplementedError


class Compiled(Program):
    """Through ``torch.compile``."""

    def build(self, boxed: nn.Module, image: Tensor) -> Run:
        run: Run = torch.compile(boxed)
        try:
            with _silent():
                run(image)
        except Exception as error:  # what can fail in a compiler, given a network of any kind, is its own to know
            raise InputError(f"the network cannot be compiled here ({_reason(error)}); give backend=eager") from error
        return run


class OnnxRuntime(Program):
    """Exported to ONNX and run by ONNX Runtime, on the CPU and in float32."""

    needs: ClassVar = ("onnx", "onnxscript", "onnxruntime")

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        if missing := [name for name in self.needs if find_spec(name) is None]:
            raise InputError(
                f"backend=onnx needs {', '.join(missing)}; pip install 'imcomp[onnx]', or give backend=eager"
            )

    def build(self, boxed: nn.Module, image: Tensor) -> Run:
        if image.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            raise InputError(
                "backend=onnx computes in float32 on the CPU; give device=cpu precision=32, or backend=eager"
            )
        import onnxruntime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        try:
            boxed(image)  # what it keeps for the next time must be made before the exporter makes it of stand-ins
            session: Any = onnxruntime.InferenceSession(
                _export(boxed, image), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # what can fail in an exporter, given a network of any kind, is its own to know
            raise InputError(
                f"the network cannot be exported to ONNX ({_reason(error)}); give backend=eager"
            ) from error
        name = session.get_inputs()[0].name
        return lambda pictures: torch.from_numpy(session.run(None, {name: pictures.contiguous().numpy()})[0])


class _Boxed(nn.Module):
    """A network for one box."""

    def __init__(self, network: nn.Module, box: Box | None) -> None:
        super().__init__()
        self.network = network
        self.box = box

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.network(image) if self.box is None else self.network(image, self.box)
        return output


def eager(network: nn.Module) -> nn.Module:
    """The network itself."""
    return network


BACKENDS: dict[str, Callable[[nn.Module], nn.Module]] = {"eager": eager, "compile": Compiled, "onnx": OnnxRuntime}
"""From a network in evaluation mode to a module that ``fill`` takes in its place."""

# On CPUs, compiling takes up to a minute and gains nothing where only the hole is computed; ONNX Runtime is up to a
# third quicker and takes seconds to export for each place of the hole, which pays for thousands of pictures.
AUTO = "eager"
"""The backend `auto`."""


def build_backend(name: str, network: nn.Module) -> nn.Module:
    """Make the network ready to compute.

    Args:
        name: a key of ``BACKENDS``, or `auto`.
        network: one of ``NETWORKS``, in evaluation mode.

    Returns:
        A module with the network's attributes, which ``fill`` takes in its place.

    Raises:
        InputError: no such backend, or a package that it needs is missing.
    """
    if name not in ("auto", *BACKENDS):
        raise InputError(f"backend={name} is unknown; choose from auto, {', '.join(BACKENDS)}")
    return BACKENDS[AUTO if name == "auto" else name](network)


def _export(network: nn.Module, image: Tensor) -> bytes:
    """Write a network as ONNX, for any number of pictures of the size of ``image``."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _silent(),
        torch.inference_mode(mode=False),  # what is made in it cannot be exported
    ):
        path = Path(folder) / "network.onnx"
        example = torch.zeros(2, *image.shape[1:])  # 1 would be taken for a constant
        torch.onnx.export(
            *(network, (example,), path),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("pictures")},),
            external_data=False,
            verbose=False,
        )
        return path.read_bytes()


@contextmanager
def _silent() -> Iterator[None]:
    """What compilers and exporters warn of is their own: what they ignore, and what will change in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)

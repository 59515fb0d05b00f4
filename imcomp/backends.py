"""What computes a trained network: torch as it is, torch compiled, or ONNX Runtime."""

from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor, nn

from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.export.session import reason_of, start_session
from imcomp.export.writing import check_packages, silent, to_onnx

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
        for name in ("mean", "std", "multiple", "reach", "takes_box", "takes_mask"):
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
            with silent():
                run(image)
        except Exception as error:  # what can fail in a compiler, given a network of any kind, is its own to know
            raise InputError(f"the network cannot be compiled here ({reason_of(error)}); give backend=eager") from error
        return run


class OnnxRuntime(Program):
    """Exported to ONNX and run by ONNX Runtime, on the CPU and in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        check_packages("backend=onnx", "backend=eager")

    def build(self, boxed: nn.Module, image: Tensor) -> Run:
        if image.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            raise InputError(
                "backend=onnx computes in float32 on the CPU; give device=cpu precision=32, or backend=eager"
            )
        try:
            boxed(image)  # what it keeps for the next time must be made before the exporter makes it of stand-ins
            example = torch.zeros(2, *image.shape[1:])  # 1 would be taken for a constant
            graph = to_onnx(boxed, {"image": example}, "output", ({0: torch.export.Dim("pictures")},))
            session = start_session(graph, torch.get_num_threads())
        except Exception as error:  # what can fail in an exporter, given a network of any kind, is its own to know
            raise InputError(
                f"the network cannot be exported to ONNX ({reason_of(error)}); give backend=eager"
            ) from error
        return lambda pictures: torch.from_numpy(session.run(None, {"image": pictures.contiguous().numpy()})[0])


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

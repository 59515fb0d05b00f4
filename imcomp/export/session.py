"""Running a graph with ONNX Runtime. Needs no torch."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imcomp.errors import InputError


def start_session(graph: bytes, threads: int = 0) -> Any:
    """Prepare a graph to run on the CPU.

    Args:
        graph: of ONNX, with its weights.
        threads: 0 for one for each core.

    Returns:
        An ``onnxruntime.InferenceSession``.
    """
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def open_graph(path: Path) -> Any:
    """Read a file of ONNX and prepare it to run on the CPU.

    Raises:
        InputError: ONNX Runtime is missing; no such file; or one that is damaged or of a version not known here.
    """
    if find_spec("onnxruntime") is None:
        raise InputError(f"{path} needs onnxruntime; pip install 'imcomp[onnx]', or give a .ckpt")
    if not path.is_file():
        raise InputError(f"no file {path}; give the path of an .onnx file that `imcomp export` wrote")
    graph = path.read_bytes()
    try:
        return start_session(graph)
    except Exception as error:  # how a damaged graph fails is the runtime's to know
        if known := re.search(r"Opset (\d+) is under development.* till opset (\d+)", str(error), re.DOTALL):
            raise InputError(
                f"{path} is written in opset {known[1]}, and this ONNX Runtime knows them up to {known[2]}; update it,"
                f" or export with opset={known[2]}"
            ) from error
        raise InputError(
            f"{path} is damaged or not a file of ONNX ({reason_of(error)}); give another .onnx file"
        ) from error


def reason_of(error: Exception) -> str:
    """The first line of what an exporter, compiler or runtime says, without its own codes."""
    line = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
    line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", line)
    return re.sub(r"^/\S+:\d+ .+?\) ", "", line)[:300]  # where in the runtime's own code it was found

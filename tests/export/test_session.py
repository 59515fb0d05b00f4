"""Opening a graph: what cannot be opened is told in one line."""

import pytest

import imcomp.export.session
from imcomp.errors import InputError
from imcomp.export.session import open_graph, reason_of, start_session

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def graph(opset=18, operator="Identity"):
    """One operator, and nothing of imcomp's."""
    shape = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(operator, ["image"], ["output"])
    body = onnx.helper.make_graph([node], "g", [shape("image", 1, [1])], [shape("output", 1, [1])])
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(body, opset_imports=opsets, ir_version=9).SerializeToString()


def test_a_graph_runs():
    numpy = pytest.importorskip("numpy")
    (output,) = start_session(graph()).run(None, {"image": numpy.ones(1, numpy.float32)})
    assert output.tolist() == [1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file .*; give the path of an .onnx file"),
        (b"", "is damaged or not a file of ONNX"),
        (b"not a graph at all", "is damaged or not a file of ONNX"),
        (graph()[:-9], "is damaged or not a file of ONNX"),
        (graph(operator="NoSuchThing"), "is damaged or not a file of ONNX"),
        (
            graph(opset=99),
            r"is written in opset 99, and this ONNX Runtime knows them up to \d+; update it",
        ),
    ],
)
def test_what_cannot_be_opened_is_told(tmp_path, capfd, content, words):
    path = tmp_path / "a.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as told:
        open_graph(path)
    assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="no file"):
        open_graph(tmp_path)


def test_a_missing_runtime_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(imcomp.export.session, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnxruntime; pip install 'imcomp\[onnx\]', or give a \.ckpt"):
        open_graph(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Failed to load model.", "Failed to load model."),
        ("[ONNXRuntimeError] : 1 : FAIL : /src/core/a.h:46 void f(const int&, int) Opset 9", "Opset 9"),
        ("\n first\nsecond", "first"),
        ("", "ValueError"),
    ],
)
def test_the_reason_is_one_line(said, reason):
    assert reason_of(ValueError(said)) == reason

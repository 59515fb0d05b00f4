import json

import pytest

from imcomp.compare import Section, compare, print_sections, write_sections
from imcomp.errors import InputError


@pytest.fixture
def runs(tmp_path):
    """Two runs of three epochs, which differ in the learning rate; the second was resumed after its first epoch."""
    for name, rate, scale in (("a", "0.001", 1.0), ("b", "0.002", 2.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(
            f"seed: 0\nmonitor: val/mse\nmodel:\n  lr: {rate}\npaths:\n  output_dir: {folder}\n"
        )
        (folder / "metrics.json").write_text(json.dumps({"val/mse": 0.25 * scale, "seconds": 1.5}))
        (folder / "provenance.json").write_text(json.dumps({"seed": 0, "versions": {"torch": "2.15"}, "before": []}))
        parts = [[0, 1, 2]] if name == "a" else [[0], [1, 2]]
        for version, epochs in enumerate(parts):
            part = folder / "csv" / f"version_{version}"
            part.mkdir(parents=True)
            rows = [f"{epoch},{epoch},{scale / 2**epoch}" for epoch in epochs]
            (part / "metrics.csv").write_text("\n".join(["epoch,step,val/mse", *rows, ""]))
    return tmp_path / "a", tmp_path / "b"


def test_what_differs_and_nothing_else(runs):
    config, provenance, metrics, curve = compare(*runs)

    assert config.rows == [["model.lr", "0.001", "0.002"]]
    assert provenance.rows == [["seed", "0", "0"], ["versions.torch", "2.15", "2.15"]]
    assert metrics.rows == [["val/mse", "0.25", "0.5", "+0.25"], ["seconds", "1.5", "1.5", "+0"]]
    assert (curve.title, curve.columns[0]) == ("val/mse", "epoch")
    assert curve.rows == [["0", "1", "2"], ["1", "0.5", "1"], ["2", "0.25", "0.5"]]


def test_what_only_one_has_shows_as_a_dash(runs):
    (runs[1] / "metrics.json").unlink()
    (runs[1] / "provenance.json").unlink()

    _, provenance, metrics, curve = compare(*runs)

    assert metrics.rows[0] == ["val/mse", "0.25", "–", "–"]
    assert provenance.rows[1] == ["versions.torch", "2.15", "–"]
    assert curve.rows[0] == ["0", "1", "2"]


def test_a_long_curve_is_thinned_out(runs):
    rows = [f"{epoch},{epoch},1" for epoch in range(100)]
    (runs[0] / "csv" / "version_0" / "metrics.csv").write_text("\n".join(["epoch,step,val/mse", *rows, ""]))

    shown = [row[0] for row in compare(*runs)[-1].rows]

    assert (shown[0], shown[-1]) == ("0", "99")
    assert len(shown) <= 31


def test_it_is_printed(runs, capsys):
    long = [Section("Config", ["key", f"{'a' * 70}-one", f"{'a' * 70}-two"], [["model.lr", "1", "2"]])]
    print_sections([*compare(*runs), *long, Section("nothing", [], [])])

    text = capsys.readouterr().out
    assert "model.lr" in text
    assert "nothing: no difference, or nothing there" in text
    assert "…" not in text  # the ends of two runs' names tell them apart


def test_a_metric_that_neither_has_is_refused(runs):
    with pytest.raises(InputError, match=r"^curves=val/mes is in neither run; did you mean val/mse\?$"):
        compare(*runs, curves=["val/mes"])


def test_it_is_written_as_markdown_or_html(runs, tmp_path):
    sections = compare(*runs)

    write_sections(sections, tmp_path / "out" / "runs.md")
    write_sections(sections, tmp_path / "out" / "runs.html")

    assert "| model.lr | 0.001 | 0.002 |" in (tmp_path / "out" / "runs.md").read_text()
    assert "<td>model.lr</td><td>0.001</td><td>0.002</td>" in (tmp_path / "out" / "runs.html").read_text()


def test_another_format_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match=r"give a file that ends in \.md or \.html"):
        write_sections(compare(*runs), tmp_path / "runs.pdf")


def test_no_run_is_refused_in_one_line(runs, tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        compare(runs[0], tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", b"a: ["),
        ("metrics.json", b'{"val/mse": 0.2'),
        ("metrics.json", b"[1]"),
        ("metrics.json", b'{"val/mse": "low"}'),
        ("provenance.json", b"\xff"),
        ("provenance.json", b"[]"),
        ("csv/version_0/metrics.csv", b"epoch,step,val/mse\n0,0,low\n"),
        ("csv/version_0/metrics.csv", b"epoch,step,val/mse\n0,0,\xff\n"),
        ("csv/version_0/metrics.csv", b"epoch,step,val/mse\n0,0,1,2\n"),
        ("csv/version_x/metrics.csv", b"epoch,step,val/mse\n0,0,1\n"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(runs, file, content):
    (runs[1] / file).parent.mkdir(exist_ok=True)
    (runs[1] / file).write_bytes(content)
    with pytest.raises(InputError, match=r"b holds a damaged run \(.*\); give another$") as caught:
        compare(*runs)
    assert "\n" not in str(caught.value)

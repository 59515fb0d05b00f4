"""The app as a server: its documented API, and what strangers try."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

import imcomp.app
from imcomp import pretrained
from imcomp.app.serving import EXAMPLES, choose_checkpoints, find_examples, serving
from imcomp.app.settings import Settings
from imcomp.errors import InputError

PAGE = (Path(__file__).parents[2] / "docs" / "app.md").read_text(encoding="utf-8")
META = {"_type": "gradio.FileData"}


def test_the_examples_are_pictures_with_masks():
    assert [picture.stem for picture, _ in find_examples()] == [*EXAMPLES]
    for files in find_examples():
        with Image.open(files[0]) as picture, Image.open(files[1]) as mask:
            assert picture.size == mask.size
            assert mask.getbbox()


@pytest.mark.parametrize(
    ("published", "given", "chosen"),
    [
        ([], "a.ckpt", ("a.ckpt",)),
        ([], ["a.ckpt", "b.onnx"], ("a.ckpt", "b.onnx")),
        ([], None, ("outputs/latest/checkpoints/best.ckpt",)),
        ([], [], ()),
        (["any", "gtsrb-fast"], None, ("gtsrb-fast", "any")),
        (["any", "gtsrb-fast"], ["b.onnx", "any"], ("b.onnx", "any", "gtsrb-fast")),
    ],
)
def test_ones_own_networks_come_before_the_published(monkeypatch, published, given, chosen):
    monkeypatch.setattr(pretrained, "names", lambda: published)
    assert choose_checkpoints(given, Path("outputs")) == chosen


def post(url, content, kind="application/json"):
    with urlopen(Request(url, content, {"Content-Type": kind})) as answer:  # noqa: S310 - of this test's own server
        return answer.read().decode()


def fetch(url):
    """Status and text."""
    try:
        with urlopen(url) as answer:  # noqa: S310 - of this test's own server
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")


def upload(app, content, name="a.png"):
    """As a browser does; the path that the server gives the file."""
    form = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    form += content + b"\r\n--x--\r\n"
    (path,) = json.loads(post(f"{app}/gradio_api/upload", form, "multipart/form-data; boundary=x"))
    return path


def call(app, *data):
    """The answer's event and its data."""
    event = json.loads(post(f"{app}/gradio_api/call/complete", json.dumps({"data": data}).encode()))["event_id"]
    with urlopen(f"{app}/gradio_api/call/complete/{event}") as answer:  # noqa: S310 - of this test's own server
        *_, kind, content = answer.read().decode().strip().splitlines()
    return kind.removeprefix("event: "), content.removeprefix("data: ")


def sent(path):
    return {"path": str(path), "meta": META}


def check(picture, mask, completed):
    with Image.open(completed) as image:
        assert (image.format, image.size) == ("PNG", picture.size)
        pixels = np.asarray(image)
    hole = np.asarray(mask) > 0
    assert np.array_equal(pixels[~hole], np.asarray(picture)[~hole])
    assert (pixels[hole] != np.asarray(picture)[hole]).any()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "sh"])
def test_the_documented_calls_work(app, files, picture, mask, tmp_path, language):
    examples = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    example = examples[-1].replace("http://127.0.0.1:7860", app)
    assert app in example
    command = [sys.executable, "-c", example] if language == "python" else ["bash", "-euc", example]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    check(picture, mask, tmp_path / "completed.png")


@pytest.mark.slow
def test_sixteen_clients_at_once_each_get_their_own(app, picture, mask, files, tmp_path):
    mask_path = upload(app, files[1].read_bytes())

    def work(number):
        own = picture.point(lambda level: (level + 16 * number) % 256)
        own.save(tmp_path / f"{number}.png")
        kind, content = call(app, sent(upload(app, (tmp_path / f"{number}.png").read_bytes())), sent(mask_path), "")
        assert kind == "complete", content
        (result,) = json.loads(content)
        with urlopen(result["url"]) as answer:  # noqa: S310 - of this test's own server
            (tmp_path / f"{number}-completed.png").write_bytes(answer.read())
        check(own, mask, tmp_path / f"{number}-completed.png")

    with ThreadPoolExecutor(16) as threads:
        assert len([*threads.map(work, range(16))]) == 16


def hostile(kind, tmp_path):
    """A file that somebody uploads in a picture's place."""
    path = tmp_path / "hostile.png"
    if kind == "text":
        path.write_bytes(b"I am a picture, honestly")
    elif kind == "empty":
        path.touch()
    elif kind == "pixels":
        Image.new("1", (3000, 2000)).save(path)
    elif kind == "bomb":
        Image.new("1", (20_000, 20_000)).save(path)
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "the file is damaged or not a picture"),
        ("empty", "the file is empty"),
        ("pixels", "the picture is 3000x2000; at most 4 million pixels are taken"),
        ("bomb", "too many pixels"),
    ],
)
def test_hostile_uploads_are_told(app, files, tmp_path, kind, words):
    event, content = call(app, sent(upload(app, hostile(kind, tmp_path))), sent(upload(app, files[1].read_bytes())), "")
    assert event == "error"
    assert words in content
    assert "Traceback" not in content


@pytest.mark.slow
def test_a_large_file_is_turned_away(app):
    with pytest.raises(HTTPError) as refused:
        upload(app, bytes(2_000_001))
    assert refused.value.code == 413


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mask", "network", "words"),
    [
        (Image.new("L", (60, 40)), "", "nothing is marked"),
        (Image.new("L", (9, 9), 255), "", "the mask is 9x9, the picture 60x40; give a mask of its size"),
        (Image.new("L", (60, 40), 255), "../tiny", "there is no network '../tiny' here; choose from tiny"),
    ],
)
def test_wrong_masks_and_names_are_told(app, files, tmp_path, mask, network, words):
    mask.save(tmp_path / "other.png")
    paths = (upload(app, path.read_bytes()) for path in (files[0], tmp_path / "other.png"))
    event, content = call(app, *map(sent, paths), network)
    assert event == "error"
    assert words in content


@pytest.mark.slow
@pytest.mark.parametrize("missing", [None, {}, "a.png", 7, []])
def test_what_is_no_file_at_all_is_refused(app, missing):
    assert call(app, missing, None, "")[0] == "error"


@pytest.mark.slow
@pytest.mark.parametrize("made_up", ["/etc/hostname", "../../../etc/hostname", "/proc/self/environ", __file__])
def test_no_other_file_can_be_completed(app, files, made_up):
    event, content = call(app, sent(made_up), sent(upload(app, files[1].read_bytes())), "")
    assert event == "error"
    assert "damaged" not in content  # it was not even opened


@pytest.mark.slow
def test_no_address_is_fetched(app, files):
    asked = f"{app}/gradio_api/file={upload(app, files[0].read_bytes())}"
    event, content = call(app, sent(asked), sent(upload(app, files[1].read_bytes())), "")
    assert event == "error"
    assert "an address is not fetched; upload the file itself" in content


@pytest.mark.slow
@pytest.mark.parametrize("escaped", ["{}", "../../../../../..{}", "..%2f..%2f..%2f..%2f..%2f..{}", "/proc/self/root{}"])
@pytest.mark.parametrize(
    "route", ["gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/", "gradio_api/stream/"]
)
def test_no_other_file_can_be_read(app, tmp_path, route, escaped):
    (tmp_path / "secret.txt").write_text("four seven eleven")
    status, content = fetch(f"{app}/{route}{escaped.format(tmp_path / 'secret.txt')}")
    assert status in {400, 403, 404, 405, 422}
    assert "four seven eleven" not in content


@pytest.mark.slow
@pytest.mark.parametrize("source", [imcomp.app.__file__, "pyproject.toml", "imcomp/app/serving.py"])
def test_not_even_the_apps_own_files_can_be_read(app, source):
    assert fetch(f"{app}/gradio_api/file={Path(source).resolve()}")[0] in {403, 404}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["../../../evil.png", "/var/evil.png", "..\\\\evil.png", "a" * 300 + ".png", "ä b.png"]
)
def test_an_upload_stays_in_its_folder(app, files, name):
    path = Path(upload(app, files[0].read_bytes(), name))
    assert path.is_file()
    assert path.resolve().parents[1].name.startswith("imcomp-app-")


@pytest.mark.slow
def test_nothing_is_left_behind(checkpoint, files):
    with serving(Settings((str(checkpoint),), port=0, device="cpu")) as address:
        paths = [upload(address.rstrip("/"), file.read_bytes()) for file in files]
        folder = Path(paths[0]).parents[1]
        assert call(address.rstrip("/"), *map(sent, paths), "")[0] == "complete"
        assert folder.is_dir()
    assert not folder.exists()
    assert [*Path(imcomp.app.__file__).parent.glob("*.pyi")] == []


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(app, checkpoint):
    port = int(app.rpartition(":")[2])
    with (
        pytest.raises(InputError, match=f"port={port} at 127.0.0.1 cannot be listened on"),
        serving(Settings((str(checkpoint),), port=port, device="cpu")),
    ):
        pass

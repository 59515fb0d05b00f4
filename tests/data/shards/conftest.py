"""A packed folder whose pictures tell their numbers, and servers that hand it out, well or badly."""

import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from imcomp.data.folders import FolderSource
from imcomp.data.shards.jobs import Packing
from imcomp.data.shards.packing import pack
from imcomp.data.splits import Split

pytest.importorskip("litdata", reason="streaming: pip install 'imcomp[stream]'")

COUNT = 60
"""Pictures: 45 train, 10 validate, 5 test."""


@pytest.fixture(scope="session")
def grey_folder(tmp_path_factory):
    """Sixty pictures of 12 x 10 pixels in six folders; picture ``i`` in sorted order is all ``4 * i`` grey."""
    root = tmp_path_factory.mktemp("grey")
    for index in range(COUNT):
        file = root / f"track{index // 10}" / f"{index % 10}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (12, 10), 4 * index).save(file)
    return root


@pytest.fixture(scope="session")
def packing(grey_folder):
    """``packing(form="resized")``: shards of five pictures or so."""

    def made(source=None, **options):
        source = source or FolderSource(grey_folder, group_regex=r"^(\w+)/")
        order = [(7 * place) % COUNT for place in range(COUNT)]
        values = {
            "source": source,
            "name": "folder",
            "split": Split(order[:45], order[45:55], order[55:]),
            "split_options": {"split": "random", "val_fraction": 1 / 6, "test_fraction": 1 / 12, "seed": 0},
            "form": "encoded",
            "channels": 1,
            "size": 8,
            "fit": "stretch",
        }
        values |= options
        per_picture = 64 if values["form"] == "resized" else (grey_folder / "track0" / "0.png").stat().st_size
        return Packing(**{"shard_mb": 5 * per_picture / 1e6, **values})

    return made


@pytest.fixture(scope="session")
def packed(packing, tmp_path_factory):
    """A packed folder of twelve shards, not to be changed."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(packing(), folder, workers=1)
    return folder


class Server:
    """Hands a folder out over HTTP on the loopback.

    Attributes:
        root: its address.
        asked: how often each file was asked for.
        failures: of each file, statuses to answer with before it is handed out; 0 breaks off in the middle.
    """

    def __init__(self, folder):
        asked, failures = Counter(), {}

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self):
                asked[self.path] += 1
                status = failures[self.path].pop(0) if failures.get(self.path) else None
                if status:
                    self.send_error(status)
                elif status == 0:
                    self.send_response(200)
                    self.send_header("Content-Length", "1000000")
                    self.end_headers()
                    self.wfile.write(b"half of it")
                else:
                    super().do_GET()

            def log_message(self, *_):
                pass

        self.asked, self.failures = asked, failures
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch):
    """``serve(folder)`` starts a server; tries follow one another at once."""
    monkeypatch.setattr("imcomp.data.shards.transport._PAUSE", 0.0)
    servers = []

    def start(folder):
        servers.append(Server(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()

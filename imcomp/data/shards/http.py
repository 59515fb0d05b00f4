"""Shards from any web server: what LitData lacks for ``http://`` and ``https://``.

Importing this module lets LitData's own `StreamingDataset` read such addresses too.
"""

import contextlib
import shutil
import urllib.request
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, BinaryIO

from litdata.streaming.downloader import Downloader, register_downloader

from imcomp.files import atomic

_TIMEOUT = 60  # seconds without a byte


class HTTPDownloader(Downloader):  # type: ignore[misc]  # LitData ships no types
    """Fetches files with GET, ranges of them where the server knows ranges."""

    def download_file(self, remote_filepath: str, local_filepath: str) -> None:
        """Fetch a file, whole or not at all."""
        with atomic(Path(local_filepath)) as beside, beside.open("wb") as file:
            self.download_fileobj(remote_filepath, file)

    def download_bytes(self, remote_filepath: str, offset: int, length: int, local_chunkpath: str) -> bytes:
        """Fetch ``length`` bytes of a file, from ``offset`` on."""
        ranged = {"Range": f"bytes={offset}-{offset + length - 1}"}
        with _get(remote_filepath, ranged) as response:
            if response.status != 206:  # the server sends all of it
                response.read(offset)
            return bytes(response.read(length))

    def download_fileobj(self, remote_filepath: str, fileobj: BinaryIO) -> None:
        """Write a file to an open one.

        Raises:
            IncompleteRead: the connection ended before the file did.
            urllib.error.URLError: no such server, or it refuses; see ``HTTPError.code``.
        """
        with _get(remote_filepath, {}) as response:
            start = fileobj.tell()
            shutil.copyfileobj(response, fileobj, 1 << 20)
            expected, got = response.headers["Content-Length"], fileobj.tell() - start
        if expected is not None and got != int(expected):  # `read` with a size does not complain
            raise IncompleteRead(b"", int(expected) - got)


def _get(url: str, headers: dict[str, str]) -> contextlib.AbstractContextManager[Any]:
    request = urllib.request.Request(url, headers={"User-Agent": "imcomp", **headers})  # noqa: S310  # http(s) alone is registered
    return contextlib.closing(urllib.request.urlopen(request, timeout=_TIMEOUT))  # noqa: S310  # the same


for _scheme in ("http://", "https://"):
    register_downloader(_scheme, HTTPDownloader, overwrite=True)

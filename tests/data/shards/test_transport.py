import io

import pytest

from imcomp.data.shards import transport
from imcomp.data.shards.transport import NotThere, fetch
from imcomp.errors import InputError


class S3Error(Exception):
    """As botocore's ``ClientError``."""

    def __init__(self, status, text):
        super().__init__(text)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class NoCredentialsError(Exception):
    """As botocore's."""


class DefaultCredentialsError(Exception):
    """As Google's."""


class GoogleError(Exception):
    """As ``google.api_core``'s."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


@pytest.fixture
def failing(monkeypatch):
    """Any address fails with the error given; counts the tries."""
    monkeypatch.setattr(transport, "_PAUSE", 0.0)
    tries = []

    def fail_with(error):
        class Downloader:
            def download_fileobj(self, address, file):
                tries.append(address)
                raise error

        monkeypatch.setattr(transport, "_downloader", lambda *_: Downloader())
        return tries

    return fail_with


@pytest.mark.parametrize(
    ("root", "error", "said", "tries"),
    [
        ("s3://b/p", NoCredentialsError("Unable to locate credentials"), "no credentials .*AWS_ACCESS_KEY_ID", 1),
        ("gs://b/p", DefaultCredentialsError("none were found"), "no credentials .*gcloud auth", 1),
        ("s3://b/p", S3Error(403, "Forbidden"), r"access is refused \(Forbidden\); set AWS_ACCESS_KEY_ID", 1),
        ("gs://b/p", GoogleError(403, "Forbidden"), "access is refused", 1),
        ("s3://b/p", S3Error(404, "Not Found"), "x.bin is not there; give another data.root", 1),
        ("s3://b/p", ConnectionError("no route to host"), "in 4 tries .*no route.*AWS_ENDPOINT_URL", 4),
        ("https://h/p", S3Error(503, "Slow Down"), "in 4 tries .*; check the network and data.root", 4),
        ("gs://b/p", TimeoutError(), r"in 4 tries \(TimeoutError\)", 4),
    ],
)
def test_what_went_wrong_is_one_line_that_says_what_to_do(failing, root, error, said, tries):
    made = failing(error)

    with pytest.raises(InputError, match=f"^{root}/x.bin.*") as caught:
        fetch(root, "x.bin", io.BytesIO())

    assert caught.match(said)
    assert "\n" not in str(caught.value)
    assert made == [f"{root}/x.bin"] * tries


def test_what_is_not_there_is_an_error_of_its_own(failing):
    failing(GoogleError(404, "no such object"))

    with pytest.raises(NotThere):
        fetch("gs://b", "x", io.BytesIO())


def test_a_second_try_starts_anew(monkeypatch):
    monkeypatch.setattr(transport, "_PAUSE", 0.0)
    tries = iter([b"half", b"whole"])

    class Downloader:
        def download_fileobj(self, address, file):
            data = next(tries)
            file.write(data)
            if data == b"half":
                raise ConnectionError

    monkeypatch.setattr(transport, "_downloader", lambda *_: Downloader())
    file = io.BytesIO()

    fetch("https://h", "x", file)

    assert file.getvalue() == b"whole"


def test_ranges_and_whole_files_come_over_http(packed, serve, tmp_path):
    from imcomp.data.shards.http import HTTPDownloader

    server = serve(packed)
    downloader = HTTPDownloader(server.root, str(tmp_path), [])
    whole = (packed / "train" / "00000.bin").read_bytes()

    downloader.download_file(f"{server.root}/train/00000.bin", str(tmp_path / "file"))

    assert (tmp_path / "file").read_bytes() == whole
    assert downloader.download_bytes(f"{server.root}/train/00000.bin", 10, 20, "") == whole[10:30]


def test_litdata_itself_reads_over_http(packed, serve, tmp_path):
    from litdata import StreamingDataset
    from litdata.streaming.resolver import Dir

    import imcomp.data.shards.http  # noqa: F401  # registers itself

    server = serve(packed)
    dataset = StreamingDataset(Dir(path=None, url=f"{server.root}/train"), cache_dir=str(tmp_path))

    assert [item[0] for item in dataset] == [7 * place % 60 for place in range(45)]

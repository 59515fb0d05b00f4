"""Files from a bucket or a web server, with patience; what goes wrong is told in one line."""

import logging
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import quote

from imcomp.errors import InputError

log = logging.getLogger(__name__)

SCHEMES = ("s3", "gs", "http", "https")

_TRIES = 4
_PAUSE = 0.5  # seconds before the second try; twice as long before each further one

_NO_CREDENTIALS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
    *("TokenRetrievalError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "RefreshError"),
}
_ADVICE = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run `aws configure`, or give data.anonymous=true",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "http": "put a user and password into the server's address, or open it to this machine",
}


class NotThere(InputError):  # noqa: N818 - a kind of InputError
    """There is no such file, or no such bucket."""


def is_remote(root: str) -> bool:
    """Whether it is an address and no folder.

    Raises:
        InputError: an address that nothing here can read.
    """
    scheme, found, _ = root.partition("://")
    if not found:
        return False
    if scheme not in SCHEMES:
        raise InputError(f"{root} cannot be read; give a folder, or an address with {'://, '.join(SCHEMES)}://")
    return True


def fetch(root: str, name: str, file: BinaryIO, *, endpoint: str | None = None, anonymous: bool = False) -> None:
    """Write one file of a bucket or web server to an open file, which is empty.

    Args:
        root: its folder's address.
        name: its path in the folder.
        file: takes it.
        endpoint: of an S3 server other than Amazon's; None leaves it to AWS_ENDPOINT_URL and the like.
        anonymous: ask S3 without credentials.

    Raises:
        NotThere: there is no such file.
        InputError: no credentials, no access, or no connection after several tries.
    """
    scheme = root.partition("://")[0].replace("https", "http")
    path = quote(name) if scheme == "http" else name
    address = f"{root.rstrip('/')}/{path}"
    for attempt in range(_TRIES):
        try:
            file.seek(0)
            file.truncate()
            _downloader(root, endpoint, anonymous, os.getpid()).download_fileobj(address, file)
            return
        except InputError:
            raise
        except Exception as error:  # each of the clients has a family of errors of its own
            status = _status(error)
            text = " ".join(str(error).split()) or type(error).__name__
            if status == 404:
                raise NotThere(f"{address} is not there; give another data.root, or copy the shards to it") from error
            if type(error).__name__ in _NO_CREDENTIALS:
                raise InputError(f"{address}: no credentials ({text}); {_ADVICE[scheme]}") from error
            if status in (400, 401, 403):
                raise InputError(f"{address}: access is refused ({text}); {_ADVICE[scheme]}") from error
            if attempt + 1 == _TRIES:
                raise InputError(
                    f"{address} cannot be reached in {_TRIES} tries ({text}); check the network"
                    + (" and AWS_ENDPOINT_URL or data.endpoint" if scheme == "s3" else " and data.root")
                ) from error
            log.info("%s: %s; trying again", address, text)
            time.sleep(_PAUSE * 2**attempt)


@lru_cache(maxsize=8)
def _downloader(root: str, endpoint: str | None, anonymous: bool, process: int) -> Any:  # noqa: ARG001, FBT001  # the cache's key
    """LitData's downloader of the address; one for each process, since connections do not survive a fork."""
    try:
        from litdata.streaming.downloader import get_downloader

        import imcomp.data.shards.http  # noqa: F401  # registers itself
    except ImportError as error:
        raise InputError("data=stream needs LitData; pip install 'imcomp[stream]'") from error
    options: dict[str, Any] = {}
    if root.startswith("s3://"):
        options = _s3_options(endpoint, anonymous=anonymous)
    try:
        return get_downloader(root, "", [], options)
    except ImportError as error:
        package = "google-cloud-storage" if root.startswith("gs://") else "boto3"
        raise InputError(f"{root} needs the package {package}; pip install {package}") from error


def _s3_options(endpoint: str | None, *, anonymous: bool) -> dict[str, Any]:
    try:
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise InputError("s3:// needs the package boto3; pip install boto3") from error
    # LitData would try a thousand times before it says that there is no network
    retries = {"max_attempts": 2, "mode": "standard"}
    config = Config(
        retries=retries, connect_timeout=10, read_timeout=60, signature_version=UNSIGNED if anonymous else None
    )
    return {"config": config, **({"endpoint_url": endpoint} if endpoint else {})}


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of botocore's, urllib's or Google's tells; None where it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return int(status) if status else None
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None

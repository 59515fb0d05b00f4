"""Starting the app, and leaving nothing behind."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imcomp import pretrained
from imcomp.app.settings import Settings
from imcomp.errors import InputError

EXAMPLES = ("stop", "limit-70", "no-lorries-overtaking", "priority-road")
"""Pictures of the package with ready masks."""


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the app; on leaving, stop and delete all uploads and results.

    Yields:
        The page's address.

    Raises:
        InputError: Gradio is missing, a network cannot be loaded, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise InputError("the app needs gradio; pip install 'imcomp[app]'")
    with tempfile.TemporaryDirectory(prefix="imcomp-app-") as name, _environment(folder := Path(name).resolve()):
        from imcomp.app.completing import Desk
        from imcomp.app.networks import Networks
        from imcomp.app.page import CSS, HEAD, THEME, build_page

        networks = Networks(settings.ckpts, settings.device)
        page = build_page(Desk(networks, settings, folder), find_examples())
        options: dict[str, Any] = {
            "server_name": settings.host,
            "server_port": settings.port or None,
            "max_file_size": settings.max_bytes,
            "allowed_paths": [],
            "blocked_paths": [],
            "share": False,
            "quiet": True,
            "show_error": False,
            "ssr_mode": False,
            "pwa": False,
            "mcp_server": False,
            "enable_monitoring": False,
            "run_history": False,
            "footer_links": ["api"],
            "prevent_thread_lock": True,
            "theme": THEME,
            "css": CSS,
            "head": HEAD,
        }
        try:
            _, address, _ = page.launch(**options)
        except OSError as error:
            raise InputError(
                f"port={settings.port} at {settings.host} cannot be listened on ({error}); give another, or port=0"
            ) from error
        try:
            yield address
        finally:
            page.close(verbose=False)


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Tell Gradio, which reads it while the page is built, where files go, and to report to nobody."""
    settings = {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ |= settings
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(settings: Settings) -> None:
    """Serve the app until it is interrupted."""
    import threading

    with serving(settings) as address:
        print(f"imcomp is at {address} (Ctrl-C ends it)", flush=True)  # noqa: T201 - what the command says
        threading.Event().wait()


def choose_checkpoints(given: Sequence[str] | str | None, outputs: Path) -> tuple[str, ...]:
    """Say which networks to offer.

    Args:
        given: one or more, which come first; the published ones follow.
        outputs: the folder of runs; where nothing is given and nothing published, the last run's best is offered.
    """
    own = [given] if isinstance(given, str) else [*(given or ())]
    default = pretrained.choose_checkpoint(None, outputs)
    names = sorted(pretrained.names(), key=lambda name: (name != default, name))
    offered = own + [name for name in names if name not in own]
    return tuple(offered) if offered or given is not None else (default,)


def find_examples() -> list[tuple[Path, Path]]:
    """Pictures and masks: of an installed package in its own folder, of a checkout in its docs."""
    package = Path(__file__).resolve().parent
    root = package / "docs" if (package / "docs").is_dir() else package.parent.parent / "docs"
    pairs = [(root / "examples" / f"{name}.png", root / "example-masks" / f"{name}.png") for name in EXAMPLES]
    return [pair for pair in pairs if all(file.is_file() for file in pair)]

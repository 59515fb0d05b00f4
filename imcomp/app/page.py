"""The page: what it shows, and what happens on a click."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from imcomp.app.completing import Desk
from imcomp.app.components import Canvas, Upload
from imcomp.errors import InputError

T = TypeVar("T")

THEME = gr.themes.Default(
    # the system's own: nothing is fetched from anywhere else
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
HEAD = '<meta name="referrer" content="no-referrer">'
CSS = """
.gradio-container { max-width: 1200px !important }
/* a mistake is told above the page; over the last result it would keep it from being downloaded */
[data-testid=status-tracker]:has(> .error) { display: none !important }
"""

_INTRODUCTION = """# Complete a picture
Give a picture, paint over what is missing or unwanted, and let a network fill it. Everything else stays as it is."""
_BRUSH = "#e6007e"


def build_page(desk: Desk, examples: Sequence[tuple[Path, Path]]) -> gr.Blocks:
    """Lay out the page.

    Args:
        desk: does the work.
        examples: pictures and their masks.
    """
    settings = desk.settings
    age = max(round(settings.keep_minutes * 60), 1)
    page: gr.Blocks
    with gr.Blocks(title="imcomp", analytics_enabled=False, delete_cache=(min(age, 600), age)) as page:
        gr.Markdown(_INTRODUCTION)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                picture = Upload(label="1. Picture", sources=["upload", "clipboard"], elem_id="picture", **_PLAIN)
                with gr.Column(visible=False) as painting:
                    canvas = Canvas(
                        type="pil",
                        label="2. Paint the hole",
                        layers=False,
                        sources=(),
                        transforms=(),
                        brush=gr.Brush(default_size=24, colors=[_BRUSH], color_mode="fixed"),
                        eraser=gr.Eraser(default_size=24),
                        format="png",
                        buttons=["fullscreen"],
                        elem_id="canvas",
                    )
                with gr.Accordion("or give a mask: a picture of the same size, white where the hole is", open=False):
                    mask = Upload(label="Mask", sources=["upload", "clipboard"], elem_id="mask", height=200, **_PLAIN)
                network = gr.Dropdown(
                    desk.networks.names, value=desk.networks.names[0], label="Network", elem_id="network"
                )
                complete = gr.Button("Complete", variant="primary", elem_id="complete")
            with gr.Column(min_width=300):
                compared = gr.ImageSlider(
                    label="Before and after", format="png", type="filepath", buttons=["fullscreen"], elem_id="compared",
                    interactive=False,
                )  # fmt: skip
                with gr.Column(visible=False) as done:
                    result = gr.File(label="Completed: PNG, full size, lossless", elem_id="result", interactive=False)
                again = gr.Button("Go on from the result", visible=False, elem_id="again")
        # not picture.change, which comes late; and no progress over the canvas, where it may stay and stop the brush
        filling: dict[str, Any] = {"show_progress_on": picture, **_PRIVATE}
        show = _told(_show(desk))
        gr.on([picture.upload, picture.clear], show, picture, [painting, canvas], trigger_mode="always_last", **filling)
        picture.upload(lambda: None, None, mask, **_PRIVATE)  # an earlier picture's
        again.click(_told(_go_on(desk)), result, [picture, mask, painting, canvas], **filling)
        if examples:
            shown = gr.Examples([[str(path) for path in pair] for pair in examples], [picture, mask], label="Examples")
            shown.load_input_event.then(show, picture, [painting, canvas], **filling)
        with gr.Column(visible=False):
            sent = Upload(label="picture", **_PLAIN)
            sent_mask = Upload(label="mask", **_PLAIN)
            wanted = gr.Textbox(label="network")
            returned = gr.File(label="completed")
            endpoint = gr.Button()

        limits: dict[str, Any] = {"concurrency_limit": settings.concurrency, "concurrency_id": "complete"}
        complete.click(
            _told(_complete(desk)),
            [picture, canvas, mask, network],
            [compared, done, result, again],
            **_PRIVATE | limits,
        )
        endpoint.click(
            _told(_answer(desk)),
            [sent, sent_mask, wanted],
            returned,
            api_name="complete",
            api_description="Fill the hole of a picture; the answer is a PNG file of its full size.",
            **limits,
        )
        page.queue(max_size=settings.waiting, default_concurrency_limit=max(settings.concurrency, 4))
    return page


_PLAIN: dict[str, Any] = {"type": "filepath", "image_mode": None, "format": "png", "buttons": []}
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def _show(desk: Desk) -> Callable[[str | None], tuple[Any, Any]]:
    def show(path: str | None) -> tuple[Any, Any]:
        if path is None:
            return gr.Column(visible=False), None
        shown = desk.show(path)
        return gr.Column(visible=True), {"background": shown, "layers": [], "composite": shown}

    return show


def _go_on(desk: Desk) -> Callable[[str], tuple[Any, ...]]:
    show = _show(desk)

    def go_on(path: str) -> tuple[Any, ...]:
        return path, None, *show(path)

    return go_on


def _complete(desk: Desk) -> Callable[..., tuple[Any, ...]]:
    def complete_painted(picture: str | None, painted: Any, mask: str | None, network: str | None) -> tuple[Any, ...]:
        path, before, after = desk.complete(picture, mask, network, painted)
        return (before, after), gr.Column(visible=True), str(path), gr.Button(visible=True)

    return complete_painted


def _answer(desk: Desk) -> Callable[[str | None, str | None, str | None], str]:
    def answer(picture: str | None, mask: str | None, network: str | None = None) -> str:
        path, _, _ = desk.complete(picture, mask, network or None)
        return str(path)

    return answer


def _told(function: Callable[..., T]) -> Callable[..., T]:
    """A mistake is shown to the person who made it, in one line."""

    @wraps(function)
    def told(*arguments: Any) -> T:
        try:
            return function(*arguments)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except MemoryError as error:
            raise gr.Error("there is not enough memory for this picture; give a smaller one") from error

    return told

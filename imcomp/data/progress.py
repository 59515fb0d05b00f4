"""A bar for what must be done before training can begin."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

T = TypeVar("T")

_FROM = 200  # pictures; fewer are done before a bar could be read


def with_bar(items: Iterable[T], what: str, total: int, pictures: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Go through ``items`` under a bar that goes away at the end.

    The bar is on stderr, if that is a terminal and the pictures are many.

    Args:
        items: what is being done.
        what: in words.
        total: pictures in all.
        pictures: how many of them an item is.
    """
    if total < _FROM or sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        for item in items:
            yield item
            bar.advance(task, pictures(item))

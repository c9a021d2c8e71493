"""What commands print: tables and lines for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Data = Annotated[
    Path, typer.Option("--data", envvar="TRUNKLINE_DATA", help="The data folder of the gateway.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as REST answered.")]

DATA = Path("var")

COLOURS: Mapping[str, str] = {
    "delivered": "green",
    "sent": "cyan",
    "received": "green",
    "bound": "green",
    "healthy": "green",
    "degraded": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "completed": "green",
    "in-progress": "cyan",
    "ringing": "cyan",
    "busy": "yellow",
    "no-answer": "yellow",
    "failed": "red",
    "undelivered": "red",
    "down": "red",
    "registered": "green",
    "up": "green",
    "resting": "yellow",
    "trying": "yellow",
    "silent": "red",
    "gave up": "red",
    "succeeded": "green",
    "awaiting_retry": "yellow",
    "expired": "red",
    "archived": "red",
    "discarded": "red",
    "closed": "green",
    "half-open": "yellow",
    "open": "red",
}


@cache
def console() -> "Console":
    """Where commands print; wide when it is no terminal, so that no line is cut in a pipe."""
    from rich.console import Console

    found = Console(highlight=False, emoji=False)
    return found if found.is_terminal else Console(highlight=False, emoji=False, width=200)


def line(text: str) -> None:
    """One line with markup; what comes from outside goes through `plain`."""
    console().print(text)


def plain(text: object) -> str:
    """`text` without any effect as markup or on the terminal."""
    from rich.markup import escape

    shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))
    return escape(shown)


def state(name: str) -> str:
    """A state in its colour."""
    colour = COLOURS.get(name)
    return f"[{colour}]{plain(name)}[/]" if colour else plain(name)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without a frame; cells have markup. The first column is whole: it is what to copy."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for at, title in enumerate(titles):
        drawn.add_column(title, overflow="fold", no_wrap=not at)
    for row in rows:
        drawn.add_row(*row)
    console().print(drawn)


def as_json(content: Any) -> None:
    """`content` as JSON, two blanks deep."""
    print(json.dumps(content, indent=2, ensure_ascii=False))


def clock(at: float) -> str:
    """A time of day in the local zone, to the millisecond."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]


def day(at: float) -> str:
    """A date in the local zone."""
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d")


def clipped(text: str, width: int = 60) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"

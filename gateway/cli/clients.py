"""`clients list`: which devices of the Voice SDK are connected."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, program

# By the word that no browser after it says of itself.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("EdgiOS", "Edge"),
    ("EdgA", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("HeadlessChrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Version", "Safari"),
)
_WIDTH: Final = 24

commands = typer.Typer(no_args_is_help=True, help="Browsers with the Voice SDK.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="clients")


@commands.callback()
def _group() -> None:
    """A group even while there is one command in it."""


@commands.command("list")
def list_(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """The devices that are connected to the process that is asked: by identity, and since when.

    --json has all that is known of each: port, transport, the whole name of its browser, its calls.
    """
    found = list(_connected(Gateway.find(data)))
    if json:
        show.as_json(found)
        return
    if not found:
        show.line(
            f"No client is connected; `{show.plain(program())} token --identity NAME` makes a token"
            " to try one with."
        )
        return
    rows = [
        (
            show.plain(each["identity"]),
            show.plain(each["source"].rpartition(":")[0]),
            show.plain(_device(each["device"])),
            "yes" if each["registered"] else "no",
            str(len(each["calls"])),
            _since(each["connected_at"]),
        )
        for each in found
    ]
    show.table(("IDENTITY", "FROM", "DEVICE", "RINGS", "CALLS", "SINCE"), rows)


def _device(told: str) -> str:
    """The version of the SDK and the browser, of what they say of themselves."""
    version, _, agent = told.partition(" ")
    for mark, name in _BROWSERS:
        found = re.search(rf"\b{mark}/(\d+)", agent)
        if found is not None:
            return f"{version} {name} {found[1]}"
    return show.clipped(told, _WIDTH)


def _since(at: str) -> str:
    """A date and time in the local zone."""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")


def _connected(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """All of them, page by page."""
    after: str | None = None
    while True:
        page = gateway.get("/v1/clients", after=after)
        yield from page["clients"]
        after = page["next"]
        if after is None:
            return

"""`clients list`: which devices of the Voice SDK are connected."""

from collections.abc import Iterator
from typing import Any

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, program

commands = typer.Typer(no_args_is_help=True, help="Browsers with the Voice SDK.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="clients")


@commands.callback()
def _group() -> None:
    """A group even while there is one command in it."""


@commands.command("list")
def list_(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """The devices that are connected to the process that is asked: by identity, and since when."""
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
            show.plain(f"{each['source']} {each['transport']}"),
            show.plain(each["device"]),
            "yes" if each["registered"] else "no",
            str(len(each["calls"])),
            show.plain(each["connected_at"]),
        )
        for each in found
    ]
    show.table(("IDENTITY", "FROM", "DEVICE", "RINGS", "CALLS", "SINCE"), rows)


def _connected(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """All of them, page by page."""
    after: str | None = None
    while True:
        page = gateway.get("/v1/clients", after=after)
        yield from page["clients"]
        after = page["next"]
        if after is None:
            return

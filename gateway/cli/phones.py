"""`phones list`: who is registered at the account's SIP domains."""

from collections.abc import Iterator
from typing import Any

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, program

commands = typer.Typer(no_args_is_help=True, help="Phones of the SIP domains.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="phones")


@commands.callback()
def _group() -> None:
    """A group even while there is one command in it."""


@commands.command("list")
def list_(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """The phones that are registered now: by user, from where, and until when."""
    found = list(_registered(Gateway.find(data)))
    if json:
        show.as_json(found)
        return
    if not found:
        show.line(
            "No phone is registered; where one was refused, the log of"
            f" `{show.plain(program())} serve` says why."
        )
        return
    rows = [
        (
            show.plain(each["aor"]),
            show.plain(f"{each['source']} {each['transport']}"),
            show.plain(each["user_agent"]),
            show.plain(each["registered_at"]),
            show.plain(each["expires_at"]),
        )
        for each in found
    ]
    show.table(("USER", "FROM", "PHONE", "SINCE", "UNTIL"), rows)


def _registered(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """All of them, page by page."""
    after: str | None = None
    while True:
        page = gateway.get("/v1/registrations", after=after)
        yield from page["registrations"]
        after = page["next"]
        if after is None:
            return

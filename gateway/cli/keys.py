"""`keys list|revoke`: the account's keys, which call REST and sign Access Tokens."""

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, Refused, program, segment

_MOST: Final = 1000  # of one page; an account has fewer

commands = typer.Typer(no_args_is_help=True, help="Keys that call REST and sign Access Tokens.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="keys")


@commands.command("list")
def list_(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """The account's keys, newest first; secrets are never shown again."""
    gateway = Gateway.find(data)
    found = gateway.get(f"{gateway.account_path}/Keys.json", PageSize=_MOST)["keys"]
    if json:
        show.as_json(found)
        return
    if not found:
        show.line(
            f"The account has no key; `{show.plain(program())} token --identity NAME` makes one."
        )
        return
    rows = [
        (show.plain(each["sid"]), show.plain(each["friendly_name"]), _made(each["date_created"]))
        for each in found
    ]
    show.table(("KEY", "NAME", "MADE"), rows)


@commands.command()
def revoke(
    sid: Annotated[str, typer.Argument(help="The key, SK and 32 characters.")],
    data: show.Data = show.DATA,
) -> None:
    """Delete a key: it calls nothing any more, and tokens that it signed let nobody in.

    Who is connected by such a token is told within a second; calls that are up go on.
    """
    gateway = Gateway.find(data)
    try:
        gateway.delete(f"{gateway.account_path}/Keys/{segment(sid)}.json")
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            told = f"the account has no key {sid!r}; `{program()} keys list` has those there are"
            raise GatewayError(told) from None
        raise
    show.line(f"{show.plain(sid)} is revoked, and so are all tokens that it signed.")


def _made(date: str) -> str:
    """A date of REST's (RFC 2822) in the local zone."""
    return parsedate_to_datetime(date).astimezone().strftime("%Y-%m-%d %H:%M:%S")

"""`sim`: the simulators, as programs of their own, and the handsets of a simulated carrier."""

import os
import sys
from typing import Annotated

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, segment

commands = typer.Typer(no_args_is_help=True, help="Simulated carriers, customers, apps, handsets.")

# The simulator reads its own options, --help among them.
_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

Number = Annotated[str, typer.Argument(help="The handset's number, in E.164.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="sim")
    for name, about in (
        ("smsc", "A carrier: an SMPP server with handsets behind it."),
        ("esme", "A customer's SMPP client."),
        ("webapp", "A customer's app that answers texts."),
    ):
        commands.command(name, help=about, context_settings=_THROUGH, add_help_option=False)(
            _become
        )


def _become(context: typer.Context) -> None:
    # This process becomes the simulator: no parent is left that a signal would have to reach.
    name = context.info_name or ""
    os.execv(sys.executable, [sys.executable, "-m", "sims", name, *context.args])


@commands.command()
def inbox(number: Number, json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """What arrived on a simulated handset."""
    found = Gateway.find(data).get(f"/sim/handsets/{segment(number)}/messages")
    if json:
        show.as_json(found)
        return
    for text in found:
        show.line(
            f"[dim]{show.plain(text['received_at'])}[/] {show.plain(text['from'])}:"
            f" {show.plain(text['body'])}"
        )


@commands.command("text")
def text_in(
    from_: Annotated[str, typer.Option("--from", help="The handset's number, in E.164.")],
    to: Annotated[str, typer.Option(help="A number of the gateway.")],
    body: Annotated[str, typer.Option(help="The text.")],
    data: show.Data = show.DATA,
) -> None:
    """Text in from a simulated handset."""
    gateway = Gateway.find(data)
    gateway.post_json(f"/sim/handsets/{segment(from_)}/messages", {"to": to, "body": body})
    show.line("The gateway has taken it; see: trunkline messages list")

"""`carriers list|show|pause|resume|drain`: how the carriers stand, and a hand on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, Refused, segment

commands = typer.Typer(no_args_is_help=True, help="How the carriers stand.")

Name = Annotated[str, typer.Argument(help="The carrier's name, as the config has it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="carriers")


@commands.command("list")
def list_(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """All carriers."""
    found = Gateway.find(data).get("/v1/carriers")
    if json:
        show.as_json(found)
    else:
        _print(found["carriers"])


@commands.command("show")
def show_(name: Name, json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """One carrier, with everything that is known of it."""
    gateway = Gateway.find(data)
    with _known(gateway, name):
        found = gateway.get(f"/v1/carriers/{segment(name)}")
    if json:
        show.as_json(found)
        return
    for key, value in found.items():
        if value not in (None, ""):
            shown = show.state(value) if key == "state" else show.plain(value)
            shown += " s" if key == "next_bind_in" else ""
            show.line(f"{key.replace('_', ' '):<16} {shown}")


@commands.command()
def pause(name: Name, data: show.Data = show.DATA) -> None:
    """Hand a carrier nothing more; its binds stay up and receipts still come.

    New texts that no other carrier serves are refused (error 21612) until it is resumed; while a
    carrier is only down they wait for it.
    """
    _steer(name, "pause", data)


@commands.command()
def resume(name: Name, data: show.Data = show.DATA) -> None:
    """Use a carrier again; one that is down is tried at once."""
    _steer(name, "resume", data)


@commands.command()
def drain(name: Name, data: show.Data = show.DATA) -> None:
    """Let a carrier finish what it has, then unbind."""
    _steer(name, "drain", data)


def _steer(name: str, command: str, data: show.Data) -> None:
    gateway = Gateway.find(data)
    with _known(gateway, name):
        found = gateway.post(f"/v1/carriers/{segment(name)}/{command}")
    _print([found])


@contextmanager
def _known(gateway: Gateway, name: str) -> Iterator[None]:
    """If there is no such carrier, the names that there are."""
    try:
        yield
    except Refused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        names = ", ".join(each["name"] for each in gateway.get("/v1/carriers")["carriers"])
        raise GatewayError(f"there is no carrier {name}; there are: {names}") from None


def _next_try(carrier: dict[str, Any]) -> str:
    if carrier["next_bind_in"] is None:
        return ""
    return f"; attempt {carrier['failed_binds'] + 1} in {carrier['next_bind_in']:g} s"


def _print(carriers: list[dict[str, Any]]) -> None:
    rows = [
        (
            show.plain(carrier["name"]),
            show.state(carrier["state"]),
            f"{carrier['binds_up']}/{carrier['binds_wanted']}",
            show.plain(carrier["since"] or ""),
            show.plain(carrier["reason"] + _next_try(carrier)),
        )
        for carrier in carriers
    ]
    show.table(("CARRIER", "STATE", "BINDS", "SINCE", "REASON"), rows)

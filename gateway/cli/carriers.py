"""`carriers list|show|pause|resume|drain`: how the carriers stand, and a hand on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, Refused, segment

# What a trunk says better in lines of its own.
_OF_BINDS = frozenset(
    {"binds_up", "binds_wanted", "transmitters_up", "failures", "failed_binds", "next_bind_in"}
)

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
    trunk = found.pop("trunk")
    for key, value in found.items():
        if value not in (None, "") and not (found["kind"] == "sip" and key in _OF_BINDS):
            shown = show.state(value) if key == "state" else show.plain(value)
            shown += " s" if key == "next_bind_in" else ""
            _line(key.replace("_", " "), shown)
    if trunk is not None:
        _print_trunk(trunk)


@commands.command()
def pause(name: Name, data: show.Data = show.DATA) -> None:
    """Hand a carrier nothing more; its binds stay up and receipts still come.

    New texts that no other carrier serves are refused (error 21612) until it is resumed; while a
    carrier is only down they wait for it. Calls go by other carriers, but for those for help.
    """
    _steer(name, "pause", data)


@commands.command()
def resume(name: Name, data: show.Data = show.DATA) -> None:
    """Use a carrier again; one that is down is tried at once, and so is a registration."""
    _steer(name, "resume", data)


@commands.command()
def drain(name: Name, data: show.Data = show.DATA) -> None:
    """Let a carrier finish what it has, then unbind; a registration is taken back at once."""
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


def _line(name: str, shown: str) -> None:
    show.line(f"{name:<16} {shown}")


def _print_trunk(trunk: dict[str, Any]) -> None:
    if trunk["registration"] is not None:
        _line("registration", _registration(trunk["registration"]))
    for gateway in trunk["gateways"]:
        _line("gateway", _gateway(gateway))
    limit = f" of {trunk['channels']}" if trunk["channels"] else ""
    _line("calls", f"{trunk['calls']}{limit}")
    if trunk["cps"]:
        _line("cps", f"{trunk['cps']:g}")
    _line("addresses", show.plain(", ".join(trunk["addresses"]) or "not known yet"))
    if trunk["trouble"]:
        _line("last trouble", show.plain(f"{trunk['trouble']} ({trunk['trouble_at']})"))


def _registration(registration: dict[str, Any]) -> str:
    said = show.state(registration["state"])
    if registration["server"]:
        said += show.plain(f" at {registration['server']} until {registration['expires_at']}")
    if registration["failures"]:
        said += show.plain(f"; {registration['failures']} in vain: {registration['reason']}")
    if registration["next_in"] is not None:
        said += f"; next in {registration['next_in']:g} s"
    return said


def _gateway(gateway: dict[str, Any]) -> str:
    said = f"{show.plain(gateway['uri'])} {show.state(gateway['state'])}"
    if gateway["until"]:
        said += show.plain(f" until {gateway['until']}")
    if gateway["reason"]:
        said += show.plain(f": {gateway['reason']}, {gateway['failures']} in a row")
    return said


def _next_try(carrier: dict[str, Any]) -> str:
    # A registration that stands is made again before its time is over: that is no attempt.
    stands = carrier["kind"] == "sip" and not carrier["failed_binds"]
    if carrier["next_bind_in"] is None or stands:
        return ""
    return f"; attempt {carrier['failed_binds'] + 1} in {carrier['next_bind_in']:g} s"


def _print(carriers: list[dict[str, Any]]) -> None:
    rows = [
        (
            show.plain(carrier["name"]),
            show.plain(carrier["kind"]),
            show.state(carrier["state"]),
            f"{carrier['binds_up']}/{carrier['binds_wanted']}",
            show.plain(carrier["since"] or ""),
            show.plain(carrier["reason"] + _next_try(carrier)),
        )
        for carrier in carriers
    ]
    show.table(("CARRIER", "KIND", "STATE", "UP", "SINCE", "REASON"), rows)

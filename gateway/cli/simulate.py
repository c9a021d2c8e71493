"""`sim`: the simulators, as programs of their own; handsets and phones of a simulated carrier."""

import json as written
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, Refused, program, segment

commands = typer.Typer(no_args_is_help=True, help="Simulated carriers, customers, apps, phones.")

_POLL: Final = 0.2  # seconds
_OVER: Final = frozenset({"ended", "dropped"})
_INTERRUPTED: Final = 130  # as a shell has it
_NOBODYS: Final = 0x0B  # ESME_RINVDSTADR
# The simulator reads its own options, --help among them.
_THROUGH: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

Number = Annotated[str, typer.Argument(help="The handset's number, in E.164.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="sim")
    for name, about in (
        ("smsc", "A carrier: handsets over SMPP, phones over SIP."),
        ("esme", "A customer's SMPP client."),
        ("webapp", "A customer's app that answers texts."),
        ("carrier", "A SIP carrier with phones, and without texts."),
        ("phone", "A phone that registers at a SIP domain."),
    ):
        commands.command(name, help=about, context_settings=_THROUGH, add_help_option=False)(
            _become
        )


def _become(context: typer.Context) -> None:
    # This process becomes the simulator: no parent is left that a signal would have to reach.
    name = context.info_name or ""
    command = [sys.executable, "-m", "sims", name, *context.args]
    os.execve(sys.executable, command, {**os.environ, "SIMS_PROGRAM": f"{program()} sim"})


@commands.command()
def inbox(number: Number, json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """What arrived on a simulated handset."""
    path = f"/sim/handsets/{segment(_handset(number))}/messages"
    with _explained():
        found = Gateway.find(data).get(path)
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
    path = f"/sim/handsets/{segment(_handset(from_))}/messages"
    number = _held(to)
    with _explained(number):
        Gateway.find(data).post_json(path, {"to": number, "body": body})
    show.line(f"The gateway has taken it; see: {show.plain(program())} messages list")


@commands.command()
def calls(number: Number, json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """The calls of a simulated phone, and what it heard."""
    path = f"/sim/phones/{segment(_handset(number))}/calls"
    with _explained():
        found = Gateway.find(data).get(path)
    if json:
        show.as_json(found)
        return
    for call in found:
        show.line(
            f"[dim]{show.plain(call['started_at'])}[/] {show.plain(call['from'])} ->"
            f" {show.plain(call['to'])}: {_state(call)}"
        )
        for step in call["steps"]:
            show.line(_step(step))


def _state(call: Mapping[str, Any]) -> str:
    """How far a call is, or what it came to."""
    code = "" if call["sip_code"] is None else f" {call['sip_code']}"
    why = f" ({call['reason']})" if call.get("reason") else ""
    return show.plain(f"{call['state']}{code}{why}")


def _step(step: Mapping[str, Any]) -> str:
    mark = "[green]ok[/]" if step["ok"] else "[red]missed[/]"
    heard = "" if step["heard"] is None else f", heard {step['heard']}"
    return f"  {mark} {show.plain(written.dumps(step['step']))}{show.plain(heard)}"


@commands.command("call")
def call_in(
    from_: Annotated[str, typer.Option("--from", help="The phone's number, in E.164.")],
    to: Annotated[str, typer.Option(help="A number of the gateway.")],
    script: Annotated[str, typer.Option(help="What it does, as JSON: a list of steps.")] = "[]",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the call until it is over.")
    ] = True,
    data: show.Data = show.DATA,
) -> None:
    """Call in from a simulated phone, print its steps, and follow the call until it is over.

    Ctrl-C hangs up. Exit status: 0 if it was answered and its steps came to what they should.
    """
    path = f"/sim/phones/{segment(_handset(from_))}/calls"
    dialling = {"to": _held(to), "script": _steps(script)}
    with _explained():
        gateway = Gateway.find(data)
        placed = gateway.post_json(path, dialling)
    if not wait:
        show.line(f"It calls; see: {show.plain(program())} sim calls {show.plain(from_)}")
        return
    try:
        call = _followed(gateway, path, placed["id"])
    except KeyboardInterrupt:
        gateway.delete(f"{path}/{segment(placed['id'])}")
        print("it hung up", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    missed = _missed(call, dialling["script"])
    if missed:
        raise GatewayError(f"{missed}; see: {program()} calls list")


def _followed(gateway: Gateway, path: str, id: str) -> dict[str, Any]:
    """A simulated call that is over; states and steps are printed as they come."""
    state, steps = "", 0
    while True:
        found = (each for each in gateway.get(path) if each["id"] == id)
        call: dict[str, Any] | None = next(found, None)
        if call is None:
            raise GatewayError("somebody had the phones forget their calls (DELETE /sim)")
        is_over = call["state"] in _OVER
        if call["state"] != state and not is_over:
            show.line(_state(call))
        for step in call["steps"][steps:]:
            show.line(_step(step))
        state, steps = call["state"], len(call["steps"])
        if is_over:
            show.line(_state(call))
            return call
        time.sleep(_POLL)


def _missed(call: Mapping[str, Any], script: Sequence[Mapping[str, Any]]) -> str:
    """What a call did not come to; empty if all is well."""
    if call["answered_at"] is None:
        return "it was not answered"
    missed = sum(not step["ok"] for step in call["steps"])
    # Whoever hangs up first leaves nothing to wait for, but much to hear.
    missed += sum("expect" in step or "press" in step for step in script[len(call["steps"]) :])
    return f"{missed} of {len(script)} steps missed" if missed else ""


def _steps(script: str) -> Any:
    try:
        return written.loads(script)
    except ValueError as error:
        raise GatewayError(
            f'--script is JSON, such as [{{"tone": 440, "for": 2}}]: {error}'
        ) from None


def _handset(given: str) -> str:
    from carriers.numbers import Invalid, check_to

    found = check_to(given)
    if isinstance(found, Invalid):
        raise GatewayError(found.reason)
    return found.text


def _held(given: str) -> str:
    """A number of the gateway: E.164 or a short code."""
    from carriers.numbers import Invalid, check_from
    from protocols.smpp.constants import Ton

    found = check_from(given)
    if isinstance(found, Invalid) or found.ton == Ton.ALPHANUMERIC:
        return _handset(given)
    return found.text


@contextmanager
def _explained(to: str = "") -> Iterator[None]:
    """What a refusal means that comes of the set-up."""
    try:
        yield
    except Refused as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:
            raise GatewayError(
                "no carrier of this gateway is simulated; leave [[carriers]] out of the config,"
                ' or add one with kind = "simulated"'
            ) from None
        if (refusal.content or {}).get("command_status") == _NOBODYS:
            raise GatewayError(
                f"nobody holds {to}; add it under [[numbers]] in the config, or with"
                " POST IncomingPhoneNumbers.json"
            ) from None
        raise

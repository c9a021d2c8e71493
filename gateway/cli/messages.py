"""`send`, `messages list`, `messages show`: texts, and what became of them."""

import sys
import time
from http import HTTPStatus
from typing import Annotated, Any, Final

import typer

from gateway.cli import show, timeline
from gateway.cli.client import Gateway, GatewayError, Refused, program, segment

_FINAL: Final = frozenset({"delivered", "undelivered", "failed", "canceled", "received"})
_POLL: Final = 0.2  # seconds
_NOT_FINAL: Final = 3  # exit status

commands = typer.Typer(no_args_is_help=True, help="Texts, and what became of them.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(send)
    app.add_typer(commands, name="messages")


def send(
    to: Annotated[str, typer.Option(help="The number to text, in E.164.")],
    body: Annotated[str, typer.Option(help="The text.")],
    from_: Annotated[
        str, typer.Option("--from", help="The sender; default: the account's first number.")
    ] = "",
    status_callback: Annotated[str, typer.Option(help="A URL that is told of changes.")] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the final state.")] = 0.0,
    data: show.Data = show.DATA,
) -> None:
    """Send a text and print its SID.

    Exit status: 0 if it was taken (with --wait: delivered), 1 if it was refused or failed, 3 if
    it had no final state when the wait was over.
    """
    gateway = Gateway.find(data)
    message = gateway.post(
        f"{gateway.account_path}/Messages.json",
        To=to,
        From=from_ or first_number(gateway),
        Body=body,
        StatusCallback=status_callback or None,
    )
    deadline = time.monotonic() + wait
    while message["status"] not in _FINAL and time.monotonic() < deadline:
        time.sleep(_POLL)
        message = _fetch(gateway, message["sid"])
    segments = message["num_segments"]
    parts = "1 segment" if segments == "1" else f"{segments} segments"
    show.line(f"{message['sid']}  {show.state(message['status'])}  {parts}")
    if message["error_code"]:
        error = show.plain(message["error_message"])
        raise GatewayError(f"{message['status']}: {error} (error {message['error_code']})")
    if wait and message["status"] not in _FINAL:
        why = _why(gateway, message)
        print(f"trunkline: {message['status']} after {wait:g} s: {why}", file=sys.stderr)
        raise typer.Exit(_NOT_FINAL)


def _why(gateway: Gateway, message: dict[str, Any]) -> str:
    """What a text waits for."""
    name = _timeline(gateway, message["sid"])["carrier"]
    carrier = gateway.get(f"/v1/carriers/{segment(name)}")
    stands = f"carrier {name} is {carrier['state']}"
    if carrier["reason"]:
        stands += f", {carrier['reason']}"
    elif message["status"] == "sent":
        stands += " and has sent no receipt yet"
    return f"{stands}; see: {program()} messages show {message['sid']}"


@commands.command("list")
def list_(
    to: Annotated[str | None, typer.Option(help="Only those to this number.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Only those from it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """The newest texts."""
    gateway = Gateway.find(data)
    page = gateway.get(f"{gateway.account_path}/Messages.json", To=to, From=from_, PageSize=limit)
    if json:
        show.as_json(page)
        return
    rows = [
        (
            message["sid"],
            show.plain(message["date_created"]),
            message["direction"],
            show.state(message["status"])
            + (f" {message['error_code']}" if message["error_code"] else ""),
            show.plain(message["from"]),
            show.plain(message["to"]),
            show.plain(show.clipped(message["body"])),
        )
        for message in page["messages"]
    ]
    show.table(("SID", "CREATED", "DIRECTION", "STATUS", "FROM", "TO", "BODY"), rows)


@commands.command("show")
def show_(
    sid: Annotated[str, typer.Argument(help="The message's SID.")],
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """What happened to a text: its states, PDUs and callbacks, and the replies to it."""
    gateway = Gateway.find(data)
    found = _timeline(gateway, sid)
    if json:
        show.as_json(found)
        return
    if found["in_reply_to"]:
        asked = _fetch(gateway, found["in_reply_to"])
        show.line(
            f"answers {asked['sid']}: {show.plain(asked['from'])} texted"
            f" “{show.plain(show.clipped(asked['body']))}”"
        )
    timeline.print_message(found, _fetch(gateway, sid)["body"], indent=0)
    for reply in found["replies"]:
        timeline.print_message(_timeline(gateway, reply), _fetch(gateway, reply)["body"], indent=4)


def _timeline(gateway: Gateway, sid: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = gateway.get(f"/v1/messages/{segment(sid)}/timeline")
    except Refused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        raise GatewayError(f"there is no text {sid}; see: {program()} messages list") from None
    return found


def _fetch(gateway: Gateway, sid: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"{gateway.account_path}/Messages/{segment(sid)}.json")
    return found


def first_number(gateway: Gateway) -> str:
    """The newest number of the account: who texts and calls if nobody is named."""
    page = gateway.get(f"{gateway.account_path}/IncomingPhoneNumbers.json", PageSize=1)
    numbers = page["incoming_phone_numbers"]
    if not numbers:
        raise GatewayError("the account has no number; name a sender with --from")
    return str(numbers[0]["phone_number"])

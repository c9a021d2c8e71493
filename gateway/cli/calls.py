"""`call`, and `calls list|show|hangup|pcap|cdr`: calls, and what became of them."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from gateway.cli import ladder, notices, show
from gateway.cli.client import Gateway, GatewayError, Refused, program, segment
from gateway.cli.messages import first_number

commands = typer.Typer(no_args_is_help=True, help="Calls, and what became of them.")

Sid = Annotated[str, typer.Argument(help="The call's SID.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write; default: standard output.")
]


class Format(StrEnum):
    """How records are written."""

    CSV = "csv"
    JSON = "json"


_EMPTY: Final = 24  # octets of a capture without packets
_POLL: Final = 0.2  # seconds
_INTERRUPTED: Final = 130  # as a shell has it
_COMPLETED: Final = "completed"
_OVER: Final = frozenset({_COMPLETED, "busy", "failed", "no-answer", "canceled"})


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(call)
    app.add_typer(commands, name="calls")


def call(
    to: Annotated[str, typer.Option(help="Whom to call: a number in E.164, or sip:name@host.")],
    url: Annotated[str, typer.Option(help="Where the document is that runs at the answer.")] = "",
    twiml: Annotated[str, typer.Option(help="The document itself.")] = "",
    from_: Annotated[
        str, typer.Option("--from", help="The number that calls; default: the account's first.")
    ] = "",
    time_limit: Annotated[
        int | None, typer.Option(min=1, help="End it so many seconds after the answer.")
    ] = None,
    data: show.Data = show.DATA,
) -> None:
    """Call somebody, print the call's SID, and follow it until it is over.

    Exit status: 0 if it was answered and its documents were right; 1 if it was refused, nobody
    answered, or a document failed. Ctrl-C leaves the call to itself.
    """
    if bool(url) == bool(twiml):
        raise GatewayError("say what the call is to run: --url or --twiml, one of them")
    gateway = Gateway.find(data)
    made = gateway.post(
        f"{gateway.account_path}/Calls.json",
        To=to,
        From=from_ or first_number(gateway),
        Url=url or None,
        Twiml=twiml or None,
        TimeLimit=None if time_limit is None else str(time_limit),
    )
    sid = made["sid"]
    try:
        status = _followed(gateway, made)
        noted = notices.of_call(gateway, sid)
    except KeyboardInterrupt:
        print(f"the call goes on; end it: {program()} calls hangup {sid}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    for each in noted:
        show.console().print(notices.told(each), soft_wrap=True)
    errors = sum(map(notices.is_error, noted))
    if status != _COMPLETED or errors:
        what = f", with {errors} error{'s' if errors > 1 else ''}" if errors else ""
        raise GatewayError(f"{status}{what}; see: {program()} calls show {sid}")


def _followed(gateway: Gateway, made: dict[str, Any]) -> str:
    """The state that a call ends in; each on the way is printed."""
    path = f"{gateway.account_path}/Calls/{segment(made['sid'])}.json"
    status = ""
    while True:
        if made["status"] != status:
            status = made["status"]
            talked = f"  {made['duration']} s" if status == _COMPLETED else ""
            show.line(f"{made['sid']}  {show.state(status)}{talked}")
        if status in _OVER:
            return status
        time.sleep(_POLL)
        made = gateway.get(path)


@commands.command("list")
def list_(
    to: Annotated[str | None, typer.Option(help="Only those to this number.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Only those from it.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """The newest calls."""
    gateway = Gateway.find(data)
    page = gateway.get(
        f"{gateway.account_path}/Calls.json", To=to, From=from_, Status=status, PageSize=limit
    )
    if json:
        show.as_json(page)
        return
    rows = [
        (
            call["sid"],
            show.plain(call["date_created"]),
            call["direction"],
            show.state(call["status"]),
            f"{call['duration']} s" if call["duration"] is not None else "",
            show.plain(call["from"]),
            show.plain(call["to"]),
        )
        for call in page["calls"]
    ]
    show.table(("SID", "CREATED", "DIRECTION", "STATUS", "TALKED", "FROM", "TO"), rows)


@commands.command("show")
def show_(
    sid: Sid,
    messages: Annotated[
        bool, typer.Option("--messages", help="Print each SIP message whole, and each document.")
    ] = False,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """What happened to a call: its legs, its states, its callbacks, and the SIP ladder."""
    gateway = Gateway.find(data)
    with _known(sid):
        found = gateway.get(f"/v1/calls/{segment(sid)}/timeline")
    if json:
        show.as_json(found)
        return
    lines = ladder.with_messages(found) if messages else ladder.lines(found)
    for text in lines:
        show.console().print(text, soft_wrap=True)


@commands.command()
def hangup(sid: Sid, data: show.Data = show.DATA) -> None:
    """End a call that is up, whatever its state."""
    gateway = Gateway.find(data)
    with _known(sid):
        path = f"{gateway.account_path}/Calls/{segment(sid)}.json"
        call: dict[str, Any] = gateway.post(path, Status="completed")
    show.line(f"{show.plain(call['sid'])}  {show.state(call['status'])}")


@commands.command()
def pcap(sid: Sid, output: Output = None, data: show.Data = show.DATA) -> None:
    """The SIP messages of a call as a capture file, for tshark and its like."""
    if output is None and sys.stdout.isatty():
        raise GatewayError(f"a capture is nothing to read; name a file: -o {sid}.pcap")
    gateway = Gateway.find(data)
    with _known(sid), _opened(output) as file:
        gateway.save(f"/v1/calls/{segment(sid)}/pcap", file)
        if output is not None and file.tell() <= _EMPTY:
            raise GatewayError(
                f"there are no SIP messages of {sid}: they are written down when a call is over,"
                " and the oldest go ([store] trace_rows)"
            )


@commands.command()
def cdr(
    format: Annotated[Format, typer.Option("--format", help="csv, or json: a line each.")] = (
        Format.CSV
    ),
    start: Annotated[str | None, typer.Option(help="Begun then or later: YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="Begun then or before: YYYY-MM-DD.")] = None,
    output: Output = None,
    data: show.Data = show.DATA,
) -> None:
    """A record of each leg of the account's calls, the oldest first."""
    gateway = Gateway.find(data)
    with _opened(output) as file:
        gateway.save("/v1/cdr", file, format=format.value, start=start, end=end)


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes]]:
    """The file to write to; one that was not written whole is taken away again."""
    if output is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as file:
            yield file
    except OSError as error:
        raise GatewayError(f"{output} can't be written: {error.strerror}") from None
    except GatewayError:
        output.unlink(missing_ok=True)
        raise


@contextmanager
def _known(sid: str) -> Iterator[None]:
    """If there is no such call, where there are some."""
    try:
        yield
    except Refused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        raise GatewayError(f"there is no call {sid}; see: {program()} calls list") from None

"""A message's timeline as lines: when, which way, what, with decoded PDUs."""

from typing import Any, Final

from gateway.cli import show

_ARROWS: Final = {"out": "──►", "in": "◄──"}
# Said in the line's beginning, or of no interest to a reader of lines.
_HEAD: Final = frozenset(
    {"at", "type", "version", "direction", "octets", "name", "sequence_number", "command_status"}
)
_NO_ERROR: Final = 0
_UDHI: Final = 0x40


def print_message(timeline: dict[str, Any], body: str, indent: int) -> None:
    """Print what `GET /v1/messages/{sid}/timeline` answered, `indent` blanks deep."""
    for text in lines(timeline, body):
        show.console().print(" " * indent + text, soft_wrap=True)


def lines(timeline: dict[str, Any], body: str) -> list[str]:
    """The lines, with markup."""
    error = f"  error {timeline['error_code']}" if timeline["error_code"] else ""
    segments = timeline["num_segments"]
    head = (
        f"[bold]{timeline['sid']}[/]  {show.plain(timeline['from'])} → {show.plain(timeline['to'])}"
        f"  {show.state(timeline['status'])}{error}"
    )
    about = (
        f"  {timeline['direction']}, {timeline['encoding']},"
        f" {segments} segment{'' if segments == 1 else 's'}"
        + (f", carrier {show.plain(timeline['carrier'])}" if timeline["carrier"] else "")
    )
    said = [f"  “{show.plain(show.clipped(body, 160))}”"] if body else []
    route = [
        f"  route: {show.plain(each['carrier'])}: {show.plain(each['reason'])}"
        for each in timeline["route"]
        if isinstance(each, dict) and "reason" in each
    ]
    return [head, about, *said, *route, *(_event(event) for event in timeline["events"])]


def _event(event: dict[str, Any]) -> str:
    at = f"  [dim]{show.clock(event['at'])}[/]"
    if event["type"] == "pdu":
        return f"{at}  {_ARROWS[event['direction']]} {_pdu(event)}"
    return f"{at}  {show.plain(event['type'])} {_rest(event)}".rstrip()


def _pdu(event: dict[str, Any]) -> str:
    if "name" not in event:
        return f"{len(event['octets']) // 2} octets that are no PDU: {event['octets'][:64]}"
    status = event["command_status"]
    failed = "" if status == _NO_ERROR else f" [red]command_status 0x{status:08x}[/]"
    given = event.get("fields", {})
    fields = " ".join(
        f"{name}={show.plain(value)}"
        for name, value in given.items()
        if value not in (0, "", None) and name != "short_message"
    )
    said = f" “{show.plain(_text(given))}”" if given.get("short_message") else ""
    return f"[bold]{event['name']}[/] #{event['sequence_number']}{failed} [dim]{fields}[/]{said}"


def _text(fields: dict[str, Any]) -> str:
    """What a short_message says, without its user data header (SMPP v3.4 5.2.12)."""
    from protocols.smpp.text import decode

    octets = bytes.fromhex(fields["short_message"])
    if fields.get("esm_class", 0) & _UDHI:
        octets = octets[1 + octets[0] :]
    return decode(octets, fields.get("data_coding", 0))


def _rest(event: dict[str, Any]) -> str:
    return " ".join(
        f"[dim]{show.plain(name)}={show.plain(value)}[/]"
        for name, value in event.items()
        if name not in _HEAD and value not in ("", None)
    )

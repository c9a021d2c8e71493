"""A message's timeline as lines: when, which way, what, with decoded PDUs."""

from collections.abc import Iterator
from typing import Any, Final

from gateway.cli import show

_ARROWS: Final = {"out": "──►", "in": "◄──"}
# Said in the line's beginning, or of no interest to a reader of lines.
_HEAD: Final = frozenset({"at", "type", "version"})
_TEXTS: Final = frozenset({"short_message", "message_payload"})  # said as text


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
        f"  {show.state(timeline['status'])}{error}  {show.day(timeline['created_at'])}"
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
    parts = [_part(part) for part in timeline["parts"]]
    events = [_event(event) for event in timeline["events"]]
    return [head, about, *said, *route, *parts, *events]


def _part(part: dict[str, Any]) -> str:
    carrier_id = (
        f", the carrier's id {show.plain(part['carrier_id'])}" if part["carrier_id"] else ""
    )
    again = f" in attempt {part['attempt']}" if part["attempt"] > 1 else ""
    error = f" error {part['error_code']}" if part["error_code"] else ""
    return f"  part {part['part']}: {show.state(part['state'])}{error}{again}{carrier_id}"


def _event(event: dict[str, Any]) -> str:
    at = f"  [dim]{show.clock(event['at'])}[/]"
    if event["type"] == "pdu":
        return f"{at}  {_ARROWS[event['direction']]} {_pdu(event)}"
    return f"{at}  {show.plain(event['type'])} {_rest(event)}".rstrip()


def _pdu(event: dict[str, Any]) -> str:
    if "name" not in event:
        return f"{len(event['octets']) // 2} octets that are no PDU: {event['octets'][:64]}"
    failed = f" [red]{show.plain(event['meaning'])}[/]" if "meaning" in event else ""
    part = event.get("part")
    which = f" part {part['number']}/{part['total']} ref {part['reference']}" if part else ""
    said = f" “{show.plain(event['text'])}”" if "text" in event else ""
    fields = " ".join(_fields(event["fields"]))
    return (
        f"[bold]{event['name']}[/] #{event['sequence_number']}{failed}{which}"
        f" [dim]{fields}[/]{said}"
    )


def _fields(given: dict[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if name != "tlvs" and name not in _TEXTS and value not in (0, "", None):
            yield f"{name}={show.plain(value)}"
    for each in given.get("tlvs", ()):
        name = each["name"] or each["tag"]
        if name not in _TEXTS:
            yield f"{name}={show.plain(each['value'])}"


def _rest(event: dict[str, Any]) -> str:
    return " ".join(
        f"[dim]{show.plain(name)}={show.plain(value)}[/]"
        for name, value in event.items()
        if name not in _HEAD and value not in ("", None)
    )

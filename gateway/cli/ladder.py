"""A call's timeline as lines: what it is, its legs, and the ladder with what happened beside it.

Each peer has a column. An arrow goes from ours, the first one, to the peer's or back.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.cli import show

_COLUMN: Final = 44  # characters from one lifeline to the next
_MARGIN: Final = 24  # those before ours
_US: Final = "trunkline"
# Said in the line's beginning, or of no interest to a reader of lines.
_HEAD: Final = frozenset({"at", "type", "version"})
_DOCUMENT: Final = frozenset({"at", "type", "body", "url", "method", "status", "elapsed"})


def lines(timeline: dict[str, Any]) -> list[str]:
    """The lines, with markup; of each SIP message the first line."""
    return [*_about(timeline), *_events(timeline)]


def with_messages(timeline: dict[str, Any]) -> list[str]:
    """The same, and below each arrow the message as it was, below each document what it said."""
    return [*_about(timeline), *_events(timeline, whole=("text", "body"))]


def _about(call: dict[str, Any]) -> Iterator[str]:
    error = f"  error {call['error_code']}" if call["error_code"] else ""
    code = f"  SIP {call['sip_code']}" if call["sip_code"] else ""
    yield (
        f"[bold]{call['sid']}[/]  {show.plain(call['from'])} → {show.plain(call['to'])}"
        f"  {show.state(call['status'])}{code}{error}  {show.day(call['created_at'])}"
    )
    about = [call["direction"]]
    about += [f"{name} {show.plain(call[name])}" for name in ("carrier", "domain") if call[name]]
    if call["started_at"]:
        about.append(f"talked {call['duration']} s" if call["ended_at"] else "up")
    if call["origin"]:
        about.append(f"from {show.plain(call['origin'])}")
    yield f"  {', '.join(about)}"
    if call["reason"]:
        yield f"  reason: {show.plain(call['reason'])}"
    if call["parent_call_sid"]:
        yield f"  dialled by {call['parent_call_sid']}"
    for each in call["dialled"]:
        why = f": {show.plain(each['reason'])}" if each["reason"] else ""
        status = show.state(each["status"])
        yield f"  dialled {each['sid']}  {show.plain(each['to'])}  {status}{why}"
    for leg in call["legs"]:
        yield f"  leg {leg['attempt']}: {', '.join(_leg(leg))}"


def _leg(leg: dict[str, Any]) -> Iterator[str]:
    if leg["carrier"]:
        yield f"carrier {show.plain(leg['carrier'])}"
    yield f"{show.plain(leg['peer'])} {leg['transport']}".strip() or "no peer yet"
    if leg["post_dial_delay"] is not None:
        yield f"post-dial delay {leg['post_dial_delay']:.3f} s"
    if leg["duration"] is not None:
        yield f"talked {leg['duration']:.1f} s"
    for way, name in (("received", "in"), ("sent", "out")):
        heard = [show.plain(leg[f"codec_{way}"])] if leg[f"codec_{way}"] else []
        if leg[f"mos_{way}"] is not None:
            heard.append(f"MOS {leg[f'mos_{way}']:.2f}")
        if leg[f"packets_{way}"]:
            heard.append(f"{leg[f'lost_{way}']} of {leg[f'packets_{way}']} packets lost")
        if heard:
            yield f"{name} {' '.join(heard)}"
    if leg["cause"]:
        by = f" by the {leg['released_by']}" if leg["released_by"] else ""
        yield f"ended{by}: {show.plain(leg['cause'])}"


def _events(call: dict[str, Any], whole: Sequence[str] = ()) -> Iterator[str]:
    """The events; of those that have it, what they have under the names `whole` in full."""
    events = call["events"]
    peers = list(dict.fromkeys(_peer(each) for each in events if each["type"] == "sip"))
    if peers:
        yield ""
        yield _titles(peers)
    elif not call["ended_at"]:
        yield "  its SIP messages are written down when it is over"
    began = call["created_at"]
    for event in events:
        yield _line(event, peers, began)
        for name in whole:
            for text in event.get(name, "").splitlines():
                yield f"{' ' * _MARGIN}[dim]{show.plain(text)}[/]"


def _peer(event: dict[str, Any]) -> str:
    return str(event["to"] if event["direction"] == "out" else event["from"])


def _titles(peers: Sequence[str]) -> str:
    return " " * (_MARGIN - 4) + "".join(
        f"[bold]{show.plain(name.ljust(_COLUMN))}[/]" for name in (_US, *peers)
    )


def _line(event: dict[str, Any], peers: Sequence[str], began: float) -> str:
    offset = f"{event['at'] - began:+.3f}"
    at = f"[dim]{show.clock(event['at'])}[/] {offset:>{_MARGIN - 14}} "
    if event["type"] == "sip":
        return at + _arrow(event, peers)
    said = _document(event) if event["type"] == "document" else _rest(event)
    return f"{at}{show.plain(event['type'])} {said}".rstrip()


def _arrow(event: dict[str, Any], peers: Sequence[str]) -> str:
    """The lifelines, with an arrow between ours and the peer's that bears the first line."""
    place = peers.index(_peer(event)) + 1
    room = _COLUMN - 1  # up to the next lifeline
    label = f" {show.clipped(event['first_line'], room - 8)} "
    out = event["direction"] == "out"
    drawn = label.center(room - 1, "─")
    first = f"{drawn}{'─' if place > 1 else '►'}" if out else f"{'◄'}{drawn}"
    between = "┼" + "─" * room
    more = between * (place - 1)
    if out and place > 1:
        more = more[:-1] + "►"
    after = f"│{' ' * room}" * (len(peers) - place)
    return f"│{show.plain(first)}{more}{after}│"


def _document(event: dict[str, Any]) -> str:
    answer = str(event["status"]) if event["status"] else "no answer"
    more = {name: value for name, value in event.items() if name not in _DOCUMENT}
    return (
        f"{event['method']} {show.plain(event['url'])} → {answer}"
        f" after {event['elapsed'] * 1000:.0f} ms {_rest(more)}"
    )


def _rest(event: dict[str, Any]) -> str:
    return " ".join(
        f"[dim]{show.plain(name)}={show.plain(value)}[/]"
        for name, value in event.items()
        if name not in _HEAD and value not in ("", None, 0)
    )

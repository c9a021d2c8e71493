"""Why a call went wrong, as its gateway noted it: lines for whoever reads a test that failed."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from sims.plugin_gateway import Door, GatewayError, wait_for

__tracebackhide__ = True  # a failure is shown where the test asked

_NOTED_WITHIN: Final = 1.0  # seconds, of a call that came to nothing
_MOST: Final = 10
_ERROR: Final = "0"  # the gateway's `log`; warnings have "1"


def told_of(door: Door, shown: dict[str, Any] | None = None) -> list[str]:
    """What the gateway noted since a simulator's call began, else in this test; and its log.

    A call that was refused waits a moment for the reason: its answer goes out first.
    """
    refused = shown is not None and (shown["sip_code"] or 0) >= 400
    since = _since(shown)
    try:
        found = wait_for(lambda: _noted(door, since), _NOTED_WITHIN if refused else 0.0)
    except GatewayError as error:
        found, lines = None, [f"  {error}"]
    else:
        lines = []
    lines += [_line(each) for each in (found or [])[-_MOST:]]
    return lines if door.log is None else [*lines, f"  the gateway's log: {door.log}"]


def _since(shown: dict[str, Any] | None) -> float:
    """When the call began, in the whole seconds that REST has."""
    if shown is None:
        return 0.0
    return float(int(datetime.fromisoformat(shown["started_at"]).timestamp()))


def pass_over(door: Door) -> None:
    """Tell no more of what is noted now: its test is over."""
    door.known_notes = frozenset(each["sid"] for each in _listed(door))


def _noted(door: Door, since: float) -> list[dict[str, Any]]:
    """The notifications of calls since then, oldest first."""
    return [
        each
        for each in reversed(_listed(door))
        if each["call_sid"] and each["sid"] not in door.known_notes and _at(each) >= since
    ]


def _listed(door: Door) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = door.ask("GET", f"{door.account}/Notifications.json?PageSize=50")[
        "notifications"
    ]
    return found


def _at(noted: dict[str, Any]) -> float:
    return parsedate_to_datetime(noted["message_date"]).timestamp()


def _line(noted: dict[str, Any]) -> str:
    level = "error" if noted["log"] == _ERROR else "warning"
    url = f" at {noted['request_url']}" if noted["request_url"] else ""
    return f"  {level} {noted['error_code']}: {noted['message_text']}{url} ({noted['call_sid']})"

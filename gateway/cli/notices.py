"""What a gateway noted of a call or a text, for a person who wonders what went wrong."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.cli import show
from gateway.cli.client import Gateway, segment

_LEVELS: Final = {"0": "[red]error[/]", "1": "[yellow]warning[/]"}  # by REST's `log`


def of_call(gateway: Gateway, sid: str) -> list[dict[str, Any]]:
    """The notifications of a call, oldest first."""
    page = gateway.get(f"{gateway.account_path}/Calls/{segment(sid)}/Notifications.json")
    found: list[dict[str, Any]] = page["notifications"]
    return found[::-1]


def is_error(noted: Mapping[str, Any]) -> bool:
    """Whether it is more than a warning."""
    return bool(noted["log"] == "0")


def told(noted: Mapping[str, Any]) -> str:
    """One of them as a line with markup: what, and at which URL."""
    level = _LEVELS.get(noted["log"], show.plain(noted["log"]))
    url = f" at {show.plain(noted['request_url'])}" if noted["request_url"] else ""
    return f"{level} {show.plain(noted['error_code'])}: {show.plain(noted['message_text'])}{url}"

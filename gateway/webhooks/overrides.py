"""Connection overrides: what the fragment of a webhook URL asks for, as `#ct=2000&rp=all`.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides. The fragment is
never sent and never signed. A number outside its range counts as the nearest end of the range,
an unreadable number as absent; a policy or an edge that can't be honoured is an error, since the
app would be served otherwise than it asked.
"""

import re
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

import msgspec

INVALID_EDGE: Final = 11240
UNSUPPORTED_EDGE: Final = 11241
INTERCONNECT_EDGE: Final = 11242
INVALID_RETRY_POLICY: Final = 11243


class RetryOn(StrEnum):
    """What deserves another try, by the names that `rp` uses."""

    CONNECT = "ct"
    READ = "rt"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """How one URL wants to be asked; times in seconds, `total_timeout` over all tries."""

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    retry_on: frozenset[RetryOn] = frozenset({RetryOn.CONNECT})


class BadOverride(msgspec.Struct, frozen=True, kw_only=True):
    """An override that can't be honoured."""

    error_code: int
    message: str


DEFAULTS: Final = Overrides()

_ALL: Final = "all"
_EDGE: Final = re.compile(r"[a-z]+(-[a-z]+)*")
# The gateway is one place: the names of Twilio's edges are accepted and change nothing.
_EDGES: Final = frozenset(
    {
        "ashburn",
        "dublin",
        "frankfurt",
        "roaming",
        "sao-paulo",
        "singapore",
        "sydney",
        "tokyo",
        "umatilla",
    }
)


def parse_overrides(fragment: str) -> Overrides | BadOverride:
    """The overrides in `fragment` (without its `#`); whatever else stands there is passed over."""
    if "=" not in fragment:
        return DEFAULTS
    asked = dict(parse_qsl(fragment, keep_blank_values=True))
    if (edges := asked.get("e")) is not None and (bad := _bad_edge(edges)) is not None:
        return bad
    retry_on = _policy(asked.get("rp", RetryOn.CONNECT))
    if retry_on is None:
        return BadOverride(
            error_code=INVALID_RETRY_POLICY,
            message=f"the retry policy rp={asked['rp']!r} is none of ct, rt, 4xx, 5xx, all",
        )
    return Overrides(
        connect_timeout=_number(asked.get("ct"), 5000, 100, 10000) / 1000,
        read_timeout=_number(asked.get("rt"), 15000, 100, 15000) / 1000,
        total_timeout=_number(asked.get("tt"), 15000, 100, 15000) / 1000,
        retries=_number(asked.get("rc"), 1, 0, 5),
        retry_on=retry_on,
    )


def _number(text: str | None, default: int, least: int, most: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        return default
    return min(max(int(text[:9]), least), most)


def _policy(text: str) -> frozenset[RetryOn] | None:
    names = text.split(",")
    if _ALL in names:
        return frozenset(RetryOn)
    try:
        return frozenset(RetryOn(name) for name in names)
    except ValueError:
        return None


def _bad_edge(text: str) -> BadOverride | None:
    for edge in text.split(","):
        if _EDGE.fullmatch(edge) is None:
            return BadOverride(
                error_code=INVALID_EDGE, message=f"e={edge!r} is not the name of an edge location"
            )
        if edge.endswith("-ix"):
            return BadOverride(
                error_code=INTERCONNECT_EDGE,
                message=f"e={edge} is an Interconnect edge; there is none here",
            )
        if edge not in _EDGES:
            return BadOverride(
                error_code=UNSUPPORTED_EDGE, message=f"e={edge} is not a known edge location"
            )
    return None

"""How long a sound that was fetched is good, and how to ask whether it still is: RFC 9111.

We are a private cache: each account has its own.
"""

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

_HEURISTIC: Final = 0.1  # of the time since it was changed (RFC 9111 4.2.2), …
_HEURISTIC_MOST: Final = 3600.0  # … and no longer
_LONGEST: Final = 365 * 86400.0
_DIRECTIVE: Final = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*("[^"]*"|[^\s,"]*))?\s*(?:,|$)')


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """Good without a question `until`, epoch seconds; later the question has `conditions`.

    What may not be stored is kept for those who asked for it alone.
    """

    until: float = 0.0
    etag: str = ""
    last_modified: str = ""
    may_be_stored: bool = True

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """The headers of a question whether it is still good; none if there is no such one."""
        found = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return tuple((name, value) for name, value in found if value)


def freshness(headers: Iterable[tuple[str, str]], now: float) -> Freshness:
    """What an answer's headers, their names in small letters, say at `now`."""
    found = dict(headers)
    directives = {
        match[1].lower(): (match[2] or "").strip('"')
        for match in _DIRECTIVE.finditer(found.get("cache-control", "")[:2000])
    }
    stored = "no-store" not in directives and found.get("vary", "").strip() != "*"
    return Freshness(
        until=now + _lifetime(found, directives, now) if stored else 0.0,
        etag=found.get("etag", "")[:1000] if stored else "",
        last_modified=found.get("last-modified", "")[:100] if stored else "",
        may_be_stored=stored,
    )


def renewed(known: Freshness, headers: Iterable[tuple[str, str]], now: float) -> Freshness:
    """What is known after a 304 with `headers`: its validators stay where that names none."""
    fresh = freshness(headers, now)
    return msgspec.structs.replace(
        fresh,
        etag=fresh.etag or known.etag,
        last_modified=fresh.last_modified or known.last_modified,
    )


def _lifetime(found: dict[str, str], directives: dict[str, str], now: float) -> float:
    if "no-cache" in directives:
        return 0.0
    age = float(found["age"]) if found.get("age", "").isdecimal() else 0.0
    seconds = directives.get("max-age", "")
    if seconds.isdecimal() and len(seconds) < 12:
        return max(0.0, min(float(seconds), _LONGEST) - age)
    sent = _time(found.get("date", ""), now)
    if "expires" in found:
        # A time that can't be read is over (RFC 9111 5.3).
        return max(0.0, min(_time(found["expires"], 0.0) - sent, _LONGEST) - age)
    changed = _time(found.get("last-modified", ""), sent)
    return min(max(0.0, sent - changed) * _HEURISTIC, _HEURISTIC_MOST)


def _time(written: str, otherwise: float) -> float:
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return otherwise

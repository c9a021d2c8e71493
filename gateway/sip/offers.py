"""Which digests a password is asked for by: the best first (RFC 8760), where that does no harm.

A phone passes over a challenge that it does not know and takes the next (RFC 8760 §2.4). Many know
nothing but MD5, and some of those give up where anything else stands beside it. They are told
apart by what they say they are, or by coming back without credentials from what they were shown:
then they are asked by MD5 alone. Who says nothing of itself is not tried.
"""

import re
from collections import OrderedDict
from typing import Final

import msgspec

from protocols.sip.message import Request

PLAIN: Final = "MD5"
"""What every phone knows."""

_GIVES_UP: Final = re.compile(r"baresip v[01]\.", re.IGNORECASE)
_REMEMBERED: Final = 3600.0  # seconds
_MOST: Final = 4096
_MEANWHILE: Final = 2.0  # seconds in which others may ask, before the first has answered


class _Shown(msgspec.Struct, frozen=True):
    """Who was shown what, by which request; `is_plain` if that was MD5 alone."""

    call_id: str
    cseq: int
    at: float
    is_plain: bool


class Offers:
    """See the module; `algorithms` are those of the config. `now` is in seconds of any clock."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._all = algorithms
        self._plain = (PLAIN,) if PLAIN in algorithms else algorithms
        self._shown: OrderedDict[tuple[str, str], _Shown] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shown)

    def of(self, request: Request, source: str, user: str, now: float) -> tuple[str, ...]:
        """What `request` from the address `source`, by who claims to be `user`, is asked by."""
        if self._plain == self._all:
            return self._all
        software = request.headers.first("User-Agent")
        if not software or _GIVES_UP.match(software):
            return self._plain
        known = self._shown.get((source, user))
        if known is not None and now - known.at > _REMEMBERED:
            known = None
        if "Authorization" in request.headers:
            return self._plain if known is not None and known.is_plain else self._all
        plain = known is not None and (known.is_plain or _came_back(known, request, now))
        if known is None or plain:
            self._keep((source, user), _Shown(request.call_id, request.cseq, now, plain))
        return self._plain if plain else self._all

    def proved(self, source: str, user: str) -> None:
        """Credentials came and were right: the phone copes with what it is shown."""
        known = self._shown.get((source, user))
        if known is not None and not known.is_plain:
            del self._shown[source, user]

    def _keep(self, key: tuple[str, str], shown: _Shown) -> None:
        self._shown[key] = shown
        self._shown.move_to_end(key)
        if len(self._shown) > _MOST:
            self._shown.popitem(last=False)


def _came_back(shown: _Shown, request: Request, now: float) -> bool:
    """Whether a request without credentials shows that its sender gave up what it was shown."""
    same = (shown.call_id, shown.cseq) == (request.call_id, request.cseq)
    return not same and now - shown.at >= _MEANWHILE

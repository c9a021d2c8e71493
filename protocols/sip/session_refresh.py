"""Session timers (RFC 4028): how long a call lives without a sign of life, and who gives it.

The rules are functions of what both sides said; `Clock` is what follows from what was agreed.
Times are seconds.
"""

from enum import StrEnum
from math import inf
from typing import Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import (
    Header,
    SessionExpires,
    read_min_se,
    read_session_expires,
    write_count,
    write_session_expires,
)
from protocols.sip.message import Headers, Request, Response

MIN_SE: Final = 90
"""Nobody may ask for less (§5)."""

_MARGIN: Final = 32.0


class Refresher(StrEnum):
    """Who refreshes."""

    US = "us"
    PEER = "peer"


class Agreed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What holds from the 2xx on: `seconds` without a refresh end the session."""

    seconds: int
    refresher: Refresher


class Wish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What we want: `seconds`, never less than `minimum`, and who shall refresh, if we care."""

    seconds: int = 1800
    minimum: int = MIN_SE
    refresher: Refresher | None = None


# As our requests name who refreshes, and our responses.
_ASKING: Final = {Refresher.US: "uac", Refresher.PEER: "uas", None: ""}
_ANSWERING: Final = {Refresher.US: "uas", Refresher.PEER: "uac"}
_HEARD_AS_CLIENT: Final = {"uac": Refresher.US, "uas": Refresher.PEER, "": Refresher.US}

# §9, table 2: whether the peer knows timers, and whom it named. Where it leaves that to us we
# refresh: we know that we will.
_SETTLED: Final = {
    (False, ""): Refresher.US,
    (False, "uas"): Refresher.US,
    (False, "uac"): Refresher.US,
    (True, "uac"): Refresher.PEER,
    (True, "uas"): Refresher.US,
    (True, ""): None,
}


def asking(wish: Wish, agreed: Agreed | None) -> tuple[Header, ...]:
    """The headers of an INVITE or UPDATE of ours: what was agreed, or what we want (§7.1, §7.4)."""
    seconds = max(agreed.seconds if agreed else wish.seconds, wish.minimum)
    refresher = agreed.refresher if agreed else wish.refresher
    expires = SessionExpires(seconds=seconds, refresher=_ASKING[refresher])
    return write_session_expires(expires), write_count("Min-SE", wish.minimum)


def too_small(request: Request, minimum: int) -> bool:
    """Whether a peer that knows timers asks for less than `minimum`: 422 tells it (§9).

    Raises `RemoteProtocolError` for what `answering` could not read.
    """
    asked = read_session_expires(request.headers)
    read_min_se(request.headers)
    return asked is not None and asked.seconds < minimum


def answering(request: Request, wish: Wish, supports: frozenset[str]) -> Agreed:
    """What we agree to as the side that answers (§9); `supports` is what the peer does."""
    asked = read_session_expires(request.headers)
    least = max(read_min_se(request.headers) or 0, wish.minimum)
    seconds = wish.seconds if asked is None else min(asked.seconds, wish.seconds)
    settled = _SETTLED["timer" in supports, asked.refresher if asked else ""]
    return Agreed(seconds=max(seconds, least), refresher=settled or wish.refresher or Refresher.US)


def answered(agreed: Agreed, supports: frozenset[str]) -> tuple[Header, ...]:
    """The headers of our 2xx; Require makes sure of a peer that knows what it says (§9)."""
    expires = SessionExpires(seconds=agreed.seconds, refresher=_ANSWERING[agreed.refresher])
    header = write_session_expires(expires)
    return (header, ("Require", "timer")) if "timer" in supports else (header,)


def heard(response: Response, wish: Wish, agreed: Agreed | None) -> Agreed:
    """What a 2xx to our request makes of it (§7.2); without a word we refresh alone.

    A peer can't make us refresh all the time: less than our minimum is our minimum.
    """
    asked = max(agreed.seconds if agreed else wish.seconds, wish.minimum)
    try:
        said = read_session_expires(response.headers)
    except RemoteProtocolError:
        said = None
    if said is None:
        return Agreed(seconds=asked, refresher=Refresher.US)
    seconds = max(said.seconds, wish.minimum)
    return Agreed(seconds=seconds, refresher=_HEARD_AS_CLIENT[said.refresher])


def raised(headers: Headers, wish: Wish) -> Wish | None:
    """The wish that a 422 with these headers leaves us (§7.3); None if it asks for nothing new."""
    try:
        least = read_min_se(headers)
    except RemoteProtocolError:
        return None
    if least is None or least <= wish.minimum:
        return None
    return msgspec.structs.replace(wish, minimum=least, seconds=max(least, wish.seconds))


class Clock:
    """When to refresh and when to give up; infinity while nothing was agreed."""

    __slots__ = ("agreed", "ends_at", "refresh_at")

    def __init__(self) -> None:
        self.agreed: Agreed | None = None
        self.refresh_at = self.ends_at = inf

    def start(self, agreed: Agreed, now: float) -> None:
        """Begin anew, as each 2xx to an INVITE or UPDATE does (§10)."""
        self.agreed = agreed
        seconds = agreed.seconds
        self.refresh_at = now + seconds / 2 if agreed.refresher is Refresher.US else inf
        self.ends_at = now + seconds - min(_MARGIN, seconds / 3)

    def put_off(self, now: float) -> None:
        """A refresh failed, or can't be now: try again while there is time."""
        left = self.ends_at - now
        self.refresh_at = now + left / 2 if left > 1.0 else inf

    def stop(self) -> None:
        """The call is over."""
        self.refresh_at = self.ends_at = inf

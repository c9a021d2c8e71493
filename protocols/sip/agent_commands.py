"""What the agent is told, as values, and what it is set to."""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.headers import Replaces
from protocols.sip.message import MAX_FORWARDS, NO_HEADERS, Headers, NameAddr
from protocols.sip.pace import Rate
from protocols.sip.session_offers import SDP, Body
from protocols.sip.session_refresh import Wish
from protocols.sip.timers import Timers
from protocols.sip.uri import Uri

OUTSIDE: Final = frozenset({"INVITE", "OPTIONS", "MESSAGE", "REGISTER"})
"""Methods that the agent's user can answer outside dialogs."""


INSIDE: Final = (
    "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "REFER", "NOTIFY", "INFO",
    "MESSAGE",
)  # fmt: skip
"""Methods that are taken in a session."""


class Reliability(StrEnum):
    """Whether provisional responses arrive (RFC 3262)."""

    NEVER = "never"
    IF_SUPPORTED = "if supported"
    REQUIRE = "require"


class Acknowledge(StrEnum):
    """When the 2xx to an INVITE of ours gets its ACK, if it brought no offer.

    Until then the peer says it again, so that who dies meanwhile has not taken the call.
    """

    AT_ONCE = "at once"
    WHEN_TOLD = "when told"


class By(StrEnum):
    """What an offer goes by; AUTO is a re-INVITE in a call that stands, before that UPDATE."""

    AUTO = "auto"
    INVITE = "INVITE"
    UPDATE = "UPDATE"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all sessions of an agent.

    `inside` and `outside` are those of `INSIDE` and `OUTSIDE` that its user answers: Allow has no
    others. `descriptions` are the types of bodies that are offers and answers, `software` what
    User-Agent and Server say. `forks` are early dialogs of one INVITE, `sessions` those that live:
    beyond it new calls get 503 and `retry_after` seconds.
    `asking` bounds what a peer may ask in one session: beyond it the peer gets 500 and is to wait.
    """

    timers: Timers = Timers()
    refresh: Wish = Wish()
    inside: frozenset[str] = frozenset(INSIDE)
    outside: frozenset[str] = OUTSIDE
    descriptions: tuple[str, ...] = (SDP,)
    software: str = ""
    forks: int = 16
    sessions: int = 50_000
    retry_after: int = 10
    asking: Rate = Rate()


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """A call of ours (RFC 3261 §13.2).

    A body is the offer; without one the peer makes it. A From without tag gets one, a `call_id`
    of "" is made. `contact` None is the agent's own for the destination. `reliable` says whether
    we can or must have reliable provisional responses, `require` are further option tags that the
    peer must know, `refresh` differs from the settings' for this call. `acknowledge` WHEN_TOLD
    leaves the ACK to `Agent.acknowledge`.
    """

    uri: Uri
    from_: NameAddr
    to: NameAddr
    contact: NameAddr | None = None
    routes: tuple[NameAddr, ...] = ()
    headers: Headers = NO_HEADERS
    body: Body | None = None
    call_id: str = ""
    cseq: int = 1
    max_forwards: int = MAX_FORWARDS
    reliable: Reliability = Reliability.IF_SUPPORTED
    require: tuple[str, ...] = ()
    refresh: Wish | None = None
    replaces: Replaces | None = None
    acknowledge: Acknowledge = Acknowledge.AT_ONCE


class Provisional(msgspec.Struct, frozen=True, kw_only=True):
    """A response of 101 to 199 to `Invited`; `contact` is the session's from then on.

    A body is the answer to the offer if it arrives reliably, else a preview of it. Where the peer
    wanted our offer only a reliable response can bear it: from others it is left out.
    """

    status: int
    reason: str = ""
    headers: Headers = NO_HEADERS
    body: Body | None = None
    reliable: Reliability = Reliability.NEVER
    contact: NameAddr | None = None


class Accept(msgspec.Struct, frozen=True, kw_only=True):
    """The 2xx to `Invited`: `body` is the answer, or the offer where the peer made none.

    None where it was said before, reliably or as a preview.
    """

    status: int = 200
    reason: str = ""
    headers: Headers = NO_HEADERS
    body: Body | None = None
    contact: NameAddr | None = None
    refresh: Wish | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Any other response; `contacts` as those of a 3xx or of REGISTER."""

    status: int
    reason: str = ""
    headers: Headers = NO_HEADERS
    contacts: tuple[NameAddr, ...] = ()
    body: Body | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request outside dialogs: OPTIONS, REGISTER, MESSAGE, …; `call_id` "" is made."""

    method: str
    uri: Uri
    from_: NameAddr
    to: NameAddr
    contacts: tuple[NameAddr, ...] = ()
    routes: tuple[NameAddr, ...] = ()
    headers: Headers = NO_HEADERS
    body: Body | None = None
    call_id: str = ""
    cseq: int = 1
    max_forwards: int = MAX_FORWARDS


class Refer(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the peer to call `refer_to` (RFC 3515), with Referred-By (RFC 3892) if it is given."""

    refer_to: NameAddr
    referred_by: NameAddr | None = None
    headers: Headers = NO_HEADERS


class HangUp(msgspec.Struct, frozen=True, kw_only=True):
    """How a session ends: `headers` for BYE or CANCEL, such as Reason, `status` if it still rings.

    `headers` go into the refusal too.
    """

    status: int = 480
    reason: str = ""
    headers: Headers = NO_HEADERS

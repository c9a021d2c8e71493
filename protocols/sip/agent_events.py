"""What the agent tells its user: past tense, in the order in which it happened.

`Invited` begins a session of a peer's, the command `invite` one of ours; `Ended` is the last event
of either, and what is asked of it afterwards does nothing. What has a `key` waits for an answer
of the user's, by the command that its docstring names. None of them can be part of a cycle.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from protocols.sip.events import ServerId
from protocols.sip.headers import Replaces
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.session_offers import Bearer, Body, Exchange
from protocols.sip.transport import Flow
from protocols.sip.uri import Uri

SessionId = NewType("SessionId", int)
"""A call, or what shall become one; never used twice."""

RequestId = NewType("RequestId", int)
"""A request of ours that opens and changes nothing: OPTIONS, REGISTER, MESSAGE, INFO."""

TransferId = NewType("TransferId", int)
"""A REFER, ours or the peer's."""


class Source(StrEnum):
    """Who says that something failed."""

    PEER = "peer"
    TIMEOUT = "timeout"
    TRANSPORT = "transport"
    OVERLOAD = "overload"


class Stage(StrEnum):
    """How far a transfer is."""

    ACCEPTED = "accepted"
    TRYING = "trying"
    OVER = "over"


class Cause(StrEnum):
    """Why a session ended; who asked for it knows, and `HungUp`, `Refused` and so on say more."""

    HUNG_UP = "the peer hung up"
    CLOSED = "we hung up"
    REFUSED = "the peer refused"
    DECLINED = "we refused"
    CANCELLED = "the caller gave up"
    EXPIRED = "nobody refreshed the session"
    UNCONFIRMED = "our answer was never acknowledged"
    LOST = "the peer does not know the call any more, or can't be reached"


# A session begins


class Invited(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A peer calls: `provisional`, `accept` or `refuse` answers, and nothing else does in the end.

    `offer` None: the peer wants ours. `supports` are option tags in small letters. `replaces` is
    the session, ours, that this one shall take the place of (RFC 3891): its end is the user's.
    """

    session: SessionId
    request: Request
    flow: Flow
    offer: Body | None
    supports: frozenset[str]
    replaces: SessionId | None = None


class Progressed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A provisional response to our INVITE, 100 included; `fork` names its early dialog, or is "".

    `exchange` OFFER waits for `answer`, which acknowledges it. `rseq` is 0 for one that might as
    well have been lost.
    """

    session: SessionId
    response: Response
    fork: str
    body: Body | None
    exchange: Exchange
    rseq: int = 0


class Answered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A 2xx to our INVITE: the call stands. `exchange` OFFER waits for `answer`, which ACKs it.

    NONE: the descriptions were exchanged before, and `body` is what the peer says once more; or
    nothing was said at all, and the peer broke the rules.
    """

    session: SessionId
    response: Response
    fork: str
    body: Body | None
    exchange: Exchange


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our INVITE got a final response of 300 or above, or none. `contacts` are those of a 3xx."""

    session: SessionId
    status: int
    reason: str
    source: Source
    headers: Headers = NO_HEADERS
    contacts: tuple[NameAddr, ...] = ()


class Retried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our INVITE went out again, with another CSeq and branch: `saved` gives another value."""

    session: SessionId
    status: int


class Forked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A 2xx that nobody wants (any more), of another fork or across our CANCEL: ACK and BYE went.

    It may come after `Ended`.
    """

    session: SessionId
    response: Response


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ACK of our 2xx came; `body` is the answer to the offer in that 2xx."""

    session: SessionId
    body: Body | None


class NeverConfirmed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No ACK came in 64*T1: BYE went out (RFC 3261 §13.3.1.4)."""

    session: SessionId


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The caller gave up; 487 went out."""

    session: SessionId
    headers: Headers


class Unreliable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reliable provisional response of ours was never acknowledged, or can't be: we refused."""

    session: SessionId
    status: int


# It changes


class OfferReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer offers in a session: `answer` or `refuse_offer`.

    `unchanged`: it is what it said last, octet by octet, so that it may mean to refresh only.
    """

    session: SessionId
    fork: str
    bearer: Bearer
    body: Body
    unchanged: bool = False


class OfferWanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer's re-INVITE had none: `answer` gives ours in its 2xx, or `refuse_offer`."""

    session: SessionId
    fork: str


class OfferAnswered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our offer in a session was answered."""

    session: SessionId
    fork: str
    body: Body


class OfferRefused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our offer was refused: all stays as it was, and 408 and 481 end the session."""

    session: SessionId
    fork: str
    status: int
    reason: str
    source: Source
    headers: Headers = NO_HEADERS


class OfferWithdrawn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer cancelled its re-INVITE; 487 went out."""

    session: SessionId
    fork: str


class Refreshed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The session timer began anew (RFC 4028)."""

    session: SessionId
    by: str
    seconds: int


class Overasked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer asks too often (`Settings.asking`); told once, the session goes on.

    `request` is the first that was refused for it.
    """

    session: SessionId
    request: Request


class NextHopNeeded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The next hop of a dialog is a name, or can't be reached any more where its requests went.

    Requests go on to go where they went: `redirect` sends them to where `uri` was resolved to.
    """

    session: SessionId
    fork: str
    uri: Uri


# It ends


class HungUp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer's BYE, answered."""

    session: SessionId
    headers: Headers


class Expired(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The session timer ran out: BYE went out (RFC 4028 §10)."""

    session: SessionId


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The last event of a session; nothing is left of it."""

    session: SessionId
    cause: Cause


# What is asked and answered


class Referred(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The peer asks us to call somebody (RFC 3515): `answer_refer`, then `notify`.

    `replaces` is the dialog that our INVITE there shall take the place of; where that is one of
    ours, `replaced` is its session.
    """

    session: SessionId
    transfer: TransferId
    request: Request
    refer_to: NameAddr
    replaces: Replaces | None
    referred_by: NameAddr | None
    replaced: SessionId | None = None


class TransferProgressed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of our REFER: the status of the call that the peer makes, or why it refused.

    202 means that it tries. After OVER nothing more follows.
    """

    session: SessionId
    transfer: TransferId
    status: int
    reason: str
    stage: Stage


class InfoReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """INFO in a session (RFC 6086): `respond` answers."""

    session: SessionId
    key: ServerId
    request: Request
    body: Body | None


class MessageReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """MESSAGE (RFC 3428), in a session or outside: `respond` answers."""

    session: SessionId | None
    key: ServerId
    request: Request
    flow: Flow
    body: Body | None


class OptionsReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """OPTIONS outside a dialog: `respond` answers, `abilities` has what a 200 says."""

    key: ServerId
    request: Request
    flow: Flow


class RegisterReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """REGISTER: `respond` answers with what the registrar says."""

    key: ServerId
    request: Request
    flow: Flow


class Responded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The final response to `request`, `info` or `message`; made up where `source` says so.

    A request of a session that ends first gets none.
    """

    request: RequestId
    session: SessionId | None
    response: Response
    source: Source


Event = (
    Invited
    | Progressed
    | Answered
    | Refused
    | Retried
    | Forked
    | Confirmed
    | NeverConfirmed
    | Cancelled
    | Unreliable
    | OfferReceived
    | OfferWanted
    | OfferAnswered
    | OfferRefused
    | OfferWithdrawn
    | Refreshed
    | NextHopNeeded
    | Overasked
    | HungUp
    | Expired
    | Ended
    | Referred
    | TransferProgressed
    | InfoReceived
    | MessageReceived
    | OptionsReceived
    | RegisterReceived
    | Responded
)

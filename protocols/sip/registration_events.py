"""What a registration of ours is told to do, what it tells, and how it stands: values."""

from enum import StrEnum

import msgspec

from protocols.sip.message import NameAddr, Request
from protocols.sip.uri import SipUri


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is registered where.

    `aor` is the address-of-record, `registrar` the Request-URI, a domain without user. Requests go
    to `servers`, the first one preferred; there is one at least. `expires` is in seconds, what
    we ask for. With `instance` (a URN, without <>) the registration is the flow `reg_id` of that
    device (RFC 5626 §4.2).
    """

    aor: NameAddr
    registrar: SipUri
    contact: NameAddr
    servers: tuple[SipUri, ...]
    expires: int = 3600
    instance: str = ""
    reg_id: int = 1


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds between attempts, each spread over its upper half.

    They double from `first` to `longest` while no server answers well, from `refused` to
    `longest_refused` while the account is refused, which is borne `refusals` times in a row. A
    Retry-After counts up to `rest`. After `back` the first server is asked again by who is
    registered at another; a lost flow is made again after `flow`.
    """

    first: float = 4.0
    longest: float = 300.0
    refused: float = 60.0
    longest_refused: float = 3600.0
    refusals: int = 10
    rest: float = 3600.0
    back: float = 300.0
    flow: float = 2.0


class State(StrEnum):
    """REGISTERED lasts until the time that was granted is over, also while refreshing fails."""

    IDLE = "idle"
    TRYING = "trying"
    REGISTERED = "registered"
    GAVE_UP = "gave up"
    CLOSING = "closing"
    CLOSED = "closed"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A registration at one moment; `reason` is that of the last failure since it stood.

    `server` and `expires_at` are None while nothing stands, `next_at` while a request is under
    way or nothing more is due.
    """

    state: State
    server: SipUri | None
    expires_at: float | None
    next_at: float | None
    failures: int
    reason: str


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """A request to be sent to where `server` is found (RFC 3263)."""

    request: Request
    server: SipUri


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The registration stands until `expires_at`.

    `outbound`: the registrar keeps the flow; `flow_timer` is within how many seconds it wants to
    hear from us by it, 0 if it does not say (RFC 5626 §4.4). `refreshed`: it stood there before.
    """

    server: SipUri
    expires_at: float
    service_route: tuple[NameAddr, ...]
    outbound: bool
    flow_timer: int
    refreshed: bool


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A server did not register us; `status` is 0 if it did not answer.

    The next attempt is at `retry_at`, None if there is none.
    """

    server: SipUri
    status: int
    reason: str
    retry_at: float | None


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody refreshed it in time: the carrier can't reach us; attempts go on."""

    reason: str


class GaveUp(msgspec.Struct, frozen=True, kw_only=True):
    """The account was refused too often: nothing more is tried until `start`."""

    reason: str


class Unregistered(msgspec.Struct, frozen=True, kw_only=True):
    """The last event; `reason` says why the server may not know that we are gone, or is ""."""

    reason: str


Event = Registered | Failed | Expired | GaveUp | Unregistered

"""The four transactions of RFC 3261 §17, with the Accepted states of RFC 6026, as tables.

Each machine says what to do with what it is given; it holds what it repeats, and its two
timers: one that says something again and one that ends the state. Who carries out the effects,
finds the machine for a message and wakes it is `layer`.

A row that the specification's figures do not have: a peer's message that no row takes does
nothing. Two rows are ours: an INVITE that was cancelled ends when no final response follows
(§9.1), and a request other than INVITE that the user leaves unanswered ends when its client has
given up (timer F).
"""

from collections.abc import Hashable, Mapping
from enum import StrEnum
from math import inf
from typing import ClassVar, Final

from msgspec.structs import replace

from protocols.sip.events import ClientId, ServerId, TransactionId
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.timers import Durations, Timer
from protocols.sip.transport import Destination
from protocols.sip.uri import SipUri


class State(StrEnum):
    """As the figures name them."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Given(StrEnum):
    """What moves a transaction. Responses are the peer's to a client, the user's to a server."""

    PROVISIONAL = "a response of 100 to 199"
    SUCCESS = "a response of 200 to 299"
    REFUSAL = "a response of 300 to 699"
    REQUEST = "the request again"
    ACK = "its ACK"
    AGAIN = "the timer that repeats"
    END = "the timer that ends the state"
    FAULT = "an error of the transport"


class Effect(StrEnum):
    """What whoever drives the machine does now."""

    SEND = "send what the machine holds"
    ACK = "send the ACK of a refusal"
    TRY = "send 100 Trying"
    PASS = "give the message to the user"
    TIME_OUT = "tell the user that the time is over"
    FAIL = "tell the user that the transport failed"


Effects = tuple[Effect, ...]
Table = Mapping[State, Mapping[Given, tuple[State, Effects]]]
TimerTable = Mapping[State, tuple[Timer | None, Timer | None]]

_S = State
_G = Given
_E = Effect
_NOTHING: Final[Effects] = ()
_PASS: Final = (_E.PASS,)
_SEND: Final = (_E.SEND,)
_ENDS: Final = (_S.TERMINATED, _NOTHING)
_FAILS: Final = (_S.TERMINATED, (_E.FAIL,))
_TIMES_OUT: Final = (_S.TERMINATED, (_E.TIME_OUT,))


_NOBODY: Final = NameAddr(uri=SipUri(host="invalid"))
_ANSWERED: Final = Request(
    method="", uri=_NOBODY.uri, vias=(), from_=_NOBODY, to=_NOBODY, call_id="", cseq=0
)
"""What is left of a request that nothing more is said to: it is matched by `key` for 64*T1."""


def kind_of(status: int) -> Given:
    """What a response of this status is to a transaction."""
    if status < 200:
        return Given.PROVISIONAL
    return Given.SUCCESS if status < 300 else Given.REFUSAL


class Transaction:
    """What all four have in common; see the module."""

    FIRST: ClassVar[State]
    TABLE: ClassVar[Table]
    # The timer that repeats and the one that ends; a state that is not here lets both run on.
    TIMERS: ClassVar[TimerTable]

    __slots__ = (
        "again_at",
        "destination",
        "durations",
        "end_at",
        "hidden",
        "interval",
        "key",
        "number",
        "octets",
        "request",
        "state",
    )

    def __init__(
        self,
        *,
        number: int,
        key: Hashable,
        request: Request,
        destination: Destination,
        durations: Durations,
        now: float,
    ) -> None:
        self.number = number
        self.key = key
        self.request = request
        self.destination = destination
        self.durations = durations
        self.octets = b""
        """What goes out, and again: a client's request, a server's last response."""
        self.hidden = False
        """Whether its user is the layer itself, so that no event tells of it."""
        self.again_at = self.end_at = self.interval = inf
        self._enter(self.FIRST, now)

    @property
    def id(self) -> TransactionId:
        """Its name to the user."""
        raise NotImplementedError

    @property
    def deadline(self) -> float:
        """When `handle_timer` wants to be called; infinity for never."""
        return min(self.again_at, self.end_at)

    def takes(self, given: Given) -> bool:
        """Whether the state has a row for this."""
        return given in self.TABLE[self.state]

    def give(self, given: Given, now: float) -> Effects:
        """Move, if the state has a row for this; what is to be done now, in this order."""
        row = self.TABLE[self.state].get(given)
        if row is None:
            return _NOTHING
        state, effects = row
        if state is not self.state:
            self._enter(state, now)
        return effects

    def handle_timer(self, now: float) -> Effects:
        """Do what is due by `now`; harmless when nothing is."""
        if self.end_at <= now:
            return self.give(Given.END, now)
        if self.again_at <= now:
            self.interval = self._longer(self.interval)
            self.again_at = now + self.interval
            return self.give(Given.AGAIN, now)
        return _NOTHING

    def _longer(self, interval: float) -> float:
        return min(2 * interval, self.durations.ceiling)

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        timers = self.TIMERS.get(state)
        if timers is None:
            return
        again, end = timers
        durations = self.durations.of
        self.interval = inf if again is None else durations[again]
        self.again_at = now + self.interval
        self.end_at = inf if end is None else now + durations[end]
        if self.end_at <= now:  # a timer of 0: no such state over this transport
            self._enter(State.TERMINATED, now)


class Client(Transaction):
    """The side that asks."""

    __slots__ = ()

    @property
    def id(self) -> ClientId:
        """Its name to the user."""
        return ClientId(self.number)


class InviteClient(Client):
    """§17.1.1, figure 5, as RFC 6026 §8.4 draws it."""

    FIRST = State.CALLING
    TABLE: ClassVar[Table] = {
        _S.CALLING: {
            _G.PROVISIONAL: (_S.PROCEEDING, _PASS),
            _G.SUCCESS: (_S.ACCEPTED, _PASS),
            _G.REFUSAL: (_S.COMPLETED, (_E.ACK, _E.PASS)),
            _G.AGAIN: (_S.CALLING, _SEND),
            _G.END: _TIMES_OUT,
            _G.FAULT: _FAILS,
        },
        _S.PROCEEDING: {
            _G.PROVISIONAL: (_S.PROCEEDING, _PASS),
            _G.SUCCESS: (_S.ACCEPTED, _PASS),
            _G.REFUSAL: (_S.COMPLETED, (_E.ACK, _E.PASS)),
            _G.END: _TIMES_OUT,
        },
        _S.COMPLETED: {
            _G.REFUSAL: (_S.COMPLETED, (_E.ACK,)),
            _G.END: _ENDS,
            _G.FAULT: _FAILS,
        },
        _S.ACCEPTED: {_G.SUCCESS: (_S.ACCEPTED, _PASS), _G.END: _ENDS},
        _S.TERMINATED: {},
    }
    TIMERS: ClassVar[TimerTable] = {
        _S.CALLING: (Timer.A, Timer.B),
        _S.PROCEEDING: (None, None),
        _S.COMPLETED: (None, Timer.D),
        _S.ACCEPTED: (None, Timer.M),
        _S.TERMINATED: (None, None),
    }

    __slots__ = ("ack", "acknowledged", "cancelling")

    ack: bytes
    """What acknowledges the refusal `acknowledged`."""
    acknowledged: Response | None
    cancelling: Headers | None
    """What a CANCEL shall carry that waits for a provisional response (§9.1)."""

    def __init__(
        self,
        *,
        number: int,
        key: Hashable,
        request: Request,
        destination: Destination,
        durations: Durations,
        now: float,
    ) -> None:
        super().__init__(
            number=number,
            key=key,
            request=request,
            destination=destination,
            durations=durations,
            now=now,
        )
        self.ack = b""
        self.acknowledged = None
        self.cancelling = None

    def proceed(self, now: float) -> None:
        """Take the INVITE for one that went out before and has been heard of."""
        self._enter(State.PROCEEDING, now)

    def cancelled(self, now: float) -> None:
        """CANCEL goes out now: the final response follows in 64*T1 or never (§9.1)."""
        self.cancelling = None
        self.end_at = now + self.durations.of[Timer.B]

    def _enter(self, state: State, now: float) -> None:
        super()._enter(state, now)
        if state is State.ACCEPTED:  # it is neither said again nor acknowledged here
            self.octets = b""
            self.request = replace(
                self.request, routes=(), contacts=(), headers=NO_HEADERS, body=b""
            )

    def _longer(self, interval: float) -> float:
        return 2 * interval


class NonInviteClient(Client):
    """§17.1.2, figure 6."""

    FIRST = State.TRYING
    TABLE: ClassVar[Table] = {
        _S.TRYING: {
            _G.PROVISIONAL: (_S.PROCEEDING, _PASS),
            _G.SUCCESS: (_S.COMPLETED, _PASS),
            _G.REFUSAL: (_S.COMPLETED, _PASS),
            _G.AGAIN: (_S.TRYING, _SEND),
            _G.END: _TIMES_OUT,
            _G.FAULT: _FAILS,
        },
        _S.PROCEEDING: {
            _G.PROVISIONAL: (_S.PROCEEDING, _PASS),
            _G.SUCCESS: (_S.COMPLETED, _PASS),
            _G.REFUSAL: (_S.COMPLETED, _PASS),
            _G.AGAIN: (_S.PROCEEDING, _SEND),
            _G.END: _TIMES_OUT,
            _G.FAULT: _FAILS,
        },
        _S.COMPLETED: {_G.END: _ENDS},
        _S.TERMINATED: {},
    }
    TIMERS: ClassVar[TimerTable] = {
        _S.TRYING: (Timer.E, Timer.F),
        _S.COMPLETED: (None, Timer.K),
        _S.TERMINATED: (None, None),
    }

    __slots__ = ()

    def _enter(self, state: State, now: float) -> None:
        super()._enter(state, now)
        if state is State.PROCEEDING:  # from here on E is always T2
            self.interval = self.durations.ceiling


class Server(Transaction):
    """The side that answers. `last` is the response that it repeats."""

    __slots__ = ("ack_key", "fallback", "last", "merge_key", "tag")

    def __init__(
        self,
        *,
        number: int,
        key: Hashable,
        request: Request,
        destination: Destination,
        fallback: Destination | None,
        durations: Durations,
        now: float,
    ) -> None:
        super().__init__(
            number=number,
            key=key,
            request=request,
            destination=destination,
            durations=durations,
            now=now,
        )
        self.last: Response | None = None
        self.tag = ""
        """The To tag that its user's responses will have."""
        self.fallback = fallback
        """Where responses go when the connection of the request is gone (§18.2.2)."""
        self.ack_key: Hashable = None
        """What its ACK is found by, where that is not `key` (RFC 2543)."""
        self.merge_key: Hashable = None
        """What the same request by another way is found by (§8.2.2.2)."""

    @property
    def id(self) -> ServerId:
        """Its name to the user."""
        return ServerId(self.number)

    def answer(self, response: Response, octets: bytes, now: float) -> Effects:
        """Take the user's response, which the state takes."""
        self.last = response
        self.octets = octets
        return self.give(kind_of(response.status), now)


class InviteServer(Server):
    """§17.2.1, figure 7, as RFC 6026 §8.7 draws it."""

    FIRST = State.PROCEEDING
    TABLE: ClassVar[Table] = {
        _S.PROCEEDING: {
            _G.REQUEST: (_S.PROCEEDING, _SEND),
            _G.PROVISIONAL: (_S.PROCEEDING, _SEND),
            _G.SUCCESS: (_S.ACCEPTED, _SEND),
            _G.REFUSAL: (_S.COMPLETED, _SEND),
            _G.AGAIN: (_S.PROCEEDING, (_E.TRY,)),
            _G.FAULT: (_S.PROCEEDING, (_E.FAIL,)),
        },
        _S.COMPLETED: {
            _G.REQUEST: (_S.COMPLETED, _SEND),
            _G.ACK: (_S.CONFIRMED, _NOTHING),
            _G.AGAIN: (_S.COMPLETED, _SEND),
            _G.END: _TIMES_OUT,
            _G.FAULT: (_S.COMPLETED, (_E.FAIL,)),
        },
        _S.CONFIRMED: {_G.END: _ENDS},
        _S.ACCEPTED: {
            _G.SUCCESS: (_S.ACCEPTED, _SEND),
            _G.ACK: (_S.ACCEPTED, _PASS),
            _G.END: _ENDS,
            _G.FAULT: (_S.ACCEPTED, (_E.FAIL,)),
        },
        _S.TERMINATED: {},
    }
    TIMERS: ClassVar[TimerTable] = {
        _S.PROCEEDING: (Timer.TRYING, None),
        _S.COMPLETED: (Timer.G, Timer.H),
        _S.CONFIRMED: (None, Timer.I),
        _S.ACCEPTED: (None, Timer.L),
        _S.TERMINATED: (None, None),
    }

    __slots__ = ()

    def answer(self, response: Response, octets: bytes, now: float) -> Effects:
        """Whatever is said first stands for the 100."""
        if self.state is State.PROCEEDING:
            self.again_at = inf
        return super().answer(response, octets, now)

    def acknowledged(self) -> None:
        """Its 2xx is not said again; a late CANCEL still gets its tag (§9.2)."""
        if self.state is State.ACCEPTED and self.last is not None:
            self.request, self.octets = _ANSWERED, b""
            self.last = replace(
                self.last, vias=(), record_routes=(), contacts=(), headers=NO_HEADERS, body=b""
            )


class NonInviteServer(Server):
    """§17.2.2, figure 8."""

    FIRST = State.TRYING
    TABLE: ClassVar[Table] = {
        _S.TRYING: {
            _G.PROVISIONAL: (_S.PROCEEDING, _SEND),
            _G.SUCCESS: (_S.COMPLETED, _SEND),
            _G.REFUSAL: (_S.COMPLETED, _SEND),
            _G.END: _TIMES_OUT,
        },
        _S.PROCEEDING: {
            _G.REQUEST: (_S.PROCEEDING, _SEND),
            _G.PROVISIONAL: (_S.PROCEEDING, _SEND),
            _G.SUCCESS: (_S.COMPLETED, _SEND),
            _G.REFUSAL: (_S.COMPLETED, _SEND),
            _G.END: _TIMES_OUT,
            _G.FAULT: _FAILS,
        },
        _S.COMPLETED: {
            _G.REQUEST: (_S.COMPLETED, _SEND),
            _G.END: _ENDS,
            _G.FAULT: _FAILS,
        },
        _S.TERMINATED: {},
    }
    TIMERS: ClassVar[TimerTable] = {
        _S.TRYING: (None, Timer.F),
        _S.COMPLETED: (None, Timer.J),
        _S.TERMINATED: (None, None),
    }

    __slots__ = ()

    def answer(self, response: Response, octets: bytes, now: float) -> Effects:
        """What is said last is kept as it is written."""
        effects = super().answer(response, octets, now)
        if self.state is State.COMPLETED:
            self.request, self.last = _ANSWERED, None
        return effects

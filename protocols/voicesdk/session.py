"""One socket of the Voice SDK as a machine: who may say what when, the heartbeat, what is too much.

The client shows a token before it says anything else; what it says while that is looked at waits.
Calls are known here by name alone: the client begins one under a name of its own, and both names
mean the same call until it is over. A call that is not known is answered as one that is over.
"""

from collections import deque
from enum import Enum, auto
from typing import Any, Final

import msgspec

from protocols.voicesdk import codec, events
from protocols.voicesdk.errors import Code, Fault, LocalProtocolError, RemoteProtocolError
from protocols.voicesdk.events import Closed, CloseReason, Event, Listened

NORMAL: Final = 1000  # RFC 6455 §7.4.1
GOING_AWAY: Final = 1001
UNREADABLE: Final = 1007
POLICY: Final = 1008


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, and how much one client may send.

    `heartbeat` is from one to the next: the SDK leaves after 15 s in which nothing came. `silence`
    is how long it may send nothing; `listen` how long it may take to show its token. It may send
    `rate` frames a second, `burst` at once, `waiting` of them while its token is looked at, and
    `malformed` that can't be read. `calls` is the most that it may have. `overdue` is how long its
    token may be none any more before the socket is closed, if it has no calls then.
    """

    heartbeat: float = 8.0
    silence: float = 30.0
    listen: float = 10.0
    rate: float = 50.0
    burst: float = 200.0
    waiting: int = 32
    malformed: int = 10
    calls: int = 20
    overdue: float = 30.0


DEFAULTS: Final = Limits()
USER_DEFINED: Final = "user-defined-message"
"""The one type of call messages that apps may send."""


class _State(Enum):
    NEW = auto()
    LISTENING = auto()
    CONNECTED = auto()
    CLOSED = auto()


_OF_CALLS: Final = (
    events.Answered,
    events.Reinvited,
    events.Pressed,
    events.Messaged,
    events.Rejected,
    events.HungUp,
)
_STATUS: Final = {
    CloseReason.NEVER_LISTENED: POLICY,
    CloseReason.SILENT: GOING_AWAY,
    CloseReason.REFUSED: POLICY,
    CloseReason.EXPIRED: POLICY,
    CloseReason.TOO_OFTEN: POLICY,
    CloseReason.MALFORMED: UNREADABLE,
    CloseReason.CLOSED: NORMAL,
}
_OVER: Final = "there is no such call"
_EXPIRED: Final = "the token expired"


class Session:
    """See the module; `now` is a clock that never goes back."""

    def __init__(self, now: float, limits: Limits = DEFAULTS) -> None:
        self._limits = limits
        self._state = _State.NEW
        self._events: deque[Event] = deque()
        self._out: list[str] = []
        self._waiting: deque[Event] = deque()
        self._names: dict[str, str] = {}  # every name of a call -> the one that holds
        self._unheard: dict[str, str] = {}  # that one -> the client's, while it knows no other
        self._heard = self._said = self._began = now
        self._tokens, self._filled = limits.burst, now
        self._malformed = 0
        self._is_renewed = False  # a newer token is looked at
        self._expires = self._closes = float("inf")
        self._doubt: Fault | None = None  # what is wrong with its token by now

    @property
    def is_connected(self) -> bool:
        """Whether its token was accepted, and the session is not over."""
        return self._state is _State.CONNECTED

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._state is _State.CLOSED

    @property
    def calls(self) -> frozenset[str]:
        """The names that hold of its calls."""
        return frozenset(self._names.values())

    # What comes

    def receive_text(self, text: str, now: float) -> None:
        """Take a frame."""
        if self._state is _State.CLOSED:
            return
        self._heard = now
        if not self._may_send(now):
            self._tell_error(Fault(code=Code.TOO_OFTEN, message=CloseReason.TOO_OFTEN.value), now)
            self._close(CloseReason.TOO_OFTEN)
            return
        if text == codec.HEARTBEAT:
            return
        try:
            event = codec.read(text)
        except RemoteProtocolError as error:
            self._on_malformed(error, now)
            return
        if event is not None:
            self._take(event, now)

    def receive_garbage(self, now: float) -> None:
        """Take a frame that is no text."""
        if self._state is not _State.CLOSED:
            self._heard = now
            self._on_malformed(RemoteProtocolError("messages are text"), now)

    def next_event(self) -> Event | None:
        """What happened next; None for nothing."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> list[str]:
        """The frames that are to go out now."""
        out, self._out = self._out, []
        return out

    # Time

    def timer(self) -> float | None:
        """When `handle_timer` is to be called at the latest; None for never."""
        if self._state is _State.CLOSED:
            return None
        limits = self._limits
        due = [self._said + limits.heartbeat, self._heard + limits.silence]
        if self._state is _State.NEW:
            due.append(self._began + limits.listen)
        due += [self._expires, self._closes]
        return min(due)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        limits = self._limits
        if self._state is _State.CLOSED:
            return
        if now >= self._heard + limits.silence:
            self._close(CloseReason.SILENT)
        elif self._state is _State.NEW and now >= self._began + limits.listen:
            message = CloseReason.NEVER_LISTENED.value
            self._tell_error(Fault(code=Code.NO_TOKEN, message=message), now)
            self._close(CloseReason.NEVER_LISTENED)
        elif now >= self._expires:
            self.doubt(Fault(code=Code.TOKEN_EXPIRED, message=_EXPIRED), now)
        elif now >= self._closes:
            self._on_overdue(now)
        elif now >= self._said + limits.heartbeat:
            self._said = now
            self._out.append(codec.HEARTBEAT)

    def _on_overdue(self, now: float) -> None:
        """Nobody renewed its token: it is let go once it has no calls."""
        if self._names:
            self._closes = now + self._limits.overdue
            return
        if self._doubt is not None:
            self._tell_error(self._doubt, now)
        self._close(CloseReason.EXPIRED)

    # What is told: the token

    def connect(self, now: float, *, identity: str, ttl: float, gateway: str, edge: str) -> None:
        """Its token is good for `ttl` seconds: what it said meanwhile is handed out.

        `edge` is in the name to which the SDK posts what it measures: eventgw.EDGE.twilio.com.
        """
        if self._state is _State.NEW or (self._state is _State.CONNECTED and not self._is_renewed):
            raise LocalProtocolError("no token is looked at")
        if self._state is _State.CLOSED:
            return
        self._state, self._is_renewed, self._doubt = _State.CONNECTED, False, None
        self._expires = now + ttl
        self._closes = self._expires + self._limits.overdue
        token = {"identity": identity, "ttl": int(ttl)}
        place = {"gateway": gateway, "edge": edge, "region": edge, "home": edge}
        self._tell("connected", now, token=token, **place)
        while self._waiting and self._state is _State.CONNECTED:
            self._take(self._waiting.popleft(), now)

    def refuse(self, fault: Fault, now: float) -> None:
        """Its token is none: a session that has a good one keeps it."""
        if self._state is _State.CLOSED:
            return
        self._tell_error(fault, now)
        if self._state is _State.CONNECTED:
            self._is_renewed = False
        else:
            self._close(CloseReason.REFUSED)

    def doubt(self, fault: Fault, now: float) -> None:
        """Its token is none any more, said again it changes nothing: `Unregistered` follows.

        It may show a newer one for as long as it has calls, or `overdue` seconds.
        """
        if self._state is _State.CONNECTED and self._doubt is None:
            self._doubt = fault
            self._expires, self._closes = float("inf"), now + self._limits.overdue
            self._tell_error(fault, now)
            self._events.append(events.Unregistered())

    def deny(self, fault: Fault, now: float) -> None:
        """What it asked for, other than a call, can't be; a token that is looked at stays so."""
        self._tell_error(fault, now)

    def ready(self, now: float) -> None:
        """It is registered, and is called from now on."""
        self._tell("ready", now)

    def offline(self, now: float) -> None:
        """It is not registered any more."""
        self._tell("offline", now)

    def close(self, now: float, fault: Fault | None = None) -> None:
        """End it; a client that is told why comes back by itself."""
        if self._state is not _State.CLOSED:
            if fault is not None:
                self._tell_error(fault, now)
            self._close(CloseReason.CLOSED)

    # What is told: calls

    def name(self, callsid: str, sid: str) -> None:
        """A call that the client calls `callsid` is `sid` from now on, and either is understood."""
        if self._state is not _State.CLOSED:
            self._names[callsid] = self._names[sid] = sid
            self._unheard[sid] = callsid

    def adopt(self, sid: str) -> None:
        """A call that had another socket has this one."""
        if self._state is not _State.CLOSED:
            self._names[sid] = sid

    def forget(self, sid: str) -> None:
        """A call has nothing to do with this session any more."""
        self._names = {each: held for each, held in self._names.items() if held != sid}
        self._unheard.pop(sid, None)

    def invite(
        self, sid: str, now: float, *, sdp: str, reconnect: str, parameters: dict[str, str]
    ) -> None:
        """Let it ring."""
        self.adopt(sid)
        self._tell("invite", now, callsid=sid, sdp=sdp, reconnect=reconnect, parameters=parameters)

    def ring(self, sid: str, now: float, *, sdp: str = "") -> None:
        """Whom it calls is being told; with `sdp` there may be something to hear."""
        self._unheard.pop(sid, None)
        self._tell("ringing", now, callsid=sid, **({"sdp": sdp} if sdp else {}))

    def answer(self, sid: str, now: float, *, reconnect: str, sdp: str = "") -> None:
        """Its call is answered, its offer, or its being back."""
        self._unheard.pop(sid, None)
        more = {"sdp": sdp} if sdp else {}
        self._tell("answer", now, callsid=sid, reconnect=reconnect, **more)

    def cancel(self, sid: str, now: float) -> None:
        """It need not ring any more."""
        self._tell("cancel", now, callsid=sid)
        self.forget(sid)

    def hang_up(self, sid: str, now: float, fault: Fault | None = None) -> None:
        """A call is over, by a fault if there is one."""
        more = {} if fault is None else {"error": _written(fault)}
        self._tell("hangup", now, callsid=self._unheard.get(sid, sid), **more)
        self.forget(sid)

    def message(self, sid: str, now: float, message: events.Messaged) -> None:
        """An app sends a message in a call."""
        self._tell(
            "message",
            now,
            callsid=sid,
            content=msgspec.Raw(message.content),
            contenttype=message.content_type,
            messagetype=message.message_type,
            voiceeventsid=message.voice_event_sid,
        )

    def acknowledge(self, sid: str, now: float, voice_event_sid: str) -> None:
        """A message of its arrived."""
        self._tell("ack", now, acktype="message", callsid=sid, voiceeventsid=voice_event_sid)

    def refuse_message(self, sid: str, now: float, voice_event_sid: str, fault: Fault) -> None:
        """A message of its did not."""
        self._tell("error", now, error=_written(fault), callsid=sid, voiceeventsid=voice_event_sid)

    # Inside

    def _take(self, event: Event, now: float) -> None:
        if isinstance(event, Listened):
            self._on_listened(event)
            return
        if self._state is _State.NEW:
            self._tell_error(Fault(code=Code.BAD_TOKEN, message="no token was shown yet"), now)
            return
        if self._state is _State.LISTENING:
            if len(self._waiting) < self._limits.waiting:
                self._waiting.append(event)
            return
        if isinstance(event, events.Invited):
            self._on_invited(event, now)
        elif isinstance(event, _OF_CALLS):
            self._on_called(event, now)
        else:
            self._events.append(event)

    def _on_listened(self, event: Listened) -> None:
        if self._state is _State.LISTENING or self._is_renewed:
            return  # one at a time: the SDK says the same again
        if self._state is _State.CONNECTED:
            self._is_renewed = True
        else:
            self._state = _State.LISTENING
        self._events.append(event)

    def _on_invited(self, event: events.Invited, now: float) -> None:
        if event.callsid in self._names:
            fault = Fault(code=Code.MALFORMED, message="there is a call of this name already")
            self._tell_error(fault, now)
        elif len(self.calls) >= self._limits.calls:
            fault = Fault(code=Code.TOO_OFTEN, message=f"{self._limits.calls} calls are the most")
            self._tell("hangup", now, callsid=event.callsid, error=_written(fault))
        else:
            self._events.append(event)

    def _on_called(self, event: Any, now: float) -> None:
        sid = self._names.get(event.callsid)
        fault = Fault(code=Code.NOT_FOUND, message=_OVER)
        if isinstance(event, events.Messaged):
            fault = _objection(event) or fault
            if sid is None or fault.code != Code.NOT_FOUND:
                self.refuse_message(event.callsid, now, event.voice_event_sid, fault)
                return
        if sid is not None:
            self._events.append(msgspec.structs.replace(event, callsid=sid))
        elif isinstance(event, events.Reinvited | events.Answered):
            # It waits for something to talk to.
            self._tell("hangup", now, callsid=event.callsid, error=_written(fault))

    def _on_malformed(self, error: RemoteProtocolError, now: float) -> None:
        self._malformed += 1
        self._tell_error(Fault(code=error.code, message=str(error)), now)
        if self._malformed >= self._limits.malformed:
            self._close(CloseReason.MALFORMED)

    def _may_send(self, now: float) -> bool:
        limits = self._limits
        filled = self._tokens + (now - self._filled) * limits.rate
        self._tokens, self._filled = min(limits.burst, filled) - 1, now
        return self._tokens >= 0

    def _tell_error(self, fault: Fault, now: float) -> None:
        self._tell("error", now, error=_written(fault))

    def _tell(self, kind: str, now: float, **payload: Any) -> None:
        if self._state is not _State.CLOSED:
            self._said = now
            self._out.append(codec.write(kind, payload))

    def _close(self, reason: CloseReason) -> None:
        self._state = _State.CLOSED
        self._waiting.clear()
        self._names.clear()
        self._unheard.clear()
        self._events.append(Closed(reason=reason, status=_STATUS[reason]))


def _objection(message: events.Messaged) -> Fault | None:
    """What is wrong with a call message, if anything is."""
    if message.message_type != USER_DEFINED:
        return Fault(code=Code.BAD_MESSAGE_TYPE, message=f"messagetype should be {USER_DEFINED}")
    if len(message.content) > codec.LARGEST_MESSAGE:
        text = f"a message may have {codec.LARGEST_MESSAGE} octets"
        return Fault(code=Code.MESSAGE_TOO_LARGE, message=text)
    return None


def _written(fault: Fault) -> dict[str, object]:
    return {"code": fault.code, "message": fault.message}

"""One socket of the Voice SDK at work: its session, who it is, and the calls that it has.

It does no I/O itself: frames that are to go out stand in `outbox`, and whoever has the socket is
woken. What a session tells is done here where it concerns this socket alone, and by the desk where
it concerns others.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway.browsers.dialogue import Dialogue, Tap
from gateway.calls.browser import Hearer
from protocols.sip.transport import Flow
from protocols.voicesdk import events
from protocols.voicesdk.errors import Fault
from protocols.voicesdk.events import Closed, CloseReason, Listened
from protocols.voicesdk.session import POLICY, Session

MOST_WAITING: Final = 500
"""Frames for a client that does not read them."""


class Access(Protocol):
    """What a token that was verified allows."""

    @property
    def account_sid(self) -> str:
        """Whose it is."""
        ...

    @property
    def key_sid(self) -> str:
        """What signed it."""
        ...

    @property
    def identity(self) -> str:
        """Who shows it."""
        ...

    @property
    def expires(self) -> float:
        """Until when, in seconds of the epoch."""
        ...

    @property
    def incoming_allow(self) -> bool:
        """Whether its identity may be called here."""
        ...

    @property
    def outgoing_application_sid(self) -> str:
        """What runs for its calls, "" if it may make none."""
        ...

    @property
    def outgoing_params(self) -> Mapping[str, str]:
        """What the app is told of each besides."""
        ...


class Desk(Protocol):
    """Where clients of one process are known to each other and to calls."""

    def listen(self, client: "Client", event: Listened) -> None:
        """Look at its token."""
        ...

    def register(self, client: "Client") -> Fault | None:
        """It takes calls; what is wrong with that if it may not."""
        ...

    def ready(self, client: "Client") -> None:
        """It was told that it does."""
        ...

    def missed(self, client: "Client", sid: str) -> Dialogue | None:
        """What rings at it as far as it knows, since its socket dropped."""
        ...

    def unregister(self, client: "Client") -> None:
        """It takes none."""
        ...

    def call(self, client: "Client", event: events.Invited) -> None:
        """It calls."""
        ...

    def come_back(self, client: "Client", event: events.Reconnected) -> None:
        """It has a call that had another socket."""
        ...

    def message(self, dialogue: Dialogue, event: events.Messaged) -> None:
        """It says something in a call."""
        ...

    def ended(self, dialogue: Dialogue) -> None:
        """A call at one device is over."""
        ...

    def begun(self, dialogue: Dialogue) -> None:
        """A call at one device begins."""
        ...

    def leave(self, client: "Client") -> None:
        """Its socket is closed."""
        ...


class Client:
    """See the module. `wake` is called when there is something in the outbox, or an end."""

    def __init__(
        self,
        desk: Desk,
        session: Session,
        flow: Flow,
        *,
        now: Callable[[], float],
        proof: Callable[[], str],
        tap: Tap,
        wake: Callable[[], None],
    ) -> None:
        self.flow = flow
        self.access: Access | None = None
        self.agent = ""
        self.is_registered = False
        self.outbox: deque[str] = deque()
        self.closed: Closed | None = None
        self.session = session
        self._desk = desk
        self._now = now
        self._proof = proof
        self._tap = tap
        self._wake = wake
        self._dialogues: dict[str, Dialogue] = {}
        self._is_pumping = False

    @property
    def account_sid(self) -> str:
        """Whose it is; "" before that is known."""
        return "" if self.access is None else self.access.account_sid

    @property
    def identity(self) -> str:
        """Who it is; "" before that is known."""
        return "" if self.access is None else self.access.identity

    @property
    def calls(self) -> tuple[str, ...]:
        """The SIDs of those that it has."""
        return tuple(self._dialogues)

    # What comes

    def receive_text(self, text: str) -> None:
        """Take a frame."""
        self.session.receive_text(text, self._now())
        self.pump()

    def receive_garbage(self) -> None:
        """Take a frame that is no text."""
        self.session.receive_garbage(self._now())
        self.pump()

    def handle_timer(self) -> None:
        """Do what is due."""
        self.session.handle_timer(self._now())
        self.pump()

    def drop(self) -> None:
        """Its socket is gone: calls that stand wait for another one."""
        self.session.close(self._now())
        self._desk.leave(self)
        for each in list(self._dialogues.values()):
            each.drop()
        self._dialogues.clear()

    # What is told

    def accept(
        self, access: Access, ttl: float, gateway: str, edge: str, rang: Sequence[str]
    ) -> None:
        """Its token is good; `rang` are the SIDs of calls that it may have answered meanwhile."""
        self.access = access
        now, identity = self._now(), access.identity
        for sid in rang:
            self.session.adopt(sid)
        self.session.connect(now, identity=identity, ttl=ttl, gateway=gateway, edge=edge)
        if not access.incoming_allow:
            self._withdraw(now)
        self.pump()
        for sid in rang:
            if sid not in self._dialogues:
                self.session.forget(sid)

    def refuse(self, fault: Fault) -> None:
        """Its token is not."""
        self.session.refuse(fault, self._now())
        self.pump()

    def doubt(self, fault: Fault) -> None:
        """Its token is none any more, which it hears once: it is called no longer."""
        self.session.doubt(fault, self._now())
        self.pump()

    def close(self, fault: Fault) -> None:
        """End it; its calls wait for who comes back."""
        self.session.close(self._now(), fault)
        self.pump()

    def open(self, sid: str, name: str, hearer: Hearer) -> Dialogue:
        """See `browser.Device`."""
        dialogue = Dialogue(
            self,
            hearer,
            sid=sid,
            name=name,
            proof=self._proof(),
            tap=self._tap,
            ended=self._desk.ended,
        )
        self._desk.begun(dialogue)
        if self.session.is_closed:
            dialogue.drop()
        else:
            self.join(dialogue)
        return dialogue

    def open_called(self, event: events.Invited, sid: str, name: str, hearer: Hearer) -> Dialogue:
        """Begin a call that the client makes."""
        self.session.name(event.callsid, sid)
        dialogue = self.open(sid, name, hearer)
        dialogue.began(event.sdp)
        return dialogue

    def join(self, dialogue: Dialogue) -> None:
        """A call has this socket from now on."""
        self._dialogues[dialogue.sid] = dialogue
        self.session.adopt(dialogue.sid)

    def part(self, dialogue: Dialogue) -> None:
        """A call has it no more."""
        if self._dialogues.get(dialogue.sid) is dialogue:
            del self._dialogues[dialogue.sid]
            self.session.forget(dialogue.sid)

    def say(self, kind: str, sid: str, payload: Mapping[str, Any]) -> None:
        """Tell it something of a call."""
        _SAY[kind](self.session, sid, self._now(), payload)
        self.pump()

    def refuse_call(self, callsid: str, fault: Fault | None) -> None:
        """A call that it makes, or is back with, is none; without a fault it just ended."""
        self.session.hang_up(callsid, self._now(), fault)
        self.pump()

    def acknowledge(self, sid: str, voice_event_sid: str) -> None:
        """What it said in a call is safe."""
        self.session.acknowledge(sid, self._now(), voice_event_sid)
        self.pump()

    def refuse_message(self, sid: str, voice_event_sid: str, fault: Fault) -> None:
        """What it said in a call is not."""
        self.session.refuse_message(sid, self._now(), voice_event_sid, fault)
        self.pump()

    def pump(self) -> None:
        """Do what its session tells, and have sent what it wants to say."""
        if self._is_pumping:
            return  # whoever pumps goes on
        self._is_pumping = True
        try:
            while (event := self.session.next_event()) is not None:
                self._on(event)
        finally:
            self._is_pumping = False
            self.outbox += self.session.data_to_send()
            if len(self.outbox) > MOST_WAITING and not self.session.is_closed:
                self.outbox.clear()
                self.session.close(self._now())
                self.closed = Closed(reason=CloseReason.TOO_OFTEN, status=POLICY)
            self._wake()

    def _on(self, event: events.Event) -> None:
        desk, now = self._desk, self._now()
        match event:
            case Listened():
                self.agent = event.agent
                desk.listen(self, event)
            case events.Registered():
                self._register(now)
            case events.Unregistered():
                desk.unregister(self)
                self.session.offline(now)
            case events.Invited():
                desk.call(self, event)
            case events.Reconnected():
                desk.come_back(self, event)
            case Closed():
                self.closed = event
            case _:
                self._on_called(event)

    def _register(self, now: float) -> None:
        refused = self._desk.register(self)
        if refused is None:
            self.session.ready(now)
            self._desk.ready(self)
        else:
            self.session.deny(refused, now)
            self._withdraw(now)

    def _withdraw(self, now: float) -> None:
        """It takes no calls any more, and hears so if it did."""
        if self.is_registered:
            self._desk.unregister(self)
            self.session.offline(now)

    def _on_called(self, event: Any) -> None:
        dialogue = self._dialogues.get(event.callsid)
        if dialogue is None:  # the SDK may say what it had yet to say before it registers
            dialogue = self._desk.missed(self, event.callsid)
            if dialogue is None:
                return
            dialogue.join(self)
        dialogue.take(event)
        if isinstance(event, events.Messaged):
            self._desk.message(dialogue, event)


def _on_hangup(session: Session, sid: str, now: float, told: Mapping[str, Any]) -> None:
    error = told.get("error")
    session.hang_up(sid, now, None if error is None else Fault(**error))


_Say = Callable[[Session, str, float, Mapping[str, Any]], None]
_SAY: Final[Mapping[str, _Say]] = {
    "invite": lambda session, sid, now, told: session.invite(sid, now, **told),
    "ringing": lambda session, sid, now, told: session.ring(sid, now, **told),
    "answer": lambda session, sid, now, told: session.answer(sid, now, **told),
    "cancel": lambda session, sid, now, told: session.cancel(sid, now),
    "hangup": _on_hangup,
    "message": lambda session, sid, now, told: session.message(
        sid,
        now,
        events.Messaged(
            callsid=sid,
            content=told["content"].encode(),
            content_type=told["contenttype"],
            message_type=told["messagetype"],
            voice_event_sid=told["voiceeventsid"],
        ),
    ),
}

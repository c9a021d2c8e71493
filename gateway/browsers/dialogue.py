"""One call at one device: what is told goes to the socket that it has now, or waits for one.

A socket that drops takes no call with it that was answered. For `AWAY` seconds the call goes on as
it was, media and all; whoever comes back proves by the token of this call that it is theirs. A page
elsewhere takes a call over in the same way, and the one that had it hears that it has it no more.

A device that rings is waited for, too. The SDK takes no call that rang before its socket dropped,
so one that is back hears that this is off, and rings anew.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from gateway.browsers import trace
from gateway.calls.browser import Hearer
from gateway.calls.call_messages import Said
from protocols.sip.station import Crossed
from protocols.voicesdk.errors import Fault
from protocols.voicesdk.events import (
    Answered,
    HungUp,
    Messaged,
    Pressed,
    Reinvited,
    Rejected,
)
from protocols.voicesdk.session import USER_DEFINED

if TYPE_CHECKING:
    from gateway.browsers.client import Client

_log = structlog.get_logger(__name__)

AWAY: Final = 30.0
"""Seconds for which a call outlives its socket."""

RINGS_ON: Final = 15.0
"""Seconds for which a call that rings outlives its socket: the SDK is back within them."""

LOST: Final = f"its socket dropped and did not come back within {AWAY:.0f} s"

UNANSWERED: Final = "its socket dropped before the call was answered"

UNTAKEN: Final = f"its socket dropped as it rang and did not come back within {RINGS_ON:.0f} s"

Tap = Callable[[str, Crossed], None]
"""Keep a message in the ladder, under the name of its leg."""

Told = Answered | Reinvited | Pressed | Messaged | Rejected | HungUp


class Unsaid(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended whose client was away, for when it comes back until `until`.

    Who asks for a call that was up hears of `fault`; one that only rang is `cancelled` unasked.
    """

    fault: Fault | None = None
    until: float
    cancelled: bool = False


class Dialogue:
    """See the module, and `browser.Dialogue` for what a leg may say.

    `sid` is the call's, `name` that of its leg; `proof` is what its client has to show to have it
    on another socket, `ended` is told that it is over.
    """

    def __init__(
        self,
        socket: "Client",
        hearer: Hearer,
        *,
        sid: str,
        name: str,
        proof: str,
        tap: Tap,
        ended: Callable[["Dialogue"], None],
    ) -> None:
        self.sid = sid
        self.account_sid = socket.account_sid
        self.identity = socket.identity
        self.agent = socket.agent
        self._name = name
        self._proof = proof
        self._tap = tap
        self._ended = ended
        self._hearer: Hearer | None = hearer
        self._socket: Client | None = socket
        self._flow = socket.flow
        self._is_up = False  # answered by either side, and its client has the proof
        self._invitation: dict[str, Any] | None = None  # what rings at a device
        self._last = ""  # the last description of ours in an answer
        self._owed: list[tuple[str, dict[str, Any]]] = []  # for who is back
        self._away: asyncio.TimerHandle | None = None
        self.unsaid: Unsaid | None = None

    def proves(self, token: str) -> bool:
        """Whether a token is the one of this call; how long that takes says nothing of it."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._proof.encode())

    # What its leg says: `browser.Dialogue`

    def invite(self, sdp: str, parameters: Mapping[str, str]) -> None:
        """See `browser.Dialogue`."""
        told = {"sdp": sdp, "reconnect": self._proof, "parameters": dict(parameters)}
        self._invitation = told
        self._say("invite", **told)

    def ring(self, sdp: str) -> None:
        """See `browser.Dialogue`."""
        self._say("ringing", **({"sdp": sdp} if sdp else {}))

    def answer(self, sdp: str) -> None:
        """See `browser.Dialogue`."""
        self._last = sdp or self._last
        more = {"sdp": self._last} if self._last else {}
        self._is_up = True
        self._say("answer", reconnect=self._proof, **more)

    def cancel(self) -> None:
        """See `browser.Dialogue`."""
        if self._away is not None:
            self.unsaid = Unsaid(until=self._away.when(), cancelled=True)
        self._say("cancel")
        self._end()

    def hang_up(self, fault: Fault | None) -> None:
        """See `browser.Dialogue`."""
        if self._away is not None:
            self.unsaid = Unsaid(fault=fault, until=self._away.when())
        error = {} if fault is None else {"error": {"code": fault.code, "message": fault.message}}
        self._say("hangup", **error)
        self._end()

    def message(self, said: Said) -> None:
        """See `browser.Dialogue`."""
        self._say(
            "message",
            content=said.content,
            contenttype=said.content_type,
            messagetype=USER_DEFINED,
            voiceeventsid=said.sid,
        )

    # What its client says

    def began(self, sdp: str) -> None:
        """Its client makes the call, and offers this."""
        self._note("invite", sdp=sdp)

    def take(self, event: Told) -> None:
        """Take what the client says of this call; what its leg can't cope with ends it alone."""
        hearer = self._hearer
        if hearer is None:
            return
        try:
            self._take(event, hearer)
        except Exception:
            _log.exception("a call at a client fell", call=self.sid, at=type(event).__name__)
            hearer.on_fault()

    def _take(self, event: Told, hearer: Hearer) -> None:
        match event:
            case Answered(sdp=sdp):
                self._note("answer", sdp=sdp)
                self._is_up = True
                hearer.on_answered(sdp)
            case Reinvited(sdp=sdp):
                self._note("reinvite", sdp=sdp)
                hearer.on_offered(sdp)
            case Pressed(digits=digits):
                self._note("dtmf", dtmf=digits)
                hearer.on_pressed(digits)
            case Rejected():
                self._note("reject")
                self._end()
                hearer.on_rejected()
            case HungUp(message=message):
                self._note("hangup", **({"message": message} if message else {}))
                self._end()
                hearer.on_hung_up(message)
            case Messaged():
                self._note("message", voiceeventsid=event.voice_event_sid)

    def acknowledge(self, voice_event_sid: str, fault: Fault | None) -> None:
        """A message of the client's is safe, or was refused."""
        if self._socket is None:
            return
        if fault is None:
            self._socket.acknowledge(self.sid, voice_event_sid)
        else:
            self._socket.refuse_message(self.sid, voice_event_sid, fault)

    # Its sockets

    @property
    def is_missed(self) -> bool:
        """Whether it rings at a device whose socket dropped."""
        return self._away is not None and not self._is_up

    @property
    def rang_until(self) -> float:
        """Until when a device that is back has to hear that it rings no more; 0 for never."""
        return self.unsaid.until if self.unsaid is not None and self.unsaid.cancelled else 0.0

    def ring_anew(self, socket: "Client") -> None:
        """Ring at the device where it rang, which is back on this socket and takes calls."""
        self.join(socket)
        if self._invitation is not None:
            self._say("cancel")
            self._say("invite", **self._invitation)

    def come_back(self, socket: "Client", sdp: str) -> None:
        """Its client has it on this socket from now on, and says what it offers."""
        before = self._socket
        if before is not None and before is not socket:
            before.part(self)
            before.say("hangup" if self._is_up else "cancel", self.sid, {})
        self.join(socket)
        owed, self._owed = self._owed, []
        self.take(Reinvited(callsid=self.sid, sdp=sdp))
        for kind, payload in owed:
            self._say(kind, **payload)

    def drop(self) -> None:
        """Its socket is gone."""
        self._socket = None
        if self._hearer is None:
            return
        if not self._is_up and self._invitation is None:
            self._lose(UNANSWERED)
            return
        wait, reason = (AWAY, LOST) if self._is_up else (RINGS_ON, UNTAKEN)
        self._away = asyncio.get_running_loop().call_later(wait, self._lose, reason)

    def join(self, socket: "Client") -> None:
        """Its client has it on this socket from now on."""
        self._socket, self._flow = socket, socket.flow
        self._stay()
        socket.join(self)

    def _lose(self, reason: str) -> None:
        hearer = self._hearer
        self._away = None
        if self._invitation is not None and not self._is_up:
            until = asyncio.get_running_loop().time() + AWAY
            self.unsaid = Unsaid(until=until, cancelled=True)
        self._end()
        if hearer is not None:
            hearer.on_lost(reason)

    # Inside

    def _say(self, kind: str, **payload: Any) -> None:
        if self._hearer is None:
            return
        if self._socket is None:
            if kind in _OWED:
                self._owed.append((kind, payload))
                del self._owed[:-_MOST_OWED]
            return
        self._see(kind, payload, came=False)
        self._socket.say(kind, self.sid, payload)

    def _note(self, kind: str, **payload: Any) -> None:
        self._see(kind, payload, came=True)

    def _see(self, kind: str, payload: dict[str, Any], *, came: bool) -> None:
        octets = trace.shown(kind, self._name, {"callsid": self.sid, **payload})
        now = asyncio.get_running_loop().time()
        crossed = Crossed(content=octets, way=self._flow, came=came, at=now, octets=octets)
        self._tap(self._name, crossed)

    def _end(self) -> None:
        self._hearer = None
        self._owed.clear()
        self._stay()
        if self._socket is not None:
            self._socket.part(self)
            self._socket = None
        self._ended(self)

    def _stay(self) -> None:
        if self._away is not None:
            self._away.cancel()
            self._away = None


_OWED: Final = frozenset({"message"})
"""What is said again to who was away: the rest is asked for by the client itself."""

_MOST_OWED: Final = 32

"""A leg whose peer uses the Voice SDK: one call at one device, one node of the call's media.

Media go over ICE and DTLS. It answers by itself what concerns nobody else: a new network of the
client's, a socket that dropped and came back, keys that come in the signalling.
"""

import asyncio
from collections import deque
from typing import Final

import structlog

from gateway.calls.browser import BrowserWay, Dialogue
from gateway.calls.call_messages import Said
from gateway.calls.description import Disagreed, codecs_of, is_answer, offered
from gateway.calls.info_keys import Key
from gateway.calls.leg import Answered, Finished, Gone, Rang, Tell
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import CallLeg, Party
from gateway.calls.sip_tools import Tools
from gateway.calls.spoken_leg import SpokenLeg
from gateway.media import graph
from protocols.rtp.dtmf import DURATION, GAP, PAUSES
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.media import MediaPolicy
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import Source
from protocols.sip.headers import read_reason
from protocols.sip.session_offers import Body
from protocols.sip.status import phrase
from protocols.voicesdk.errors import fault_of_sip
from protocols.voicesdk.events import Invited

_log = structlog.get_logger(__name__)

_RINGING: Final = 180
_PROGRESS: Final = 183
_OK: Final = 200
_CANCELLED: Final = 487
_NOT_ACCEPTABLE: Final = 488
_FAULT: Final = 500
_DECLINED: Final = 603
_FAULTY: Final = "the gateway had a fault"
_MOST_KEYS: Final = 200  # that wait behind pauses


class WebRtcLeg(SpokenLeg):
    """See the module, and `PeerLeg` for what others may ask."""

    def __init__(
        self,
        tools: Tools,
        media: CallMedia,
        tell: Tell,
        *,
        id: str,
        record: CallLeg,
        policy: MediaPolicy,
    ) -> None:
        super().__init__(tools, media, tell, id=id, record=record, policy=policy)
        self._dialogue: Dialogue | None = None
        self._offer: Body | None = None  # of a call that came in
        self._body: Body | None = None  # our answer to it
        self._rung: str | None = None  # what the client was told as it rang
        self._asked: Body | None = None  # the client's newest offer, while another is answered
        self._answering: asyncio.Task[None] | None = None
        self._moving = asyncio.Lock()  # one description at a time
        self._keys: deque[str] = deque()  # behind a pause
        self._pause: asyncio.TimerHandle | None = None

    # What a call asks

    @property
    def hears(self) -> bool:
        """See `Leg`."""
        return self.is_up or self._body is not None

    @property
    def codecs(self) -> tuple[str, ...]:
        """See `Leg`."""
        if self._offer is None or self.stream is not None:
            return codecs_of(self.stream)
        return offered(self._offer)

    @property
    def saved(self) -> CallLeg:
        """See `Leg`: who was there comes back to another process, and finds the call over."""
        return self.record

    @property
    def closed(self) -> CallLeg:
        """See `Leg`."""
        return self.record

    def talk(self, dialogue: Dialogue) -> None:
        """Say by which way a client is reached that calls; before all else."""
        self._dialogue = dialogue

    def receive(self, event: Invited) -> None:
        """See `PeerLeg`."""
        self._offer = Body(octets=event.sdp.encode())

    def expect(self, signalling: str, latch: LatchPolicy) -> None:
        """See `PeerLeg`: ICE finds its peer, whatever its address."""
        webrtc = graph.WebRtc(is_offerer=self._offer is None)
        self._expect(self._tools.host, latch, webrtc)

    def call(self, way: BrowserWay) -> None:
        """Let the client ring, prepared; one whose socket has closed is gone at once."""
        if not self._told_gone:
            self._dialogue = way.device.open(self.record.sid, self.id, self)
        if not self._told_gone:
            body, record = self.described.offer(), self.record
            own = {"CallSid": record.sid, "AccountSid": record.account_sid}
            self._peer.invite(body.octets.decode(), {**way.parameters, **own})
            self.is_heard = True
            # In a turn of its own, as what a peer tells.
            asyncio.get_running_loop().call_soon(self._on_ringing)

    def _on_ringing(self) -> None:
        if not self._told_gone and not self.is_up:
            self._keep_ringing()
            self._tell(self, Rang(status=_RINGING, early=False))

    def confirm(self) -> None:
        """See `Leg`: the client is told that its answer was taken."""
        if not self._told_gone:
            self._peer.answer("")

    def ring(self, *, status: int = _RINGING) -> None:
        """See `Leg`."""
        if self._offer is None or self.is_up or self._told_gone:
            return
        if status == _PROGRESS:
            self.describe()
        self._keep_ringing()
        told = "" if self._body is None else self._body.octets.decode()
        if told != self._rung:  # each that rings says so, and the client hears it once
            self._rung = told
            self._peer.ring(told)

    def describe(self) -> None:
        """See `Leg`."""
        if self._offer is None or self._told_gone or self._body is not None:
            return
        self._body = self.described.answer("", self._offer)

    async def answer(self) -> None:
        """See `Leg`."""
        if self._offer is None or self._told_gone or self.is_up:
            return
        self.describe()
        async with self._moving:
            await self._media.settled()
        if self._told_gone or self.is_up:  # two may have asked meanwhile
            return
        body = self._body
        assert body is not None
        self._keep_answered(_OK, **self._spoken())
        self._peer.answer(body.octets.decode())
        self._tell(self, Answered())

    def refuse(self, reply: Reply) -> None:
        """See `Leg`."""
        if self._told_gone:
            return
        told = [each.text for each in read_reason(reply.headers) if each.text]
        why = told[0] if told else phrase(reply.status)
        self._peer.hang_up(fault_of_sip(reply.status, why))
        reason = f"{reply.status} {reply.reason or phrase(reply.status)}"
        self._gone(Party.GATEWAY, reply.status, Source.PEER, reason)

    def hang_up(self, status: int, reason: str) -> None:
        """See `Leg`."""
        if self._told_gone:
            return
        refused = self._offer is not None and not self.is_up
        if self._dialogue is not None:
            if self.is_up or refused:
                self._dialogue.hang_up(None if status == _OK else fault_of_sip(status, reason))
            else:
                self._dialogue.cancel()
        self._gone(Party.GATEWAY, status if refused else 0, Source.PEER, reason)

    def send_message(self, said: Said) -> None:
        """See `call_messages.Listener`."""
        if not self._told_gone and self._dialogue is not None:
            self._dialogue.message(said)

    # What the client tells: `browser.Hearer`

    def on_answered(self, sdp: str) -> None:
        """See `Hearer`."""
        if self._told_gone or self._offer is not None or self.is_up:
            return
        self._keep_answered(_OK)
        try:
            self.described.accept("", Body(octets=sdp.encode()))
        except Disagreed as error:
            self.hang_up(_NOT_ACCEPTABLE, str(error))
            return
        if self.stream is None:
            self.hang_up(_NOT_ACCEPTABLE, "the answer describes no audio")
            return
        self.agreed()
        self._tell(self, Answered())

    def on_rejected(self) -> None:
        """See `Hearer`."""
        if self._told_gone:
            return
        if self.is_up:
            self.on_hung_up("")
            return
        self._gone(Party.PEER, _DECLINED, Source.PEER, f"{_DECLINED} {phrase(_DECLINED)}")

    def on_offered(self, sdp: str) -> None:
        """See `Hearer`: only what begins ICE anew is more than what is known."""
        if self._told_gone or self._description is None:
            return
        body = Body(octets=sdp.encode())
        if self._answering is not None:
            self._asked = body  # what waited is out of date by now
        elif self._is_called:
            self._take_up(body)
        elif self._description.restarts(body):
            self._asked = body
            self._answering = asyncio.get_running_loop().create_task(self._answer_offers())
        else:
            self._say_again()

    @property
    def _is_called(self) -> bool:
        """Whether it rings at the client, which has yet to answer our offer."""
        return self._offer is None and not self.is_up

    def _take_up(self, body: Body) -> None:
        """Another page of the client takes the call, which rang at the one that told it how.

        It knows nothing of our offer, and makes one of its own. The page that we rang at says the
        answer of before, where it can't know that this has come.
        """
        if is_answer(body):
            self.on_answered(body.octets.decode())
            return
        self.described.withdraw("")
        self._asked = body
        self._answering = asyncio.get_running_loop().create_task(self._answer_offers())

    def on_pressed(self, digits: str) -> None:
        """See `Hearer`."""
        if not self._told_gone and len(self._keys) < _MOST_KEYS:
            self._keys.extend(digits)
            if self._pause is None:
                self._press()

    def on_hung_up(self, message: str) -> None:
        """See `Hearer`."""
        if self._told_gone:
            return
        if self._offer is not None and not self.is_up:
            self._gone(Party.PEER, _CANCELLED, Source.PEER, "the caller gave up")
        else:
            self._gone(Party.PEER, 0, Source.PEER, f"hangup {message}".strip())

    def on_fault(self) -> None:
        """See `Hearer`."""
        self.hang_up(_FAULT, _FAULTY)

    def on_lost(self, reason: str) -> None:
        """See `Hearer`."""
        self._gone(Party.NOBODY, 0, Source.TRANSPORT, reason)

    # Inside

    def _press(self) -> None:
        """Tell of the keys before the next pause, and of the others when that is over."""
        self._pause, told = None, 0
        while self._keys and not self._told_gone:
            key = self._keys.popleft()
            if key in PAUSES:
                # Whoever hears the keys needs this long for those before it.
                wait = PAUSES[key] + told * (DURATION + GAP)
                self._pause = asyncio.get_running_loop().call_later(wait, self._press_safely)
                return
            self._media.told_key(self.id, Key(digit=key.upper()))
            told += 1

    def _press_safely(self) -> None:
        try:
            self._press()
        except Exception:
            _log.exception("a leg fell", leg=self.id)
            self.hang_up(_FAULT, _FAULTY)

    def _say_again(self) -> None:
        """Answer an offer of what is known."""
        if self.is_up:
            self._peer.answer("")
        elif self._body is not None:
            self._peer.ring(self._body.octets.decode())

    async def _answer_offers(self) -> None:
        """One after the other; what can't be coped with ends the leg, and it alone."""
        try:
            while (body := self._asked) is not None and not self._told_gone:
                self._asked = None
                async with self._moving:
                    await self._answer_offer(body)
        except Exception:
            _log.exception("a leg fell", leg=self.id)
            self.hang_up(_FAULT, _FAULTY)
        finally:
            self._answering = None

    async def _answer_offer(self, body: Body) -> None:
        is_called = self._is_called
        if not is_called and not self.described.restarts(body):  # it came twice
            self._say_again()
            return
        try:
            await self.described.ready(body)
            answer = self.described.answer("", body)
            await self._media.settled()
        except (NoMedia, Disagreed) as error:
            self.hang_up(_FAULT if isinstance(error, NoMedia) else _NOT_ACCEPTABLE, str(error))
            return
        if self._told_gone:
            return
        self._body = answer
        if is_called:
            self._keep_answered(_OK)
            self.agreed()
            self._peer.answer(answer.octets.decode())
            self._tell(self, Answered())
            return
        if self.is_up:
            self.agreed()
        if self._asked not in (None, body):
            return  # the client would take it for the answer to its newer offer
        if self.is_up:
            self._peer.answer(answer.octets.decode())
        else:  # an answer would say that somebody took the call
            self._peer.ring(answer.octets.decode())

    @property
    def _peer(self) -> Dialogue:
        assert self._dialogue is not None, "the leg has no client"
        return self._dialogue

    def _gone(self, by: Party, status: int, source: Source, reason: str) -> None:
        if self._told_gone:
            return
        self._keep_end(by, status, reason)
        if self._answering is not None and self._answering is not asyncio.current_task():
            self._answering.cancel()
        self._keys.clear()
        if self._pause is not None:
            self._pause.cancel()
        self._tell(self, Gone(by=by, status=status, source=source, reason=reason))
        self._tell(self, Finished())

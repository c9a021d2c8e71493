"""A leg whose peer speaks SIP: one session of the agent, one node of the call's media.

It answers by itself what concerns nobody else: offers in mid-call (hold, another codec, another
port), INFO, refreshes. What concerns the call it tells. Media is ours on both sides, so what one
peer changes the other need not know.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog

from gateway.calls.description import Disagreed, codecs_of, host_in, is_webrtc, offered
from gateway.calls.info_keys import Keypad
from gateway.calls.leg import Answered, Finished, Gone, Rang, Retried, Tell, Transferred
from gateway.calls.media import CallMedia
from gateway.calls.model import CallLeg, Party
from gateway.calls.sip_changes import OFFERS, Changes
from gateway.calls.sip_reasons import BY_CAUSE, reason_of, retry_after, said
from gateway.calls.sip_tools import Tools
from gateway.calls.spoken_leg import SpokenLeg
from gateway.calls.way import Way, over_ice
from gateway.media import graph
from gateway.sip.gate import host_of, user_of
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.media import DtmfMode, MediaPolicy
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import (
    Accept,
    Acknowledge,
    HangUp,
    Invite,
    Provisional,
    Reliability,
    Reply,
)
from protocols.sip.agent_events import SessionId, Source, TransferId
from protocols.sip.binding import Binding
from protocols.sip.headers import write_reason
from protocols.sip.message import Headers, NameAddr
from protocols.sip.session_offers import Body, Exchange
from protocols.sip.status import phrase
from protocols.sip.transport import SOCKETS, Destination, Flow
from protocols.sip.uri import Uri, equivalent

_log = structlog.get_logger(__name__)

_CALL_ID_OCTETS: Final = 12
_TRYING: Final = 100
_RINGING: Final = 180
_PROGRESS: Final = 183
_OK: Final = 200
_TIMEOUT: Final = 408
_NOT_ACCEPTABLE: Final = 488
_FAULT: Final = 500
_FAULTY: Final = "the gateway had a fault"
_RELIABLE: Final = "100rel"


class SipLeg(SpokenLeg):
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
        claimed: str = "",
    ) -> None:
        """`claimed` is the host that a peer has for itself that is called."""
        super().__init__(tools, media, tell, id=id, record=record, policy=policy)
        self._agent = tools.station.agent
        self._now = tools.station.now
        self.session = SessionId(0)
        # Who speaks by WebSocket is a browser.
        self.webrtc = graph.WebRtc(is_offerer=True) if record.transport in SOCKETS else None
        if self.webrtc is not None:
            self.policy = over_ice(policy)
        self._invited: events.Invited | None = None
        self._body: Body | None = None  # of the 2xx, if it has one
        self._is_described = False  # our answer to the INVITE's offer went out
        self._keypad: Keypad | None = None
        self._changes: Changes | None = None
        self._peer: tuple[Uri, NameAddr] | None = None  # its contact, and as whom it registers
        self._claimed = claimed

    # What a call asks

    @property
    def hears(self) -> bool:
        """See `Leg`."""
        return self.is_up or self._is_described

    @property
    def codecs(self) -> tuple[str, ...]:
        """See `Leg`: before there is an answer, those of the offer."""
        if self.has_media or self._invited is None or self._invited.offer is None:
            return codecs_of(self.stream)
        return offered(self._invited.offer, self.policy)

    @property
    def has_media(self) -> bool:
        """Whether there is something to hear, or soon will be."""
        return self.stream is not None

    @property
    def saved(self) -> CallLeg:
        """Its record with what a restart needs."""
        self._keep(saved=self._agent.saved(self.session))
        return self.record

    @property
    def closed(self) -> CallLeg:
        """Its record when nothing is left to set free."""
        self._keep(saved=None)
        return self.record

    @property
    def invited(self) -> events.Invited:
        """What began it, of a call that came in."""
        assert self._invited is not None, "it is a call of ours"
        return self._invited

    def receive(self, event: events.Invited) -> None:
        """Become the leg of a call that came in; nothing is answered yet."""
        self._invited = event
        self.session = event.session
        if event.request.contacts:
            self._peer = event.request.contacts[0].uri, event.request.from_
            self._claimed = host_of(event.request.contacts[0])
        if event.offer is not None:
            self._claimed = host_in(event.offer) or self._claimed
            self.webrtc = graph.WebRtc() if is_webrtc(event.offer) else None
            self.policy = self.policy if self.webrtc is None else over_ice(self.policy)
        self._tools.watch(event.session, self)

    def expect(self, signalling: str, latch: LatchPolicy) -> None:
        """See `PeerLeg`."""
        press = self._keys().press if self.policy.dtmf is DtmfMode.INFO else None
        self._expect(signalling, latch, self.webrtc, press, self._claimed)

    def call(self, way: Way, destination: Destination, max_forwards: int) -> None:
        """Send the INVITE, prepared; it goes out when this turn ends. `confirm` ends it well."""
        if self._told_gone:
            return
        station = self._tools.station
        call_id = self._tools.key(_CALL_ID_OCTETS).hex()
        self._keep(call_id=call_id)
        self._peer = way.uri, way.to
        command = Invite(
            call_id=call_id,
            uri=way.uri,
            from_=way.from_,
            to=way.to,
            routes=way.routes,
            headers=way.headers,
            body=self.described.offer(),
            max_forwards=max_forwards,
            refresh=way.refresh,
            replaces=way.replaces,
            acknowledge=Acknowledge.WHEN_TOLD,
        )
        self.session = station.agent.invite(command, destination, station.now(), way.sessions)
        self._tools.watch(self.session, self)
        station.wake()

    def follow(self, binding: Binding) -> None:
        """A browser registered by another socket: if it is this peer it is reached there."""
        way = self._agent.way(self.session)
        if self._peer is None or not isinstance(way, Flow) or way.transport not in SOCKETS:
            return
        contact, who = self._peer
        is_user = f"{user_of(who)}@{host_of(who).lower()}" == binding.aor
        if is_user and equivalent(contact, binding.uri):
            self._agent.redirect(self.session, binding.flow)
            if self.is_up and way.remote[0] != binding.flow.remote[0]:
                self._offers().mend()

    def confirm(self) -> None:
        """Send the ACK of the peer's answer, now that what a restart needs is durable."""
        self._agent.acknowledge(self.session, self._now())
        self._tools.station.wake()

    def ring(self, *, status: int = 180) -> None:
        """See `Leg`. An answer to the offer goes along with 183, reliably where that is known."""
        invited = self._invited
        if invited is None or self.is_up or self._told_gone:
            return
        body = None
        if status == _PROGRESS and not self._is_described:
            body = self._answer_offer()
            status = _PROGRESS if body is not None else _RINGING
        reliable = body is not None and _RELIABLE in invited.supports
        self._keep_ringing()
        self._agent.provisional(
            self.session,
            Provisional(
                status=status,
                body=body,
                reliable=Reliability.IF_SUPPORTED if reliable else Reliability.NEVER,
            ),
            self._now(),
        )
        self._tools.station.wake()

    def describe(self) -> None:
        """Say what the answer will be, so that media can be made ready; raises `Disagreed`."""
        if self._invited is None or self._told_gone or self.is_up or self._is_described:
            return
        offer = self._invited.offer
        self._body = self.described.offer() if offer is None else self._answer_offer()
        self._is_described = True

    async def answer(self) -> None:
        """See `Leg`. What must be durable before is the caller's to see to."""
        if self._invited is None or self._told_gone or self.is_up:
            return
        self.describe()
        body = self._body
        await self._media.settled()
        if self._told_gone or self.is_up:  # two may have asked meanwhile
            return
        self._keep_answered(_OK, **self._spoken())
        self._agent.accept(self.session, Accept(body=body), self._now())
        self._tools.station.wake()

    def refuse(self, reply: Reply) -> None:
        """Refuse a call that came in."""
        self._agent.refuse(self.session, reply, self._now())
        self._tools.station.wake()
        reason = f"{reply.status} {reply.reason or phrase(reply.status)}"
        self._gone(Party.GATEWAY, reply.status, Source.PEER, reason)

    def hang_up(self, status: int, reason: str) -> None:
        """See `Leg`."""
        headers = Headers((write_reason(reason_of(status, reason)),))
        refused = self._invited is not None and not self.is_up
        command = HangUp(status=status if refused else 480, headers=headers)
        self._agent.hang_up(self.session, self._now(), command)
        self._tools.station.wake()
        self._gone(Party.GATEWAY, status if refused else 0, Source.PEER, reason)
        if not self.session:
            self._tell(self, Finished())

    def answer_transfer(self, transfer: TransferId, reply: Reply) -> None:
        """Take or refuse a transfer that the peer asked for."""
        self._agent.answer_refer(transfer, reply, self._now())
        self._tools.station.wake()

    def notify(self, transfer: TransferId, status: int) -> None:
        """Tell the peer how the call goes that it asked for."""
        self._agent.notify(transfer, Reply(status=status), self._now())
        self._tools.station.wake()

    # What the agent tells

    def on(self, event: Any) -> None:
        """Take an event of its session. What it can't cope with ends it, and it alone."""
        handle = _HANDLERS.get(type(event))
        if handle is None and not self._told_gone:
            handle = _WHILE_HERE.get(type(event))
        if handle is None:
            return
        try:
            handle(self, event)
        except Exception:
            _log.exception("a leg fell", leg=self.id, at=type(event).__name__)
            if isinstance(event, events.InfoReceived):
                self._agent.respond(event.key, Reply(status=_FAULT), self._now())
            self.hang_up(_FAULT, _FAULTY)
            if isinstance(event, events.Ended):
                self._tell(self, Finished())

    def _on_progressed(self, event: events.Progressed) -> None:
        self.is_heard = True
        status = event.response.status
        if status == _TRYING:
            return
        if event.body is not None and event.exchange in (Exchange.ANSWER, Exchange.PREVIEW):
            try:
                self.described.accept(event.fork, event.body)
            except Disagreed as error:
                if event.exchange is Exchange.ANSWER:
                    self.hang_up(_NOT_ACCEPTABLE, str(error))
                    return
        self._keep_ringing()
        self._tell(self, Rang(status=status, early=self.has_media))

    def _on_retried(self, event: events.Retried) -> None:
        self._tell(self, Retried())

    def _on_answered(self, event: events.Answered) -> None:
        self.is_heard = True
        self._keep_answered(event.response.status)
        try:
            if event.body is not None and event.exchange is Exchange.ANSWER:
                self.described.accept(event.fork, event.body)
        except Disagreed as error:
            self.hang_up(_NOT_ACCEPTABLE, str(error))
            return
        if not self.has_media:
            self.hang_up(_NOT_ACCEPTABLE, "the answer describes no audio")
            return
        self.agreed()
        self._tell(self, Answered(headers=event.response.headers))

    def _on_refused(self, event: events.Refused) -> None:
        self.is_heard |= event.source is Source.PEER
        retry = retry_after(event.headers)
        by = Party.PEER if event.source is Source.PEER else Party.NOBODY
        status = event.status if event.source is Source.PEER else 0
        reason = f"{event.status} {event.reason}".strip()
        if event.source is not Source.PEER:
            reason = f"{event.reason or phrase(event.status)} ({event.source})"
        self._gone(
            by,
            status or (_TIMEOUT if event.source is Source.TIMEOUT else 0),
            event.source,
            reason,
            headers=event.headers,
            contacts=event.contacts,
            retry_after=retry,
        )

    def _on_confirmed(self, event: events.Confirmed) -> None:
        if self._invited is not None and self._invited.offer is None:
            if event.body is None:
                self.hang_up(_NOT_ACCEPTABLE, "the ACK has no answer to our offer")
                return
            try:
                self.described.accept("", event.body)
            except Disagreed as error:
                self.hang_up(_NOT_ACCEPTABLE, str(error))
                return
            self.agreed()
        self._tell(self, Answered())

    def _on_cancelled(self, event: events.Cancelled) -> None:
        self._gone(Party.PEER, 487, Source.PEER, "the caller gave up", headers=event.headers)

    def _on_hung_up(self, event: events.HungUp) -> None:
        self._gone(Party.PEER, 0, Source.PEER, said(event.headers), headers=event.headers)

    def _on_expired(self, event: events.Expired) -> None:
        self._gone(Party.GATEWAY, 0, Source.TIMEOUT, "nobody refreshed the session (RFC 4028)")

    def _on_never_confirmed(self, event: events.NeverConfirmed) -> None:
        self._gone(Party.GATEWAY, 0, Source.TIMEOUT, "our answer was never acknowledged")

    def _on_unreliable(self, event: events.Unreliable) -> None:
        reason = "a reliable provisional response was never acknowledged (RFC 3262)"
        self._gone(Party.GATEWAY, event.status, Source.TIMEOUT, reason)

    def _on_ended(self, event: events.Ended) -> None:
        by, status = BY_CAUSE.get(event.cause, (Party.NOBODY, 0))
        self._gone(by, status, Source.PEER, str(event.cause))
        self._tell(self, Finished())

    def _on_info(self, event: events.InfoReceived) -> None:
        self._keys().receive(event)

    def _on_responded(self, event: events.Responded) -> None:
        self._keys().answered(event)

    def _on_referred(self, event: events.Referred) -> None:
        self._tell(
            self,
            Transferred(
                transfer=event.transfer,
                refer_to=event.refer_to,
                replaces=event.replaces,
                referred_by=event.referred_by,
                replaced=event.replaced,
            ),
        )

    def _on_overasked(self, event: events.Overasked) -> None:
        _log.warning(
            "a peer asks too much in one call: it is told to wait",
            call=self.call_of,
            leg=self.id,
            method=event.request.method,
        )

    # Inside

    def _keys(self) -> Keypad:
        """What presses and takes keys in INFO, of a leg that has any."""
        if self._keypad is None:
            self._keypad = Keypad(self, self._tools.station, self._media.told_key)
        return self._keypad

    def _offers(self) -> Changes:
        """What takes and makes offers in mid-call, of a leg that has any."""
        if self._changes is None:
            self._changes = Changes(self, self._tools.station)
        return self._changes

    def _answer_offer(self) -> Body | None:
        """Our answer to the offer of the INVITE, once; None if it wants ours."""
        offer = self._invited.offer if self._invited is not None else None
        if offer is None:
            return None
        self._is_described = True
        return self.described.answer("", offer)

    def _gone(self, by: Party, status: int, source: Source, reason: str, **more: Any) -> None:
        if self._told_gone:
            return
        if self._changes is not None:
            self._changes.end()
        self._keep_end(by, status, reason)
        self._tell(self, Gone(by=by, status=status, source=source, reason=reason, **more))


_HANDLERS: Final[dict[type[Any], Callable[[SipLeg, Any], None]]] = {
    events.Retried: SipLeg._on_retried,
    events.Answered: SipLeg._on_answered,
    events.Refused: SipLeg._on_refused,
    events.Cancelled: SipLeg._on_cancelled,
    events.HungUp: SipLeg._on_hung_up,
    events.Expired: SipLeg._on_expired,
    events.NeverConfirmed: SipLeg._on_never_confirmed,
    events.Unreliable: SipLeg._on_unreliable,
    events.Ended: SipLeg._on_ended,
    events.InfoReceived: SipLeg._on_info,
    events.Responded: SipLeg._on_responded,
    events.Referred: SipLeg._on_referred,
    events.TransferProgressed: lambda leg, event: leg._tell(leg, event),
    events.Overasked: SipLeg._on_overasked,
}
# Of a leg that is not gone: they may come in one turn with what ended it, and mean nothing then.
_WHILE_HERE: Final[dict[type[Any], Callable[[SipLeg, Any], None]]] = {
    events.Progressed: SipLeg._on_progressed,
    events.Confirmed: SipLeg._on_confirmed,
    **dict.fromkeys(OFFERS, lambda leg, event: leg._offers().take(event)),
}

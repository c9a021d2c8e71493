"""One call of a simulated phone: what its agent tells, offer and answer, sound, and the script.

The phone that is called answers as its manner says; the one that calls begins its script when it
is answered. A call that is dropped is dead: nothing comes of it any more, and its agent forgets it
when its timers do.
"""

import asyncio
import re
import secrets
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import msgspec

from protocols.rtp.dtmf import PAUSES
from protocols.sdp import codec as sdp
from protocols.sdp.description import Direction
from protocols.sdp.errors import RemoteProtocolError
from protocols.sdp.matching import Refused as NotAgreed
from protocols.sdp.media import DtmfMode, LocalMedia, MediaPolicy
from protocols.sdp.negotiation import Negotiation, State
from protocols.sip import agent_events as events
from protocols.sip.agent import Agent
from protocols.sip.agent_commands import Accept, By, Provisional, Refer, Reliability, Reply
from protocols.sip.headers import read_reason
from protocols.sip.message import Headers, NameAddr
from protocols.sip.session_offers import Body, Exchange
from protocols.sip.session_refresh import MIN_SE, Wish
from protocols.sip.transport import Flow, Hop
from protocols.sip.uri import SipUri, parse_uri
from sims.media import Line
from sims.phone_calls import CallRecord
from sims.phone_script import Manner, Script
from sims.phone_steps import Missed, follow

INFO_TYPE: Final = "application/dtmf-relay"
_INFO_KEY: Final = re.compile(r"\s*Signal\s*=\s*([0-9A-D*#])", re.IGNORECASE)
_CANCELLED: Final = 487
_NOT_ACCEPTABLE: Final = Reply(status=488)
_USUAL_EXPIRES: Final = 1800

# What the end of a call that was never answered looks like, by why it ended.
_CODES: Final = {
    events.Cause.CANCELLED: _CANCELLED,
    events.Cause.CLOSED: _CANCELLED,
    events.Cause.LOST: 408,
}


class Surroundings(Protocol):
    """What a call needs of the station that it goes over."""

    @property
    def agent(self) -> Agent:
        """Whom to command."""

    @property
    def policy(self) -> MediaPolicy:
        """What is spoken."""

    def now(self) -> float:
        """The agent's clock."""

    def wake(self) -> None:
        """Something was commanded."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the station at the latest."""

    def play_dead(self, call_id: str) -> None:
        """Lose all that comes and goes with this Call-ID from here on."""


class SipCall:
    """One call; `session` is its agent's, once there is one."""

    def __init__(
        self,
        around: Surroundings,
        record: CallRecord,
        manner: Manner,
        line: Line,
        *,
        call_id: str,
        peer: Flow | Hop,
    ) -> None:
        self.record = record
        self.session = events.SessionId(0)
        self._around = around
        self._manner = manner
        self._line = line
        self.call_id = call_id
        self._signalling = peer.remote[0] if isinstance(peer, Flow) else peer.host
        self._negotiation = Negotiation(session_id=secrets.randbits(48), key=secrets.token_bytes)
        self._direction = Direction.SENDRECV
        self._is_up = False
        self._early: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._later: list[Script] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._offered: asyncio.Future[str] | None = None
        self._transferred: asyncio.Future[str] | None = None
        record.keys = lambda: line.hearing.keys
        record.steered = self

    # The phone that is called

    def ring(self, invited: events.Invited) -> None:
        """Take a call as the manner says."""
        self.session = invited.session
        manner = self._manner
        after, reply = manner.answer_after, _reply_of(manner)
        body = None
        if reply is None:
            body = self._offer() if invited.offer is None else self._answer(invited.offer)
        if body is None and (reply is None or after == 0.0):
            self.refuse(reply or _NOT_ACCEPTABLE)
            return
        self.record.ringing()
        provisional = Provisional(status=180, reliable=manner.reliable)
        if body is not None and manner.early:
            provisional = msgspec.structs.replace(provisional, status=183, body=body)
            self._early = self._begin(manner.early)
        self._agent.provisional(self.session, provisional, self._now())
        if after is not None:
            self._main = self._around.spawn(self._decide(after, body, reply))

    def refuse(self, reply: Reply) -> None:
        """Answer otherwise."""
        self.record.ended(reply.status)
        self._agent.refuse(self.session, reply, self._now())

    async def _decide(self, after: float, body: Body | None, reply: Reply | None) -> None:
        await asyncio.sleep(after)
        if reply is not None:
            self.refuse(reply)
            self._around.wake()
            return
        command = Accept(body=body, refresh=wish_of(self._manner))
        self._agent.accept(self.session, command, self._now())
        self._around.wake()
        self._stands()

    # Both

    def take(self, event: Any) -> None:
        """What the agent tells of the session."""
        match event:
            case events.Progressed():
                self._progressed(event)
            case events.Answered():
                self._answered(event)
            case events.Confirmed(body=body):
                if body is not None:
                    self._accept(body)
            case events.OfferReceived(body=body, fork=fork):
                self._take_offer(body, fork)
            case events.OfferWanted(fork=fork):
                self._agent.answer(self.session, self._offer(), self._now(), fork=fork)
            case events.OfferAnswered(body=body):
                self._accept(body)
                self._settle("")
            case events.OfferRefused(status=status, reason=reason):
                self._negotiation.withdraw()
                self._settle(f"{status} {reason}")
            case events.OfferWithdrawn():
                self._negotiation.withdraw()
            case events.Refused(status=status, reason=phrase, headers=headers):
                self.record.reason = _reason_of(headers) or phrase
                self.record.ended(status)
            case events.HungUp(headers=headers):
                self.record.reason = _reason_of(headers)
            case events.Unreliable(status=status):
                self.record.ended(status)
            case events.InfoReceived(key=key, body=body):
                self._take_info(body)
                self._agent.respond(key, Reply(status=200), self._now())
            case events.Referred(transfer=transfer):
                self._agent.answer_refer(transfer, Reply(status=603), self._now())
            case events.TransferProgressed(stage=events.Stage.OVER, status=status, reason=reason):
                self._transfer_over(f"{status} {reason}")
            case events.Ended(cause=cause):
                self.record.ended(_CODES.get(cause, 480))
                self.close()

    def close(self) -> None:
        """Stop what is at work, and release the ports."""
        self._stop()
        if self._deadline is not None:
            self._deadline.cancel()
        self._line.close()
        self.record.ended(_CANCELLED)
        self.record.steered = None  # the log outlives its calls

    def _stop(self) -> None:
        for task in (self._early, self._main, *self._beside):
            if task is not None:
                task.cancel()

    # `Steered`

    def follow_too(self, script: Script) -> None:
        """`Steered.follow_too`."""
        if not self._is_up:
            self._later.append(script)
            return
        self._beside = [each for each in self._beside if not each.done()]
        self._beside.append(self._begin(script))

    # The phone that calls

    def first_offer(self) -> Body:
        """What the INVITE offers."""
        return self._offer()

    def give_up_after(self, seconds: float) -> None:
        """Cancel it if nobody answers in time."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.hang_up)

    def _progressed(self, event: events.Progressed) -> None:
        if event.response.status >= 180:
            self.record.ringing()
        if event.body is None:
            return
        if event.exchange is Exchange.OFFER:
            self._take_offer(event.body, event.fork)
        elif event.exchange is not Exchange.NONE:
            self._accept(event.body)
        if self._early is None and self._manner.early and self._line.is_heard:
            self._early = self._begin(self._manner.early)

    def _answered(self, event: events.Answered) -> None:
        if event.body is not None:
            if event.exchange is Exchange.OFFER:
                self._take_offer(event.body, event.fork)
            elif event.exchange is not Exchange.NONE:
                self._accept(event.body)
        if not self._line.is_heard:
            self.hang_up()
            return
        self._stands()

    def _stands(self) -> None:
        self._is_up = True
        self.record.answered()
        if self._early is not None:
            self._early.cancel()
            self._line.be_silent()
        self._main = self._begin(self._manner.script)
        self._beside = [self._begin(each) for each in self._later]
        if self._deadline is not None:
            self._deadline.cancel()
        if self._manner.drop_after is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._manner.drop_after, self._die)

    def _die(self) -> None:
        self._stop()
        self._line.die()
        self._around.play_dead(self.call_id)
        self.record.dropped()

    def _begin(self, script: Script) -> asyncio.Task[None]:
        return self._around.spawn(follow(script, self.record, self._line, self))

    # What a script may do

    async def hold(self) -> None:
        """`Party.hold`."""
        await self._reoffer(Direction.SENDONLY, By.AUTO)

    async def resume(self) -> None:
        """`Party.resume`."""
        await self._reoffer(Direction.SENDRECV, By.AUTO)

    async def refresh(self, by: By) -> None:
        """`Party.refresh`."""
        await self._reoffer(self._direction, by)

    async def press(self, keys: str) -> None:
        """`Party.press`."""
        if self._around.policy.dtmf is not DtmfMode.INFO:
            await self._line.press(keys)
            return
        self._line.keys_due += sum(each not in PAUSES for each in keys)
        for each in keys:
            if each in PAUSES:
                await asyncio.sleep(PAUSES[each])
                continue
            self._line.keys_due -= 1
            body = Body(octets=b"Signal=%b\r\nDuration=100\r\n" % each.encode(), type=INFO_TYPE)
            self._agent.info(self.session, body, self._now())
            self._around.wake()
            await asyncio.sleep(0.2)

    async def transfer(self, to: str) -> str:
        """`Party.transfer`."""
        uri = parse_uri(to) if ":" in to else SipUri(user=to, host=self._signalling)
        self._transferred = asyncio.get_running_loop().create_future()
        self._agent.refer(self.session, Refer(refer_to=NameAddr(uri=uri)), self._now())
        self._around.wake()
        return await self._transferred

    def hang_up(self) -> None:
        """`Party.hang_up`."""
        self._agent.hang_up(self.session, self._now())
        self._around.wake()

    async def _reoffer(self, direction: Direction, by: By) -> None:
        if self._negotiation.state is not State.STABLE or not self._is_up:
            raise Missed("an offer is under way")
        before, self._direction = self._direction, direction
        self._offered = asyncio.get_running_loop().create_future()
        self._agent.offer(self.session, self._offer(), self._now(), by=by)
        self._around.wake()
        refused = await self._offered
        if refused:
            self._direction = before
            raise Missed(refused)

    def _settle(self, refused: str) -> None:
        """Our offer in the call was answered, or refused with a status."""
        if self._offered is not None and not self._offered.done():
            self._offered.set_result(refused)

    def _transfer_over(self, status: str) -> None:
        if self._transferred is not None and not self._transferred.done():
            self._transferred.set_result(status)

    # Offer and answer

    @property
    def _agent(self) -> Agent:
        return self._around.agent

    def _now(self) -> float:
        return self._around.now()

    def _local(self) -> LocalMedia:
        host, port = self._line.address
        policy = self._around.policy
        return LocalMedia(address=host, port=port, direction=self._direction, policy=policy)

    def _offer(self) -> Body:
        return Body(octets=sdp.write(self._negotiation.offer(self._local())))

    def _answer(self, offer: Body) -> Body | None:
        """Our answer to theirs, None if nothing is agreed on; media goes by it at once."""
        try:
            self._negotiation.receive_offer(sdp.read(offer.octets))
        except RemoteProtocolError:
            return None
        result = self._negotiation.answer(self._local())
        if isinstance(result, NotAgreed):
            return None
        self._line.follow(result.plan.audio, self._signalling)
        return Body(octets=sdp.write(result.description))

    def _accept(self, answer: Body) -> None:
        """The peer's answer to ours; one that can't be used changes nothing."""
        try:
            result = self._negotiation.accept(sdp.read(answer.octets))
        except RemoteProtocolError:
            return
        if not isinstance(result, NotAgreed):
            self._line.follow(result.plan.audio, self._signalling)

    def _take_offer(self, offer: Body, fork: str) -> None:
        answer = self._answer(offer)
        if answer is None:
            self._agent.refuse_offer(self.session, self._now(), fork=fork)
        else:
            self._agent.answer(self.session, answer, self._now(), fork=fork)

    def _take_info(self, body: Body | None) -> None:
        text = "" if body is None else body.octets.decode("ascii", "replace")
        found = _INFO_KEY.match(text)
        if found is not None:
            self._line.hearing.pressed(found[1].upper(), asyncio.get_running_loop().time())


def _reason_of(headers: Headers) -> str:
    """What the header Reason says to a person (RFC 3326)."""
    return next((each.text for each in read_reason(headers) if each.text), "")


def _reply_of(manner: Manner) -> Reply | None:
    """How it refuses; None if it answers."""
    if manner.redirect:
        return Reply(status=302, contacts=(NameAddr(uri=parse_uri(manner.redirect)),))
    return Reply(status=manner.refuse) if manner.refuse else None


def wish_of(manner: Manner) -> Wish | None:
    """What is wanted of session timers; None for the usual."""
    if not manner.session_expires and manner.refresher is None:
        return None
    return Wish(
        seconds=manner.session_expires or _USUAL_EXPIRES,
        minimum=MIN_SE,
        refresher=manner.refresher,
    )


def reliability_of(manner: Manner) -> Reliability:
    """What an INVITE says of reliable provisional responses: that it knows them, at the least."""
    if manner.reliable is Reliability.REQUIRE:
        return Reliability.REQUIRE
    return Reliability.IF_SUPPORTED

"""What leaves a call in its middle: a text that is sent, and the peer, who is sent elsewhere.

A `<Refer>` (RFC 3515) is over when the peer has refused it or told how its new call went; it hangs
up by itself then, or stays.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec

from carriers.numbers import Invalid, check_from, check_to
from gateway.calls.caller_ids import Holder
from gateway.calls.hands import Spawn
from gateway.calls.leg import PeerLeg
from gateway.calls.model import Call, CallDirection
from gateway.calls.sip_leg import SipLeg
from gateway.messages.draft import TWIML, Draft, Refusal
from gateway.model import Message
from protocols.sip import agent_commands
from protocols.sip.agent_events import Stage, TransferId, TransferProgressed
from protocols.sip.errors import ProtocolError, RemoteProtocolError
from protocols.sip.message import NameAddr
from protocols.sip.station import Station
from protocols.sip.uri import SipUri, parse_uri
from twiml.call import Event, Referred, ReferStatus, Texted
from twiml.errors import Finding, Level
from twiml.verbs import Refer, Sms

_BAD_TO: Final = 14101
_BAD_FROM: Final = 14102
NOT_BY_SIP: Final = 13801
"""What is noted of a call whose peer can't be sent elsewhere."""

_VALIDITY: Final = 14_400.0  # seconds
_SENT: Final = "sent"
_INVALID: Final = "invalid"
_FINAL: Final = 200
_REFUSED: Final = 300
_PATIENCE: Final = 60.0  # seconds for the peer to say how its new call went

Accept = Callable[[Draft], Awaitable[Message | Refusal]]


class _Referring(msgspec.Struct):
    """One transfer: the answer to it, and the last that was told of it; 0 for none."""

    ask: int
    sip_code: int = 0
    notify_code: int = 0


class Elsewhere:
    """For the first leg of one call; `accept` takes texts, `stands` waits for the peer's ACK."""

    def __init__(
        self,
        *,
        call: Callable[[], Call],
        leg: Callable[[], PeerLeg],
        stands: Callable[[], Awaitable[Any]],
        station: Station,
        accept: Accept,
        holder: Holder,
        note: Callable[[Finding], None],
        spawn: Spawn,
        give: Callable[[Event], None],
    ) -> None:
        self._call = call
        self._leg = leg
        self._stands = stands
        self._station = station
        self._accept = accept
        self._holder = holder
        self._note = note
        self._spawn = spawn
        self._give = give
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._refers: dict[TransferId, _Referring] = {}

    def text(self, ask: int, sms: Sms) -> None:
        """See `twiml.call.Sending`."""
        self._begin(ask, self._text(ask, sms))

    def _begin(self, ask: int, work: Coroutine[Any, Any, None]) -> None:
        task = self._asked[ask] = self._spawn(work)
        task.add_done_callback(lambda _: self._asked.pop(ask, None))

    async def _text(self, ask: int, sms: Sms) -> None:
        draft = self._draft(sms)
        taken = draft if isinstance(draft, Refusal) else await self._accept(draft)
        if isinstance(taken, Refusal):
            self._warn(taken.error_code, taken.message)
            self._give(Texted(ask=ask, status=_INVALID, error_code=taken.error_code))
        else:
            self._give(Texted(ask=ask, status=_SENT, message_sid=taken.sid))

    def _draft(self, sms: Sms) -> Draft | Refusal:
        call = self._call()
        ours, theirs = call.to_address, call.from_address
        if call.direction is not CallDirection.INBOUND:
            ours, theirs = theirs, ours
        to, from_ = check_to(sms.to or theirs), check_from(sms.from_ or ours)
        if isinstance(to, Invalid):
            return Refusal(error_code=_BAD_TO, message=to.reason)
        if isinstance(from_, Invalid):
            return Refusal(error_code=_BAD_FROM, message=from_.reason)
        holder = self._holder(from_.text)
        if holder is None or holder.account_sid != call.account_sid:
            reason = f"{from_.text} is not a number of this account"
            return Refusal(error_code=_BAD_FROM, message=reason)
        return Draft(
            account_sid=call.account_sid,
            to_address=to.text,
            from_address=from_.text,
            body=sms.body,
            status_callback=sms.status_callback,
            validity_period=_VALIDITY,
            origin=TWIML,
        )

    def refer(self, ask: int, refer: Refer) -> None:
        """See `twiml.call.Sending`."""
        self._begin(ask, self._refer(ask, refer))

    async def _refer(self, ask: int, refer: Refer) -> None:
        await self._stands()
        leg = self._leg()
        try:
            uri = parse_uri(refer.uri)
            if not isinstance(uri, SipUri):
                raise RemoteProtocolError(f"{refer.uri} is no SIP address")
            if not isinstance(leg, SipLeg):
                raise RemoteProtocolError("it does not speak SIP")
            uri = msgspec.structs.replace(uri, headers=(*uri.headers, *refer.headers))
            command = agent_commands.Refer(refer_to=NameAddr(uri=uri))
            transfer = self._station.agent.refer(leg.session, command, self._station.now())
        except ProtocolError as error:
            self._warn(NOT_BY_SIP, f"the peer can't be sent to {refer.uri}: {error}")
            self._give(Referred(ask=ask, status=ReferStatus.FAILED))
            return
        self._station.wake()
        self._refers[transfer] = _Referring(ask)
        await asyncio.sleep(_PATIENCE)
        self._conclude(transfer)

    def on(self, event: TransferProgressed) -> None:
        """The peer told how it goes with where it was sent."""
        referring = self._refers.get(event.transfer)
        if referring is None:
            return
        if not referring.sip_code:
            referring.sip_code = event.status
        else:
            referring.notify_code = event.status
        if event.stage is Stage.OVER or referring.notify_code >= _FINAL:
            self._conclude(event.transfer)

    def left(self) -> None:
        """The peer is gone: of what it was sent to no more is heard."""
        for transfer in list(self._refers):
            self._conclude(transfer)

    def stop(self, ask: int) -> None:
        """Await nothing of this any more."""
        self._cancel(ask)
        for transfer, referring in list(self._refers.items()):
            if referring.ask == ask:
                del self._refers[transfer]

    def _conclude(self, transfer: TransferId) -> None:
        referring = self._refers.pop(transfer, None)
        if referring is None:
            return
        self._cancel(referring.ask)
        self._give(
            Referred(
                ask=referring.ask,
                status=_status(referring),
                sip_code=referring.sip_code,
                notify_code=referring.notify_code,
            )
        )

    def _cancel(self, ask: int) -> None:
        task = self._asked.pop(ask, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _warn(self, code: int, message: str) -> None:
        self._note(Finding(code=code, level=Level.WARNING, line=0, message=message))


class Sending(ABC):
    """What a `twiml.call.FullCall` leaves to it."""

    @property
    @abstractmethod
    def elsewhere(self) -> Elsewhere:
        """That of this call."""

    def text(self, ask: int, sms: Sms) -> None:
        """See `twiml.call.Sending`."""
        self.elsewhere.text(ask, sms)

    def refer(self, ask: int, refer: Refer) -> None:
        """See `twiml.call.Sending`."""
        self.elsewhere.refer(ask, refer)


def _status(referring: _Referring) -> ReferStatus:
    """A peer that took it and left without a word has gone where it was sent."""
    code = referring.notify_code or referring.sip_code
    if not code:
        return ReferStatus.NO_ANSWER
    return ReferStatus.COMPLETED if code < _REFUSED else ReferStatus.FAILED

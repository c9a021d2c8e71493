"""The calls of this process: what the station tells goes to whose it is, and calls come to be.

One table knows the sessions that are legs, one the calls that live. A call that is let in becomes
a `Live` in the turn in which its INVITE came; whoever is not is refused in it. One that REST makes
becomes a `Placed` and is begun when it is stored.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from carriers.call_limits import Admission as Kind
from carriers.emergency import may_be_for_help
from carriers.trunk import Trunks
from gateway.calls import endings
from gateway.calls.arrivals import Arrivals
from gateway.calls.call_messages import Said
from gateway.calls.description import objection
from gateway.calls.house import House
from gateway.calls.leg import Tell
from gateway.calls.live import Live
from gateway.calls.media import CallMedia
from gateway.calls.model import Call, CallDirection
from gateway.calls.orders import Amend, CloseQueue, Crowded, Order, Place, Redirect
from gateway.calls.pace import Paces
from gateway.calls.placing import Placing
from gateway.calls.scoped import BROKEN, Scoped
from gateway.calls.sip_leg import SipLeg
from gateway.calls.transfer import Transfers
from gateway.core.rounds import endlessly
from gateway.media.plane import Happened, WorkerLost
from gateway.sids import CONFERENCE, is_sid
from gateway.sip.admission import Admission, Admitted, FromTrunk
from gateway.sip.next_hops import NextHops
from gateway.sip.refusals import Ask, Deny, Rule, deny
from gateway.sip.registrations import Registrations
from gateway.store.base import StoreError, Write
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import SessionId
from protocols.sip.binding import Binding
from protocols.sip.headers import (
    Header,
    Reason,
    RetryAfter,
    write_reason,
    write_retry_after,
)
from protocols.sip.message import Headers
from protocols.sip.station import Event, Station, Unread
from protocols.sip.wire import Closed, Failed, Opened

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_NOT_YOURS: Final = "the call is not yours to take"
_FORBIDDEN: Final = 403
_DRAINING: Final = 503
_DRAINS: Final = "the gateway drains"
# The whole node takes nothing: whoever is elsewhere may (RFC 3261 §21.5.4).
_LATER: Final = write_retry_after(RetryAfter(seconds=10))
_FULL: Final = 503  # of one trunk: without Retry-After, the others are well
_OK: Final = 200
_NOT_DIALLED: Final = (CallDirection.INBOUND.value, CallDirection.OUTBOUND_API.value)


class Calls:
    """See the module; `take` is the station's receiver, `told` the media plane's."""

    def __init__(
        self, *, clock: Callable[[], float], most: int = 20_000, paces: Paces | None = None
    ) -> None:
        """At most `most` calls live; `paces` says when those of REST begin."""
        self._clock = clock
        self._most = most
        self._paces = paces or Paces(0, 0)
        self._legs: dict[SessionId, SipLeg] = {}
        self._live: dict[str, Scoped] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._draining = False
        self._house: House
        self._station: Station
        self._trunks: Trunks
        self._registrations: Registrations
        self._admission: Admission
        self._next_hops: NextHops
        self._arrivals: Arrivals
        self._placing: Placing

    def furnish(
        self,
        house: House,
        *,
        trunks: Trunks,
        registrations: Registrations,
        admission: Admission,
    ) -> None:
        """Say with what it works, before anything can come."""
        self._house = house
        self._station = house.tools.station
        self._trunks = trunks
        self._registrations = registrations
        self._admission = admission
        self._arrivals = Arrivals(house, trunks, self._part)
        self._placing = Placing(
            house, self._paces, full=self._full, begin=self._begin, find=self._standing
        )
        self._next_hops = NextHops(house.reach.resolver, self._station)

    def __len__(self) -> int:
        """How many calls live that nobody here dialled."""
        return len(self._running)

    def counts(self) -> Mapping[str, int]:
        """How many calls live, by direction; of ours each is counted that is being made."""
        made = Counter(leg.record.direction.value for leg in self._legs.values())
        made.update(each for live in self._live.values() for each in live.devices)
        live = Counter(live.line.call.direction.value for live in self._live.values())
        return {**made, **{each: live[each] for each in _NOT_DIALLED}}

    def watch(self, session: SessionId, leg: SipLeg) -> None:
        """Have the events of a session told to a leg."""
        self._legs[session] = leg

    def moved(self, binding: Binding) -> None:
        """A browser is at another socket than it was: so are its calls."""
        for leg in self._legs.values():
            leg.follow(binding)

    # What the station tells

    def take(self, event: Event) -> None:
        """Take one event of the station, in its turn."""
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)
            return
        session = getattr(event, "session", None)
        leg = self._legs.get(session) if session is not None else None
        if leg is not None:
            leg.on(event)
            if isinstance(event, events.Ended):
                self._legs.pop(event.session, None)

    def _on_invited(self, event: events.Invited) -> None:
        """Nobody but us ends an INVITE that came: a fault here would leave it there for ever."""
        try:
            self._on_call(event)
        except Exception:
            _log.exception("a call fell as it came in", call_id=event.request.call_id)
            self._refuse(event, endings.refusal(endings.FAULT, BROKEN))

    def _on_call(self, event: events.Invited) -> None:
        if rule := self._full():
            self._deny(event, _FULL, rule, _LATER)
            return
        verdict = self._admission.judge(event)
        match verdict:
            case Ask(reply=reply) | Deny(reply=reply):
                self._refuse(event, reply)
            case _ if self._is_too_much(event):  # those that prove nothing take nobody's place
                self._turn_down(event)
            case _:
                self._let_in(event, verdict)

    def _on_next_hop(self, event: events.NextHopNeeded) -> None:
        self._next_hops.find(event)

    def _let_in(self, event: events.Invited, admitted: Admitted) -> None:
        self._house.ladder.claim(event.request.call_id)
        policy = self._arrivals.policy(admitted)
        host = self._house.tools.advertised or self._house.tools.host
        if event.offer is not None:
            refused = objection(event.offer, policy, host)
            if refused is not None:
                self._deny(event, refused.reply.status, str(refused), *refused.reply.headers)
                return
        arrival = self._arrivals.arrival(event, admitted, partial(self._admission.note, event))

        def make_leg(media: CallMedia, tell: Tell) -> SipLeg:
            return self._arrivals.leg(event, arrival, policy, media, tell)

        if event.replaces is not None:
            self._take_place(event, admitted, arrival.call, make_leg)
            return
        if isinstance(admitted, FromTrunk) and not self._has_room(event, arrival.call):
            return
        live = Live(self._house, arrival, make_leg, self._standing)
        try:
            live.start(event)
        except Exception:
            self._part(arrival.call)
            raise
        self._begin(live)

    def _begin(self, live: Scoped, stored: Awaitable[None] | None = None) -> None:
        """Let a call live; one that is being `stored` when it is."""
        self._live[live.line.call.sid] = live
        task = asyncio.get_running_loop().create_task(self._run(live, stored))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def open_to(self, make: Callable[..., T]) -> T:
        """Make another way by which calls come: it is given what `Placing` is."""
        return make(full=self._full, begin=self._begin, find=self._standing)

    def _has_room(self, event: events.Invited, call: Call) -> bool:
        """Whether the trunk has a channel for another call of the carrier's; it has it then."""
        full = self._trunks.admit(call.carrier, call.sid, kind=Kind.ORDINARY)
        if full is None:
            return True
        self._deny(event, _FULL, f"{call.carrier}: {full.reason()}")
        return False

    def _standing(self, session: SessionId) -> tuple[SipLeg, Transfers] | None:
        """The leg of a session, with the transfers of its call."""
        leg = self._legs.get(session)
        live = None if leg is None else self._live.get(leg.call_of)
        return None if leg is None or live is None else (leg, live.transfers)

    def _take_place(
        self,
        event: events.Invited,
        admitted: Admitted,
        call: Call,
        make_leg: Callable[[CallMedia, Tell], SipLeg],
    ) -> None:
        """Put a user's call in the place of another one (RFC 3891 §3)."""
        assert event.replaces is not None
        found = self._standing(event.replaces)
        if isinstance(admitted, FromTrunk) or found is None:
            self._deny(event, _FORBIDDEN, _NOT_YOURS)
            return
        leg, transfers = found
        if not transfers.admit(leg, call, event, make_leg):
            self._deny(event, _FORBIDDEN, _NOT_YOURS)

    async def _run(self, live: Scoped, stored: Awaitable[None] | None) -> None:
        call = live.line.call
        try:
            if stored is not None:
                await stored
            await live.run()
        except StoreError as error:
            _log.warning("a call was not taken", call=call.sid, reason=str(error))
        except Exception:
            _log.exception("a call did not end well", call=call.sid)
        finally:
            self._live.pop(call.sid, None)
            self._part(call)
            live.dissolve()

    def _part(self, call: Call) -> None:
        """Its channel is free; other legs of the call may not be over for some time."""
        if call.carrier:
            self._trunks.release(call.carrier, call.sid)

    def _deny(self, event: events.Invited, status: int, rule: str, *headers: Header) -> None:
        """Refuse by a rule of ours, which the log names as well."""
        self._admission.note(event, rule)
        reason = write_reason(Reason(protocol="SIP", cause=status, text=rule))
        self._refuse(event, Reply(status=status, headers=Headers((reason, *headers))))

    def _refuse(self, event: events.Invited, reply: Reply) -> None:
        """Refuse in the turn in which it came: a flood leaves nothing behind, no transaction."""
        self._station.agent.turn_away(event.session, reply, self._station.now())
        self._house.ladder.forget(event.request.call_id)

    def _on_options(self, event: events.OptionsReceived) -> None:
        """RFC 3261 §11.2; who drains says so, and its peers go elsewhere."""
        agent = self._station.agent
        status = _DRAINING if self._draining else _OK
        reply = Reply(status=status, headers=agent.abilities())
        agent.dismiss(event.key, reply)  # asked again it says the same (§8.2.7)

    def _on_register(self, event: events.RegisterReceived) -> None:
        self._registrations.take(event)

    def _on_responded(self, event: events.Responded) -> None:
        leg = None if event.session is None else self._legs.get(event.session)
        if leg is not None:
            leg.on(event)
        else:
            self._trunks.take(event)

    def _on_closed(self, event: Closed) -> None:
        self._trunks.take(event)
        self._registrations.flow_closed(event.flow)

    def _on_connection(self, event: Opened | Failed) -> None:
        self._trunks.take(event)

    def _on_unread(self, event: Unread) -> None:
        self._admission.note_unread(event.malformed, event.flow)

    # What the media plane tells

    def told(self, event: Happened) -> None:
        """Take what happened to media."""
        if isinstance(event, WorkerLost):
            for sid in event.calls:
                self._house.rooms.end(sid)
                if sid in self._live:
                    self._live[sid].end(event.reason)
        elif (live := self._live.get(event.call)) is not None:
            live.told(event)
        else:
            self._house.rooms.told(event)

    # What may be looked at

    async def keep_ladders(self) -> None:
        """Keep what passes in calls that live, until cancelled."""
        await endlessly(self._keep_ladders, "the ladders of calls that live were not kept")

    async def _keep_ladders(self) -> None:
        """Keep each once, a few at a time: most calls that ring or are short end before it."""
        sids = list(self._live)
        turns = range(0, max(1, len(sids)), _IN_ONE_TURN)
        for start in turns:
            await asyncio.sleep(_SHOWN_WITHIN / 2 / len(turns))  # a round misses who begins in it
            for sid in sids[start : start + _IN_ONE_TURN]:
                live = self._live.get(sid)
                if live is not None:
                    live.keep_ladder()

    # What REST wants

    async def order(self, account_sid: str, sid: str, order: Order) -> Call | None:
        """See `Orders`."""
        if isinstance(order, Place):
            return await self._placing.claim(account_sid, sid, order)
        if is_sid(sid, CONFERENCE):
            return self._house.rooms.order(account_sid, sid, order)
        if isinstance(order, CloseQueue):
            return self._house.queues.close(account_sid, sid)
        live = self._live.get(sid) or self._with_child(sid)
        if live is None or live.line.call.account_sid != account_sid:
            return None
        if live.line.call.sid == sid:
            live.order(order)
            return live.line.call
        if isinstance(order, Redirect):
            return live.redirect_child(sid, order)
        if isinstance(order, Amend | Said):
            return live.order_child(sid, order)
        live.let_go(sid)
        return await self._house.book.get(account_sid, sid)

    async def place(self, call: Call, place: Place, also: Sequence[Write]) -> Call | Crowded | None:
        """See `Orders`."""
        return await self._placing.take(call, place, also)

    def queued(self) -> int:
        """How many calls of REST wait for their turn."""
        return self._paces.waiting(self._clock())

    def _full(self) -> str:
        """Why no call can be taken now, "" if one can."""
        if self._draining:
            return _DRAINS
        return f"[sip] max_calls = {self._most}" if len(self._running) >= self._most else ""

    def _is_too_much(self, event: events.Invited) -> bool:
        """Whether a call can't be worked off in time; calls for help and transfers always can."""
        overload = self._station.overload
        if not overload.is_late or event.replaces is not None:
            return False
        trunks = filter(None, map(self._trunks.get, self._trunks.names()))
        if may_be_for_help(event.request.uri, trunks):
            return False
        return overload.turns_away(self._station.now())

    def _turn_down(self, event: events.Invited) -> None:
        """Refuse what would be late, without Retry-After: other calls may come (§21.5.4).

        The next copy of the INVITE is to hear the same, so the transaction stays (§8.2.7).
        """
        refused = deny(Rule.BEHIND)
        self._admission.note(event, refused.rule)
        self._station.agent.refuse(event.session, refused.reply, self._station.now())
        self._house.ladder.forget(event.request.call_id)

    def _with_child(self, sid: str) -> Scoped | None:
        """The call that dialled the call `sid`, among those that live."""
        return next((live for live in self._live.values() if live.has_child(sid)), None)

    # Its end

    def stop(self) -> None:
        """Take no calls from now on."""
        self._draining = True

    async def drain(self, patience: float) -> None:
        """Take no calls; those that live have `patience` seconds to end, and are ended then."""
        self.stop()
        await self._wait(patience)
        for live in list(self._live.values()):
            live.end("the gateway goes down")
        await self._wait(_LAST_WORDS)
        for live in list(self._live.values()):
            live.abandon()
        await self._wait(_LAST_ROWS)
        await self._house.rooms.close(_LAST_ROWS)
        if self._running:
            _log.error("calls are left behind", count=len(self._running))
        for task in list(self._running):
            task.cancel()

    async def _wait(self, patience: float) -> None:
        """Until no call lives, but no longer than `patience` seconds."""
        if self._running and patience > 0:
            await asyncio.wait(self._running, timeout=patience)


_SHOWN_WITHIN: Final = 5.0
"""Seconds until whoever looks at a call that lives sees what has passed."""

_IN_ONE_TURN: Final = 20  # calls

_LAST_WORDS: Final = 2.0
"""Seconds for BYEs to be answered when the process ends."""

_LAST_ROWS: Final = 1.0
"""Seconds for the rest to become durable then."""

_HANDLERS: Final[Mapping[type[Any], Callable[[Calls, Any], None]]] = {
    events.Invited: Calls._on_invited,
    events.OptionsReceived: Calls._on_options,
    events.RegisterReceived: Calls._on_register,
    events.Responded: Calls._on_responded,
    events.NextHopNeeded: Calls._on_next_hop,
    Closed: Calls._on_closed,
    Opened: Calls._on_connection,
    Failed: Calls._on_connection,
    Unread: Calls._on_unread,
}

"""Offers in mid-call, on an agent that is held in the hand; and keys in INFO beside them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.calls.description import Disagreed
from gateway.calls.info_keys import Key, Keypad
from gateway.calls.media import NoMedia
from gateway.calls.sip_changes import OWN_OFFER, Changes
from gateway.media.graph import WebRtc
from protocols.sdp.media import DtmfMode, MediaPolicy
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import SessionId, Source
from protocols.sip.session_offers import Bearer, Body
from tests.unit.trunk.held_loop import HeldLoop

THEIRS, OURS, PLAIN = Body(octets=b"theirs"), Body(octets=b"ours"), Body(octets=b"plain")


class Station:
    """The station and its agent: what is commanded."""

    def __init__(self) -> None:
        self.agent = self
        self.said: list[Any] = []
        self.woken = 0

    def now(self) -> float:
        return 1.0

    def wake(self) -> None:
        self.woken += 1

    def answer(self, session: SessionId, body: Body | None, now: float, *, fork: str = "") -> None:
        self.said.append(body)

    def refuse_offer(self, session: SessionId, now: float, reply: Reply, *, fork: str = "") -> None:
        self.said.append(reply.status)

    def offer(self, session: SessionId, body: Body, now: float) -> None:
        self.said.append(body.octets)

    def respond(self, key: Any, reply: Reply, now: float) -> None:
        self.said.append(reply.status)


class Peer:
    """A leg and its description in one, whose peer moves with each offer but `PLAIN`."""

    def __init__(self) -> None:
        self.id, self.session = "leg", SessionId(1)
        self.described: Any = self
        self.count = self.begun = 0
        self.fault: Exception | None = None
        self.over: list[int] = []
        self.gate = asyncio.Event()
        self.policy, self.is_up = MediaPolicy(dtmf=DtmfMode.AUTO), True
        self.webrtc: WebRtc | None = None
        self.stream: Any = type("Stream", (), {"events": ("telephone-event",)})

    def restarts(self, body: Body) -> bool:
        return body is not PLAIN

    async def ready(self, body: Body) -> None:
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault

    def answer(self, fork: str, body: Body) -> Body:
        if body.octets == b"":
            raise Disagreed(Reply(status=488), "nothing in it")
        return OURS

    def offer(self, fork: str) -> Body:
        return PLAIN

    async def offer_restart(self) -> Body:
        self.begun += 1
        await self.ready(OURS)
        return Body(octets=b"anew")

    def stay(self) -> None:
        self.begun -= 1

    def accept_again(self, fork: str, body: Body) -> None:
        self.count += 1

    def withdraw(self, fork: str) -> None:
        self.count -= 1

    def agreed(self) -> None:
        self.count += 1

    def hang_up(self, status: int, reason: str) -> None:
        self.over.append(status)


def made() -> tuple[Changes, Peer, Station]:
    peer, station = Peer(), Station()
    return Changes(peer, station), peer, station  # type: ignore[arg-type]


def offer(body: Body, *, unchanged: bool = False) -> events.OfferReceived:
    return events.OfferReceived(
        session=SessionId(1), fork="", bearer=Bearer.INVITE, body=body, unchanged=unchanged
    )


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def own_turn() -> None:
    """The time for the peer's own offer, and a bit."""
    await asyncio.sleep(OWN_OFFER + 0.1)
    await turn()


def held(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test on a loop whose clock leaps, which leaves nothing there."""

    async def run() -> None:
        await scenario()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HeldLoop)
        assert loop.timers("Changes") == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def test() -> None:
        with asyncio.Runner(loop_factory=HeldLoop) as runner:
            runner.run(run())

    return test


async def test_an_offer_of_the_same_place_is_answered_at_once() -> None:
    changes, peer, station = made()
    changes.take(offer(PLAIN))
    changes.take(offer(THEIRS, unchanged=True))
    assert (station.said, peer.count) == ([OURS, None], 1)


async def test_an_offer_that_begins_ice_anew_is_answered_when_there_is_a_place() -> None:
    changes, peer, station = made()
    changes.take(offer(THEIRS))
    await turn()
    assert station.said == []
    peer.gate.set()
    await turn()
    assert (station.said, peer.count, station.woken) == ([OURS], 1, 1)


async def test_without_another_place_the_offer_is_refused_and_the_call_stays() -> None:
    changes, peer, station = made()
    peer.gate.set()
    peer.fault = NoMedia("too many set-ups", is_full=True)
    changes.take(offer(THEIRS))
    await turn()
    assert (station.said, peer.over, station.woken) == ([503], [], 1)
    changes.take(offer(Body(octets=b"")))
    peer.fault = None
    await turn()
    assert station.said == [503, 488]


async def test_a_fault_as_ice_begins_anew_ends_that_leg_alone() -> None:
    changes, peer, station = made()
    peer.gate.set()
    peer.fault = ValueError("odd")
    changes.take(offer(THEIRS))
    await turn()
    assert (station.said, peer.over) == ([], [500])


def answered() -> events.OfferAnswered:
    return events.OfferAnswered(session=SessionId(1), fork="", body=THEIRS)


def refused() -> events.OfferRefused:
    return events.OfferRefused(
        session=SessionId(1), fork="", status=488, reason="", source=Source.PEER
    )


@held
async def test_ours_begins_ice_anew_once_and_theirs_waits_for_it() -> None:
    changes, peer, station = made()
    peer.gate.set()
    changes.mend()
    changes.mend()
    await own_turn()
    changes.take(offer(PLAIN))
    changes.mend()
    await own_turn()
    assert station.said == [b"anew", 491]
    changes.take(answered())
    changes.take(offer(PLAIN))
    assert (station.said[2:], peer.count) == ([OURS], 3)
    changes.mend()
    await own_turn()
    assert station.said[3:] == [b"anew"]


@held
async def test_a_browser_that_came_back_may_begin_ice_anew_itself() -> None:
    """Refused with 491, a library may end the call."""
    changes, peer, station = made()
    peer.gate.set()
    changes.mend()
    await asyncio.sleep(OWN_OFFER - 0.1)
    changes.take(offer(THEIRS))
    await own_turn()
    assert (station.said, peer.count, peer.begun) == ([OURS], 1, 0)


@held
async def test_ours_that_is_not_said_yet_gives_way_to_theirs() -> None:
    changes, peer, station = made()
    changes.mend()
    await own_turn()
    assert (station.said, peer.begun) == ([], 1)
    changes.take(offer(THEIRS))
    assert peer.begun == 0
    peer.gate.set()
    await own_turn()
    assert (station.said, peer.begun) == ([OURS], 0)


@held
async def test_ours_is_said_after_an_offer_that_mends_nothing() -> None:
    changes, peer, station = made()
    changes.mend()
    await own_turn()
    changes.take(offer(PLAIN))
    assert (station.said, peer.begun) == ([OURS], 0)
    peer.gate.set()
    changes.take(offer(THEIRS, unchanged=True))
    await own_turn()
    assert station.said == [OURS, None, b"anew"]


@held
async def test_who_wants_an_offer_gets_what_holds_and_then_ours() -> None:
    changes, peer, station = made()
    peer.gate.set()
    changes.mend()
    changes.take(events.OfferWanted(session=SessionId(1), fork=""))
    assert station.said == [PLAIN]
    await own_turn()
    assert station.said == [PLAIN, b"anew"]


@held
async def test_a_leg_that_is_gone_offers_nothing() -> None:
    for ready in (False, True):
        changes, peer, station = made()
        changes.mend()
        if ready:
            await own_turn()
        changes.end()
        peer.gate.set()
        await own_turn()
        assert (station.said, peer.begun) == ([], 0)


@held
async def test_ours_waits_for_theirs_and_may_be_refused() -> None:
    changes, peer, station = made()
    changes.take(offer(THEIRS))
    changes.mend()
    peer.gate.set()
    await own_turn()
    assert station.said == [OURS]  # theirs began ICE anew as well
    changes.mend()
    await own_turn()
    changes.take(refused())
    changes.take(offer(PLAIN))
    assert (station.said, peer.count) == ([OURS, b"anew", OURS], 1)


@held
async def test_ours_that_has_no_place_is_not_said() -> None:
    changes, peer, station = made()
    peer.gate.set()
    peer.fault = NoMedia("too many set-ups", is_full=True)
    changes.mend()
    await own_turn()
    peer.fault = ValueError("odd")
    changes.mend()
    await own_turn()
    assert (station.said, peer.over) == ([], [500])


def test_a_browsers_key_in_info_counts_beside_events() -> None:
    peer, station, pressed = Peer(), Station(), list[tuple[str, Key]]()
    keypad = Keypad(
        peer,
        station,  # type: ignore[arg-type]
        lambda leg, key: pressed.append((leg, key)),
    )
    body = Body(octets=b"Signal=5\r\nDuration=100\r\n", type="application/dtmf-relay")
    info = type("Info", (), {"key": 1, "body": body})
    keypad.receive(info)  # type: ignore[arg-type]
    assert (pressed, station.said) == ([], [200])  # a phone presses it as an event as well
    peer.webrtc = WebRtc()
    keypad.receive(info)  # type: ignore[arg-type]
    assert pressed == [("leg", Key(digit="5", duration=0.1))]

"""A leg of the Voice SDK by itself: what its client is told and what its call is, in each order."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.calls import endings, spoken_leg
from gateway.calls.browser import BrowserWay, Hearer
from gateway.calls.call_messages import Said
from gateway.calls.description import Disagreed
from gateway.calls.info_keys import Key
from gateway.calls.leg import Answered, Event, Finished, Gone, Leg, Rang
from gateway.calls.media import NoMedia
from gateway.calls.model import CallDirection, CallLeg, Party
from gateway.calls.way import BROWSERS
from gateway.calls.webrtc_leg import WebRtcLeg
from protocols.rtp.latch import LatchPolicy
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import Source
from protocols.sip.session_offers import Body
from protocols.sip.transport import Flow, Transport
from protocols.voicesdk.errors import Fault
from protocols.voicesdk.events import Invited
from tests.unit.trunk.held_loop import HeldLoop

FLOW = Flow(id=0, transport=Transport.WS, local=("127.0.0.1", 1), remote=("192.0.2.7", 2))
_ACTIVE = ("m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=setup:active")
RECORD = CallLeg(account_sid="AC1", sid="CA1", direction=CallDirection.INBOUND, began=1.0)


class Media:
    """A call's media, as far as a leg asks it."""

    call = "CA1"

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.keys: list[Key] = []
        self.pressed: list[tuple[str, float]] = []  # and when
        self.fault: NoMedia | None = None

    def expect(self, leg: Any, press: Any = None) -> None:
        self.nodes.append(leg)

    async def placed(self, id: str) -> Any:
        return SimpleNamespace(address=("127.0.0.1", 20_000), control=0, ice=None)

    async def settled(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault

    def told_key(self, id: str, key: Key) -> None:
        self.keys.append(key)
        self.pressed.append((key.digit, asyncio.get_running_loop().time()))


class Described:
    """An offer and answer that agree on all but "bad", and begin anew with "new"."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self.stream: Any = None
        self.moves = 0
        self.most = self._under_way = 0
        self.withdrawn = 0
        self._last = Body(octets=b"")

    def offer(self) -> Body:
        return Body(octets=b"our offer")

    def answer(self, fork: str, body: Body) -> Body:
        self._agree(body)
        self._last = body
        return Body(octets=b"our answer to " + body.octets)

    def accept(self, fork: str, body: Body) -> None:
        self._agree(body)

    def withdraw(self, fork: str) -> None:
        self.withdrawn += 1

    def restarts(self, body: Body) -> bool:
        return body.octets.startswith(b"new") and body != self._last

    async def ready(self, body: Body) -> None:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        for _ in range(4):
            await asyncio.sleep(0)
        self._under_way -= 1
        if self.restarts(body):
            self.moves += 1

    def _agree(self, body: Body) -> None:
        if b"bad" in body.octets:
            raise Disagreed(Reply(status=488), "nothing in common")
        self.stream = SimpleNamespace(codecs=())


class Client:
    """A device, and the dialogue with it: what it was told."""

    flow = FLOW

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.is_there = True

    def open(self, sid: str, name: str, hearer: Hearer) -> "Client":
        if not self.is_there:
            hearer.on_lost("its socket is closed")
        return self

    def invite(self, sdp: str, parameters: Mapping[str, str]) -> None:
        self.told.append(("invite", dict(parameters)))

    def ring(self, sdp: str) -> None:
        self.told.append(("ring", sdp))

    def answer(self, sdp: str) -> None:
        self.told.append(("answer", sdp))

    def cancel(self) -> None:
        self.told.append(("cancel", ""))

    def hang_up(self, fault: Fault | None) -> None:
        self.told.append(("hang up", None if fault is None else fault.code))

    def message(self, said: Said) -> None:
        self.told.append(("message", said.content))


async def turns() -> None:
    """Let all that is under way come to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


class World:
    """One leg, and who is told by it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spoken_leg, "Description", Described)
        self.media: Any = Media()
        self.client = Client()
        self.events: list[Event] = []
        tools: Any = SimpleNamespace(
            host="127.0.0.1",
            advertised="",
            silence=0.0,
            clock=lambda: 5.0,
            number=lambda: 1,
            key=bytes,
        )
        self.leg = WebRtcLeg(
            tools, self.media, self._tell, id="CA1.1", record=RECORD, policy=BROWSERS
        )

    def _tell(self, leg: Leg, event: Event) -> None:
        self.events.append(event)

    async def comes(self, sdp: str = "offer") -> None:
        """Become a call that came in."""
        self.leg.talk(self.client)
        self.leg.receive(Invited(callsid="TJS1", sdp=sdp))
        self.leg.expect("192.0.2.7", LatchPolicy.SIGNALLED)
        await self.leg.prepare()

    async def rings(self) -> None:
        """Become a call of ours that rings."""
        self.leg.expect("", LatchPolicy.SIGNALLED)
        await self.leg.prepare()
        self.leg.call(BrowserWay(device=self.client, parameters={"From": "client:bob"}))
        await asyncio.sleep(0)

    @property
    def gone(self) -> Gone:
        """How it ended; nothing follows but that all is done."""
        *_, gone, finished = self.events
        assert isinstance(gone, Gone)
        assert finished == Finished()
        assert sum(isinstance(each, Gone) for each in self.events) == 1
        return gone


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_a_call_that_came_in_is_answered(world: World) -> None:
    await world.comes()
    await world.leg.answer()
    assert world.client.told == [("answer", "our answer to offer")]
    assert world.events == [Answered()]
    assert world.leg.is_up
    assert (world.leg.record.answered, world.leg.record.sip_code) == (5.0, 200)
    (node,) = world.media.nodes
    assert not node.webrtc.is_offerer


async def test_early_media_and_the_answer_have_one_description(world: World) -> None:
    await world.comes()
    for status in (180, 180, 183, 183):
        world.leg.ring(status=status)
    await world.leg.answer()
    world.leg.ring(status=183)
    said = "our answer to offer"
    assert world.client.told == [("ring", ""), ("ring", said), ("answer", said)]


async def test_two_who_answer_at_once_answer_once(world: World) -> None:
    await world.comes()
    await asyncio.gather(world.leg.answer(), world.leg.answer())
    assert [kind for kind, _ in world.client.told] == ["answer"]


async def test_a_caller_who_leaves_while_it_is_answered_is_gone(world: World) -> None:
    await world.comes()
    answering = asyncio.ensure_future(world.leg.answer())
    await asyncio.sleep(0)
    world.leg.on_hung_up("")
    await answering
    assert world.client.told == []
    assert (world.gone.by, world.gone.status) == (Party.PEER, 487)


async def test_a_refused_call_hears_the_code_and_why(world: World) -> None:
    await world.comes()
    world.leg.refuse(endings.refusal(486, "the dial ended busy"))
    world.leg.refuse(endings.refusal(500, "again"))
    assert world.client.told == [("hang up", 31486)]
    assert (world.gone.by, world.gone.status) == (Party.GATEWAY, 486)


async def test_who_is_up_is_hung_up_without_a_fault_and_with_one(monkeypatch: Any) -> None:
    for status, code in ((200, None), (408, 31408)):
        world = World(monkeypatch)
        await world.comes()
        await world.leg.answer()
        world.leg.hang_up(status, "over")
        world.leg.hang_up(status, "over")
        assert world.client.told[1:] == [("hang up", code)]
        assert world.gone.status == 0


async def test_a_device_rings_answers_and_is_told_that_it_has_the_call(world: World) -> None:
    await world.rings()
    known = {"From": "client:bob", "CallSid": "CA1", "AccountSid": "AC1"}
    assert world.client.told == [("invite", known)]
    assert world.events == [Rang(status=180, early=False)]
    world.leg.on_answered("theirs")
    assert world.events[1:] == [Answered()]
    world.leg.confirm()
    assert world.client.told[1:] == [("answer", "")]
    (node,) = world.media.nodes
    assert node.webrtc.is_offerer


async def test_a_device_that_rings_is_cancelled(world: World) -> None:
    await world.rings()
    world.leg.hang_up(487, "somebody else answered")
    world.leg.on_answered("too late")
    world.leg.confirm()
    assert world.client.told[1:] == [("cancel", "")]
    assert (world.gone.by, world.gone.status) == (Party.GATEWAY, 0)


async def test_a_device_that_rejects_declines(world: World) -> None:
    await world.rings()
    world.leg.on_rejected()
    assert (world.gone.by, world.gone.status) == (Party.PEER, 603)


async def test_another_page_takes_what_rings_by_an_offer_of_its_own(world: World) -> None:
    await world.rings()
    world.leg.on_offered("its offer")
    await turns()
    described: Any = world.leg._description
    assert described.withdrawn == 1
    assert world.client.told[1:] == [("answer", "our answer to its offer")]
    assert world.events[1:] == [Answered()]
    assert world.leg.record.sip_code == 200


async def test_another_page_that_offers_nothing_of_use_ends_it(world: World) -> None:
    await world.rings()
    world.leg.on_offered("bad")
    await turns()
    assert world.client.told[1:] == [("cancel", "")]
    assert world.gone.by is Party.GATEWAY


async def test_an_answer_that_got_lost_is_said_as_an_offer_and_counts(world: World) -> None:
    await world.rings()
    lines = ("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "c=IN IP4 0.0.0.0", "t=0 0", *_ACTIVE)
    world.leg.on_offered("".join(f"{line}\r\n" for line in lines))
    described: Any = world.leg._description
    assert described.withdrawn == 0
    assert world.events[1:] == [Answered()]
    assert world.client.told[1:] == []


async def test_an_answer_that_is_none_ends_it(world: World) -> None:
    await world.rings()
    world.leg.on_answered("bad")
    assert world.client.told[1:] == [("hang up", 31488)]
    assert world.gone.by is Party.GATEWAY


async def test_a_device_that_left_while_its_leg_was_made_is_gone(world: World) -> None:
    world.client.is_there = False
    await world.rings()
    assert world.client.told == []
    assert world.gone.source is Source.TRANSPORT


async def test_one_who_is_back_hears_what_was_said_and_a_new_network_is_answered(
    world: World,
) -> None:
    await world.comes()
    await world.leg.answer()
    world.leg.on_offered("offer")
    world.leg.on_offered("new offer")
    await turns()
    assert world.client.told[1:] == [("answer", ""), ("answer", "our answer to new offer")]


async def test_offers_are_taken_one_after_the_other_and_the_newest_is_answered(
    world: World,
) -> None:
    await world.comes()
    await world.leg.answer()
    for sdp in ("new 1", "new 2", "new 3"):
        world.leg.on_offered(sdp)
        await asyncio.sleep(0)  # which begins it
    await turns()
    described: Any = world.leg._description
    assert (described.moves, described.most) == (2, 1)
    assert world.client.told[1:] == [("answer", "our answer to new 3")]
    world.leg.on_offered("new 4")
    await turns()
    assert world.client.told[2:] == [("answer", "our answer to new 4")]


async def test_an_offer_that_comes_twice_has_its_answer_twice(world: World) -> None:
    await world.comes()
    await world.leg.answer()
    world.leg.on_offered("new")
    await asyncio.sleep(0)
    world.leg.on_offered("new")
    await turns()
    described: Any = world.leg._description
    assert described.moves == 1
    assert world.client.told[1:] == [("answer", "our answer to new"), ("answer", "")]


async def test_who_answers_while_a_new_network_is_made_ready_says_the_newer(world: World) -> None:
    await world.comes()
    world.leg.ring(status=183)
    world.leg.on_offered("new")
    await asyncio.sleep(0)
    await world.leg.answer()
    now = "our answer to new"
    assert world.client.told[1:] == [("ring", now), ("answer", now)]


async def test_a_new_network_while_it_rings_is_no_answer(world: World) -> None:
    await world.comes()
    world.leg.ring(status=183)
    world.leg.on_offered("offer")
    world.leg.on_offered("new offer")
    await turns()
    said, now = "our answer to offer", "our answer to new offer"
    assert world.client.told == [("ring", said), ("ring", said), ("ring", now)]
    assert not world.leg.is_up
    await world.leg.answer()
    assert world.client.told[3:] == [("answer", now)]


@pytest.mark.parametrize(("sdp", "code"), [("new and bad", 31488), ("new", 31500)])
async def test_a_new_network_that_cant_be_had_ends_it(world: World, sdp: str, code: int) -> None:
    await world.comes()
    await world.leg.answer()
    world.media.fault = NoMedia("no place", is_full=False)
    world.leg.on_offered(sdp)
    await turns()
    assert world.client.told[1:] == [("hang up", code)]
    assert world.gone.by is Party.GATEWAY


async def test_an_offer_under_way_ends_with_the_leg(world: World) -> None:
    await world.comes()
    await world.leg.answer()
    world.leg.on_offered("new")
    world.leg.hang_up(200, "over")
    await turns()
    assert world.client.told[1:] == [("hang up", None)]


def test_a_wait_among_keys_is_kept(world: World) -> None:
    async def press() -> list[tuple[str, float]]:
        began = asyncio.get_running_loop().time()
        await world.comes()
        await world.leg.answer()
        world.leg.on_pressed("1ww2")
        world.leg.on_pressed("3W")
        await asyncio.sleep(10)
        world.leg.on_pressed("4")
        await asyncio.sleep(10)
        return [(key, at - began) for key, at in world.media.pressed]

    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        pressed = runner.run(press())
    assert [key for key, _ in pressed] == ["1", "2", "3", "4"]
    # A key is pressed for 0.1 s, and 0.08 s are between two.
    assert [at for _, at in pressed] == pytest.approx([0, 1.18, 1.18, 10], abs=0.1)


def test_keys_behind_a_wait_end_with_the_leg_and_are_bounded(world: World) -> None:
    async def press() -> None:
        await world.comes()
        await world.leg.answer()
        for _ in range(100):
            world.leg.on_pressed("w" * 99 + "1")
        assert len(world.leg._keys) < 300
        world.leg.hang_up(200, "over")
        assert not world.leg._keys
        await asyncio.sleep(500)

    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        runner.run(press())
    assert world.media.keys == []


def test_a_key_behind_a_wait_that_cant_be_coped_with_ends_its_leg(world: World) -> None:
    async def press() -> None:
        await world.comes()
        await world.leg.answer()
        world.media.told_key = None
        world.leg.on_pressed("w1")
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        runner.run(press())
    assert world.client.told[1:] == [("hang up", 31500)]


async def test_keys_and_messages_pass(world: World) -> None:
    await world.comes()
    await world.leg.answer()
    world.leg.on_pressed("1#d")
    assert [key.digit for key in world.media.keys] == ["1", "#", "D"]
    world.leg.send_message(Said(sid="KX1", content="{}"))
    world.leg.on_lost("gone")
    world.leg.send_message(Said(sid="KX2", content="{}"))
    world.leg.on_pressed("1")
    assert world.client.told[1:] == [("message", "{}")]
    assert len(world.media.keys) == 3
    assert (world.gone.by, world.gone.source) == (Party.NOBODY, Source.TRANSPORT)

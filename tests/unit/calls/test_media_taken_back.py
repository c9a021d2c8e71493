"""A call's media when a leg finds no place, or is taken away while it waits for one."""

import asyncio
import contextlib
import gc
from typing import Any

import msgspec
import pytest

from gateway.calls.media import CallMedia, NoMedia
from gateway.media.graph import Graph, Leg, Note, Player, Recorder, WebRtc
from gateway.media.wire import Applied, Place, Refused
from protocols.rtp.tones import Sound

BEEP = Player(id="beep", clips=(Note(sound=Sound(frequencies=(440.0,)), seconds=1.0),))


def leg(id: str) -> Leg:
    return Leg(id=id, host="127.0.0.1", signalling="127.0.0.1")


class Plane:
    """Has ports for so many legs; answers when it is let to."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.graphs: list[Graph] = []
        self.pressed: list[tuple[str, int]] = []
        self.go, self.asked, self.news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go.set()
        self._answering: set[asyncio.Task[None]] = set()

    def apply(self, graph: Graph) -> "asyncio.Future[Any]":
        self.graphs.append(graph)
        self.asked.set()
        done = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(self._answer(graph, done))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return done

    async def end(self, call: str) -> None:
        """Nobody is there to tell of it."""

    def press(self, call: str, leg: str, digits: str) -> None:
        self.pressed.append((digits, len(self.graphs)))
        self.news.set()

    async def _answer(self, graph: Graph, done: "asyncio.Future[Any]") -> None:
        await self.go.wait()
        legs = [each.id for each in graph.nodes if isinstance(each, Leg)]
        call, version = graph.call, graph.version
        if len(legs) > self.most:
            reason = "no port is free"
            done.set_result(Refused(call=call, version=version, reason=reason, is_full=True))
        else:
            places = {each: Place(address=("127.0.0.1", 2), control=3) for each in legs}
            done.set_result(Applied(call=call, version=version, places=places))


def made(most: int) -> tuple[CallMedia, Plane]:
    plane = Plane(most)
    return CallMedia(plane, "CA1"), plane  # type: ignore[arg-type]


async def test_what_was_said_with_a_leg_that_finds_no_place_is_said_again() -> None:
    media, plane = made(1)
    await media.place(leg("first"))
    hearing = asyncio.create_task(media.hear("first", BEEP))
    with pytest.raises(NoMedia, match="no port is free"):
        await media.place(leg("second"))
    await media.settled()
    assert {each.id for each in plane.graphs[-1].nodes} == {"first", "beep"}
    hearing.cancel()


async def test_of_legs_that_are_too_much_together_the_first_has_its_place() -> None:
    media, plane = made(1)
    media.expect(leg("first"))
    first = asyncio.create_task(media.placed("first"))
    others = [asyncio.create_task(media.place(leg(each))) for each in ("second", "third")]
    assert (await first).control == 3
    for each in others:
        with pytest.raises(NoMedia, match="no port is free"):
            await each
    await media.settled()
    asked = [[node.id for node in graph.nodes] for graph in plane.graphs]
    assert asked == [["first", "second", "third"], ["first"]]


async def test_who_comes_while_a_graph_is_under_way_costs_the_first_nothing() -> None:
    media, plane = made(1)
    plane.go.clear()
    placing = [asyncio.create_task(media.place(leg(each))) for each in ("first", "second")]
    async with asyncio.timeout(60):
        await plane.asked.wait()
    placing.append(asyncio.create_task(media.place(leg("third"))))
    await asyncio.sleep(0)
    plane.go.set()
    first, *others = await asyncio.gather(*placing, return_exceptions=True)
    assert isinstance(first, Place)
    assert [str(each) for each in others] == ["no port is free"] * 2
    asked = [[node.id for node in graph.nodes] for graph in plane.graphs]
    assert asked == [["first", "second"], ["first", "third"], ["first"]]


async def test_ice_begins_anew_whoever_else_finds_no_place() -> None:
    media, plane = made(1)
    await media.place(msgspec.structs.replace(leg("web"), webrtc=WebRtc()))
    begun, refused = await asyncio.gather(
        media.restart("web"), media.place(leg("arm")), return_exceptions=True
    )
    assert isinstance(begun, Place)
    assert isinstance(refused, NoMedia)
    (web,) = plane.graphs[-1].nodes
    assert isinstance(web, Leg) and web.webrtc is not None and web.webrtc.restarts == 1


@pytest.mark.parametrize(
    "was_there, why", [(True, "worker of the call is gone"), (False, "before its media were there")]
)
async def test_a_recording_of_which_nobody_tells_says_why(was_there: bool, why: str) -> None:
    media, _ = made(1)
    media.expect(leg("first"))
    if was_there:
        await media.placed("first")
    faults: list[str] = []
    tape = Recorder(id="tape", of="first", path="tape.wav")
    media.record(tape, lambda ended: faults.append(ended.fault))
    await media.close()
    assert len(faults) == 1 and why in faults[0]


async def test_what_is_said_later_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    media, plane = made(1)
    await media.place(leg("first"))
    answer, later = plane.apply, asyncio.get_running_loop().create_future()
    media.play("first", BEEP)
    settling = asyncio.create_task(media.settled())
    monkeypatch.setattr(
        plane, "apply", lambda graph: later if BEEP not in graph.nodes else answer(graph)
    )
    plane.go.clear()
    plane.asked.clear()
    async with asyncio.timeout(60):
        await plane.asked.wait()
    media.hush("first")  # which is not answered
    plane.go.set()
    async with asyncio.timeout(60):
        await settling
    assert not later.done()


async def test_a_leg_that_went_while_its_graph_was_under_way_is_not_the_first() -> None:
    media, plane = made(1)
    plane.go.clear()
    gone, stays = (asyncio.create_task(media.place(leg(each))) for each in ("gone", "stays"))
    async with asyncio.timeout(60):
        await plane.asked.wait()
    media.remove("gone")
    plane.go.set()
    assert isinstance(await stays, Place)
    with pytest.raises(NoMedia):
        await gone


async def test_who_is_refused_leaves_nothing_for_the_collector() -> None:
    media, _ = made(0)
    with pytest.raises(NoMedia):
        await media.place(leg("first"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            with contextlib.suppress(NoMedia):
                await media.place(leg("first"))
        await asyncio.sleep(0)
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_a_leg_that_finds_no_place_even_alone_has_none() -> None:
    media, plane = made(0)
    placing = [asyncio.create_task(media.place(leg(each))) for each in ("first", "second")]
    for each in placing:
        with pytest.raises(NoMedia, match="no port is free"):
            await each
    await media.settled()
    assert len(plane.graphs) == 3  # with nobody in the last


async def test_who_is_expected_is_spoken_of_before_it_is_placed() -> None:
    media, plane = made(1)
    media.expect(leg("first"))
    await asyncio.sleep(0)
    assert plane.graphs == []  # nobody asked for anything yet
    media.record(Recorder(id="tape", of="first", path="tape.wav"), lambda ended: None)
    await media.placed("first")
    assert [[node.id for node in graph.nodes] for graph in plane.graphs] == [["first", "tape"]]


async def test_what_can_not_be_made_true_is_not_tried_for_ever() -> None:
    media, plane = made(1)
    await media.place(leg("first"))
    plane.most = 0  # it takes not even what it has
    media.play("first", BEEP)
    with pytest.raises(NoMedia):
        await media.settled()
    await asyncio.sleep(0)
    assert len(plane.graphs) == 2


async def test_a_leg_that_is_taken_away_while_it_waits_has_no_place() -> None:
    media, plane = made(2)
    await media.place(leg("first"))
    plane.go.clear()
    media.play("first", BEEP)  # under way, so that the leg waits
    await asyncio.sleep(0)
    placing = asyncio.create_task(media.place(leg("second")))
    await asyncio.sleep(0)
    media.remove("second")
    plane.go.set()
    with pytest.raises(NoMedia, match="the leg is gone"):
        await placing


async def test_who_hears_something_on_a_leg_that_goes_is_told() -> None:
    media, _ = made(1)
    await media.place(leg("first"))
    hearing = asyncio.create_task(media.hear("first", BEEP))
    await asyncio.sleep(0)
    media.remove("first")
    assert await hearing == "the leg is gone"


async def test_keys_are_pressed_when_what_was_agreed_on_is_true() -> None:
    media, plane = made(1)
    await media.place(leg("first"))
    plane.go.clear()
    media.play("first", BEEP)  # under way
    await asyncio.sleep(0)
    media.describe("first", None, offers=1)  # and this is to follow it
    pressing = asyncio.create_task(media.press("first", "12"))
    await asyncio.sleep(0)
    assert plane.pressed == []
    plane.go.set()
    async with asyncio.timeout(60):
        await plane.news.wait()
    media.pressed("first")
    await pressing
    assert plane.pressed == [("12", 3)]

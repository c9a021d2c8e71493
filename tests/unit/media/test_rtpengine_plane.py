"""The plane with rtpengine before the workers: orders, races, and what fails at each step."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import Guest, Recorder, WebRtc, both_ways
from gateway.media.ng import NgRefused
from gateway.media.plane import Lost, WorkerLost
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.description import Direction
from tests.unit.media.ng_world import (
    AWAY,
    CALL,
    HOST,
    World,
    graph,
    leg,
    stream,
    talk,
    until,
)


async def test_a_leg_has_its_front_before_its_peer_is_known_and_its_worker_behind_it() -> None:
    here = await World().open()
    places = await here.applied(graph(1, leg("a")))
    assert places["a"] == wire.Place(address=(HOST, 40_000), control=40_001)
    assert here.log == ["offer a at 9", "apply"]
    behind = here.behind.leg("a")
    assert (behind.stream, behind.host, behind.latch) == (None, HOST, LatchPolicy.NAMED)
    here.log.clear()
    await here.applied(graph(2, leg("a", 5000)))
    assert here.log == ["offer a at 20000", "answer a at 5000", "apply"]
    told = here.behind.leg("a").stream
    assert told is not None and told.remote == (HOST, 40_002)


async def test_two_legs_are_bridged_and_held_in_the_worker() -> None:
    here = await World().open()
    await here.applied(talk(1))
    points = here.log[here.log.index("offer a at 20000") :]
    assert points == [
        *("offer a at 20000", "answer a at 5000", "offer b at 20002", "answer b at 6000"),
        *("offer a at 40006", "answer a at 5000", "offer b at 40002", "answer b at 6000"),
        "apply",
    ]
    for id in ("a", "b"):
        told = here.behind.leg(id).stream
        assert told is not None and told.direction is Direction.INACTIVE


async def test_a_recorder_has_the_worker_hear_before_it_begins_and_peers_are_told_nothing() -> None:
    here = await World().bridged()
    before = dict(here.engine.known)
    await here.applied(talk(2, Recorder(id="r", of="a", path="/tmp/r.wav")))
    assert here.log == [
        *("offer a at 20000", "answer a at 5000", "offer b at 20002", "answer b at 6000"),
        "apply",
    ]
    told = here.behind.leg("a")
    assert told.stream is not None and told.stream.direction is Direction.SENDRECV
    assert told.offers == 1  # so that its silence counts from now
    assert here.engine.known.keys() == before.keys()
    here.log.clear()
    await here.applied(talk(3))
    assert here.plane.counts()["bridged"] == 2
    assert here.log[-1] == "apply"


async def test_nothing_is_asked_for_a_change_that_is_none_to_rtpengine() -> None:
    here = await World().bridged()
    await here.applied(talk(2))
    assert here.log == ["apply"]


async def test_a_hold_is_the_workers() -> None:
    here = await World().bridged()
    held = replace(stream(5000), direction=Direction.RECVONLY)
    wanted = graph(2, leg("a", stream=held), leg("b", 6000), joins=both_ways("a", "b"))
    await here.applied(wanted)
    told = here.behind.leg("a").stream
    assert told is not None and told.direction is Direction.RECVONLY
    assert here.plane.counts()["bridged"] == 0


async def test_keys_that_are_pressed_come_from_the_worker_and_then_it_is_bridged_again() -> None:
    here = await World().bridged()
    here.plane.press(CALL, "b", "12")
    await here.settled()
    assert here.log[-2:] == ["apply", "press 12"]
    assert here.plane.counts()["bridged"] == 0
    here.behind.tell(wire.Pressed(call=CALL, leg="b"))
    await here.settled()
    assert here.plane.counts()["bridged"] == 2
    assert here.of(wire.Pressed) == [wire.Pressed(call=CALL, leg="b")]


async def test_a_leg_that_is_lent_is_heard_by_the_worker_before_it_is_borrowed() -> None:
    here = await World().bridged()
    here.plane.open("CF1")
    room = graph(1, Guest(id="g", call=CALL, leg="a"), call="CF1")
    await here.applied(room)
    assert here.log[-2:] == ["apply", "apply"]
    assert "offer a at 20000" in here.log
    assert here.plane.counts()["bridged"] == 0
    await here.plane.end("CF1")
    await here.settled()
    assert here.plane.counts()["bridged"] == 2


async def test_graphs_are_made_true_one_after_the_other() -> None:
    here = await World().open()
    here.engine.held["offer"] = asyncio.Event()
    first, second = here.plane.apply(graph(1, leg("a"))), here.plane.apply(talk(2))
    await asyncio.sleep(0.01)
    assert here.log == ["offer a at 9"]
    here.engine.held["offer"].set()
    results = await asyncio.gather(first, second)
    assert [each.version for each in results if isinstance(each, wire.Applied)] == [1, 2]
    assert [each.version for each in here.behind.applied] == sorted(
        each.version for each in here.behind.applied
    )
    assert here.plane.counts()["bridged"] == 2


async def test_an_end_waits_for_what_is_under_way_and_leaves_nothing() -> None:
    here = await World().open()
    here.engine.held["offer"] = asyncio.Event()
    applying = here.plane.apply(graph(1, leg("a")))
    await asyncio.sleep(0.01)
    ending = here.plane.end(CALL)
    here.engine.held["offer"].set()
    await asyncio.gather(applying, ending)
    assert here.engine.known == {}
    assert here.plane._calls == {}
    assert here.log[-2:] == ["delete a", "end"]
    assert isinstance(await here.plane.apply(graph(2, leg("a"))), wire.Applied)
    assert here.engine.known == {}  # a call that is over has no fronts, whoever asks


async def test_who_gives_up_waiting_does_not_stop_the_work() -> None:
    here = await World().bridged()
    here.plane.end(CALL).cancel()
    await here.settled()
    assert here.engine.known == {}


async def test_a_leg_that_goes_takes_its_front_along_with_its_readings() -> None:
    here = await World().bridged()
    for each in here.engine.known.values():
        each["packets"] = 50
    await here.applied(graph(2, leg("a", 5000)))
    (closed,) = here.of(wire.LegClosed)
    assert (closed.leg, closed.readings.received.packets) == ("b", 50)
    assert len(here.engine.known) == 1


@pytest.mark.parametrize("error", [AWAY, NgRefused("no ports left")], ids=["away", "refused"])
async def test_who_gets_no_front_is_in_the_worker_alone(error: Exception) -> None:
    here = await World().open()
    here.engine.fails["offer"] = error
    places = await here.applied(graph(1, leg("a")))
    assert places["a"].address == (HOST, 20_000)
    del here.engine.fails["offer"]
    await here.applied(graph(2, leg("a", 5000)))
    assert here.behind.leg("a") == leg("a", 5000)
    assert here.of(WorkerLost) == []


async def test_while_it_is_away_nobody_waits_for_it() -> None:
    here = World()
    here.engine.fails["ping"] = AWAY
    await here.open()
    await here.applied(talk(1))
    assert here.log == ["apply"]
    assert here.behind.applied[-1].nodes == talk(1).nodes


async def test_a_browser_has_no_front() -> None:
    here = await World().open()
    await here.applied(graph(1, leg("a", webrtc=WebRtc())))
    assert here.log == ["apply"]


async def test_a_graph_that_the_worker_refuses_leaves_all_as_it_was() -> None:
    here = await World().bridged()
    here.behind.refuses = "no port is free"
    wanted = graph(2, leg("a", 5000), leg("b", 6000), leg("c"), joins=both_ways("a", "b"))
    refused = await here.plane.apply(wanted)
    assert isinstance(refused, wire.Refused)
    assert (refused.version, refused.reason) == (2, "no port is free")
    assert len(here.engine.known) == 2
    assert here.plane.counts()["bridged"] == 2
    assert isinstance(await here.plane.apply(graph(0)), wire.Refused)


async def test_a_worker_that_dies_takes_its_calls_along() -> None:
    here = await World().bridged()
    here.behind.is_lost = True
    here.behind.tell(WorkerLost(worker=0, calls=(CALL,)))
    assert isinstance(await here.plane.apply(talk(2)), Lost)
    await here.plane.end(CALL)
    assert here.engine.known == {}
    assert here.of(WorkerLost) == [WorkerLost(worker=0, calls=(CALL,))]


@pytest.mark.parametrize(
    "changes",
    [
        {"latch": LatchPolicy.ANY},
        {"claimed": "10.0.0.9"},
        {"claimed": "fd00::9"},
        {"claimed": "[fd00::9]"},
    ],
)
async def test_a_peer_that_has_to_be_learnt_has_no_front(changes: dict[str, Any]) -> None:
    here = await World().open()
    places = await here.applied(graph(1, leg("a", **changes)))
    assert here.log == ["apply"]
    assert places["a"].address == (HOST, 20_000)
    assert here.behind.leg("a") == leg("a", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({"claimed": HOST}, {"claimed": "203.0.113.9"}, {"claimed": "phone.example.com"}),
        {"claimed": "10.0.0.9", "signalling": "10.0.0.9"},
        {"claimed": "10.0.0.9", "latch": LatchPolicy.NAMED},
    ],
)
async def test_a_peer_that_says_where_it_is_has_a_front(changes: dict[str, Any]) -> None:
    here = await World().open()
    await here.applied(graph(1, leg("a", **changes)))
    assert here.log == ["offer a at 9", "apply"]


async def looked_at(here: World) -> None:
    """Wait until it was looked at twice: the first one may have begun before."""
    wanted = here.engine.asked["query"] + 2
    await until(lambda: here.engine.asked["query"] >= wanted)


async def test_one_that_turns_out_to_be_behind_a_nat_is_taken_from_its_host_alone() -> None:
    """Nobody is within while it is looked for; then it is held there, and goes where it says."""
    here = await World().open()
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)))
    await here.applied(graph(1, behind))
    (known,) = here.engine.known.values()
    assert here.log[-3:] == ["offer a at 9", "answer a at 5000", "apply"]
    assert "asymmetric" not in known["flags"]
    known.update(packets=3, source=5000)  # as it came while nobody was listened for
    await looked_at(here)
    known.update(packets=4)  # and one that was under way
    await looked_at(here)
    assert "asymmetric" not in known["flags"]
    known.update(packets=6, source=6666, host="192.0.2.66")
    here.log.clear()
    await until(lambda: "answer a at 5000" in here.log)  # after a stranger it is looked for anew
    assert here.log[0] == "offer a at 9" and "asymmetric" not in known["flags"]
    await looked_at(here)
    known.update(packets=9, source=7777, host=HOST)
    await here.settled()
    assert here.log[-2:] == ["offer a at 20000", "answer a at 7777"]
    assert "asymmetric" in known["flags"]
    here.log.clear()
    await here.plane._look()
    assert here.log == []
    moved = leg("a", stream=stream(5002, remote=("10.0.0.9", 5002)), offers=1)
    await here.applied(graph(2, moved))
    assert here.log == ["offer a at 20000", "answer a at 5002", "apply"]


async def test_one_that_answers_on_hold_may_be_behind_a_nat() -> None:
    """Nothing says yet where it is; rtpengine learns no side that it was told to hold."""
    here = await World().open()
    await here.applied(graph(1, leg("a", stream=stream(0, remote=None, remote_rtcp=None))))
    (known,) = here.engine.known.values()
    assert here.log[-3:] == ["offer a at 9", "answer a at 9", "apply"]
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)), offers=1)
    await here.applied(graph(2, behind))
    assert here.log[-3:] == ["offer a at 9", "answer a at 5000", "apply"]
    assert "asymmetric" not in known["flags"]
    await looked_at(here)
    known.update(packets=3, source=7777)
    await here.settled()
    assert here.log[-2:] == ["offer a at 20000", "answer a at 7777"]
    assert "asymmetric" in known["flags"]


async def test_a_look_at_one_to_be_learnt_that_cant_be_read_ends_no_call() -> None:
    here = await World().open()
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)))
    await here.applied(graph(1, behind))
    (known,) = here.engine.known.values()
    here.engine.fails["query"] = NgRefused("its answer is none that is known")
    await looked_at(here)
    assert here.of(WorkerLost) == []
    del here.engine.fails["query"]
    await looked_at(here)
    known.update(packets=3, source=7777)
    await here.settled()
    assert here.log[-2:] == ["offer a at 20000", "answer a at 7777"]


async def test_one_to_be_learnt_that_is_forgotten_is_lost() -> None:
    here = await World().open()
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)))
    await here.applied(graph(1, behind))
    here.engine.known.clear()
    await until(lambda: len(here.of(WorkerLost)) == 1)


async def test_one_that_is_learnt_by_whoever_looks_first_is_held_as_well() -> None:
    """The keeper looks at fronts, too."""
    here = await World().open()
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)))
    await here.applied(graph(1, behind))
    (known,) = here.engine.known.values()
    (front,) = here.plane._fronts()
    await front.look()
    known.update(packets=3, source=7777)
    await front.look()
    await here.settled()
    assert here.log[-2:] == ["offer a at 20000", "answer a at 7777"]
    assert not front.is_learning


async def test_one_whose_nat_keeps_its_port_is_where_it_says() -> None:
    here = await World().open()
    behind = leg("a", stream=stream(5000, remote=("10.0.0.9", 5000)))
    await here.applied(graph(1, behind))
    (known,) = here.engine.known.values()
    known.update(packets=3, source=5000)
    await looked_at(here)
    known.update(packets=28)
    await here.settled()
    assert here.log[-2:] == ["offer a at 20000", "answer a at 5000"]
    assert "asymmetric" in known["flags"]


async def test_one_that_is_behind_a_nat_only_later_is_where_its_offer_says() -> None:
    """rtpengine learns no side anew that it was told to hold."""
    here = await World().bridged()
    moved = leg("a", stream=stream(5002, remote=("10.0.0.9", 5002)), offers=1)
    await here.applied(graph(2, moved, leg("b", 6000), joins=both_ways("a", "b")))
    assert [each for each in here.log if "answer a" in each][-1] == "answer a at 5002"
    assert here.plane.counts()["bridged"] == 2
    assert all("asymmetric" in each["flags"] for each in here.engine.known.values())


async def test_readings_of_those_that_were_bridged_are_rtpengines() -> None:
    here = await World().bridged()
    for each in here.engine.known.values():
        each["packets"] = 97
    mean = {"jitter": 5, "packet loss": 4, "round-trip time": 40_000, "MOS": 41}
    here.engine.ssrcs = {"1": {"cumulative loss": 3, "average MOS": mean}}
    await here.plane.end(CALL)
    readings = [each.readings for each in here.of(wire.LegClosed)]
    assert len(readings) == 2
    for each in readings:
        assert (each.received.packets, each.received.octets, each.received.lost) == (97, 15520, 3)
        assert each.received.fraction_lost == pytest.approx(0.03)
        assert (each.received.jitter, each.round_trip) == (0.005, 0.04)
        assert each.received.mos is not None and 3 < each.received.mos < 4.4
        assert each.sent.packets == 97 and each.sent.mos is None


async def test_who_is_silent_while_nobody_here_hears_is_told_of() -> None:
    here = await World().bridged(silence=0.02)
    names = {each.split("-", 3)[-1]: each for each in here.engine.known}

    async def looks(**packets: int) -> list[Any]:
        here.told.clear()
        for id, count in packets.items():
            here.engine.known[names[id]]["packets"] += count
        for heard in here.plane._silences._heard.values():
            heard.looked -= 10.0
        await asyncio.sleep(0.03)
        await here.plane._look()
        return list(here.told)

    assert await looks(a=50, b=50) == []
    assert await looks(a=50) == [wire.FellSilent(call=CALL, leg="b")]
    assert await looks(a=50) == []
    (resumed,) = await looks(a=50, b=50)
    assert isinstance(resumed, wire.Resumed) and resumed.leg == "b" and resumed.silence > 0.02
    here.behind.tell(wire.FellSilent(call=CALL, leg="a"))  # the worker hears nobody
    assert here.told == [resumed]


async def test_what_the_worker_tells_of_other_things_is_passed_on() -> None:
    here = await World().bridged()
    pressed = wire.DigitPressed(call=CALL, leg="a", digit="5", duration=0.1)
    here.behind.tell(pressed)
    here.behind.tell(wire.Latched(call=CALL, leg="a", source=(HOST, 40_002)))
    assert here.told == [pressed]


async def test_a_hop_to_another_call_stands_in_its_worker_alone() -> None:
    here = await World().open()
    places = await here.applied(graph(1, leg("a", 5000), leg("h", is_hop=True)))
    assert [each for each in here.log if " h" in each] == []
    assert places["h"].address == (HOST, 20_002) and places["a"].address != (HOST, 20_000)


async def test_a_leg_that_leaves_ends_nothing_when_it_cant_be_asked_how_it_was() -> None:
    here = await World().bridged()
    here.engine.fails["query"] = AWAY
    await here.applied(graph(2, leg("a", 5000)))
    assert not here.plane.counts()["lost"]


async def test_close_leaves_nothing() -> None:
    here = await World().bridged()
    await here.plane.close()
    assert here.engine.known == {}

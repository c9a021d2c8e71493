"""Media workers as processes: calls placed, carried, lost and released."""

import asyncio
import os
import signal
import socket
import sys
import textwrap
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.media import wire, workers
from gateway.media.graph import Graph, Join, Leg, Note, Player, Recorder, both_ways
from gateway.media.plane import Full, Happened, Lost, Opened, WorkerLost
from gateway.media.workers import Workers, WorkersConfig, default_workers
from protocols.rtp import packet
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.packet import Packet
from protocols.rtp.tones import Sound
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMU
from protocols.sdp.media import Chosen, Srtp, Stream
from tests.ports import free_pairs

HOST = "127.0.0.1"
PATIENCE = 60.0
FIRST, LAST = 10_000, 31_999  # other programs' are passed over

Start = Callable[..., Awaitable["World"]]


class World:
    """A plane and what it told."""

    def __init__(self, **rest: int) -> None:
        self.told: list[Happened] = []
        config = {"workers": 1, "first": FIRST, "last": LAST, **rest}
        self.plane = Workers(WorkersConfig(**config), self.told.append)

    def of(self, kind: type) -> list[Happened]:
        return [each for each in self.told if isinstance(each, kind)]

    async def applied(self, graph: Graph) -> dict[str, wire.Place]:
        found = await self.plane.apply(graph)
        assert isinstance(found, wire.Applied), found
        return found.places

    def descriptors(self) -> int:
        return sum(
            len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.plane.pids().values()
        )

    def udp_sockets(self) -> int:
        """Perhaps too few: the table is read in pieces, while others come and go."""
        every = {line.split()[9] for line in Path("/proc/net/udp").read_text().splitlines()[1:]}
        return sum(
            str(each.readlink()).removeprefix("socket:[").removesuffix("]") in every
            for pid in self.plane.pids().values()
            for each in Path(f"/proc/{pid}/fd").iterdir()
        )


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., object]]:
    made: list[World] = []

    async def begin(**rest: int) -> World:
        made.append(World(**rest))
        await made[-1].plane.start()
        return made[-1]

    yield begin
    for each in made:
        await each.plane.close()
        assert each.plane.pids() == {}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def leg(name: str, peer: socket.socket | None = None) -> Leg:
    stream = None
    if peer is not None:
        host, port = peer.getsockname()
        stream = Stream(
            slot=0,
            local=(HOST, 0),
            local_rtcp=(HOST, 0),
            remote=(host, port),
            remote_rtcp=(host, port),
            is_private=True,
            rtcp_mux=True,
            direction=Direction.SENDRECV,
            codecs=(Chosen(sent=PCMU, received=PCMU),),
        )
    return Leg(id=name, host=HOST, signalling=HOST, stream=stream, offers=1)


def graph(call: str, *legs: Leg, version: int = 1) -> Graph:
    joins = both_ways(legs[0].id, legs[1].id) if len(legs) == 2 else ()
    return Graph(call=call, version=version, nodes=legs, joins=joins)


def sound(sequence: int, payload: bytes = b"\x55" * 160) -> bytes:
    return packet.write(
        Packet(payload_type=0, sequence=sequence, timestamp=160 * sequence, ssrc=9, payload=payload)
    )


def peer() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    made.setblocking(False)
    return made


async def test_a_call_through_a_worker_and_what_it_came_to(start: Start) -> None:
    world = await start()
    loop = asyncio.get_running_loop()
    with peer() as one, peer() as other:
        assert world.plane.open("call") == Opened(worker=0)
        places = await world.applied(graph("call", leg("a", one), leg("b", other)))
        for number in range(5):
            one.sendto(sound(number), places["a"].address)
            async with asyncio.timeout(PATIENCE):
                octets, source = await loop.sock_recvfrom(other, 2048)
            assert source == places["b"].address
            assert octets[12:] == b"\x55" * 160
        world.plane.measure("call")
        await until(lambda: len(world.of(wire.Measured)) == 2)
        await world.plane.end("call")
    assert world.of(wire.Latched) == [wire.Latched(call="call", leg="a", source=one_name(world))]
    closed = {each.leg: each.readings for each in world.of(wire.LegClosed)}  # type: ignore[union-attr]
    assert closed["a"].received.packets == 5
    assert closed["b"].sent.packets == 5
    assert await world.plane.apply(graph("call", leg("a"), version=2)) == Lost(call="call")


def one_name(world: World) -> tuple[str, int]:
    (latched,) = world.of(wire.Latched)
    assert isinstance(latched, wire.Latched)
    return latched.source


async def test_a_worker_that_is_killed_is_replaced_and_its_calls_are_told_lost(
    start: Start,
) -> None:
    world = await start(workers=2)
    for name in ("one", "two", "three"):
        world.plane.open(name)
        await world.applied(graph(name, leg("a"), leg("b")))
    first = world.plane.pids()[0]
    os.kill(first, signal.SIGKILL)
    await until(lambda: world.of(WorkerLost))
    assert world.of(WorkerLost) == [WorkerLost(worker=0, calls=("one", "three"))]
    assert await world.plane.apply(graph("one", leg("a"), version=2)) == Lost(call="one")
    await world.plane.end("one")
    await world.applied(graph("two", leg("a"), version=2))
    await until(lambda: world.plane.pids().get(0, first) != first)
    assert world.plane.open("four") == Opened(worker=0)
    await world.applied(graph("four", leg("a"), leg("b")))


async def test_a_receiver_that_fails_costs_no_worker(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: Happened) -> None:
        world.told.append(event)
        raise KeyError("a defect of a call")

    world = await start()
    monkeypatch.setattr(world.plane, "_receiver", fail)
    pids = world.plane.pids()
    for name in ("one", "two"):
        world.plane.open(name)
        await world.applied(graph(name, leg("a"), leg("b")))
    await world.plane.end("one")
    assert world.of(wire.LegClosed)
    await world.applied(graph("two", leg("a"), version=2))
    assert world.plane.pids() == pids
    os.kill(pids[0], signal.SIGKILL)
    await until(lambda: world.plane.pids().get(0, pids[0]) != pids[0])
    assert world.of(WorkerLost) == [WorkerLost(worker=0, calls=("two",))]


async def test_the_ports_of_a_worker_that_was_killed_are_free(start: Start) -> None:
    """All of them: the next one takes the same calls, and none of what came for the dead."""
    first = free_pairs(4)
    world = await start(first=first, last=first + 7)
    with peer() as one, peer() as other:
        for again in range(2):
            for name in ("one", "two"):
                assert isinstance(world.plane.open(name), Opened)
            await world.applied(graph("one", leg("c"), leg("d")))
            places = await world.applied(graph("two", leg("a", one), leg("b", other)))
            one.sendto(sound(again), places["a"].address)
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_recvfrom(other, 2048)
            pids = world.plane.pids()
            os.kill(pids[0], signal.SIGKILL)
            await until(lambda pids=pids: world.plane.pids().get(0, pids[0]) != pids[0])
    assert world.of(WorkerLost) == [WorkerLost(worker=0, calls=("one", "two"))] * 2


async def test_each_worker_begins_elsewhere_in_its_ports(start: Start) -> None:
    """To the first of them somebody may still send, for a call of the one before it."""
    world = await start()
    found = set()
    for _ in range(4):
        assert isinstance(world.plane.open("one"), Opened)
        found.add((await world.applied(graph("one", leg("a"))))["a"].address[1])
        (pid,) = world.plane.pids().values()
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: world.plane.pids().get(0, pid) != pid)
    assert len(found) > 1


async def test_a_key_that_is_none_costs_its_call_an_answer_and_the_worker_nothing(
    start: Start,
) -> None:
    world = await start()
    with peer() as one, peer() as other:
        world.plane.open("good")
        places = await world.applied(graph("good", leg("a", one), leg("b", other)))
        for number, (suite, key) in enumerate((("AES_CM_128_HMAC_SHA1_80", b"short"), ("?", b""))):
            name = f"bad{number}"
            keys = Srtp(suite=suite, send_key=key, receive_key=key)
            bad = leg("a", one)
            assert bad.stream is not None
            bad = replace(bad, stream=replace(bad.stream, srtp=keys))
            world.plane.open(name)
            refused = await world.plane.apply(graph(name, bad))
            assert isinstance(refused, wire.Refused)
            await world.plane.end(name)
        one.sendto(sound(1), places["a"].address)
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_recvfrom(other, 2048)
    assert world.of(WorkerLost) == []


async def test_keys_are_pressed_and_told_through_a_worker(start: Start) -> None:
    world = await start()
    world.plane.press("call", "a", "1")
    assert world.told == [wire.Pressed(call="call", leg="a", fault="the call has no media")]
    world.told.clear()
    with peer() as one:
        world.plane.open("call")
        await world.applied(graph("call", leg("a", one)))
        world.plane.press("call", "a", "1")
        async with asyncio.timeout(PATIENCE):
            octets = await asyncio.get_running_loop().sock_recv(one, 2048)
        assert len(octets) == 172  # as sound, for it takes no events
        await until(lambda: world.of(wire.Pressed))
    assert world.of(wire.Pressed) == [wire.Pressed(call="call", leg="a")]


async def test_who_waits_for_a_worker_that_dies_is_told(start: Start) -> None:
    world = await start()
    world.plane.open("call")
    (pid,) = world.plane.pids().values()
    os.kill(pid, signal.SIGSTOP)
    applying = world.plane.apply(graph("call", leg("a")))
    ending = world.plane.end("call")
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        assert await applying == Lost(call="call")
        await ending


@pytest.mark.parametrize("asked", ["apply", "end"])
async def test_a_worker_that_hangs_is_ended_and_replaced(
    start: Start, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    world = await start()
    monkeypatch.setattr(workers, "_PATIENCE", 0.5)
    world.plane.open("call")
    await world.applied(graph("call", leg("a")))  # for this it has longer: it is being started
    (pid,) = world.plane.pids().values()
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE):
        if asked == "apply":
            asking = world.plane.apply(graph("call", leg("a"), version=2))
            assert await asking == Lost(call="call")
        else:
            await world.plane.end("call")
    await until(lambda: world.plane.pids().get(0, pid) != pid)
    assert world.of(WorkerLost) == [WorkerLost(worker=0, calls=("call",))]


async def test_a_worker_has_longer_for_its_first_answer_but_not_for_ever(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 0.01)
    world = await start()
    world.plane.open("call")
    await world.applied(graph("call", leg("a")))  # which no Python does in a hundredth of a second
    assert world.of(WorkerLost) == []
    monkeypatch.setattr(workers, "_STARTS_WITHIN", 0.01)
    other = await start()
    other.plane.open("call")
    assert await other.plane.apply(graph("call", leg("a"))) == Lost(call="call")


async def test_who_gives_up_leaves_the_answer_to_who_waits_for_the_same(start: Start) -> None:
    world = await start()
    world.plane.open("call")
    first = world.plane.apply(graph("call", leg("a")))
    second = world.plane.apply(graph("call", leg("a")))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await second, wire.Applied)


async def test_calls_go_to_the_least_loaded_worker_and_none_to_a_draining_one(
    start: Start,
) -> None:
    world = await start(workers=2, calls=2)
    placed = [world.plane.open(name) for name in ("one", "two", "three", "one")]
    assert placed == [Opened(worker=number) for number in (0, 1, 0, 0)]
    world.plane.drain(1)
    full = world.plane.open("four")
    assert isinstance(full, Full)
    await world.plane.end("one")
    assert world.plane.open("four") == Opened(worker=0)
    await world.applied(graph("two", leg("a")))  # it goes on where it drains


async def test_a_call_is_placed_near_another_while_there_is_room(start: Start) -> None:
    world = await start(workers=2, calls=2)
    assert world.plane.open("room") == Opened(worker=0)
    assert world.plane.open("near", near="room") == Opened(worker=0)
    assert world.plane.open("far") == Opened(worker=1)
    assert world.plane.open("full", near="room") == Opened(worker=1)
    await world.plane.end("near")
    assert world.plane.open("again", near="room") == Opened(worker=0)
    assert world.plane.open("again", near="far") == Opened(worker=0)  # it stays where it is
    assert isinstance(world.plane.open("unknown", near="nobody"), Full)


def recorded(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        assert file.getframerate() == 8000
        return file.readframes(file.getnframes())


async def test_recordings_are_whole_at_the_end_and_readable_after_a_kill(
    start: Start, tmp_path: Path
) -> None:
    """Also a player through a worker: what it plays to a leg is what is recorded."""
    world = await start(workers=1)
    loud = Note(sound=Sound(frequencies=(440.0,)), seconds=60.0)
    paths = {call: tmp_path / f"{call}.wav" for call in ("ended", "killed")}
    with peer() as far:
        for call, path in paths.items():
            world.plane.open(call)
            nodes = (
                leg("a", far),
                Player(id="p", clips=(loud,)),
                Recorder(id="r", of="a", path=str(path)),
            )
            joins = (Join(source="p", hearer="a"),)
            await world.applied(Graph(call=call, version=1, nodes=nodes, joins=joins))
        for path in paths.values():
            await until(lambda path=path: path.exists() and path.stat().st_size > 8000)
        await world.plane.end("ended")
        (told,) = world.of(wire.RecordingEnded)
        assert isinstance(told, wire.RecordingEnded)
        assert (told.call, told.cause, told.spoke, told.fault) == ("ended", "removed", True, "")
        assert len(recorded(paths["ended"])) == told.seconds * 16_000
        (pid,) = world.plane.pids().values()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: world.of(WorkerLost))
    for path in paths.values():
        octets = recorded(path)
        assert len(octets) >= 8000 - 44
        assert any(octets[-800:])


async def test_a_worker_without_ports_takes_no_call(start: Start) -> None:
    world = await start(first=20_000, last=20_003)
    assert isinstance(world.plane.open("one"), Opened)
    assert isinstance(world.plane.open("two"), Full)
    refused = await world.plane.apply(graph("one", leg("a"), leg("b"), leg("c")))
    assert isinstance(refused, wire.Refused)
    assert refused.is_full


def test_ports_too_few_for_all_workers_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="too few"):
        World(workers=3, first=20_000, last=20_004)


def test_by_default_one_core_is_left_for_signalling() -> None:
    assert default_workers() == max(1, len(os.sched_getaffinity(0)) - 1)


async def test_a_thousand_calls_leave_nothing(start: Start) -> None:
    world = await start(calls=200)
    world.plane.open("first")
    await world.applied(graph("first", leg("a"), leg("b")))
    await world.plane.end("first")
    before, sockets = world.descriptors(), world.udp_sockets()
    for batch in range(10):
        names = [f"{batch}-{number}" for number in range(100)]
        for name in names:
            assert isinstance(world.plane.open(name), Opened)
        graphs = [graph(name, leg("a"), leg("b")) for name in names]
        for found in await asyncio.gather(*map(world.plane.apply, graphs)):
            assert isinstance(found, wire.Applied)
        await until(lambda: world.udp_sockets() == sockets + 400)
        await asyncio.gather(*map(world.plane.end, names))
    assert world.descriptors() == before
    await until(lambda: world.udp_sockets() == sockets)
    assert len(world.of(wire.LegClosed)) == 2002


async def test_a_worker_goes_on_when_a_terminal_or_a_manager_says_end(start: Start) -> None:
    world = await start()
    world.plane.open("call")
    await world.applied(graph("call", leg("a")))
    (pid,) = world.plane.pids().values()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    await world.applied(graph("call", leg("a"), leg("b"), version=2))
    assert world.of(WorkerLost) == []


_PARENT = textwrap.dedent("""
    import asyncio, sys
    from gateway.media.graph import Graph
    from gateway.media.workers import Workers, WorkersConfig
    async def main():
        plane = Workers(WorkersConfig(workers=2, first=10000, last=31999), print)
        await plane.start()
        for name in ("one", "two"):  # an answer says that the worker is up
            plane.open(name)
            await plane.apply(Graph(call=name, version=1))
        print(*plane.pids().values(), flush=True)
        await asyncio.Event().wait()
    asyncio.run(main())
""")


async def test_workers_end_with_their_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PARENT,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert parent.stdout is not None
    async with asyncio.timeout(PATIENCE):
        workers = (await parent.stdout.readline()).decode().split()
    assert len(workers) == 2
    parent.kill()
    await parent.communicate()
    await until(lambda: not any(_lives(each) for each in workers))


def _lives(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

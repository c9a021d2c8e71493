"""An rtpengine in memory, workers in memory, and a plane between them that says what it asked."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.media import wire
from gateway.media.graph import Graph, Join, Leg, Node, Recorder, both_ways
from gateway.media.ng import NgAway, NgForgotten
from gateway.media.plane import Full, Happened, Lost, Opened
from gateway.media.rtpengine.names import Names
from gateway.media.rtpengine.plane import Rtpengine
from gateway.media.rtpengine.tied import Result
from protocols.rtp.dtmf import DURATION
from protocols.rtp.quality import StreamQuality
from protocols.sdp import codec as sdp
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMU, events
from protocols.sdp.media import Chosen, Stream

HOST = "127.0.0.1"
CALL = "CA1"
EVENTS = Chosen(sent=events(8000, 101), received=events(8000, 101))
NOTHING = wire.Readings(received=StreamQuality(), sent=StreamQuality(), round_trip=None, dropped={})


def stream(port: int, **changes: Any) -> Stream:
    """What was agreed on with a phone at a port."""
    found = Stream(
        slot=0,
        local=(HOST, 1),
        local_rtcp=(HOST, 2),
        remote=(HOST, port),
        remote_rtcp=(HOST, port + 1),
        is_private=True,
        rtcp_mux=False,
        direction=Direction.SENDRECV,
        codecs=(Chosen(sent=PCMU, received=PCMU),),
        events=(EVENTS,),
    )
    return msgspec.structs.replace(found, **changes)


def leg(id: str, port: int = 0, **changes: Any) -> Leg:
    """A leg; one with a port is described."""
    described = stream(port) if port else None
    return Leg(**{"id": id, "host": HOST, "signalling": HOST, "stream": described, **changes})


def graph(version: int, *nodes: Node, joins: tuple[Join, ...] = (), call: str = CALL) -> Graph:
    return Graph(call=call, version=version, nodes=nodes, joins=joins)


def talk(version: int, *more: Node, call: str = CALL, **changes: Any) -> Graph:
    """Two legs that hear each other."""
    one, other = leg("a", 5000, **changes), leg("b", 6000, **changes)
    return graph(version, one, other, *more, joins=both_ways("a", "b"), call=call)


def taped(version: int) -> Graph:
    """The same, and one is recorded: the worker has to hear it."""
    return talk(version, Recorder(id="r", of="a", path="/tmp/r.wav"))


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nothing tells of."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Engine:
    """An rtpengine as far as SDP and counts go. `fails` says by command what is raised."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.known: dict[str, dict[str, Any]] = {}
        self.fails: dict[str, Exception] = {}
        self.held: dict[str, asyncio.Event] = {}  # commands that wait
        self.uptime = 100
        self.ended = 0
        self.asked: Counter[str] = Counter()
        self.ssrcs: dict[str, Any] = {}
        self._ports = itertools.count(40_000, 2)

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        self.asked[command] += 1
        if command not in ("ping", "query", "statistics", "list"):
            name = str(fields["call_id"]).split("-", 3)[-1]
            self.log.append(f"{command} {name} {self._port_in(fields)}".strip())
        if (held := self.held.get(command)) is not None:
            await held.wait()
        else:
            await asyncio.sleep(0)
        if (fails := self.fails.get(command)) is not None:
            raise fails
        if command in ("ping", "statistics", "list"):
            return self._of_all(command, fields)
        found = self.known.get(fields["call_id"])
        if command == "offer":
            found = self.known.setdefault(fields["call_id"], self._new())
        elif found is None and command != "delete":
            raise NgForgotten("Unknown call-id")
        return self._carry_out(command, fields, found or {})

    def _of_all(self, command: str, fields: dict[str, Any]) -> dict[str, Any]:
        if command == "ping":
            return {"result": "pong"}
        if command == "list":
            return {"calls": list(self.known)[: fields["limit"]]}
        total = {"uptime": str(self.uptime), "forcedterminatedsessions": 0, "timeoutsessions": 0}
        total |= {"silenttimeoutsessions": self.ended, "finaltimeoutsessions": 0}
        current = {"sessionstotal": len(self.known)}
        return {"statistics": {"currentstatistics": current, "totalstatistics": total}}

    def _new(self) -> dict[str, Any]:
        return {"peer": next(self._ports), "within": next(self._ports), "packets": 0, "source": 1}

    @staticmethod
    def _port_in(fields: dict[str, Any]) -> str:
        if "sdp" not in fields:
            return ""
        described = sdp.read(fields["sdp"].encode())
        return f"at {described.media[0].port}"

    def _carry_out(
        self, command: str, fields: dict[str, Any], found: dict[str, Any]
    ) -> dict[str, Any]:
        if command == "offer":
            return {"sdp": self._sdp(found["peer"])}
        if command == "answer":
            found["flags"], found["at"] = fields["flags"], self._port_in(fields)
            return {"sdp": self._sdp(found["within"])}
        if command == "delete":
            self.known.pop(fields["call_id"], None)
        return self._seen(found) if found else {}

    @staticmethod
    def _sdp(port: int) -> str:
        lines = ("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0")
        return "\r\n".join((*lines, f"m=audio {port} RTP/AVP 0", ""))

    def _seen(self, found: dict[str, Any]) -> dict[str, Any]:
        def side(ssrc: int, packets: int) -> dict[str, Any]:
            stats = {"packets": packets, "bytes": packets * 172, "errors": 0}
            endpoint = {"address": found.get("host", HOST), "port": found["source"]}
            return {"medias": [{"streams": [{"stats": stats, "endpoint": endpoint, "SSRC": ssrc}]}]}

        tags = {"peer": side(1, found["packets"]), "within": side(2, found["packets"])}
        return {"tags": tags, "SSRC": self.ssrcs}


class Behind:
    """Workers: a port for each leg, and every graph kept."""

    def __init__(self, log: list[str], receiver: Callable[[Happened], None]) -> None:
        self.log = log
        self.tell = receiver
        self.applied: list[Graph] = []
        self.refuses: str = ""
        self.is_lost = False
        self.pressed: list[str] = []
        self._ports: dict[str, int] = {}
        self._next = itertools.count(20_000, 2)

    def open(self, call: str, near: str = "") -> Opened | Full:
        return Opened(worker=0)

    def apply(self, graph: Graph) -> "asyncio.Future[Result]":
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        future.set_result(self._apply(graph))
        return future

    def _apply(self, graph: Graph) -> Result:
        if self.is_lost:
            return Lost(call=graph.call)
        if self.refuses:
            reason, self.refuses = self.refuses, ""
            return wire.Refused(call=graph.call, version=graph.version, reason=reason)
        self.log.append("apply")
        legs = [each for each in graph.nodes if isinstance(each, Leg)]
        gone = self._legs() - {each.id for each in legs}
        self.applied.append(graph)
        for each in gone:
            self.tell(wire.LegClosed(call=graph.call, leg=each, readings=NOTHING))
        places = {}
        for each in legs:
            port = self._ports.setdefault(each.id, next(self._next))
            places[each.id] = wire.Place(address=(HOST, port), control=port + 1)
        return wire.Applied(call=graph.call, version=graph.version, places=places)

    def _legs(self) -> set[str]:
        nodes = self.applied[-1].nodes if self.applied else ()
        return {each.id for each in nodes if isinstance(each, Leg)}

    def leg(self, id: str) -> Leg:
        """One as it is told to be now."""
        nodes = self.applied[-1].nodes
        return next(each for each in nodes if isinstance(each, Leg) and each.id == id)

    def press(self, call: str, leg: str, digits: str, duration: float = DURATION) -> None:
        self.log.append(f"press {digits}")

    def end(self, call: str) -> "asyncio.Future[None]":
        self.log.append("end")
        for each in sorted(self._legs()):
            self.tell(wire.LegClosed(call=call, leg=each, readings=NOTHING))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class World:
    """A plane that has looked once whether rtpengine is there."""

    def __init__(self, *, start: str = "0001", engine: Engine | None = None) -> None:
        self.log: list[str] = [] if engine is None else engine.log
        self.told: list[Happened] = []
        self.engine = engine or Engine(self.log)
        self.behind: Behind
        names = Names("a1b2c3d4", start)
        self.plane = Rtpengine(self.engine, self._workers, self.told.append, names)

    def _workers(self, receiver: Callable[[Happened], None]) -> Behind:
        self.behind = Behind(self.log, receiver)
        return self.behind

    async def open(self) -> "World":
        await self.plane.keeper._ask_once()
        self.plane.open(CALL)
        return self

    async def applied(self, wanted: Graph) -> dict[str, wire.Place]:
        found = await self.plane.apply(wanted)
        assert isinstance(found, wire.Applied), found
        return found.places

    async def bridged(self, **changes: Any) -> "World":
        """Two legs that are bridged; the log begins after that."""
        await self.open()
        await self.applied(talk(1, **changes))
        assert self.plane.counts()["bridged"] == 2
        self.log.clear()
        return self

    async def settled(self) -> None:
        """Nothing is under way."""
        while self.plane._tasks:
            await asyncio.wait(set(self.plane._tasks))

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]


AWAY = NgAway("rtpengine is away")

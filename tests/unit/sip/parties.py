"""Agents that talk to each other over a link that may lose, double and reorder, the clock in hand.

What they say is written and read by the codec. `Wire.run` lets time pass until nothing is on its
way and nobody waits for anything, or until a time.
"""

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.agent import Agent
from protocols.sip.agent_commands import Accept, Invite, Provisional, Reply, Settings
from protocols.sip.agent_events import Event, SessionId
from protocols.sip.codec import encode, read_datagram
from protocols.sip.digest import Sessions
from protocols.sip.message import NO_HEADERS, Headers, Message, NameAddr, Request, Response
from protocols.sip.session_offers import Body, described
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.uri import SipUri

FOREVER = 100_000.0
E = TypeVar("E", bound=Event)
Reaction = Callable[["Party", Any], None]

OFFER, ANSWER = Body(octets=b"offer 1"), Body(octets=b"answer 1")
REOFFER, REANSWER = Body(octets=b"offer 2"), Body(octets=b"answer 2")


def sequence(prefix: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"


class Wire:
    """See the module; `loss` and `doubled` are shares, `spread` seconds."""

    def __init__(
        self,
        seed: int = 1,
        *,
        transport: Transport = Transport.UDP,
        loss: float = 0.0,
        doubled: float = 0.0,
        spread: float = 0.0,
    ) -> None:
        self.chance = random.Random(seed)
        self.transport = transport
        self.loss, self.doubled, self.spread = loss, doubled, spread
        self.now = 0.0
        self.parties: dict[str, Party] = {}
        self.log: list[tuple[float, str, Message]] = []
        self.drop: Callable[[str, Message], bool] = lambda to, message: False
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._agenda, (when, next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def carry(self, octets: bytes, source: str, to: str) -> None:
        message = read_datagram(octets)
        assert isinstance(message, Request | Response), message
        self.log.append((round(self.now, 3), to, message))
        if self.drop(to, message) or to not in self.parties:
            return
        lossy = self.transport is Transport.UDP
        copies = 1 if not lossy else (self.chance.random() >= self.loss)
        copies += lossy and self.chance.random() < self.doubled
        for _ in range(copies):
            delay = 0.01 + (self.chance.random() * self.spread if lossy else 0.0)
            self.after(delay, lambda: self.parties[to].receive(octets, source))

    def run(self, seconds: float = FOREVER) -> None:
        end = self.now + seconds
        while True:
            due = [each.agent.timer() for each in self.parties.values()]
            times = [each for each in due if each is not None]
            if self._agenda:
                times.append(self._agenda[0][0])
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            assert self.now < FOREVER, "something never ends"
            while self._agenda and self._agenda[0][0] <= self.now:
                heappop(self._agenda)[2]()
            for party in self.parties.values():
                party.agent.handle_timer(self.now)
                party.settle()
        if seconds < FOREVER:
            self.now = end

    def said(self, *, to: str = "", since: int = 0) -> list[str]:
        """What went out, shortly: methods of requests, statuses of responses."""
        return [
            each.method if isinstance(each, Request) else f"{each.status} {each.method}"
            for _, where, each in self.log[since:]
            if not to or where == to
        ]

    def messages(self, what: str) -> list[Any]:
        """Those that `said` calls so."""
        return [
            each
            for _, _, each in self.log
            if (each.method if isinstance(each, Request) else f"{each.status} {each.method}")
            == what
        ]

    def times(self, what: str) -> list[float]:
        return [
            when
            for when, _, each in self.log
            if (each.method if isinstance(each, Request) else f"{each.status} {each.method}")
            == what
        ]


class Party:
    """An agent at an address; `reactions` by type of event say what it does by itself."""

    def __init__(self, wire: Wire, host: str, settings: Settings | None = None) -> None:
        self.wire, self.host = wire, host
        self.told: list[Event] = []
        self.reactions: dict[type[Any], Reaction] = {}
        self.session = SessionId(0)
        self.deaf: set[str] = set()
        """Headers, methods and option tags that others never told it of."""
        name = host.rpartition(".")[2]
        self.agent = self.boot(name, settings or Settings())
        wire.parties[host] = self

    def boot(self, name: str, settings: Settings, seed: int = 7) -> Agent:
        chance = random.Random(f"{name} {seed}")
        return Agent(
            branch=sequence(f"z9hG4bK-{name}-{seed}-"),
            tag=sequence(f"t{name}-{seed}-"),
            call_id=sequence(f"call-{name}-{seed}-"),
            chance=chance.random,
            sent_by=lambda destination: (self.host, 5060),
            contact=lambda destination: NameAddr(uri=SipUri(host=self.host, user="me", port=5060)),
            encode=encode,
            settings=settings,
        )

    @property
    def now(self) -> float:
        return self.wire.now

    def hop(self, host: str) -> Hop:
        return Hop(transport=self.wire.transport, host=host, port=5060)

    def receive(self, octets: bytes, source: str) -> None:
        message = read_datagram(octets)
        assert isinstance(message, Request | Response)
        if self.deaf:
            message = replace(message, headers=self._heard(message.headers))
        flow = Flow(
            id=1, transport=self.wire.transport, local=(self.host, 5060), remote=(source, 5060)
        )
        self.agent.receive(message, flow, self.wire.now)
        self.settle()

    def _heard(self, headers: Headers) -> Headers:
        lines = []
        for name, value in headers:
            if name in ("Allow", "Supported", "Require"):
                value = ", ".join(each for each in value.split(", ") if each not in self.deaf)
            if value and name not in self.deaf:
                lines.append((name, value))
        return Headers(lines)

    def settle(self) -> None:
        while (event := self.agent.next_event()) is not None:
            self.told.append(event)
            if isinstance(event, events.Invited):
                self.session = event.session
            reaction = self.reactions.get(type(event))
            if reaction is not None:
                reaction(self, event)
        for outgoing in self.agent.outgoing():
            place = outgoing.destination
            to = place.remote[0] if isinstance(place, Flow) else place.host
            self.wire.carry(outgoing.octets, self.host, to)

    def call(
        self, to: "Party | str", credentials: Sessions | None = None, **changes: Any
    ) -> SessionId:
        host = to if isinstance(to, str) else to.host
        given: dict[str, Any] = {
            "uri": SipUri(host=host, user="bob"),
            "from_": NameAddr(uri=SipUri(host=self.host, user="alice")),
            "to": NameAddr(uri=SipUri(host=host, user="bob")),
            "body": OFFER,
            **changes,
        }
        self.session = self.agent.invite(Invite(**given), self.hop(host), self.now, credentials)
        self.settle()
        return self.session

    def do(self, command: str, *args: Any, **options: Any) -> Any:
        """Give a command for the session last begun, `now` where it belongs."""
        found = getattr(self.agent, command)(self.session, *args, self.now, **options)
        self.settle()
        return found

    def ring(self, status: int = 180, **changes: Any) -> None:
        self.do("provisional", Provisional(status=status, **changes))

    def accept(self, body: Body | None = ANSWER, **changes: Any) -> None:
        self.do("accept", Accept(body=body, **changes))

    def refuse(self, status: int, **changes: Any) -> None:
        self.do("refuse", Reply(status=status, **changes))

    def hang_up(self, *args: Any) -> None:
        self.agent.hang_up(self.session, self.now, *args)
        self.settle()

    def offer(self, body: Body | None = REOFFER, **options: Any) -> None:
        self.do("offer", body, **options)

    def answer(self, body: Body | None = REANSWER, **options: Any) -> None:
        self.do("answer", body, **options)

    def heard(self, kind: type[E]) -> list[E]:
        return [each for each in self.told if isinstance(each, kind)]

    def story(self) -> list[str]:
        return [type(each).__name__ for each in self.told]

    def assert_nothing_left(self) -> None:
        agent = self.agent
        assert (agent.sessions, agent.layer.clients, agent.layer.servers) == (0, 0, 0)
        assert agent.timer() is None
        assert agent.ledger() == {}
        begun = {each.session for each in self.heard(events.Invited)}
        ended = [each.session for each in self.heard(events.Ended)]
        assert len(ended) == len(set(ended)) and begun <= set(ended)


def request_of(caller: Party, method: str, cseq: int, **changes: Any) -> Request:
    """A request in the caller's dialog that its agent knows nothing of."""
    invite = caller.wire.messages("INVITE")[0]
    said = [each for _, _, each in caller.wire.log if isinstance(each, Response) and each.to.tag]
    via = replace(invite.vias[0], params=(("branch", f"z9hG4bK-{method}-{cseq}"),))
    given: dict[str, Any] = {
        "method": method,
        "uri": invite.uri,
        "vias": (via,),
        "from_": invite.from_,
        "to": said[0].to if said else invite.to,
        "call_id": invite.call_id,
        "cseq": cseq,
        "contacts": invite.contacts,
        **changes,
    }
    body = given.get("body")
    if isinstance(body, Body):
        headers, octets = described(given.get("headers", NO_HEADERS), body)
        given |= {"headers": headers, "body": octets}
    return Request(**given)


def inject(party: Party, message: Message, source: str) -> list[str]:
    """Let a party receive a message that nobody sent; what goes out at once."""
    since = len(party.wire.log)
    party.receive(encode(message), source)
    return party.wire.said(since=since)


def pair(wire: Wire | None = None, **settings: Settings) -> tuple[Party, Party]:
    """A caller and a callee, which by itself rings and answers nothing."""
    wire = wire or Wire()
    caller = Party(wire, "192.0.2.1", settings.get("caller"))
    callee = Party(wire, "192.0.2.2", settings.get("callee"))
    return caller, callee


def connect(caller: Party, callee: Party, **changes: Any) -> None:
    """A call that stands."""
    caller.call(callee, **changes)
    caller.wire.run(0.1)
    callee.accept()
    caller.wire.run(0.1)


def finish(*parties: Party) -> None:
    """Let all timers end, and see that nothing is left."""
    for party in parties:
        party.settle()
    parties[0].wire.run()
    for party in parties:
        party.assert_nothing_left()

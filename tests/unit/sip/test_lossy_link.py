"""Both ends of each transaction over a link that loses, doubles and reorders, the clock in hand.

Users behave as RFC 3261 asks of them: who accepts an INVITE repeats its 2xx until the ACK comes
(§13.3.1.4), who called acknowledges each (§13.2.2.4).
"""

import random
from collections import Counter
from heapq import heappop, heappush
from itertools import count
from typing import Any

import pytest

from protocols.sip.codec import encode, read_datagram
from protocols.sip.derive import reply
from protocols.sip.events import (
    AckReceived,
    CancelReceived,
    ClientId,
    Event,
    RequestReceived,
    ResponseReceived,
    ServerId,
    StrayResponse,
    Terminated,
    TimedOut,
)
from protocols.sip.message import NO_HEADERS, Message, Request, Response
from protocols.sip.transaction import State
from protocols.sip.transport import Flow, Hop, Transport
from tests.unit.sip.builders import Side, Words, ours, party

CALLER, CALLEE = ("198.51.100.1", 5060), ("198.51.100.2", 5060)
LASTS = 300.0  # seconds until every timer of all that was begun has ended


class Link:
    """A clock, and octets on their way; `loss` and `doubled` are shares, `spread` seconds."""

    def __init__(
        self,
        seed: int,
        transport: Transport,
        loss: float,
        doubled: float,
        spread: float,
        words: type[Words],
    ) -> None:
        self.words = words
        self.chance = random.Random(seed)
        self.transport = transport
        self.loss, self.doubled, self.spread = loss, doubled, spread
        self.now = 0.0
        self._agenda: list[tuple[float, int, Any]] = []
        self._order = count()

    def at(self, when: float, act: Any) -> None:
        heappush(self._agenda, (when, next(self._order), act))

    def carry(self, message: Message, to: "User") -> None:
        reliable = self.transport is not Transport.UDP
        copies = 1 if reliable else (self.chance.random() >= self.loss)
        copies += not reliable and self.chance.random() < self.doubled
        for _ in range(copies):
            delay = 0.01 if reliable else 0.01 + self.chance.random() * self.spread
            self.at(self.now + delay, lambda: to.receive(message))

    def run(self, *users: "User") -> None:
        """Until nothing is on its way and nobody waits for anything."""
        while True:
            due = [each.timer() for each in users]
            times = [each for each in due if each is not None]
            if self._agenda:
                times.append(self._agenda[0][0])
            if not times:
                return
            self.now = max(self.now, min(times))
            assert self.now < LASTS, "something never ends"
            while self._agenda and self._agenda[0][0] <= self.now:
                heappop(self._agenda)[2]()
            for user in users:
                user.wake()


class Octets(Words):
    """The codec itself."""

    def encode(self, message: Message) -> bytes:
        return encode(message)

    def decode(self, octets: bytes) -> Message:
        message = read_datagram(octets)
        assert isinstance(message, Request | Response)
        return message


class User:
    """A layer and who uses it."""

    def __init__(self, name: str, link: Link, own: tuple[str, int], far: tuple[str, int]) -> None:
        self.words = link.words()
        self.side = Side(name, words=self.words, now=0.0)
        self.layer = self.side.layer
        self.link = link
        self.flow = Flow(id=1, transport=link.transport, local=own, remote=far)
        self.hop = Hop(transport=link.transport, host=far[0], port=far[1])
        self.far: User | None = None
        self.told: dict[int, list[Event]] = {}

    def timer(self) -> float | None:
        return self.layer.timer()

    def wake(self) -> None:
        self.layer.handle_timer(self.link.now)
        self.settle()

    def receive(self, message: Message) -> None:
        self.layer.receive(message, self.flow, self.link.now)
        self.settle()

    def settle(self) -> None:
        while (event := self.layer.next_event()) is not None:
            self.take(event)
        assert self.far is not None
        for outgoing in self.layer.outgoing():
            self.link.carry(self.words.decode(outgoing.octets), self.far)

    def take(self, event: Event) -> None:
        raise NotImplementedError


class Caller(User):
    """Asks; acknowledges each 2xx."""

    def __init__(self, link: Link) -> None:
        super().__init__("caller", link, CALLER, CALLEE)
        self.finals: dict[ClientId, int | None] = {}
        self.ended: Counter[int] = Counter()
        self.acks: dict[tuple[str, str], Message] = {}
        self.calls: dict[ClientId, str] = {}

    def begin(self, method: str, call_id: str, cancelled_after: float | None) -> None:
        request = ours(method, call_id=call_id, from_=party("alice", call_id))
        id = self.layer.request(request, self.hop, self.link.now)
        self.finals[id] = None
        self.calls[id] = call_id
        if cancelled_after is not None:
            self.link.at(self.link.now + cancelled_after, lambda: self.cancel(id))
        self.settle()

    def cancel(self, id: ClientId) -> None:
        self.layer.cancel(id, NO_HEADERS, self.link.now)
        self.settle()

    def take(self, event: Event) -> None:
        match event:
            case ResponseReceived(client_id=id, response=response):
                assert not self.ended[id]
                if response.is_final:
                    assert self.finals[id] in (None, response.status)
                    self.finals[id] = response.status
                self.acknowledge(response)
            case StrayResponse(response=response):
                self.acknowledge(response)
            case TimedOut(id=id):
                self.finals.setdefault(ClientId(id), None)
            case Terminated(id=id):
                self.ended[id] += 1

    def acknowledge(self, response: Response) -> None:
        if response.method != "INVITE" or not 200 <= response.status < 300:
            return
        key = response.call_id, response.to.tag
        ack = self.acks.get(key)
        if ack is None:
            ack = ours("ACK", call_id=response.call_id, to=response.to, from_=response.from_)
        self.acks[key] = self.layer.send(ack, self.hop)


class Callee(User):
    """Answers as its plan for the call says: after so long, with this status."""

    def __init__(self, link: Link, plan: dict[str, tuple[float, int]]) -> None:
        super().__init__("callee", link, CALLEE, CALLER)
        self.plan = plan
        self.asked: Counter[tuple[str, str]] = Counter()
        self.answered: dict[str, int] = {}
        self.open: dict[ServerId, Request] = {}
        self.unacknowledged: dict[str, tuple[ServerId, Response]] = {}
        self.ended: Counter[int] = Counter()

    def take(self, event: Event) -> None:
        match event:
            case RequestReceived(server_id=id, request=request):
                self.asked[request.call_id, request.vias[0].branch] += 1
                self.open[id] = request
                after, status = self.plan[request.call_id]
                self.link.at(self.link.now + after, lambda: self.answer(id, status))
            case CancelReceived(server_id=id):
                self.answer(id, 487)
            case AckReceived(request=ack):
                self.unacknowledged.pop(ack.call_id, None)
            case Terminated(id=id):
                self.ended[id] += 1

    def answer(self, id: ServerId, status: int) -> None:
        request = self.open.pop(id, None)
        if request is None:
            return
        self.answered[request.call_id] = status
        response = reply(request, status, tag=f"t{id}")
        self.layer.respond(id, response, self.link.now)
        if request.method == "INVITE" and status < 300:
            self.unacknowledged[request.call_id] = (id, response)
            self.link.at(self.link.now + 0.5, lambda: self.repeat(request.call_id, 0.5))
        self.settle()

    def repeat(self, call_id: str, interval: float) -> None:
        if call_id not in self.unacknowledged:
            return
        id, response = self.unacknowledged[call_id]
        if self.layer.state(id) is State.TERMINATED:
            return
        self.layer.respond(id, response, self.link.now)
        longer = min(2 * interval, 4.0)
        self.link.at(self.link.now + longer, lambda: self.repeat(call_id, longer))
        self.settle()


def play(link: Link, calls: int) -> tuple[Caller, Callee, dict[str, tuple[float, int]]]:
    chance = random.Random(link.chance.random())
    plan = {
        f"call{n}": (chance.choice((0.0, 0.1, 0.4, 3.0, 12.0)), chance.choice((200, 200, 486, 302)))
        for n in range(calls)
    }
    caller, callee = Caller(link), Callee(link, plan)
    caller.far, callee.far = callee, caller
    for n in range(calls):
        method = chance.choice(("INVITE", "INVITE", "OPTIONS"))
        cancelled = chance.choice((None, None, 0.0, 0.3, 3.0)) if method == "INVITE" else None
        link.at(
            chance.random() * 5.0,
            lambda m=method, n=n, c=cancelled: caller.begin(m, f"call{n}", c),
        )
    link.run(caller, callee)
    return caller, callee, plan


LINKS = [
    # transport, loss, doubled, spread
    (Transport.TCP, 0.0, 0.0, 0.0),
    (Transport.UDP, 0.0, 0.0, 0.0),
    (Transport.UDP, 0.0, 0.5, 0.5),
    (Transport.UDP, 0.1, 0.1, 0.3),
    (Transport.UDP, 0.3, 0.2, 1.0),
    (Transport.UDP, 0.6, 0.3, 2.0),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("transport", "loss", "doubled", "spread"), LINKS)
def test_every_transaction_ends_and_both_ends_agree(
    transport: Transport, loss: float, doubled: float, spread: float, seed: int
) -> None:
    link = Link(seed, transport, loss, doubled, spread, Octets)
    caller, callee, _ = play(link, 60)
    # However often it came, a request was told once.
    assert set(callee.asked.values()) == {1}
    for id, call_id in caller.calls.items():
        final = caller.finals[id]
        if loss <= 0.3:
            assert final is not None, "there are enough tries for this much loss"
        if final is not None:
            assert final == callee.answered[call_id]
        assert caller.ended[id] == 1
    assert set(callee.ended.values()) == {1}
    if loss <= 0.3:
        assert callee.unacknowledged == {}
    for user in (caller, callee):
        assert (user.layer.clients, user.layer.servers, user.timer()) == (0, 0, None)


def test_a_dead_link_ends_everything_by_time() -> None:
    link = Link(1, Transport.UDP, 1.0, 0.0, 0.0, Octets)
    caller, callee, _ = play(link, 20)
    assert set(caller.finals.values()) == {None}
    assert callee.asked == {}
    assert caller.layer.clients == 0
    assert link.now <= 5.0 + 32.0


def test_ten_thousand_at_once_leave_nothing() -> None:
    # Without the codec, which would take most of the time.
    link = Link(3, Transport.UDP, 0.05, 0.05, 0.2, Words)
    caller, callee, _ = play(link, 10_000)
    assert len(caller.finals) == 10_000
    assert None not in caller.finals.values()
    for user in (caller, callee):
        assert (user.layer.clients, user.layer.servers, user.timer()) == (0, 0, None)

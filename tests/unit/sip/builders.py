"""Messages, flows and layers for tests, with the clock in the hand."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from protocols.sip.derive import reply
from protocols.sip.events import ClientId, Event, RequestReceived
from protocols.sip.layer import Outgoing, TransactionLayer
from protocols.sip.ledger import Limits
from protocols.sip.message import Message, NameAddr, Request, Response, Via
from protocols.sip.timers import Timers
from protocols.sip.transport import Destination, Flow, Hop, Transport
from protocols.sip.uri import SipUri

UDP_FLOW = Flow(
    id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("198.51.100.7", 5060)
)
TCP_FLOW = Flow(
    id=2, transport=Transport.TCP, local=("192.0.2.1", 5060), remote=("198.51.100.7", 40000)
)
WSS_FLOW = Flow(
    id=3, transport=Transport.WSS, local=("192.0.2.1", 443), remote=("203.0.113.9", 31337)
)
UDP_HOP = Hop(transport=Transport.UDP, host="198.51.100.7", port=5060)
TCP_HOP = Hop(transport=Transport.TCP, host="198.51.100.7", port=5060)


def party(user: str, tag: str = "", host: str = "example.com") -> NameAddr:
    params = (("tag", tag),) if tag else ()
    return NameAddr(uri=SipUri(host=host, user=user), params=params)


def via(branch: str = "z9hG4bKpeer1", **changes: Any) -> Via:
    given = {"transport": "UDP", "host": "198.51.100.7", "port": 5060, **changes}
    params = given.pop("params", (("branch", branch),) if branch else ())
    return Via(**given, params=params)


def request(method: str = "INVITE", **changes: Any) -> Request:
    given: dict[str, Any] = {
        "uri": SipUri(host="198.51.100.7", user="bob"),
        "vias": (via(),),
        "from_": party("alice", "a1"),
        "to": party("bob"),
        "call_id": "call-1",
        "cseq": 1,
        **changes,
    }
    return Request(method=method, **given)


def ours(method: str = "INVITE", **changes: Any) -> Request:
    """A request before our Via is on it."""
    return request(method, **{"vias": (), **changes})


class Words:
    """Stands for a codec: octets that tell which message they are, and how often it was written."""

    def __init__(self) -> None:
        self.written: dict[bytes, Message] = {}
        self._names = count(1)

    def encode(self, message: Message) -> bytes:
        octets = b"message %d" % next(self._names)
        self.written[octets] = message
        return octets

    def decode(self, octets: bytes) -> Message:
        return self.written[octets]


def sequence(prefix: str) -> Iterator[str]:
    return (f"{prefix}{number}" for number in count(1))


class Side:
    """A layer and what it says."""

    def __init__(
        self,
        name: str = "we",
        *,
        words: Words | None = None,
        timers: Timers | None = None,
        limits: Limits | None = None,
        now: float = 100.0,
    ) -> None:
        self.now = now
        self.words = words or Words()
        branches, tags = sequence(f"z9hG4bK{name}"), sequence(f"tag-{name}")
        self.layer = TransactionLayer(
            branch=lambda: next(branches),
            tag=lambda: next(tags),
            sent_by=lambda destination: (f"{name}.example.com", 5060),
            encode=self.words.encode,
            timers=timers or Timers(),
            limits=limits or Limits(),
        )

    def events(self) -> list[Event]:
        found = []
        while (event := self.layer.next_event()) is not None:
            found.append(event)
        return found

    def said(self) -> list[Message]:
        return [self.words.decode(each.octets) for each in self.layer.outgoing()]

    def sent(self) -> list[tuple[Message, Destination]]:
        return [(self.words.decode(e.octets), e.destination) for e in self.layer.outgoing()]

    def outgoing(self) -> list[Outgoing]:
        return self.layer.outgoing()

    def receive(self, message: Message, flow: Flow = UDP_FLOW) -> list[Event]:
        """Give it a message; what it tells of it."""
        self.layer.receive(message, flow, self.now)
        return self.events()

    def pass_time(self, seconds: float) -> list[tuple[float, Message]]:
        """Let time pass; what is said meanwhile, with the seconds from now on."""
        start, end, said = self.now, self.now + seconds, []
        while (due := self.layer.timer()) is not None and due <= end:
            self.now = due
            self.layer.handle_timer(due)
            said += [(round(due - start, 6), message) for message in self.said()]
        self.now = end
        return said

    def ask(self, message: Request, destination: Destination = UDP_HOP) -> ClientId:
        """Send a request and take what it put on the wire."""
        client_id = self.layer.request(message, destination, self.now)
        self.layer.outgoing()
        return client_id

    def reply_to(self, client_id: ClientId, status: int, tag: str = "b1") -> Response:
        """What a peer says to a request of ours."""
        return reply(self.layer.sent(client_id), status, tag=tag)


def received(side: Side, message: Request, flow: Flow = UDP_FLOW) -> RequestReceived:
    """A new request, and the one event of it."""
    (event,) = side.receive(message, flow)
    assert isinstance(event, RequestReceived)
    return event


def respond(side: Side, event: RequestReceived, status: int, tag: str = "b1") -> Response:
    """Answer a request; the response."""
    response = reply(event.request, status, tag=tag)
    side.layer.respond(event.server_id, response, side.now)
    return response


def empty(side: Side) -> bool:
    """Whether nothing is left of any transaction."""
    ledger = side.layer._ledger
    tables = (ledger.transactions, ledger.clients, ledger.servers, ledger.acks, ledger.merging)
    return (
        not any(tables)
        and not ledger._places
        and not len(ledger.schedule)
        and side.layer.timer() is None
    )

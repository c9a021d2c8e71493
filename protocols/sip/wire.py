"""What is asked of SIP's sockets and what they tell, as values (`endpoint`)."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from protocols.sip.codec import KeepAlive, Malformed
from protocols.sip.message import Message
from protocols.sip.transport import Destination, Flow, Hop, Transport

Address = tuple[str, int]
Clock = Callable[[], float]
"""Seconds of a clock that never goes back."""


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """An address of ours: an IP address without brackets; port 0 takes a free one.

    `advertised` is how others reach it, as Via and Contact say it: a host "" or a port 0 there is
    what was bound.
    """

    transport: Transport
    host: str
    port: int = 0
    advertised: Address = ("", 0)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What peers may take of us, in connections and octets; one peer is an IPv4 address or a /64.

    `unsent` are octets that a peer did not read, `waiting` those for a connection in the making.
    """

    connections: int = 8192
    per_peer: int = 512
    unsent: int = 1024 * 1024
    waiting: int = 256 * 1024


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long we wait, in seconds.

    For a connection of ours to be made (TLS included), for one of a peer's to be secured, for
    octets on either way, for a message to come whole, for a peer to read, for a pong, and how far
    apart our pings are at most (RFC 5626 §4.4.1).
    """

    connect: float = 4.0
    handshake: float = 10.0
    idle: float = 1800.0
    whole: float = 16.0
    read: float = 30.0
    pong: float = 10.0
    ping: float = 120.0


class Clients(StrEnum):
    """What a TLS listener wants of a client's certificate."""

    UNASKED = "unasked"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of PEM files; `names` are those of SNI that it is shown for."""

    chain: str
    key: str
    names: tuple[str, ...] = ()


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are and whom we trust; the first certificate is shown where no name fits.

    `trust` is a PEM file of those who sign our peers' certificates, "" the system's. As a client
    we show the first certificate if we are asked for one. TLS 1.2 is the least.
    """

    certificates: tuple[Certificate, ...] = ()
    clients: Clients = Clients.UNASKED
    trust: str = ""


class Received(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message, or what is none, and where its answer goes; `at` is of the endpoint's clock.

    `octets` are those of a datagram, b"" of what came in a stream.
    """

    message: Message | Malformed
    flow: Flow
    at: float
    octets: bytes = b""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A connection stands; `hop` is whom we wanted, None if the peer came to us.

    `names` are those that its certificate shows (`identity.names`), none if it shows none.
    """

    flow: Flow
    hop: Hop | None
    names: tuple[str, ...]


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A connection is gone; what was sent on it before may not have arrived."""

    flow: Flow
    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing reaches `destination` now (RFC 3261 §18.4): what was sent there is lost.

    A refusal by ICMP names the flow: the UDP socket and the address that refused. Once for all
    that waited for one connection.
    """

    destination: Destination
    reason: str

    @property
    def remote(self) -> Address:
        """The address that can't be reached."""
        place = self.destination
        return place.remote if isinstance(place, Flow) else (place.host, place.port)


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's connection was not taken, or was never secured."""

    transport: Transport
    remote: Address
    reason: str


Event = Received | Opened | Closed | Failed | Refused

ReadDatagram = Callable[[bytes], Message | Malformed | None]


class Framer(Protocol):
    """A stream of octets in messages, as `codec.StreamReader` does it."""

    def feed(self, octets: bytes) -> None:
        """Take octets as they came."""

    def next(self) -> Message | Malformed | KeepAlive | None:
        """The next that is whole."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How octets become messages; `stream` is called for each connection."""

    datagram: ReadDatagram
    stream: Callable[[], Framer]

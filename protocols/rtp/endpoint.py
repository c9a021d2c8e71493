"""RTP's sockets: pairs of UDP ports out of a range, and one reader for all of them.

The reader has an epoll of its own that the event loop sees as one descriptor: a wake-up asks it
once for all sockets that have something, and reads one datagram from each. What is read goes to a
function of the socket's owner, without a task, a future or a handle of the loop for it. A socket
that has more comes up again with the next wake-up, so that none keeps the others waiting. After
a wake-up the reader rests: most of what a packet costs is being woken for it alone.
"""

import asyncio
import contextlib
import errno
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.events import Address

Receiver = Callable[[bytes, Address, float], None]
"""Takes a datagram, where it came from, and the time of the wake-up that found it."""

LARGEST: Final = 2048  # octets; a longer datagram is dropped, for RTP has to fit an MTU
REST: Final = 0.001  # seconds between two wake-ups while datagrams come
_BATCH: Final = 256  # sockets that one wake-up reads from
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
_ROUNDS: Final = 16  # in which a loop that was kept from reading catches up
_IPV4_FIELDS: Final = 2  # IPv6 has a flow and a scope behind address and port


class PortPair:
    """An even port for RTP and the one above it for RTCP, both bound and not connected.

    `address` is where RTP is received. `unsent` counts datagrams that the system did not take.
    """

    __slots__ = ("_given_back", "_sockets", "address", "unsent")

    def __init__(
        self, rtp: socket.socket, rtcp: socket.socket, given_back: Callable[[int], None]
    ) -> None:
        self.address: Address = rtp.getsockname()[:2]
        self.unsent = 0
        self._sockets = (rtp, rtcp)
        self._given_back = given_back

    @property
    def control_port(self) -> int:
        """The port of RTCP."""
        return self.address[1] + 1

    @property
    def rtp(self) -> socket.socket:
        """The socket of RTP."""
        return self._sockets[0]

    @property
    def rtcp(self) -> socket.socket:
        """The socket of RTCP."""
        return self._sockets[1]

    def send(self, octets: bytes, address: Address) -> None:
        """Send from the port of RTP; `address` is an IP address as text and a port."""
        try:
            self._sockets[0].sendto(octets, address)
        except OSError:
            self.unsent += 1  # lost, as the network may lose any

    def send_control(self, octets: bytes, address: Address) -> None:
        """The same from the port of RTCP."""
        try:
            self._sockets[1].sendto(octets, address)
        except OSError:
            self.unsent += 1

    def close(self) -> None:
        """Release both ports; harmless when they are released."""
        if self.rtp.fileno() < 0:
            return
        for each in self._sockets:
            each.close()
        self._given_back(self.address[1])


class PortRange:
    """Pairs of the ports from `first` to `last`, both included.

    A pair that was given back is the last to be used again: what still comes for the call that
    had it reaches nobody else's. So that this holds for what a process before this one had, too,
    the first pair is so far into the range, from 0 to below 1, as `begin` says: give it a random
    number. `LocalProtocolError` if not one pair fits.
    """

    def __init__(self, first: int, last: int, begin: float = 0.0) -> None:
        self._free = deque(range(first + first % 2, last, 2))
        if not self._free or not 0 < first < last <= 0xFFFF:
            raise LocalProtocolError(f"no pair of ports fits in {first} to {last}")
        self.size = len(self._free)
        self._free.rotate(-int(begin * self.size))

    @property
    def free(self) -> int:
        """Pairs that nobody of ours has."""
        return len(self._free)

    def open(self, host: str) -> PortPair | None:
        """A pair on an IP address of this host; None if all are in use.

        Ports that other programs hold are passed over. `OSError` if the host has no such address
        or the process no descriptor left.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                pair = _bind(host, port, self._free.append)
            except OSError:
                self._free.append(port)
                raise
            if pair is not None:
                return pair
            self._free.append(port)
        return None


def _bind(host: str, port: int, given_back: Callable[[int], None]) -> PortPair | None:
    """None if another program has one of the two ports."""
    bound: list[socket.socket] = []
    try:
        for each in (port, port + 1):
            bound.append(_socket(host))
            bound[-1].bind((host, each))
    except OSError as error:
        for each_bound in bound:
            each_bound.close()
        if error.errno in _TAKEN:
            return None
        raise
    return PortPair(bound[0], bound[1], given_back)


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


class Reader:
    """Reads from many sockets for a running event loop; `clock` never goes back, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._epoll = select.epoll()
        self._reading: dict[int, tuple[Callable[[int], tuple[bytes, Any]], Receiver]] = {}
        self._resting: asyncio.TimerHandle | None = None
        loop.add_reader(self._epoll.fileno(), self._wake)

    def add(self, source: socket.socket, receiver: Receiver) -> None:
        """Give what comes in on a socket to `receiver`, until `remove`."""
        number = source.fileno()
        self._reading[number] = (source.recvfrom, receiver)
        self._epoll.register(number, select.EPOLLIN)

    def remove(self, source: socket.socket) -> None:
        """Read no more from a socket that is closed next: so the system forgets it by itself."""
        self._reading.pop(source.fileno(), None)

    def close(self) -> None:
        """Read no more from any; the sockets are their owners'."""
        if self._resting is None:
            self._loop.remove_reader(self._epoll.fileno())
        else:
            self._resting.cancel()
        self._reading.clear()
        self._epoll.close()

    def catch_up(self) -> None:
        """Read what has come by now, for whoever is about to need it, however late the loop is."""
        for _ in range(_ROUNDS):
            if not self._read():
                return

    def _wake(self) -> None:
        """Something came: read it, and rest."""
        self._loop.remove_reader(self._epoll.fileno())
        self._go_on()

    def _go_on(self) -> None:
        """Read what came during the rest; when it was nothing, wait for the next."""
        count = 1  # should a receiver raise, which is the loop's to log, the others are read next
        try:
            count = self._read()
        finally:
            if not self._epoll.closed:
                self._rest_after(count)

    def _rest_after(self, count: int) -> None:
        if count:
            rest = REST if count < _BATCH else 0.0
            self._resting = self._loop.call_later(rest, self._go_on)
        else:
            self._resting = None
            self._loop.add_reader(self._epoll.fileno(), self._wake)

    def _read(self) -> int:
        """Read one datagram from each socket that has something; how many sockets had."""
        now, reading = self._clock(), self._reading
        ready = self._epoll.poll(0, _BATCH)
        for number, _ in ready:
            found = reading.get(number)
            if found is None:  # closed in this batch, or left open by its owner
                with contextlib.suppress(OSError):
                    self._epoll.unregister(number)
                continue
            try:
                octets, source = found[0](LARGEST + 1)
            except OSError:  # an error that the network reported, or nothing after all
                continue
            if len(octets) > LARGEST:
                continue
            if len(source) != _IPV4_FIELDS:
                source = source[:2]
            found[1](octets, source, now)
        return len(ready)

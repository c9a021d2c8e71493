"""SIP over UDP: all sockets of an endpoint, read in batches.

Sockets stand in an epoll set of their own, and the loop watches that: a wake-up reads all of them,
and an ICMP refusal, which makes a socket an "error" to poll, can't stop the loop from reading it
(uvloop's poll ends with the first). What was refused is read from the socket's error queue, which
says whom it was meant for (ip(7), IP_RECVERR).
"""

import asyncio
import contextlib
import errno
import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from protocols.sip import stun
from protocols.sip.sockets.cadence import Cadence
from protocols.sip.transport import Flow, Transport
from protocols.sip.wire import Address, Clock, Event, Failed, ReadDatagram, Received

BATCH: Final = 512
"""Datagrams of one socket that are read at a time, so that the others get their turn.

Hardly ever more wait: how late a turn is then says how late they are, which those in the kernel do
not say.
"""

ROUNDS: Final = 4
"""Times that a wake-up reads: peers that are near answer what is sent while the rest is done."""
ENOUGH: Final = 4
"""Datagrams that a reading has to bring for another one to follow it in the same wake-up."""

_REFUSED: Final = 64  # refusals of earlier datagrams that one that is sent may meet

LARGEST: Final = 65535
BUFFER: Final = 4 * 1024 * 1024
"""Octets that are asked of the kernel: at 208 KiB, its default, bursts of calls are lost."""

REFUSALS: Final = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EACCES,
    }
)
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_UDP: Final = Transport.UDP  # an attribute of an enumeration is slow to find
_STUN: Final = b"\0"  # what no SIP begins with
_LOCAL: Final = 1  # SO_EE_ORIGIN_LOCAL: the kernel's own word on what was being sent


class Socket:
    """One UDP socket of ours."""

    __slots__ = ("_wire", "id", "local")

    def __init__(self, ident: int, local: Address) -> None:
        ipv6 = ":" in local[0]
        wire = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            wire.setblocking(False)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            if ipv6:
                wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                wire.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                wire.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            wire.bind(local)
        except BaseException:
            wire.close()
            raise
        self._wire = wire
        self.id = ident
        self.local: Address = wire.getsockname()[:2]

    def fileno(self) -> int:
        return self._wire.fileno()

    def close(self) -> None:
        self._wire.close()

    def flow(self, remote: Address) -> Flow:
        """The path from here to there."""
        return Flow(id=self.id, transport=_UDP, local=self.local, remote=remote)

    def send(self, octets: bytes, remote: Address, refused: list[Event]) -> str:
        """Send one datagram; why it was not sent, "" if it was.

        The refusal of an earlier one, whoever it was for, ends the call that comes next: such are
        added to `refused`, and this datagram goes out all the same.
        """
        for _ in range(_REFUSED):
            try:
                self._wire.sendto(octets, remote)
            except OSError as error:
                if not self.drain(refused):
                    return error.strerror or str(error)
            else:
                return ""
        return "others are refused too fast"

    def receive(self, read: ReadDatagram, now: float, batch: list[Event]) -> None:
        """Add what is there, up to `BATCH` datagrams, to `batch`."""
        receive = self._wire.recvfrom
        for _ in range(BATCH):
            try:
                octets, peer = receive(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # a refusal: the error queue says whose, and poll says that it does
            if octets[:1] == _STUN and self._tell_alive(octets, peer):
                continue
            message = read(octets)
            if message is not None:
                remote = peer if len(peer) == 2 else _scoped(peer)
                batch.append(
                    Received(message=message, flow=self.flow(remote), at=now, octets=octets)
                )

    def _tell_alive(self, octets: bytes, peer: Any) -> bool:
        """Whether a datagram asked by STUN for a sign of life, which it gets."""
        said = stun.answer(octets, peer[:2])
        if said is None:
            return False
        with contextlib.suppress(OSError):  # it asks again
            self._wire.sendto(said, peer)
        return True

    def drain(self, batch: list[Event]) -> bool:
        """Add what ICMP refused, up to 64 datagrams, to `batch`; whether it said anything."""
        told = False
        for _ in range(_REFUSED):
            try:
                _, ancillary, _, peer = self._wire.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            error = ancillary[0][2] if ancillary else bytes(5)
            told |= error[4] != _LOCAL
            number = int.from_bytes(error[:4], sys.byteorder)
            # A hint about the path's MTU is no refusal: the kernel cuts what is sent again.
            if number in REFUSALS:
                remote = peer if len(peer) == 2 else _scoped(peer)
                batch.append(Failed(destination=self.flow(remote), reason=os.strerror(number)))
        return told


def _scoped(peer: tuple[str, int, int, int]) -> Address:
    """An IPv6 address; a link's own is one on that link alone."""
    host, port, _, scope = peer
    return (f"{host}%{scope}", port) if scope and "%" not in host else (host, port)


class Datagrams:
    """The UDP sockets of an endpoint."""

    def __init__(
        self, read: ReadDatagram, clock: Clock, deliver: Callable[[list[Event]], None]
    ) -> None:
        self._read = read
        self._clock = clock
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, Socket] = {}
        self._ready = select.epoll()
        self._cadence = Cadence(clock())
        self._rest: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._ready.fileno(), self._on_ready)

    def add(self, ident: int, local: Address) -> Socket:
        """Bind a socket; raises `OSError` if that is not possible."""
        made = Socket(ident, local)
        self._sockets[made.fileno()] = made
        self._ready.register(made.fileno(), select.EPOLLIN)
        return made

    def close(self) -> None:
        self._loop.remove_reader(self._ready.fileno())
        if self._rest is not None:
            self._rest.cancel()
        self._ready.close()
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def _on_ready(self) -> None:
        """Read what is there, and again as soon as more comes, or after a rest."""
        came, began = 0, self._clock()
        try:
            for _ in range(ROUNDS):
                came += (new := self._read_all())
                if new < ENOUGH or came >= BATCH:
                    break
        finally:  # whatever one of them did, the next ones are read
            self._go_on(self._cadence.rest(came, began, self._clock()))

    def _go_on(self, rest: float) -> None:
        if rest:
            if self._rest is None:
                self._loop.remove_reader(self._ready.fileno())
            self._rest = self._loop.call_later(rest, self._on_ready)
        elif self._rest is not None:
            self._rest = None
            self._loop.add_reader(self._ready.fileno(), self._on_ready)

    def _read_all(self) -> int:
        """Deliver what the sockets have; how much that was."""
        batch: list[Event] = []
        now = self._clock()
        for number, mask in self._ready.poll(0):
            ready = self._sockets[number]
            if mask & select.EPOLLERR:
                ready.drain(batch)
            ready.receive(self._read, now, batch)
        if batch:
            self._deliver(batch)
        return len(batch)

"""One peer's ICE and DTLS: tasks around the machines of others, on a socket that is not theirs.

Whoever has the socket gives what comes in and is no RTP to `take`, and sends what `send` is called
with. Where media go and which keys they have is told to a `Watcher`; the packets themselves never
pass here. There are tasks while something is agreed on, and two that sleep as long as it holds:
one asks the peer every five seconds whether it is there, one waits for what DTLS still says.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from aiortc.rtcdtlstransport import RTCCertificate

from protocols.rtp.events import Address
from protocols.sdp.ice import IceSide, Setup
from protocols.sdp.media import Srtp
from protocols.webrtc import candidates
from protocols.webrtc.agent import Agent, Sender
from protocols.webrtc.handshake import Handshake, fingerprints

SET_UP: Final = 20.0
"""Seconds that the peer has to be found in, and as many for DTLS after that."""

_EARLY: Final = 32  # datagrams of DTLS that wait for us
_STUN_END: Final = 4  # what the first octet of a datagram is below (RFC 7983)
_DTLS: Final = range(20, 64)


class Watcher(Protocol):
    """Who wants to know of one peer; calls come in turns of the event loop."""

    def found(self, address: Address) -> None:
        """The peer is there now."""

    def keyed(self, keys: Srtp) -> None:
        """SRTP has these keys from now on."""

    def lost(self, cause: str, reason: str) -> None:
        """There is no path, or there are no keys; see `wire.PathLost`."""


class _Nobody:
    """The watcher of an endpoint that is closed: who watched it is not kept by what still ends."""

    def found(self, address: Address) -> None:
        """Nobody asks any more."""

    def keyed(self, keys: Srtp) -> None:
        """Nobody asks any more."""

    def lost(self, cause: str, reason: str) -> None:
        """Nobody asks any more."""


def _nowhere(_octets: bytes) -> None:
    """Send nothing."""


class _Queue:
    """DTLS's datagrams, in and out, until it `is_closed`.

    aiortc waits with `asyncio.wait_for`, which may swallow a cancellation before Python 3.12: who
    was to end finds that out when it asks for more.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.is_closed = False
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_EARLY)

    def put(self, octets: bytes) -> None:
        if not self._waiting.full():  # else DTLS sends it again
            self._waiting.put_nowait(octets)

    async def _recv(self) -> bytes:
        if self.is_closed:
            raise ConnectionError
        return await self._waiting.get()

    async def _send(self, data: bytes) -> None:
        self.send(data)


class Endpoint:
    """One of a session's two; `local` is how its socket is reached, `host` what that is bound to.

    It has its certificate for itself. `close` it at the end: it tells the peer, while the socket
    is open, and leaves no task and no timer.

    ICE that begins anew takes nothing away: the agent that there is asks and answers until another
    has found the peer (RFC 8445 §9).
    """

    def __init__(
        self, *, host: str, local: Address, is_offerer: bool, send: Sender, watcher: Watcher
    ) -> None:
        self._host = host
        self._local = local
        self._is_offerer = is_offerer
        self._send = send
        self._watcher: Watcher = watcher
        self._certificate = RTCCertificate.generateCertificate()
        self._fingerprints = fingerprints(self._certificate)
        self._peer: Address | None = None  # where DTLS goes
        self._queue = _Queue(self._send_to_peer)
        self._agent = self._make_agent(is_offerer, None)
        self._next: Agent | None = None  # whose names no peer has answered yet
        self._old: Agent | None = None  # whose path holds until there is another
        self._handshake: Handshake | None = None
        self._remote: IceSide | None = None
        self._used: tuple[str, str] | None = None  # the peer's names that an agent has had
        self._checking: asyncio.Task[None] | None = None
        self._old_checking: asyncio.Task[None] | None = None
        self._shaking: asyncio.Task[None] | None = None

    def _make_agent(self, controls: bool, names: tuple[str, str] | None) -> Agent:
        agent: Agent = Agent(
            controls=controls,
            place=candidates.ours(*self._local),
            send=self._send,
            found=lambda address: self._found(agent, address),
            lost=lambda: self._watcher.lost("unreachable", "the peer does not answer any more"),
            names=names,
        )
        return agent

    def _agents(self) -> tuple[Agent, ...]:
        return tuple(each for each in (self._agent, self._next, self._old) if each is not None)

    @property
    def side(self) -> IceSide:
        """Ours, whole; an offer of ours says `Setup.ACTPASS`, an answer what is here."""
        setup = Setup.ACTPASS
        if not self._is_offerer:
            setup = Setup.ACTIVE if self._begins else Setup.PASSIVE
        agent = self._next or self._agent
        return IceSide(
            ufrag=agent.local_username,
            password=agent.local_password,
            fingerprints=self._fingerprints,
            candidates=tuple(each.to_sdp() for each in agent.local_candidates),
            setup=setup,
        )

    @property
    def _begins(self) -> bool:
        """Whether DTLS is ours to begin (RFC 8842 §5.3)."""
        return self._remote is None or self._remote.setup is not Setup.ACTIVE

    # What signalling wants

    def connect(self, remote: IceSide) -> None:
        """Find this peer; the same one with more candidates, another name or another certificate.

        After a `restart` the names from before are not taken again.
        """
        before, names = self._remote, (remote.ufrag, remote.password)
        if remote == before or (self._used == names and self._next is not None):
            return
        self._remote = remote
        if before is not None and before.fingerprints != remote.fingerprints:
            self._end_handshake()
            self._queue = _Queue(self._send_to_peer)
        if self._used == names:
            self._run(self._add(self._agent, remote))
            if self._peer is not None and self._handshake is None:
                self._go_to(self._peer)
            return
        if self._next is not None:
            self._go_over(self._next)
        elif self._checking is not None:  # it has other names, and ours are what they were
            self._renew((self._agent.local_username, self._agent.local_password))
        self._used = names
        self._checking = self._run(self._check(self._agent, remote))

    def restart(self) -> None:
        """Have another name and password, for a peer that is told of them; DTLS goes on."""
        self.stay()
        self._next = self._make_agent(self._agent.ice_controlling, None)

    def stay(self) -> None:
        """Take a `restart` back that no peer has answered: the names from before are ours."""
        if self._next is not None:
            self._next.end()
        self._next = None

    def _go_over(self, agent: Agent) -> None:
        """Let another agent look for the peer, while what was found holds."""
        if self._old is None:
            self._old, self._old_checking = self._agent, self._checking
        else:  # whoever looks has found nothing, and need not any more
            self._stop_checking()
        self._agent, self._next = agent, None

    def _end_old(self) -> None:
        if self._old_checking is not None:
            self._old_checking.cancel()
        if self._old is not None:
            self._old.end()
        self._old = self._old_checking = None

    def _renew(self, names: tuple[str, str]) -> None:
        before = self._agent
        self._stop_checking()
        self._agent = self._make_agent(before.ice_controlling, names)

    def take(self, octets: bytes, source: Address) -> None:
        """Take what is no RTP, from anybody; what is of no use is dropped."""
        first = octets[0] if octets else -1
        if 0 <= first < _STUN_END:
            for each in self._agents():
                each.take(octets, source)
        elif first in _DTLS and self._knows(source):
            self._queue.put(octets)

    def _knows(self, source: Address) -> bool:
        return source == self._peer or any(each.knows(source) for each in self._agents())

    def close(self) -> None:
        """End all at once; nothing that refers to it is left in it."""
        self._end_handshake()
        self.stay()
        self._stop_checking()
        self._end_old()
        self._watcher, self._queue.send = _Nobody(), _nowhere

    # At work

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def _add(self, agent: Agent, remote: IceSide) -> None:
        for each in candidates.usable(remote.candidates, self._host):
            await agent.add_remote_candidate(each)

    async def _check(self, agent: Agent, remote: IceSide) -> None:
        """Find a path; the end of the peer's candidates is never told, for it may name none."""
        agent.remote_username, agent.remote_password = remote.ufrag, remote.password
        try:
            async with asyncio.timeout(SET_UP):
                await self._add(agent, remote)
                await agent.connect()
        except (TimeoutError, ConnectionError):
            agent.end()
            if agent is self._old:
                return
            self._end_old()
            self._watcher.lost("unreachable", f"no path to the peer was found in {SET_UP:g} s")

    def _found(self, agent: Agent, address: Address) -> None:
        if agent is self._agent:
            self._end_old()
        self._go_to(address)

    def _go_to(self, address: Address) -> None:
        self._peer = address
        if self._handshake is None:
            self._shaking = self._run(self._shake())
        self._watcher.found(address)

    async def _shake(self) -> None:
        assert self._remote is not None, "an agent finds whom it was told of"
        handshake = self._handshake = Handshake(
            self._queue,
            self._certificate,
            begins=self._begins,
            closed=lambda: self._watcher.lost("closed", "the peer ended DTLS"),
        )
        try:
            async with asyncio.timeout(SET_UP):
                await handshake.shake(self._remote.fingerprints)
        except TimeoutError:
            self._watcher.lost("refused", f"DTLS was not done in {SET_UP:g} s")
            return
        if self._handshake is not handshake:
            handshake.end()
        elif handshake.keys is not None:
            self._watcher.keyed(handshake.keys)
        else:
            self._watcher.lost("refused", _why(handshake))

    def _end_handshake(self) -> None:
        if self._shaking is not None:
            self._shaking.cancel()
        if self._handshake is not None:
            self._handshake.end()
        self._handshake = self._shaking = None
        self._queue.is_closed = True

    def _send_to_peer(self, octets: bytes) -> None:
        if self._peer is not None:
            self._send(octets, self._peer)

    def _stop_checking(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        self._checking = None
        self._agent.end()


def _why(handshake: Handshake) -> str:
    if handshake.encrypted:
        return "DTLS came to a certificate that the description does not name, or to no SRTP"
    return "the handshake of DTLS failed"

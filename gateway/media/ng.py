"""Asks rtpengine by its ng protocol, over UDP.

A command goes out again under the same cookie until it has its answer or patience ends; rtpengine
carries it out once. Where nobody listens, the system says so: then every command that waits is
given up at once, for a call shouldn't wait for what is known, and whoever is asked next second may
be back. Other trouble on the way may pass and is waited out.
"""

import asyncio
import secrets
from typing import Any, Final, cast

from protocols.ng import message
from protocols.ng.bencode import Value
from protocols.ng.errors import RemoteProtocolError

PATIENCE: Final = 2.0  # seconds
_FIRST_PAUSE: Final = 0.25  # seconds before a command goes out again, doubled each time


class NgAway(Exception):
    """rtpengine doesn't answer; the text says where it was asked, and what to do."""


class NgRefused(Exception):
    """rtpengine did not carry a command out; the text is its reason."""


class Ng:
    """One rtpengine. Many may ask at once; answers that nobody waits for are dropped."""

    def __init__(self, address: tuple[str, int], *, patience: float = PATIENCE) -> None:
        self._address = address
        self._patience = patience
        host, port = address
        self._name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self._is_over = False

    async def start(self) -> None:
        """Open the socket; whether anybody is there is not asked. Raises `NgAway`."""
        await self._opened()

    async def close(self) -> None:
        """Close the socket for good; who waits or still asks is told `NgAway`."""
        async with self._opening:
            self._is_over = True
            if self._line is not None:
                self._line.close()

    async def ask(self, command: str, **fields: Value) -> dict[str, Any]:
        """What rtpengine answers to a command; in names of fields `_` stands for `-`.

        Raises `NgAway`, `NgRefused`, and `LocalProtocolError` for what fits no datagram.
        """
        asked = message.command(secrets.token_hex(16), command, fields)
        octets = message.write(asked)
        line = await self._opened()
        answer = await line.ask(asked.cookie, octets, self._patience)
        if (reason := message.refusal(answer)) is not None:
            raise NgRefused(reason)
        return answer.fields

    async def _opened(self) -> "_Line":
        async with self._opening:
            if self._is_over:
                raise NgAway(f"rtpengine at {self._name} is not asked any more")
            if self._line is None or self._line.is_closed:
                self._line = await self._open()
            return self._line

    async def _open(self) -> "_Line":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):  # a name is looked up, maybe
                _, line = await loop.create_datagram_endpoint(
                    lambda: _Line(self._name), remote_addr=self._address
                )
        except OSError as error:  # TimeoutError is one
            reason = str(error) or f"it is not found in {self._patience:g} s"
            raise NgAway(f"rtpengine at {self._name} can't be reached: {reason}") from error
        return line


class _Line(asyncio.DatagramProtocol):
    """A socket that is connected, so that nobody else is heard, and who waits on it."""

    def __init__(self, name: str) -> None:
        self.is_closed = False
        self._name = name
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[str, asyncio.Future[message.Message | NgAway]] = {}
        self._trouble = ""

    async def ask(self, cookie: str, octets: bytes, patience: float) -> message.Message:
        told: asyncio.Future[message.Message | NgAway]
        told = self._waiting[cookie] = asyncio.get_running_loop().create_future()
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(patience):
                while not told.done():
                    self._send(octets)
                    await asyncio.wait((told,), timeout=pause)
                    pause *= 2
        except TimeoutError:
            raise self._away(f"did not answer within {patience:g} s{self._trouble}") from None
        finally:
            del self._waiting[cookie]
        answer = told.result()
        if isinstance(answer, NgAway):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()
        self._give_up("was still asked when the line to it was closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._give_up(f"was lost: {error}")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            answer = message.read(data)
        except RemoteProtocolError:
            return
        self._trouble = ""
        waiting = self._waiting.get(answer.cookie)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def error_received(self, error: Exception) -> None:
        if isinstance(error, ConnectionRefusedError):
            self._give_up("is not there: nobody listens on that port")
        else:
            self._trouble = f" ({error})"

    def _send(self, octets: bytes) -> None:
        if self._transport is not None and not self.is_closed:
            self._transport.sendto(octets)

    def _give_up(self, why: str) -> None:
        for each in self._waiting.values():
            if not each.done():
                each.set_result(self._away(why))

    def _away(self, why: str) -> NgAway:
        return NgAway(
            f"rtpengine at {self._name} {why}; start it, or set [media] rtpengine to the address"
            " of its listen-ng"
        )

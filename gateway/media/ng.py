"""Asks rtpengine by its ng protocol, and says in the config's words what is wrong.

A call shouldn't wait for what is known: where nobody listens whoever asks is told at once, and
whoever asks next second may be heard again.
"""

import asyncio
import secrets
from typing import Any, Final

from protocols.ng import message
from protocols.ng.bencode import Value
from protocols.ng.endpoint import Connection, connect
from protocols.ng.errors import Unanswered
from protocols.ng.session import PATIENCE

_UNKNOWN: Final = "Unknown call-id"


class NgAway(Exception):
    """rtpengine doesn't answer; the text says where it was asked, and what to do."""


class NgRefused(Exception):
    """rtpengine did not carry a command out; the text is its reason."""


class NgForgotten(NgRefused):
    """rtpengine knows nothing of the call that was asked for."""


class Ng:
    """One rtpengine. Many may ask at once."""

    def __init__(self, address: tuple[str, int], *, patience: float = PATIENCE) -> None:
        self._address = address
        self._patience = patience
        host, port = address
        self._name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._is_over = False

    async def start(self) -> None:
        """Open the socket; whether anybody is there is not asked. Raises `NgAway`."""
        await self._opened()

    async def close(self) -> None:
        """Close the socket for good; who waits or still asks is told `NgAway`."""
        async with self._opening:
            self._is_over = True
            if self._connection is not None:
                self._connection.close()

    async def ask(self, command: str, **fields: Value) -> dict[str, Any]:
        """What rtpengine answers to a command; in names of fields `_` stands for `-`.

        Raises `NgAway`, `NgRefused`, and `LocalProtocolError` for what fits no datagram.
        """
        asked = message.command(secrets.token_hex(16), command, fields)
        connection = await self._opened()
        try:
            answer = await connection.ask(asked)
        except Unanswered as error:
            raise NgAway(
                f"rtpengine at {self._name} {error}; start it, or set [media] rtpengine to the"
                " address of its listen-ng"
            ) from error
        if (reason := message.refusal(answer)) is not None:
            raise NgForgotten(reason) if reason == _UNKNOWN else NgRefused(reason)
        return answer.fields

    async def _opened(self) -> Connection:
        async with self._opening:
            if self._is_over:
                raise NgAway(f"rtpengine at {self._name} is not asked any more")
            if self._connection is None or self._connection.is_closed:
                self._connection = await self._open()
            return self._connection

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._patience):  # a name is looked up, maybe
                return await connect(self._address, patience=self._patience)
        except OSError as error:  # TimeoutError is one
            reason = str(error) or f"it is not found in {self._patience:g} s"
            raise NgAway(f"rtpengine at {self._name} can't be reached: {reason}") from error

"""Who is here by which key, so that a key that is gone is told to all of them at once.

What is looked at are the keys, which are few, and not the clients: each second, for as long as
anybody is here. A token that merely ran out its session knows of by itself.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.access.tokens import Believed
from protocols.voicesdk.errors import Fault

if TYPE_CHECKING:
    from gateway.browsers.client import Client

LOOK_EVERY: Final = 1.0  # seconds


class _Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever has a token of a key that has not run out; as `Believed`."""

    account_sid: str
    key_sid: str
    expires: float = inf


class Bearers:
    """See the module; `doubt` says what is wrong by now with a token that was good."""

    def __init__(self, doubt: Callable[[Believed], Fault | None]) -> None:
        self._doubt = doubt
        self._clients: dict[_Bearer, set[Client]] = {}
        self._keys: dict[Client, _Bearer] = {}
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many clients there are."""
        return len(self._keys)

    def add(self, client: "Client", token: Believed) -> None:
        """A client has shown a token, its first or a newer one."""
        self.remove(client)
        bearer = _Bearer(account_sid=token.account_sid, key_sid=token.key_sid)
        self._keys[client] = bearer
        self._clients.setdefault(bearer, set()).add(client)
        self._wait()

    def remove(self, client: "Client") -> None:
        """A client is gone."""
        bearer = self._keys.pop(client, None)
        if bearer is not None:
            self._clients[bearer].discard(client)
            if not self._clients[bearer]:
                del self._clients[bearer]

    def look(self) -> None:
        """Tell everybody whose token is none by now."""
        for bearer, clients in list(self._clients.items()):
            fault = self._doubt(bearer)
            if fault is not None:
                for client in list(clients):
                    client.doubt(fault)

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _wait(self) -> None:
        if self._looking is None and self._keys:
            self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_on)

    def _look_on(self) -> None:
        self._looking = None
        self._wait()
        self.look()

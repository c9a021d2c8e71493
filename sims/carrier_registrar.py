"""The registrar of a simulated carrier: who may register, call, and how it is reached then.

It has one account. With one, registrations are challenged with 401, and calls with 407 where the
carrier wants them to be; without, whoever comes is let in.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.binding import Binding
from protocols.sip.challenge import PROXY, SERVER, Side
from protocols.sip.challenger import Accepted, Challenger, Demand
from protocols.sip.digest import ha1
from protocols.sip.message import Headers, Request
from protocols.sip.registrar import Limits, Registrar
from protocols.sip.uri import SipUri, format_uri
from protocols.sip.wire import Closed

_AOR: Final = "gateway"
_ALGORITHMS: Final = ("SHA-256", "MD5")
_FORBIDDEN: Final = Reply(status=403)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who the gateway is to the carrier. `expires` is the longest that a registration lasts."""

    username: str = ""
    password: str = ""
    realm: str = "carrier.example"
    expires: int = 3600

    def __repr__(self) -> str:
        return f"Account(username={self.username!r}, realm={self.realm!r})"


class Doorman:
    """Checks credentials and keeps the gateway's registration."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._challenger = Challenger(secrets.token_bytes(32), algorithms=_ALGORITHMS)
        self._registrar = Registrar(
            Limits(
                default_expires=account.expires,
                min_expires=1,
                max_expires=account.expires,
                bindings=4,
            )
        )

    def register(self, event: events.RegisterReceived) -> Reply:
        """The answer to a REGISTER."""
        refusal = self.judge(event.request, SERVER)
        if refusal is not None:
            return refusal
        answer, _ = self._registrar.register(_AOR, event.request, event.flow, time.time())
        return Reply(
            status=answer.status,
            reason=answer.reason,
            contacts=answer.contacts,
            headers=Headers(answer.headers),
        )

    def judge(self, request: Request, side: Side = PROXY) -> Reply | None:
        """Why a request is not let in, None if it is: its credentials are asked for as `side`."""
        if not self._account.username:
            return None
        demand = Demand(
            realm=self._account.realm,
            method=request.method,
            uri=format_uri(request.uri),
            body=request.body,
            side=side,
        )
        result = self._challenger.check(request.headers, demand, self._hashes, now=time.time())
        if isinstance(result, Accepted):
            return None
        if not result.headers:
            return _FORBIDDEN
        return Reply(status=result.status, headers=Headers(result.headers))

    def binding(self) -> Binding | None:
        """Where the gateway is registered."""
        return next(iter(self._registrar.bindings(_AOR, time.time())), None)

    def closed(self, event: Closed) -> None:
        """What was registered over a connection ends with it."""
        self._registrar.flow_closed(event.flow.id)

    def _hashes(self, realm: str, username: str) -> Mapping[str, str] | None:
        account = self._account
        if username != account.username:
            return None
        return {each: ha1(each, username, realm, account.password) for each in _ALGORITHMS}


def contact_of(binding: Binding, number: str) -> SipUri:
    """The gateway's contact, asked for a number: carriers put the one that was dialled there."""
    return msgspec.structs.replace(binding.uri, user=number)

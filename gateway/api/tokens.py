"""Tokens: what a browser needs to find a path: `/2010-04-01/Accounts/{AccountSid}/Tokens`."""

import secrets
from typing import Final

import msgspec

from gateway.access import turn
from gateway.api.declare import PATH
from gateway.api.http import answer_json, refuse, rfc2822
from gateway.api.resources import Access, Call, Kind, Operation, Param, Result


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials of TURN servers, and the servers; `ttl` is written as a text, as Twilio does."""

    account_sid: str
    date_created: str
    date_updated: str
    ice_servers: tuple[dict[str, str], ...]
    password: str
    ttl: str
    username: str

    def __repr__(self) -> str:
        return f"TokenBody({self.username!r})"


def credential_for(call: Call, ttl: int) -> turn.Credential:
    """A credential under a name of its own: a server that counts by names counts each alone."""
    name = f"{call.account.sid}.{secrets.token_hex(4)}"
    return turn.mint(call.services.ice_servers(), name, call.now, ttl)


async def create(call: Call) -> Result:
    """Credentials for the TURN servers of [turn], and what `iceServers` of a browser should be."""
    ttl = int(call.text("Ttl") or call.services.ice_servers().ttl)
    if ttl < 1:
        return refuse(20001, "Ttl should be at least 1 second")
    made, when = credential_for(call, ttl), rfc2822(call.now)
    return answer_json(
        TokenBody(
            account_sid=call.account.sid,
            date_created=when,
            date_updated=when,
            ice_servers=made.ice_servers,
            password=made.password,
            ttl=str(made.ttl),
            username=made.username,
        ),
        201,
    )


OPERATIONS: Final = (
    Operation(
        *("CreateToken", "POST", f"{PATH}/Tokens", create, Access.WRITE),
        params=(
            Param(
                name="Ttl",
                kind=Kind.INTEGER,
                doc="Seconds for which they count: [turn] ttl, which is also the most.",
            ),
        ),
        status=201,
        returns=TokenBody,
    ),
)

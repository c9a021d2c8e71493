"""Clients: `/v1/clients`, the devices of the Voice SDK that are connected to this process now."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from gateway.api.http import answer_json, iso8601, refuse
from gateway.api.paging import LIMIT, limit_of
from gateway.api.resources import Access, Call, Operation, Param, Result
from gateway.browsers.roster import Place, Present
from gateway.forms import Address
from gateway.messages.draft import Refusal

_decode: Final = msgspec.json.Decoder(Place).decode


class ClientBody(msgspec.Struct, frozen=True, kw_only=True):
    """A device: who it is, what browser and SDK it says to be, and where it comes from.

    `registered` is whether it takes calls, `calls` are the SIDs of those that it has, `expires_at`
    is when its token runs out.
    """

    identity: str
    device: str
    source: str
    transport: str
    registered: bool
    calls: list[str]
    connected_at: str | None
    expires_at: str | None


class ClientsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Devices by identity; `next` is the `after` of the following page, null at the end."""

    clients: list[ClientBody]
    next: str | None


def _body(present: Present) -> ClientBody:
    return ClientBody(
        identity=present.identity,
        device=present.agent,
        source=str(Address(*present.flow.remote)),
        transport=present.flow.transport,
        registered=present.is_registered,
        calls=list(present.calls),
        connected_at=iso8601(present.since),
        expires_at=iso8601(present.expires_at),
    )


async def list_(call: Call) -> Result:
    """The account's devices of the Voice SDK that are connected to this process, by identity."""
    clients = call.services.clients
    if clients is None:
        said = "this process has no role voice, so no browser is connected to it; ask one that has"
        return refuse(20404, f"{call.request.path} is not here: {said}")
    limit = limit_of(call)
    if isinstance(limit, Refusal):
        return limit
    after = _place(call.text("after"))
    if isinstance(after, Refusal):
        return after
    found = clients.page(call.account.sid, limit + 1, after)
    page = found[:limit]
    following = _token(page[-1].place) if len(found) > limit else None
    return answer_json(ClientsBody(clients=[_body(each) for each in page], next=following))


def _token(place: Place) -> str:
    """A place as clients carry it."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(token: str) -> Place | Refusal:
    if not token:
        return "", 0
    try:
        place: Place = _decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return refuse(20001, "'after' should be the 'next' of the page before")
    return place


OPERATIONS: Final = (
    Operation(
        *("ListClients", "GET", "/v1/clients", list_, Access.READ),
        params=(
            LIMIT,
            Param(name="after", doc="Only devices after this one: `next` of the page before."),
        ),
        returns=ClientsBody,
    ),
)

"""Registrations: `/v1/registrations`, the phones that can be called now."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from gateway.api.http import answer_json, iso8601, refuse
from gateway.api.paging import LIMIT, limit_of
from gateway.api.resources import Access, Call, Operation, Param, Result
from gateway.messages.draft import Refusal
from gateway.sip import bindings
from protocols.sip.binding import Binding
from protocols.sip.uri import format_uri

Place = tuple[str, str]  # (address-of-record, id)

_decode: Final = msgspec.json.Decoder(Place).decode


class RegistrationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A phone, and how it is reached: the user that it registered, its own address in `contact`.

    `source` is where its registration came from, `path` the edges that stand before it, nearest
    first.
    """

    aor: str
    contact: str
    user_agent: str
    transport: str
    source: str
    path: list[str]
    registered_at: str | None
    expires_at: str | None


class RegistrationsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Phones by user; `next` is the `after` of the following page, null at the end."""

    registrations: list[RegistrationBody]
    next: str | None


def _body(binding: Binding) -> RegistrationBody:
    host, port = binding.flow.remote
    return RegistrationBody(
        aor=binding.aor,
        contact=format_uri(binding.uri),
        user_agent=binding.user_agent,
        transport=binding.flow.transport,
        source=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        path=[format_uri(hop) for hop in binding.path],
        registered_at=iso8601(binding.registered_at),
        expires_at=iso8601(binding.expires_at),
    )


async def list_(call: Call) -> Result:
    """The account's phones that are registered now, by user."""
    limit = limit_of(call)
    if isinstance(limit, Refusal):
        return limit
    after = _place(call.text("after"))
    if isinstance(after, Refusal):
        return after
    found = await bindings.of_account(
        call.services.store, call.account.sid, call.now, limit + 1, after
    )
    page = found[:limit]
    following = _token(page[-1]) if len(found) > limit else None
    return answer_json(RegistrationsBody(registrations=[_body(b) for b in page], next=following))


def _token(binding: Binding) -> str:
    """A place as clients carry it."""
    place: Place = (binding.aor, binding.id)
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(token: str) -> Place | Refusal:
    if not token:
        return "", ""
    wrong = refuse(20001, "'after' should be the 'next' of the page before")
    try:
        place: Place = _decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return wrong
    return wrong if "\0" in "".join(place) else place


OPERATIONS: Final = (
    Operation(
        *("ListRegistrations", "GET", "/v1/registrations", list_, Access.READ),
        params=(
            LIMIT,
            Param(name="after", doc="Only phones after this one: `next` of the page before."),
        ),
        returns=RegistrationsBody,
    ),
)

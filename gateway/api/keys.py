"""Keys: `/2010-04-01/Accounts/{AccountSid}/Keys`, and the same ones as `SigningKeys`.

Twilio has both names for what calls REST and signs Access Tokens; so a key that was made under one
is found under the other. Who makes keys lets others in, so a key can't: that takes the auth token.
"""

from typing import Final

import msgspec

from gateway.access.keys import MOST, Closed, Full, Key
from gateway.api.declare import PATH, Resource
from gateway.api.http import answer_json, not_found, refuse, rfc2822
from gateway.api.paging import Page, Slice, slice_of
from gateway.api.resources import Access, Answer, Call, Param
from gateway.messages.draft import Refusal
from gateway.sids import KEY

_MAX_NAME: Final = 64


class KeyBody(msgspec.Struct, frozen=True, kw_only=True):
    """A key as REST shows it."""

    sid: str
    friendly_name: str
    date_created: str
    date_updated: str


class NewKeyBody(KeyBody, frozen=True, kw_only=True):
    """A key that was just made: the one time that its secret is shown."""

    secret: str

    def __repr__(self) -> str:
        return f"NewKeyBody({self.sid})"


def key_body(call: Call, key: Key) -> KeyBody:
    """The JSON of `key`, without its secret."""
    return KeyBody(
        sid=key.sid,
        friendly_name=key.friendly_name,
        date_created=rfc2822(key.date_created),
        date_updated=rfc2822(key.date_updated),
    )


def _refuse_name(call: Call) -> Refusal | None:
    if len(call.text("FriendlyName")) > _MAX_NAME:
        return refuse(20002, f"FriendlyName should have {_MAX_NAME} characters at most")
    return None


async def create(call: Call) -> Answer | Refusal:
    """Make a key; its secret stands in this answer and is never shown again."""
    refusal = _refuse_name(call)
    if refusal is not None:
        return refusal
    name = call.text("FriendlyName")
    try:
        key = await call.services.keys.add(call.account.sid, name, call.now)
    except Full:
        return refuse(20010, f"The account has {MOST} keys, which is all: delete one first")
    except Closed:
        return refuse(20005, "The account was closed")
    shown = msgspec.structs.asdict(key_body(call, key))
    return answer_json(NewKeyBody(**shown, secret=key.secret), 201)


async def find(call: Call) -> Key | Refusal:
    """One key of the account, without its secret."""
    key = call.services.keys.get(call.account.sid, call.path["Sid"])
    return not_found(call.request.path) if key is None else key


async def pages(call: Call, page: Page) -> Slice:
    """The account's keys, newest first, without their secrets."""
    return slice_of(call.services.keys.of_account(call.account.sid), page)


async def update(call: Call, key: Key) -> Key | Refusal:
    """Rename a key."""
    refusal = _refuse_name(call)
    if refusal is not None:
        return refusal
    name = call.text("FriendlyName") or key.friendly_name
    try:
        return await call.services.keys.rename(key.sid, name, call.now)
    except KeyError:  # it was deleted meanwhile
        return not_found(call.request.path)


async def delete(call: Call, key: Key) -> None:
    """Delete a key: it calls nothing any more, and tokens that it signed let nobody in."""
    await call.services.keys.remove(key.sid, call.now)


_PARAMS: Final = (Param(name="FriendlyName", doc="A name for people, up to 64 characters."),)

RESOURCES: Final = tuple(
    Resource[Key](
        name=name,
        path=f"{PATH}/{name}s",
        prefixes=(KEY,),
        list_key=list_key,
        returns=KeyBody,
        makes=NewKeyBody,
        body=key_body,
        find=find,
        pages=pages,
        create=create,
        update=update,
        delete=delete,
        create_params=_PARAMS,
        update_params=_PARAMS,
        reads=Access.OWNER_READ,
        writes=Access.OWNER_WRITE,
    )
    for name, list_key in (("Key", "keys"), ("SigningKey", "signing_keys"))
)

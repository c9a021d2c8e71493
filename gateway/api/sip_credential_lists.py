"""SIP/CredentialLists: users that domains let in together."""

from typing import Final

import msgspec

from gateway.api import sip
from gateway.api.http import answer_json, rfc2822
from gateway.api.resources import Call, Param, Result
from gateway.messages.draft import Refusal
from gateway.sids import CREDENTIAL_LIST, new_sid
from gateway.sip.model import CredentialList
from gateway.sip.rules import read_friendly_name

_CODES: Final = sip.Codes(invalid=21240, full=21239, in_use=21241)
_VARIABLE: Final = "CredentialListSid"
PATH: Final = f"{sip.PATH}/CredentialLists"


class SipCredentialListBody(msgspec.Struct, frozen=True, kw_only=True):
    """A list as REST shows it."""

    account_sid: str
    date_created: str
    date_updated: str
    friendly_name: str
    sid: str
    subresource_uris: dict[str, str]
    uri: str


def _body(list_: CredentialList) -> SipCredentialListBody:
    place = "CredentialLists", list_.sid
    return SipCredentialListBody(
        account_sid=list_.account_sid,
        date_created=rfc2822(list_.date_created),
        date_updated=rfc2822(list_.date_updated),
        friendly_name=list_.friendly_name,
        sid=list_.sid,
        subresource_uris={"credentials": sip.uri_of(list_.account_sid, *place, "Credentials")},
        uri=sip.uri_of(list_.account_sid, *place),
    )


async def create(call: Call) -> Result:
    """Make a list of users, empty at first."""

    async def work() -> Result:
        list_ = CredentialList(
            sid=new_sid(CREDENTIAL_LIST, call.now),
            account_sid=call.account.sid,
            friendly_name=read_friendly_name(call.text("FriendlyName")),
            date_created=call.now,
            date_updated=call.now,
        )
        await call.services.sip.add(list_)
        return answer_json(_body(list_), 201)

    return await sip.answered(call, _CODES, work())


async def list_all(call: Call) -> Result:
    """The account's credential lists, newest first."""
    lists = call.services.sip.credential_lists.under(call.account.sid, call.account.sid)
    return sip.page(call, "credential_lists", (CREDENTIAL_LIST,), lists, _body)


async def fetch(call: Call) -> Result:
    """One list."""
    found = sip.found(call, call.services.sip.credential_lists, call.path[_VARIABLE])
    return found if isinstance(found, Refusal) else answer_json(_body(found))


async def update(call: Call) -> Result:
    """Rename a list."""
    old = sip.owned_by_rest(
        sip.found(call, call.services.sip.credential_lists, call.path[_VARIABLE])
    )
    if isinstance(old, Refusal):
        return old

    async def work() -> Result:
        name = read_friendly_name(call.text("FriendlyName"))
        new = await call.services.sip.change(old, call.now, friendly_name=name)
        return answer_json(_body(new))

    return await sip.answered(call, _CODES, work())


async def delete(call: Call) -> Result:
    """Remove a list that no domain asks, and its users."""
    shelf = call.services.sip.credential_lists
    return await sip.removed(
        call, _CODES, sip.owned_by_rest(sip.found(call, shelf, call.path[_VARIABLE]))
    )


_NAME: Final = Param(
    name="FriendlyName", required=True, doc="A name for people, up to 64 characters."
)

OPERATIONS: Final = sip.operations(
    sip.Resource(
        name="SipCredentialList",
        path=PATH,
        variable=_VARIABLE,
        list_key="credential_lists",
        returns=SipCredentialListBody,
        create=create,
        list_=list_all,
        fetch=fetch,
        update=update,
        delete=delete,
        create_params=(_NAME,),
        update_params=(_NAME,),
    )
)

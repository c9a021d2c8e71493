"""SIP/CredentialLists/…/Credentials: the users of a list.

A password is read once, for its hashes, and shown to nobody.
"""

from typing import Final

import msgspec

from gateway.api import sip, sip_credential_lists
from gateway.api.http import answer_json, rfc2822
from gateway.api.resources import Call, Param, Result
from gateway.messages.draft import Refusal
from gateway.sids import CREDENTIAL, new_sid
from gateway.sip.model import Credential, CredentialList
from gateway.sip.rules import hashes_of, read_password, read_username

_CODES: Final = sip.Codes(invalid=21243, full=21242)
_LIST: Final = "CredentialListSid"


class SipCredentialBody(msgspec.Struct, frozen=True, kw_only=True):
    """A user as REST shows it."""

    account_sid: str
    credential_list_sid: str
    date_created: str
    date_updated: str
    sid: str
    uri: str
    username: str


def _body(user: Credential) -> SipCredentialBody:
    place = "CredentialLists", user.credential_list_sid, "Credentials", user.sid
    return SipCredentialBody(
        account_sid=user.account_sid,
        credential_list_sid=user.credential_list_sid,
        date_created=rfc2822(user.date_created),
        date_updated=rfc2822(user.date_updated),
        sid=user.sid,
        uri=sip.uri_of(user.account_sid, *place),
        username=user.username,
    )


def _list(call: Call) -> CredentialList | Refusal:
    return sip.found(call, call.services.sip.credential_lists, call.path[_LIST])


def _user(call: Call) -> Credential | Refusal:
    user = sip.found(call, call.services.sip.credentials, call.path["Sid"])
    if isinstance(user, Refusal) or user.credential_list_sid == call.path[_LIST]:
        return user
    return sip.absent(call)


async def create(call: Call) -> Result:
    """Add a user to a list."""
    list_ = sip.owned_by_rest(sip.found(call, call.services.sip.credential_lists, call.path[_LIST]))
    if isinstance(list_, Refusal):
        return list_

    async def work() -> Result:
        username = read_username(call.text("Username"))
        user = Credential(
            sid=new_sid(CREDENTIAL, call.now),
            account_sid=call.account.sid,
            credential_list_sid=list_.sid,
            username=username,
            hashes=hashes_of(username, read_password(call.text("Password"))),
            date_created=call.now,
            date_updated=call.now,
        )
        await call.services.sip.add(user)
        return answer_json(_body(user), 201)

    return await sip.answered(call, _CODES, work())


async def list_all(call: Call) -> Result:
    """The users of a list, newest first."""
    list_ = _list(call)
    if isinstance(list_, Refusal):
        return list_
    users = call.services.sip.credentials.under(call.account.sid, list_.sid)
    return sip.page(call, "credentials", (CREDENTIAL,), users, _body)


async def fetch(call: Call) -> Result:
    """One user."""
    user = _user(call)
    return user if isinstance(user, Refusal) else answer_json(_body(user))


async def update(call: Call) -> Result:
    """Set another password."""
    user = sip.owned_by_rest(_user(call))
    if isinstance(user, Refusal):
        return user

    async def work() -> Result:
        hashes = hashes_of(user.username, read_password(call.text("Password")))
        return answer_json(_body(await call.services.sip.change(user, call.now, hashes=hashes)))

    return await sip.answered(call, _CODES, work())


async def delete(call: Call) -> Result:
    """Remove a user from a list."""
    return await sip.removed(call, _CODES, sip.owned_by_rest(_user(call)))


_PASSWORD: Final = Param(
    name="Password",
    required=True,
    doc="12 to 128 characters, among them a digit, a small and a capital letter.",
)

OPERATIONS: Final = sip.operations(
    sip.Resource(
        name="SipCredential",
        path=f"{sip_credential_lists.PATH}/{{{_LIST}}}/Credentials",
        variable="Sid",
        list_key="credentials",
        returns=SipCredentialBody,
        create=create,
        list_=list_all,
        fetch=fetch,
        update=update,
        delete=delete,
        create_params=(
            Param(name="Username", required=True, doc="What a phone authenticates with: 1 to 32."),
            _PASSWORD,
        ),
        update_params=(_PASSWORD,),
    )
)

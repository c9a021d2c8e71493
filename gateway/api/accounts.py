"""Accounts: `/2010-04-01/Accounts`, a main account and the subaccounts under it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway import applications
from gateway.api.auth import is_main
from gateway.api.declare import API_VERSION, Resource
from gateway.api.http import refuse, rfc2822
from gateway.api.paging import Page, Slice, slice_of
from gateway.api.resources import Access, Call, Param
from gateway.calls import queue_tables
from gateway.messages.draft import Refusal
from gateway.model import Account, AccountStatus
from gateway.sids import ACCOUNT
from gateway.store.base import Write

_PATH: Final = f"/{API_VERSION}/Accounts"
_MAX_NAME: Final = 64
_SUBRESOURCES: Final = {
    "calls": "Calls",
    "incoming_phone_numbers": "IncomingPhoneNumbers",
    "messages": "Messages",
}


class AccountBody(msgspec.Struct, frozen=True, kw_only=True):
    """An account as REST shows it, to itself and to its parent."""

    auth_token: str
    date_created: str
    date_updated: str
    friendly_name: str
    owner_account_sid: str
    sid: str
    status: str
    subresource_uris: dict[str, str]
    type: str
    uri: str


def account_body(call: Call, account: Account) -> AccountBody:
    """The JSON of `account`."""
    base = f"{_PATH}/{account.sid}"
    return AccountBody(
        auth_token=account.auth_token,
        date_created=rfc2822(account.date_created),
        date_updated=rfc2822(account.date_updated),
        friendly_name=account.friendly_name,
        owner_account_sid=account.parent_sid,
        sid=account.sid,
        status=account.status,
        subresource_uris={name: f"{base}/{path}.json" for name, path in _SUBRESOURCES.items()},
        type="Full",
        uri=f"{base}.json",
    )


async def create(call: Call) -> Account | Refusal:
    """A subaccount of the caller, with a SID and a token of its own."""
    if not is_main(call.account):
        return refuse(21101)
    name = call.text("FriendlyName")
    if len(name) > _MAX_NAME:
        return _bad_name()
    made = datetime.fromtimestamp(call.now, UTC)
    return await call.services.accounts.add_subaccount(
        call.account.sid, name or f"SubAccount Created at {made:%Y-%m-%d %I:%M %p}", call.now
    )


async def find(call: Call) -> Account:
    """The account itself or one of its subaccounts."""
    return call.account


async def pages(call: Call, page: Page) -> Slice:
    """The account and its subaccounts, newest first."""
    name, status = call.text("FriendlyName"), call.text("Status")
    members = [
        account
        for account in call.services.accounts.family(call.account.sid)
        if name in ("", account.friendly_name) and status in ("", account.status)
    ]
    return slice_of(members, page)


async def update(call: Call, account: Account) -> Account | Refusal:
    """Rename an account; suspend, wake or close a subaccount. What is closed stays closed."""
    name = call.text("FriendlyName")
    if len(name) > _MAX_NAME:
        return _bad_name()
    status = AccountStatus(call.text("Status") or account.status)
    if status is not account.status:
        refusal = _refuse_status(call)
        if refusal is not None:
            return refusal
    closes = status is AccountStatus.CLOSED
    return await (_close(call, name) if closes else _change(call, name, status))


async def _change(
    call: Call, name: str, status: AccountStatus, also: Sequence[Write] = ()
) -> Account:
    return await call.services.accounts.change(
        call.account.sid, call.now, friendly_name=name or None, status=status, also=also
    )


async def _close(call: Call, name: str) -> Account:
    """Close the account and let go its numbers, keys, domains and all else, or nothing."""
    sid, services = call.account.sid, call.services
    async with (
        services.phone_numbers.closing(sid, call.now) as of_numbers,
        services.keys.closing(sid, call.now) as of_keys,
        services.sip.closing(sid, call.now) as of_sip,
    ):
        ours = (applications.all_removed(sid), queue_tables.all_removed(sid))
        gone = [*of_numbers, *of_keys, *of_sip, *ours]
        return await _change(call, name, AccountStatus.CLOSED, gone)


def _bad_name() -> Refusal:
    return refuse(20002, f"FriendlyName should have {_MAX_NAME} characters at most")


def _refuse_status(call: Call) -> Refusal | None:
    if is_main(call.account):
        return refuse(21477)
    if call.account is call.caller:
        return refuse(20006, "The status of a subaccount is changed by its parent's credentials")
    if call.account.status is AccountStatus.CLOSED:
        return refuse(21479)
    return None


_STATUSES: Final = tuple(AccountStatus)
_NAME: Final = Param(name="FriendlyName", doc="A name for people, up to 64 characters.")

RESOURCES: Final = (
    Resource[Account](
        name="Account",
        path=_PATH,
        variable="AccountSid",
        prefixes=(ACCOUNT,),
        list_key="accounts",
        returns=AccountBody,
        body=account_body,
        find=find,
        pages=pages,
        create=create,
        update=update,
        reads=Access.ACCOUNT_READ,
        writes=Access.ACCOUNT_WRITE,
        filters=(
            Param(name="FriendlyName", doc="Only accounts of exactly this name."),
            Param(name="Status", choices=_STATUSES, doc="Only accounts of this status."),
        ),
        create_params=(_NAME,),
        update_params=(
            _NAME,
            Param(
                name="Status",
                choices=_STATUSES,
                error_code=21475,
                doc="Of a subaccount, by its parent: active, suspended or closed (for good).",
            ),
        ),
    ),
)

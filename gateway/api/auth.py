"""Who is asking, and may they: Basic auth against the directories of accounts and their keys.

The secret is compared in constant time, and an unknown SID costs what a wrong token costs.
Failures are counted per (client address, account); names of accounts that do not exist share one
count, so that nobody can push others out of the table by inventing names.
"""

import hmac
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.access.keys import Keys
from gateway.accounts import Accounts
from gateway.api.http import basic_credentials, not_found, refuse
from gateway.api.resources import Access
from gateway.messages.draft import Refusal
from gateway.model import Account, AccountKind, AccountStatus
from gateway.sources import Sources
from gateway.tries import Tries

_NOBODY: Final = ""
_SOURCES: Final = "source"
_NO_TOKEN: Final = "0" * 32
_NO_KEY: Final = (
    "Authentication Error - no source has this write key, which comes without a password;"
    " an account's SID comes with its token"
)


# Who calls what is public.
NOBODY: Final = Account(
    sid=_NOBODY,
    parent_sid=_NOBODY,
    kind=AccountKind.TEST,
    friendly_name="",
    auth_token="",
    status=AccountStatus.CLOSED,
    date_created=0.0,
    date_updated=0.0,
    version=0,
)


class Throttled(msgspec.Struct, frozen=True):
    """Too many wrong secrets: the seconds until the next try is looked at."""

    seconds: float


class Caller(msgspec.Struct, frozen=True):
    """Whose credentials a request bears, and whether they are a key's."""

    account: Account
    by_key: bool = False


def authenticate(
    accounts: Accounts,
    keys: Keys,
    tries: Tries,
    header: str | None,
    address: Callable[[], str],
    now: float,
) -> Caller | Refusal | Throttled:
    """Whose credentials `header` bears: `AC…` and its auth token, or `SK…` and its secret.

    `address` gives the client's, which costs a call to the system and is asked for only when
    there are wrong guesses. Wrong or no credentials are 20003.
    """
    if header is None:
        return refuse(20003, "Authentication needed: Basic, with the account's SID and auth token")
    credentials = basic_credentials(header)
    if credentials is None:
        return refuse(20003, "The Authorization header is not Basic credentials (SID:token)")
    sid, token = credentials
    caller, secret = _known(accounts, keys, sid)
    name = sid if caller is not None else _NOBODY
    guessed = len(tries) > 0
    wait = tries.wait((address(), name), now) if guessed else 0.0
    if wait:
        return Throttled(wait)
    if hmac.compare_digest(secret.encode(), token.encode()) and caller is not None:
        if guessed:
            tries.succeeded((address(), name))
        return caller
    tries.failed((address(), name), now)
    return refuse(20003, "Authentication Error - invalid username")


def _known(accounts: Accounts, keys: Keys, sid: str) -> tuple[Caller | None, str]:
    """Who goes by `sid`, and the secret of that; for nobody one that is as long."""
    key = keys.find(sid)
    account = accounts.get(sid if key is None else key.account_sid)
    if account is None:
        return None, _NO_TOKEN
    secret = account.auth_token if key is None else key.secret
    return Caller(account, by_key=key is not None), secret


def authenticate_source(
    sources: Sources,
    accounts: Accounts,
    keys: Keys,
    tries: Tries,
    header: str | None,
    address: Callable[[], str],
    now: float,
) -> Caller | Refusal | Throttled:
    """As `authenticate`, but a source's write key with no password is its account's as well."""
    credentials = None if header is None else basic_credentials(header)
    if credentials is None or credentials[1]:
        return authenticate(accounts, keys, tries, header, address, now)
    guesser = (address(), _SOURCES)
    wait = tries.wait(guesser, now)
    if wait:
        return Throttled(wait)
    source = sources.find(credentials[0])
    account = None if source is None else accounts.get(source.account_sid)
    if account is None:
        tries.failed(guesser, now)
        return refuse(20003, _NO_KEY)
    tries.succeeded(guesser)
    return Caller(account)


def target(accounts: Accounts, caller: Account, sid: str, path: str) -> Account | Refusal:
    """The account `sid` of a path: the caller itself or a subaccount of it, else not found."""
    if sid == caller.sid:
        return caller
    account = accounts.get(sid)
    if account is None or account.parent_sid != caller.sid:
        return not_found(path)
    return account


_READS: Final = frozenset({Access.READ, Access.OWNER_READ, Access.ACCOUNT_READ})
_OWN: Final = frozenset({Access.ACCOUNT_READ, Access.ACCOUNT_WRITE})
BY_NO_KEY: Final = _OWN | {Access.OWNER_READ, Access.OWNER_WRITE, Access.STEER}


def permit(caller: Account, account: Account, access: Access) -> Refusal | None:
    """None if `caller` may do this to `account` as both stand: a suspended one may read alone.

    A closed account's credentials do nothing; its parent still sees it and may not use it.
    """
    for one in (caller, account):
        if one.status is AccountStatus.ACTIVE:
            continue
        if one is account and one is not caller and access in _OWN:
            continue  # a parent looks at, or wakes, its subaccount
        if one.status is AccountStatus.SUSPENDED and access in _READS:
            continue
        return refuse(20005, f"Account {one.sid} is {one.status}, not active")
    if access is Access.STEER and not is_main(caller):
        return refuse(20006, "All accounts share this: only a main account may do it")
    return None


def refuse_key(caller: Caller, access: Access) -> Refusal | None:
    """None unless this takes the auth token: what shows or makes secrets, or is all accounts'."""
    if caller.by_key and access in BY_NO_KEY:
        return refuse(20006, "A key may not do this: use the account's SID and auth token")
    return None


def is_main(account: Account) -> bool:
    """Whether this is a full account that is nobody's subaccount."""
    return account.parent_sid == account.sid and account.kind is AccountKind.FULL

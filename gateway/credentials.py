"""The first accounts: made at the first start, kept in `<data>/credentials.json`, mode 0600.

The environment (`TRUNKLINE_ACCOUNT_SID` …) sets them instead, and then wins over the file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.accounts import Accounts, new_token
from gateway.model import Account, AccountKind, AccountStatus
from gateway.sids import ACCOUNT, is_sid, new_sid
from gateway.store.base import Insert

FILE = "credentials.json"
_FIRST = Insert(table="meta", columns=("name", "value"))


class CredentialsError(Exception):
    """The credentials that were given can't be used; the text says what would be right."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The main account and the test account, as the file has them."""

    account_sid: str
    auth_token: str
    test_account_sid: str
    test_auth_token: str

    def __repr__(self) -> str:
        return f"Credentials({self.account_sid}, {self.test_account_sid})"


def load(
    data: Path, environ: Mapping[str, str], now: float, stored: Mapping[str, str] | None = None
) -> Credentials:
    """The credentials of the data folder, with those of the environment over them.

    `stored` are those of a store that other processes share: they win over the folder's.
    """
    path = data / FILE
    try:
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        known = {}
    except (OSError, msgspec.DecodeError) as error:
        raise CredentialsError(
            f"{path} can't be read ({error}); mend it, or remove it to get new credentials"
        ) from None
    made = {
        "account_sid": new_sid(ACCOUNT, now),
        "auth_token": new_token(),
        "test_account_sid": new_sid(ACCOUNT, now),
        "test_auth_token": new_token(),
    }
    values = {
        name: environ.get(f"TRUNKLINE_{name.upper()}")
        or (stored or {}).get(name)
        or known.get(name)
        or fresh
        for name, fresh in made.items()
    }
    for name in ("account_sid", "test_account_sid"):
        if not is_sid(values[name], ACCOUNT):
            raise CredentialsError(
                f"{name} is {values[name]!r}; it should be AC and 32 lower-case hex digits"
            )
    return Credentials(**values)


def save(data: Path, credentials: Credentials) -> None:
    """Keep the credentials in the data folder, for the command line and the next start."""
    path = data / FILE
    values = msgspec.structs.asdict(credentials)
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(values, file, indent=2)
        file.write("\n")
    fresh.replace(path)


def stored(accounts: Accounts) -> dict[str, str]:
    """What a store that is not new has of them."""
    found = {}
    for prefix, kind in (("", AccountKind.FULL), ("test_", AccountKind.TEST)):
        account = accounts.first(kind)
        if account is not None:
            found[f"{prefix}account_sid"] = account.sid
            found[f"{prefix}auth_token"] = account.auth_token
    return found


async def establish(credentials: Credentials, accounts: Accounts, now: float) -> Account:
    """Make the two accounts exist with these tokens; the answer is the main one.

    Raises `Conflict` when another process makes the first account of a new store at this moment.
    """
    main = await _establish(
        accounts, credentials.account_sid, credentials.auth_token, AccountKind.FULL, now
    )
    await _establish(
        accounts, credentials.test_account_sid, credentials.test_auth_token, AccountKind.TEST, now
    )
    return main


async def _establish(
    accounts: Accounts, sid: str, token: str, kind: AccountKind, now: float
) -> Account:
    account = accounts.get(sid)
    if account is None:
        account = Account(
            sid=sid,
            parent_sid=sid,
            kind=kind,
            friendly_name="Main account" if kind is AccountKind.FULL else "Test credentials",
            auth_token=token,
            status=AccountStatus.ACTIVE,
            date_created=now,
            date_updated=now,
            version=1,
        )
        first = accounts.first(kind) is None
        await accounts.add(account, also=[(_FIRST, (f"first_{kind}", sid))] if first else [])
    elif account.auth_token != token:
        account = await accounts.change(sid, now, auth_token=token)
    return account

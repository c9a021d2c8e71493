"""Who may do what, judged without a socket."""

from base64 import b64encode
from typing import cast

import msgspec
import pytest

from gateway.access.keys import Key, Keys
from gateway.accounts import Accounts
from gateway.api.auth import Caller, Throttled, authenticate, permit, refuse_key, target
from gateway.api.resources import Access
from gateway.messages.draft import Refusal
from gateway.model import Account, AccountKind, AccountStatus
from gateway.store.base import Store
from gateway.tries import Tries

NO_STORE = cast(Store, None)  # the directory is only read here


def account(sid: str, parent_sid: str = "", **changed: object) -> Account:
    made = Account(
        sid=sid,
        parent_sid=parent_sid or sid,
        kind=AccountKind.FULL,
        friendly_name=sid,
        auth_token=f"token of {sid}",
        status=AccountStatus.ACTIVE,
        date_created=1.0,
        date_updated=1.0,
        version=1,
    )
    return msgspec.structs.replace(made, **changed)


MAIN = account("ACmain")
SUB = account("ACsub", "ACmain")
OTHER = account("ACother")


KEYS = Keys(
    NO_STORE,
    [
        Key(
            account_sid=account_sid,
            sid=sid,
            friendly_name="",
            secret=f"secret of {sid}",
            date_created=1.0,
            date_updated=1.0,
        )
        for sid, account_sid in (("SKsub", "ACsub"), ("SKgone", "ACgone"))
    ],
)


def test_a_token_is_not_shown_by_chance() -> None:
    assert MAIN.auth_token not in repr((MAIN, [MAIN]))


def near() -> str:
    return "10.0.0.1"


def far() -> str:
    return "10.0.0.2"


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(NO_STORE, [MAIN, SUB, OTHER])


def basic(sid: str, token: str) -> str:
    return "Basic " + b64encode(f"{sid}:{token}".encode()).decode()


def test_the_token_opens_its_account_alone(accounts: Accounts) -> None:
    tries = Tries()
    right = authenticate(accounts, KEYS, tries, basic("ACsub", SUB.auth_token), near, 0.0)
    assert right == Caller(SUB)
    for sid, token in [("ACsub", MAIN.auth_token), ("ACsub", ""), ("ACnone", "x"), ("", "")]:
        wrong = authenticate(accounts, KEYS, tries, basic(sid, token), near, 0.0)
        assert isinstance(wrong, Refusal)
        assert wrong.error_code == 20003


def test_a_changed_token_closes_at_once(accounts: Accounts) -> None:
    header = basic("ACmain", MAIN.auth_token)
    changed = Accounts(NO_STORE, [account("ACmain", auth_token="new")])
    assert authenticate(accounts, KEYS, Tries(), header, near, 0.0) == Caller(MAIN)
    assert isinstance(authenticate(changed, KEYS, Tries(), header, near, 0.0), Refusal)


def test_a_key_stands_for_its_account(accounts: Accounts) -> None:
    right = authenticate(accounts, KEYS, Tries(), basic("SKsub", "secret of SKsub"), near, 0.0)
    assert right == Caller(SUB, by_key=True)
    wrong = [("SKsub", SUB.auth_token), ("SKsub", ""), ("SKgone", "secret of SKgone")]
    for sid, secret in [*wrong, ("ACsub", "secret of SKsub"), ("SKnone", "0" * 32)]:
        told = authenticate(accounts, KEYS, Tries(), basic(sid, secret), near, 0.0)
        assert isinstance(told, Refusal), sid
        assert told.error_code == 20003


def test_guessing_a_keys_secret_is_stopped(accounts: Accounts) -> None:
    tries = Tries(tries=3, window=60.0)
    for _ in range(3):
        authenticate(accounts, KEYS, tries, basic("SKsub", "guess"), near, 0.0)
    right = basic("SKsub", "secret of SKsub")
    assert authenticate(accounts, KEYS, tries, right, near, 20.0) == Throttled(40.0)
    token = basic("ACsub", SUB.auth_token)
    assert authenticate(accounts, KEYS, tries, token, near, 20.0) == Caller(SUB)


def test_what_lets_others_in_takes_the_token() -> None:
    free = {Access.READ, Access.WRITE, Access.SOURCE, Access.PUBLIC}
    for access in Access:
        assert refuse_key(Caller(MAIN), access) is None
        told = refuse_key(Caller(MAIN, by_key=True), access)
        assert (None if told is None else told.error_code) == (None if access in free else 20006)


def test_guessing_is_stopped_even_for_the_right_token(accounts: Accounts) -> None:
    tries = Tries(tries=3, window=60.0)
    for _ in range(3):
        authenticate(accounts, KEYS, tries, basic("ACmain", "guess"), near, 0.0)
    right = basic("ACmain", MAIN.auth_token)
    assert authenticate(accounts, KEYS, tries, right, near, 20.0) == Throttled(40.0)
    assert authenticate(accounts, KEYS, tries, right, far, 20.0) == Caller(MAIN)
    assert authenticate(accounts, KEYS, tries, right, near, 60.0) == Caller(MAIN)


def test_invented_accounts_take_one_place_in_the_table(accounts: Accounts) -> None:
    tries = Tries(tries=50, window=60.0)
    for number in range(40):
        authenticate(accounts, KEYS, tries, basic(f"AC{number}", "x"), near, 0.0)
    assert len(tries) == 1


def test_a_parent_acts_on_its_subaccounts_and_nobody_else_does(accounts: Accounts) -> None:
    assert target(accounts, MAIN, "ACsub", "/p") is SUB
    assert target(accounts, SUB, "ACsub", "/p") is SUB
    for caller, sid in [(SUB, "ACmain"), (OTHER, "ACsub"), (MAIN, "ACother"), (MAIN, "ACnone")]:
        refusal = target(accounts, caller, sid, "/p")
        assert isinstance(refusal, Refusal)
        assert refusal.error_code == 20404


ACTIVE, SUSPENDED, CLOSED = AccountStatus.ACTIVE, AccountStatus.SUSPENDED, AccountStatus.CLOSED


@pytest.mark.parametrize(
    ("status", "access", "by_itself", "by_its_parent"),
    [
        (ACTIVE, Access.READ, True, True),
        (ACTIVE, Access.WRITE, True, True),
        (SUSPENDED, Access.READ, True, True),
        (SUSPENDED, Access.WRITE, False, False),
        (SUSPENDED, Access.ACCOUNT_READ, True, True),
        (SUSPENDED, Access.ACCOUNT_WRITE, False, True),
        (CLOSED, Access.READ, False, False),
        (CLOSED, Access.WRITE, False, False),
        (CLOSED, Access.ACCOUNT_READ, False, True),
        (CLOSED, Access.ACCOUNT_WRITE, False, True),
    ],
)
def test_what_a_status_allows(
    status: AccountStatus, access: Access, by_itself: bool, by_its_parent: bool
) -> None:
    sub = msgspec.structs.replace(SUB, status=status)
    for caller, allowed in [(sub, by_itself), (MAIN, by_its_parent)]:
        refusal = permit(caller, sub, access)
        assert (refusal is None) is allowed
        if refusal is not None:
            assert refusal.error_code == 20005


def test_only_main_accounts_steer_carriers() -> None:
    assert permit(MAIN, MAIN, Access.STEER) is None
    refusal = permit(SUB, SUB, Access.STEER)
    assert refusal is not None
    assert refusal.error_code == 20006

"""The first accounts: made once, kept for their owner alone, set by the environment."""

import json
from pathlib import Path

import pytest

from gateway import credentials
from gateway.accounts import Accounts
from gateway.credentials import Credentials, CredentialsError
from gateway.model import AccountKind
from gateway.store.base import Conflict
from gateway.store.sqlite import SqliteStore

NOW = 1_795_000_000.0
SID = "AC" + "0" * 32


def saved(folder: Path, environ: dict[str, str]) -> Credentials:
    loaded = credentials.load(folder, environ, NOW)
    credentials.save(folder, loaded)
    return loaded


def test_they_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    made = saved(tmp_path, {})
    file = tmp_path / credentials.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["auth_token"] == made.auth_token
    assert len({made.account_sid, made.test_account_sid}) == 2
    assert made.auth_token != made.test_auth_token
    assert made.auth_token not in repr(made)
    assert credentials.load(tmp_path, {}, NOW + 1) == made
    assert list(tmp_path.iterdir()) == [file]


def test_the_environment_wins_and_is_remembered(tmp_path: Path) -> None:
    made = saved(tmp_path, {})
    environ = {"TRUNKLINE_ACCOUNT_SID": SID, "TRUNKLINE_AUTH_TOKEN": "mine"}
    told = saved(tmp_path, environ)
    assert (told.account_sid, told.auth_token) == (SID, "mine")
    assert told.test_auth_token == made.test_auth_token
    assert credentials.load(tmp_path, {}, NOW) == told


def test_those_of_a_shared_store_win_over_the_folder(tmp_path: Path) -> None:
    made = saved(tmp_path, {})
    shared = {"account_sid": SID, "auth_token": "rotated"}
    told = credentials.load(tmp_path, {}, NOW, shared)
    assert (told.account_sid, told.auth_token) == (SID, "rotated")
    assert told.test_account_sid == made.test_account_sid
    mine = credentials.load(tmp_path, {"TRUNKLINE_AUTH_TOKEN": "mine"}, NOW, shared)
    assert mine.auth_token == "mine"


async def test_two_processes_at_a_new_store_agree_on_one_account(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: NOW)
    one, other = await Accounts.load(store), await Accounts.load(store)
    first = await credentials.establish(credentials.load(tmp_path, {}, NOW), one, NOW)
    with pytest.raises(Conflict):
        await credentials.establish(credentials.load(tmp_path, {}, NOW), other, NOW)
    await other.refresh()
    again = credentials.load(tmp_path, {}, NOW, credentials.stored(other))
    assert (await credentials.establish(again, other, NOW)) == first
    await store.close()


@pytest.mark.parametrize("sid", ["me", "AC123", "AC" + "G" * 32, "SM" + "0" * 32])
def test_a_sid_has_its_shape(tmp_path: Path, sid: str) -> None:
    with pytest.raises(CredentialsError, match="AC and 32 lower-case hex digits"):
        credentials.load(tmp_path, {"TRUNKLINE_ACCOUNT_SID": sid}, NOW)


@pytest.mark.parametrize("content", ["{", "[]", '{"account_sid": 1}'])
def test_a_broken_file_is_named_and_not_overwritten(tmp_path: Path, content: str) -> None:
    file = tmp_path / credentials.FILE
    file.write_text(content)
    with pytest.raises(CredentialsError, match=r"credentials\.json can't be read"):
        credentials.load(tmp_path, {}, NOW)
    assert file.read_text() == content


async def test_the_accounts_exist_and_follow_their_tokens(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: NOW)
    given = Credentials(
        account_sid=SID,
        auth_token="one",
        test_account_sid="AC" + "1" * 32,
        test_auth_token="two",
    )
    accounts = await Accounts.load(store)
    main = await credentials.establish(given, accounts, NOW)
    assert (main.sid, main.auth_token, main.kind) == (SID, "one", AccountKind.FULL)
    test = accounts.get(given.test_account_sid)
    assert test is not None and test.kind is AccountKind.TEST
    again = await Accounts.load(store)
    assert await credentials.establish(given, again, NOW) == main
    changed = Credentials(
        account_sid=SID,
        auth_token="new",
        test_account_sid=given.test_account_sid,
        test_auth_token="two",
    )
    assert (await credentials.establish(changed, again, NOW)).auth_token == "new"
    stored = (await Accounts.load(store)).get(SID)
    assert stored is not None and stored.auth_token == "new"
    await store.close()

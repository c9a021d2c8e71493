"""What the config file declares, for accounts that are there."""

import json
import time
from pathlib import Path

import pytest

from gateway import declared
from gateway.accounts import Accounts
from gateway.config import Config, load
from gateway.sip.model import Credential, CredentialList, Domain, Mapping, Purpose
from gateway.sip.rules import hashes_of
from gateway.store.sqlite import SqliteStore

MAIN, OTHER = f"AC{1:032x}", f"AC{2:032x}"
ENTRIES = {
    "numbers": '{"number": "+442071838750", "account": "%s"}',
    "customers": '{"system_id": "a", "password": "b", "account": "%s"}',
    "domains": '{"name": "office.example", "account": "%s"}',
    "sources": '{"name": "a", "write_key": "b", "account": "%s"}',
    "routes": '{"carriers": ["simulated"], "account": "%s"}',
}


def config(section: str, entry: str) -> Config:
    return load(None, {f"TRUNKLINE_{section.upper()}": f"[{entry}]"})


@pytest.mark.parametrize("section", ENTRIES)
async def test_an_account_that_is_not_there_is_named(tmp_path: Path, section: str) -> None:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=100, clock=time.time)
    accounts = await Accounts.load(store)
    with pytest.raises(declared.UnknownAccount, match=rf"\[\[{section}\]\].*{OTHER}"):
        declared.check_accounts(config(section, ENTRIES[section] % OTHER), accounts)
    declared.check_accounts(config(section, ENTRIES[section] % ""), accounts)
    await store.close()


def url_and_method(name: str) -> dict[str, str]:
    method = f"{name.removesuffix('_url')}_method"
    return {name: f"https://a.example/{name}", method: "GET"}


VOICE = url_and_method("voice_url") | url_and_method("voice_fallback_url")


def test_a_number_runs_what_the_file_says() -> None:
    settings = VOICE | url_and_method("status_callback")
    settings |= url_and_method("sms_url") | url_and_method("sms_fallback_url")
    entry = json.dumps({"number": "+442071838750", "account": OTHER, **settings})
    (number,) = declared.numbers(config("numbers", entry), MAIN, 5.0)
    assert (number.account_sid, number.declared) == (OTHER, True)
    assert number.settings == {**settings, "voice_twiml": ""}


def test_a_domain_runs_what_the_file_says() -> None:
    settings = VOICE | url_and_method("voice_status_callback_url")
    entry = json.dumps({"name": "office.example", **settings})
    (domain,) = declared.domains(config("domains", entry), MAIN, 5.0)
    assert isinstance(domain, Domain)
    assert domain.settings == {**settings, "voice_twiml": "", "sip_registration": "true"}


def test_a_domain_and_its_users_are_the_accounts() -> None:
    entry = (
        '{"name": "office.example", "voice_url": "https://a.example", "voice_method": "GET",'
        ' "users": [{"username": "alice", "password": "secret"}], "account": "%s"}'
    )
    for account, owner in (("", MAIN), (OTHER, OTHER)):
        made = declared.domains(config("domains", entry % account), MAIN, 5.0)
        again = declared.domains(config("domains", entry % account), MAIN, 6.0)
        assert [each.sid for each in made] == [each.sid for each in again]
        assert {(each.account_sid, each.declared) for each in made} == {(owner, True)}
        domain, list_, user, *mappings = made
        assert isinstance(domain, Domain) and domain.domain_name == "office.example"
        assert domain.settings["voice_url"] == "https://a.example"
        assert domain.settings["voice_method"] == "GET" and domain.takes_registrations
        assert isinstance(list_, CredentialList) and isinstance(user, Credential)
        assert (user.credential_list_sid, user.username) == (list_.sid, "alice")
        assert user.hashes == hashes_of("alice", "secret")
        assert [each.purpose for each in mappings if isinstance(each, Mapping)] == list(Purpose)
        assert {each.sid for each in mappings} == {list_.sid}

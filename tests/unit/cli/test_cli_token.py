"""`trunkline token` against a stand-in for the gateway."""

import json
import time
from pathlib import Path

from test_cli import ACCOUNT, SID, StandIn, gateway, refused, run

from gateway.access.keys import Key
from gateway.access.tokens import Access, Tokens

__all__ = ["gateway"]  # the fixture

KEY, OTHER = f"SK{1:032x}", f"SK{2:032x}"
APPLICATION = f"AP{1:032x}"
KEYS = f"{ACCOUNT}/Keys.json"


def made(sid: str, secret: str) -> dict[str, str]:
    return {"sid": sid, "secret": secret, "friendly_name": "trunkline token"}


def believed(token: str, sid: str, secret: str) -> Access:
    key = Key(
        account_sid=SID, sid=sid, friendly_name="", secret=secret, date_created=0, date_updated=0
    )
    told = Tokens({sid: key}.get, lambda account: True).verify(token, time.time())
    assert isinstance(told, Access), told
    return told


def test_a_key_is_made_once_and_kept_from_others(gateway: StandIn, tmp_path: Path) -> None:
    gateway.answer("POST", KEYS, made(KEY, "a" * 32), status=201)
    gateway.answer("GET", f"{ACCOUNT}/Keys/{KEY}.json", {"sid": KEY})
    gateway.answer("GET", f"{ACCOUNT}/Applications/{APPLICATION}.json", {"sid": APPLICATION})
    options = ("token", "--identity", "alice", "--outgoing-application", APPLICATION)
    for _ in range(2):
        result = run(*options, "--ttl", "600")
        assert result.exit_code == 0, result.output
        access = believed(result.stdout.strip(), KEY, "a" * 32)
        assert (access.identity, access.outgoing_application_sid) == ("alice", APPLICATION)
        assert access.incoming_allow and 590 < access.expires - time.time() <= 600
        assert f"http://127.0.0.1:{gateway.port}/phone#{result.stdout.strip()}" in result.stderr
        assert "a" * 32 not in result.output
        assert f"keys revoke {KEY}" in result.stderr
    assert [path for method, path, _ in gateway.asked if method == "POST"] == [KEYS]
    kept = tmp_path / "access-keys.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_bytes()) == {SID: [KEY, "a" * 32]}


def test_a_key_that_was_deleted_is_replaced(gateway: StandIn, tmp_path: Path) -> None:
    (tmp_path / "access-keys.json").write_text(json.dumps({SID: [KEY, "a" * 32]}))
    gateway.answer("POST", KEYS, made(OTHER, "b" * 32), status=201)
    result = run("token", "--identity", "bob")
    access = believed(result.stdout.strip(), OTHER, "b" * 32)
    assert access.outgoing_application_sid == ""
    assert "it calls nobody" in result.stderr


def test_the_sdk_is_sent_to_where_tls_is_spoken(gateway: StandIn, tmp_path: Path) -> None:
    gateway.answer("POST", KEYS, made(KEY, "a" * 32), status=201)
    gateway.answer("GET", f"{ACCOUNT}/Keys/{KEY}.json", {"sid": KEY})
    assert "tls_listen" in run("token", "--identity", "bob").stderr
    ports = tmp_path / "ports.json"
    ports.write_text(json.dumps({**json.loads(ports.read_bytes()), "https": 8443}))
    assert "chunderw: '127.0.0.1:8443'" in run("token", "--identity", "bob").stderr


def test_what_can_not_be_is_said(gateway: StandIn, tmp_path: Path) -> None:
    assert "has no application" in refused(
        "token", "--identity", "alice", "--outgoing-application", "AP1"
    )
    assert "1 to 121 characters" in refused("token", "--identity", "")
    (tmp_path / "access-keys.json").write_text("[")
    assert "access-keys.json can't be read" in refused("token", "--identity", "alice")
    assert gateway.asked == [("GET", f"{ACCOUNT}/Applications/AP1.json", "")]
    assert run("token", "--identity", "alice", "--ttl", "86401").exit_code == 2

"""`trunkline keys` against a stand-in for the gateway."""

from typing import Any

from test_cli import ACCOUNT, StandIn, gateway, refused, said

__all__ = ["gateway"]  # the fixture

KEY, OTHER = f"SK{1:032x}", f"SK{2:032x}"


def key(sid: str, name: str) -> dict[str, Any]:
    made = "Sun, 22 Nov 2026 17:31:24 +0000"
    return {"sid": sid, "friendly_name": name, "date_created": made, "date_updated": made}


def test_keys_are_listed_without_secrets(gateway: StandIn) -> None:
    found = [key(KEY, "trunkline token"), key(OTHER, "[red]ours")]
    gateway.answer("GET", f"{ACCOUNT}/Keys.json", {"keys": found, "next_page_uri": None})
    head, first, second = said("keys", "list").splitlines()
    assert head.split() == ["KEY", "NAME", "MADE"]
    assert first.split()[:3] == [KEY, "trunkline", "token"]
    assert first.split()[3].startswith("2026-11-2")
    assert second.split()[:2] == [OTHER, "[red]ours"]
    assert gateway.asked == [("GET", f"{ACCOUNT}/Keys.json?PageSize=1000", "")]


def test_that_there_is_none_is_said(gateway: StandIn) -> None:
    gateway.answer("GET", f"{ACCOUNT}/Keys.json", {"keys": [], "next_page_uri": None})
    assert said("keys", "list").startswith("The account has no key;")
    assert said("keys", "list", "--json").strip() == "[]"


def test_a_key_is_revoked_by_its_sid(gateway: StandIn) -> None:
    gateway.answer("DELETE", f"{ACCOUNT}/Keys/{KEY}.json", {}, status=204)
    assert "all tokens that it signed" in said("keys", "revoke", KEY)
    assert [method for method, _, _ in gateway.asked] == ["DELETE"]
    assert "keys list" in refused("keys", "revoke", OTHER)

"""`trunkline clients` against a stand-in for the gateway."""

from typing import Any

from test_cli import StandIn, gateway, said

__all__ = ["gateway"]  # a fixture

ALICE: dict[str, Any] = {
    "identity": "alice",
    "device": "2.18.0 Mozilla/5.0 [red]",
    "source": "198.51.100.7:40000",
    "transport": "WSS",
    "registered": True,
    "calls": ["CA" + "1" * 32],
    "connected_at": "2026-11-22T01:00:00.000Z",
    "expires_at": "2026-11-22T02:00:00.000Z",
}
BOB = ALICE | {"identity": "bob", "registered": False, "calls": []}


def test_clients_are_listed_page_by_page(gateway: StandIn) -> None:
    pages = ([ALICE], "abc"), ([BOB], None)
    contents = [{"clients": each, "next": following} for each, following in pages]
    gateway.answer("GET", "/v1/clients", *contents)
    head, first, second = said("clients", "list").splitlines()
    assert head.split() == ["IDENTITY", "FROM", "DEVICE", "RINGS", "CALLS", "SINCE"]
    assert first.split() == [
        *("alice", "198.51.100.7:40000", "WSS", "2.18.0", "Mozilla/5.0", "[red]"),
        *("yes", "1", "2026-11-22T01:00:00.000Z"),
    ]
    assert second.split()[-3:-1] == ["no", "0"]
    assert [path for _, path, _ in gateway.asked] == ["/v1/clients", "/v1/clients?after=abc"]


def test_that_nobody_is_connected_is_said(gateway: StandIn) -> None:
    gateway.answer("GET", "/v1/clients", {"clients": [], "next": None})
    assert said("clients", "list").startswith("No client is connected;")
    assert said("clients", "list", "--json").strip() == "[]"

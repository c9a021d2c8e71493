"""`trunkline clients` against a stand-in for the gateway."""

from datetime import datetime
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
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML)"
BOB = ALICE | {"identity": "bob", "registered": False, "calls": []}


def local(at: str) -> str:
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")


def test_clients_are_listed_page_by_page(gateway: StandIn) -> None:
    pages = ([ALICE], "abc"), ([BOB], None)
    contents = [{"clients": each, "next": following} for each, following in pages]
    gateway.answer("GET", "/v1/clients", *contents)
    head, first, second = said("clients", "list").splitlines()
    assert head.split() == ["IDENTITY", "FROM", "DEVICE", "RINGS", "CALLS", "SINCE"]
    assert first.split() == [
        *("alice", "198.51.100.7", "2.18.0", "Mozilla/5.0", "[red]", "yes", "1"),
        *local("2026-11-22T01:00:00+00:00").split(),
    ]
    assert second.split()[-4:-2] == ["no", "0"]
    assert [path for _, path, _ in gateway.asked] == ["/v1/clients", "/v1/clients?after=abc"]


def test_a_row_is_no_wider_than_a_terminal(gateway: StandIn) -> None:
    agents = {
        "Chrome 131": f"{LINUX} Chrome/131.0.0.0 Safari/537.36",
        "Edge 131": f"{LINUX} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.70",
        "Chrome 132": f"{LINUX} HeadlessChrome/132.0.0.0 Safari/537.36",
        "Chrome 133": f"{IPHONE} CriOS/133.0.6943.33 Mobile/15E148 Safari/604.1",
        "Safari 17": f"{IPHONE} Version/17.1 Mobile/15E148 Safari/604.1",
        "Firefox 132": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "Some app that says more of itself than anybody wants to read": "",
    }
    clients = [
        ALICE | {"device": f"2.18.0 {agent}" if agent else name} for name, agent in agents.items()
    ]
    gateway.answer("GET", "/v1/clients", {"clients": clients, "next": None})
    _, *rows = said("clients", "list").splitlines()
    for row, (name, agent) in zip(rows, agents.items(), strict=True):
        assert len(row) <= 80
        assert (f"2.18.0 {name}" if agent else "Some app that says more…") in row


def test_that_nobody_is_connected_is_said(gateway: StandIn) -> None:
    gateway.answer("GET", "/v1/clients", {"clients": [], "next": None})
    assert said("clients", "list").startswith("No client is connected;")
    assert said("clients", "list", "--json").strip() == "[]"

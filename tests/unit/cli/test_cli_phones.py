"""`trunkline phones` against a stand-in for the gateway."""

from typing import Any

from test_cli import StandIn, gateway, said

__all__ = ["gateway"]  # a fixture

ALICE: dict[str, Any] = {
    "aor": "alice@pbx.example",
    "contact": "sip:alice@198.51.100.7:5062",
    "user_agent": "softphone [red]1.0",
    "transport": "UDP",
    "source": "198.51.100.7:5062",
    "path": [],
    "registered_at": "2026-11-22T01:00:00.000Z",
    "expires_at": "2026-11-22T02:00:00.000Z",
}
BOB = ALICE | {"aor": "bob@pbx.example"}


def test_phones_are_listed_page_by_page(gateway: StandIn) -> None:
    pages = ([ALICE], "abc"), ([BOB], None)
    contents = [{"registrations": each, "next": following} for each, following in pages]
    gateway.answer("GET", "/v1/registrations", *contents)
    head, first, second = said("phones", "list").splitlines()
    assert head.split() == ["USER", "FROM", "PHONE", "SINCE", "UNTIL"]
    assert first.split()[:5] == [
        *("alice@pbx.example", "198.51.100.7:5062", "UDP"),
        *("softphone", "[red]1.0"),
    ]
    assert second.startswith("bob@pbx.example")
    assert [path for _, path, _ in gateway.asked] == [
        *("/v1/registrations", "/v1/registrations?after=abc")
    ]


def test_that_nobody_is_registered_is_said(gateway: StandIn) -> None:
    gateway.answer("GET", "/v1/registrations", {"registrations": [], "next": None})
    assert said("phones", "list").startswith("No phone is registered;")
    assert said("phones", "list", "--json").strip() == "[]"

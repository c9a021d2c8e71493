"""A dialog by itself: tags, routes, targets and numbers (RFC 3261 §12)."""

from typing import Any

import pytest
from msgspec.structs import replace

from protocols.sip.derive import reply
from protocols.sip.dialog import Dialog, as_target
from protocols.sip.message import NameAddr, Request
from protocols.sip.uri import SipUri, TelUri, Uri
from tests.unit.sip.builders import party, request


def route(host: str, *params: tuple[str, str | None]) -> NameAddr:
    return NameAddr(uri=SipUri(host=host, params=params))


LOOSE, STRICT = ("lr", None), ("x", "y")
P1, P2 = route("p1.example.com", LOOSE), route("p2.example.com", LOOSE)
CONTACT = NameAddr(uri=SipUri(host="192.0.2.7", user="bob", port=5070))


def invite(**changes: Any) -> Request:
    return request(**{"contacts": (party("alice", host="192.0.2.8"),), **changes})


def calling(**changes: Any) -> Dialog:
    given: dict[str, Any] = {"contacts": (CONTACT,), "record_routes": (P1, P2), **changes}
    return Dialog.calling(invite(), replace(reply(invite(), 180, tag="b1"), **given))


def test_the_callers_dialog() -> None:
    """§12.1.2."""
    dialog = calling()
    assert dialog.key == ("call-1", "a1", "b1")
    assert (dialog.local, dialog.remote) == (party("alice", "a1"), party("bob", "b1"))
    assert (dialog.target, dialog.routes) == (CONTACT.uri, (P2, P1))
    assert (dialog.local_cseq, dialog.remote_cseq) == (1, None)
    assert dialog.next_hop == P2.uri


def test_the_callees_dialog() -> None:
    """§12.1.1."""
    dialog = Dialog.called(invite(record_routes=(P1, P2), cseq=7), "b1")
    assert dialog.key == ("call-1", "b1", "a1")
    assert (dialog.local, dialog.remote) == (party("bob", "b1"), party("alice", "a1"))
    assert dialog.target == SipUri(host="192.0.2.8", user="alice")
    assert dialog.routes == (P1, P2)
    assert (dialog.local_cseq, dialog.remote_cseq) == (0, 7)


def test_a_peer_without_tags() -> None:
    """§12.1.1: RFC 2543 has none."""
    dialog = Dialog.called(invite(from_=party("alice")), "b1")
    assert dialog.key == ("call-1", "b1", "")
    assert dialog.request("BYE").to == party("alice")


def test_an_early_dialog_without_contact_leads_where_the_invite_went() -> None:
    dialog = calling(contacts=())
    assert dialog.target == invite().uri
    dialog.confirm(replace(reply(invite(), 200, tag="b1"), contacts=(CONTACT,)))
    assert (dialog.target, dialog.routes) == (CONTACT.uri, ())


def test_requests_go_by_loose_routes() -> None:
    """§12.2.1.1."""
    sent = calling().request("BYE")
    assert (sent.method, sent.uri, sent.routes) == ("BYE", CONTACT.uri, (P2, P1))
    assert (sent.from_, sent.to) == (party("alice", "a1"), party("bob", "b1"))
    assert (sent.call_id, sent.cseq, sent.vias) == ("call-1", 2, ())


def test_a_strict_router_finds_itself_in_the_request_uri() -> None:
    """§12.2.1.1, and §16.12.1.2 for the example."""
    strict = NameAddr(
        uri=SipUri(host="p3.example.com", params=(STRICT, ("method", "BYE")), headers=(("a", "b"),))
    )
    dialog = calling(record_routes=(P1, strict))
    sent = dialog.request("BYE")
    assert sent.uri == SipUri(host="p3.example.com", params=(STRICT,))
    assert sent.routes == (P1, NameAddr(uri=CONTACT.uri))


def test_numbers_rise_but_for_an_ack() -> None:
    dialog = calling()
    assert [dialog.request("INFO").cseq for _ in range(3)] == [2, 3, 4]
    assert dialog.request("ACK", cseq=2).cseq == 2
    assert dialog.local_cseq == 4


def test_a_peers_numbers_never_fall() -> None:
    """§12.2.2."""
    dialog = calling()
    taken = [(cseq, dialog.takes(request("INFO", cseq=cseq))) for cseq in (5, 5, 9, 8, 1, 10)]
    assert taken == [(5, True), (5, True), (9, True), (8, False), (1, False), (10, True)]


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        (SipUri(host="a", headers=(("x", "y"),)), SipUri(host="a")),
        (SipUri(host="a", params=(("method", "BYE"), STRICT)), SipUri(host="a", params=(STRICT,))),
        (SipUri(host="a", user="b"), SipUri(host="a", user="b")),
    ],
)
def test_what_a_request_uri_never_has_is_taken_out(uri: Uri, target: Uri) -> None:
    """§19.1.1, table 1."""
    assert as_target(uri) == target
    dialog = calling()
    dialog.refresh(request("UPDATE", contacts=(NameAddr(uri=uri),)))
    assert dialog.target == target


def test_a_dialog_over_sips_is_secure() -> None:
    assert calling(contacts=(NameAddr(uri=SipUri(host="a", scheme="sips")),)).secure
    assert not calling().secure


def test_only_a_sip_uri_is_a_target() -> None:
    """§8.1.1.8."""
    dialog = calling(contacts=(NameAddr(uri=TelUri(number="+1")),))
    assert dialog.target == invite().uri
    dialog.refresh(request("UPDATE", contacts=(NameAddr(uri=TelUri(number="+1")),)))
    assert dialog.target == invite().uri

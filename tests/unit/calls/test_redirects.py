"""Where a redirect leads, and how often."""

from gateway.calls.redirects import MOST_CONTACTS, led_to
from protocols.sip.message import NameAddr
from protocols.sip.uri import SipUri, TelUri


def at(user: str, q: str | None = None) -> NameAddr:
    uri = SipUri(user=user, host="there.example")
    return NameAddr(uri=uri, params=() if q is None else (("q", q),))


def users(uris: list[SipUri]) -> list[str]:
    return [each.user for each in uris]


def test_the_preferred_one_is_tried_first() -> None:
    contacts = [at("low", "0.1"), at("high", "0.9"), at("unsaid"), at("odd", "much")]
    assert users(led_to(contacts, ())) == ["unsaid", "odd", "high", "low"]


def test_nobody_is_tried_twice_nor_by_what_is_no_sip() -> None:
    tel = NameAddr(uri=TelUri(number="+447700900002"))
    contacts = [at("a"), tel, at("a", "0.5"), at("b")]
    assert users(led_to(contacts, ())) == ["a", "b"]
    assert users(led_to(contacts, (SipUri(user="a", host="there.example"),))) == ["b"]


def test_a_redirect_leads_to_a_few() -> None:
    assert len(led_to([at(str(each)) for each in range(1000)], ())) == MOST_CONTACTS

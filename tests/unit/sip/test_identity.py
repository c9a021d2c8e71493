"""Whom a certificate stands for: RFC 5922 §7.1 and §7.2."""

from collections.abc import Mapping
from typing import Any

import pytest

from protocols.sip.identity import names, stands_for

SUBJECT = ((("commonName", "cn.example"),),)


def shown(*others: tuple[str, str]) -> Mapping[str, Any]:
    return {"subject": SUBJECT, "subjectAltName": others}


@pytest.mark.parametrize(
    ("certificate", "found"),
    [
        (None, ()),
        ({}, ()),
        ({"subject": SUBJECT}, ("cn.example",)),
        (shown(("DNS", "A.example"), ("DNS", "b.example")), ("a.example", "b.example")),
        (shown(("URI", "sip:Example.com"), ("DNS", "a.example")), ("example.com",)),
        (shown(("URI", "sip:alice@example.com"), ("DNS", "a.example")), ("a.example",)),
        (shown(("URI", "https://example.com"), ("DNS", "a.example")), ("a.example",)),
        (shown(("email", "a@example.com")), ()),
        (shown(("IP Address", "192.0.2.1")), ("192.0.2.1",)),
    ],
)
def test_names_that_a_certificate_shows(certificate: Any, found: tuple[str, ...]) -> None:
    assert names(certificate) == found


@pytest.mark.parametrize(
    ("name", "domain", "stands"),
    [
        (("DNS", "example.com"), "example.com", True),
        (("DNS", "example.com"), "EXAMPLE.com.", True),
        (("DNS", "*.example.com"), "sip.example.com", False),
        (("DNS", "example.com"), "sip.example.com", False),
        (("URI", "sip:example.com"), "example.com", True),
        (("IP Address", "2001:DB8:0:0:0:0:0:1"), "2001:db8::1", True),
        (("IP Address", "192.0.2.1"), "192.0.2.2", False),
    ],
)
def test_it_stands_for_the_domain_that_it_names(
    name: tuple[str, str], domain: str, stands: bool
) -> None:
    assert stands_for(shown(name), domain) is stands


def test_without_a_certificate_it_is_nobody() -> None:
    assert not stands_for(None, "example.com")
    assert not stands_for(None, "")

import socket
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from gateway.webhooks.target import (
    BadTarget,
    Target,
    encode_form,
    parse_target,
    resolve,
    shown,
)


def target(url: str) -> Target:
    parsed = parse_target(url)
    assert isinstance(parsed, Target), parsed
    return parsed


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://example.com", "https://example.com/"),
        ("https://example.com?a=1", "https://example.com/?a=1"),
        ("https://example.com:443/x", "https://example.com/x"),
        ("http://example.com:80/x", "http://example.com/x"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://me:secret@example.com/x?y=%7E+z#ct=100", "https://example.com/x?y=%7E+z"),
        ("HTTPS://Example.COM/A%2fb", "https://example.com/A%2fb"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        (
            "https://m\u00fcnchen.example/stra\u00dfe x",
            "https://xn--mnchen-3ya.example/stra%C3%9Fe%20x",
        ),
        (" https://example.com/x ", "https://example.com/x"),
        ("https://example.com/a\r\nX-Evil: 1", "https://example.com/aX-Evil:%201"),
    ],
)
def test_what_is_signed_is_what_is_asked(url: str, signed: str) -> None:
    parsed = target(url)
    assert parsed.url == signed == f"{parsed.scheme}://{parsed.authority}{parsed.path}"


def test_userinfo_and_overrides_are_taken_out() -> None:
    parsed = target("https://me:p%40ss@example.com/x#ct=2000")
    assert (parsed.user, parsed.password) == ("me", "p@ss")
    assert parsed.overrides.connect_timeout == 2.0
    assert parsed.base == "https://me:p%40ss@example.com/x"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", 11100),
        ("/relative", 11100),
        ("ftp://example.com/", 11100),
        ("javascript:alert(1)", 11100),
        ("https://", 11100),
        ("https://exa mple.com/", 11100),
        ("https://example.com:99999/", 11100),
        ("https://example.com:0/", 11100),
        ("https://[::1/", 11100),
        ("https://-a.example/", 11100),
        (f"https://{'a' * 64}/", 11100),
        (f"https://x.{'a' * 64}.example/", 11100),
        ("https://" + "\u00fc" * 60 + ".example/", 11100),
        (f"https://{'a.' * 126}ab/", 11100),
        ("https://[:::]/", 11100),
        ("https://example.com/" + "x" * 4000, 11100),
        ("https://example.com/#rp=never", 11243),
        ("https://example.com/#e=atlantis", 11241),
    ],
)
def test_urls_that_cannot_be_asked(url: str, code: int) -> None:
    refused = parse_target(url)
    assert isinstance(refused, BadTarget)
    assert refused.error_code == code


def test_what_is_shown_has_no_secret() -> None:
    assert shown("https://me:secret@example.com/x#ct=100") == "https://example.com/x"
    assert shown("https://me:secret@example.com/x#rp=bad") == "https://example.com/x"
    assert "secret" not in shown("ftp://me:secret@example.com/x")
    assert shown("https://[") == ""
    assert shown("ftp://example.com/\udcff").isascii(), "fit for every log"


def test_relative_urls_keep_the_userinfo_of_the_document() -> None:
    base = "https://me:pw@example.com/a/b?x=1"
    assert resolve(base, "c") == "https://me:pw@example.com/a/c"
    assert resolve(base, "/c") == "https://me:pw@example.com/c"
    assert resolve(base, "https://other.example/") == "https://other.example/"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=12), st.text(max_size=100)), max_size=6))
def test_a_form_is_read_back_as_it_was(pairs: list[tuple[str, str]]) -> None:
    octets = encode_form(tuple(pairs))
    assert octets.isascii()
    assert parse_qsl(octets, keep_blank_values=True) == [
        (name.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode())
        for name, value in pairs
    ]


def test_numbers_are_written_as_forms_write_them() -> None:
    form = encode_form((("To", "+15550001000"), ("Body", "a b&c=\u20ac"), ("X", "+1 555")))
    assert form == "To=%2B15550001000&Body=a+b%26c%3D%E2%82%AC&X=%2B1+555"


_odd = st.text(st.sampled_from("\x00\x01+ @:/a*~_%&=\u00e9"), max_size=4)


@given(st.lists(st.tuples(_odd, _odd), min_size=1, max_size=4))
def test_a_form_of_odd_characters_is_read_back_too(pairs: list[tuple[str, str]]) -> None:
    assert parse_qsl(encode_form(tuple(pairs)), keep_blank_values=True) == pairs


@given(st.text(max_size=60))
def test_no_url_breaks_out_of_the_request_line(text: str) -> None:
    parsed = parse_target(f"https://example.com/{text}")
    if isinstance(parsed, Target):
        assert parsed.url.isascii()
        assert not set(parsed.url) & {" ", "\r", "\n", "\x00", "#"}


_short = st.text(st.sampled_from("a0.-_:[]%x@\u00fc\u3002"), max_size=12)
_long = st.lists(
    st.tuples(st.sampled_from(("a", "0-", "\u00fc", ".")), st.integers(1, 130)), max_size=6
)


def resolvable(host: str) -> bool:
    """Whether the resolver takes `host` for a name or an address, without asking anybody."""
    try:
        socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return True


@given(_short | _long.map(lambda runs: ".".join(piece * count for piece, count in runs)))
def test_every_host_that_is_taken_can_be_connected_to(host: str) -> None:
    parsed = parse_target(f"http://{host}/")
    if isinstance(parsed, Target):
        assert URL(f"{parsed.origin}/").raw_host == parsed.host
        assert resolvable(parsed.host)


_FULL = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 61))


@pytest.mark.parametrize("host", ["a" * 63, f"{'a' * 63}.example", _FULL, f"{_FULL}."])
def test_a_name_may_be_as_long_as_dns_allows(host: str) -> None:
    assert target(f"http://{host}/").host == host
    assert resolvable(host)

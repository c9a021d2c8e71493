"""Invariant: neither a URL nor what a server answers breaks out of a request or raises.

- A URL is refused with a code or becomes a target whose octets stay in their lines, that the
  resolver can take, and that reads as itself; what is shown of it has no password;
- a `Location` from the wire, overrides in a fragment, cookies and challenges give values, and the
  header fields made from them are single lines of octets.
"""

import random
import socket
from typing import Final

from gateway.webhooks.authorization import authorize, parse_challenges
from gateway.webhooks.cookies import MAX_COOKIES, cookie_header, merged, parse_set_cookie
from gateway.webhooks.overrides import BadOverride, Overrides, parse_overrides
from gateway.webhooks.target import BadTarget, Target, parse_target, resolve, shown

NOW: Final = 1_795_168_800.0
SECRET: Final = "hunter2"
_URL: Final = (
    "http://", "https://", "HTTP:", "//", "ftp://", "/", "\\", "@", ":", f"me:{SECRET}@", "[", "]",
    "[::1]", "127.0.0.1", "0x7f.1", "localhost", "example.com", "a" * 64, "b" * 63, "ü", "。",
    "xn--", "..", ".", "-", ":80", ":0", ":99999", ":x", "?", "#", "&", "a=1", "%", "%zz", "%00",
    "%0d%0a", "\r\n", "\0", "\t", " ", "é", "\U0001f600", "\udcff", "#ct=100", "#rp=all&rc=3",
)  # fmt: skip
_FRAGMENT: Final = (
    "ct=", "rt=", "tt=", "rc=", "rp=", "e=", "100", "-1", "9" * 30, "all", "4xx,5xx", "ashburn",
    "&", ",", "=", "%", "é", "٣", ";", "\udcff",
)  # fmt: skip
_COOKIE: Final = (
    "a=1", "b", "=", ";", " ", "Path=/", "Path=/x", "Domain=example.com", "Domain=.com", "Secure",
    "Max-Age=", "-", "9" * 400, "Expires=", "Thu, 01 Jan 1970 00:00:00 GMT", "99999", "+9999",
    "Fri, 31 Dec 9999 23:59:59 -1200", "\r\n", "\0", "é", "\udcff", ",", "x" * 5000,
)  # fmt: skip
_CHALLENGE: Final = (
    "Basic ", "Digest ", "basic", "realm=", '"', "\\", "r", "nonce=", "n", 'nonce="n"', "opaque=",
    "algorithm=", "MD5", "SHA-256", "MD5-sess", "SHA-512-256", "qop=", "auth", '"auth,auth-int"',
    ",", " ", "=", "\r\n", "\0", "é", "\udcff", "stale=true", ', realm="r", nonce="n", qop="auth"',
)  # fmt: skip


def some(chance: random.Random, pieces: tuple[str, ...], most: int = 9) -> str:
    return "".join(chance.choice(pieces) for _ in range(chance.randrange(most)))


def one_line(text: str) -> None:
    assert not set(text) & {"\r", "\n", "\0"}, text
    text.encode("utf-8", "replace")


def resolvable(host: str) -> bool:
    """Whether the resolver takes the name for one, without asking anybody."""
    try:
        socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return True


def check_url(url: str) -> None:
    shown(url).encode()
    match parse_target(url):
        case BadTarget(error_code=code, message=message, url=known):
            assert 11100 <= code <= 11243
            f"{message}{known}".encode()
        case Target() as target:
            request = f"{target.path}{target.authority}{target.url}"
            one_line(request)
            assert request.isascii() and " " not in request
            assert resolvable(target.host)
            assert 0 < target.port < 65536
            again = parse_target(target.url)
            assert isinstance(again, Target) and again.url == target.url
            with_user = parse_target(target.base)
            assert isinstance(with_user, Target), with_user
            assert (with_user.user, with_user.password) == (target.user, target.password)
            assert SECRET not in target.authority and "@" not in target.authority


def check_answer(chance: random.Random) -> None:
    cookies = [
        cookie
        for _ in range(chance.choice((1, 3, 60)))
        if (cookie := parse_set_cookie(some(chance, _COOKIE), "app.example.com", "/x/y", NOW))
    ]
    kept = merged((), cookies, NOW)
    assert len(kept) <= MAX_COOKIES
    one_line(cookie_header(kept, "https", "app.example.com", "/x/y", NOW))
    challenge = parse_challenges([some(chance, _CHALLENGE, 20) for _ in range(2)])
    if challenge is not None:
        line = authorize(
            challenge,
            user="me\u00e9",
            password=SECRET,
            method="POST",
            path="/x",
            count=1,
            cnonce="00",
        )
        one_line(line)
        line.encode("utf-8", "surrogateescape")
        assert SECRET not in line


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    url = some(chance, _URL)
    check_url(url)
    check_url(f"https://{url}")
    check_url(resolve(f"https://me:{SECRET}@example.com/a/b?c=1", url))
    assert isinstance(parse_overrides(some(chance, _FRAGMENT, 12)), Overrides | BadOverride)
    check_answer(chance)

"""Cookies of a conversation: what an app set while it answered one sender, for four hours.

Twilio keeps them per pair of numbers (messages) or per call. What is kept is the part of RFC 6265
that an app can see: name, value, domain, path, Secure, Expires and Max-Age.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

LIFETIME: Final = 4 * 3600.0
MAX_COOKIES: Final = 50
MAX_OCTETS: Final = 4096

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AGE: Final = re.compile(r"-?[0-9]+")
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c-\x7e]*(?: [\x21-\x3a\x3c-\x7e]+)*")


class Cookie(msgspec.Struct, frozen=True, kw_only=True):
    """One cookie; `domain` with a leading dot covers subdomains; `expires_at` in epoch seconds."""

    name: str
    value: str
    domain: str
    path: str
    secure: bool
    expires_at: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two cookies the same one (RFC 6265 5.3)."""
        return self.domain, self.path, self.name


def parse_set_cookie(header: str, host: str, path: str, now: float) -> Cookie | None:
    """The cookie that a `Set-Cookie` sent by `host` for `path` sets; None if it is to be ignored.

    One that is over already has an `expires_at` not above `now`: it deletes.
    """
    first, *rest = header.split(";")
    name, _, value = first.partition("=")
    name, value = name.strip(), value.strip()
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        return None
    if len(name) + len(value) > MAX_OCTETS:
        return None
    attributes = {
        key.strip().lower(): val.strip() for key, _, val in (part.partition("=") for part in rest)
    }
    domain = _domain(attributes.get("domain", ""), host.lower())
    if domain is None:
        return None
    wanted = attributes.get("path", "")
    return Cookie(
        name=name,
        value=value,
        domain=domain,
        path=wanted if wanted.startswith("/") else path.rpartition("/")[0] or "/",
        secure="secure" in attributes,
        expires_at=_expiry(attributes, now),
    )


def _domain(asked: str, host: str) -> str | None:
    asked = asked.lower().lstrip(".")
    if not asked or asked == host:
        return f".{host}" if asked else host
    # A name without a dot is a whole top-level domain: nobody may set a cookie for it.
    return f".{asked}" if "." in asked and host.endswith(f".{asked}") else None


def _expiry(attributes: dict[str, str], now: float) -> float:
    latest = now + LIFETIME
    age = attributes.get("max-age", "")
    if _AGE.fullmatch(age):
        return min(latest, now + int(age[:12]))
    if date := attributes.get("expires"):
        try:
            return min(latest, parsedate_to_datetime(date).timestamp())
        except (ValueError, OverflowError):
            return latest
    return latest


def merged(held: Iterable[Cookie], news: Iterable[Cookie], now: float) -> tuple[Cookie, ...]:
    """`held` after `news` were set; of too many, the oldest go."""
    kept = {cookie.key: cookie for cookie in held}
    for cookie in news:
        kept.pop(cookie.key, None)
        kept[cookie.key] = cookie
    live = [cookie for cookie in kept.values() if cookie.expires_at > now]
    return tuple(live[-MAX_COOKIES:])


def cookie_header(cookies: Iterable[Cookie], scheme: str, host: str, path: str, now: float) -> str:
    """The `Cookie` header for a request to `host`, longer paths first; empty if there is none."""
    fitting = [
        cookie
        for cookie in cookies
        if cookie.expires_at > now
        and (scheme == "https" or not cookie.secure)
        and _covers_host(cookie.domain, host.lower())
        and _covers_path(cookie.path, path)
    ]
    fitting.sort(key=lambda cookie: -len(cookie.path))
    return "; ".join([f"{cookie.name}={cookie.value}" for cookie in fitting])


def _covers_host(domain: str, host: str) -> bool:
    if domain.startswith("."):
        return host == domain[1:] or host.endswith(domain)
    return host == domain


def _covers_path(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


class CookieBook:
    """The cookies of many conversations, in memory; the longest unused goes when it is full.

    They are a convenience that Twilio doesn't promise to keep, so a restart may lose them.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._pages: OrderedDict[tuple[str, ...], tuple[Cookie, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pages)

    def recall(self, conversation: tuple[str, ...], now: float) -> tuple[Cookie, ...]:
        """What is still valid of `conversation`, such as (account, from, to)."""
        page = self._pages.get(conversation, ())
        return tuple(cookie for cookie in page if cookie.expires_at > now)

    def remember(self, conversation: tuple[str, ...], cookies: tuple[Cookie, ...]) -> None:
        """Keep `cookies` as all that `conversation` has."""
        self._pages.pop(conversation, None)
        if not cookies:
            return
        self._pages[conversation] = cookies
        if len(self._pages) > self._capacity:
            self._pages.popitem(last=False)

"""A URL taken apart once: where to connect, what to write, what to sign.

What is signed is what the server sees, so both are made here from the same text. Characters that
may not stand in a request line are percent-encoded and nothing else is changed: a URL that was
legal is sent as it was written.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from string import ascii_letters, digits
from typing import Final
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from gateway.webhooks.overrides import BadOverride, Overrides, parse_overrides

INVALID_URL: Final = 11100

_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_MAX_NAME: Final = 253  # octets, without the root's dot: RFC 1035 2.3.4, as a label's 63
# RFC 3986 2: everything that may stand in a path or a query, and the percent sign itself.
_LEGAL: Final = "!$%&'()*+,/:;=?@[]~"
_MAX_URL: Final = 4000


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A URL of http or https. `authority` is the Host header, `path` the request target."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    user: str
    password: str
    overrides: Overrides

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a connection is kept for."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The URL without userinfo and fragment: to sign, and fit to be shown."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def base(self) -> str:
        """The URL with userinfo, for resolving relative ones against."""
        if not self.user and not self.password:
            return self.url
        userinfo = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{userinfo}@{self.authority}{self.path}"


class BadTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that can't be asked; `url` is what of it may be shown."""

    error_code: int
    message: str
    url: str


@lru_cache(maxsize=4096)
def parse_target(url: str) -> Target | BadTarget:
    """Take `url` apart."""
    # A lone surrogate, from a header that isn't UTF-8, can't be written anywhere.
    url = url.encode("utf-8", "replace").decode()
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        return _bad(f"the URL can't be read: {error}", "")
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        return _bad(f"the URL has to begin with http:// or https://, not {scheme!r}", "")
    if len(url) > _MAX_URL:
        return _bad(f"the URL has {len(url)} characters; {_MAX_URL} are the most", "")
    host = _host(parts.hostname or "")
    if not host or port == 0:
        return _bad("the URL names no host that can be looked up", "")
    written = f"[{host}]" if ":" in host else host
    authority = written if port in (None, _PORTS[scheme]) else f"{written}:{port}"
    path = quote(parts.path or "/", safe=_LEGAL, errors="replace")
    if parts.query:
        path = f"{path}?{quote(parts.query, safe=_LEGAL, errors='replace')}"
    overrides = parse_overrides(parts.fragment)
    if isinstance(overrides, BadOverride):
        return BadTarget(
            error_code=overrides.error_code,
            message=overrides.message,
            url=f"{scheme}://{authority}{path}",
        )
    return Target(
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        authority=authority,
        path=path,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        overrides=overrides,
    )


def _bad(message: str, url: str) -> BadTarget:
    return BadTarget(error_code=INVALID_URL, message=message, url=url)


def _host(name: str) -> str:
    """`name` as it is looked up and written in Host; empty if it isn't one."""
    if ":" in name:
        try:
            return str(IPv6Address(name.partition("%")[0]))
        except ValueError:
            return ""
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return ""
    fits = len(ascii_name.removesuffix(".")) <= _MAX_NAME
    return ascii_name if fits and _NAME.fullmatch(ascii_name) else ""


def resolve(base: str, reference: str) -> str:
    """`reference` as a URL of its own; a relative one is taken from where the document was.

    A fragment of `base`, its connection overrides, is not inherited.
    """
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        # Not a URL at all; whoever asks it says so.
        return reference


def shown(url: str) -> str:
    """`url` without userinfo and fragment, for logs, notifications and `ErrorUrl`."""
    match parse_target(url):
        case Target() as target:
            return target.url
        case BadTarget(url=known) if known:
            return known
        case _:
            parts = _split(url.encode("utf-8", "replace").decode())
            return urlunsplit((*parts, "", "")) if parts else ""


def _split(url: str) -> tuple[str, str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path


# Characters that a form writes as they are (WHATWG URL 5.2), and those that one step replaces: of
# numbers, of addresses and of times. A space becomes what a plus was.
_ESCAPED: Final = (
    ("+", "%2B"),
    (" ", "+"),
    ("@", "%40"),
    (":", "%3A"),
    ("/", "%2F"),
    ("\x00", "="),
    ("\x01", "&"),
)
_PLAIN: Final = (ascii_letters + digits + "*-._" + "".join(each for each, _ in _ESCAPED)).encode()


def encode_form(parameters: tuple[tuple[str, str], ...]) -> str:
    """`parameters` as application/x-www-form-urlencoded (UTF-8)."""
    # Nearly every form is SIDs, states and numbers: it is joined, looked over and replaced as a
    # whole, with control characters (counted, lest a value brings its own) for the joints.
    whole = "\x01".join(map("\x00".join, parameters))
    if (
        whole.isascii()
        and not whole.encode().translate(None, _PLAIN)
        and whole.count("\x00") == len(parameters)
        and whole.count("\x01") == len(parameters) - 1
    ):
        for each, escaped in _ESCAPED:
            whole = whole.replace(each, escaped)
        return whole
    return urlencode(parameters, errors="replace")

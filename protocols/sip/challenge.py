"""The headers of digest authentication (RFC 3261 §20.44, RFC 7616 §3, RFC 8760) as values.

WWW-Authenticate and Authorization, their sisters for proxies and Authentication-Info share one
grammar: a scheme, and parameters between commas, of which a peer may quote any. SIP writes one
challenge in a header line; here several may stand in one, as HTTP has it, where a comma ends
either a parameter or a challenge. What is computed from the values is in `digest`.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError

MAX_VALUES: Final = 16  # header lines of one name; those after them are not looked at
MAX_CHARACTERS: Final = 8192  # of one header line
MAX_PARAMETERS: Final = 32  # of one challenge
MAX_REPEATED: Final = 2048  # characters of a challenge that our requests have to repeat


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The names under which one of the two roles authenticates (RFC 3261 §22.2, §22.3)."""

    status: int
    challenge: str
    credentials: str
    info: str


SERVER: Final = Side(
    status=401,
    challenge="WWW-Authenticate",
    credentials="Authorization",
    info="Authentication-Info",
)
PROXY: Final = Side(
    status=407,
    challenge="Proxy-Authenticate",
    credentials="Proxy-Authorization",
    info="Proxy-Authentication-Info",
)
SIDES: Final = (SERVER, PROXY)


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge of the scheme Digest (RFC 7616 §3.3).

    `algorithm` is as the peer wrote it, "" where it wrote none, which means MD5; `qop` what it
    offers, in small letters, empty for RFC 2069's way; `opaque` None if there is none, for an
    empty one is given back as well.
    """

    realm: str
    nonce: str
    algorithm: str = ""
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials of the scheme Digest (RFC 7616 §3.4), unquoted and else as they were written.

    `nc` is the text of up to eight hexadecimal digits; with no `qop` it and `cnonce` are "".
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = ""
    cnonce: str = ""
    opaque: str | None = None
    qop: str = ""
    nc: str = ""


# An element is `name = "quoted"`, `name = bare`, or a name alone: the scheme of a challenge.
# Anything else is one character that stands where none may; nothing is tried twice.
_ELEMENT: Final = re.compile(
    r'[ \t,]*+(?:([^ \t,="]++)(?:[ \t]*+(=)[ \t]*+(?:"((?:[^"\\]++|\\.)*)"|([^ \t,"]*+)(?!")))?'
    r"|(.))"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED: Final = re.compile(r"\\(.)")
_QOPS: Final = frozenset({"auth", "auth-int"})

_Parameters = dict[str, str]


def read_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """The Digest challenges in the header lines `values`, topmost first.

    Other schemes are left out, and so is a line that can't be read and a challenge that has no
    realm or no nonce, or too long ones: the peer may offer another.
    """
    found: list[Challenge] = []
    for value in islice(values, MAX_VALUES):
        try:
            schemes = _schemes(value)
        except RemoteProtocolError:
            continue
        found += [
            Challenge(
                realm=given["realm"],
                nonce=given["nonce"],
                algorithm=given.get("algorithm", ""),
                qop=_words(given.get("qop", "")),
                opaque=given.get("opaque"),
                stale=given.get("stale", "").lower() == "true",
            )
            for scheme, given in schemes
            if scheme == "digest" and _is_usable(given)
        ]
    return tuple(found)


def _is_usable(given: _Parameters) -> bool:
    repeated = [given.get(name, "") for name in ("realm", "nonce", "opaque")]
    return "realm" in given and bool(repeated[1]) and sum(map(len, repeated)) <= MAX_REPEATED


def read_authorizations(values: Iterable[str]) -> tuple[Authorization, ...]:
    """The Digest credentials in the header lines `values`, in their order.

    Other schemes are left out. Raises RemoteProtocolError (400) for what can't be read and for
    credentials that lack what RFC 7616 §3.4 demands.
    """
    return tuple(
        [
            _authorization(given)
            for value in islice(values, MAX_VALUES)
            for scheme, given in _schemes(value)
            if scheme == "digest"
        ]
    )


_DEMANDED: Final = ("username", "nonce", "uri", "response")


def _authorization(given: _Parameters) -> Authorization:
    get = given.get
    for name in _DEMANDED:
        if not get(name):
            raise RemoteProtocolError(f"credentials of the scheme Digest name no {name}")
    if "realm" not in given:  # it may be empty, as a peer's challenge made it
        raise RemoteProtocolError("credentials of the scheme Digest name no realm")
    return Authorization(
        username=given["username"],
        realm=given["realm"],
        nonce=given["nonce"],
        uri=given["uri"],
        response=given["response"],
        algorithm=get("algorithm", ""),
        cnonce=get("cnonce", ""),
        opaque=get("opaque"),
        qop=get("qop", "").lower(),
        nc=get("nc", ""),
    )


def read_next_nonce(values: Iterable[str]) -> str:
    """The nextnonce of Authentication-Info lines (RFC 7616 §3.5), "" if they have none."""
    for value in islice(values, MAX_VALUES):
        try:
            schemes = _schemes(f"digest {value}")
        except RemoteProtocolError:
            continue
        for _, given in schemes:
            if nonce := given.get("nextnonce"):
                return nonce
    return ""


def write_challenge(challenge: Challenge) -> str:
    """The value of a WWW-Authenticate or Proxy-Authenticate line.

    Raises LocalProtocolError for a value that no quoted string takes.
    """
    parts = [f"realm={quoted(challenge.realm)}", f"nonce={quoted(challenge.nonce)}"]
    if challenge.opaque is not None:
        parts.append(f"opaque={quoted(challenge.opaque)}")
    if challenge.stale:
        parts.append("stale=true")
    if challenge.algorithm:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.qop:
        parts.append(f'qop="{",".join(challenge.qop)}"')
    return f"Digest {', '.join(parts)}"


def write_authorization(credentials: Authorization) -> str:
    """The value of an Authorization or Proxy-Authorization line.

    Raises LocalProtocolError for a value that no quoted string takes.
    """
    parts = [
        f"username={quoted(credentials.username)}",
        f"realm={quoted(credentials.realm)}",
        f"nonce={quoted(credentials.nonce)}",
        f"uri={quoted(credentials.uri)}",
        f"response={quoted(credentials.response)}",
    ]
    if credentials.algorithm:
        parts.append(f"algorithm={credentials.algorithm}")
    if credentials.opaque is not None:
        parts.append(f"opaque={quoted(credentials.opaque)}")
    if credentials.qop:
        # RFC 7616 §3.4: qop and nc are not quoted here, as they are in a challenge.
        parts.append(f"qop={credentials.qop}, nc={credentials.nc}")
        parts.append(f"cnonce={quoted(credentials.cnonce)}")
    return f"Digest {', '.join(parts)}"


def quoted(text: str) -> str:
    """`text` as a quoted-string (RFC 3261 §25.1). Raises LocalProtocolError for controls."""
    if _CONTROL.search(text):
        raise LocalProtocolError(f"a quoted string takes no control characters: {text!r}")
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.lower().split(",") if (word := part.strip()))


def _schemes(text: str) -> list[tuple[str, _Parameters]]:
    """Schemes in small letters with their parameters, each name once."""
    if len(text) > MAX_CHARACTERS:
        raise RemoteProtocolError(f"a header of authentication has {len(text)} characters")
    if _CONTROL.search(text):
        raise RemoteProtocolError("a header of authentication has control characters")
    found: list[tuple[str, _Parameters]] = []
    given: _Parameters | None = None
    for name, equals, inside, bare, stray in _ELEMENT.findall(text.strip(" \t,")):
        if stray:
            raise RemoteProtocolError(f"a header of authentication has a stray {stray!r}")
        name = name.lower()
        if not equals:
            if given is not None and name in _QOPS and "qop" in given:
                given["qop"] += (
                    f",{name}"  # `qop=auth,auth-int` without quotes is seen in the field
                )
                continue
            given = {}
            found.append((name, given))
        elif given is None:
            raise RemoteProtocolError("a header of authentication begins without a scheme")
        elif name in given or len(given) >= MAX_PARAMETERS:
            raise RemoteProtocolError(f"{name} stands twice, or is one parameter too many")
        else:
            given[name] = _ESCAPED.sub(r"\1", inside) if "\\" in inside else inside or bare
    return found

"""Answers to a 401: Basic (RFC 7617) and Digest (RFC 7616) with the userinfo of the URL."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

# RFC 9110 11.2: a scheme, then name=value pairs, the value a token or a quoted string.
_SCHEME: Final = re.compile(r"(?:^|,)\s*(Basic|Digest)\s+(?![=,])", re.IGNORECASE)
_PAIR: Final = re.compile(r'([!-+\--~]+?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')

_HASHES: Final[dict[str, Callable[[bytes], str]]] = {
    "MD5": lambda octets: hashlib.md5(octets, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda octets: hashlib.sha256(octets).hexdigest(),
    "SHA-512-256": lambda octets: hashlib.new("sha512_256", octets).hexdigest(),
}


class Basic(msgspec.Struct, frozen=True, kw_only=True):
    """The server wants name and password as they are."""


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """The server's Digest challenge; `algorithm` is one that we have, `qop` "auth" or ""."""

    realm: str
    nonce: str
    opaque: str | None
    algorithm: str
    session: bool
    qop: str


Challenge = Basic | Digest


def parse_challenges(headers: Sequence[str]) -> Challenge | None:
    """The strongest challenge in the `WWW-Authenticate` fields that can be answered."""
    found: list[Challenge] = []
    for header in headers:
        starts = list(_SCHEME.finditer(header))
        for number, start in enumerate(starts):
            end = starts[number + 1].start() if number + 1 < len(starts) else len(header)
            challenge = _challenge(start.group(1).lower(), header[start.end() : end])
            if challenge is not None:
                found.append(challenge)
        if re.fullmatch(r"\s*Basic\s*", header, re.IGNORECASE):
            found.append(Basic())
    found.sort(key=lambda challenge: not isinstance(challenge, Digest))
    return found[0] if found else None


def _challenge(scheme: str, text: str) -> Challenge | None:
    if scheme == "basic":
        return Basic()
    fields = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) or token
        for name, quoted, token in _PAIR.findall(text)
    }
    algorithm = fields.get("algorithm", "MD5").upper()
    session = algorithm.endswith("-SESS")
    algorithm = algorithm.removesuffix("-SESS")
    offered = [qop.strip().lower() for qop in fields.get("qop", "").split(",") if qop.strip()]
    if algorithm not in _HASHES or "nonce" not in fields or (offered and "auth" not in offered):
        return None
    return Digest(
        realm=fields.get("realm", ""),
        nonce=fields["nonce"],
        opaque=fields.get("opaque"),
        algorithm=algorithm,
        session=session,
        qop="auth" if offered else "",
    )


def authorize(
    challenge: Challenge,
    *,
    user: str,
    password: str,
    method: str,
    path: str,
    count: int,
    cnonce: str,
) -> str:
    """The `Authorization` header for one request.

    `count` is how many requests were made with this challenge, this one included; `cnonce` is
    random and hex.
    """
    match challenge:
        case Basic():
            return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
        case Digest():
            return _digest(challenge, user, password, method, path, count, cnonce)


def _digest(
    challenge: Digest, user: str, password: str, method: str, path: str, count: int, cnonce: str
) -> str:
    hashed = _HASHES[challenge.algorithm]

    def h(text: str) -> str:
        # Octets of a header field that are no UTF-8 come as lone surrogates; they go back as they
        # were, and are hashed so.
        return hashed(text.encode("utf-8", "surrogateescape"))

    secret = h(f"{user}:{challenge.realm}:{password}")
    if challenge.session:
        secret = h(f"{secret}:{challenge.nonce}:{cnonce}")
    what = h(f"{method}:{path}")
    nc = f"{count:08x}"
    if challenge.qop:
        response = h(f"{secret}:{challenge.nonce}:{nc}:{cnonce}:{challenge.qop}:{what}")
    else:
        response = h(f"{secret}:{challenge.nonce}:{what}")
    name = challenge.algorithm + ("-sess" if challenge.session else "")
    fields = [
        f"username={_quoted(user)}",
        f"realm={_quoted(challenge.realm)}",
        f"nonce={_quoted(challenge.nonce)}",
        f"uri={_quoted(path)}",
        f'response="{response}"',
        f"algorithm={name}",
    ]
    if challenge.opaque is not None:
        fields.append(f"opaque={_quoted(challenge.opaque)}")
    if challenge.qop:
        fields += [f"qop={challenge.qop}", f"nc={nc}"]
    if challenge.qop or challenge.session:
        fields.append(f'cnonce="{cnonce}"')
    return f"Digest {', '.join(fields)}"


def _quoted(text: str) -> str:
    # A control character in a header field would end it; none is legal in a quoted string.
    clean = re.sub(r"[\x00-\x1f\x7f]", "", text)
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): what is hashed, and the client.

A client meets challenges of servers and proxies, each for a realm of its own. `Sessions` answers
them and remembers each realm's nonce, so that the requests that follow carry credentials from the
start, with a count of uses that the server can check. The server's side is `challenger`.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.challenge import (
    SIDES,
    Authorization,
    Challenge,
    Side,
    read_authorizations,
    read_challenges,
    read_next_nonce,
    write_authorization,
)
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.message import Headers


def _md5(octets: bytes) -> str:
    # MD5 is what nearly every phone speaks; a FIPS build forbids it only where it keeps secrets.
    return hashlib.md5(octets, usedforsecurity=False).hexdigest()


def _sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def _sha512_256(octets: bytes) -> str:
    return hashlib.new("sha512_256", octets).hexdigest()


# What RFC 8760 §2 names, as far as this machine's OpenSSL has it.
ALGORITHMS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "MD5": _md5,
    "SHA-256": _sha256,
    **({"SHA-512-256": _sha512_256} if "sha512_256" in hashlib.algorithms_available else {}),
}
_SESSION: Final = "-SESS"


def hash_name(algorithm: str) -> str:
    """The name in `ALGORITHMS` behind `algorithm` as a peer writes it; "" if it is none of them.

    No algorithm is MD5; case and the ending `-sess` don't count.
    """
    name = algorithm.upper().removesuffix(_SESSION) or "MD5"
    return name if name in ALGORITHMS else ""


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """The hash of an account, in small hexadecimal digits: it stands for the password.

    `algorithm` is a name of `ALGORITHMS`; KeyError for another.
    """
    return ALGORITHMS[algorithm](_octets(f"{username}:{realm}:{password}"))


def digest_response(given: Authorization, secret: str, *, method: str, body: bytes) -> str:
    """The response that belongs to what else `given` says (RFC 7616 §3.4.1).

    `secret` is the account's hash, with `-sess` the session's (`session_secret`). KeyError if
    the algorithm is unknown.
    """
    hashed = ALGORITHMS[hash_name(given.algorithm)]
    if given.qop == "auth-int":
        subject = hashed(_octets(f"{method}:{given.uri}:{hashed(body)}"))
    else:
        subject = hashed(_octets(f"{method}:{given.uri}"))
    uses = given.nonce  # all that RFC 2069 has
    if given.qop:
        uses = f"{uses}:{given.nc}:{given.cnonce}:{given.qop}"
    return hashed(_octets(f"{secret}:{uses}:{subject}"))


def session_secret(algorithm: str, secret: str, *, nonce: str, cnonce: str) -> str:
    """The hash to compute with: `secret` itself, or with `-sess` that of the session's begin."""
    if not algorithm.upper().endswith(_SESSION):
        return secret
    return ALGORITHMS[hash_name(algorithm)](_octets(f"{secret}:{nonce}:{cnonce}"))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to a peer: a name with a password, or with its hash by algorithm.

    `hashes` has HA1s under names of `ALGORITHMS`; what it lacks is computed from the password,
    if there is one. `realm` None fits every realm.
    """

    username: str
    password: str | None = None
    hashes: Mapping[str, str] = {}
    realm: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, realm={self.realm!r})"

    def ha1(self, algorithm: str, realm: str) -> str | None:
        """The hash for a realm and a name of `ALGORITHMS`; None if these don't have it."""
        if self.realm is not None and self.realm != realm:
            return None
        known = self.hashes.get(algorithm)
        if known is None and self.password is not None:
            return ha1(algorithm, self.username, realm, self.password)
        return known


class Rejection(StrEnum):
    """Why a request isn't to be sent again; the value is the sentence for a person."""

    CREDENTIALS = "the peer does not take our username or password"
    NO_CREDENTIALS = "we have no username and password for the realm"
    UNSUPPORTED = "the peer asks for authentication, but offers no digest that we can compute"
    TRIES = "the peer asked for authentication again and again"


class Renewed(msgspec.Struct, frozen=True, kw_only=True):
    """The request may be sent again, with what `Sessions.authorize` says now."""

    realms: tuple[str, ...]


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The request failed; `realm` is "" if it is no realm's fault."""

    reason: Rejection
    realm: str = ""


class _Session:
    """What is known of one realm: its challenge, our secret for it, and how often it was used."""

    __slots__ = ("challenge", "cnonce", "count", "qop", "secret", "trusted", "username")

    def __init__(self, challenge: Challenge, username: str, secret: str, cnonce: str) -> None:
        self.challenge = challenge
        self.username = username
        self.secret = session_secret(
            challenge.algorithm, secret, nonce=challenge.nonce, cnonce=cnonce
        )
        self.cnonce = cnonce
        self.qop = next((qop for qop in _QOPS if qop in challenge.qop), "")
        self.count = 0
        self.trusted = False

    def authorization(self, method: str, uri: str, body: bytes) -> Authorization:
        self.count += 1
        challenge = self.challenge
        given = Authorization(
            username=self.username,
            realm=challenge.realm,
            nonce=challenge.nonce,
            uri=uri,
            response="",
            algorithm=challenge.algorithm,
            opaque=challenge.opaque,
            # RFC 3261 §22.4: neither of these without qop.
            qop=self.qop,
            nc=f"{self.count:08x}" if self.qop else "",
            cnonce=self.cnonce if self.qop else "",
        )
        response = digest_response(given, self.secret, method=method, body=body)
        return msgspec.structs.replace(given, response=response)


_QOPS: Final = ("auth", "auth-int")  # the latter only where it is all that is offered
_MAX_COUNT: Final = 0xFFFFFFFF  # nc has eight digits


class Sessions:
    """A client's standing with one peer and the proxies before it, at most `limit` realms.

    Give each trunk, registration or account one of its own: what it holds goes to whoever is
    asked next. `cnonce` gives random text, at least 8 characters of it for each call.
    """

    MAX_TRIES: Final = 5  # a proxy's realm, a server's, and a nonce of each that expired

    def __init__(
        self, credentials: Sequence[Credentials], *, cnonce: Callable[[], str], limit: int = 16
    ) -> None:
        self._credentials = tuple(credentials)
        self._cnonce = cnonce
        self._limit = limit
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()

    @property
    def is_asked(self) -> bool:
        """Whether any realm has asked yet: until then there is nothing to say to one."""
        return bool(self._sessions)

    def authorize(self, method: str, uri: str, body: bytes = b"") -> tuple[tuple[str, str], ...]:
        """The header lines (name, value) to put into a request, none before a first challenge.

        `uri` is the text of the Request-URI. Each call is a use of the nonces: ask once for each
        request that gets a CSeq of its own. An ACK repeats the lines of its INVITE, a CANCEL
        has none (RFC 3261 §22.1). Raises LocalProtocolError for a URI with control characters.
        """
        return tuple(
            (name, write_authorization(session.authorization(method, uri, body)))
            for (name, _), session in self._sessions.items()
            if session.count < _MAX_COUNT
        )

    def challenged(self, sent: Headers, received: Headers, *, tries: int) -> Renewed | Rejected:
        """A request with the headers `sent` was answered by 401 or 407 with those `received`.

        `tries` says how often this request was sent, 1 when it was answered for the first time.
        Of each realm the topmost challenge counts that we can answer (RFC 8760 §2.4). Credentials
        are rejected if a nonce was used for the first time and is neither stale nor known good.
        """
        if tries >= self.MAX_TRIES:
            return Rejected(reason=Rejection.TRIES)
        renewed: list[str] = []
        lacking: Rejected | None = None
        for side in SIDES:
            used = _used(side, sent)
            for realm, challenges in _by_realm(side, received).items():
                found = self._answerable(challenges)
                if isinstance(found, Rejected):
                    lacking = lacking or found
                elif self._is_final(side, found[0], used.get(realm)):
                    return Rejected(reason=Rejection.CREDENTIALS, realm=realm)
                else:
                    self._begin(side, *found)
                    renewed.append(realm)
        if renewed:
            # RFC 3261 §22.3: where several ask, the credentials of one may be enough.
            return Renewed(realms=tuple(renewed))
        return lacking or Rejected(reason=Rejection.UNSUPPORTED)

    def accepted(self, sent: Headers, received: Headers) -> None:
        """A request with the headers `sent` got a final answer other than 401 and 407.

        Its nonces are good, and `received` may name the ones to use next (RFC 7616 §3.5).
        """
        if not self.is_asked:
            return
        for side in SIDES:
            used = _used(side, sent)
            following = read_next_nonce(received.all(side.info)) if len(used) == 1 else ""
            for realm, given in used.items():
                session = self._sessions.get((side.credentials, realm))
                if session is None or session.challenge.nonce != given.nonce:
                    continue
                session.trusted = True
                if following and following != given.nonce:
                    session.challenge = msgspec.structs.replace(session.challenge, nonce=following)
                    session.count = 0

    def _answerable(
        self, challenges: Sequence[Challenge]
    ) -> tuple[Challenge, Credentials, str] | Rejected:
        """The topmost challenge that we can answer, with what answers it."""
        reason = Rejection.UNSUPPORTED
        for challenge in challenges:
            if not _is_known(challenge):
                continue
            algorithm = hash_name(challenge.algorithm)
            reason = Rejection.NO_CREDENTIALS
            for credentials in self._credentials:
                secret = credentials.ha1(algorithm, challenge.realm)
                if secret is not None:
                    return challenge, credentials, secret
        return Rejected(reason=reason, realm=challenges[0].realm)

    def _is_final(self, side: Side, challenge: Challenge, used: Authorization | None) -> bool:
        """Whether the peer has looked at our credentials and does not take them.

        Servers that forget to say `stale` are common: a nonce that was good before, or that
        was used before, has expired. Another request may have brought a newer nonce meanwhile.
        """
        if used is None or challenge.stale:
            return False
        if used.nonce == challenge.nonce:
            return True
        session = self._sessions.get((side.credentials, challenge.realm))
        if session is None or session.challenge.nonce != used.nonce:
            return False
        return not session.trusted and used.nc in ("", "00000001")

    def _begin(self, side: Side, challenge: Challenge, by: Credentials, secret: str) -> None:
        """Take up a challenge; one that another request has taken up already goes on counting."""
        key = (side.credentials, challenge.realm)
        known = self._sessions.get(key)
        if known is not None and known.challenge.nonce == challenge.nonce:
            return
        self._sessions[key] = _Session(challenge, by.username, secret, self._cnonce())
        self._sessions.move_to_end(key)
        if len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)


def _is_known(challenge: Challenge) -> bool:
    """Whether there is a way to answer; a session (`-sess`) begins with a cnonce, so with qop."""
    if not hash_name(challenge.algorithm):
        return False
    if not challenge.qop:
        return not challenge.algorithm.upper().endswith(_SESSION)
    return any(qop in challenge.qop for qop in _QOPS)


def _used(side: Side, sent: Headers) -> dict[str, Authorization]:
    """The credentials of one of our own requests by realm."""
    try:
        return {given.realm: given for given in read_authorizations(sent.all(side.credentials))}
    except RemoteProtocolError:
        return {}  # what the peer made us repeat is too long to be read; `tries` ends it


def _by_realm(side: Side, received: Headers) -> dict[str, list[Challenge]]:
    found: dict[str, list[Challenge]] = {}
    for challenge in read_challenges(received.all(side.challenge)):
        found.setdefault(challenge.realm, []).append(challenge)
    return found

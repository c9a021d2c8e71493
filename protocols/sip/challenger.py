"""The server's side of digest authentication (RFC 3261 §22, RFC 7616 §3.3-3.4, RFC 8760).

A challenge is remembered by nobody: its nonce carries the time and a signature over it, so that a
flood of requests without credentials costs no memory. What is remembered, for a fixed number of
nonces, is which counts were used with a right password; a nonce that was pushed out is no longer
taken. Whose password it is must be known to the caller: it looks up hashes, never passwords.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote

import msgspec

from protocols.sip.challenge import (
    SERVER,
    Authorization,
    Challenge,
    Side,
    read_authorizations,
    write_challenge,
)
from protocols.sip.digest import ALGORITHMS, digest_response
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.message import Headers

Accounts = Callable[[str, str], Mapping[str, str] | None]
"""(realm, username) -> the account's HA1 by name of `digest.ALGORITHMS`, None: no such account."""


class Legacy(Enum):
    """What to make of credentials without qop, as RFC 2069 and some old phones have them."""

    REFUSED = "refused"
    ONCE = "once"  # they have no count, so each nonce is good for one request


class Refusal(StrEnum):
    """Why credentials were not taken; the value is the sentence for a person."""

    MALFORMED = "the credentials can't be read"
    OTHER_URI = "the credentials are for another URI than that of the request"
    ALGORITHM = "the credentials use an algorithm that was not offered"
    QOP = "the credentials use a quality of protection that was not offered"
    COUNT = "the credentials have no right nonce count or no cnonce"
    RESPONSE = "the username or the password is wrong"


# RFC 7616 §3.4.6 wants 400 for another URI; RFC 3665 §2.5 challenges a wrong password anew.
_BAD_REQUEST: Final = frozenset({Refusal.MALFORMED, Refusal.OTHER_URI})


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The sender knows the password of `username` in `realm`."""

    username: str
    realm: str
    algorithm: str


class Challenged(msgspec.Struct, frozen=True, kw_only=True):
    """Answer with `status` and `headers`: there were no credentials, or their nonce is used up.

    With `stale` the password was right, and a client goes on without asking anybody.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    stale: bool


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Answer with `status` and `headers`, or with 403 and no headers to stop the client.

    `username` is what the sender claims to be, "" if that can't be read.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    reason: Refusal
    username: str = ""


Result = Accepted | Challenged | Refused


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked: the request `method` `uri` (the text of its Request-URI).

    `source` is a text that a nonce is good for alone, as the IP address of the sender; "" if
    a client may come from anywhere. A challenge offers those of `algorithms`, if there are any, and
    of them those that the account `claimed` has a hash for, if it is one.
    """

    realm: str
    method: str
    uri: str
    body: bytes = b""
    source: str = ""
    side: Side = SERVER
    algorithms: tuple[str, ...] = ()
    claimed: str = ""


class _Uses:
    """Which counts of one nonce were used: the highest, and a bit for each below it."""

    __slots__ = ("highest", "issued", "seen")

    def __init__(self, issued: float) -> None:
        self.issued = issued
        self.highest = 0
        self.seen = 0


class Challenger:
    """Issues nonces and checks what comes back.

    `secret` signs nonces (32 octets of chance): with the same one in two processes a request
    can be replayed once to the other, with two different ones a nonce is stale in the other.
    `lifetime` of a nonce is in seconds. `algorithms` are offered in this order, the best first, if
    the request's `Demand` does not want fewer. `window` is how far behind the highest count
    of a nonce one that was overtaken on its way may come. At most `nonces` are remembered.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        lifetime: float = 300.0,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        window: int = 64,
        nonces: int = 16384,
        legacy: Legacy = Legacy.REFUSED,
    ) -> None:
        unknown = [name for name in algorithms if name not in ALGORITHMS]
        if unknown or not algorithms:
            known = ", ".join(ALGORITHMS)
            raise LocalProtocolError(f"algorithms are some of {known}, not {list(algorithms)}")
        self._key = blake2b(secret, digest_size=32).digest()
        self._lifetime = lifetime
        self._algorithms = tuple(algorithms)
        self._window = window
        self._mask = (1 << window) - 1
        self._nonces = nonces
        self._legacy = legacy
        self._issued = 0
        self._uses: OrderedDict[bytes, _Uses] = OrderedDict()
        # Of nonces that were issued up to then it is no longer known whether they were used.
        self._forgotten = float("-inf")
        # As good as any hash to compute with, and nobody can know it.
        self._nobody = {name: ALGORITHMS[name](secret + b"nobody") for name in algorithms}

    def __len__(self) -> int:
        return len(self._uses)

    def check(self, headers: Headers, demand: Demand, accounts: Accounts, *, now: float) -> Result:
        """Whether a request with `headers` comes from an account; `now` is seconds of the epoch.

        Credentials for other realms are passed over. An account that doesn't exist takes as
        long as one that does. `accounts` is asked for who claims to be somebody, at most once.
        """
        try:
            given = _claim(headers, demand)
        except RemoteProtocolError as error:
            return Refused(status=error.status, headers=(), reason=Refusal.MALFORMED)
        if given is None:
            return self.challenge(demand, now=now, accounts=accounts)
        algorithm = given.algorithm.upper() or "MD5"
        count = _count(given)
        reason = self._fault(given, algorithm, count, demand)
        account: Mapping[str, str] = {}
        if reason is None:
            account = accounts(given.realm, given.username) or {}
            secret = account.get(algorithm)
            right = digest_response(
                given, secret or self._nobody[algorithm], method=demand.method, body=demand.body
            )
            same = hmac.compare_digest(right.encode(), _octets(given.response.lower()))
            if not same or secret is None:
                reason = Refusal.RESPONSE
        if reason is not None:
            return self._refused(given, reason, demand, now, account)
        if not self._is_fresh(given.nonce, count, demand, now):
            return self._challenged(demand, now, account, stale=True)
        return Accepted(username=given.username, realm=given.realm, algorithm=algorithm)

    def challenge(
        self, demand: Demand, *, now: float, accounts: Accounts = lambda realm, username: None
    ) -> Challenged:
        """A challenge with a new nonce."""
        account = accounts(demand.realm, demand.claimed) if demand.claimed else None
        return self._challenged(demand, now, account or {}, stale=False)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What is offered, the best first."""
        return self._algorithms

    def _fault(
        self, given: Authorization, algorithm: str, count: int, demand: Demand
    ) -> Refusal | None:
        """What is wrong before anything is computed."""
        if algorithm not in self._algorithms:
            return Refusal.ALGORITHM
        if given.qop != "auth" and (given.qop or self._legacy is Legacy.REFUSED):
            return Refusal.QOP
        if count < 1 or (given.qop and not given.cnonce):
            return Refusal.COUNT
        if given.uri != demand.uri and _place(given.uri) != _place(demand.uri):
            return Refusal.OTHER_URI
        return None

    def _refused(
        self,
        given: Authorization,
        reason: Refusal,
        demand: Demand,
        now: float,
        account: Mapping[str, str],
    ) -> Refused:
        if reason in _BAD_REQUEST:
            return Refused(status=400, headers=(), reason=reason, username=given.username)
        again = self._challenged(demand, now, account, stale=False)
        return Refused(
            status=again.status, headers=again.headers, reason=reason, username=given.username
        )

    def _challenged(
        self, demand: Demand, now: float, account: Mapping[str, str], *, stale: bool
    ) -> Challenged:
        nonce = self._nonce(demand, now)
        headers = tuple(
            (
                demand.side.challenge,
                write_challenge(
                    Challenge(
                        realm=demand.realm,
                        nonce=nonce,
                        algorithm=algorithm,
                        qop=("auth",),
                        stale=stale,
                    )
                ),
            )
            for algorithm in self._offered(demand, account)
        )
        return Challenged(status=demand.side.status, headers=headers, stale=stale)

    def _offered(self, demand: Demand, account: Mapping[str, str]) -> Sequence[str]:
        wanted = demand.algorithms or self._algorithms
        offered = [each for each in wanted if each in self._algorithms]
        known = [each for each in offered if each in account]
        # Without any there is still something to ask by: nobody is to learn who exists.
        return known or offered or self._algorithms

    def _nonce(self, demand: Demand, now: float) -> str:
        """Microseconds of the epoch, a running number and a signature: 24 octets as 32 letters."""
        self._issued = (self._issued + 1) & 0xFFFFFFFF
        head = int(now * 1e6).to_bytes(8, "big") + self._issued.to_bytes(4, "big")
        return urlsafe_b64encode(head + self._sign(head, demand)).decode()

    def _sign(self, head: bytes, demand: Demand) -> bytes:
        subject = head + _octets(f"{demand.realm}\0{demand.source}")
        return blake2b(subject, key=self._key, digest_size=_SIGNATURE).digest()

    def _is_fresh(self, nonce: str, count: int, demand: Demand, now: float) -> bool:
        """Whether a nonce is ours, in its time and not used with this count; then it is."""
        head = self._head_of(nonce, demand)
        issued = int.from_bytes(head[:8], "big") / 1e6
        if not head or abs(now - issued) > self._lifetime:
            return False
        uses = self._uses.get(head)
        if uses is None:
            if issued <= self._forgotten:
                return False
            uses = self._uses[head] = _Uses(issued)
            if len(self._uses) > self._nonces:
                _, oldest = self._uses.popitem(last=False)
                self._forgotten = max(self._forgotten, oldest.issued)
        else:
            self._uses.move_to_end(head)
        return self._use(uses, count)

    def _use(self, uses: _Uses, count: int) -> bool:
        ahead = count - uses.highest
        if ahead > 0:
            # Beyond the window every bit falls out, whatever the distance is.
            uses.seen = (uses.seen << min(ahead, self._window) | 1) & self._mask
            uses.highest = count
            return True
        bit = 1 << -ahead if -ahead < self._window else 0
        if not bit or uses.seen & bit:
            return False
        uses.seen |= bit
        return True

    def _head_of(self, nonce: str, demand: Demand) -> bytes:
        """What we signed in `nonce`; empty if we didn't, or for another realm or source."""
        try:
            octets = urlsafe_b64decode(nonce) if len(nonce) == 32 else b""
        except ValueError:
            return b""
        head, signature = octets[:12], octets[12:]
        return head if hmac.compare_digest(signature, self._sign(head, demand)) else b""


_SIGNATURE: Final = 12  # octets
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def _claim(headers: Headers, demand: Demand) -> Authorization | None:
    """The first credentials for the realm."""
    lines = headers.all(demand.side.credentials)
    for given in read_authorizations(lines) if lines else ():
        if given.realm == demand.realm:
            return given
    return None


def _count(given: Authorization) -> int:
    """The nonce count, 0 if there is none that is right; without qop the only use is the first."""
    if not given.qop:
        return 1
    return int(given.nc, 16) if 0 < len(given.nc) <= 8 and _HEX.issuperset(given.nc) else 0


def _place(uri: str) -> tuple[str, str, str]:
    """What two URIs must have in common to be the same: (scheme, user, host).

    RFC 7616 §3.4.6 wants the digest's URI equal to the request's. Phones leave out a port or
    parameters in one of them, or write sip for sips; for whom a request is must not change.
    """
    scheme, _, rest = uri.strip().partition(":")
    user, at, host = rest.partition("@")
    if not at:
        user, host = "", rest
    for mark in ";?":
        host = host.partition(mark)[0]
    host = host.partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    scheme = scheme.lower()
    return "sip" if scheme == "sips" else scheme, unquote(user), host.lower()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

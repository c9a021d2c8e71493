"""Access Tokens: what an app gives a browser, so that it may call and be called under a name.

A token is a JWT signed with the secret of a key (HS256), in Twilio's form, so those that Twilio's
libraries make pass here. It is looked at in the order of what may be believed: its form, then whose
key it names, then the signature, and only then what it says. A key that is gone signs nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from gateway.access.keys import Key

LONGEST: Final = 24 * 3600.0
"""Seconds that a token may live."""
SKEW: Final = 60.0
"""Seconds by which the clock of who made a token may be ahead of ours."""
LARGEST: Final = 16_384
"""Characters of a token; parameters of its own may stand in it."""
LONGEST_IDENTITY: Final = 121
"""Characters of a name; Twilio's bound."""

_ALGORITHM: Final = "HS256"
_CONTENT: Final = "twilio-fpa;v=1"
_FORM: Final = jws.JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a token that was believed lets its bearer do, until `expires`."""

    account_sid: str
    key_sid: str
    identity: str
    expires: float
    incoming_allow: bool
    outgoing_application_sid: str
    outgoing_params: dict[str, str]


class Believed(Protocol):
    """What has to be known of a token that was believed, to look at it again; `Access` is one."""

    @property
    def account_sid(self) -> str:
        """Whose it is."""
        ...

    @property
    def key_sid(self) -> str:
        """What signed it."""
        ...

    @property
    def expires(self) -> float:
        """Until when."""
        ...


class Invalid(msgspec.Struct, frozen=True):
    """Why a token is not believed: Twilio's code, and what would be right."""

    code: int
    message: str


_NO_KEY: Final = Invalid(
    20103, "The issuer is no key of the account that is the subject, or the key was deleted"
)
_EXPIRED: Final = Invalid(20104, "The token has expired: ask your server for another one")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token lets its bearer do: be called as `identity`, and call by an application."""

    identity: str
    incoming_allow: bool = True
    outgoing_application_sid: str = ""
    outgoing_params: Mapping[str, str] = {}


class _Header(msgspec.Struct):
    alg: str = ""
    cty: str = ""


class _Claims(msgspec.Struct):
    iss: str = ""
    sub: str = ""
    exp: float = 0.0
    nbf: float = 0.0
    iat: float = 0.0
    grants: msgspec.Raw = msgspec.Raw(b"{}")


class _Incoming(msgspec.Struct):
    allow: bool = False


class _Outgoing(msgspec.Struct):
    application_sid: str = ""
    params: dict[str, str | int | float | bool | None] | None = None


class _Voice(msgspec.Struct):
    incoming: _Incoming | None = None
    outgoing: _Outgoing | None = None


class _Grants(msgspec.Struct):
    identity: str = ""
    voice: _Voice | None = None


def mint(key: Key, grant: Grant, now: float, ttl: float) -> str:
    """A token signed with `key`, which lives `ttl` seconds; `verify` takes `LONGEST` at most."""
    voice: dict[str, Any] = {"incoming": {"allow": grant.incoming_allow}}
    if grant.outgoing_application_sid:
        voice["outgoing"] = {"application_sid": grant.outgoing_application_sid}
        if grant.outgoing_params:
            voice["outgoing"]["params"] = dict(grant.outgoing_params)
    made = int(now)
    claims = {
        "jti": f"{key.sid}-{made}",
        "iss": key.sid,
        "sub": key.account_sid,
        "iat": made,
        "nbf": made,
        "exp": made + int(ttl),
        "grants": {"identity": grant.identity, "voice": voice},
    }
    header = {"typ": "JWT", "alg": _ALGORITHM, "cty": _CONTENT}
    signer = OctKey.import_key(key.secret)
    return jws.serialize_compact(header, msgspec.json.encode(claims), signer, registry=_FORM)


class Tokens:
    """Believes tokens or says why not; `find` gives the key of a SID, whosoever it is."""

    def __init__(self, find: Callable[[str], Key | None], is_active: Callable[[str], bool]) -> None:
        """`is_active` is whether an account may do anything."""
        self._find = find
        self._is_active = is_active

    def verify(self, token: str, now: float) -> Access | Invalid:
        """What the bearer of `token` may do at `now`."""
        if len(token) > LARGEST:
            return Invalid(20101, f"An Access Token has {LARGEST} characters at most")
        try:
            written = jws.extract_compact(token.encode(), registry=_FORM)
            header = msgspec.convert(written.headers(), _Header)
            claims = msgspec.json.decode(written.payload or b"", type=_Claims)
        except (JoseError, ValueError, RecursionError):
            return Invalid(20101, "That is not an Access Token: three parts in base64, of JSON")
        if header.alg != _ALGORITHM or header.cty != _CONTENT:
            return Invalid(20102, f'The header of a token says "{_ALGORITHM}" and "{_CONTENT}"')
        key = self._key(claims.iss, claims.sub)
        if key is None:
            return _NO_KEY
        if not _signed(written, key):
            return Invalid(20107, f"The token is not signed with the secret of {key.sid}")
        return self._inactive(key.account_sid) or _untimely(claims, now) or _granted(key, claims)

    def doubt(self, access: Believed, now: float) -> Invalid | None:
        """Why a token that was believed once is not any more; None while it is."""
        if self._key(access.key_sid, access.account_sid) is None:
            return _NO_KEY
        expired = _EXPIRED if access.expires <= now else None
        return self._inactive(access.account_sid) or expired

    def _key(self, sid: str, account_sid: str) -> Key | None:
        key = self._find(sid)
        return key if key is not None and key.account_sid == account_sid else None

    def _inactive(self, account_sid: str) -> Invalid | None:
        if self._is_active(account_sid):
            return None
        return Invalid(20005, f"Account {account_sid} is not active")


def _signed(written: jws.CompactSignature, key: Key) -> bool:
    try:
        return jws.validate_compact(written, OctKey.import_key(key.secret), registry=_FORM)
    except (JoseError, ValueError):
        return False


def _untimely(claims: _Claims, now: float) -> Invalid | None:
    if claims.exp <= now:
        return _EXPIRED
    if claims.exp > now + LONGEST + SKEW:
        return Invalid(20157, "The token would live too long: 24 hours at most")
    if max(claims.nbf, claims.iat) > now + SKEW:
        return Invalid(20105, "The token is not valid yet: compare the clocks of both servers")
    return None


def _granted(key: Key, claims: _Claims) -> Access | Invalid:
    try:
        grants = msgspec.json.decode(claims.grants, type=_Grants)
    except (ValueError, RecursionError):
        return Invalid(20106, "The grants of the token are not those of voice")
    if grants.voice is None:
        return Invalid(20106, "The token grants no voice")
    if not 0 < len(grants.identity) <= LONGEST_IDENTITY or not grants.identity.isprintable():
        said = f"1 to {LONGEST_IDENTITY} characters that can be printed"
        return Invalid(20106, f"The token needs an identity of {said}")
    incoming, outgoing = grants.voice.incoming or _Incoming(), grants.voice.outgoing or _Outgoing()
    return Access(
        account_sid=key.account_sid,
        key_sid=key.sid,
        identity=grants.identity,
        expires=claims.exp,
        incoming_allow=incoming.allow,
        outgoing_application_sid=outgoing.application_sid,
        outgoing_params={name: _text(value) for name, value in (outgoing.params or {}).items()},
    )


def _text(value: str | int | float | bool | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()

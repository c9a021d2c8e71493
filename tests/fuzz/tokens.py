"""Invariant: whatever is shown as an Access Token, only what a key signed is believed.

- Claims of any types, whoever signed them, raise nothing: they are believed or refused with a code;
- who is believed has a name within bounds, an end within a day, and the account of the key;
- a token that was bent or cut after it was signed is refused.
"""

import random
from base64 import urlsafe_b64encode
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.jwk import OctKey

from gateway.access.keys import Key
from gateway.access.tokens import LONGEST, LONGEST_IDENTITY, SKEW, Access, Invalid, Tokens

_NOW: Final = 1_800_000_000.0
_CODES: Final = frozenset({20005, 20101, 20102, 20103, 20104, 20105, 20106, 20107, 20157})
_KEYS: Final = {
    sid: Key(
        account_sid=account,
        sid=sid,
        friendly_name="",
        secret=secret * 32,
        date_created=0.0,
        date_updated=0.0,
    )
    for sid, account, secret in (
        (f"SK{1:032x}", f"AC{1:032x}", "a"),
        (f"SK{2:032x}", f"AC{2:032x}", "b"),
        (f"SK{3:032x}", "AC closed", "c"),
    )
}
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1e308, 2**80, "", "x" * 300, "\u0000", "é\n", [], {}, [[]], "alice"),
    *({"allow": "yes"}, {"allow": True}, {"application_sid": 1}, {"params": {"a": []}}),
)
_TIMES: Final = (_NOW + 600, _NOW + LONGEST, _NOW + LONGEST + SKEW + 1, _NOW, _NOW - 1, 0, "soon")
_FORM: Final = jws.JWSRegistry(strict_check_header=False)


def check(seed: int) -> None:
    """One token."""
    chance = random.Random(seed)
    tokens = Tokens(_KEYS.get, lambda sid: sid != "AC closed")
    claims, key, bent = _claims(chance), chance.choice([*_KEYS.values()]), chance.random() < 0.3
    token = _signed(chance, claims, key)
    if bent:
        token = _bent(chance, token)
    told = tokens.verify(token, _NOW)
    if isinstance(told, Invalid):
        assert told.code in _CODES and told.message
        return
    assert isinstance(told, Access)
    assert not bent, "what was changed after it was signed is believed"
    assert (told.key_sid, told.account_sid) == (key.sid, key.account_sid)
    assert told.key_sid == claims["iss"] and told.account_sid == claims["sub"]
    assert 0 < len(told.identity) <= LONGEST_IDENTITY and told.identity.isprintable()
    assert _NOW < told.expires <= _NOW + LONGEST + SKEW
    assert all(isinstance(each, str) for each in told.outgoing_params.values())


def _claims(chance: random.Random) -> dict[str, Any]:
    key = chance.choice([*_KEYS.values()])
    voice: Any = {"incoming": {"allow": True}, "outgoing": {"application_sid": "AP1"}}
    if chance.random() < 0.4:
        voice[chance.choice(("incoming", "outgoing", "more"))] = chance.choice(_ODD)
    grants: Any = {"identity": "alice", "voice": voice}
    if chance.random() < 0.3:
        grants[chance.choice(("identity", "voice", "video"))] = chance.choice(_ODD)
    claims = {"iss": key.sid, "sub": key.account_sid, "exp": _NOW + 600, "grants": grants}
    if chance.random() < 0.4:
        claims[chance.choice(("exp", "nbf", "iat"))] = chance.choice(_TIMES)
    if chance.random() < 0.3:
        claims[chance.choice(("iss", "sub", "grants", "jti", "exp"))] = chance.choice(_ODD)
    return claims


def _signed(chance: random.Random, claims: dict[str, Any], key: Key) -> str:
    header: dict[str, Any] = {"typ": "JWT", "alg": "HS256", "cty": "twilio-fpa;v=1"}
    if chance.random() < 0.2:
        header["cty"] = chance.choice(("", "JWT"))
    content = msgspec.json.encode(claims)
    if chance.random() < 0.1:
        content = content[: chance.randrange(len(content))]
    if chance.random() < 0.1:
        header["alg"] = chance.choice(("none", "HS512", "RS256", 7, None))
        parts = (msgspec.json.encode(header), content, b"")
        return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return jws.serialize_compact(
        header, content, OctKey.import_key(key.secret), ["HS256"], registry=_FORM
    )


def _bent(chance: random.Random, token: str) -> str:
    """Another one: a letter is another, or the end is gone, or two are one."""
    at = chance.randrange(token.rindex(".") or 1)
    match chance.randrange(3):
        case 0:
            other = chance.choice("ABCxyz019-_.=!\u2603\ud800".replace(token[at], ""))
            return token[:at] + other + token[at + 1 :]
        case 1:
            return token[:at]
        case _:
            return token + chance.choice((".", ".e30", token))

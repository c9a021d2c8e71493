"""Access Tokens: those of the official library are believed; of others it is told why not."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import ChatGrant, VoiceGrant

from gateway.access.keys import Key, new_secret
from gateway.access.tokens import LARGEST, Access, Grant, Invalid, Tokens, mint

NOW = 1_800_000_000.0
ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
APPLICATION = f"AP{1:032x}"


def key(number: int = 1, account_sid: str = ACCOUNT) -> Key:
    return Key(
        account_sid=account_sid,
        sid=f"SK{number:032x}",
        friendly_name="",
        secret=f"{number:032d}",
        date_created=NOW,
        date_updated=NOW,
    )


KEY = key()
KEYS = {KEY.sid: KEY, key(2, OTHER).sid: key(2, OTHER)}
GRANT = Grant(identity="alice", outgoing_application_sid=APPLICATION)
HEADER = {"cty": "twilio-fpa;v=1"}


def tokens() -> Tokens:
    return Tokens(KEYS.get, lambda sid: True)


def claims(**changed: Any) -> dict[str, Any]:
    given = {
        "jti": f"{KEY.sid}-1",
        "iss": KEY.sid,
        "sub": ACCOUNT,
        "exp": NOW + 3600,
        "grants": {"identity": "alice", "voice": {"incoming": {"allow": True}}},
        **changed,
    }
    return {name: value for name, value in given.items() if value is not None}


def signed(secret: str = KEY.secret, header: Any = HEADER, **changed: Any) -> str:
    return jwt.encode(claims(**changed), secret, algorithm="HS256", headers=header)


def code(token: str, now: float = NOW) -> int:
    told = tokens().verify(token, now)
    return told.code if isinstance(told, Invalid) else 0


def test_what_the_official_library_makes_is_believed() -> None:
    for region in (None, "ie1"):
        made = AccessToken(
            ACCOUNT, KEY.sid, KEY.secret, identity="al\u00efce \u2603", ttl=86_400, region=region
        )
        made.add_grant(
            VoiceGrant(
                incoming_allow=True,
                outgoing_application_sid=APPLICATION,
                outgoing_application_params={"team": "north \u2603", "level": 3, "vip": True},
                push_credential_sid=f"CR{1:032x}",
            )
        )
        made.add_grant(ChatGrant(service_sid=f"IS{1:032x}"))
        told = tokens().verify(made.to_jwt(), time.time())
        assert isinstance(told, Access), told
        assert 86_390 < told.expires - time.time() <= 86_400
        assert msgspec.structs.replace(told, expires=0.0) == Access(
            account_sid=ACCOUNT,
            key_sid=KEY.sid,
            identity="al\u00efce \u2603",
            expires=0.0,
            incoming_allow=True,
            outgoing_application_sid=APPLICATION,
            outgoing_params={"team": "north \u2603", "level": "3", "vip": "true"},
        )


def test_what_we_make_the_official_library_reads() -> None:
    now = time.time()
    grant = msgspec.structs.replace(GRANT, outgoing_params={"a": "b"})
    token = mint(KEY, grant, now, 600.0)
    read = AccessToken.from_jwt(token, KEY.secret)
    assert read.headers == {"typ": "JWT", "alg": "HS256", "cty": "twilio-fpa;v=1"}
    assert read.payload["exp"] - read.payload["iat"] == 600
    assert read.payload["grants"] == {
        "identity": "alice",
        "voice": {
            "incoming": {"allow": True},
            "outgoing": {"application_sid": APPLICATION, "params": {"a": "b"}},
        },
    }
    told = tokens().verify(token, now)
    assert isinstance(told, Access)
    assert (told.identity, told.outgoing_params) == ("alice", {"a": "b"})


def test_who_may_not_be_called_is_not() -> None:
    quiet = tokens().verify(signed(grants={"identity": "bob", "voice": {}}), NOW)
    assert isinstance(quiet, Access)
    assert (quiet.incoming_allow, quiet.outgoing_application_sid) == (False, "")
    told = tokens().verify(mint(KEY, Grant(identity="b", incoming_allow=False), NOW, 60), NOW)
    assert isinstance(told, Access) and not told.incoming_allow


def test_a_token_counts_in_its_time_alone() -> None:
    token = mint(KEY, GRANT, NOW, 3600.0)
    assert [code(token, NOW + later) for later in (0.0, 3599.0, 3600.0)] == [0, 0, 20104]
    assert [code(token, NOW - before) for before in (59.0, 61.0)] == [0, 20105]
    assert code(signed(exp=NOW + 86_400 + 59)) == 0
    assert code(signed(exp=NOW + 86_400 + 61)) == 20157
    assert code(signed(iat=NOW + 61)) == 20105
    assert code(signed(exp=None)) == 20104


def test_a_key_that_is_gone_signs_nothing() -> None:
    known = dict(KEYS)
    door = Tokens(known.get, lambda sid: True)
    token = mint(KEY, GRANT, NOW, 3600.0)
    assert isinstance(door.verify(token, NOW), Access)
    del known[KEY.sid]
    told = door.verify(token, NOW)
    assert isinstance(told, Invalid) and told.code == 20103


def test_an_account_that_is_not_active_has_no_clients() -> None:
    told = Tokens(KEYS.get, lambda sid: sid != ACCOUNT).verify(signed(), NOW)
    assert isinstance(told, Invalid) and told.code == 20005


def unsigned(header: str, body: str = "{}", signature: str = "") -> str:
    parts = (urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, body))
    return ".".join([*parts, signature])


def payload() -> str:
    return msgspec.json.encode(claims()).decode()


HOSTILE: dict[str, tuple[Callable[[], str], int]] = {
    "nothing": (lambda: "", 20101),
    "a sentence": (lambda: "not a token", 20101),
    "two parts": (lambda: "a.b", 20101),
    "four parts": (lambda: signed() + ".x", 20101),
    "a megabyte": (lambda: "a" * 1_000_000, 20101),
    "half a surrogate": (lambda: "\ud800.\ud800.\ud800", 20101),
    "too long": (lambda: signed(jti="x" * LARGEST), 20101),
    "a header that is a list": (lambda: unsigned("[]"), 20101),
    "a header that is deep": (lambda: unsigned("[" * 300), 20101),
    "no JSON": (lambda: unsigned('{"alg":"HS256","cty":"twilio-fpa;v=1"}', "{"), 20101),
    "deep JSON": (lambda: unsigned('{"alg":"HS256","cty":"x"}', '{"x":' * 2000), 20101),
    "a list": (lambda: unsigned('{"alg":"HS256"}', "[]"), 20101),
    "a time in words": (lambda: signed(exp="tomorrow"), 20101),
    "alg none": (
        lambda: unsigned('{"alg":"none","typ":"JWT","cty":"twilio-fpa;v=1"}', payload()),
        20102,
    ),
    "another alg": (
        lambda: jwt.encode(claims(), KEY.secret * 2, algorithm="HS512", headers=HEADER),
        20102,
    ),
    "no alg": (lambda: unsigned('{"cty":"twilio-fpa;v=1"}', payload()), 20101),
    "a JWT of somebody else's": (lambda: signed(header={}), 20102),
    "a foreign account": (lambda: signed(sub=OTHER), 20103),
    "a foreign key": (lambda: signed(iss=f"SK{2:032x}"), 20103),
    "an unknown key": (lambda: signed(iss=f"SK{3:032x}"), 20103),
    "an account as issuer": (lambda: signed(iss=ACCOUNT), 20103),
    "no issuer": (lambda: signed(iss=None), 20103),
    "a foreign key's secret": (lambda: signed(f"{2:032d}"), 20107),
    "no signature": (lambda: signed().rpartition(".")[0] + ".", 20107),
    "a signature that is no base64": (lambda: signed().rpartition(".")[0] + ".!\u2603", 20107),
    "what crit demands": (lambda: signed(header={**HEADER, "crit": ["exp"], "exp": 1}), 20107),
    "no grants": (lambda: signed(grants=None), 20106),
    "grants of a list": (lambda: signed(grants=[]), 20106),
    "no voice": (lambda: signed(grants={"identity": "alice"}), 20106),
    "no identity": (lambda: signed(grants={"voice": {}}), 20106),
    "an endless identity": (lambda: signed(grants={"identity": "a" * 122, "voice": {}}), 20106),
    "an identity of lines": (lambda: signed(grants={"identity": "a\r\nb", "voice": {}}), 20106),
    "a flag that is none": (
        lambda: signed(grants={"identity": "a", "voice": {"incoming": {"allow": "yes"}}}),
        20106,
    ),
    "parameters in parameters": (
        lambda: signed(grants={"identity": "a", "voice": {"outgoing": {"params": {"a": {}}}}}),
        20106,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_with_it_is_told(name: str) -> None:
    make, expected = HOSTILE[name]
    assert code(make()) == expected


@given(st.text(), st.binary(), st.text("abcdefABCDEF0123456789-_.=", max_size=60))
def test_whatever_is_shown(text: str, octets: bytes, shaped: str) -> None:
    for token in (text, octets.decode("latin-1"), shaped, f"{shaped}.{shaped}.{shaped}"):
        assert code(token) != 0


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_one_letter_makes_another_token(at: int, letter: str) -> None:
    token = mint(KEY, GRANT, NOW, 3600.0)
    changed = token[:at] + letter + token[at + 1 :]
    if changed != token and at < token.rindex("."):
        assert code(changed) != 0


def test_neither_secret_nor_another_is_shown_by_chance() -> None:
    secret = new_secret()
    mine = msgspec.structs.replace(KEY, secret=secret)
    assert secret not in repr((mine, [mine]))
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50 and all(len(each) == 32 and each.isalnum() for each in made)

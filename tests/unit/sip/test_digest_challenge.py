"""The headers of digest authentication, read and written."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.challenge import (
    MAX_CHARACTERS,
    MAX_PARAMETERS,
    MAX_REPEATED,
    MAX_VALUES,
    Authorization,
    Challenge,
    quoted,
    read_authorizations,
    read_challenges,
    read_next_nonce,
    write_authorization,
    write_challenge,
)
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError

# RFC 3261 §20.44 and §20.28, as they stand there.
RFC3261_WWW = (
    'Digest realm="atlanta.com", domain="sip:boxesbybob.com", qop="auth",'
    ' nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5'
)
RFC3261_AUTHORIZATION = (
    'Digest username="Alice", realm="atlanta.com",'
    ' nonce="84a4cc6f3082121f32b42a2187831a9e", response="7587245234b3434cc3412213e5f113a5432"'
)
RFC2617_AUTHORIZATION = (
    'Digest username="Mufasa", realm="testrealm@host.com",'
    ' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,'
    ' cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",'
    ' opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        (
            RFC3261_WWW,
            [
                Challenge(
                    realm="atlanta.com",
                    nonce="f84f1cec41e6cbe5aea9c8e88d359",
                    algorithm="MD5",
                    qop=("auth",),
                    opaque="",
                )
            ],
        ),
        ('DIGEST REALM="a",NONCE="b"', [Challenge(realm="a", nonce="b")]),
        (
            "digest realm = a , nonce = b , stale=True",
            [Challenge(realm="a", nonce="b", stale=True)],
        ),
        ('Digest realm="a" nonce="b"', [Challenge(realm="a", nonce="b")]),
        (', ,Digest ,, realm="a",, nonce="b",,', [Challenge(realm="a", nonce="b")]),
        ('Digest realm="", nonce="b"', [Challenge(realm="", nonce="b")]),
        (r'Digest realm="a, \"b\\\c", nonce="="', [Challenge(realm=r'a, "b\c', nonce="=")]),
        (
            'Digest realm="a", nonce="b", qop=" Auth-Int ,auth,", algorithm="MD5-sess"',
            [Challenge(realm="a", nonce="b", qop=("auth-int", "auth"), algorithm="MD5-sess")],
        ),
        (
            'Digest realm="a", nonce="b", qop=auth,auth-int,opaque=x',
            [Challenge(realm="a", nonce="b", qop=("auth", "auth-int"), opaque="x")],
        ),
        (
            'Basic realm="x", Digest realm="a", nonce="b", Digest realm="c",nonce=d, NTLM',
            [Challenge(realm="a", nonce="b"), Challenge(realm="c", nonce="d")],
        ),
        ('Bearer a/b==, Digest nonce="b", realm="a"', [Challenge(realm="a", nonce="b")]),
        ('Digest realm="a", Digest realm="c", nonce="d"', [Challenge(realm="c", nonce="d")]),
    ],
)
def test_reads_challenges(value: str, challenges: list[Challenge]) -> None:
    assert list(read_challenges([value])) == challenges


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "Digest",
        'Digest realm="a"',
        'Digest nonce="b"',
        'Digest realm="a", nonce=""',
        'Digest realm="a", nonce="b',
        'Digest realm="a", nonce="b\\',
        'realm="a", nonce="b"',
        '="a", Digest realm="a", nonce="b"',
        'Digest realm="a", nonce="b", nonce="c"',
        'Digest realm="a", nonce="b\r\nVia: x"',
        'Digest realm="a", nonce="b\0"',
        f'Digest realm="a", nonce="{"b" * MAX_REPEATED}"',
        'Digest realm="a", nonce="b"' + "".join(f", x{n}=1" for n in range(MAX_PARAMETERS)),
        'Digest realm="a", nonce="b"' + "".join(f", x{n}=1" for n in range(10_000)),
        'Digest realm="a", nonce="b", x="' + "y" * MAX_CHARACTERS + '"',
    ],
)
def test_leaves_out_what_is_no_challenge(value: str) -> None:
    good = 'Digest realm="good", nonce="n"'
    assert [each.realm for each in read_challenges([value, good])] == ["good"]


@pytest.mark.parametrize(
    "ending",
    [
        ', x="y',
        ', x="y\\',
        ', x="\0"',
        ', x="\r\nVia: x"',
        ', username="other"',
        ', "x"',
        ", =x",
        "".join(f", x{n}=1" for n in range(MAX_PARAMETERS)),
        "".join(f", x{n}=1" for n in range(10_000)),
        ", x=" + "y" * MAX_CHARACTERS,
    ],
    ids=lambda ending: repr(ending[:20]),
)
def test_refuses_broken_credentials(ending: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read_authorizations([RFC2617_AUTHORIZATION + ending])


def test_refuses_credentials_without_a_scheme() -> None:
    with pytest.raises(RemoteProtocolError, match="without a scheme"):
        read_authorizations([RFC2617_AUTHORIZATION.removeprefix("Digest ")])


def test_looks_at_so_many_lines_and_no_more() -> None:
    lines = [f'Digest realm="{n}", nonce="n"' for n in range(MAX_VALUES + 1)]
    assert [each.realm for each in read_challenges(lines)] == [str(n) for n in range(MAX_VALUES)]


def test_reads_authorization() -> None:
    (read,) = read_authorizations(["Basic QWxhZGRpbg==", RFC2617_AUTHORIZATION])
    assert read == Authorization(
        username="Mufasa",
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uri="/dir/index.html",
        qop="auth",
        nc="00000001",
        cnonce="0a4f113b",
        response="6629fae49393a05397450978507c4ef1",
        opaque="5ccc069c403ebaf9f0171e9517f40e41",
    )


@pytest.mark.parametrize("name", ["username", "realm", "nonce", "uri", "response"])
def test_credentials_name_what_is_demanded(name: str) -> None:
    without = RFC2617_AUTHORIZATION.replace(f"{name}=", "x=")
    with pytest.raises(RemoteProtocolError, match=f"name no {name}") as refused:
        read_authorizations([without])
    assert refused.value.status == 400


def test_the_example_of_rfc_3261_lacks_a_uri() -> None:
    with pytest.raises(RemoteProtocolError, match="name no uri"):
        read_authorizations([RFC3261_AUTHORIZATION])


@pytest.mark.parametrize("value", [RFC3261_WWW, RFC2617_AUTHORIZATION])
def test_truncated_at_each_character_it_is_read_or_refused(value: str) -> None:
    """Never another exception, and never a value that was not written."""
    for end in range(len(value)):
        for challenge in read_challenges([value[:end]]):
            assert value.count(challenge.nonce)
        try:
            read = read_authorizations([value[:end]])
        except RemoteProtocolError:
            continue
        assert all(each.username == "Mufasa" for each in read)


@pytest.mark.parametrize(
    "piece", [",", " ", '"', "\\", '\\"', 'a="', "a=", "=", 'a="\\', "a=1,", "a ", 'a=""'], ids=repr
)
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    value = "Digest " + piece * ((MAX_CHARACTERS - 7) // len(piece))
    began = time.process_time()
    for _ in range(20):
        read_challenges([value])
        read_challenges([f'{value[:-1]}"'])
    assert time.process_time() - began < 2.0, "40 lines of 8 KiB take some 50 ms"


@pytest.mark.parametrize(
    ("values", "nonce"),
    [
        (['nextnonce="47364c23432d2e131a5fb210812c"'], "47364c23432d2e131a5fb210812c"),
        (['qop=auth, rspauth="6629", cnonce="0a", nc=00000001, nextnonce=abc'], "abc"),
        (["qop=auth"], ""),
        (['nextnonce="abc'], ""),
        (['nextnonce="abc', "nextnonce=def"], "def"),
        ([], ""),
    ],
)
def test_reads_nextnonce(values: list[str], nonce: str) -> None:
    assert read_next_nonce(values) == nonce


def test_writes_what_must_not_be_quoted_without_quotes() -> None:
    """RFC 3261 §25.1: algorithm, stale, nc, and qop in credentials are tokens."""
    challenge = Challenge(
        realm="a", nonce="b", algorithm="SHA-256", qop=("auth",), opaque="", stale=True
    )
    assert write_challenge(challenge) == (
        'Digest realm="a", nonce="b", opaque="", stale=true, algorithm=SHA-256, qop="auth"'
    )
    (credentials,) = read_authorizations([RFC2617_AUTHORIZATION])
    written = write_authorization(credentials)
    assert "qop=auth, nc=00000001, " in written
    assert "algorithm" not in written
    legacy = Authorization(username="u", realm="r", nonce="n", uri="sip:a", response="x")
    assert write_authorization(legacy) == (
        'Digest username="u", realm="r", nonce="n", uri="sip:a", response="x"'
    )


@pytest.mark.parametrize("text", ["a\r\nVia: b", "a\0", "\x7f"])
def test_no_control_character_is_written(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="control"):
        quoted(text)


_TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from('"\\, =\t'), max_size=20
)
_SOME = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)


@given(
    st.builds(
        Challenge,
        realm=_TEXT,
        nonce=_SOME,
        opaque=st.none() | _TEXT,
        stale=st.booleans(),
        algorithm=st.sampled_from(["", "MD5", "SHA-256-sess"]),
        qop=st.sampled_from([(), ("auth",), ("auth", "auth-int")]),
    )
)
def test_a_challenge_reads_as_it_was_written(challenge: Challenge) -> None:
    assert read_challenges([write_challenge(challenge)]) == (challenge,)


@given(
    st.builds(
        Authorization,
        username=_SOME,
        realm=_SOME,
        nonce=_SOME,
        uri=_SOME,
        response=_SOME,
        opaque=st.none() | _TEXT,
        algorithm=st.sampled_from(["", "MD5", "SHA-256-sess"]),
        qop=st.just("auth"),
        nc=st.just("0000000a"),
        cnonce=_SOME,
    )
)
def test_credentials_read_as_they_were_written(credentials: Authorization) -> None:
    assert read_authorizations([write_authorization(credentials)]) == (credentials,)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.authorization import Basic, Digest, authorize, parse_challenges

# RFC 7616 3.9.1: both challenges come together, and SHA-256 and MD5 have an answer each.
SHA256 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MD5 = SHA256.replace("SHA-256", "MD5")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("challenge", "response"),
    [
        (MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (SHA256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_vectors_of_rfc_7616(challenge: str, response: str) -> None:
    parsed = parse_challenges([challenge])
    assert isinstance(parsed, Digest)
    header = authorize(
        parsed,
        user="Mufasa",
        password="Circle of Life",
        method="GET",
        path="/dir/index.html",
        count=1,
        cnonce=CNONCE,
    )
    assert header.startswith("Digest ")
    assert f'response="{response}"' in header
    assert "qop=auth, nc=00000001" in header
    assert f'opaque="{parsed.opaque}"' in header


def test_the_vector_of_rfc_2069_without_qop() -> None:
    parsed = parse_challenges(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    assert parsed is not None
    header = authorize(
        parsed,
        user="Mufasa",
        password="CircleOfLife",
        method="GET",
        path="/dir/index.html",
        count=1,
        cnonce="00",
    )
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in header
    assert "qop" not in header


def test_basic_is_rfc_7617() -> None:
    header = authorize(
        Basic(),
        user="Aladdin",
        password="open sesame",
        method="POST",
        path="/",
        count=1,
        cnonce="",
    )
    assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_digest_is_preferred_and_unknown_schemes_are_passed_over() -> None:
    assert isinstance(parse_challenges(['Basic realm="x"', MD5]), Digest)
    assert isinstance(parse_challenges([f'Basic realm="a, b", {MD5}']), Digest)
    assert parse_challenges(['Negotiate, Basic realm="x"']) == Basic()
    assert parse_challenges(["Basic"]) == Basic()
    assert parse_challenges(["Bearer"]) is None
    assert parse_challenges(['Digest realm="x", nonce="n", algorithm=FOO-1']) is None
    assert parse_challenges(['Digest realm="x", nonce="n", qop="auth-int"']) is None
    assert parse_challenges([]) is None


def test_a_password_does_not_stand_in_a_digest() -> None:
    parsed = parse_challenges([SHA256])
    assert parsed is not None
    header = authorize(
        parsed, user='a"b\\c', password="hunter2", method="POST", path="/", count=16, cnonce="ff"
    )
    assert "hunter2" not in header
    assert 'username="a\\"b\\\\c"' in header
    assert "nc=00000010" in header


@given(st.text(max_size=120))
def test_no_challenge_breaks_the_header(text: str) -> None:
    parsed = parse_challenges([f"Digest {text}", text])
    if parsed is not None:
        header = authorize(
            parsed, user="u", password="p", method="GET", path="/", count=1, cnonce="0"
        )
        assert not set(header) & {"\r", "\n", "\x00"}

"""What digest authentication hashes, and the client that answers challenges."""

import itertools
from collections.abc import Sequence

import pytest

from protocols.sip.challenge import (
    PROXY,
    SERVER,
    Authorization,
    Challenge,
    Side,
    read_authorizations,
    write_challenge,
)
from protocols.sip.digest import (
    ALGORITHMS,
    Credentials,
    Rejected,
    Rejection,
    Renewed,
    Sessions,
    digest_response,
    ha1,
    hash_name,
    session_secret,
)
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import NO_HEADERS, Headers

ALICE = Credentials(username="alice", password="wonder")
URI = "sip:example.org"


def credentials_of(**fields: str) -> Authorization:
    return Authorization(**{"username": "Mufasa", "response": "", **fields})  # type: ignore[arg-type]


RFC2617 = {
    "realm": "testrealm@host.com",
    "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    "uri": "/dir/index.html",
}
RFC7616 = {
    "realm": "http-auth@example.org",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "uri": "/dir/index.html",
    "qop": "auth",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
}


@pytest.mark.parametrize(
    ("password", "fields", "response"),
    [
        pytest.param(
            "Circle Of Life",
            {**RFC2617, "qop": "auth", "nc": "00000001", "cnonce": "0a4f113b"},
            "6629fae49393a05397450978507c4ef1",
            id="RFC 2617 §3.5",
        ),
        pytest.param(
            "CircleOfLife", RFC2617, "1949323746fe6a43ef61f9606e7febea", id="RFC 2069 §2.4, erratum"
        ),
        pytest.param(
            "Circle of Life",
            {**RFC7616, "algorithm": "MD5"},
            "8ca523f5e9506fed4657c9700eebdbec",
            id="RFC 7616 §3.9.1 MD5",
        ),
        pytest.param(
            "Circle of Life",
            {**RFC7616, "algorithm": "SHA-256"},
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            id="RFC 7616 §3.9.1 SHA-256",
        ),
    ],
)
def test_examples_of_the_specifications(
    password: str, fields: dict[str, str], response: str
) -> None:
    given = credentials_of(**fields)
    secret = ha1(hash_name(given.algorithm), given.username, given.realm, password)
    assert digest_response(given, secret, method="GET", body=b"") == response


def test_sha_512_256_is_the_function_of_its_own_and_not_the_half_of_sha_512() -> None:
    """FIPS 180-4's example; RFC 7616 §3.9.2 shows the half of SHA-512 (an erratum says so)."""
    assert ALGORITHMS["SHA-512-256"](b"abc") == (
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    )


def test_auth_int_covers_the_body() -> None:
    """RFC 7616 §3.4.3, counted out by hand."""
    given = credentials_of(**{**RFC7616, "algorithm": "MD5", "qop": "auth-int"})
    md5 = ALGORITHMS["MD5"]
    a2 = md5(f"INVITE:{given.uri}:{md5(b'v=0')}".encode())
    expected = md5(f"secret:{given.nonce}:{given.nc}:{given.cnonce}:auth-int:{a2}".encode())
    assert digest_response(given, "secret", method="INVITE", body=b"v=0") == expected
    assert digest_response(given, "secret", method="INVITE", body=b"v=1") != expected


def test_a_session_hashes_its_first_nonces_into_the_secret() -> None:
    md5 = ALGORITHMS["MD5"]
    assert session_secret("MD5", "secret", nonce="n", cnonce="c") == "secret"
    assert session_secret("MD5-sess", "secret", nonce="n", cnonce="c") == md5(b"secret:n:c")


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("", "MD5"),
        ("md5", "MD5"),
        ("MD5-sess", "MD5"),
        ("sha-256-SESS", "SHA-256"),
        ("SHA-512-256", "SHA-512-256"),
        ("SHA-1", ""),
        ("MD5-sess-sess", ""),
    ],
)
def test_algorithms_by_any_spelling(algorithm: str, name: str) -> None:
    assert hash_name(algorithm) == name


def sessions(*credentials: Credentials, limit: int = 16) -> Sessions:
    numbers = itertools.count(1)
    return Sessions(credentials or (ALICE,), cnonce=lambda: f"cnonce{next(numbers)}", limit=limit)


def asking(*challenges: Challenge, side: Side = SERVER) -> Headers:
    return Headers((side.challenge, write_challenge(each)) for each in challenges)


def challenge(nonce: str = "n1", **fields: object) -> Challenge:
    return Challenge(**{"realm": "r", "nonce": nonce, "qop": ("auth",), **fields})  # type: ignore[arg-type]


def asked(client: Sessions, method: str = "REGISTER", body: bytes = b"") -> Headers:
    return Headers(client.authorize(method, URI, body))


def read(headers: Headers, side: Side = SERVER) -> Sequence[Authorization]:
    return read_authorizations(headers.all(side.credentials))


RENEWED = Renewed(realms=("r",))
WRONG = Rejected(reason=Rejection.CREDENTIALS, realm="r")


def test_answers_a_challenge_and_authorizes_what_follows() -> None:
    client = sessions()
    assert client.authorize("REGISTER", URI) == ()
    assert client.challenged(NO_HEADERS, asking(challenge(opaque="")), tries=1) == RENEWED
    (first,) = read(asked(client))
    assert first == Authorization(
        username="alice",
        realm="r",
        nonce="n1",
        uri=URI,
        opaque="",
        qop="auth",
        nc="00000001",
        cnonce="cnonce1",
        response=first.response,
    )
    secret = ha1("MD5", "alice", "r", "wonder")
    assert first.response == digest_response(first, secret, method="REGISTER", body=b"")
    (second,) = read(asked(client, "INVITE"))
    assert (second.nonce, second.nc) == ("n1", "00000002")
    assert second.response == digest_response(second, secret, method="INVITE", body=b"")


def test_a_realm_may_be_empty() -> None:
    client = sessions()
    empty = asking(challenge(realm=""))
    assert client.challenged(NO_HEADERS, empty, tries=1) == Renewed(realms=("",))
    sent = asked(client)
    assert [each.realm for each in read(sent)] == [""]
    wrong = Rejected(reason=Rejection.CREDENTIALS, realm="")
    assert client.challenged(sent, empty, tries=2) == wrong


def test_without_qop_there_is_neither_count_nor_cnonce() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge(qop=())), tries=1)
    (given,) = read(asked(client))
    assert (given.qop, given.nc, given.cnonce) == ("", "", "")
    secret = ha1("MD5", "alice", "r", "wonder")
    assert given.response == digest_response(given, secret, method="REGISTER", body=b"")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (("auth",), "auth"),
        (("auth-int",), "auth-int"),
        (("auth-int", "auth"), "auth"),
        (("auth-conf", "auth"), "auth"),
    ],
)
def test_protects_the_body_only_where_nothing_else_is_offered(
    offered: tuple[str, ...], taken: str
) -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge(qop=offered)), tries=1)
    (given,) = read(asked(client, "MESSAGE", b"hello"))
    assert given.qop == taken
    secret = ha1("MD5", "alice", "r", "wonder")
    assert given.response == digest_response(given, secret, method="MESSAGE", body=b"hello")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["SHA-256", "MD5"], "SHA-256"),
        (["MD5", "SHA-256"], "MD5"),
        (["SHA-3", "sha-512-256", "MD5"], "sha-512-256"),
        (["AKAv1-MD5", ""], ""),
        (["SHA-256-sess", "MD5"], "SHA-256-sess"),
    ],
)
def test_takes_the_topmost_that_it_can_compute(offered: list[str], taken: str) -> None:
    """RFC 8760 §2.4; what the peer wrote is repeated as it was."""
    client = sessions()
    headers = asking(*(challenge(algorithm=name) for name in offered))
    assert client.challenged(NO_HEADERS, headers, tries=1) == RENEWED
    (given,) = read(asked(client))
    assert given.algorithm == taken


def test_a_hash_stands_for_the_password_where_there_is_one() -> None:
    secret = ha1("MD5", "alice", "r", "wonder")
    client = sessions(Credentials(username="alice", hashes={"MD5": secret}))
    headers = asking(challenge(algorithm="SHA-256"), challenge(algorithm="MD5"))
    assert client.challenged(NO_HEADERS, headers, tries=1) == RENEWED
    (given,) = read(asked(client))
    assert given.algorithm == "MD5"
    assert given.response == digest_response(given, secret, method="REGISTER", body=b"")


def test_a_session_keeps_its_secret_over_the_next_nonce() -> None:
    """RFC 7616 §3.4.2: it lasts until there is another challenge."""
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge(algorithm="MD5-sess")), tries=1)
    first = asked(client)
    client.accepted(first, Headers([("Authentication-Info", 'nextnonce="n2"')]))
    (given,) = read(asked(client))
    assert (given.nonce, given.nc, given.cnonce) == ("n2", "00000001", "cnonce1")
    begun = session_secret(
        "MD5-sess", ha1("MD5", "alice", "r", "wonder"), nonce="n1", cnonce="cnonce1"
    )
    assert given.response == digest_response(given, begun, method="REGISTER", body=b"")


def test_a_proxy_and_a_server_are_answered_together() -> None:
    client = sessions(
        Credentials(username="alice", password="a", realm="proxy"),
        Credentials(username="bob", password="b"),
    )
    first = client.challenged(NO_HEADERS, asking(challenge(realm="proxy"), side=PROXY), tries=1)
    assert first == Renewed(realms=("proxy",))
    sent = asked(client)
    assert client.challenged(sent, asking(challenge()), tries=2) == RENEWED
    sent = asked(client)
    assert [(each.username, each.realm) for each in read(sent, PROXY)] == [("alice", "proxy")]
    assert [(each.username, each.realm) for each in read(sent)] == [("bob", "r")]


def test_several_realms_in_one_response() -> None:
    """RFC 3261 §22.3: forks that ask for themselves; one that we don't know may do without."""
    client = sessions(
        Credentials(username="alice", password="a", realm="one"),
        Credentials(username="alice", password="b", realm="two"),
    )
    headers = asking(*(challenge(realm=realm) for realm in ("none", "two", "one")), side=PROXY)
    assert client.challenged(NO_HEADERS, headers, tries=1) == Renewed(realms=("two", "one"))
    assert {each.realm for each in read(asked(client), PROXY)} == {"one", "two"}
    unknown = asking(challenge(realm="none"), side=PROXY)
    assert client.challenged(NO_HEADERS, unknown, tries=1) == Rejected(
        reason=Rejection.NO_CREDENTIALS, realm="none"
    )


@pytest.mark.parametrize(
    ("headers", "rejected"),
    [
        (NO_HEADERS, Rejected(reason=Rejection.UNSUPPORTED)),
        (Headers([("WWW-Authenticate", "NTLM")]), Rejected(reason=Rejection.UNSUPPORTED)),
        (
            asking(challenge(algorithm="AKAv1-MD5"), challenge(qop=("auth-conf",))),
            Rejected(reason=Rejection.UNSUPPORTED, realm="r"),
        ),
        (
            asking(challenge(algorithm="MD5-sess", qop=())),
            Rejected(reason=Rejection.UNSUPPORTED, realm="r"),
        ),
    ],
)
def test_rejects_what_it_cant_compute(headers: Headers, rejected: Rejected) -> None:
    client = sessions()
    assert client.challenged(NO_HEADERS, headers, tries=1) == rejected
    assert client.authorize("REGISTER", URI) == ()


def test_a_stale_nonce_is_no_error_of_the_user() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    sent = asked(client)
    assert client.challenged(sent, asking(challenge("n2", stale=True)), tries=2) == RENEWED
    (given,) = read(asked(client))
    assert (given.nonce, given.nc, given.cnonce) == ("n2", "00000001", "cnonce2")


@pytest.mark.parametrize("nonce", ["n1", "n2"])
def test_credentials_that_are_challenged_anew_were_wrong(nonce: str) -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    assert client.challenged(asked(client), asking(challenge(nonce)), tries=2) == WRONG


@pytest.mark.parametrize("qop", [("auth",), ()])
def test_a_nonce_that_was_good_may_expire_without_a_word(qop: tuple[str, ...]) -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge(qop=qop)), tries=1)
    sent = asked(client)
    client.accepted(sent, NO_HEADERS)
    later = asked(client)
    assert client.challenged(later, asking(challenge("n2", qop=qop)), tries=1) == RENEWED
    again = client.challenged(asked(client), asking(challenge("n3", qop=qop)), tries=2)
    assert again == WRONG, "the password was changed meanwhile"


def test_the_next_nonce_is_trusted_from_the_start() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    client.accepted(asked(client), Headers([("Authentication-Info", 'nextnonce="n2"')]))
    sent = asked(client)
    assert [(each.nonce, each.nc) for each in read(sent)] == [("n2", "00000001")]
    assert client.challenged(sent, asking(challenge("n3")), tries=1) == RENEWED


def test_a_nonce_that_is_good_and_asked_for_again_is_a_refusal() -> None:
    """The peer knows us and does not let us do this."""
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    client.accepted(asked(client), NO_HEADERS)
    assert client.challenged(asked(client), asking(challenge()), tries=1) == WRONG


def test_a_next_nonce_that_is_the_same_goes_on_counting() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    client.accepted(asked(client), Headers([("Authentication-Info", 'nextnonce="n1"')]))
    assert [each.nc for each in read(asked(client))] == ["00000002"]


def test_an_answer_about_an_older_nonce_changes_nothing() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    old = asked(client)
    client.challenged(old, asking(challenge("n2", stale=True)), tries=1)
    client.accepted(old, Headers([("Authentication-Info", 'nextnonce="n9"')]))
    sent = asked(client)
    assert [each.nonce for each in read(sent)] == ["n2"]
    assert client.challenged(sent, asking(challenge("n3")), tries=2) == WRONG


def test_requests_at_once_share_a_nonce_and_its_count() -> None:
    client = sessions()
    assert client.challenged(NO_HEADERS, asking(challenge()), tries=1) == RENEWED
    first = asked(client)
    assert client.challenged(NO_HEADERS, asking(challenge()), tries=1) == RENEWED
    second = asked(client)
    assert [each.nc for each in read(second)] == ["00000002"]
    # The server takes each nonce once: the second request is answered with a new one.
    assert client.challenged(second, asking(challenge("n2")), tries=2) == RENEWED
    assert client.challenged(first, asking(challenge("n3")), tries=2) == RENEWED


def test_a_peer_that_asks_for_ever_is_left() -> None:
    client = sessions()
    sent = NO_HEADERS
    for tries in range(1, Sessions.MAX_TRIES):
        again = asking(challenge(f"n{tries}", stale=True))
        assert client.challenged(sent, again, tries=tries) == RENEWED
        sent = asked(client)
    last = client.challenged(sent, asking(challenge("n", stale=True)), tries=Sessions.MAX_TRIES)
    assert last == Rejected(reason=Rejection.TRIES)


def test_realms_are_bounded() -> None:
    client = sessions(limit=4)
    for number in range(50):
        client.challenged(NO_HEADERS, asking(challenge(realm=f"r{number}")), tries=1)
    assert [each.realm for each in read(asked(client))] == ["r46", "r47", "r48", "r49"]


def test_what_a_peer_makes_us_repeat_never_raises() -> None:
    client = sessions()
    hostile = challenge("\\" * 2000)
    assert client.challenged(NO_HEADERS, asking(hostile), tries=1) == RENEWED
    sent = Headers(client.authorize("REGISTER", f"sip:{'x' * 8000}"))
    assert client.challenged(sent, asking(challenge()), tries=2) == RENEWED
    client.accepted(sent, NO_HEADERS)


def test_a_uri_with_a_line_break_is_our_mistake() -> None:
    client = sessions()
    client.challenged(NO_HEADERS, asking(challenge()), tries=1)
    with pytest.raises(LocalProtocolError, match="control"):
        client.authorize("REGISTER", "sip:a\r\nVia: b")


def test_credentials_keep_their_secrets_to_themselves() -> None:
    shown = repr(Credentials(username="alice", password="wonder", hashes={"MD5": "5ecret"}))
    assert "alice" in shown
    assert "wonder" not in shown and "5ecret" not in shown

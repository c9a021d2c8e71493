"""The server's side of digest authentication: nonces, counts, and who is let in."""

import itertools
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.challenge import (
    PROXY,
    SERVER,
    Authorization,
    read_authorizations,
    read_challenges,
    write_authorization,
)
from protocols.sip.challenger import (
    Accepted,
    Challenged,
    Challenger,
    Demand,
    Legacy,
    Refusal,
    Refused,
)
from protocols.sip.digest import ALGORITHMS, Credentials, Sessions, digest_response, ha1
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import NO_HEADERS, Headers

NOW = 1_800_000_000.0
REALM = "example.org"
URI = "sip:example.org"
DEMAND = Demand(realm=REALM, method="REGISTER", uri=URI, source="192.0.2.1")
ALICE = {name: ha1(name, "alice", REALM, "wonder") for name in ALGORITHMS}
HEADERS = [SERVER.challenge, SERVER.challenge]


def accounts(realm: str, username: str) -> Mapping[str, str] | None:
    return ALICE if (realm, username) == (REALM, "alice") else None


def challenger(**options: object) -> Challenger:
    return Challenger(b"s" * 32, **options)  # type: ignore[arg-type]


def nonce_of(result: object) -> str:
    assert isinstance(result, Challenged | Refused)
    first, *others = read_challenges([value for _, value in result.headers])
    assert {each.nonce for each in others} <= {first.nonce}
    return first.nonce


def credentials(nonce: str, count: int = 1, **fields: str) -> Authorization:
    """What alice answers, with these fields instead; their response is right all the same."""
    made = Authorization(
        **{
            "username": "alice",
            "realm": REALM,
            "nonce": nonce,
            "uri": URI,
            "response": "",
            "algorithm": "SHA-256",
            "qop": "auth",
            "nc": f"{count:08x}",
            "cnonce": "c",
            **fields,
        }
    )
    if made.response:
        return made
    return msgspec.structs.replace(made, response=digest(made))


def digest(made: Authorization) -> str:
    secret = ALICE.get(made.algorithm.upper() or "MD5", "")
    return digest_response(made, secret, method="REGISTER", body=b"") if secret else "0" * 32


def headers(*given: Authorization) -> Headers:
    return Headers((SERVER.credentials, write_authorization(each)) for each in given)


def check(server: Challenger, given: Authorization, now: float = NOW) -> object:
    return server.check(headers(given), DEMAND, accounts, now=now)


ACCEPTED = Accepted(username="alice", realm=REALM, algorithm="SHA-256")


def is_stale(result: object) -> bool:
    assert isinstance(result, Challenged), result
    assert all(each.stale == result.stale for each in read_challenges(v for _, v in result.headers))
    return result.stale


def test_challenges_who_brings_nothing() -> None:
    """RFC 8760 §2.3: one line for each algorithm, the best first."""
    result = challenger().check(NO_HEADERS, DEMAND, accounts, now=NOW)
    assert isinstance(result, Challenged)
    assert (result.status, result.stale) == (401, False)
    assert [name for name, _ in result.headers] == HEADERS
    first, second = read_challenges(value for _, value in result.headers)
    assert (first.realm, first.algorithm, first.qop) == (REALM, "SHA-256", ("auth",))
    assert second.algorithm == "MD5"


def test_as_a_proxy_it_speaks_of_proxies() -> None:
    server = challenger(algorithms=["MD5"])
    demand = Demand(realm=REALM, method="INVITE", uri=URI, side=PROXY)
    result = server.check(NO_HEADERS, demand, accounts, now=NOW)
    assert isinstance(result, Challenged)
    assert result.status == 407
    client = Sessions([Credentials(username="alice", password="wonder")], cnonce=lambda: "c")
    client.challenged(NO_HEADERS, Headers(result.headers), tries=1)
    lines = client.authorize("INVITE", URI)
    assert [name for name, _ in lines] == ["Proxy-Authorization"]
    accepted = server.check(Headers(lines), demand, accounts, now=NOW)
    assert accepted == Accepted(username="alice", realm=REALM, algorithm="MD5")


@pytest.mark.parametrize("algorithm", ["SHA-256", "sha-256", "MD5", ""])
def test_lets_in_who_knows_the_password(algorithm: str) -> None:
    server = challenger()
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    result = check(server, credentials(nonce, algorithm=algorithm))
    name = algorithm.upper() or "MD5"
    assert result == Accepted(username="alice", realm=REALM, algorithm=name)


def test_passes_over_the_credentials_for_other_realms() -> None:
    server = challenger()
    right = credentials(nonce_of(server.challenge(DEMAND, now=NOW)))
    other = credentials("n", realm="elsewhere")
    assert server.check(headers(other, right), DEMAND, accounts, now=NOW) == ACCEPTED
    assert not is_stale(server.check(headers(other), DEMAND, accounts, now=NOW))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"response": "0" * 64}, Refusal.RESPONSE),
        ({"response": "x"}, Refusal.RESPONSE),
        ({"response": "ü" * 64}, Refusal.RESPONSE),
        ({"username": "mallory"}, Refusal.RESPONSE),
        ({"algorithm": "SHA-512-256"}, Refusal.ALGORITHM),
        ({"algorithm": "SHA-256-sess"}, Refusal.ALGORITHM),
        ({"algorithm": "SHA-1"}, Refusal.ALGORITHM),
        ({"qop": "auth-int"}, Refusal.QOP),
        ({"qop": ""}, Refusal.QOP),
        ({"qop": "auth-conf"}, Refusal.QOP),
        ({"nc": "00000000"}, Refusal.COUNT),
        ({"nc": ""}, Refusal.COUNT),
        ({"nc": "0000000g"}, Refusal.COUNT),
        ({"nc": "+0000001"}, Refusal.COUNT),
        ({"nc": "1_0"}, Refusal.COUNT),
        ({"nc": "000000001"}, Refusal.COUNT),
        ({"cnonce": ""}, Refusal.COUNT),
    ],
)
def test_challenges_anew_what_it_does_not_take(fields: dict[str, str], reason: Refusal) -> None:
    """RFC 3665 §2.5; not stale, so that a client does not try the same again."""
    server = challenger()
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    result = check(server, credentials(nonce, **fields))
    assert isinstance(result, Refused)
    assert (result.status, result.reason) == (401, reason)
    assert result.username == fields.get("username", "alice")
    assert nonce_of(result) != nonce
    assert not any(each.stale for each in read_challenges(v for _, v in result.headers))
    assert check(server, credentials(nonce)) == ACCEPTED, "the nonce is not used up"


@pytest.mark.parametrize("value", ["Digest", 'Digest username="alice', 'Digest username="a"'])
def test_refuses_what_cant_be_read(value: str) -> None:
    broken = Headers([(SERVER.credentials, value), (SERVER.credentials, "Basic QQ==")])
    result = challenger().check(broken, DEMAND, accounts, now=NOW)
    assert result == Refused(status=400, headers=(), reason=Refusal.MALFORMED)


def test_another_method_is_another_response() -> None:
    server = challenger()
    given = credentials(nonce_of(server.challenge(DEMAND, now=NOW)))
    invite = Demand(realm=REALM, method="INVITE", uri=URI, source="192.0.2.1")
    result = server.check(headers(given), invite, accounts, now=NOW)
    assert isinstance(result, Refused) and result.reason is Refusal.RESPONSE


@pytest.mark.parametrize(
    ("written", "requested"),
    [
        ("sip:bob@example.org", "sip:bob@example.org"),
        ("sip:bob@example.org:5060", "sip:bob@example.org"),
        ("sip:bob@example.org;transport=tcp", "sip:bob@EXAMPLE.org;lr?Subject=x"),
        ("SIP:bob@example.org", "sips:bob@example.org:5061"),
        ("sip:%62ob@example.org", "sip:bob@example.org"),
        (
            "sip:+15550001;phone-context=x@example.org",
            "sip:+15550001;phone-context=x@example.org:1",
        ),
        ("sip:[2001:db8::1]:5060;lr", "sip:[2001:DB8::1]"),
        ("tel:+15550001;ext=1", "tel:+15550001"),
    ],
)
def test_the_uri_may_be_written_in_another_way(written: str, requested: str) -> None:
    assert reason_for(written, requested) is None


@pytest.mark.parametrize(
    ("written", "requested"),
    [
        ("sip:alice@example.org", "sip:bob@example.org"),
        ("sip:BOB@example.org", "sip:bob@example.org"),
        ("sip:bob@example.org", "sip:bob@example.com"),
        ("sip:bob", "sip:bob@example.org"),
        ("sip:[2001:db8::1]", "sip:[2001:db8::2]"),
        ("tel:+15550001", "sip:+15550001"),
        ("tel:+15550001", "tel:+15550002"),
        ("*", "sip:example.org"),
    ],
)
def test_the_uri_must_be_that_of_the_request(written: str, requested: str) -> None:
    """RFC 7616 §3.4.6."""
    assert reason_for(written, requested) is Refusal.OTHER_URI


def reason_for(written: str, requested: str) -> Refusal | None:
    server = challenger()
    demand = Demand(realm=REALM, method="REGISTER", uri=requested)
    given = credentials(nonce_of(server.challenge(demand, now=NOW)), uri=written)
    result = server.check(headers(given), demand, accounts, now=NOW)
    if result == ACCEPTED:
        return None
    assert isinstance(result, Refused)
    assert (result.status, result.headers) == (400, ())
    return result.reason


def test_an_expired_nonce_is_stale_only_if_the_password_is_right() -> None:
    server = challenger(lifetime=60.0)
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    assert check(server, credentials(nonce), NOW + 59.9) == ACCEPTED
    again = check(server, credentials(nonce, 2), NOW + 60.1)
    assert is_stale(again)
    assert check(server, credentials(nonce_of(again)), NOW + 60.2) == ACCEPTED
    wrong = check(server, credentials(nonce, 3, response="0" * 64), NOW + 60.1)
    assert isinstance(wrong, Refused) and wrong.reason is Refusal.RESPONSE


@pytest.mark.parametrize("nonce", ["made-up", "x" * 32, "ü" * 32, "=" * 32, "A" * 31 + "\\"])
def test_a_nonce_that_is_none_of_ours_is_stale(nonce: str) -> None:
    assert is_stale(check(challenger(), credentials(nonce)))


def test_a_nonce_is_good_for_its_realm_its_source_and_its_secret() -> None:
    server = challenger()
    elsewhere = Demand(realm=REALM, method="REGISTER", uri=URI, source="192.0.2.2")
    assert is_stale(check(server, credentials(nonce_of(server.challenge(elsewhere, now=NOW)))))
    other = Demand(realm="other", method="REGISTER", uri=URI, source="192.0.2.1")
    assert is_stale(check(server, credentials(nonce_of(server.challenge(other, now=NOW)))))
    restarted = Challenger(b"t" * 32)
    assert is_stale(check(restarted, credentials(nonce_of(server.challenge(DEMAND, now=NOW)))))


def test_each_octet_of_a_nonce_is_signed() -> None:
    server = challenger()
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    for at in range(32):
        changed = nonce[:at] + ("B" if nonce[at] == "A" else "A") + nonce[at + 1 :]
        assert is_stale(check(server, credentials(changed))), at


def test_a_replay_is_stale() -> None:
    server = challenger()
    given = credentials(nonce_of(server.challenge(DEMAND, now=NOW)))
    assert check(server, given) == ACCEPTED
    assert is_stale(check(server, given))
    assert check(server, credentials(given.nonce, 2)) == ACCEPTED
    assert is_stale(check(server, given))


def test_a_wrong_password_uses_up_no_count() -> None:
    server = challenger()
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    assert isinstance(check(server, credentials(nonce, response="0" * 64)), Refused)
    assert len(server) == 0
    assert check(server, credentials(nonce)) == ACCEPTED


def test_requests_may_overtake_each_other_within_the_window() -> None:
    """Over UDP they do; each count is good once."""
    server = challenger(window=4)
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    came = [3, 1, 2, 5, 4, 9, 6, 7, 0xFFFFFFFF, 0xFFFFFFFC]
    for count in came:
        assert check(server, credentials(nonce, count)) == ACCEPTED, count
    for count in [*came, 8, 0xFFFFFFFB]:
        assert is_stale(check(server, credentials(nonce, count))), count
    assert check(server, credentials(nonce, 0xFFFFFFFE)) == ACCEPTED


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 16))
def test_no_count_is_ever_good_twice(counts: list[int], window: int) -> None:
    server = challenger(algorithms=["MD5"], window=window)
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    used: set[int] = set()
    for count in counts:
        good = not isinstance(check(server, credentials(nonce, count, algorithm="MD5")), Challenged)
        wanted = count not in used and count > max(used, default=0) - window
        assert good == wanted
        used |= {count} if good else set()


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_not_taken() -> None:
    server = challenger(nonces=8)
    given = [credentials(nonce_of(server.challenge(DEMAND, now=NOW + step))) for step in range(20)]
    for each in given:
        assert check(server, each, NOW + 20) == ACCEPTED
    assert len(server) == 8
    for each in given:
        assert is_stale(check(server, each, NOW + 20)), "taken twice"
    for each in given[:12]:
        again = credentials(each.nonce, 2)
        assert is_stale(check(server, again, NOW + 20)), "its uses are no longer known"
    for each in given[12:]:
        assert check(server, credentials(each.nonce, 2), NOW + 20) == ACCEPTED


def test_a_nonce_in_use_is_not_the_one_that_is_forgotten() -> None:
    server = challenger(nonces=4)
    kept = nonce_of(server.challenge(DEMAND, now=NOW))
    for step in range(1, 40):
        assert check(server, credentials(kept, step), NOW + step) == ACCEPTED
        other = nonce_of(server.challenge(DEMAND, now=NOW + step))
        assert check(server, credentials(other), NOW + step) == ACCEPTED


def test_a_flood_without_passwords_is_not_remembered() -> None:
    server = challenger()
    for number in range(1000):
        nonce = nonce_of(server.check(NO_HEADERS, DEMAND, accounts, now=NOW))
        check(server, credentials(nonce, username=f"u{number}", response="0" * 64))
    assert len(server) == 0


def test_nonces_of_one_moment_differ() -> None:
    server = challenger()
    assert len({nonce_of(server.challenge(DEMAND, now=NOW)) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_whoever_has_no_account_is_asked_for_and_hashed_all_the_same(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no hash that can be guessed lets him in: not an empty one, not one of zeros."""
    server = challenger()
    hashed: list[bytes] = []
    function = ALGORITHMS[algorithm]
    asked: list[tuple[str, str]] = []

    def known(realm: str, username: str) -> Mapping[str, str] | None:
        asked.append((realm, username))
        return accounts(realm, username)

    def counted(octets: bytes) -> str:
        hashed.append(octets)
        return function(octets)

    size = len(function(b""))
    work = []
    for username in ("alice", "mallory"):
        for secret in ("", "0" * size, "None", function(b"")):
            nonce = nonce_of(server.challenge(DEMAND, now=NOW))
            made = credentials(nonce, username=username, algorithm=algorithm, response="x")
            response = digest_response(made, secret, method="REGISTER", body=b"")
            tried = credentials(nonce, username=username, algorithm=algorithm, response=response)
            hashed.clear()
            with monkeypatch.context() as patch:
                patch.setitem(ALGORITHMS, algorithm, counted)  # type: ignore[arg-type]
                result = server.check(headers(tried), DEMAND, known, now=NOW)
            assert isinstance(result, Refused) and result.reason is Refusal.RESPONSE
            work.append(len(hashed))
    assert len(set(work)) == 1
    assert asked == [(REALM, "alice")] * 4 + [(REALM, "mallory")] * 4


def test_an_account_without_a_hash_for_the_algorithm_is_not_let_in() -> None:
    server = challenger()
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    given = headers(credentials(nonce))
    md5 = {"MD5": ALICE["MD5"]}
    result = server.check(given, DEMAND, lambda realm, username: md5, now=NOW)
    assert isinstance(result, Refused) and result.reason is Refusal.RESPONSE


def test_without_qop_a_nonce_is_good_once() -> None:
    """RFC 2069, where the policy allows it: there is no count that could grow."""
    server = challenger(legacy=Legacy.ONCE)
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    given = credentials(nonce, qop="", nc="", cnonce="")
    assert check(server, given) == ACCEPTED
    again = check(server, given)
    assert is_stale(again)
    following = credentials(nonce_of(again), qop="", nc="", cnonce="")
    assert check(server, following) == ACCEPTED


@pytest.mark.parametrize("algorithms", [[], ["SHA-1"], ["MD5-sess"], ["md5"]])
def test_offers_only_what_it_can_compute(algorithms: list[str]) -> None:
    with pytest.raises(LocalProtocolError, match="algorithms are some of MD5, SHA-256"):
        challenger(algorithms=algorithms)


_NAME = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


@given(
    username=_NAME,
    password=_NAME,
    realm=_NAME,
    algorithms=st.permutations(sorted(ALGORITHMS)),
    hashed=st.booleans(),
)
def test_a_client_is_let_in_by_its_password_and_by_no_other(
    username: str, password: str, realm: str, algorithms: list[str], hashed: bool
) -> None:
    server = Challenger(b"s" * 32, algorithms=algorithms)
    demand = Demand(realm=realm, method="REGISTER", uri=URI)
    known = {name: ha1(name, username, realm, password) for name in algorithms}
    numbers = itertools.count()

    def client(secret: str) -> Sessions:
        mine = {name: ha1(name, username, realm, secret) for name in algorithms}
        given = (
            Credentials(username=username, hashes=mine)
            if hashed
            else Credentials(username=username, password=secret)
        )
        return Sessions([given], cnonce=lambda: f"c{next(numbers)}")

    def answer(of: Sessions, tries: int = 1) -> object:
        sent = Headers(of.authorize("REGISTER", URI))
        result = server.check(
            sent, demand, lambda _, name: known if name == username else None, now=NOW
        )
        if isinstance(result, Accepted) or tries > 3:
            return result
        of.challenged(sent, Headers(result.headers), tries=tries)
        return answer(of, tries + 1)

    right = client(password)
    accepted = Accepted(username=username, realm=realm, algorithm=algorithms[0])
    assert [answer(right) for _ in range(3)] == [accepted] * 3
    (used,) = read_authorizations(v for _, v in right.authorize("REGISTER", URI))
    assert used.nc == "00000004", "only the first request was challenged"
    assert isinstance(answer(client(f"{password}x")), Refused)


def offered(result: object) -> list[str]:
    assert isinstance(result, Challenged | Refused)
    return [each.algorithm for each in read_challenges([value for _, value in result.headers])]


def test_an_account_is_asked_by_what_is_kept_of_it() -> None:
    """One from a time of MD5 alone has no other hash: nothing else could be right."""
    server = challenger()
    old = {"MD5": ALICE["MD5"]}

    def known(realm: str, username: str) -> Mapping[str, str] | None:
        return {"alice": old, "bob": ALICE}.get(username)

    for claimed, expected in (
        ("alice", ["MD5"]),
        ("bob", ["SHA-256", "MD5"]),
        ("stranger", ["SHA-256", "MD5"]),
        ("", ["SHA-256", "MD5"]),
    ):
        demand = msgspec.structs.replace(DEMAND, claimed=claimed)
        assert offered(server.check(NO_HEADERS, demand, known, now=NOW)) == expected
    nonce = nonce_of(server.challenge(DEMAND, now=NOW))
    wrong = headers(credentials(nonce, algorithm="MD5", response="0" * 32))
    assert offered(server.check(wrong, DEMAND, known, now=NOW)) == ["MD5"]
    right = headers(credentials(nonce, algorithm="MD5"))
    assert isinstance(server.check(right, DEMAND, known, now=NOW), Accepted)


def test_a_request_may_be_asked_by_fewer() -> None:
    server = challenger()
    for wanted, expected in ((("MD5",), ["MD5"]), (("nothing",), ["SHA-256", "MD5"])):
        demand = msgspec.structs.replace(DEMAND, algorithms=wanted)
        assert offered(server.check(NO_HEADERS, demand, accounts, now=NOW)) == expected

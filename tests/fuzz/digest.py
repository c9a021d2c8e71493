"""Invariant: nobody is let in without the password, and no header makes either side raise.

- Whatever stands in an Authorization line, the server answers with one of its values, lets in only
  whose response it can compute itself, and remembers no more nonces than it may;
- whatever stands in a challenge, the client's answer can be read back, and it ends.
"""

import random
from typing import Final

from protocols.sip.challenge import PROXY, SERVER, read_authorizations, read_challenges
from protocols.sip.challenger import Accepted, Challenged, Challenger, Demand, Refused
from protocols.sip.digest import ALGORITHMS, Credentials, Rejected, Renewed, Sessions, ha1
from protocols.sip.message import NO_HEADERS, Headers

REALM: Final = "example.org"
DEMAND: Final = Demand(realm=REALM, method="INVITE", uri="sip:bob@example.org")
NONCES: Final = 4
_KNOWN: Final = {name: ha1(name, "alice", REALM, "wonder") for name in ALGORITHMS}
_PIECES: Final = (
    "Digest ", "digest", "Basic QQ==", ",", ", ", " ", "=", '"', "\\", '\\"', "\t", "\x00", "\r\n",
    'realm="example.org"', 'realm="a, b"', "realm=", 'nonce="n"', "nonce=n", 'username="alice"',
    'uri="sip:bob@example.org"', "uri=*", "qop=auth", 'qop="auth,auth-int"', "qop=auth,auth-int",
    "nc=00000001", "nc=ffffffff", "nc=-1", 'cnonce="c"', "cnonce=", 'opaque=""', "stale=true",
    "algorithm=MD5", "algorithm=SHA-256-sess", "algorithm=x", 'response="00"', "response=\udcff",
    "é", "x" * 300,
)  # fmt: skip


def anything(chance: random.Random) -> str:
    text = "".join(chance.choice(_PIECES) for _ in range(chance.randrange(24)))
    return f"Digest {text}" if chance.random() < 0.7 else text


def broken(value: str, chance: random.Random) -> str:
    """`value` with some of its characters cut out, doubled or replaced."""
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(value))
        end = min(len(value), at + chance.choice((0, 1, 1, 8)))
        value = value[:at] + chance.choice(("", "", chance.choice(_PIECES))) + value[end:]
        if not value:
            break
    return value


def account(realm: str, username: str) -> dict[str, str] | None:
    return _KNOWN if (realm, username) == (REALM, "alice") else None


def check_server(chance: random.Random) -> None:
    server = Challenger(b"secret", nonces=NONCES, window=chance.randrange(1, 9))
    password = chance.choice(("wonder", "wonder", "wander"))
    client = Sessions([Credentials(username="alice", password=password)], cnonce=lambda: "cnonce")
    given = NO_HEADERS
    used: set[tuple[str, int]] = set()
    for step in range(12):
        result = server.check(given, DEMAND, account, now=1e9 + step)
        assert isinstance(result, Accepted | Challenged | Refused)
        assert len(server) <= NONCES
        if isinstance(result, Accepted):
            lines = read_authorizations(value for _, value in given)
            first = next(each for each in lines if each.realm == REALM)
            use = (first.nonce, int(first.nc, 16))
            assert password == "wonder" and result.username == "alice" and use not in used
            used.add(use)
        elif result.headers and chance.random() < 0.7:
            client.challenged(given, Headers(result.headers), tries=1)
        if chance.random() < 0.2:
            continue  # the same again: a replay
        said = [value for _, value in client.authorize(DEMAND.method, DEMAND.uri)]
        if said and chance.random() < 0.4:
            said = [broken(said[0], chance)]
        if chance.random() < 0.2:
            said.append(anything(chance))
        given = Headers((SERVER.credentials, value) for value in said)


def check_client(chance: random.Random) -> None:
    client = Sessions(
        [Credentials(username='al"ice', password="wonder", realm=chance.choice((REALM, None)))],
        cnonce=lambda: "cnonce",
        limit=3,
    )
    sent = NO_HEADERS
    for tries in range(1, Sessions.MAX_TRIES + 1):
        received = Headers(
            (chance.choice((SERVER, PROXY)).challenge, anything(chance)) for _ in range(3)
        )
        for challenge in read_challenges(value for _, value in received):
            assert challenge.nonce
        result = client.challenged(sent, received, tries=tries)
        assert isinstance(result, Renewed | Rejected)
        given = client.authorize("INVITE", "sip:bob@example.org", b"v=0")
        assert len(given) <= 3
        assert len(read_authorizations(value for _, value in given)) == len(given)
        sent = Headers(given)
        client.accepted(sent, Headers([(SERVER.info, anything(chance))]))
    assert client.challenged(sent, sent, tries=Sessions.MAX_TRIES) == result


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_server(chance)
    check_client(chance)

"""baresip: phones that register, call each other and hear each other's tone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip_peer import Account, Baresip
from tests.interop.conftest import StartWorld
from tests.interop.kamailio_peer import Kamailio
from tests.interop.sip.certificates import Files, make_certificates
from tests.interop.sip.world import DIAL_BOB, DOMAIN, SECURE_DOMAIN, USERS, World, dial

pytestmark = pytest.mark.interop
TONES = {"alice": 440, "bob": 880, "carol": 1320}
StartPhone = Callable[..., Baresip]


@pytest.fixture
def start_phone(tmp_path: Path) -> Iterator[StartPhone]:
    """Starts phones that are to register."""
    started: list[Baresip] = []

    def start(
        user: str,
        server: str,
        *,
        certificate: Path | None = None,
        authority: Path | None = None,
        password: str = "",
        domain: str = DOMAIN,
        **more: Any,
    ) -> Baresip:
        account = Account(
            user=user, domain=domain, password=password or USERS[user], server=server, **more
        )
        files = {"certificate": certificate, "authority": authority}
        started.append(Baresip(tmp_path / user, account, tone=TONES[user], **files))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_phones_are_right_by_themselves(
    tmp_path: Path, start_phone: StartPhone, transport: str
) -> None:
    """What fails against the gateway then is no fault of the phones."""
    kamailio = Kamailio(tmp_path / "kamailio", domain=DOMAIN, password="one", beyond="127.0.0.1:9")
    try:
        server = f"{kamailio.host}:{kamailio.port}"
        alice, bob = (
            start_phone(user, server, transport=transport, password="one") for user in USERS
        )
        for phone in (alice, bob):
            phone.wait_until_registered()
        alice.do("dial", f"sip:bob@{DOMAIN}")
        alice.wait("CALL_ESTABLISHED")
        bob.wait("CALL_ESTABLISHED")
        assert_they_hear_each_other(alice, bob)
    finally:
        kamailio.end()


def assert_they_hear_each_other(caller: Baresip, callee: Baresip, seconds: float = 3) -> None:
    """Let them talk that long, have the caller hang up, and look at what was heard."""
    caller.talk(seconds)
    caller.do("hangup")
    callee.wait("CALL_CLOSED")
    for phone, other in ((caller, callee), (callee, caller)):
        (hertz, share), *more = phone.heard().items()
        assert not more
        assert hertz == pytest.approx(TONES[other.account.user], abs=3)
        assert share > 0.9


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_phones_register_and_hear_each_other(
    start_world: StartWorld, start_phone: StartPhone, transport: str
) -> None:
    world = start_world(phones=DIAL_BOB)
    host, port = world.at(transport)
    alice, bob = (start_phone(user, f"{host}:{port}", transport=transport) for user in USERS)
    for phone in (alice, bob):
        phone.wait_until_registered()
    alice.do("dial", f"sip:bob@{DOMAIN}")
    alice.wait("CALL_ESTABLISHED")
    bob.wait("CALL_ESTABLISHED")
    assert_they_hear_each_other(alice, bob)
    calls = world.calls_over(2)
    assert [call["status"] for call in calls.values()] == ["completed", "completed"]


def _secured(start_world: StartWorld, files: Files, **more: Any) -> World:
    """A world that listens by TLS."""
    listens = {"TLS": '["127.0.0.1:0"]'}
    certified = {"TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}
    return start_world(sip={**listens, **certified}, **more)


def test_phones_are_encrypted(
    tmp_path: Path, start_world: StartWorld, start_phone: StartPhone
) -> None:
    """TLS, and SRTP with its keys in the SDP."""
    files = make_certificates(tmp_path / "pki")
    world = _secured(start_world, files, phones=DIAL_BOB)
    host, port = world.at("tls")
    alice, bob = (
        start_phone(
            user,
            f"{host}:{port}",
            transport="tls",
            media_encryption=encryption,
            certificate=files.both,
            authority=files.authority,
        )
        for user, encryption in (("alice", "srtp-mand"), ("bob", "srtp"))
    )
    for phone in (alice, bob):
        phone.wait_until_registered()
    alice.do("dial", f"sip:bob@{DOMAIN}")
    alice.wait("CALL_ESTABLISHED")
    bob.wait("CALL_ESTABLISHED")
    assert_they_hear_each_other(alice, bob)
    world.calls_over(2)
    for phone in (alice, bob):
        assert "SRTP is Enabled" in phone.log()


def test_a_secure_domain_takes_nothing_in_the_clear(
    tmp_path: Path, start_world: StartWorld, start_phone: StartPhone
) -> None:
    """Phones that insist on SRTP call each other; one that has none calls nobody."""
    files = make_certificates(tmp_path / "pki")
    dials = dial(f"<Sip>sip:bob@{SECURE_DOMAIN}</Sip>")
    world = _secured(start_world, files, phones=dials)
    passwords = {user: f"{user.capitalize()}-s3cret-Key" for user in ("alice", "bob", "carol")}
    world.make_secure_domain(passwords)
    host, port = world.at("tls")
    alice, bob, carol = (
        start_phone(
            user,
            f"{host}:{port}",
            transport="tls",
            media_encryption=encryption,
            certificate=files.both,
            authority=files.authority,
            domain=SECURE_DOMAIN,
            password=passwords[user],
        )
        for user, encryption in (("alice", "srtp-mand"), ("bob", "srtp-mand"), ("carol", ""))
    )
    for phone in (alice, bob, carol):
        phone.wait_until_registered()
    carol.do("dial", f"sip:bob@{SECURE_DOMAIN}")
    assert "488" in carol.wait("CALL_CLOSED")["param"]
    alice.do("dial", f"sip:bob@{SECURE_DOMAIN}")
    alice.wait("CALL_ESTABLISHED")
    bob.wait("CALL_ESTABLISHED")
    assert_they_hear_each_other(alice, bob)
    for phone in (alice, bob):
        assert "SRTP is Enabled" in phone.log()

"""baresip: phones that register, call each other and hear each other's tone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip_peer import Account, Baresip
from tests.interop.kamailio_peer import Kamailio

pytestmark = pytest.mark.interop
DOMAIN, PASSWORD = "loop.test", "s3cret"
TONES = {"alice": 440, "bob": 880}
StartPhone = Callable[..., Baresip]


@pytest.fixture
def start_phone(tmp_path: Path) -> Iterator[StartPhone]:
    """Starts phones that are to register."""
    started: list[Baresip] = []

    def start(user: str, server: str, **more: Any) -> Baresip:
        account = Account(user=user, domain=DOMAIN, password=PASSWORD, server=server, **more)
        started.append(Baresip(tmp_path / user, account, tone=TONES[user]))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_phones_are_right_by_themselves(
    tmp_path: Path, start_phone: StartPhone, transport: str
) -> None:
    """What fails against the gateway then is no fault of the phones."""
    kamailio = Kamailio(
        tmp_path / "kamailio", domain=DOMAIN, password=PASSWORD, beyond="127.0.0.1:9"
    )
    try:
        server = f"{kamailio.host}:{kamailio.port}"
        alice, bob = (start_phone(user, server, transport=transport) for user in TONES)
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

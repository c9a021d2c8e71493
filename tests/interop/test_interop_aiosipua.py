"""aiosipua: phones that register, call and are called, by a stack that shares no code with ours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.aiosipua_peer import Aiosipua
from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.flow import Side
from tests.interop.sip.flows import ESTABLISHED, HUNG_UP_BY_CALLEE
from tests.interop.sip.world import DIAL_BOB, DOMAIN, PHONE_HOST, USERS, World

pytestmark = pytest.mark.interop
StartPhone = Callable[..., Aiosipua]


@pytest.fixture
def start_phone(tmp_path: Path) -> Iterator[StartPhone]:
    """Starts phones."""
    started: list[Aiosipua] = []

    def start(**more: Any) -> Aiosipua:
        started.append(Aiosipua(tmp_path / f"aiosipua{len(started)}.log", **more))
        started[-1].wait("listening")
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_a_call_to_sipp_and_one_from_it(start_phone: StartPhone, start_sipp: StartSipp) -> None:
    """What fails against the gateway then is no fault of the phone."""
    phone = start_phone()
    callee = start_sipp(Side.CALLEE, HUNG_UP_BY_CALLEE.callee)
    target = f"sip:callee@{callee.host}:{callee.port}"
    phone.tell(do="call", **_line("", callee.host, callee.port), to=target)
    phone.wait("talking")
    callee.finish()
    phone.wait("hung_up")
    caller = start_sipp(Side.CALLER, ESTABLISHED.caller, to=(phone.host, phone.port))
    caller.finish()
    phone.wait("hung_up", 2)


def _line(user: str, host: str, port: int) -> dict[str, Any]:
    return {
        "aor": f"sip:{user or 'nobody'}@{DOMAIN}",
        "user": user,
        "password": USERS.get(user, ""),
        "server": host,
        "port": port,
    }


def _registered(world: World, phone: Aiosipua, user: str) -> dict[str, Any]:
    line = _line(user, *world.at())
    phone.tell(do="register", **line)
    phone.wait("registered")
    return line


def test_phones_register_and_call_each_other(
    start_phone: StartPhone, start_world: StartWorld
) -> None:
    world = start_world(phones=DIAL_BOB)
    alice, bob = start_phone(host=PHONE_HOST), start_phone(host=PHONE_HOST)
    line = _registered(world, alice, "alice")
    _registered(world, bob, "bob")
    alice.tell(do="call", **line, to=f"sip:bob@{DOMAIN}")
    bob.wait("answered")
    alice.wait("talking")
    alice.tell(do="hang_up")
    bob.wait("hung_up")
    calls = world.calls_over(2)
    assert [call["status"] for call in calls.values()] == ["completed", "completed"]


def test_a_wrong_password_is_refused(start_phone: StartPhone, start_world: StartWorld) -> None:
    world = start_world()
    phone = start_phone(host=PHONE_HOST)
    phone.tell(do="register", **{**_line("alice", *world.at()), "password": "wrong"})
    assert phone.wait("failed")[0]["status"] in {401, 403}

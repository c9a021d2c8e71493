"""Keys from a phone to a carrier and back, as each of them presses them: every key once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from protocols.sdp.formats import G722, PCMA, PCMU
from protocols.sdp.media import DtmfMode
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import dial, name, outcome, refer, user
from tests.integration.voice.keyed import KeyPhone, digits, joined, until
from tests.integration.voice.world import World, world

pytestmark = pytest.mark.realtime

CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "pa" },
  { username = "bob", password = "pb" },
]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
transport = "udp"
dtmf = "{dtmf}"
codecs = ["{codec}"]
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
NUMBER = "+15550001000"
TO_CARRIER = dial("+447700900002", answerOnBridge="true")
TO_ALICE = dial(user("alice"), answerOnBridge="true")
CODECS = {0: PCMU, 8: PCMA, 9: G722}
SETTLED = 0.3
"""Seconds in which a key that came twice would have come."""

Make = Callable[..., Awaitable[KeyPhone]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    opened: list[KeyPhone] = []

    async def begin(*given: Any, **more: Any) -> KeyPhone:
        phone = KeyPhone(*given, **more)
        opened.append(phone)
        await phone.open()
        return phone

    yield begin
    for phone in opened:
        await phone.close()


def config(carrier: KeyPhone, dtmf: str) -> str:
    port = carrier.station.endpoint.addresses()[0][1][1]
    codec = CODECS[carrier.keys.speaks].name
    named = CONFIG.replace("{port}", str(port)).replace("{dtmf}", dtmf)
    return named.replace("{codec}", codec)


async def phone(make: Make, **more: Any) -> KeyPhone:
    found = await make("alice", "office.example", 440.0, "pa", **more)
    found.codecs = (CODECS[found.keys.speaks],)
    return found


async def gateway_phone(make: Make, speaks: int = 0) -> KeyPhone:
    found = await make("+447700900001", "carrier.example", speaks=speaks)
    found.codecs = (CODECS[speaks],)
    return found


async def join(here: World, alice: KeyPhone, carrier: KeyPhone) -> None:
    """Alice calls the carrier; both hear the other."""
    await alice.register(here.hop())
    alice.call("anybody", here.hop())
    await alice.until(events.Answered)
    await carrier.until(events.Confirmed)
    await joined(alice, carrier)


async def end(here: World, *phones: KeyPhone) -> None:
    phones[0].hang_up()
    await here.ended()


def signals(carrier: KeyPhone) -> list[str]:
    return ["" if each.body is None else each.body.octets.decode() for each in carrier.infos]


async def test_events_go_to_a_trunk_by_info_one_after_the_other(tmp_path: Path, make: Make) -> None:
    alice, carrier = await phone(make), await gateway_phone(make)
    carrier.answers_info = False
    async with world(tmp_path, config(carrier, "info"), TO_CARRIER) as here:
        await join(here, alice, carrier)
        alice.keys.press("12#")
        for number, signal in enumerate("12#", 1):
            await until(lambda number=number: len(carrier.infos) == number)
            await asyncio.sleep(SETTLED)
            assert len(carrier.infos) == number  # the next waits for the answer
            asked = carrier.infos[-1]
            assert asked.body is not None and asked.body.type == "application/dtmf-relay"
            lines = asked.body.octets.decode().split("\r\n")
            assert lines[0] == f"Signal={signal}"
            assert 60 <= int(lines[1].removeprefix("Duration=")) <= 200
            carrier.station.agent.respond(
                asked.key, Reply(status=200 if number != 2 else 415), carrier.station.now()
            )
            carrier.station.wake()
        await asyncio.sleep(SETTLED)
        assert len(carrier.infos) == 3
        assert carrier.keys.events == carrier.keys.sounds == []
        await end(here, alice)
        assert here.ledger() == {}


@pytest.mark.parametrize(
    ("body", "type", "duration"),
    [
        ("Signal=5\r\nDuration=160\r\n", "application/dtmf-relay", 0.16),
        ("signal= 5\nduration = 99999\n", "Application/DTMF-Relay", 3.0),
        ("5", "application/dtmf", 0.1),
    ],
)
async def test_info_of_a_trunk_goes_to_a_phone_as_events(
    tmp_path: Path, make: Make, body: str, type: str, duration: float
) -> None:
    alice, carrier = await phone(make), await gateway_phone(make)
    async with world(tmp_path, config(carrier, "info"), TO_CARRIER) as here:
        await join(here, alice, carrier)
        for text in ("Signal=x\r\n", "Signal=\r\n", "nonsense"):
            carrier.inform(text)
        carrier.inform(body, type)
        await carrier.until(events.Responded, where=lambda each: each.response.status == 200)
        await until(lambda: alice.keys.events)
        await asyncio.sleep(SETTLED)
        assert digits(alice.keys.events) == "5"
        assert alice.keys.events[0][1] == pytest.approx(duration, abs=0.021)
        assert carrier.infos == [] and carrier.keys.events == carrier.keys.sounds == []
        await end(here, alice)


@pytest.mark.parametrize("speaks", [0, 8, 9], ids=["PCMU", "PCMA", "G722"])
async def test_a_trunk_with_keys_in_its_sound(tmp_path: Path, make: Make, speaks: int) -> None:
    alice, carrier = await phone(make), await gateway_phone(make, speaks)
    async with world(tmp_path, config(carrier, "inband"), TO_CARRIER) as here:
        await join(here, alice, carrier)
        alice.keys.press("19*")
        await until(lambda: len(carrier.keys.sounds) == 3)
        carrier.inform("Signal=0\r\nDuration=100\r\n")  # it presses each key in two ways
        carrier.keys.sing("08#")
        await until(lambda: len(alice.keys.events) == 3)
        await asyncio.sleep(SETTLED)
        assert digits(carrier.keys.sounds) == "19*"
        assert digits(alice.keys.events) == "08#"
        assert all(0.06 <= seconds <= 0.16 for _, seconds in alice.keys.events)
        assert carrier.keys.events == [] and carrier.infos == []
        assert alice.keys.sounds == []  # the sound of a key goes no further
        await end(here, alice)


@pytest.mark.parametrize("dtmf", ["rfc4733", "auto"])
async def test_a_phone_without_events(tmp_path: Path, make: Make, dtmf: str) -> None:
    alice = await phone(make, dtmf=DtmfMode.INBAND)
    carrier = await gateway_phone(make)
    async with world(tmp_path, config(carrier, dtmf), TO_CARRIER) as here:
        await join(here, alice, carrier)
        alice.keys.sing("31")
        await until(lambda: len(carrier.keys.events) == 2)
        carrier.keys.press("64")
        await until(lambda: len(alice.keys.sounds) == 2)
        alice.inform("Signal=7\r\nDuration=100\r\n")  # it may know INFO
        await until(lambda: len(carrier.keys.events) == 3)
        await asyncio.sleep(SETTLED)
        assert digits(carrier.keys.events) == "317"
        assert digits(alice.keys.sounds) == "64"
        assert carrier.keys.sounds == [] and alice.infos == []
        await end(here, alice)


async def test_a_key_that_is_pressed_in_two_ways_is_one(tmp_path: Path, make: Make) -> None:
    alice, carrier = await phone(make), await gateway_phone(make)
    async with world(tmp_path, config(carrier, "rfc4733"), TO_CARRIER) as here:
        await join(here, alice, carrier)
        alice.keys.press("8")
        alice.inform("Signal=8\r\nDuration=100\r\n")
        await until(lambda: carrier.keys.events)
        await asyncio.sleep(SETTLED)
        assert digits(carrier.keys.events) == "8"
        assert carrier.infos == [] and carrier.keys.sounds == []
        await end(here, alice)


@pytest.mark.parametrize("dtmf", ["info", "inband"])
async def test_a_call_of_the_carrier_s(tmp_path: Path, make: Make, dtmf: str) -> None:
    alice, carrier = await phone(make), await gateway_phone(make)
    async with world(tmp_path, config(carrier, dtmf), TO_ALICE) as here:
        await alice.register(here.hop())
        carrier.call(NUMBER, here.hop())
        await carrier.until(events.Answered)
        await joined(alice, carrier)
        alice.keys.press("20")
        if dtmf == "info":
            carrier.inform("Signal=10\r\nDuration=100\r\n")  # the code of *
            await until(lambda: len(carrier.infos) == 2)
            assert [each.split()[0] for each in signals(carrier)] == ["Signal=2", "Signal=0"]
        else:
            carrier.keys.sing("*")
            await until(lambda: digits(carrier.keys.sounds) == "20")
        await until(lambda: alice.keys.events)
        await asyncio.sleep(SETTLED)
        assert digits(alice.keys.events) == "*"
        assert alice.keys.sounds == [] and carrier.keys.events == []
        await end(here, carrier)


@pytest.mark.parametrize("dtmf", ["info", "inband"])
async def test_between_two_calls_that_were_joined(tmp_path: Path, make: Make, dtmf: str) -> None:
    """Neither of the two that talk to the carrier's peer has events there, the hops have."""
    alice, carrier = await phone(make), await gateway_phone(make)
    bob = await make("bob", "office.example", 660.0, "pb")
    async with world(tmp_path, config(carrier, dtmf), dial(user("bob"))) as here:
        await alice.register(here.hop())
        await bob.register(here.hop())
        alice.call("bob", here.hop())
        await bob.until(events.Confirmed)
        first = bob.session
        here.app.twiml = TO_CARRIER
        second = bob.call("anybody", here.hop())
        await bob.until(events.Answered)
        asked = refer(
            bob,
            SipUri(user="anybody", host="office.example"),
            session=first,
            replacing=name(bob, second),
        )
        assert await outcome(bob, asked) == 200
        await bob.until(events.HungUp, where=lambda each: each.session == first)
        for each in (alice, carrier):
            each.keys.forget()
        await joined(alice, carrier)
        alice.keys.press("57")
        if dtmf == "info":
            await until(lambda: len(carrier.infos) == 2)
            assert [each.split()[0] for each in signals(carrier)] == ["Signal=5", "Signal=7"]
            carrier.inform("Signal=6\r\nDuration=100\r\n")
        else:
            await until(lambda: digits(carrier.keys.sounds) == "57")
            carrier.keys.sing("6")
        await until(lambda: alice.keys.events)
        await asyncio.sleep(SETTLED)
        assert digits(alice.keys.events) == "6"
        assert carrier.keys.events == alice.keys.sounds == []
        await end(here, alice)

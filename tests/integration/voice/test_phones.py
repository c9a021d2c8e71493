"""Phones of a domain: they register, call each other and the world, and come back elsewhere."""

import asyncio
from pathlib import Path

import pytest

from gateway.calls.model import CallStatus
from protocols.sip import agent_events as events
from protocols.sip.transport import Transport
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.world import ACCOUNT, world

DOMAIN = "office.example"
CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "secret-of-alice" },
  { username = "bob", password = "secret-of-bob" },
]
[[carriers]]
name = "nobody"
kind = "sip"
uri = "sip:127.0.0.1:9"
emergency = []
options_interval = "0s"
"""
TO_BOB = (
    '<Response><Dial answerOnBridge="true" timeout="20" action="/after">'
    "<Sip>sip:bob@office.example</Sip></Dial></Response>"
)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_two_phones_talk(tmp_path: Path, open_phone: OpenPhone, transport: Transport) -> None:
    alice = await open_phone(
        "alice", DOMAIN, tone=440, password="secret-of-alice", transport=transport
    )
    bob = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob", transport=transport)
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        hop = here.hop(transport)
        for phone in (alice, bob):
            assert (await phone.register(hop)).response.status == 200
        alice.call("bob", hop)
        await alice.until(events.Answered)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        bob.hang_up()
        await alice.until(events.HungUp)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"
        assert form["From"] == "sip:alice@office.example"
        assert form["SipDomain"] == DOMAIN
        await here.ended()
        assert here.ledger() == {}


async def test_a_document_of_the_file_runs_and_nobody_is_asked(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    bob = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob")
    text = "<Response><Queue/><Dial><Sip>sip:bob@office.example</Sip></Dial></Response>"
    config = CONFIG.replace('voice_url = "{app}/voice"', f"voice_twiml = '{text}'")
    async with world(tmp_path, config) as here:
        await bob.register(here.hop())
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        alice.hang_up()
        await bob.until(events.HungUp)
        await here.ended()
        call = await here.stored(lambda each: each.direction == "inbound")
        assert call.status is CallStatus.COMPLETED
        notes = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{call.sid}/Notifications.json"
        found = (await here.get(notes))["notifications"]
        assert [each["error_code"] for each in found] == ["12200"]
        assert here.app.asked == []
        assert here.ledger() == {}


async def test_all_devices_ring_and_the_first_answer_wins(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    slow = await open_phone("bob", DOMAIN, tone=700, password="secret-of-bob")
    quick = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob")
    slow.on_call, quick.on_call = slow.ringing, None
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        for phone in (slow, quick):
            await phone.register(here.hop())
        alice.call("bob", here.hop())
        await slow.until(events.Invited)
        quick.pick_up(await quick.until(events.Invited))
        quick.station.wake()
        await alice.until(events.Answered)
        cancelled = await slow.until(events.Cancelled)
        assert "answered elsewhere" in (cancelled.headers.first("Reason") or "")
        await asyncio.gather(alice.sound.hears(880), quick.sound.hears(440))
        alice.hang_up()
        await quick.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}


async def test_who_is_not_registered_is_no_answer_at_all(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, password="secret-of-alice")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        alice.call("bob", here.hop())
        refused = await alice.until(events.Refused)
        assert refused.status == 480
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        await here.ended()
        assert here.ledger() == {}


async def test_a_phone_whose_connection_is_gone_is_passed_over(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
    gone = await open_phone("bob", DOMAIN, password="secret-of-bob", transport=Transport.TCP)
    here_still = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await here_still.register(here.hop())
        await gone.register(here.hop(Transport.TCP))
        await gone.station.close()
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await here_still.sound.hears(440)
        alice.hang_up()
        await here.ended()
        assert here.ledger() == {}


async def test_a_wrong_password_calls_nobody(tmp_path: Path, open_phone: OpenPhone) -> None:
    eve = await open_phone("alice", DOMAIN, password="guess")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        eve.call("bob", here.hop())
        assert (await eve.until(events.Refused)).status in (401, 407)
        assert here.app.asked == []
        assert await here.calls() == []
        assert here.ledger() == {}


async def test_rest_ends_a_call_that_was_dialled(tmp_path: Path, open_phone: OpenPhone) -> None:
    alice = await open_phone("alice", DOMAIN, password="secret-of-alice")
    bob = await open_phone("bob", DOMAIN, password="secret-of-bob")
    async with world(tmp_path, CONFIG, TO_BOB) as here:
        await bob.register(here.hop())
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        child = next(each for each in await here.calls() if each["parent_call_sid"])
        path = f"/2010-04-01/Accounts/{child['account_sid']}/Calls/{child['sid']}.json"
        async with here.http.post(here.url + path, data={"Status": "completed"}) as response:
            assert response.status == 200
        await bob.until(events.HungUp)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"
        await here.ended()
        assert (await here.call(child["sid"])).status == "completed"
        assert here.ledger() == {}

"""Calls through a whole gateway: in by a trunk, by document to others, and their ends."""

import asyncio
from pathlib import Path

from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.world import world

CONFIG = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
NUMBER = "+15550001000"


def config(carrier: Phone) -> str:
    _, (_, port) = carrier.station.endpoint.addresses()[0]
    return CONFIG.replace("{port}", str(port))


async def test_a_carriers_call_is_joined_to_the_carriers_callee(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    callee = await open_phone("callee", "carrier.example", tone=880)
    twiml = '<Response><Dial answerOnBridge="true" action="/after">+447700900002</Dial></Response>'
    async with world(tmp_path, config(callee), twiml) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await callee.until(events.Confirmed)
        await asyncio.gather(caller.sound.hears(880), callee.sound.hears(440))
        caller.hang_up()
        await callee.until(events.HungUp)
        form = await here.app.until("/after")
        await here.ended()
        assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
        child = await here.call(form["DialCallSid"])
        parent = await here.call(form["CallSid"])
        assert (parent.status, child.status) == ("completed", "completed")
        assert child.parent_sid == parent.sid
        legs = [*await here.legs(parent.sid), *await here.legs(child.sid)]
        assert [leg.codec_sent for leg in legs] == ["PCMU", "PCMU"]
        assert all(leg.received.packets and leg.ended and leg.saved is None for leg in legs)
        assert here.ledger() == {}

"""Calls of trunks: their limits, their failover, what is refused and by which rule."""

import asyncio
from pathlib import Path

from gateway.calls.orders import Cancel
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.world import world
from tests.ports import UDP, refusing_port

NUMBER = "+15550001000"
DIAL = '<Response><Dial answerOnBridge="true" action="/after">+447700900002</Dial></Response>'


def trunk(*carriers: Phone | int, more: str = "") -> str:
    """A config with one trunk, whose gateways are these, and the number."""
    ports = [
        each if isinstance(each, int) else each.station.endpoint.addresses()[0][1][1]
        for each in carriers
    ]
    doors = ", ".join(
        f'{{ uri = "sip:127.0.0.1:{port}", priority = {rank} }}' for rank, port in enumerate(ports)
    )
    return f"""
[[carriers]]
name = "acme"
kind = "sip"
gateways = [{doors}]
transport = "udp"
emergency = []
options_interval = "0s"
{more}
[[numbers]]
number = "{NUMBER}"
voice_url = "{{app}}/voice"
"""


async def test_a_gateway_that_fails_is_followed_by_the_next(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    broken = await open_phone("broken", "carrier.example")
    broken.on_call = Phone.refusing(503)
    callee = await open_phone("callee", "carrier.example", tone=880)
    async with world(tmp_path, trunk(broken, callee), DIAL) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await asyncio.gather(caller.sound.hears(880), callee.sound.hears(440))
        caller.hang_up()
        form = await here.app.until("/after")
        await here.ended()
        legs = await here.legs(form["DialCallSid"])
        assert [(leg.attempt, leg.sip_code) for leg in legs] == [(1, 503), (2, 200)]
        assert here.ledger() == {}


async def test_a_callee_that_is_busy_is_not_rung_by_another_gateway(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    busy = await open_phone("busy", "carrier.example")
    busy.on_call = Phone.refusing(486)
    other = await open_phone("other", "carrier.example")
    async with world(tmp_path, trunk(busy, other), DIAL) as here:
        caller.call(NUMBER, here.hop())
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["DialSipResponseCode"]) == ("busy", "486")
        assert not any(isinstance(each, events.Invited) for each in other.told)
        refused = await caller.until(events.Refused)
        await here.ended()
        assert refused.status == 486
        assert (await here.call(form["CallSid"])).status == "busy"
        assert here.ledger() == {}


async def test_where_nobody_is_the_next_gateway_is_asked(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    with refusing_port(UDP) as nobody:
        async with world(tmp_path, trunk(nobody, callee), DIAL) as here:
            caller.call(NUMBER, here.hop())
            await caller.until(events.Answered)
            caller.hang_up()
            await here.ended()
            assert here.ledger() == {}


async def test_a_trunk_has_no_more_channels_than_it_has(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    callers = [await open_phone(f"+44770090000{each}", "carrier.example") for each in (1, 2)]
    callee = await open_phone("callee", "carrier.example")
    hold = '<Response><Pause length="60"/></Response>'
    async with world(tmp_path, trunk(callee, more="channels = 1"), hold) as here:
        callers[0].call(NUMBER, here.hop())
        await callers[0].until(events.Answered)
        callers[1].call(NUMBER, here.hop())
        refused = await callers[1].until(events.Refused)
        assert refused.status == 503 and "Retry-After" not in refused.headers
        assert "all channels = 1 are taken" in (refused.headers.first("Reason") or "")
        callers[0].hang_up()
        await here.ended()
        assert here.ledger() == {}


async def test_a_number_that_nobody_has_and_a_stranger(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    async with world(tmp_path, trunk(callee), DIAL) as here:
        caller.call("+15559999999", here.hop())
        refused = await caller.until(events.Refused)
        assert refused.status == 404
        assert "no account has the number" in (refused.headers.first("Reason") or "")
        assert await here.calls() == [] and here.ledger() == {}


async def test_orders_that_come_late_and_a_redirect_that_falls_back(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    hold = '<Response><Pause length="60"/></Response>'
    async with world(tmp_path, trunk(callee), hold) as here:
        here.app.pages = {"/broken": "no document", "/fallback": "<Response><Hangup/></Response>"}
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        (call,) = await here.calls()
        calls = here.gateway._voice.calls  # type: ignore[union-attr]
        # It was answered while the order was on its way: what ends ringing calls ends it not.
        await calls.order(call["account_sid"], call["sid"], Cancel())
        assert (await here.calls())[0]["status"] == "in-progress"
        form = {"Url": f"{here.app.url}/broken", "FallbackUrl": f"{here.app.url}/fallback"}
        path = f"/2010-04-01/Accounts/{call['account_sid']}/Calls/{call['sid']}.json"
        async with here.http.post(here.url + path, data=form) as response:
            assert response.status == 200
        assert (await here.app.until("/fallback"))["ErrorUrl"].endswith("/broken")
        await caller.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}

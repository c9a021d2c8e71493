"""A gateway that listens at all addresses and says one of them."""

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from tests.integration.voice import world as worlds
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.test_joined_calls import NUMBER, config
from tests.integration.voice.world import world

EVERYWHERE = worlds.BASE.replace('"127.0.0.1:0"]', '"0.0.0.0:0"]') + (
    '[rtp]\nlisten = "0.0.0.0"\nadvertised = "127.0.0.1"\n'
)
DIAL = "<Response><Dial>+447700900002</Dial></Response>"


async def test_two_hear_each_other_and_nobody_is_told_of_0000(
    tmp_path: Path, open_phone: OpenPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "BASE", EVERYWHERE)
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    callee = await open_phone("callee", "carrier.example", tone=880)
    async with world(tmp_path, config(callee), DIAL) as here:
        port = here.gateway.ports["sip_udp"]
        caller.call(NUMBER, Hop(transport=Transport.UDP, host="127.0.0.1", port=port))
        invited = await callee.until(events.Invited)
        request = invited.request
        uris = [request.from_.uri, *(each.uri for each in request.contacts)]
        hosts = {uri.host for uri in uris if isinstance(uri, SipUri)}
        hosts |= {via.host for via in request.vias}
        assert "0.0.0.0" not in hosts and "" not in hosts
        assert b"c=IN IP4 127.0.0.1" in request.body and b"0.0.0.0" not in request.body
        await caller.until(events.Answered)
        await asyncio.gather(caller.sound.hears(880), callee.sound.hears(440))
        caller.hang_up()
        await here.ended()
        assert here.ledger() == {}


async def test_who_is_called_by_address_is_told_a_host_of_ours(
    tmp_path: Path, open_phone: OpenPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "BASE", EVERYWHERE)
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "elsewhere.example")
    _, (_, to) = callee.station.endpoint.addresses()[0]
    dial = f"<Response><Dial><Sip>sip:callee@127.0.0.1:{to}</Sip></Dial></Response>"
    async with world(tmp_path, config(callee), dial) as here:
        caller.call(NUMBER, here.hop())
        from_ = (await callee.until(events.Invited)).request.from_.uri
        assert isinstance(from_, SipUri)
        assert from_.user == "+447700900001"
        assert not ip_address(from_.host).is_unspecified
        await caller.until(events.Answered)
        caller.hang_up()
        await here.ended()

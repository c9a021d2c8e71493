"""A carrier whose proxy takes the INVITE, and whose machine of another name has the call."""

from pathlib import Path

from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip.derive import reply
from protocols.sip.message import Headers, NameAddr
from protocols.sip.uri import SipUri
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.raw import Raw, described
from tests.integration.voice.test_trunk_calls import DIAL, NUMBER, trunk
from tests.integration.voice.world import world


async def test_a_call_is_hung_up_at_the_machine_that_answered(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    proxy, machine = await Raw().open(), await Raw().open()
    async with world(tmp_path, trunk(proxy.port), DIAL) as here:
        machine.gateway = ("127.0.0.1", here.gateway.ports["sip_udp"])
        caller.call(NUMBER, here.hop())
        invite = await proxy.asked("INVITE")
        there = NameAddr(uri=SipUri(user="b", host="localhost", port=machine.port))
        headers = Headers((("Content-Type", "application/sdp"),))
        body = described(invite.body, 40_000)
        answer = reply(invite, 200, tag="machine", headers=headers, body=body)
        proxy.say(replace(answer, contacts=(there,)))
        await caller.until(events.Answered)
        caller.hang_up()
        bye = await machine.asked("BYE")
        assert bye.uri == there.uri
        machine.answer(bye, 200)
        await here.ended()
        assert not [each for each in proxy.came if getattr(each, "method", "") == "BYE"]
        assert here.ledger() == {}
    proxy.close()
    machine.close()

"""A phone that asks without end in its call: it is told to wait, and the log says so once."""

from pathlib import Path

from structlog.testing import capture_logs

from protocols.sip import agent_events as events
from protocols.sip.session_offers import Body
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.test_trunk_calls import NUMBER, trunk
from tests.integration.voice.world import world

KEY = Body(octets=b"Signal=5\r\nDuration=100\r\n", type="application/dtmf-relay")


async def test_a_storm_in_one_call(tmp_path: Path, open_phone: OpenPhone) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    hold = '<Response><Pause length="60"/></Response>'
    async with world(tmp_path, trunk(caller), hold) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        agent, station = caller.station.agent, caller.station
        with capture_logs() as logs:
            asked = [agent.info(caller.session, KEY, station.now()) for _ in range(400)]
            station.wake()
            last = await caller.until(
                events.Responded, where=lambda event: event.request == asked[-1]
            )
        assert last.response.status == 500
        told = [each for each in logs if "asks too much" in each["event"]]
        assert [each["method"] for each in told] == ["INFO"]
        caller.hang_up()
        await here.ended()
        assert here.ledger() == {}

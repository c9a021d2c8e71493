"""A station whose agent fails: the loop is told, and all else goes on."""

import asyncio
import random
import secrets
import socket
from typing import Any

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Settings
from protocols.sip.message import Message, Request
from protocols.sip.station import Event, Station, Terms, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Flow, Transport
from protocols.sip.wire import Listen
from tests.integration.sip.peers import options
from tests.integration.sip.registrar_world import until


async def test_what_one_message_or_timer_breaks_costs_no_other(monkeypatch: Any) -> None:
    faults: list[Any] = []
    told: asyncio.Queue[Event] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    station: Station = await open_station(
        Terms(
            listens=(Listen(transport=Transport.UDP, host="127.0.0.1"),),
            settings=Settings(timers=Timers(t1=0.01)),
        ),
        told.put_nowait,
        token=lambda: secrets.token_hex(8),
        chance=random.random,
    )
    agent = station.agent
    receive, handle_timer = agent.receive, agent.handle_timer

    def fail_once(now: float) -> None:
        monkeypatch.setattr(agent, "handle_timer", handle_timer)
        raise LookupError("a timer is broken")

    def fail_at_bad(message: Message, flow: Flow, now: float) -> None:
        if isinstance(message, Request) and message.call_id == "bad":
            raise LookupError("the agent can't cope with it")
        receive(message, flow, now)

    monkeypatch.setattr(agent, "receive", fail_at_bad)
    monkeypatch.setattr(agent, "handle_timer", fail_once)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            for name in ("bad", "good"):  # one batch: the loop does not run in between
                peer.sendto(options(name), station.endpoint.addresses()[0][1])
        async with asyncio.timeout(30):
            event = await told.get()
            assert isinstance(event, events.OptionsReceived)
            assert event.request.call_id == "good"
        await until(lambda: not agent.layer.servers)  # timer F ends it, at the second try
    finally:
        await station.close()
    assert [str(each) for each in faults] == ["the agent can't cope with it", "a timer is broken"]

"""Calls whose document runs while their media is asked for: whom it calls is in the same graph."""

import asyncio
from pathlib import Path

import pytest

from gateway.calls.apps import App
from gateway.calls.live import Live
from gateway.calls.model import CallStatus
from gateway.media.graph import Leg
from protocols.sip import agent_events as events
from protocols.sip.derive import cancel_of
from protocols.sip.uri import SipUri
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.raw import Raw
from tests.integration.voice.world import ACCOUNT, PATIENCE, until, world

DOMAIN = "office.example"
NUMBER = "+15550001000"
CONFIG = """
[[domains]]
name = "office.example"
voice_twiml = '{document}'
users = [
  {{ username = "alice", password = "pa" }},
  {{ username = "bob", password = "pb" }},
]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:9"
addresses = ["127.0.0.1"]
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_twiml = '{document}'
"""
TO_BOB = "<Dial><Sip>sip:bob@office.example</Sip></Dial>"


def config(verbs: str) -> str:
    return CONFIG.format(document=f"<Response>{verbs}</Response>")


async def test_who_calls_and_who_is_called_have_their_ports_of_one_graph(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, password="pa")
    bob = await open_phone("bob", DOMAIN, password="pb")
    async with world(tmp_path, config(TO_BOB)) as here:
        await bob.register(here.hop())
        graphs = here.graphs()
        alice.call("anybody", here.hop())
        await bob.until(events.Invited)
        assert [len(each.nodes) for each in graphs][:1] == [2]
        await alice.until(events.Answered)
        alice.hang_up()
        await here.ended()
        assert here.ledger() == {}


async def test_who_calls_is_not_refused_where_only_who_is_called_finds_no_port(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, password="pa")
    bob = await open_phone("bob", DOMAIN, password="pb")
    async with world(tmp_path, config(TO_BOB + '<Pause length="60"/>')) as here:
        await bob.register(here.hop())
        graphs = here.graphs(legs=1)
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)  # by what follows the Dial
        assert [sum(isinstance(node, Leg) for node in each.nodes) for each in graphs][:2] == [2, 1]
        alice.hang_up()
        await here.ended()
        called = await here.stored(lambda each: each.direction == "outbound-dial")
        assert (called.status, called.reason) == (CallStatus.FAILED, "no port is free")
        assert not any(isinstance(each, events.Invited) for each in bob.told)


async def test_a_recording_that_starts_before_there_are_ports_is_made(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", DOMAIN, password="pa")
    bob = await open_phone("bob", DOMAIN, password="pb", tone=880)
    async with world(tmp_path, config("<Start><Recording/></Start>" + TO_BOB)) as here:
        await bob.register(here.hop())
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await alice.sound.hears(880)
        alice.hang_up()
        await here.ended()

        async def completed() -> list[str]:
            found = await here.get(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings.json")
            return [each["status"] for each in found["recordings"]]

        assert await until(completed) == ["completed"]


async def test_who_is_rejected_takes_no_ports(tmp_path: Path, open_phone: OpenPhone) -> None:
    alice = await open_phone("alice", DOMAIN, password="pa")
    async with world(tmp_path, config('<Reject reason="busy"/>')) as here:
        graphs = here.graphs()
        alice.call("anybody", here.hop())
        assert (await alice.until(events.Refused)).status == 486
        await here.ended()
        assert graphs == []


async def test_no_document_is_asked_for_when_the_call_is_over_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number refers to an application: while that is looked for the caller may go."""
    looked, found = asyncio.Event(), asyncio.Event()
    asked: list[App] = []

    async def look(live: Live) -> App:
        looked.set()
        await found.wait()
        return App(url="http://127.0.0.1:9/voice")

    monkeypatch.setattr(Live, "_app", look)
    monkeypatch.setattr(Live, "_ask", lambda live, app: asked.append(app))
    async with world(tmp_path, config(TO_BOB)) as here:
        voice = here.gateway._voice
        assert voice is not None
        plane = voice.calls._house.plane
        end = plane.end

        async def end_later(call: str) -> None:
            await found.wait()
            await end(call)

        monkeypatch.setattr(plane, "end", end_later)
        graphs = here.graphs()
        caller = await Raw().open()
        caller.gateway = (here.hop().host, here.hop().port)
        invite = caller.request("INVITE", SipUri(user=NUMBER, host="127.0.0.1"))
        caller.say(invite)
        async with asyncio.timeout(PATIENCE):
            await looked.wait()
        caller.say(cancel_of(invite))
        await caller.told(487)
        found.set()
        await here.ended()
        assert (asked, graphs) == ([], [])
        caller.close()

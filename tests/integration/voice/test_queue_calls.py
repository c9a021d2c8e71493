"""A caller waits in a queue, hears music and a document, and is joined to who dials the queue."""

from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG
from tests.integration.voice.test_rooms import hears
from tests.integration.voice.test_spoken import sound, tone_file, tones_in
from tests.integration.voice.world import World, uncollected, world

WAITS = '<Response><Enqueue action="/dequeued" waitUrl="/wait">support</Enqueue></Response>'
SERVES = (
    '<Response><Dial action="/served" timeout="{timeout}" record="record-from-answer-dual">'
    '<Queue url="{url}" method="GET">{name}</Queue></Dial></Response>'
)
SETUP = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")


async def left(here: World) -> None:
    """Return when no call lives, and nobody is in a queue."""
    await here.ended()
    voice = here.gateway._voice
    assert voice is not None
    assert len(voice.calls._house.queues) == 0
    assert here.ledger() == {}


@pytest.mark.parametrize(("workers", "greeted"), [(1, False), (2, True)])
async def test_who_waits_is_joined_to_who_dials(
    tmp_path: Path, alice: Phone, bob: Phone, workers: int, greeted: bool
) -> None:
    async with world(tmp_path, SETUP, WAITS, workers=workers) as here, uncollected():
        here.app.sounds |= {"/wait.wav": tone_file(1000, 30.0), "/hello.wav": tone_file(620, 0.5)}
        here.app.pages["/wait"] = '<Response><Play loop="0">/wait.wav</Play></Response>'
        here.app.pages["/hello"] = "<Response><Play>/hello.wav</Play></Response>"
        for phone in (alice, bob):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        await hears(alice, 1000)
        waiting = await here.app.until("/wait")
        assert (waiting["QueuePosition"], waiting["CurrentQueueSize"]) == ("1", "1")
        here.app.twiml = SERVES.format(url="/hello" if greeted else "", name="support", timeout=30)
        bob.call("anybody", here.hop())
        await hears(alice, 880)
        await hears(bob, 440)
        if greeted:
            told = await here.app.until("/hello")
            assert ("GET", "/hello") in here.app.ways
            bobs = next(form for path, form in here.app.asked[::-1] if path == "/voice")
            assert (told["CallSid"], told["DequeingCallSid"]) == (
                waiting["CallSid"],
                bobs["CallSid"],
            )
        bob.hang_up()
        done = await here.app.until("/dequeued")
        assert (done["QueueResult"], done["QueueSid"]) == ("bridged", waiting["QueueSid"])
        served = await here.app.until("/served")
        assert (served["DialCallStatus"], served["QueueResult"]) == ("completed", "bridged")
        assert served["DialCallSid"] == waiting["CallSid"]
        inbound, outbound = await sound(here, served["RecordingUrl"])
        assert (tones_in(inbound) | tones_in(outbound)) - {620} == {440, 880}
        await alice.until(events.HungUp)
        await left(here)


async def test_who_waits_may_leave_or_hang_up(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    async with world(tmp_path, SETUP, WAITS) as here, uncollected():
        here.app.pages["/wait"] = "<Response><Leave/></Response>"
        for phone in (alice, bob):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        assert (await here.app.until("/dequeued"))["QueueResult"] == "leave"
        await alice.until(events.HungUp)
        here.app.pages["/wait"] = '<Response><Pause length="60"/></Response>'
        here.app.asked.clear()
        bob.call("anybody", here.hop())
        await here.app.until("/wait")
        bob.hang_up()
        assert (await here.app.until("/dequeued"))["QueueResult"] == "hangup"
        await left(here)


@pytest.mark.parametrize(
    ("name", "result"), [("nobody's", "queue-not-found"), ("support", "queue-empty")]
)
async def test_who_dials_a_queue_without_anybody_is_told(
    tmp_path: Path, alice: Phone, bob: Phone, name: str, result: str
) -> None:
    async with world(tmp_path, SETUP, WAITS) as here, uncollected():
        here.app.pages["/wait"] = "<Response><Leave/></Response>"
        for phone in (alice, bob):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        await alice.until(events.HungUp)
        here.app.twiml = SERVES.format(url="", name=name, timeout=1)
        bob.call("anybody", here.hop())
        assert (await here.app.until("/served"))["QueueResult"] == result
        await bob.until(events.HungUp)
        await left(here)

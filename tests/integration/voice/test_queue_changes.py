"""Who dials a queue while it is renamed, and whose time to wait ends while somebody is greeted."""

from pathlib import Path

from tests.integration.voice.phones import Phone
from tests.integration.voice.test_queue_calls import SERVES, SETUP, WAITS, left
from tests.integration.voice.test_rooms import hears
from tests.integration.voice.test_spoken import ask, tone_file
from tests.integration.voice.world import until, world


async def test_who_was_taken_in_time_is_joined_however_long_the_greeting(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    async with world(tmp_path, SETUP, WAITS) as here:
        here.app.sounds["/hello.wav"] = tone_file(620, 2.0)
        here.app.pages["/wait"] = '<Response><Pause length="60"/></Response>'
        here.app.pages["/hello"] = "<Response><Play>/hello.wav</Play></Response>"
        for phone in (alice, bob):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        await here.app.until("/wait")
        here.app.twiml = SERVES.format(url="/hello", name="support", timeout=1)
        bob.call("anybody", here.hop())
        await hears(alice, 880)
        await hears(bob, 440)
        bob.hang_up()
        assert (await here.app.until("/dequeued"))["QueueResult"] == "bridged"
        await left(here)


async def test_a_queue_is_the_same_under_another_name(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    async with world(tmp_path, SETUP, WAITS) as here:
        here.app.pages["/wait"] = '<Response><Pause length="60"/></Response>'
        for phone in (alice, bob):
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        waiting = await here.app.until("/wait")
        renamed = f"/Queues/{waiting['QueueSid']}.json"
        assert (await ask(here, "POST", renamed, FriendlyName="sales"))[0] == 200
        here.app.twiml = SERVES.format(url="", name="sales", timeout=30)
        bob.call("anybody", here.hop())
        await hears(alice, 880)
        bob.hang_up()
        served = await here.app.until("/served")
        assert (served["QueueResult"], served["QueueSid"]) == ("bridged", waiting["QueueSid"])
        await left(here)


async def test_who_dials_a_queue_that_is_removed_is_let_go(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    async with world(tmp_path, SETUP, SERVES.format(url="", name="support", timeout=60)) as here:
        made = (await ask(here, "POST", "/Queues.json", FriendlyName="support"))[1]
        await bob.register(here.hop())
        bob.call("anybody", here.hop())
        voice = here.gateway._voice
        assert voice is not None
        queues = voice.calls._house.queues

        async def dialled() -> bool | None:
            return bool(len(queues)) or None

        await until(dialled)
        assert (await ask(here, "DELETE", f"/Queues/{made['sid']}.json"))[0] == 204
        served = await here.app.until("/served")
        assert (served["QueueResult"], served["DialCallStatus"]) == ("queue-not-found", "failed")
        await left(here)

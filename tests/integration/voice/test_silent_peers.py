"""A peer that nothing comes from any more is told of in the log, by its call and leg."""

import asyncio
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from protocols.sip import agent_events as events
from tests.integration.voice.acts import dial, user
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import CONFIG, DOMAIN
from tests.integration.voice.world import until, world

TO_BOB = dial(user("bob"))
SILENT, RESUMED = "nothing comes from a peer", "a peer is heard again"


async def told(logs: list[MutableMapping[str, Any]], what: str, leg: str = "") -> Any:
    """The first of its kind, of any leg or this one."""
    found: list[MutableMapping[str, Any]] = []

    async def is_told() -> bool:
        found.extend(each for each in logs if each["event"] == what and leg in each["leg"])
        return bool(found)

    await until(is_told)
    return found[0]


def pause(phone: Phone) -> Callable[[], None]:
    """Say nothing; what it returns lets it go on."""
    sound = phone.sound
    assert sound._beat is not None
    sound._beat.cancel()

    def go_on() -> None:
        sound._next = asyncio.get_running_loop().time()
        sound._send()

    return go_on


async def test_who_falls_silent_in_a_call_is_told_of_and_who_is_heard_again(tmp_path: Path) -> None:
    alice, bob = Phone("alice", DOMAIN, 440.0, "pa"), Phone("bob", DOMAIN, 880.0, "pb")
    config = CONFIG.replace("{first}", "").replace("{second}", "9").replace("{limits}", "")
    silence = '[rtp]\nsilence = "2s"'
    with capture_logs() as logs:
        async with world(tmp_path, config, TO_BOB, media=silence) as here:
            for each in (alice, bob):
                await each.open()
                await each.register(here.hop())
            alice.call("bob", here.hop())
            await alice.until(events.Answered)
            await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
            sid = (await here.app.until("/voice"))["CallSid"]
            logs.clear()  # it may have been silent before, on a machine that stood still
            go_on = pause(alice)
            silent = await told(logs, SILENT)
            assert (silent["call"], silent["log_level"]) == (sid, "warning")
            go_on()
            resumed = await told(logs, RESUMED, silent["leg"])
            assert resumed["call"] == sid and resumed["after"] >= 2.0
            alice.hang_up()
            await bob.until(events.HungUp)
            await here.ended()
            for each in (alice, bob):
                await each.close()

"""A script at work in one call: each step is taken, and written down with what it came to."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

from protocols.sip.agent_commands import By
from sims import media_sounds as sounds
from sims.media import Line
from sims.phone_calls import CallRecord
from sims.phone_script import (
    Action,
    Echo,
    Expect,
    HangUp,
    Hold,
    Noise,
    Play,
    Press,
    Refresh,
    Repeat,
    Script,
    Step,
    Tone,
    Transfer,
    Wait,
)


class Party(Protocol):
    """What a script may do with a call beside speaking and listening."""

    async def hold(self) -> None:
        """Put the other side on hold."""

    async def resume(self) -> None:
        """Take it back."""

    async def refresh(self, by: By) -> None:
        """Say again what was agreed on."""

    async def press(self, keys: str) -> None:
        """Press keys the way that was agreed on."""

    async def transfer(self, to: str) -> str:
        """Send the other side elsewhere; returns the status that this came to."""

    def hang_up(self) -> None:
        """End the call."""


class Missed(Exception):
    """A step did not come to what it should; the text says what was there in its place."""


async def follow(script: Script, record: CallRecord, line: Line, party: Party) -> None:
    """Take the steps in their order, whatever they come to; cancelled with the call."""
    for step in script:
        await _take(step, record, line, party)
        if isinstance(step.action, HangUp):
            return


async def _take(step: Step, record: CallRecord, line: Line, party: Party) -> None:
    action = step.action
    try:
        record.took(step, await _DO[type(action)](action, line, party))
    except Missed as missed:
        record.missed(step, str(missed))
    except (OSError, ValueError) as error:
        record.missed(step, str(error))
    except asyncio.CancelledError:
        _cut_off(step, record, line)
        raise


def _cut_off(step: Step, record: CallRecord, line: Line) -> None:
    """The call ended; what takes until then has come to what it should."""
    match step.action:
        case Expect():
            record.missed(step, _heard(step.action, line))
        case Press() if line.keys_due:
            record.missed(step)
        case Press() | Echo() | Repeat():  # a key that was sent may be what ended the call
            record.took(step)


async def _wait(action: Wait, line: Line, party: Party) -> None:
    await asyncio.sleep(action.seconds)


async def _press(action: Press, line: Line, party: Party) -> None:
    await party.press(action.keys)


async def _tone(action: Tone, line: Line, party: Party) -> None:
    await line.play(partial(sounds.tones, (action.frequency,), action.seconds))


async def _noise(action: Noise, line: Line, party: Party) -> None:
    await line.play(partial(sounds.noise, action.seconds))


async def _play(action: Play, line: Line, party: Party) -> None:
    await line.play(partial(sounds.recording, action.path))


async def _expect(action: Expect, line: Line, party: Party) -> str:
    hearing, now = line.hearing, asyncio.get_running_loop().time
    since = now()
    holds: dict[str, Callable[[], bool]] = {
        "tone": lambda: hearing.hears_tone(action.frequency, now()),
        "dtmf": lambda: hearing.read_keys(action.keys),
        "energy": lambda: hearing.hears_energy(now()),
        "silence": lambda: hearing.hears_silence(since, now()),
    }
    try:
        async with asyncio.timeout(action.seconds):
            await line.until(holds[action.kind])
    except TimeoutError:
        raise Missed(_heard(action, line)) from None
    return f"dtmf:{action.keys}" if action.kind == "dtmf" else _heard(action, line)


def _heard(action: Expect, line: Line) -> str:
    if action.kind == "dtmf":
        return f"dtmf:{line.hearing.unread_keys()}"
    return line.hearing.describe(asyncio.get_running_loop().time())


async def _echo(action: Echo, line: Line, party: Party) -> None:
    line.echo()
    try:
        if action.seconds is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(action.seconds)
    finally:
        line.be_silent()


async def _repeat(action: Repeat, line: Line, party: Party) -> None:
    hearing, loop = line.hearing, asyncio.get_running_loop()
    while True:
        await line.until(lambda: bool(hearing.unread_keys()))
        due = loop.time() + action.after
        keys = hearing.unread_keys()
        hearing.read_keys(keys)
        await asyncio.sleep(max(0.0, due - loop.time()))
        for each in keys:
            await line.play(partial(sounds.key, each))


async def _hold(action: Hold, line: Line, party: Party) -> None:
    await (party.hold() if action.on else party.resume())


async def _refresh(action: Refresh, line: Line, party: Party) -> None:
    await party.refresh(action.by)


async def _transfer(action: Transfer, line: Line, party: Party) -> str:
    return await party.transfer(action.to)


async def _hang_up(action: HangUp, line: Line, party: Party) -> None:
    party.hang_up()


_Do = Callable[[Any, Line, Party], Awaitable[str | None]]

_DO: Final[dict[type[Action], _Do]] = {
    Wait: _wait,
    Press: _press,
    Tone: _tone,
    Noise: _noise,
    Play: _play,
    Expect: _expect,
    Echo: _echo,
    Repeat: _repeat,
    Hold: _hold,
    Refresh: _refresh,
    Transfer: _transfer,
    HangUp: _hang_up,
}

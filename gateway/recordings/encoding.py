"""A recording in other forms than the one that it is kept in: MP3, and two channels as one.

Each is made once, beside the recording, by a process: as many at once as `MOST`, and one for an
account; the others wait.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from gateway.children import environment
from gateway.recordings.files import WAV, Files, sound_of

MOST: Final = 2
DEADLINE: Final = 600.0  # seconds for one; four hours of two channels take three minutes


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: `suffix` is `.wav` or `.mp3`, 0 `channels` are as many as there are."""

    suffix: str
    channels: int = 0


class Unplayable(Exception):
    """There is no such sound; the text says why."""


class Encoder:
    """See the module."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._room = asyncio.Semaphore(MOST)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by account
        self._making: dict[Path, asyncio.Task[None]] = {}

    async def file(self, account_sid: str, sid: str, form: Form) -> Path:
        """The file of a recording that is over in this form; raises `Unplayable`."""
        source = self._files.path(account_sid, sid)
        sound = await asyncio.to_thread(sound_of, source)
        if sound is None:
            raise Unplayable("its file is not here")
        channels = form.channels or sound.channels
        if channels > sound.channels:
            raise Unplayable("it has one channel")
        if channels == sound.channels and form.suffix == WAV:
            return source
        mark = f".{channels}" if channels < sound.channels else ""
        target = self._files.path(account_sid, sid, f"{mark}{form.suffix}")
        making = self._making.get(target)
        if making is None:
            turn = self._turns.setdefault(account_sid, asyncio.Lock())
            work = self._make(turn, source, target, channels)
            making = self._making[target] = asyncio.get_running_loop().create_task(work)
            making.add_done_callback(lambda _: self._making.pop(target, None))
        await asyncio.shield(making)  # others may wait for the same
        return target

    async def _make(self, turn: asyncio.Lock, source: Path, target: Path, channels: int) -> None:
        async with turn, self._room:
            scratch = await asyncio.to_thread(_begin, target)
            if scratch is None:
                return
            try:
                await _convert(source, scratch, target.suffix, channels)
                await asyncio.to_thread(_finish, source, scratch, target)
            finally:
                scratch.unlink(missing_ok=True)


def _begin(target: Path) -> Path | None:
    """Where it is to be made; None if it is made."""
    if target.exists():
        return None
    scratch = target.with_name(f"{target.name}.part")
    os.close(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    return scratch


def _finish(source: Path, scratch: Path, target: Path) -> None:
    scratch.replace(target)
    if not source.exists():  # it was deleted meanwhile
        target.unlink(missing_ok=True)


async def _convert(source: Path, target: Path, suffix: str, channels: int) -> None:
    form = suffix.removeprefix(".")
    program = (sys.executable, "-m", "gateway.recordings.conversion")
    process = await asyncio.create_subprocess_exec(
        *program,
        *(str(source), str(target), form, str(channels)),
        stdin=asyncio.subprocess.DEVNULL,
        env=environment(),
    )
    try:
        async with asyncio.timeout(DEADLINE):
            failed = await process.wait()
    except TimeoutError as error:
        raise Unplayable(
            f"it took longer than {DEADLINE:.0f} s to be made into that form"
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if failed:
        raise Unplayable("it can't be made into that form")

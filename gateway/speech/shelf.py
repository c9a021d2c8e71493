"""Prompts on the disk: files by name, with what is known about each, bounded in octets.

What was used longest ago goes first; what was handed out within the last minute stays, for whoever
plays it has yet to open it. Files come whole, by a rename, and what a crash left half is removed
at the start.
"""

import asyncio
import contextlib
import itertools
import os
import wave
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from gateway.speech.wav import seconds_of

IN_USE: Final = 60.0  # seconds after it was handed out
_SOUND: Final = ".wav"
_ABOUT: Final = ".json"
_SCRATCH: Final = "tmp-"


class Kept(msgspec.Struct):
    """A file that is there; `used` is when it was handed out last, epoch seconds."""

    path: Path
    octets: int
    seconds: float
    about: bytes
    used: float


class Shelf:
    """See the module. `clock` gives epoch seconds; `open` comes first."""

    def __init__(self, folder: Path, *, most: int, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # what was used last comes last
        self._leaving: set[str] = set()
        self._numbers = itertools.count()
        self.octets = 0
        """How much there is."""

    async def open(self) -> None:
        """Make the folder, or find what is in it."""
        for name, kept in await asyncio.to_thread(self._look):
            self._kept[name] = kept
            self.octets += kept.octets

    def find(self, name: str) -> Kept | None:
        """What is there under `name`, which counts as used now."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        now = self._clock()
        try:
            # The time of the file is what a restart goes by.
            os.utime(kept.path, (now, now))
        except OSError:  # somebody took it away
            self._forget(name)
            return None
        kept.used = now
        self._kept.move_to_end(name)
        return kept

    def scratch(self) -> Path:
        """A path for a file that is not whole yet."""
        return self._folder / f"{_SCRATCH}{os.getpid()}-{next(self._numbers)}"

    def put(self, name: str, scratch: Path, seconds: float, about: bytes = b"") -> Kept | None:
        """Keep the file `scratch` under `name`, in place of what was there.

        None if there is no room, because all that is there is in use; `OSError` if the disk is to
        blame. `scratch` is gone after it in any case.
        """
        path = self._folder / f"{name}{_SOUND}"
        try:
            octets = scratch.stat().st_size + len(about)
            if not self._make_room(octets, name):
                return None
            self._forget(name)
            _remove(path.with_suffix(_ABOUT))
            scratch.replace(path)
        finally:
            _remove(scratch)
        now = self._clock()
        self._leaving.discard(name)
        kept = Kept(path=path, octets=octets, seconds=seconds, about=b"", used=now)
        self._kept[name] = kept
        self.octets += octets
        self.note(name, about)
        return kept

    def note(self, name: str, about: bytes) -> None:
        """Keep something else about a file that is there."""
        kept = self._kept.get(name)
        if kept is None or kept.about == about:
            return
        beside = kept.path.with_suffix(_ABOUT)
        scratch = self.scratch()
        scratch.write_bytes(about)
        scratch.chmod(0o600)
        scratch.replace(beside)
        kept.about = about

    def dismiss(self, name: str) -> None:
        """Nobody is to find this one again; its file goes when it is not in use any more."""
        self._leaving.add(name)

    def sweep(self) -> None:
        """Take away what was dismissed."""
        before = self._clock() - IN_USE
        for name in list(self._leaving):
            kept = self._kept.get(name)
            if kept is None or kept.used <= before:
                self._take_away(name)

    def _make_room(self, octets: int, name: str) -> bool:
        replaced = self._kept[name].octets if name in self._kept else 0
        over = self.octets - replaced + octets - self._most
        before = self._clock() - IN_USE
        going = []
        for each, kept in self._kept.items():
            if over <= 0:
                break
            if each != name and not before < kept.used <= before + IN_USE:
                going.append(each)
                over -= kept.octets
        if over > 0:
            return False
        for each in going:
            self._take_away(each)
        return True

    def _take_away(self, name: str) -> None:
        self._leaving.discard(name)
        path = self._folder / f"{name}{_SOUND}"
        self._forget(name)
        _remove(path)
        _remove(path.with_suffix(_ABOUT))

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self.octets -= kept.octets

    def _look(self) -> list[tuple[str, Kept]]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for path in self._folder.iterdir():
            if path.name.startswith(_SCRATCH):
                _remove(path)
            elif path.suffix == _SOUND:
                kept = _read(path)
                if kept is None:
                    _remove(path)
                else:
                    found.append((path.stem, kept))
        return sorted(found, key=lambda each: each[1].used)


def _read(path: Path) -> Kept | None:
    about = b""
    with contextlib.suppress(OSError):
        about = path.with_suffix(_ABOUT).read_bytes()
    try:
        shape = path.stat()
        return Kept(
            path=path,
            octets=shape.st_size + len(about),
            seconds=seconds_of(path),
            about=about,
            used=shape.st_mtime,
        )
    except (OSError, EOFError, wave.Error):
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)

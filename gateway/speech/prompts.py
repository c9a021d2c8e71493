"""Prompts: what `<Say>` and `<Play>` name, as files that can be played, made or fetched once.

Who asks for the same at the same time waits for the same work, and that goes on when they leave.
What was made is kept by its content, what was fetched by its URL, as HTTP allows.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from uuid import uuid4

import msgspec
import structlog

from gateway.calls.documents import Note
from gateway.sids import REQUEST, new_sid
from gateway.speech import wire
from gateway.speech.base import Synthesiser
from gateway.speech.freshness import Freshness, freshness, renewed
from gateway.speech.model import (
    INVALID_PLAY_TYPE,
    INVALID_TEXT,
    INVALID_VOICE,
    TEXT_TOO_LONG,
    Cast,
    NoPrompt,
    Prompt,
    Unspoken,
    Words,
)
from gateway.speech.shelf import Kept, Shelf
from gateway.speech.wav import seconds_of
from gateway.speech.workshop import Workshop
from gateway.webhooks.callbacks import Tokens
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Answer, Failure, Request
from gateway.webhooks.target import shown
from twiml.errors import Level
from twiml.verbs import Say

MOST_TEXT: Final = 4096
"""Characters of one `<Say>`, with a voice of Amazon's `MOST_POLLY`."""

MOST_POLLY: Final = 3000
MOST_SOUND: Final = 40 << 20
"""Octets of one sound as it is fetched."""

_MOST_WORDS: Final = 1 << 16  # with its markup
_HOUSE_VERSION: Final = 1  # of our own sounds: another one is made anew
_NO_ROOM: Final = "the prompts in use fill [speech] max_cache"
# What has one of these has no header of its own to be known by.
_HEADLESS: Final = {
    "audio/basic": "mulaw",
    "audio/ulaw": "mulaw",
    "audio/x-mulaw": "mulaw",
    "audio/gsm": "gsm",
    "audio/x-gsm": "gsm",
}
_ALSO_SOUND: Final = frozenset({"application/ogg"})

_log = structlog.get_logger(__name__)
_decode: Final = msgspec.json.Decoder(Freshness).decode

T = TypeVar("T")


class _Full(Exception):
    """There is no room for another prompt."""


class _Busy(Exception):
    """More is asked for than may wait."""


class Prompts:
    """See the module; `open` comes first, `close` last. `clock` gives epoch seconds."""

    def __init__(
        self,
        folder: Path,
        *,
        synthesiser: Synthesiser,
        workshop: Workshop,
        fetcher: Fetcher,
        tokens: Tokens,
        waiting: int,
        cache: int,
        clock: Callable[[], float],
    ) -> None:
        """`workshop` decodes, `waiting` is how many prompts are made and fetched at once, `cache`
        how many octets of them are kept in `folder`.
        """
        self._folder = folder
        self._synthesiser = synthesiser
        self._workshop = workshop
        self._fetcher = fetcher
        self._tokens = tokens
        self._clock = clock
        self._shelf = Shelf(folder, most=cache, clock=clock)
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._most = waiting
        self._fetched: dict[str, str] = {}  # what is being fetched, and for which account
        self._spoken: dict[str, str] = {}  # what is being spoken

    async def open(self) -> None:
        """Find what there is."""
        try:
            await self._shelf.open()
        except OSError as error:  # calls go on without what they play
            _log.error("prompts can't be kept", folder=str(self._folder), error=str(error))

    async def close(self) -> None:
        """Give up what is under way, and end what belongs to speech."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._synthesiser.close()
        await self._workshop.close()

    @property
    def octets(self) -> int:
        """How much is kept."""
        return self._shelf.octets

    @property
    def under_way(self) -> int:
        """How many prompts are being made or fetched."""
        return len(self._under_way)

    async def say(self, say: Say, account_sid: str) -> Prompt | NoPrompt:
        """What `say` says, once: a `loop` is the player's."""
        wrong = _wrong(say)
        if wrong is not None:
            return wrong
        cast = self._synthesiser.cast(say.voice, say.language)
        notes = tuple(_warning(each.code, each.message) for each in cast.remarks)
        words = Words(text=say.text, ssml=say.ssml)
        name = f"say-{_digest(self._synthesiser.version, cast.voice, cast.language, *_text(words))}"
        kept = self._shelf.find(name)
        if kept is None:
            try:
                if name not in self._under_way:
                    self._begin_speech(name, account_sid)
                made = await self._once(name, lambda: self._speak(name, words, cast))
            except _Busy as error:
                made = Unspoken(reason=str(error))
            if isinstance(made, Unspoken):
                _log.warning("a text was not spoken", reason=made.reason, account=account_sid)
                failed = _warning(INVALID_VOICE, f"the text is not spoken: {made.reason}")
                return NoPrompt(notes=(*notes, failed))
            kept = made
        return Prompt(path=kept.path, seconds=kept.seconds, notes=notes)

    async def sound(self, url: str, account_sid: str) -> Prompt | NoPrompt:
        """The sound at `url`, an absolute one, asked for by GET as the account's."""
        name = f"sound-{_digest(account_sid, url)}"
        kept, known = self._known(name)
        if kept is not None and known.until > self._clock():
            return Prompt(path=kept.path, seconds=kept.seconds)
        try:
            if name not in self._under_way:
                self._begin_fetch(name, account_sid)
            return await self._once(name, lambda: self._fetch(name, url, account_sid))
        except _Busy as error:
            return NoPrompt(notes=(_error(INVALID_PLAY_TYPE, str(error), shown(url)),))

    def _begin_fetch(self, name: str, account_sid: str) -> None:
        """Count a fetch; web servers that hang hold up neither speech nor the sounds of others."""
        own = sum(each == account_sid for each in self._fetched.values())
        if len(self._fetched) * 2 >= self._most or own * 4 >= self._most:
            raise _Busy("too many others are being fetched: try it again later")
        self._fetched[name] = account_sid

    def _begin_speech(self, name: str, account_sid: str) -> None:
        """Count a text; one account takes half of what may wait at most."""
        own = sum(each == account_sid for each in self._spoken.values())
        if own * 2 >= self._most:
            raise _Busy("too many texts of the account are being spoken: try it again later")
        self._spoken[name] = account_sid

    async def music(self) -> Prompt | NoPrompt:
        """The hold music of the house: it goes on where it ends."""
        return await self._of_the_house("music")

    async def beep(self) -> Prompt | NoPrompt:
        """What tells a caller to speak."""
        return await self._of_the_house("beep")

    # -- one piece of work for all who ask for it --------------------------------------------

    async def _once(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if name not in self._under_way and len(self._under_way) >= self._most:
            self._discount(name)
            raise _Busy(f"{self._most} others wait ([speech] max_waiting): try it again later")
        return await self._shared(name, work)

    async def _shared(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task: asyncio.Task[T] | None = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._over(name))
        return await asyncio.shield(task)

    def _over(self, name: str) -> None:
        del self._under_way[name]
        self._discount(name)

    def _discount(self, name: str) -> None:
        self._fetched.pop(name, None)
        self._spoken.pop(name, None)

    # -- speech --------------------------------------------------------------------------------

    async def _speak(self, name: str, words: Words, cast: Cast) -> Kept | Unspoken:
        scratch = self._shelf.scratch()
        try:
            failed = await self._synthesiser.speak(words, cast, scratch)
            if failed is not None:
                return failed
            seconds = await asyncio.to_thread(seconds_of, scratch)
            return self._put(name, scratch, seconds)
        except _Full:
            return Unspoken(reason=_NO_ROOM)
        except OSError as error:
            return Unspoken(reason=_disk(error))
        finally:
            await _removed(scratch)

    def _put(
        self, name: str, scratch: Path, seconds: float, known: Freshness | None = None
    ) -> Kept:
        self._shelf.sweep()
        about = b"" if known is None else msgspec.json.encode(known)
        kept = self._shelf.put(name, scratch, seconds, about)
        if kept is None:
            raise _Full
        return kept

    async def _of_the_house(self, name: str) -> Prompt | NoPrompt:
        name = f"{name}-{_HOUSE_VERSION}"
        kept = self._shelf.find(name)
        if kept is None:
            # There are two of them, and no crowd keeps them from being made.
            made = await self._shared(name, lambda: self._compose(name))
            if isinstance(made, Unspoken):
                _log.warning("a sound of the house could not be made", reason=made.reason)
                return NoPrompt(notes=())
            kept = made
        return Prompt(path=kept.path, seconds=kept.seconds)

    async def _compose(self, name: str) -> Kept | Unspoken:
        scratch = self._shelf.scratch()
        try:
            task = wire.Compose(name=name.partition("-")[0], target=str(scratch))
            made = await self._workshop.ask(task)
            if isinstance(made, wire.Unmade):
                return Unspoken(reason=made.reason)
            return self._put(name, scratch, made.seconds)
        except _Full:
            return Unspoken(reason=_NO_ROOM)
        except OSError as error:
            return Unspoken(reason=_disk(error))
        finally:
            await _removed(scratch)

    # -- sounds ----------------------------------------------------------------------------------

    def _known(self, name: str) -> tuple[Kept | None, Freshness]:
        """What is kept under `name`, and how good it is."""
        kept = self._shelf.find(name)
        if kept is not None and kept.about:
            with contextlib.suppress(msgspec.MsgspecError):
                return kept, _decode(kept.about)
        return kept, Freshness()

    async def _fetch(self, name: str, url: str, account_sid: str) -> Prompt | NoPrompt:
        token = self._tokens.token_of(account_sid)
        if token is None:
            return NoPrompt(notes=())  # the account is closed
        scratch, made = self._shelf.scratch(), self._shelf.scratch()
        try:
            with _Download(scratch) as sink:
                return await self._bring(name, url, account_sid, token, sink, made)
        except _Full:
            reason = _NO_ROOM
        except OSError as error:
            reason = _disk(error)
        finally:
            await _removed(scratch, made)
        return NoPrompt(notes=(_error(INVALID_PLAY_TYPE, reason, shown(url)),))

    async def _bring(
        self, name: str, url: str, account_sid: str, token: str, sink: "_Download", made: Path
    ) -> Prompt | NoPrompt:
        kept, known = self._known(name)
        request = Request(
            url=url,
            method="GET",
            account_sid=account_sid,
            auth_token=token,
            idempotency_token=new_sid(REQUEST, self._clock()),
            conditions=known.conditions if kept is not None else (),
        )
        answer = await self._fetcher.download(request, sink, MOST_SOUND)
        if isinstance(answer, Failure):
            return NoPrompt(notes=(_error(answer.error_code, answer.message, answer.url),))
        now = self._clock()
        if answer.status == 304 and kept is not None:
            again = renewed(known, answer.freshness, now)
            self._shelf.note(name, msgspec.json.encode(again))
            return Prompt(path=kept.path, seconds=kept.seconds)
        return await self._decoded(name, answer, sink, made)

    async def _decoded(
        self, name: str, answer: Answer, sink: "_Download", made: Path
    ) -> Prompt | NoPrompt:
        kind = answer.content_type.partition(";")[0].strip().lower()
        if not kind.startswith("audio/") and kind not in _ALSO_SOUND:
            reason = f"it is {kind or 'of no type'}, and no audio"
            return NoPrompt(notes=(_error(INVALID_PLAY_TYPE, reason, answer.url),))
        sink.close()
        clip = wire.Clip(path=str(sink.path), kind=_HEADLESS.get(kind, ""))
        done = await self._workshop.ask(wire.Decode(pieces=(clip,), target=str(made)))
        if isinstance(done, wire.Unmade):
            reason = f"it says that it is {kind} and can't be played: {done.reason}"
            return NoPrompt(notes=(_error(INVALID_PLAY_TYPE, reason, answer.url),))
        known = freshness(answer.freshness, self._clock())
        if not known.may_be_stored:  # the next one to ask gets a file of its own
            name = f"{name}-{uuid4().hex}"
        kept = self._put(name, made, done.seconds, known)
        if not known.may_be_stored:
            self._shelf.dismiss(name)
        return Prompt(path=kept.path, seconds=kept.seconds)


class _Download:
    """The file that a sound is fetched into: a `Sink`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Download":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self) -> None:
        """See `Sink`."""
        if self._file is None:
            self._file = self.path.open("xb")
            self.path.chmod(0o600)
        self._file.seek(0)
        self._file.truncate()

    def write(self, octets: bytes) -> None:
        """See `Sink`."""
        if self._file is not None:
            self._file.write(octets)

    def close(self) -> None:
        """All of it is there."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _wrong(say: Say) -> NoPrompt | None:
    """Why a text is not spoken, whoever the engine is."""
    most = MOST_POLLY if say.voice.startswith("Polly.") else MOST_TEXT
    if not say.text.strip() and not say.ssml:
        return NoPrompt(notes=(_warning(INVALID_TEXT, "there is nothing to say"),))
    if len(say.text) > most or len(say.ssml) > _MOST_WORDS:
        message = f"the text has {len(say.text)} characters: {most} are the most"
        return NoPrompt(notes=(_warning(TEXT_TOO_LONG, message),))
    return None


def _text(words: Words) -> tuple[str, str]:
    # Space at the ends makes no other sound.
    return ("", words.ssml) if words.ssml else (words.text.strip(), "")


def _digest(*parts: str) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        octets = part.encode("utf-8", "surrogatepass")
        hashed.update(len(octets).to_bytes(8) + octets)
    return hashed.hexdigest()[:40]


def _warning(code: int, message: str) -> Note:
    return Note(error_code=code, level=Level.WARNING, message=message)


def _error(code: int, message: str, url: str) -> Note:
    return Note(error_code=code, level=Level.ERROR, message=message, url=url)


def _disk(error: OSError) -> str:
    _log.error("a prompt can't be kept", error=str(error))
    return f"it can't be kept: {error.strerror or error}"


def _removed(*paths: Path) -> Awaitable[None]:
    def remove() -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    return asyncio.to_thread(remove)

"""What a document may ask of any call, whoever's: to wait, to be heard, to fetch, report and note.

What takes time runs in the call's scope under the number of the asking; its event is given to the
interpreter when it is done, and not at all after `stop`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from gateway.calls import documents, tables
from gateway.calls.ahead import Ahead, Maker
from gateway.calls.documents import Documents, Exchange, Note, NotObtained
from gateway.calls.line import Line
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.prompting import Prompting
from gateway.calls.scope import untie
from gateway.webhooks.instructions import Fallback
from gateway.webhooks.target import shown
from twiml.call import Event, Fetched, NotFetched, Paused, Prompted
from twiml.errors import Finding
from twiml.outcome import Goto
from twiml.runner import Runner
from twiml.verbs import Play, Say

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Mouth(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears what a document says: the leg that `leg` gives, once `ready` has returned."""

    maker: Maker
    media: CallMedia
    leg: Callable[[], str]
    ready: Callable[[], Awaitable[None]]


class Hands:
    """See the module; `spawn` runs what takes time, `errand` what goes on when the call is over."""

    def __init__(
        self,
        line: Line,
        *,
        documents: Documents,
        clock: Callable[[], float],
        spawn: Spawn,
        errand: Spawn,
        give: Callable[[Event], None],
        mouth: Mouth,
    ) -> None:
        self.line = line
        self._documents = documents
        self._fallback: Fallback | None = None
        self._clock = clock
        self._spawn = spawn
        self._errand = errand
        self._give = give
        self._mouth = mouth
        self._prompting: Prompting | None = None
        self._ahead: Ahead | None = None
        self._asked: dict[int, asyncio.Task[None]] = {}

    @property
    def prompting(self) -> Prompting:
        """What lets the leg hear, made when anything is to be heard."""
        if self._prompting is None:
            mouth = self._mouth
            self._prompting = Prompting(
                maker=mouth.maker,
                media=mouth.media,
                leg=mouth.leg,
                account_sid=self.line.call.account_sid,
                keep=self.keep,
                ready=mouth.ready,
            )
        return self._prompting

    def fall_back_to(self, fallback: Fallback) -> None:
        """Ask this from now on where a document's URL fails."""
        self._fallback = fallback

    def pause(self, ask: int, seconds: int) -> None:
        """See `twiml.call.Call`."""
        self._begin(ask, self._pause(ask, seconds))

    def say(self, ask: int, say: Say) -> None:
        """See `twiml.call.Speaking`."""
        make = self._prompts().take(say)
        self._begin(ask, self._prompt(ask, partial(self.prompting.say, say, make)))

    def play(self, ask: int, play: Play) -> None:
        """See `twiml.call.Speaking`."""
        make = None if play.digits else self._prompts().take(play)
        self._begin(ask, self._prompt(ask, partial(self.prompting.play, play, make)))

    def foresee(self, prompt: Say | Play | None) -> None:
        """See `twiml.call.Running`."""
        if prompt is not None or self._ahead is not None:
            self._prompts().foresee(prompt)

    def echo(self, ask: int) -> None:
        """See `twiml.call.Sending`."""
        self._begin(ask, self._echo())

    def fetch(self, ask: int, goto: Goto) -> None:
        """See `twiml.call.Call`."""
        self._begin(ask, self._fetch(ask, goto))

    def report(self, goto: Goto) -> None:
        """See `twiml.call.Call`."""
        self._errand(self._report(goto))

    def stop(self, ask: int) -> None:
        """See `twiml.call.Call`."""
        task = self._asked.pop(ask, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Let go of all that was asked for; errands go on."""
        for task in list(self._asked.values()):
            task.cancel()
        self.foresee(None)

    def part(self, runner: Runner) -> None:
        """Be closed; who runs a document by it is free as soon as nothing is at work for it."""
        asked = list(self._asked.values())
        self.close()
        idle = asyncio.gather(*asked, return_exceptions=True)
        idle.add_done_callback(lambda _: self._let_go(runner))

    def _let_go(self, runner: Runner) -> None:
        self._prompting = None  # which knows it
        untie(runner)

    def note(self, finding: Finding) -> None:
        """See `twiml.call.Call`."""
        self.keep(documents.found((finding,)))

    def _prompts(self) -> Ahead:
        """Those that are made before their turn."""
        if self._ahead is None:
            account_sid = self.line.call.account_sid
            self._ahead = Ahead(self._mouth.maker, account_sid, self._spawn)
        return self._ahead

    def _begin(self, ask: int, work: Coroutine[Any, Any, None]) -> None:
        task = self._asked[ask] = self._spawn(work)
        task.add_done_callback(lambda _: self._asked.pop(ask, None))

    async def _pause(self, ask: int, seconds: int) -> None:
        await asyncio.sleep(seconds)
        self._give(Paused(ask=ask))

    async def _prompt(self, ask: int, prompt: Callable[[], Awaitable[bool]]) -> None:
        try:
            is_heard = await prompt()
        except NoMedia:  # the leg is gone, or its place among the media: that is told otherwise
            return
        self._give(Prompted(ask=ask, is_heard=is_heard))

    async def _echo(self) -> None:
        mouth = self._mouth
        await mouth.ready()
        leg = mouth.leg()
        mouth.media.echo(leg)
        try:
            await asyncio.Event().wait()
        finally:
            mouth.media.part(leg)

    async def _fetch(self, ask: int, goto: Goto) -> None:
        line, began = self.line, self._clock()
        line.hasten()
        try:
            found = await self._documents.fetch(line.call, goto, self._fallback, extra=line.extra)
        except asyncio.CancelledError:  # the call went on, or ended, before the app had answered
            self.keep((), (unanswered(goto, began, self._clock()),))
            raise
        self.keep(found.notes, found.exchanges)
        if isinstance(found, NotObtained):
            self._give(NotFetched(ask=ask))
        else:
            self._give(Fetched(ask=ask, document=found.document, base=found.base))

    async def _report(self, goto: Goto) -> None:
        self.line.hasten()
        told = await self._documents.report(self.line.call, goto, extra=self.line.extra)
        self.keep(told.notes, told.exchanges)

    def keep(self, notes: Sequence[Note], exchanges: Sequence[Exchange] = ()) -> None:
        """Keep what an app was asked and answered, and what its developer should know."""
        if not notes and not exchanges:
            return
        call = self.line.call
        writes = documents.written(call, notes, self._clock()) if notes else []
        if exchanges:
            writes.append(tables.exchanges_kept(call.sid, exchanges))
        self.line.note(writes)


def unanswered(goto: Goto, began: float, now: float) -> Exchange:
    """That a document was asked for which nobody waits for any more."""
    return Exchange(
        at=began, url=shown(goto.url), method=goto.method, status=0, elapsed=now - began
    )


class Handed:
    """What every `twiml.call.Call` here leaves to its hands."""

    _hands: Hands

    def clock(self) -> float:
        """See `twiml.call.Running`."""
        return asyncio.get_running_loop().time()

    def pause(self, ask: int, seconds: int) -> None:
        """See `twiml.call.Call`."""
        self._hands.pause(ask, seconds)

    def say(self, ask: int, say: Say) -> None:
        """See `twiml.call.Speaking`."""
        self._hands.say(ask, say)

    def play(self, ask: int, play: Play) -> None:
        """See `twiml.call.Speaking`."""
        self._hands.play(ask, play)

    def foresee(self, prompt: Say | Play | None) -> None:
        """See `twiml.call.Running`."""
        self._hands.foresee(prompt)

    def echo(self, ask: int) -> None:
        """See `twiml.call.Sending`."""
        self._hands.echo(ask)

    def fetch(self, ask: int, goto: Goto) -> None:
        """See `twiml.call.Call`."""
        self._hands.fetch(ask, goto)

    def report(self, goto: Goto) -> None:
        """See `twiml.call.Call`."""
        self._hands.report(goto)

    def stop(self, ask: int) -> None:
        """See `twiml.call.Call`."""
        self._hands.stop(ask)

    def note(self, finding: Finding) -> None:
        """See `twiml.call.Call`."""
        self._hands.note(finding)

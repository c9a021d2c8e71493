"""A call on a held clock: it plays sounds of known lengths, takes keys at times, and dials, records
and queues as it was told to, so that what a document does can be read off as a timeline.

It holds whoever runs documents to the order of things: one thing is asked for at a time, and
nothing when the call is over. `left` is what was asked for and has not ended.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from itertools import count

import msgspec

from twiml.call import (
    DialEnded,
    DialStatus,
    Ending,
    Event,
    Fetched,
    FullCall,
    HungUp,
    KeyPressed,
    NotFetched,
    Paused,
    Prompted,
    QueueLeft,
    QueueResult,
    Recorded,
    RecordEnd,
    Referred,
    ReferStatus,
    Texted,
)
from twiml.errors import Finding, ParseFailure
from twiml.outcome import Goto
from twiml.parser import Document, parse
from twiml.runner import Runner
from twiml.verbs import (
    Dial,
    Enqueue,
    Play,
    Record,
    Refer,
    RejectReason,
    Say,
    Sms,
    StartRecording,
    VoiceVerb,
)
from twiml.voice import Interpreter, Part, Pickup, aside_verbs, call_verbs, whisper_verbs
from twiml.voice_dialect import ALL_VOICE

BASE = "https://app.example.com/voice/in"

Page = str | tuple[VoiceVerb, ...]
"""A document, as an app writes it or as its verbs."""

_VERBS = {Part.CALL: call_verbs, Part.WHISPER: whisper_verbs, Part.ASIDE: aside_verbs}
# A tone of <Play digits>, and its pauses.
_DIGITS = {"w": 0.5, "W": 1.0}
_DIGIT = 0.25


class Heard(msgspec.Struct, frozen=True):
    """What was heard, from when to when; `until` is None while it goes on."""

    what: str
    since: float
    until: float | None


class Asked(msgspec.Struct, frozen=True):
    """A URL that was asked, for a document or to be told."""

    at: float
    url: str
    method: str
    parameters: dict[str, str]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a call.

    `sounds` are lengths of texts and files, a second each if not said. `app` has documents by URL;
    `latency` is how long it takes. `keys` are pressed at their times. Somebody who is recorded
    speaks until `speaks_until`. Who is dialled does as `dialled`, after `dial_takes`, and so on.
    """

    sounds: Mapping[str, float] = {}
    unheard: frozenset[str] = frozenset()
    app: Mapping[str, Page] = {}
    latency: float = 0.0
    keys: tuple[tuple[float, str], ...] = ()
    speaks_until: float = 0.0
    dialled: DialEnded = DialEnded(
        ask=0, status=DialStatus.COMPLETED, call_sid="CA2", duration=7, bridged=True
    )
    dial_takes: float = 10.0
    queued: QueueLeft = QueueLeft(ask=0, result=QueueResult.BRIDGED, queue_sid="QU1", seconds=20)
    queue_takes: float = 20.0
    texted: Texted = Texted(ask=0, status="queued", message_sid="SM1")
    text_takes: float = 0.5
    referred: Referred = Referred(
        ask=0, status=ReferStatus.COMPLETED, sip_code=202, notify_code=200
    )
    refer_takes: float = 2.0


class FakeCall(FullCall):
    """See the module."""

    def __init__(
        self,
        world: World | None = None,
        *,
        part: Part = Part.CALL,
        pickup: Pickup = Pickup.ANSWERED,
        runner: Callable[["FakeCall"], Runner] | None = None,
    ) -> None:
        self.world = world or World()
        self.now = 0.0
        self.timeline: list[tuple[float, str]] = []
        self.heard: list[Heard] = []
        self.asked: list[Asked] = []
        self.reported: list[Asked] = []
        self.findings: list[Finding] = []
        self.says: list[Say] = []
        self.foreseen: list[tuple[float, Say | Play]] = []
        self.ahead: Say | Play | None = None
        self.dials: list[Dial] = []
        self.records: list[Record] = []
        self.starts: list[StartRecording] = []
        self.enqueues: list[Enqueue] = []
        self.texts: list[Sms] = []
        self.refers: list[Refer] = []
        self.is_over = False
        self.is_gone = False
        self.left: dict[int, str] = {}
        self._ends: dict[int, Event] = {}  # what a hang-up or a stop gives later, by its ask
        self._recording: dict[int, float] = {}  # since when
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        for at, keys in self.world.keys:
            for key in keys:
                self._at(at, lambda key=key: self.runner.on(KeyPressed(key=key)))
        self.runner: Runner = (
            Interpreter(self, pickup=pickup, part=part, verbs=_VERBS[part](self))
            if runner is None
            else runner(self)
        )

    # The clock

    def step(self) -> bool:
        """Let the next thing happen; whether there was any."""
        if not self._due:
            return False
        self.now, _, happen = heapq.heappop(self._due)
        happen()
        return True

    def until(self, seconds: float) -> "FakeCall":
        """Let all happen until then."""
        while self._due and self._due[0][0] <= seconds:
            self.step()
        self.now = seconds
        return self

    def play_out(self, steps: int = 1000) -> "FakeCall":
        """Let all happen; what never ends is an error."""
        for _ in range(steps):
            if not self.step():
                return self
        raise AssertionError(f"it goes on and on: {self.timeline[-20:]}")

    # What a test does

    def runs(self, *page: VoiceVerb | str, base: str = BASE) -> "FakeCall":
        """Give it a document, of text or of verbs."""
        self.runner.run(document_of(page), base)
        return self

    def hang_up_by_party(self) -> None:
        """Whoever called hangs up, or REST ends the call: all that was asked for is let go of."""
        self.is_gone = True
        self._quiet()
        self.runner.on(HungUp())
        for ask in list(self.left):
            self._drop(ask, _GONE)

    def times(self, what: str) -> list[float]:
        """When this was asked for."""
        return [at for at, each in self.timeline if each == what]

    # What documents ask

    def clock(self) -> float:
        return self.now

    def answer(self) -> None:
        self._log("answer")

    def reject(self, reason: RejectReason) -> None:
        self._over(f"reject {reason}")

    def hang_up(self, ending: Ending) -> None:
        self._over(f"hang up {ending}")

    def connect(self) -> None:
        self._over("connect")

    def leave(self) -> None:
        self._over("leave")

    def pause(self, ask: int, seconds: int) -> None:
        self._asks(ask, f"pause {seconds}")
        self._ends_in(seconds, Paused(ask=ask))

    def say(self, ask: int, say: Say) -> None:
        self.says.append(say)
        shown = " ".join(each for each in (say.voice, say.language, say.text) if each)
        self._sound(ask, "say", shown, say.text, say.loop)

    def play(self, ask: int, play: Play) -> None:
        if play.digits:
            seconds = sum(_DIGITS.get(each, _DIGIT) for each in play.digits)
            self._sound(ask, "press", play.digits, play.digits, play.loop, seconds)
        else:
            self._sound(ask, "play", play.url, play.url, play.loop)

    def foresee(self, prompt: Say | Play | None) -> None:
        assert not self.is_over and not self.is_gone
        if prompt is not None:
            self.foreseen.append((self.now, prompt))
        self.ahead = prompt

    def dial(self, ask: int, dial: Dial) -> None:
        self.dials.append(dial)
        self._asks(ask, "dial")
        self._ends[ask] = DialEnded(ask=ask, status=DialStatus.CANCELED, call_sid="CA2")
        ended = msgspec.structs.replace(self.world.dialled, ask=ask)
        self._ends_in(min(self.world.dial_takes, dial.time_limit), ended)

    def record(self, ask: int, record: Record) -> None:
        self.records.append(record)
        self._asks(ask, "record")
        self._recording[ask] = self.now
        silent_from = max(self.now, self.world.speaks_until)
        silence, limit = silent_from + record.timeout, self.now + record.max_length
        end = RecordEnd.SILENCE if silence < limit else RecordEnd.LIMIT
        self._at(min(silence, limit), lambda: self._recorded(ask, end))

    def finish(self, ask: int) -> None:
        assert ask in self.left
        self._log("finish")
        self._at(self.now, lambda: self._recorded(ask, RecordEnd.FINISHED))

    def start_recording(self, start: StartRecording) -> None:
        self.starts.append(start)
        self._log("start recording")

    def stop_recording(self) -> None:
        self._log("stop recording")

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        self.enqueues.append(enqueue)
        self._asks(ask, f"enqueue {enqueue.name}")
        queue = self.world.queued.queue_sid
        self._ends[ask] = QueueLeft(ask=ask, result=QueueResult.REDIRECTED, queue_sid=queue)
        left = msgspec.structs.replace(self.world.queued, ask=ask)
        self._ends_in(self.world.queue_takes, left)

    def text(self, ask: int, sms: Sms) -> None:
        self.texts.append(sms)
        self._asks(ask, "text")
        self._ends_in(self.world.text_takes, msgspec.structs.replace(self.world.texted, ask=ask))

    def refer(self, ask: int, refer: Refer) -> None:
        self.refers.append(refer)
        self._asks(ask, "refer")
        referred = msgspec.structs.replace(self.world.referred, ask=ask)
        self._ends[ask] = referred
        self._ends_in(self.world.refer_takes, referred)

    def echo(self, ask: int) -> None:
        self._asks(ask, "echo")

    def fetch(self, ask: int, goto: Goto) -> None:
        self._asks(ask, f"fetch {goto.url}")
        self.asked.append(self._of(goto))
        page = self.world.app.get(goto.url)
        fetched: Event = (
            NotFetched(ask=ask)
            if page is None
            else Fetched(ask=ask, document=document_of(page), base=goto.url)
        )
        self._ends_in(self.world.latency, fetched)

    def report(self, goto: Goto) -> None:
        self.reported.append(self._of(goto))

    def stop(self, ask: int) -> None:
        assert ask in self.left, "only what was asked for is stopped"
        assert not self.is_over
        self._log(f"stop {self.left[ask]}")
        self._quiet()
        self._drop(ask, {})

    def note(self, finding: Finding) -> None:
        self.findings.append(finding)

    # Inside

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._number), happen))

    def _log(self, what: str) -> None:
        assert not self.is_over, f"{what}: asked of a call that was told to end"
        assert not self.is_gone, f"{what}: asked of a call that is over"
        self.timeline.append((self.now, what))

    def _asks(self, ask: int, what: str) -> None:
        assert not self.left, f"{what}: {self.left} is under way"
        self._log(what)
        self.left[ask] = what

    def _over(self, what: str) -> None:
        assert not self.left, f"{what}: {self.left} is under way"
        self._log(what)
        self.is_over = True

    def _ends_in(self, seconds: float, event: Event) -> None:
        assert not isinstance(event, HungUp | KeyPressed)
        ask = event.ask

        def end() -> None:
            if self.left.pop(ask, None) is not None:
                self._ends.pop(ask, None)
                self._quiet()
                self.runner.on(event)

        self._at(self.now + seconds, end)

    def _sound(
        self, ask: int, how: str, shown: str, key: str, loop: int, seconds: float = 1.0
    ) -> None:
        self._asks(ask, f"{how} {shown}")
        if key in self.world.unheard:
            self._ends_in(0.0, Prompted(ask=ask, is_heard=False))
            return
        self.heard.append(Heard(shown, self.now, None))
        if loop:
            self._ends_in(loop * self.world.sounds.get(key, seconds), Prompted(ask=ask))

    def _quiet(self) -> None:
        if self.heard and self.heard[-1].until is None:
            self.heard[-1] = msgspec.structs.replace(self.heard[-1], until=self.now)

    def _recorded(self, ask: int, end: RecordEnd) -> None:
        if self.left.pop(ask, None) is not None:
            self.runner.on(self._recording_of(ask, end))

    def _recording_of(self, ask: int, end: RecordEnd) -> Recorded:
        began = self._recording.pop(ask)
        if self.world.speaks_until <= began:
            return Recorded(ask=ask, end=end)
        duration = int(self.now - began)
        return Recorded(ask=ask, end=end, sid="RE1", url="https://r/RE1", duration=duration)

    def _drop(self, ask: int, changed: Mapping[type, dict[str, object]]) -> None:
        """What was asked for ends by a stop or a hang-up; a late event of it may come."""
        del self.left[ask]
        late = self._ends.pop(ask, None)
        if ask in self._recording and self.is_gone:
            late = self._recording_of(ask, RecordEnd.HANGUP)
        if late is not None:
            late = msgspec.structs.replace(late, **changed.get(type(late), {}))
            self._at(self.now, lambda: self.runner.on(late))

    def _of(self, goto: Goto) -> Asked:
        assert goto.url.startswith("https://"), goto
        return Asked(self.now, goto.url, goto.method, dict(goto.parameters))


_GONE: Mapping[type, dict[str, object]] = {QueueLeft: {"result": QueueResult.HANGUP}}


def document_of(page: Page | Iterable[VoiceVerb | str]) -> Document[VoiceVerb]:
    """The document that a page is."""
    verbs: list[VoiceVerb] = []
    for each in [page] if isinstance(page, str) else page:
        if isinstance(each, str):
            read = parse(each.encode(), "text/xml", ALL_VOICE)
            assert not isinstance(read, ParseFailure), read
            verbs += read.verbs
        else:
            verbs.append(each)
    return Document(verbs=tuple(verbs))


def run(
    *page: VoiceVerb | str,
    world: World | None = None,
    part: Part = Part.CALL,
    pickup: Pickup = Pickup.ANSWERED,
) -> FakeCall:
    """A call in which a document has been run to its end."""
    return FakeCall(world, part=part, pickup=pickup).runs(*page).play_out()

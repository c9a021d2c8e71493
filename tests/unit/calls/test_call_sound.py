"""What a call lets be heard and records, on a plane that is held in the hand."""

import asyncio
import wave
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.calls.documents import Note
from gateway.calls.info_keys import Key
from gateway.calls.keeping import Keeping
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.prompting import Prompting
from gateway.calls.recording import MOST, Tapes, of_dial, of_record, of_start
from gateway.calls.taking import Takes
from gateway.media.graph import File, Graph, Leg, Player, Recorder
from gateway.media.wire import Applied, Place, PlayerEnded, Pressed, RecordingEnded
from gateway.messages import notifications
from gateway.recordings import tables
from gateway.recordings.book import Book
from gateway.recordings.files import Files
from gateway.recordings.model import Recording, RecordingSource, RecordingStatus, Told, Wanted
from gateway.speech.model import NoPrompt, Prompt
from gateway.webhooks.callbacks import Patience
from twiml.call import Event, Recorded, RecordEnd
from twiml.errors import Level
from twiml.nouns import RecordingEvent, RecordingTrack, RecordMode, Trim
from twiml.verbs import Dial, Play, Record, Say, StartRecording

CALL = Call(
    account_sid="AC1",
    sid="CA1",
    direction=CallDirection.INBOUND,
    status=CallStatus.IN_PROGRESS,
    from_address="+15550002000",
    to_address="+15550001000",
    date_created=0.0,
    date_updated=0.0,
)
LEG = "CA1.1"
NOTE = Note(error_code=13511, level=Level.WARNING, message="another voice")


class Plane:
    """Makes every graph true at once; `graph` is the last one."""

    def __init__(self) -> None:
        self.graph = Graph(call="CA1", version=0)
        self.pressed: list[str] = []
        self.is_broken = False

    def open(self, call: str) -> None:
        return None

    def apply(self, graph: Graph) -> "asyncio.Future[Any]":
        self.graph = graph
        done = asyncio.get_running_loop().create_future()
        places = {LEG: Place(address=("127.0.0.1", 2), control=3)}
        done.set_result(Applied(call=graph.call, version=graph.version, places=places))
        return done

    def press(self, call: str, leg: str, digits: str, duration: float = 0.1) -> None:
        self.pressed.append(digits)

    async def end(self, call: str) -> None:
        if self.is_broken:
            raise OSError("the worker is gone")
        self.graph = Graph(call="CA1", version=0)

    def nodes(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.graph.nodes if isinstance(each, kind)]


class Store:
    """Takes every commit."""

    def __init__(self) -> None:
        self.took: list[Any] = []

    def commit(self, writes: Any, fence: Any = None) -> "asyncio.Future[None]":
        self.took += writes
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Maker:
    """Makes the prompt that it has."""

    def __init__(self, prompt: Prompt | NoPrompt) -> None:
        self.prompt = prompt

    async def say(self, say: Say, account_sid: str) -> Prompt | NoPrompt:
        return self.prompt

    async def sound(self, url: str, account_sid: str) -> Prompt | NoPrompt:
        return self.prompt

    async def beep(self) -> Prompt | NoPrompt:
        return self.prompt


async def turn() -> None:
    """Let everything that is due happen."""
    for _ in range(10):
        await asyncio.sleep(0)


def task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work)


class World:
    def __init__(self, folder: Path) -> None:
        self.plane = Plane()
        self.keys: list[tuple[str, str]] = []
        plane: Any = self.plane
        self.media = CallMedia(plane, "CA1", lambda leg, key: self.keys.append((leg, key.digit)))
        store: Any = Store()
        self.store = store
        self.files = Files(folder)
        self.book = Book(
            store=store,
            files=self.files,
            base=lambda: "https://api.example",
            patience=Patience(retry_for=60.0),
            clock=lambda: 1000.0,
            owner="w",
        )
        self.tapes = Tapes(
            self.book,
            call=lambda: CALL,
            media=self.media,
            keeping=Keeping(store, lambda: None, lambda job: None, "CA1"),
            leg=lambda: LEG,
            errand=task,
        )
        self.notes: list[Note] = []
        self.given: list[Event] = []
        self.prompting = self.speaker(Prompt(path=Path("/p.wav"), seconds=1.0, notes=(NOTE,)))
        self.takes = Takes(
            self.tapes,
            prompting=self.prompting,
            beep=Maker(Prompt(path=Path("/beep.wav"), seconds=0.4, notes=())).beep,
            spawn=task,
            give=self.given.append,
        )

    def speaker(self, prompt: Prompt | NoPrompt) -> Prompting:
        async def ready() -> None:
            pass

        return Prompting(
            maker=Maker(prompt),
            media=self.media,
            leg=lambda: LEG,
            account_sid="AC1",
            keep=self.notes.extend,
            ready=ready,
        )

    async def begin(self) -> "World":
        await self.media.place(Leg(id=LEG, host="127.0.0.1", signalling="127.0.0.1"))
        return self

    def played(self, fault: str = "") -> None:
        (player,) = self.plane.nodes(Player)
        self.media.played(PlayerEnded(call="CA1", player=player.id, fault=fault))

    def recorded(self, seconds: float, cause: str, *, spoke: bool = True, at: int = 0) -> None:
        recorder = (self.plane.nodes(Recorder) or [None])[at]
        sid = recorder.id if recorder else self.last
        self.media.recorded(
            RecordingEnded(call="CA1", recorder=sid, seconds=seconds, cause=cause, spoke=spoke)
        )

    last = ""


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path).begin()


@pytest.mark.parametrize(
    "ask",
    [
        lambda prompting: prompting.say(Say(text="Hello", loop=3)),
        lambda prompting: prompting.play(Play(url="https://a.example/b.wav", loop=3)),
    ],
    ids=["say", "play"],
)
async def test_a_prompt_is_a_player_until_it_ends(
    world: World, ask: Callable[[Prompting], Coroutine[Any, Any, bool]]
) -> None:
    heard = asyncio.create_task(ask(world.prompting))
    await turn()
    (player,) = world.plane.nodes(Player)
    assert (player.clips, player.loop) == ((File(path="/p.wav"),), 3)
    assert [(each.source, each.hearer) for each in world.plane.graph.joins] == [(player.id, LEG)]
    assert world.notes == [NOTE]
    world.played()
    assert await heard is True
    await turn()
    assert world.plane.nodes(Player) == []


async def test_a_prompt_is_hushed_at_once_when_nobody_waits_for_it(world: World) -> None:
    heard = asyncio.create_task(world.prompting.say(Say(text="Hello")))
    await turn()
    heard.cancel()
    await turn()
    assert world.plane.nodes(Player) == [] and world.plane.graph.joins == ()


async def test_what_can_not_be_played_is_noted_and_was_not_heard(world: World) -> None:
    heard = asyncio.create_task(world.prompting.say(Say(text="Hello")))
    await turn()
    world.played("the file is gone")
    assert await heard is False
    assert [each.error_code for each in world.notes] == [13511, 13420]
    nothing = world.speaker(NoPrompt(notes=(NOTE,)))
    assert await nothing.say(Say(text="Hello")) is False


async def test_digits_are_pressed_and_awaited(world: World) -> None:
    pressed = asyncio.create_task(world.prompting.play(Play(digits="1w2")))
    await turn()
    assert world.plane.pressed == ["1w2"] and not pressed.done()
    world.media.pressed(Pressed(call="CA1", leg=LEG).leg)
    assert await pressed is True


async def test_a_leg_that_is_gone_hears_nothing(world: World) -> None:
    world.media.remove(LEG)
    with pytest.raises(NoMedia):
        await world.prompting.say(Say(text="Hello"))


async def test_keys_are_told_whoever_hears_them_and_listened_for_while_nobody_does(
    world: World,
) -> None:
    world.media.heard_key(LEG, Key(digit="1"))
    world.media.told_key(LEG, Key(digit="2"))
    assert world.keys == [(LEG, "1"), (LEG, "2")]
    assert [each.listens_for_keys for each in world.plane.nodes(Leg)] == [True]
    world.media.echo(LEG)
    await turn()
    assert [each.listens_for_keys for each in world.plane.nodes(Leg)] == [False]
    assert [(each.source, each.hearer) for each in world.plane.graph.joins] == [(LEG, LEG)]


async def test_a_message_is_recorded_after_the_beep_with_what_its_verb_says(world: World) -> None:
    world.takes.record(1, Record(timeout=3, max_length=60, trim=Trim.TRIM_SILENCE))
    await turn()
    assert world.plane.nodes(Player)[0].clips == (File(path="/beep.wav"),)
    assert world.plane.nodes(Recorder) == []
    world.played()
    await turn()
    (recorder,) = world.plane.nodes(Recorder)
    assert (recorder.of, recorder.silence, recorder.limit) == (LEG, 3.0, 60.0)
    assert (recorder.track, recorder.channels, recorder.trims) == ("inbound", 1, True)
    world.recorded(4.4, "silence")
    await turn()
    assert world.given == [
        Recorded(
            ask=1,
            end=RecordEnd.SILENCE,
            sid=recorder.id,
            url=f"https://api.example/2010-04-01/Accounts/AC1/Recordings/{recorder.id}",
            duration=4,
        )
    ]


@pytest.mark.parametrize(
    ("cause", "spoke", "end", "is_there"),
    [
        ("limit", True, RecordEnd.LIMIT, True),
        ("silence", False, RecordEnd.SILENCE, False),
        ("removed", True, RecordEnd.HANGUP, True),
    ],
)
async def test_what_ended_a_message_is_told(
    world: World, cause: str, spoke: bool, end: RecordEnd, is_there: bool
) -> None:
    world.takes.record(1, Record(play_beep=False))
    await turn()
    world.recorded(2.0, cause, spoke=spoke)
    await turn()
    (given,) = world.given
    assert isinstance(given, Recorded)
    assert (given.end, bool(given.sid), bool(given.url)) == (end, is_there, is_there)


async def test_a_key_ends_a_message_whether_it_has_begun_or_not(world: World) -> None:
    world.takes.record(1, Record())
    await turn()
    world.takes.finish(1)
    await turn()
    assert world.given == [Recorded(ask=1, end=RecordEnd.FINISHED)]
    assert world.plane.nodes(Player) == []
    world.takes.record(2, Record(play_beep=False))
    await turn()
    (recorder,) = world.plane.nodes(Recorder)
    world.takes.finish(2)
    await turn()
    assert world.plane.nodes(Recorder) == []
    world.last = recorder.id
    world.recorded(1.0, "removed")
    await turn()
    assert [each.end for each in world.given if isinstance(each, Recorded)] == [
        RecordEnd.FINISHED
    ] * 2


async def test_a_message_that_is_let_go_of_is_kept_and_not_told(world: World) -> None:
    world.takes.record(1, Record(play_beep=False))
    await turn()
    (recorder,) = world.plane.nodes(Recorder)
    world.takes.stop(1)
    world.last = recorder.id
    await turn()
    world.recorded(1.0, "removed")
    await turn()
    assert world.given == [] and world.tapes.running() == []
    assert world.files.path("AC1", recorder.id).exists()


async def test_what_runs_beside_a_call_is_paused_and_stopped(world: World) -> None:
    world.takes.start_recording(StartRecording())
    await turn()
    (recorder,) = world.plane.nodes(Recorder)
    assert (recorder.channels, recorder.track) == (2, "both")
    assert world.tapes.move(recorder.id, RecordingStatus.PAUSED, skips=True)
    await turn()
    (paused,) = world.plane.nodes(Recorder)
    assert (paused.is_paused, paused.skips) == (True, True)
    world.tapes.move(recorder.id, RecordingStatus.IN_PROGRESS)
    await turn()
    assert world.plane.nodes(Recorder)[0].is_paused is False
    world.takes.stop_recording()
    world.takes.stop_recording()
    await turn()
    assert world.plane.nodes(Recorder) == []
    assert [each.status for each in world.tapes.running()] == [RecordingStatus.STOPPED]
    assert not world.tapes.move("RE9", RecordingStatus.PAUSED)


async def test_a_recording_whose_worker_died_ends_with_its_file(world: World) -> None:
    ended: list[Recording] = []
    wanted = Wanted(source=RecordingSource.DIAL_VERB)
    sid = world.tapes.begin(wanted, lambda recording, event: ended.append(recording))
    with wave.open(str(world.files.path("AC1", sid)), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000))
    world.plane.is_broken = True
    with pytest.raises(OSError, match="gone"):
        await world.media.close()  # and nothing was told of the recorder
    await turn()
    (recording,) = ended
    assert (recording.status, recording.duration) == (RecordingStatus.COMPLETED, 1.0)


async def test_a_call_is_recorded_so_often_and_not_more(world: World) -> None:
    wanted = Wanted(source=RecordingSource.START_CALL_API)
    sids = [world.tapes.begin(wanted) for _ in range(MOST + 1)]
    assert len(set(sids)) == MOST + 1 and sids[-1] == ""
    await turn()
    assert len(world.plane.nodes(Recorder)) == MOST


def troubles(world: World) -> list[object]:
    """The codes of the notifications that were kept."""
    return [row[3] for kind, row in world.store.took if kind is notifications.INSERT]


def absent(world: World) -> list[object]:
    """The codes of the recordings that were kept without anything in them."""
    rows = [row for kind, row in world.store.took if kind is tables.INSERT]
    status, code = (tables.COLUMNS.index(name) for name in ("status", "error_code"))
    return [row[code] for row in rows if row[status] == "absent"]


async def test_an_app_is_told_of_a_recording_that_is_one_too_many(world: World) -> None:
    told = Told(url="https://a.example/taped", events=(RecordingEvent.ABSENT,))
    wanted = Wanted(source=RecordingSource.START_CALL_TWIML, told=told)
    for _ in range(MOST + 1):
        world.tapes.begin(wanted)
    await turn()
    assert (troubles(world), absent(world)) == ([16108], [16108])
    (job,) = (row for _, row in world.store.took if "RecordingUrl" in str(row))
    assert "ErrorCode" in str(job)
    world.tapes.begin(wanted, sid="RE1")  # over REST, which says it
    await turn()
    assert (troubles(world), absent(world)) == ([16108] * 2, [16108])


async def test_an_app_is_told_that_the_disk_has_failed(world: World, tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("no folder")
    assert world.tapes.begin(Wanted(source=RecordingSource.DIAL_VERB)) == ""
    await turn()
    assert (troubles(world), absent(world)) == ([12400], [12400])
    assert str(tmp_path) not in str(world.store.took)


async def test_an_app_is_told_that_a_recording_is_not_whole(world: World) -> None:
    sid = world.tapes.begin(Wanted(source=RecordingSource.DIAL_VERB))
    await turn()
    world.media.recorded(
        RecordingEnded(
            call="CA1", recorder=sid, seconds=0.0, cause="fault", spoke=False, fault="no room"
        )
    )
    await turn()
    assert troubles(world) == [12400]


async def test_a_recording_that_is_asked_for_again_goes_on_as_it_is(world: World) -> None:
    wanted = Wanted(source=RecordingSource.START_CALL_API)
    world.tapes.begin(wanted, sid="RE1")
    path = world.files.path("AC1", "RE1")
    path.write_bytes(b"sound")
    assert world.tapes.begin(wanted, sid="RE1") == "RE1"
    assert [each.sid for each in world.tapes.running()] == ["RE1"]
    assert path.read_bytes() == b"sound"
    await turn()
    world.recorded(1.0, "told")
    world.tapes.begin(wanted, sid="RE1")
    assert world.tapes.running() == []


async def test_where_nothing_can_be_recorded_nothing_is_left(world: World) -> None:
    world.media.remove(LEG)
    assert world.tapes.begin(Wanted(source=RecordingSource.DIAL_VERB)) == ""
    assert list(world.files.path("AC1", "RE1").parent.iterdir()) == []


def wanted_of(verb: Dial | StartRecording | Record) -> Sequence[object]:
    match verb:
        case Dial():
            found = of_dial(verb)
        case StartRecording():
            found = of_start(verb)
        case Record():
            found = of_record(verb)
    return found.source, found.channels, found.track, found.trim, found.told.url


@pytest.mark.parametrize(
    ("verb", "wanted"),
    [
        (
            Dial(record=RecordMode.FROM_ANSWER, recording_status_callback="https://a.example"),
            ("DialVerb", 1, "both", "do-not-trim", "https://a.example"),
        ),
        (
            Dial(record=RecordMode.FROM_RINGING_DUAL, trim=Trim.TRIM_SILENCE),
            ("DialVerb", 2, "both", "trim-silence", ""),
        ),
        (
            Dial(record=RecordMode.FROM_ANSWER_DUAL, recording_track=RecordingTrack.OUTBOUND),
            ("DialVerb", 1, "outbound", "do-not-trim", ""),
        ),
        (StartRecording(), ("StartCallRecordingTwiML", 2, "both", "do-not-trim", "")),
        (
            StartRecording(track=RecordingTrack.INBOUND),
            ("StartCallRecordingTwiML", 1, "inbound", "do-not-trim", ""),
        ),
        (Record(), ("RecordVerb", 1, "inbound", "trim-silence", "")),
    ],
)
def test_what_verbs_want_recorded(
    verb: Dial | StartRecording | Record, wanted: Sequence[object]
) -> None:
    assert wanted_of(verb) == wanted

from collections.abc import Callable

from tests.unit.twiml.fake_call import FakeCall, Heard, Page, World
from twiml.outcome import Goto
from twiml.runner import Runner
from twiml.verbs import (
    Dial,
    Gather,
    Hangup,
    Leave,
    Pause,
    Play,
    Redirect,
    Say,
    VoiceVerb,
)
from twiml.waiting import in_queue, in_room

WAIT = "https://app.example.com/wait"
KEY = "https://app.example.com/key"
BEEP = "https://app.example.com/beep.wav"
BEGIN = Goto(url=WAIT, method="GET")


def queued(*page: VoiceVerb, keys: tuple[tuple[float, str], ...] = (), **others: Page) -> FakeCall:
    return _waiting(in_queue, page, keys, others)


def in_conference(*page: VoiceVerb) -> FakeCall:
    return _waiting(in_room, page, (), {})


def _waiting(
    runner: Callable[[FakeCall], Runner],
    page: Page,
    keys: tuple[tuple[float, str], ...],
    others: dict[str, Page],
    beep: float = 1.0,
) -> FakeCall:
    app = {WAIT: page, **{f"https://app.example.com/{name}": each for name, each in others.items()}}
    call = FakeCall(World(app=app, keys=keys, sounds={"Wait": 4.0, BEEP: beep}), runner=runner)
    call.runner.start(BEGIN)
    return call


def test_who_waits_hears_the_document_again_and_again() -> None:
    call = queued(Say(text="Wait")).until(9.0)
    assert call.heard[:2] == [Heard("Wait", 0.0, 4.0), Heard("Wait", 4.0, 8.0)]
    assert [(each.at, each.url, each.method) for each in call.asked] == [
        (0.0, WAIT, "GET"),
        (4.0, WAIT, "GET"),
        (8.0, WAIT, "GET"),
    ]


def test_a_document_that_takes_no_time_is_asked_for_once_a_second() -> None:
    call = queued().until(2.5)
    assert [each.at for each in call.asked] == [0.0, 1.0, 2.0]
    call = queued(Dial(), Redirect(url="more"), more=()).until(1.5)
    assert [each.at for each in call.asked] == [0.0, 0.0, 1.0, 1.0]


def test_a_short_sound_is_heard_for_as_long_as_somebody_waits() -> None:
    for length in (0.0, 0.11, 0.15, 0.19, 0.3, 0.49, 0.6):
        call = _waiting(in_queue, (Play(url="beep.wav"),), (), {}, beep=length).until(600.0)
        assert len(call.heard) > 300, length
        assert len(call.asked) < 1201, length
        assert call.findings == [], length


def test_what_a_wait_leads_to_ends_in_its_beginning() -> None:
    page = Gather(prompts=(Say(text="Wait"),), action="/key", num_digits=1)
    call = queued(page, keys=((1.0, "1"),), key=(Say(text="Pressed"),)).until(2.0)
    assert call.heard[:2] == [Heard("Wait", 0.0, 1.0), Heard("Pressed", 1.0, 2.0)]
    assert [each.url for each in call.asked] == [WAIT, KEY, WAIT]


def test_who_waits_may_leave() -> None:
    call = queued(Pause(length=2), Leave(), Say(text="Never")).play_out()
    assert call.timeline[-1] == (2.0, "leave")


def test_who_waits_may_be_hung_up() -> None:
    assert queued(Hangup()).play_out().timeline[-1] == (0.0, "hang up done")


def test_in_a_queue_other_verbs_are_passed_over_and_said() -> None:
    call = queued(Dial(), Say(text="Wait")).until(1.0)
    assert [each.code for each in call.findings] == [13750]
    assert call.heard[0].what == "Wait"


def test_for_a_conference_only_what_sounds_is_run() -> None:
    call = in_conference(Hangup(), Gather(), Leave(), Play(url="m.mp3"), Redirect()).until(0.5)
    assert [each.code for each in call.findings] == [13238, 13238, 13238]
    assert call.heard[0].what == "https://app.example.com/m.mp3"
    assert [each.at for each in call.until(2.5).asked] == [0.0, 1.0, 2.0]


def test_a_document_that_can_not_be_had_leaves_silence() -> None:
    call = queued(Redirect(url="gone")).play_out()
    assert [each.url for each in call.asked] == [WAIT, "https://app.example.com/gone"]
    assert call.left == {}


def test_who_is_fetched_hears_no_more() -> None:
    call = queued(Say(text="Wait")).until(1.0)
    call.hang_up_by_party()
    assert call.play_out().heard == [Heard("Wait", 0.0, 1.0)]
    assert call.left == {}

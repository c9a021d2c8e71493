from collections.abc import Callable

import pytest

from twiml.call import (
    Call,
    DialEnded,
    DialStatus,
    Ending,
    Event,
    Fetched,
    HungUp,
    NotFetched,
    Paused,
)
from twiml.dialling import dialling
from twiml.errors import Finding, Level
from twiml.machine import Verbs
from twiml.nouns import Number, Sip, SipUri
from twiml.outcome import Goto
from twiml.parser import Document
from twiml.single import pauses
from twiml.verbs import (
    MAX_DOCUMENTS,
    Dial,
    Hangup,
    Pause,
    Redirect,
    Reject,
    RejectReason,
    VoiceVerb,
)
from twiml.voice import Interpreter, Part, Pickup

BASE = "https://me:pw@app.example.com/voice/in?x=1"
NUMBER = Number(number="+15550002000")
DIAL = Dial(nouns=(NUMBER,))
ACTION = Dial(nouns=(NUMBER,), action="after", method="GET")
BRIDGE = Dial(nouns=(NUMBER,), answer_on_bridge=True)


class Recorded(Call):
    """A call that does nothing but remember what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def clock(self) -> float:
        return 0.0

    def answer(self) -> None:
        self.asked.append(("answer",))

    def reject(self, reason: RejectReason) -> None:
        self.asked.append(("reject", reason))

    def hang_up(self, ending: Ending) -> None:
        self.asked.append(("hang up", ending))

    def connect(self) -> None:
        self.asked.append(("connect",))

    def pause(self, ask: int, seconds: int) -> None:
        self.asked.append(("pause", ask, seconds))

    def dial(self, ask: int, dial: Dial) -> None:
        self.asked.append(("dial", ask, dial))

    def fetch(self, ask: int, goto: Goto) -> None:
        self.asked.append(("fetch", ask, goto))

    def report(self, goto: Goto) -> None:
        self.asked.append(("report", goto))

    def stop(self, ask: int) -> None:
        self.asked.append(("stop", ask))

    def note(self, finding: Finding) -> None:
        self.asked.append(("note", finding))


def verbs_of(call: Call) -> Verbs:
    """What makes no sound: that is tested on a fake call with a clock."""
    return {**pauses(call), **dialling(call)}


class Story:
    """A leg with one document running in it."""

    def __init__(
        self, *verbs: VoiceVerb, pickup: Pickup = Pickup.ANSWERED, part: Part = Part.CALL
    ) -> None:
        self.call = Recorded()
        self.interpreter = Interpreter(
            self.call, pickup=pickup, part=part, verbs=verbs_of(self.call)
        )
        self.interpreter.run(Document(verbs=verbs), BASE)

    def then(self) -> list[tuple[object, ...]]:
        """What was asked since the last look."""
        asked, self.call.asked = self.call.asked, []
        return asked

    def after(self, event: Event) -> list[tuple[object, ...]]:
        self.then()
        self.interpreter.on(event)
        return self.then()


def document(*verbs: VoiceVerb) -> Document[VoiceVerb]:
    return Document(verbs=verbs)


HUNG_UP = [("hang up", Ending.DONE)]


def test_the_documents_end_hangs_up() -> None:
    assert Story().then() == HUNG_UP


@pytest.mark.parametrize(
    ("verbs", "first"),
    [
        ((), [("answer",), ("hang up", Ending.DONE)]),
        ((Hangup(),), [("answer",), ("hang up", Ending.DONE)]),
        ((Pause(length=2),), [("answer",), ("pause", 1, 2)]),
        ((Pause(), Pause(), DIAL), [("answer",), ("pause", 1, 1)]),
        ((Pause(), BRIDGE), [("answer",), ("pause", 1, 1)]),
        ((Pause(), Reject()), [("pause", 1, 1)]),
        ((Pause(), Pause(), Reject()), [("pause", 1, 1)]),
        ((DIAL,), [("answer",), ("dial", 1, DIAL)]),
        ((BRIDGE,), [("dial", 1, BRIDGE)]),
        ((Reject(),), [("reject", RejectReason.REJECTED)]),
        ((Reject(reason=RejectReason.BUSY), DIAL), [("reject", RejectReason.BUSY)]),
        (
            (Redirect(url="/b"),),
            [("answer",), ("fetch", 1, Goto(url="https://me:pw@app.example.com/b", method="POST"))],
        ),
    ],
)
def test_what_takes_a_ringing_call(
    verbs: tuple[VoiceVerb, ...], first: list[tuple[object, ...]]
) -> None:
    assert Story(*verbs, pickup=Pickup.RINGING).then() == first


def test_a_call_that_is_answered_is_not_answered_again() -> None:
    story = Story(Pause(), DIAL)
    assert story.then() == [("pause", 1, 1)]
    assert story.after(Paused(ask=1)) == [("dial", 2, DIAL)]
    assert story.after(DialEnded(ask=2, status=DialStatus.BUSY)) == HUNG_UP


def test_a_pause_before_a_reject_leaves_the_call_ringing() -> None:
    story = Story(Pause(), Reject(), Hangup(), pickup=Pickup.RINGING)
    assert story.after(Paused(ask=1)) == [("reject", RejectReason.REJECTED)]


def test_an_event_that_nothing_waits_for_changes_nothing() -> None:
    story = Story(Pause(), Pause())
    for late in (Paused(ask=0), Paused(ask=2)):
        assert story.after(late) == []
    assert story.after(Paused(ask=1)) == [("pause", 2, 1)]
    assert story.after(Paused(ask=1)) == []
    assert story.after(Paused(ask=2)) == HUNG_UP
    assert story.after(Paused(ask=0)) == []


def test_a_ringing_call_is_answered_once() -> None:
    story = Story(Pause(), DIAL, pickup=Pickup.RINGING)
    assert story.then() == [("answer",), ("pause", 1, 1)]
    assert story.after(Paused(ask=1)) == [("dial", 2, DIAL)]


def test_a_late_reject_hangs_up() -> None:
    story = Story(Pause(), Reject())
    assert story.after(Paused(ask=1)) == HUNG_UP


def test_nothing_below_a_hangup_is_reached() -> None:
    assert Story(Hangup(), DIAL).then() == HUNG_UP


def test_a_bridge_answers_and_the_document_goes_on() -> None:
    story = Story(BRIDGE, DIAL, pickup=Pickup.RINGING)
    ended = DialEnded(ask=1, status=DialStatus.COMPLETED, bridged=True, duration=3)
    assert story.after(ended) == [("dial", 2, DIAL)]


def test_without_a_bridge_the_next_verb_answers() -> None:
    story = Story(BRIDGE, Pause(), pickup=Pickup.RINGING)
    assert story.after(DialEnded(ask=1, status=DialStatus.NO_ANSWER)) == [
        ("answer",),
        ("pause", 2, 1),
    ]


@pytest.mark.parametrize("rest", [(), (Hangup(),)])
def test_a_call_that_waited_for_a_bridge_in_vain_is_not_answered_to_be_hung_up(
    rest: tuple[VoiceVerb, ...],
) -> None:
    story = Story(BRIDGE, *rest, pickup=Pickup.RINGING)
    assert story.after(DialEnded(ask=1, status=DialStatus.BUSY)) == HUNG_UP


def test_a_dials_action_is_told_how_it_ended_and_nothing_below_is_reached() -> None:
    story = Story(ACTION, DIAL)
    ended = DialEnded(
        ask=1,
        status=DialStatus.COMPLETED,
        call_sid="CA1",
        duration=61,
        bridged=True,
        recording_url="https://r/1",
        sip_response_code=200,
        sip_call_id="c@d",
        sip_headers=(("X-A", "1"), ("Via", "no"), ("x-b", "\udcff")),
    )
    assert story.after(ended) == [
        (
            "fetch",
            2,
            Goto(
                url="https://me:pw@app.example.com/voice/after",
                method="GET",
                parameters=(
                    ("DialCallStatus", "completed"),
                    ("DialCallSid", "CA1"),
                    ("DialCallDuration", "61"),
                    ("DialBridged", "true"),
                    ("RecordingUrl", "https://r/1"),
                    ("DialSipResponseCode", "200"),
                    ("DialSipCallId", "c@d"),
                    ("DialSipHeader_X-A", "1"),
                    ("DialSipHeader_x-b", "?"),
                ),
            ),
        )
    ]


def test_a_dial_that_calls_nobody_fails_at_once() -> None:
    assert Story(Dial(), Pause()).then() == [("pause", 1, 1)]
    ((_, _, goto),) = Story(Dial(action="/a")).then()
    assert goto == Goto(
        url="https://me:pw@app.example.com/a",
        method="POST",
        parameters=(("DialCallStatus", "failed"), ("DialBridged", "false")),
    )


def test_urls_of_a_dial_are_absolute() -> None:
    story = Story(
        Dial(
            nouns=(
                Number(number="1", url="/w", status_callback="s"),
                Sip(uris=(SipUri(uri="sip:a@b"),), url="https://o/w"),
            ),
            action="/a",
            recording_status_callback="/r",
            refer_url="/t",
        )
    )
    ((_, _, dial),) = story.then()
    assert dial == Dial(
        nouns=(
            Number(
                number="1",
                url="https://me:pw@app.example.com/w",
                status_callback="https://me:pw@app.example.com/voice/s",
            ),
            Sip(uris=(SipUri(uri="sip:a@b"),), url="https://o/w"),
        ),
        action="https://me:pw@app.example.com/a",
        recording_status_callback="https://me:pw@app.example.com/r",
        refer_url="https://me:pw@app.example.com/t",
    )


def test_the_next_documents_urls_start_where_it_came_from() -> None:
    story = Story(Redirect())
    assert story.then() == [("fetch", 1, Goto(url=BASE, method="POST"))]
    fetched = Fetched(
        ask=1, document=document(Redirect(url="c", method="GET")), base="https://two.example/a/b"
    )
    assert story.after(fetched) == [("fetch", 2, Goto(url="https://two.example/a/c", method="GET"))]
    assert story.after(Fetched(ask=2, document=document(), base="")) == HUNG_UP


def test_a_call_that_can_not_be_told_what_to_do_is_hung_up() -> None:
    story = Story(Redirect())
    assert story.after(NotFetched(ask=1)) == [("hang up", Ending.FAILED)]
    assert story.after(NotFetched(ask=1)) == []


def test_a_first_document_is_fetched_before_the_call_is_answered() -> None:
    call = Recorded()
    interpreter = Interpreter(call, pickup=Pickup.RINGING, verbs=verbs_of(call))
    goto = Goto(url="https://a/", method="POST")
    interpreter.start(goto)
    assert call.asked == [("fetch", 1, goto)]
    interpreter.on(Fetched(ask=1, document=document(Reject()), base="https://a/"))
    assert call.asked[1:] == [("reject", RejectReason.REJECTED)]


def fetches(story: Story, event: Callable[[int], Event], times: int) -> None:
    for _ in range(times):
        (asked,) = story.then()
        assert isinstance(asked[1], int)
        story.interpreter.on(event(asked[1]))


def test_documents_that_only_lead_to_the_next_come_to_an_end() -> None:
    story = Story(Redirect())
    fetches(
        story,
        lambda ask: Fetched(ask=ask, document=document(Redirect()), base=BASE),
        MAX_DOCUMENTS,
    )
    noted, hung_up = story.then()
    (_, finding) = noted
    assert isinstance(finding, Finding)
    assert (finding.code, finding.level) == (14106, Level.ERROR)
    assert hung_up == ("hang up", Ending.FAILED)


RUNNING: dict[str, tuple[VoiceVerb, Event]] = {
    "pause": (Pause(), Paused(ask=1)),
    "dial": (ACTION, DialEnded(ask=1, status=DialStatus.COMPLETED, bridged=True)),
    "fetch": (Redirect(), Fetched(ask=1, document=document(DIAL), base=BASE)),
    "failing fetch": (Redirect(), NotFetched(ask=1)),
}


@pytest.mark.parametrize(("verb", "late"), RUNNING.values(), ids=RUNNING)
def test_a_redirect_from_outside_has_one_outcome(verb: VoiceVerb, late: Event) -> None:
    story = Story(verb, Pause())
    story.then()
    goto = Goto(url="https://b/", method="POST")
    story.interpreter.start(goto)
    assert story.then() == [("stop", 1), ("fetch", 2, goto)]
    assert story.after(late) == []
    assert story.after(Fetched(ask=2, document=document(Pause()), base="")) == [("pause", 3, 1)]


@pytest.mark.parametrize(("verb", "late"), RUNNING.values(), ids=RUNNING)
def test_a_document_from_outside_replaces_what_runs(verb: VoiceVerb, late: Event) -> None:
    story = Story(verb, Pause())
    story.then()
    story.interpreter.run(document(Pause(length=9)), "")
    assert story.then() == [("stop", 1), ("pause", 2, 9)]
    assert story.after(late) == []


def test_an_empty_document_from_outside_ends_the_call_once() -> None:
    story = Story(Redirect())
    story.then()
    story.interpreter.run(document(), "")
    assert story.then() == [("stop", 1), *HUNG_UP]
    assert story.after(NotFetched(ask=1)) == []


def test_a_redirect_from_outside_may_lead_through_as_many_documents_again() -> None:
    story = Story(Redirect())

    def again(ask: int) -> Event:
        return Fetched(ask=ask, document=document(Redirect()), base=BASE)

    fetches(story, again, MAX_DOCUMENTS - 1)
    story.then()
    story.interpreter.start(Goto(url=BASE, method="POST"))
    assert story.call.asked.pop(0)[0] == "stop"
    fetches(story, again, MAX_DOCUMENTS - 1)
    ((what, _, _),) = story.then()
    assert what == "fetch"


def test_a_dial_that_was_let_go_is_not_waited_for_when_the_caller_hangs_up() -> None:
    story = Story(ACTION)
    story.interpreter.start(Goto(url="https://b/", method="POST"))
    assert story.after(HungUp()) == []
    assert story.after(Fetched(ask=2, document=document(DIAL), base=BASE)) == []


@pytest.mark.parametrize("name", ["pause", "fetch", "failing fetch"])
def test_a_call_that_is_over_is_asked_nothing(name: str) -> None:
    verb, late = RUNNING[name]
    story = Story(verb, DIAL)
    assert story.after(HungUp()) == []
    assert story.after(late) == []
    story.interpreter.start(Goto(url="https://b/", method="POST"))
    story.interpreter.run(document(DIAL), BASE)
    assert story.then() == []


def test_the_action_of_a_dial_is_told_also_when_the_caller_hung_up() -> None:
    story = Story(ACTION, Pause())
    assert story.after(HungUp()) == []
    ((what, goto),) = story.after(
        DialEnded(ask=1, status=DialStatus.COMPLETED, call_sid="CA1", duration=2, bridged=True)
    )
    assert what == "report"
    assert isinstance(goto, Goto)
    assert goto.url == "https://me:pw@app.example.com/voice/after"
    assert ("DialCallStatus", "completed") in goto.parameters


def test_a_dial_without_action_says_nothing_when_the_caller_hung_up() -> None:
    story = Story(DIAL, Pause())
    story.after(HungUp())
    assert story.after(DialEnded(ask=1, status=DialStatus.CANCELED)) == []


@pytest.mark.parametrize("verbs", [(Hangup(),), (Reject(),), ()])
def test_after_its_end_a_call_is_asked_nothing(verbs: tuple[VoiceVerb, ...]) -> None:
    story = Story(*verbs, pickup=Pickup.RINGING)
    story.then()
    story.interpreter.start(Goto(url="https://b/", method="POST"))
    assert story.then() == []
    assert story.after(HungUp()) == []


def test_a_whisper_ends_in_joining() -> None:
    story = Story(Pause(), part=Part.WHISPER)
    assert story.after(Paused(ask=1)) == [("connect",)]
    story.interpreter.run(document(Pause()), BASE)
    assert story.then() == []


def test_a_hangup_in_a_whisper_turns_the_caller_down() -> None:
    assert Story(Hangup(), part=Part.WHISPER).then() == HUNG_UP


def test_a_whisper_can_not_dial() -> None:
    (_, finding), hung_up = Story(DIAL, part=Part.WHISPER).then()
    assert isinstance(finding, Finding)
    assert finding.code == 13201
    assert hung_up == ("hang up", Ending.FAILED)

"""What REST wants of a call meets each verb in each of its states: one outcome, nothing left asked.

The states of a document are all that there are between two things that happen on the held clock;
an order comes in each of them, and another one after it. The call holds the interpreter to asking
one thing at a time and nothing of a call that is over.
"""

from collections.abc import Iterator
from enum import StrEnum

import pytest

from tests.floods import each
from tests.unit.twiml.fake_call import BASE, FakeCall, Page, World
from twiml.nouns import Number
from twiml.outcome import Goto
from twiml.verbs import (
    Dial,
    Echo,
    Enqueue,
    Gather,
    Hangup,
    Leave,
    Pause,
    Play,
    Record,
    Redirect,
    Refer,
    Reject,
    Say,
    Sms,
    StartRecording,
    StopRecording,
    VoiceVerb,
)
from twiml.voice import Pickup
from twiml.waiting import in_queue

ROOT = "https://app.example.com/voice/"
ACTION = f"{ROOT}after"
ELSEWHERE = f"{ROOT}elsewhere"
NUMBER = Number(number="+15550002000")
HI = Say(text="Hi")

DOCUMENTS: dict[str, tuple[VoiceVerb, ...]] = {
    "nothing": (),
    "say": (HI, Say(text="Bye")),
    "say without end": (Say(text="Hi", loop=0),),
    "play": (Play(url="a.wav"), Play(digits="12")),
    "pause": (Pause(length=2), HI),
    "pause and reject": (Pause(length=2), Reject()),
    "gather": (Gather(prompts=(HI, Pause(), Play(url="a.wav")), action="after", timeout=2), HI),
    "gather that tells of nothing": (
        Gather(action="after", timeout=2, action_on_empty_result=True, input=("speech",)),
    ),
    "record": (Record(action="after", timeout=2), HI),
    "record by a key": (Record(action="after", finish_on_key="1"), HI),
    "record of silence": (Pause(length=5), Record(action="after", timeout=1), HI),
    "dial": (Dial(nouns=(NUMBER,), action="after"), HI),
    "dial on a bridge": (Dial(nouns=(NUMBER,), answer_on_bridge=True), HI),
    "dial nobody": (Dial(action="after"), HI),
    "enqueue": (Enqueue(name="q", action="after"), HI),
    "enqueue without action": (Enqueue(name="q"), HI),
    "echo": (Echo(), HI),
    "refer": (Refer(uri="sip:a@b", action="after"), HI),
    "sms": (Sms(body="b", action="after"), HI),
    "recording beside": (StartRecording(), HI, StopRecording(), HI),
    "redirect": (Redirect(url="after"), HI),
    "reject": (Reject(), HI),
    "hangup": (Hangup(), HI),
    "leave": (Leave(), HI),
}
# Whose action is told of their end although the call is over.
OWING = {"record", "record by a key", "dial", "enqueue", "refer"}


class Order(StrEnum):
    REDIRECT = "redirect"
    TWIML = "twiml"
    COMPLETE = "complete"


def call_of(name: str) -> FakeCall:
    """A call that rings and asks for its first document."""
    app: dict[str, Page] = {BASE: DOCUMENTS[name], ACTION: (HI,), ELSEWHERE: (HI, Pause())}
    world = World(
        app=app, latency=0.5, sounds={"Hi": 1.5}, keys=((2.25, "1"), (3.25, "2")), speaks_until=4.0
    )
    call = FakeCall(world, pickup=Pickup.RINGING)
    call.runner.start(Goto(url=BASE, method="POST"))
    return call


def stepped(name: str, steps: int) -> FakeCall:
    call = call_of(name)
    for _ in range(steps):
        call.step()
    return call


def states(name: str) -> Iterator[int]:
    """How many things have happened, in each state of a call."""
    call, steps = call_of(name), 0
    yield 0
    while call.step():
        steps += 1
        yield steps


def give(call: FakeCall, order: Order) -> None:
    if call.is_gone:
        return  # there is nobody to redirect
    match order:
        case Order.REDIRECT:
            call.runner.start(Goto(url=ELSEWHERE, method="POST"))
        case Order.TWIML:
            call.runs(Pause(length=3))
        case Order.COMPLETE:
            call.hang_up_by_party()


def told_of_action(call: FakeCall) -> int:
    return sum(each.url == ACTION for each in (*call.asked, *call.reported))


def ends(call: FakeCall) -> int:
    """How often the call was told to end, or had ended."""
    told = [what for _, what in call.timeline if what.startswith(("hang up", "reject"))]
    return len(told) + call.is_gone


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_redirect_in_any_state_leads_there_once(name: str) -> None:
    for state in states(name):
        call = stepped(name, state)
        was_over, asked_action = call.is_over, told_of_action(call)
        give(call, Order.REDIRECT)
        call.play_out()
        there = [each.url for each in call.asked].count(ELSEWHERE)
        assert there == (0 if was_over else 1), state
        assert call.left == {}, state
        assert ends(call) == 1, state
        assert told_of_action(call) <= 1, state
        if not was_over:
            assert call.timeline[-2:] == [
                (call.timeline[-2][0], "pause 1"),
                (call.timeline[-2][0] + 1.0, "hang up done"),
            ], state
            # Who left a queue for another document has left it all the same.
            owed = told_of_action(call) - asked_action
            assert owed == len(call.reported) == (name == "enqueue" and in_a_queue(call)), state


def in_a_queue(call: FakeCall) -> bool:
    return any(what == "stop enqueue q" for _, what in call.timeline)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_from_rest_in_any_state_is_run_once(name: str) -> None:
    for state in states(name):
        call = stepped(name, state)
        was_over = call.is_over
        give(call, Order.TWIML)
        call.play_out()
        assert len(call.times("pause 3")) == (0 if was_over else 1), state
        assert call.left == {}, state
        assert ends(call) == 1, state


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_call_that_ends_in_any_state_asks_nothing_more(name: str) -> None:
    owed = 0
    for state in states(name):
        call = stepped(name, state)
        asked, told = list(call.asked), told_of_action(call)
        give(call, Order.COMPLETE)
        timeline = list(call.timeline)
        call.play_out()
        assert call.timeline == timeline, state
        assert call.asked == asked, state
        assert call.left == {}, state
        assert told_of_action(call) <= 1, state
        owed += told_of_action(call) - told
    assert bool(owed) == (name in OWING)


@pytest.mark.parametrize("name", DOCUMENTS)
@each("second", Order)
@each("first", Order)
def test_of_two_orders_the_later_one_has_the_last_word(
    name: str, first: Order, second: Order
) -> None:
    for state in states(name):
        for between in range(3):
            call = stepped(name, state)
            give(call, first)
            for _ in range(between):
                call.step()
            was_over = call.is_over or call.is_gone
            give(call, second)
            call.play_out()
            assert call.left == {}, (state, between)
            assert told_of_action(call) <= 1, (state, between)
            if not was_over and second is Order.REDIRECT:
                assert call.asked[-1].url == ELSEWHERE
            if not was_over and second is Order.TWIML:
                assert call.timeline[-2][1] == "pause 3"
            assert ends(call) - call.is_gone <= 1, (state, between)


@pytest.mark.parametrize("keys", [(), ((0.75, "1"),), ((2.0, "1"),)])
def test_who_waits_in_a_queue_may_be_gone_at_any_time(keys: tuple[tuple[float, str], ...]) -> None:
    page = (Gather(prompts=(HI,), action="after", num_digits=1, timeout=1), Play(url="m"), Leave())
    world = World(app={BASE: page, ACTION: (HI, Redirect(url="in"))}, latency=0.5, keys=keys)
    for state in range(12):
        call = FakeCall(world, runner=in_queue)
        call.runner.start(Goto(url=BASE, method="POST"))
        for _ in range(state):
            call.step()
        call.hang_up_by_party()
        timeline = list(call.timeline)
        call.play_out()
        assert call.timeline == timeline
        assert call.left == {}

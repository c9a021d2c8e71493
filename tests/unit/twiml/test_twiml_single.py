import pytest

from tests.unit.twiml.fake_call import BASE, FakeCall, Heard, World, run
from twiml.call import QueueLeft, QueueResult, Referred, ReferStatus, Texted
from twiml.errors import Level
from twiml.verbs import (
    MAX_DOCUMENTS,
    Dial,
    Echo,
    Enqueue,
    Leave,
    Pause,
    Play,
    Record,
    Redirect,
    Refer,
    Say,
    Sms,
    VoiceVerb,
)
from twiml.voice import Part, Pickup

ACTION = "https://app.example.com/voice/after"


def test_prompts_are_heard_one_after_the_other() -> None:
    world = World(sounds={"One": 2.0, "https://o/two.wav": 3.0})
    page = (Say(text="One", loop=2), Play(url="https://o/two.wav"), Play(digits="1w#", loop=2))
    call = run(*page, world=world)
    assert call.heard == [
        Heard("One", 0.0, 4.0),
        Heard("https://o/two.wav", 4.0, 7.0),
        Heard("1w#", 7.0, 9.0),
    ]


@pytest.mark.parametrize(
    "verb",
    [Say(text="a"), Play(url="a"), Record(), Enqueue(name="q"), Echo(), Sms(body="b"), Pause()],
)
def test_a_call_that_rings_is_taken_first(verb: VoiceVerb) -> None:
    call = FakeCall(pickup=Pickup.RINGING).runs(verb)
    assert call.timeline[0] == (0.0, "answer")
    assert len(call.timeline) == 2


def test_who_waited_in_a_queue_goes_on_with_the_action() -> None:
    world = World(app={ACTION: ()})
    call = run(Enqueue(name="q", action="after", wait_url="/wait"), Say(text="No"), world=world)
    assert call.enqueues[0].wait_url == "https://app.example.com/wait"
    (asked,) = call.asked
    assert (asked.at, asked.url) == (20.0, ACTION)
    assert list(asked.parameters.items()) == [
        ("QueueResult", "bridged"),
        ("QueueSid", "QU1"),
        ("QueueTime", "20"),
    ]


def test_without_action_the_next_verb_follows_the_queue() -> None:
    left = QueueLeft(ask=0, result=QueueResult.LEAVE)
    call = run(Enqueue(name="q"), Say(text="On"), world=World(queued=left))
    assert call.times("say On") == [20.0]
    assert call.enqueues[0].wait_url is None


def test_the_queues_action_is_told_when_the_caller_hangs_up() -> None:
    call = FakeCall().runs(Enqueue(name="q", action="after"))
    call.until(3.0).hang_up_by_party()
    call.play_out()
    assert [each.parameters["QueueResult"] for each in call.reported] == ["hangup"]


def test_the_queues_action_is_told_when_the_call_was_sent_elsewhere() -> None:
    call = FakeCall().runs(Enqueue(name="q", action="after")).until(3.0)
    call.runs(Say(text="Here")).play_out()
    assert [each.parameters["QueueResult"] for each in call.reported] == ["redirected"]
    assert call.times("say Here") == [3.0]


def test_a_text_is_sent_and_its_action_told() -> None:
    world = World(app={ACTION: ()}, texted=Texted(ask=0, status="failed", error_code=21610))
    call = run(Sms(body="b", action="after", status_callback="s"), world=world)
    assert call.texts[0].status_callback == "https://app.example.com/voice/s"
    assert call.asked[0].parameters == {"SmsStatus": "failed", "ErrorCode": "21610"}
    world = World(app={ACTION: ()})
    call = run(Sms(body="b", action="after"), world=world)
    assert call.asked[0].parameters == {"SmsSid": "SM1", "SmsStatus": "queued"}


def test_a_text_without_action_is_followed_by_the_next_verb() -> None:
    assert run(Sms(body="b"), Say(text="Sent")).times("say Sent") == [0.5]


def test_a_refers_action_is_told_what_was_answered() -> None:
    world = World(app={ACTION: ()})
    call = run(Refer(uri="sip:a@b", action="after"), Say(text="No"), world=world)
    assert call.asked[0].parameters == {
        "ReferCallStatus": "completed",
        "ReferSipResponseCode": "202",
        "NotifySipResponseCode": "200",
    }


def test_a_refer_without_action_is_followed_by_the_next_verb() -> None:
    failed = Referred(ask=0, status=ReferStatus.FAILED)
    call = run(Refer(uri="sip:a@b"), Say(text="Still here"), world=World(referred=failed))
    assert call.times("say Still here") == [2.0]


def test_who_was_referred_and_hung_up_is_told_of() -> None:
    call = FakeCall().runs(Refer(uri="sip:a@b", action="after"))
    call.until(1.0).hang_up_by_party()
    call.play_out()
    assert [each.parameters["ReferCallStatus"] for each in call.reported] == ["completed"]


def test_an_echo_has_no_end_but_the_calls() -> None:
    call = FakeCall().runs(Echo(), Say(text="Never")).until(3600.0)
    assert call.timeline == [(0.0, "echo")]
    call.hang_up_by_party()
    assert call.play_out().left == {}


def test_a_verb_that_is_none_for_a_call_is_passed_over_and_said() -> None:
    call = run(Leave(), Say(text="Next"))
    assert [(each.code, each.level) for each in call.findings] == [(13750, Level.WARNING)]
    assert call.times("say Next") == [0.0]


@pytest.mark.parametrize("verb", [Enqueue(name="q"), Record(), Echo(), Refer(uri="sip:a@b")])
def test_what_is_none_for_a_whisper_is_passed_over_there(verb: VoiceVerb) -> None:
    call = run(verb, Say(text="For you"), part=Part.WHISPER)
    assert [each.code for each in call.findings] == [13750]
    assert call.timeline == [(0.0, "say For you"), (1.0, "connect")]


@pytest.mark.parametrize("verb", [Dial(), Echo(), Enqueue(name="q")])
def test_what_is_heard_aside_is_heard_alone(verb: VoiceVerb) -> None:
    call = run(verb, Say(text="You are next"), part=Part.ASIDE)
    assert [each.code for each in call.findings] == [13238]
    assert call.timeline == [(0.0, "say You are next"), (1.0, "connect")]


@pytest.mark.parametrize(
    "verb",
    [Say(text="x"), Enqueue(name="q"), Sms(body="b"), Refer(uri="sip:a@b")],
)
def test_documents_that_come_to_nothing_do_not_go_round_for_ever(verb: VoiceVerb) -> None:
    world = World(
        app={BASE: (verb, Redirect())},
        unheard=frozenset({"x"}),
        queued=QueueLeft(ask=0, result=QueueResult.QUEUE_FULL),
        queue_takes=0.0,
        text_takes=0.0,
        referred=Referred(ask=0, status=ReferStatus.FAILED),
        refer_takes=0.0,
    )
    call = run(Redirect(), world=world)
    assert len(call.asked) == MAX_DOCUMENTS
    assert call.timeline[-1][1] == "hang up failed"
    assert [each.code for each in call.findings] == [14106]

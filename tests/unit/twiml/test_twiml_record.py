from tests.unit.twiml.fake_call import BASE, FakeCall, World, run
from twiml.nouns import RecordingTrack
from twiml.verbs import Record, Say, StartRecording, StopRecording

SPOKEN = World(speaks_until=4.0, app={BASE: ()})


def test_silence_ends_it_and_its_action_is_the_same_document() -> None:
    call = run(Record(timeout=2), Say(text="Never"), world=SPOKEN)
    (asked,) = call.asked
    assert (asked.at, asked.url, asked.method) == (6.0, BASE, "POST")
    assert list(asked.parameters.items()) == [
        ("RecordingUrl", "https://r/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "6"),
        ("Digits", ""),
    ]
    assert call.heard == []


def test_who_says_nothing_is_not_recorded_and_the_next_verb_follows() -> None:
    call = run(Record(timeout=3), Say(text="Bye"))
    assert call.asked == []
    assert call.times("say Bye") == [3.0]


def test_a_key_ends_it_and_is_told() -> None:
    world = World(speaks_until=9.0, keys=((2.0, "5"), (2.0, "6")), app={BASE: ()})
    call = run(Record(), world=world)
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (2.0, "5")
    assert call.times("finish") == [2.0]


def test_other_keys_do_not_end_it() -> None:
    world = World(speaks_until=3.0, keys=((1.0, "5"), (2.0, "#")), app={BASE: ()})
    call = run(Record(finish_on_key="#"), world=world)
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (2.0, "#")


def test_its_length_is_bounded() -> None:
    call = run(Record(max_length=2), world=SPOKEN)
    (asked,) = call.asked
    assert (asked.at, asked.parameters["RecordingDuration"]) == (2.0, "2")


def test_its_action_is_told_also_when_the_caller_hung_up() -> None:
    call = FakeCall(World(speaks_until=9.0)).runs(Record(action="/a", method="GET"))
    call.until(3.0).hang_up_by_party()
    call.play_out()
    (told,) = call.reported
    assert (told.url, told.method) == ("https://app.example.com/a", "GET")
    assert told.parameters["Digits"] == "hangup"
    assert call.left == {}


def test_who_hung_up_without_a_word_left_nothing_to_tell_of() -> None:
    call = FakeCall().runs(Record())
    call.until(1.0).hang_up_by_party()
    call.play_out()
    assert call.reported == []


def test_what_runs_beside_the_call_waits_for_nobody() -> None:
    start = StartRecording(
        channels=1,
        track=RecordingTrack.INBOUND,
        action="/begun",
        recording_status_callback="kept",
    )
    call = run(start, Say(text="Hi"), StopRecording())
    assert call.timeline == [
        (0.0, "start recording"),
        (0.0, "say Hi"),
        (1.0, "stop recording"),
        (1.0, "hang up done"),
    ]
    (begun,) = call.starts
    assert begun.recording_status_callback == "https://app.example.com/voice/kept"
    assert [each.url for each in call.reported] == ["https://app.example.com/begun"]

import pytest

from tests.unit.twiml.fake_call import BASE, Heard, World, run
from twiml.verbs import Gather, Pause, Play, Redirect, Say

ASK = Say(text="Which?")
WORLD = World(sounds={"Which?": 3.0}, app={BASE: ()})


def pressed(*keys: tuple[float, str]) -> World:
    return World(sounds={"Which?": 3.0}, app={BASE: ()}, keys=keys)


def test_without_a_key_the_next_verb_follows_the_timeout() -> None:
    call = run(Gather(prompts=(ASK,)), Say(text="Bye"), world=WORLD)
    assert call.heard == [Heard("Which?", 0.0, 3.0), Heard("Bye", 8.0, 9.0)]
    assert call.asked == []


def test_the_first_key_ends_the_prompt_and_the_time_for_the_next_begins() -> None:
    call = run(Gather(prompts=(ASK, Say(text="Never"))), world=pressed((1.5, "4"), (5.0, "2")))
    assert call.heard == [Heard("Which?", 0.0, 1.5)]
    (asked,) = call.asked
    assert (asked.at, asked.url, asked.method) == (10.0, BASE, "POST")
    assert list(asked.parameters.items()) == [
        ("Digits", "42"),
        ("FinishedOnKey", ""),
        ("msg", "Gather End"),
    ]


def test_so_many_digits_are_enough() -> None:
    call = run(Gather(prompts=(ASK,), num_digits=2), world=pressed((1.0, "12"), (1.1, "3")))
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (1.0, "12")
    assert asked.parameters["FinishedOnKey"] == ""


def test_a_finishing_key_is_told_and_is_no_digit() -> None:
    call = run(Gather(finish_on_key="*#"), world=pressed((1.0, "12*"), (1.5, "9")))
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (1.0, "12")
    assert asked.parameters["FinishedOnKey"] == "*"


def test_a_finishing_key_before_any_digit_finishes_nothing() -> None:
    call = run(Gather(prompts=(ASK,)), world=pressed((1.0, "#"), (4.0, "7#")))
    assert call.heard == [Heard("Which?", 0.0, 1.0)]
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (4.0, "7")


def test_with_no_finishing_key_each_one_is_a_digit() -> None:
    call = run(Gather(finish_on_key=""), world=pressed((1.0, "#*")))
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (6.0, "#*")


def test_an_empty_result_is_told_if_that_is_wanted() -> None:
    call = run(Gather(action_on_empty_result=True, timeout=2), Say(text="Never"), world=WORLD)
    (asked,) = call.asked
    assert (asked.at, asked.parameters["Digits"]) == (2.0, "")
    assert call.heard == []


def test_an_action_is_asked_in_its_way_relative_to_the_document() -> None:
    world = World(keys=((1.0, "1"),), app={"https://app.example.com/voice/next?a=b": ()})
    call = run(Gather(action="next?a=b", method="GET", num_digits=1), world=world)
    (asked,) = call.asked
    assert (asked.url, asked.method) == ("https://app.example.com/voice/next?a=b", "GET")


def test_prompts_of_all_kinds_are_heard_in_turn() -> None:
    prompts = (ASK, Pause(length=2), Play(url="beep.wav"))
    call = run(Gather(prompts=prompts, timeout=1), world=WORLD)
    assert [(at, what) for at, what in call.timeline if what != "hang up done"] == [
        (0.0, "say Which?"),
        (3.0, "pause 2"),
        (5.0, "play https://app.example.com/voice/beep.wav"),
        (6.0, "pause 1"),
    ]


def test_an_endless_prompt_is_ended_by_a_key() -> None:
    world = World(keys=((61.0, "1"),), app={BASE: ()})
    call = run(Gather(prompts=(Say(text="Hm", loop=0),), num_digits=1), world=world)
    assert call.heard == [Heard("Hm", 0.0, 61.0)]
    assert [each.at for each in call.asked] == [61.0]


def test_keys_are_not_taken_for_speech() -> None:
    call = run(Gather(prompts=(ASK,), input=("speech",)), world=pressed((1.0, "1")))
    assert call.heard == [Heard("Which?", 0.0, 3.0)]
    assert call.asked == []


@pytest.mark.parametrize("at", [0.2, 1.2])
def test_a_key_outside_of_a_gather_is_lost(at: float) -> None:
    world = World(app={BASE: (Gather(timeout=1),)}, latency=1.0, keys=((at, "1"),))
    call = run(Say(text="Hello"), Redirect(), world=world)
    assert call.heard == [Heard("Hello", 0.0, 1.0)]
    assert len(call.asked) == 1


def test_a_document_without_url_begins_anew_when_its_keys_lead_to_itself() -> None:
    call = run(Gather(num_digits=1, timeout=2), world=World(keys=((1.0, "1"),)))
    assert len(call.asked) == 1
    call = run(Redirect())
    assert call.asked[0].url == BASE

"""Scripts and manners of simulated phones, as they are written and as they are read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from protocols.sip.agent_commands import By, Reliability
from protocols.sip.session_refresh import Refresher
from sims.phone_manners import Manners, named_manners, read_manners
from sims.phone_script import (
    Echo,
    Expect,
    HangUp,
    Hold,
    Manner,
    Noise,
    Play,
    Press,
    Refresh,
    Repeat,
    ScriptError,
    Tone,
    Transfer,
    Wait,
    read_manner,
    read_script,
)


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ({"wait": 1.5}, Wait(seconds=1.5)),
        ({"press": "1w#Aa"}, Press(keys="1w#Aa")),
        ({"tone": 440, "for": 2}, Tone(frequency=440, seconds=2)),
        ({"tone": 440}, Tone(frequency=440, seconds=1)),
        ({"noise": 4}, Noise(seconds=4)),
        ({"play": "hello.wav"}, Play(path="hello.wav")),
        (
            {"expect": "tone:440", "within": 5},
            Expect(kind="tone", frequency=440, seconds=5),
        ),
        ({"expect": "dtmf:1a#"}, Expect(kind="dtmf", keys="1A#", seconds=10)),
        ({"expect": "energy"}, Expect(kind="energy", seconds=10)),
        ({"expect": "silence", "within": 1}, Expect(kind="silence", seconds=1)),
        ({"echo": True}, Echo(seconds=None)),
        ({"echo": 3}, Echo(seconds=3)),
        ({"repeat": 0.5}, Repeat(after=0.5)),
        ({"hold": True}, Hold(on=True)),
        ({"hold": False}, Hold(on=False)),
        ({"refresh": "UPDATE"}, Refresh(by=By.UPDATE)),
        ({"transfer": "sip:bob@b.example"}, Transfer(to="sip:bob@b.example")),
        ({"hangup": True}, HangUp()),
    ],
)
def test_a_step_is_read_and_keeps_its_words(written: dict[str, Any], action: object) -> None:
    (step,) = read_script([written])
    assert step.action == action
    assert step.written == written


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({}, "step 1: it says 0 things to do"),
        ({"wait": 1, "press": "1"}, "step 1: it says 2 things to do"),
        ({"sing": 1}, "sing"),
        ({"wait": -1}, "0 to 86400 seconds"),
        ({"wait": "long"}, "float"),
        ({"press": "1x"}, "'1x' are no keys"),
        ({"press": ""}, "no keys"),
        ({"press": "1" * 101}, "no keys"),
        ({"tone": 5}, "20 to 3900 Hz"),
        ({"tone": 440, "for": -1}, "'for' is a time"),
        ({"expect": "tone:high"}, "'high' is no frequency"),
        ({"expect": "dtmf:"}, "no keys"),
        ({"expect": "energy:much"}, "nobody can expect"),
        ({"expect": "applause"}, "nobody can expect"),
        ({"refresh": "OPTIONS"}, "refresh"),
    ],
)
def test_a_wrong_step_is_told(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ScriptError) as error:
        read_script([written])
    assert says in str(error.value)


def test_the_step_at_fault_is_named() -> None:
    with pytest.raises(ScriptError, match="step 2: "):
        read_script([{"wait": 1}, {"wait": -1}])


def test_a_script_has_an_end() -> None:
    assert len(read_script([{"wait": 1}] * 200)) == 200
    with pytest.raises(ScriptError, match="200 steps, not 201"):
        read_script([{"wait": 1}] * 201)


def test_a_manner_is_read_whole() -> None:
    manner = read_manner(
        b'{"answer_after": null, "script": [{"wait": 1}], "early": [{"tone": 620}],'
        b' "drop_after": 2, "reliable": "require", "session_expires": 90, "refresher": "us"}'
    )
    assert manner == Manner(
        answer_after=None,
        script=read_script([{"wait": 1}]),
        early=read_script([{"tone": 620}]),
        drop_after=2.0,
        reliable=Reliability.REQUIRE,
        session_expires=90,
        refresher=Refresher.US,
    )


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"refuse": 200}, "300 to 699"),
        ({"redirect": "nowhere"}, "redirect"),
        ({"session_expires": 89}, "90 or more"),
        ({"answer_after": -1}, "answer_after"),
        ({"drop_after": -1}, "drop_after"),
        ({"answer": 1}, "answer"),
    ],
)
def test_a_wrong_manner_is_told(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ScriptError) as error:
        read_manner(json.dumps(written))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("0486", {"refuse": 486}),
        ("0408", {"answer_after": None}),
        ("0603", {"refuse": 603}),
        ("0503", {"refuse": 503}),
        (
            "0183",
            {
                "answer_after": 3,
                "early": [{"tone": 620, "for": 3}],
                "script": [{"tone": 440, "for": 2}, {"echo": True}],
            },
        ),
        ("0010", {"script": [{"repeat": 0.5}]}),
        ("0011", {"script": [{"noise": 4}, {"tone": 1000, "for": 0.5}]}),
        ("1234", {"script": [{"tone": 440, "for": 2}, {"echo": True}]}),
    ],
)
def test_numbers_answer_by_their_last_digits(digits: str, expected: dict[str, Any]) -> None:
    assert Manners().of(f"+1555000{digits}") == read_manner(expected)


def test_other_manners_take_their_place(tmp_path: Path) -> None:
    file = tmp_path / "manners.json"
    file.write_text('{"0555": {"refuse": 404}, "*": {"refuse": 480}}')
    manners = Manners(read_manners(file) | named_manners(['0556={"refuse": 410}']))
    assert manners.of("+15550000555").refuse == 404
    assert manners.of("+15550000556").refuse == 410
    assert manners.of("+15550001234").refuse == 480
    assert manners.of("+15550000486").refuse == 486


@pytest.mark.parametrize("pair", ['555={"refuse": 404}', "0555", '0555={"refuse": 1}'])
def test_a_wrong_named_manner_is_told(pair: str) -> None:
    with pytest.raises(ScriptError):
        named_manners([pair])


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "manners.json"
    with pytest.raises(ScriptError, match=r"manners\.json"):
        read_manners(file)
    file.write_text("[]")
    with pytest.raises(ScriptError, match=r"manners\.json"):
        read_manners(file)


PAGE = (Path(__file__).parents[3] / "docs/simulators.md").read_text()


def test_the_page_shows_steps_and_manners_that_can_be_read() -> None:
    rows = re.findall(r"^\| (`\{.*?\}`) \|", PAGE, re.MULTILINE)
    steps = [step for row in rows for step in re.findall(r"`(\{.*?\})`", row)]
    assert len(steps) >= 14
    read_script([json.loads(step) for step in steps])
    manners = re.findall(r"--manner '(?:\d{4}=)?(\{.*?\})'", PAGE)
    manners += re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(manners) >= 5
    for manner in manners:
        assert read_manner(manner)


def test_the_page_shows_every_number_that_is_special() -> None:
    shown = set(re.findall(r"^\| `(\d{4})` \|", PAGE, re.MULTILINE))
    manners = Manners()
    greeting = manners.of("+15550001234")
    numbers = (f"{number:04}" for number in range(10_000))
    assert {digits for digits in numbers if manners.of(digits) != greeting} == shown

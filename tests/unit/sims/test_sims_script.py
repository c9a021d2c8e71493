"""What a simulated carrier does with a text, by number and by turn."""

from pathlib import Path

import msgspec
import pytest

from protocols.smpp.constants import CommandStatus
from sims.faults import (
    Answer,
    Behaviour,
    Deliver,
    Drop,
    Respond,
    SendReceipt,
    Timing,
    Wait,
    catalogue,
)
from sims.script import NUMBERS, Script, ScriptError, Submit, named_answers, read_script, texts

TIMING = Timing(receipt_delay=1.5, response_timeout=10.0)
DELIVERED: Behaviour = (Deliver(), Respond(), Wait(seconds=1.5), SendReceipt())
THROTTLED: Behaviour = (Respond(command_status=CommandStatus.ESME_RTHROTTLED),)


def submit(to: str, payload: bytes = b"hello", part: int = 1, parts: int = 1) -> Submit:
    return Submit(
        from_address="15550001000", to_address=to, payload=payload, part=part, parts=parts
    )


def turns(script: Script, of: Submit, count: int) -> list[Behaviour]:
    return [script.behaviour(of) for _ in range(count)]


def test_any_other_number_is_delivered_each_time() -> None:
    assert turns(texts(TIMING), submit("447700900123"), 3) == [DELIVERED] * 3


def test_0001_throttles_twice_and_starts_anew_after_the_third() -> None:
    taken = turns(texts(TIMING), submit("15550000001"), 6)
    assert taken == [THROTTLED, THROTTLED, DELIVERED] * 2


@pytest.mark.parametrize(
    "other",
    [
        submit("15550000001", payload=b"another text"),
        submit("15551110001"),
        msgspec.structs.replace(submit("15550000001"), from_address="Shop"),
    ],
    ids=["payload", "to", "from"],
)
def test_0001_counts_each_message_for_itself(other: Submit) -> None:
    script = texts(TIMING)
    assert turns(script, submit("15550000001"), 2) == [THROTTLED, THROTTLED]
    assert script.behaviour(other) == THROTTLED
    assert script.behaviour(submit("15550000001")) == DELIVERED
    assert turns(script, other, 2) == [THROTTLED, DELIVERED]


def test_a_field_does_not_run_into_the_next_one() -> None:
    script = texts(TIMING)
    first = Submit(from_address="1", to_address="230001", payload=b"x")
    second = Submit(from_address="12", to_address="30001", payload=b"x")
    assert turns(script, first, 2) == [THROTTLED, THROTTLED]
    assert script.behaviour(second) == THROTTLED


def test_0001_throttles_each_part_of_a_long_text() -> None:
    script = texts(TIMING)
    parts = [submit("15550000001", b"part%d" % n, n, 2) for n in (1, 2)]
    rounds = [[script.behaviour(part) for part in parts] for _ in range(3)]
    assert rounds == [[THROTTLED] * 2, [THROTTLED] * 2, [DELIVERED] * 2]


def test_0002_and_0003_and_0004_end_as_the_table_says() -> None:
    script = texts(TIMING)
    assert script.behaviour(submit("15550000002")) == (
        Respond(),
        Wait(seconds=1.5),
        SendReceipt(stat="UNDELIV", err="001"),
    )
    refused = (Respond(command_status=CommandStatus.ESME_RINVDSTADR),)
    assert script.behaviour(submit("15550000003")) == refused
    assert script.behaviour(submit("15550000004")) == (Deliver(), Respond())


def test_0005_sends_the_receipt_before_the_response() -> None:
    steps = texts(TIMING).behaviour(submit("15550000005"))
    kinds = [type(step) for step in steps]
    assert kinds.index(SendReceipt) < kinds.index(Respond)


def test_0006_drops_without_a_response_on_the_first_submit_only() -> None:
    first, second, third = turns(texts(TIMING), submit("15550000006"), 3)
    assert Drop() in first and Deliver() in first and SendReceipt() in first
    assert not any(isinstance(step, Respond) for step in first)
    assert second == DELIVERED
    assert third == first


def test_0007_answers_well_after_the_response_timeout() -> None:
    first, second, third = turns(texts(TIMING), submit("15550000007"), 3)
    before_response = first[: first.index(Respond())]
    assert sum(step.seconds for step in before_response if isinstance(step, Wait)) == 16.0
    assert (second, third) == (DELIVERED, first)


@pytest.mark.parametrize("digits", ["0006", "0007"])
def test_a_long_text_misbehaves_once_at_its_last_part(digits: str) -> None:
    script = texts(TIMING)
    parts = [submit(f"1555000{digits}", b"part%d" % n, n, 3) for n in (1, 2, 3)]
    first = [script.behaviour(part) for part in parts]
    assert first[:2] == [DELIVERED, DELIVERED]
    assert first[2] != DELIVERED
    assert [script.behaviour(part) for part in parts] == [DELIVERED] * 3


def test_forgetting_starts_every_message_anew() -> None:
    script = texts(TIMING)
    assert turns(script, submit("15550000001"), 2) == [THROTTLED, THROTTLED]
    script.forget()
    assert script.behaviour(submit("15550000001")) == THROTTLED


def test_the_fixed_numbers_name_behaviours_that_exist() -> None:
    assert set(NUMBERS.values()) <= set(catalogue(TIMING))


def test_an_answer_by_name_adds_a_number_and_can_replace_a_fixed_one() -> None:
    script = texts(TIMING, named_answers(["0555=no-response", "0001=delivered"], TIMING))
    assert not any(isinstance(s, Respond) for s in script.behaviour(submit("15550000555")))
    assert script.behaviour(submit("15550000001")) == DELIVERED


@pytest.mark.parametrize(
    ("pair", "right"),
    [("0555=nonsense", "throttled-twice"), ("555=slow", "four digits"), ("slow", "four digits")],
)
def test_a_wrong_answer_is_refused_with_what_would_be_right(pair: str, right: str) -> None:
    with pytest.raises(ScriptError, match=right):
        named_answers([pair if "=" in pair else f"x={pair}"], TIMING)


def test_a_script_file_is_the_same_data(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_bytes(msgspec.json.encode({"0555": catalogue(TIMING)["late-response"]}))
    assert read_script(path) == {"0555": catalogue(TIMING)["late-response"]}


@pytest.mark.parametrize(
    "content",
    [b"{", b'{"0555": {"turns": []}}', b'{"0555": {"turns": [[{"do": "dance"}]]}}', b'{"5": {}}'],
)
def test_a_bad_script_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "script.json"
    path.write_bytes(content)
    with pytest.raises(ScriptError, match=r"script\.json"):
        read_script(path)


def test_what_is_counted_is_bounded() -> None:
    throttle_once = Answer(turns=(THROTTLED, DELIVERED))
    script = Script({"0001": throttle_once}, Answer(turns=(DELIVERED,)))
    oldest = submit("15550000001", b"oldest")
    assert script.behaviour(oldest) == THROTTLED
    for n in range(100_000):
        script.behaviour(submit("15550000001", b"%d" % n))
    assert script.behaviour(oldest) == THROTTLED

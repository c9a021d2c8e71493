"""The judge of crash runs: it must see each way in which a promise can be broken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.crash.judge import Evidence, Kill, Line, Verdict, judge, open_promises
from tests.crash.load import ENDINGS, Promise, text

WINDOW = 2
KILLS = (Kill(name="first", at=100.0), Kill(name="second", at=200.0))
SID, TO, BODY = "SM1", "+447700000001", "000001 text"
PART = "0500030702" + "01" + "ab"


def submit(at: float, payload: str = "aa", part: int = 1, esm_class: int = 0) -> Line:
    return {
        "at": at,
        "from": "+15550001000",
        "to": TO,
        "part": part,
        "payload": payload,
        "esm_class": esm_class,
    }


def callback(status: str, token: str = "", sid: str = SID) -> Line:
    return {
        "params": {"MessageSid": sid, "MessageStatus": status},
        "headers": {"I-Twilio-Idempotency-Token": token or f"JB{sid}{status}"},
    }


def good() -> Evidence:
    """One text, accepted before the first kill, that came to its end."""
    return Evidence(
        promises=[Promise(sid=SID, number=1, to=TO, body=BODY, segments=1, at=50.0)],
        submits=[submit(60.0)],
        texts=[{"to": TO, "body": BODY}],
        callbacks=[callback("sent"), callback("delivered")],
        known=[{"sid": SID, "to": TO, "body": BODY, "status": "delivered"}],
    )


def judged(evidence: Evidence, is_signed: Callable[[Line], bool] = lambda _: True) -> Verdict:
    return judge(evidence, KILLS, WINDOW, is_signed)


def test_what_came_to_its_end_is_no_problem() -> None:
    verdict = judged(good())
    assert list(verdict.problems) == []
    assert [row.accepted for row in verdict.rows] == [1, 0, 0]
    assert verdict.kills == 2 and open_promises(good()) == 0


@pytest.mark.parametrize(
    ("missing", "word"),
    [
        ({"texts": []}, "never whole"),
        ({"known": []}, "REST says nothing"),
        ({"callbacks": [callback("sent")]}, "no callback delivered"),
        ({"callbacks": [callback("delivered")]}, "no callback sent"),
        ({"texts": [{"to": TO, "body": BODY[:-1]}]}, "never whole"),
    ],
)
def test_a_lost_text_is_named(missing: dict[str, Any], word: str) -> None:
    evidence = replace(good(), **missing)
    verdict = judged(evidence)
    assert any(SID in problem and word in problem for problem in verdict.problems)
    assert verdict.rows[0].lost == 1 == open_promises(evidence)


def test_a_text_that_failed_is_a_problem_even_if_nobody_was_promised_it() -> None:
    stranger = {"sid": "SM2", "to": TO, "body": "000002", "status": "failed"}
    verdict = judged(replace(good(), known=[*good().known, stranger]))
    assert list(verdict.problems) == ["SM2 ended failed"]


def test_a_text_that_the_gateway_does_not_know_is_a_problem() -> None:
    texts = [*good().texts, {"to": TO, "body": "from nowhere"}]
    assert "does not know" in judged(replace(good(), texts=texts)).problems[0]


def test_duplicates_count_for_the_kill_after_the_copy_before() -> None:
    submits = [submit(60.0), submit(110.0), submit(210.0)]
    verdict = judged(replace(good(), submits=submits))
    assert [row.duplicates for row in verdict.rows] == [1, 1, 0]
    assert list(verdict.problems) == []


def test_what_left_just_before_a_kill_may_be_read_after_it() -> None:
    verdict = judged(replace(good(), submits=[submit(100.1), submit(110.0)]))
    assert [row.duplicates for row in verdict.rows] == [1, 0, 0]


def test_more_duplicates_than_the_window_are_a_problem() -> None:
    payloads = ["aa", "bb", "cc"]
    submits = [submit(at, payload) for at in (60.0, 110.0) for payload in payloads]
    verdict = judged(replace(good(), submits=submits))
    assert verdict.rows[0].duplicates == 3
    assert list(verdict.problems) == ["first: 3 PDUs went again, the window has 2"]


def test_a_duplicate_that_no_kill_explains_is_a_problem() -> None:
    verdict = judged(replace(good(), submits=[submit(210.0), submit(220.0)]))
    assert list(verdict.problems) == ["1 PDUs went again that no kill had interrupted"]


def test_parts_are_told_apart_by_what_is_behind_their_header() -> None:
    other = PART[:-2] + "cd"
    submits = [submit(60.0, PART, 1, 0x40), submit(61.0, other, 1, 0x40)]
    assert [row.duplicates for row in judged(replace(good(), submits=submits)).rows] == [0, 0, 0]


def test_a_part_that_goes_again_must_keep_its_reference() -> None:
    other = PART.replace("0702", "0802")
    submits = [submit(60.0, PART, 1, 0x40), submit(110.0, other, 1, 0x40)]
    verdict = judged(replace(good(), submits=submits))
    assert verdict.rows[0].duplicates == 1
    assert "another reference" in verdict.problems[0]


def test_a_callback_that_is_repeated_must_keep_its_token() -> None:
    again = [*good().callbacks, callback("sent")]
    assert list(judged(replace(good(), callbacks=again)).problems) == []
    again = [*good().callbacks, callback("sent", "JBother")]
    assert "another idempotency token" in judged(replace(good(), callbacks=again)).problems[0]


@pytest.mark.parametrize("told", [("delivered", "sent"), ("queued", "sent", "delivered")])
def test_callbacks_must_come_in_order_and_be_no_others(told: tuple[str, ...]) -> None:
    evidence = replace(good(), callbacks=[callback(status) for status in told])
    assert f"was told {', then '.join(told)}" in judged(evidence).problems[0]


def test_a_bad_signature_is_a_problem() -> None:
    verdict = judged(good(), lambda line: line["params"]["MessageStatus"] == "sent")
    assert list(verdict.problems) == [f"{SID}: the signature of delivered is wrong"]


def test_half_of_the_texts_have_three_parts_and_every_part_says_which_it_is() -> None:
    texts = [text(number) for number in range(400)]
    assert sum(segments == 3 for _, _, segments in texts) == 200
    assert len({to for to, _, _ in texts}) == 400
    assert {int(to[-4:]) for to, _, _ in texts} <= set(ENDINGS)
    for number, (_, body, segments) in enumerate(texts):
        room = len(body) // segments
        for part in range(segments):
            assert f"{number:06d}" in body[part * room : (part + 1) * room]

"""The judge of chaos: it must see each way in which a promise can be broken, and let nothing pass
that no blow explains.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.foreign import Record
from tests.chaos.judge import (
    Evidence,
    Interrupted,
    Interruption,
    Verdict,
    faults_of,
    judge,
    once,
    order_faults,
)
from tests.chaos.ledgers import Callback, Submit
from tests.chaos.load import REST, SUBMIT, Promise, Text, name_of, text

ONE, OTHER = text(1, REST), text(2, SUBMIT)
KEY = (ONE.to, 1, "aa")
FACTS = ((1, "SM1", "message.queued", 1), (2, "SM2", "message.queued", 1))
NOBODY = Interrupted(carriers={}, queues=())


def known(asked: Text, sid: str, status: str = "delivered") -> dict[str, str]:
    return {"sid": sid, "to": asked.to, "body": asked.body, "status": status}


def told(sid: str, status: str, at: float = 1.0, token: str = "", signed: bool = True) -> Callback:
    return Callback(at=at, sid=sid, status=status, token=token or f"JB{sid}{status}", signed=signed)


def sent(at: float, key: tuple[str, int, str] = KEY, reference: str = "") -> Submit:
    return Submit(at=at, key=key, reference=reference)


def good() -> Evidence:
    """A text over REST and one over Kafka that came to their ends."""
    return Evidence(
        asked=[ONE, OTHER],
        promises=[Promise(text=ONE, sid="SM1", at=0.0), Promise(text=OTHER, sid="", at=0.0)],
        known=[known(ONE, "SM1"), known(OTHER, "SM2")],
        texts=[(ONE.to, ONE.body), (OTHER.to, OTHER.body)],
        submits={"acme": [sent(1.0)], "beta": []},
        callbacks=[told(sid, state) for sid in ("SM1", "SM2") for state in ("sent", "delivered")],
        facts=FACTS,
        taken=FACTS,
        submitted=[name_of(OTHER.number)],
    )


def judged(interrupted: Interrupted = NOBODY, **changed: Any) -> Verdict:
    return judge(replace(good(), **changed), interrupted)


def interruption(began: float, ended: float, bound: int) -> Interruption:
    return Interruption(name=f"at {began:g}", began=began, ended=ended, bound=bound)


def test_what_came_to_its_end_is_no_problem() -> None:
    verdict = judged()
    assert verdict.problems == []
    assert (verdict.accepted, verdict.final, verdict.lost) == ({REST: 1, SUBMIT: 1}, 2, 0)
    assert (verdict.callbacks, verdict.repeats, verdict.facts) == (4, 0, 2)


@pytest.mark.parametrize(
    ("number", "word", "changed"),
    [
        (1, "REST lists 0", {"known": [known(OTHER, "SM2")]}),
        (2, "REST lists 0", {"known": [known(ONE, "SM1")]}),
        (2, "REST lists 2", {"known": [*good().known, known(OTHER, "SM3")]}),
        (1, "SM1 was promised, REST lists SM9", {"known": [known(ONE, "SM9"), good().known[1]]}),
        (1, "SM1 is failed", {"known": [known(ONE, "SM1", "failed"), good().known[1]]}),
        (2, "SM2 never came whole", {"texts": [(ONE.to, ONE.body), (OTHER.to, "half")]}),
        (1, "no callback sent", {"callbacks": good().callbacks[1:]}),
        (2, "no callback delivered", {"callbacks": good().callbacks[:-1]}),
    ],
)
def test_a_text_that_was_lost_is_named(number: int, word: str, changed: dict[str, Any]) -> None:
    verdict = judged(**changed)
    assert verdict.lost == 1 == len(faults_of(replace(good(), **changed)))
    assert any(p.startswith(f"text {number}: ") and word in p for p in verdict.problems)


def test_messages_and_texts_out_of_nowhere_are_problems() -> None:
    stranger = text(3, REST)
    assert judged(known=[*good().known, known(stranger, "SM3")]).problems == [
        "SM3 is a message that nobody asked for"
    ]
    assert judged(texts=[*good().texts, ("+49", "?")]).problems == [
        "a text to +49 arrived that the gateway does not know"
    ]


@pytest.mark.parametrize(
    ("callbacks", "word"),
    [
        ([told("SM1", "delivered"), told("SM1", "sent")], "was told delivered, then sent"),
        ([told("SM1", "sent"), told("SM1", "delivered", signed=False)], "signature"),
        ([*good().callbacks[:2], told("SM1", "sent", token="JBother")], "another token"),
        ([*good().callbacks[:2], told("SM1", "failed")], "was told sent, then delivered"),
    ],
)
def test_what_is_wrong_with_a_callback_is_named(callbacks: Sequence[Callback], word: str) -> None:
    problems = judged(callbacks=[*callbacks, *good().callbacks[2:]]).problems
    assert len(problems) == 1 and word in problems[0]


def test_a_copy_is_explained_by_a_blow_between_it_and_the_one_before() -> None:
    owner = Interrupted(carriers={"acme": [interruption(5.0, 5.0, 1)]}, queues=())
    verdict = judged(owner, submits={"acme": [sent(4.9), sent(9.0)]})
    assert verdict.problems == []
    assert (verdict.duplicates, verdict.may_duplicate) == ({"acme": 1}, {"acme": 1})


@pytest.mark.parametrize("times", [(1.0, 4.9), (5.3, 9.0)])
def test_a_copy_that_no_blow_explains_is_a_problem(times: tuple[float, float]) -> None:
    owner = Interrupted(carriers={"acme": [interruption(5.0, 5.0, 9)]}, queues=())
    verdict = judged(owner, submits={"acme": [sent(at) for at in times]})
    assert verdict.problems == ["1 submit_sm to acme went again that nothing had interrupted"]


def test_a_blow_explains_no_more_than_was_under_way() -> None:
    keys = [(ONE.to, part, "aa") for part in range(3)]
    copies = [sent(at, key) for at in (4.0, 9.0) for key in keys]
    owner = Interrupted(carriers={"acme": [interruption(5.0, 5.0, 2)]}, queues=())
    assert judged(owner, submits={"acme": copies}).problems == [
        "at 5: 1 submit_sm to acme more than its bound went again"
    ]
    again = Interrupted(
        carriers={"acme": [interruption(5.0, 5.0, 2), interruption(6.0, 8.0, 1)]}, queues=()
    )
    assert judged(again, submits={"acme": copies}).problems == []


def test_a_part_that_goes_again_keeps_its_reference() -> None:
    owner = Interrupted(carriers={"acme": [interruption(5.0, 5.0, 9)]}, queues=())
    submits = [sent(4.0, reference="05000301"), sent(9.0, reference="05000302")]
    assert judged(owner, submits={"acme": submits}).problems == [
        f"acme: a part to {ONE.to} went again under another reference"
    ]


def test_a_token_comes_again_only_when_its_owner_was_interrupted() -> None:
    callbacks = [*good().callbacks, told("SM2", "delivered", at=9.0)]
    assert judged(callbacks=callbacks).problems == [
        "1 callbacks went again that nothing had interrupted"
    ]
    stopped = Interrupted(carriers={}, queues=[interruption(0.5, 9.0, 1)])
    verdict = judged(stopped, callbacks=callbacks)
    assert verdict.problems == [] and (verdict.repeats, verdict.may_repeat) == (1, 1)


@pytest.mark.parametrize(
    ("taken", "word"),
    [
        (FACTS[:1], "is not in the clean topic"),
        ((*FACTS, FACTS[0]), "was taken twice"),
        ((*FACTS, (3, "SM3", "message.sent", 2)), "is in the clean topic alone"),
    ],
)
def test_each_fact_is_taken_once_and_none_is_missing(taken: Sequence[Any], word: str) -> None:
    problems = judged(taken=taken).problems
    assert len(problems) == 1 and word in problems[0] and "1 times: a fact" in problems[0]


def test_each_submit_is_in_the_clean_topic_once() -> None:
    assert "is not in" in judged(submitted=[]).problems[0]
    assert "twice" in judged(submitted=[name_of(2), name_of(2)]).problems[0]
    assert once("submit", [], []) == []


def test_versions_of_a_message_stand_in_their_order() -> None:
    def fact(sid: str, version: int) -> Record:
        return Record(
            cluster="primary",
            topic="t",
            partition=0,
            offset=0,
            at=0.0,
            headers={},
            value={"sid": sid, "version": version},
        )

    assert order_faults([fact("A", 1), fact("B", 7), fact("A", 1), fact("A", 2)]) == []
    assert order_faults([fact("A", 2), fact("A", 1)]) == ["A: version 1 stands behind 2"]

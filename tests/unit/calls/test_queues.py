"""The machine of a queue: who is joined to whom, and how each wait ends."""

import pytest

from gateway.calls.queues import Agent, Freed, Full, Greeting, Greets, Joins, Left, Queue
from twiml.call import QueueResult
from twiml.parameters import waiting_parameters

GREETS = Agent(call_sid="CAagent", greeting=Greeting.DOCUMENT)
AGENT = Agent(call_sid="CAagent")


def queue(*members: str, most: int = 100) -> Queue:
    made = Queue("QU1", most)
    for at, member in enumerate(members):
        assert made.enqueue(member, float(at)) == []
    return made


def test_who_waits_longest_is_first() -> None:
    waiting = queue("CA1", "CA2")

    assert waiting.dial(AGENT, 10.0) == [Joins("CA1", "CAagent")]
    assert waiting.dial(Agent(call_sid="CAother"), 11.0) == [Joins("CA2", "CAother")]


def test_who_dials_an_empty_queue_waits_too() -> None:
    empty = queue()
    assert empty.dial(AGENT, 1.0) == []
    assert empty.dial(Agent(call_sid="CAlater"), 2.0) == []

    assert empty.enqueue("CA1", 3.0) == [Joins("CA1", "CAagent")]
    assert empty.enqueue("CA2", 4.0) == [Joins("CA2", "CAlater")]


def test_who_dials_waits_for_nobody_in_a_queue_that_is_removed() -> None:
    empty = queue()
    empty.dial(AGENT, 1.0)
    empty.dial(Agent(call_sid="CAlater"), 2.0)

    gone = QueueResult.QUEUE_NOT_FOUND
    assert empty.close() == [Freed("CAagent", gone), Freed("CAlater", gone)]
    assert empty.close() == []
    assert empty.go("CAagent", 3.0) == []


def test_who_dials_may_have_waited_enough() -> None:
    empty = queue()
    empty.dial(AGENT, 1.0)

    assert empty.go("CAagent", 31.0) == [Freed("CAagent", QueueResult.QUEUE_EMPTY)]
    assert empty.enqueue("CA1", 32.0) == []


def test_one_member_is_taken_once() -> None:
    waiting = queue("CA1")
    assert waiting.dial(GREETS, 5.0) == [Greets("CA1", "CAagent")]

    assert waiting.dial(Agent(call_sid="CAother"), 5.0) == []
    assert waiting.waiting == ()
    assert waiting.greeted("CA1") == [Joins("CA1", "CAagent")]
    assert waiting.greeted("CA1") == []


def test_standing_and_times_are_told() -> None:
    waiting = queue("CA1", "CA2", "CA3", most=7)
    standing = waiting.standing("CA2", 11.0)

    assert standing is not None
    assert dict(waiting_parameters(standing)) == {
        "QueueSid": "QU1",
        "QueuePosition": "2",
        "QueueTime": "10",
        "AvgQueueTime": "10",
        "CurrentQueueSize": "3",
        "MaxQueueSize": "7",
    }
    waiting.leave("CA1", QueueResult.HANGUP, 12.0)
    moved = waiting.standing("CA2", 12.0)
    assert moved is not None
    assert moved.position == 1
    assert waiting.standing("CA1", 12.0) is None


def test_a_full_queue_takes_nobody() -> None:
    waiting = queue("CA1", "CA2", most=2)

    assert waiting.enqueue("CA3", 5.0) == Full()
    waiting.dial(AGENT, 6.0)
    assert waiting.enqueue("CA3", 7.0) == []


@pytest.mark.parametrize(
    ("why", "result"),
    [
        (QueueResult.HANGUP, QueueResult.HANGUP),
        (QueueResult.LEAVE, QueueResult.LEAVE),
        (QueueResult.REDIRECTED, QueueResult.REDIRECTED),
        (QueueResult.SYSTEM_ERROR, QueueResult.SYSTEM_ERROR),
    ],
)
def test_a_wait_ends_as_it_was_ended(why: QueueResult, result: QueueResult) -> None:
    waiting = queue("CA1")

    assert waiting.leave("CA1", why, 9.9) == [Left("CA1", result, 9)]
    assert waiting.leave("CA1", why, 10.0) == []


@pytest.mark.parametrize(
    ("why", "greeted", "joined"),
    [
        (QueueResult.HANGUP, QueueResult.BRIDGING, QueueResult.BRIDGED),
        (QueueResult.REDIRECTED, QueueResult.BRIDGING, QueueResult.REDIRECTED_FROM_BRIDGED),
    ],
)
def test_the_end_of_one_is_that_of_the_other(
    why: QueueResult, greeted: QueueResult, joined: QueueResult
) -> None:
    for agent, result in ((GREETS, greeted), (AGENT, joined)):
        waiting = queue("CA1")
        waiting.dial(agent, 5.0)

        assert waiting.leave("CA1", why, 60.0) == [
            Left("CA1", result, 5),
            Freed("CAagent", result, "CA1", 5),
        ]


def test_an_agent_who_goes_lets_the_member_go_on() -> None:
    for agent, result in ((GREETS, QueueResult.BRIDGING), (AGENT, QueueResult.BRIDGED)):
        waiting = queue("CA1")
        waiting.dial(agent, 5.0)

        assert waiting.go("CAagent", 60.0) == [
            Left("CA1", result, 5),
            Freed("CAagent", result, "CA1", 5),
        ]
        assert waiting.go("CAagent", 60.0) == []


def test_who_hung_up_while_greeted_is_not_joined() -> None:
    waiting = queue("CA1")
    waiting.dial(GREETS, 5.0)
    waiting.leave("CA1", QueueResult.HANGUP, 6.0)

    assert waiting.greeted("CA1") == []

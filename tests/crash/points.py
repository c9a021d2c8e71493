"""The places at which the gateway is killed, by name: between two steps that a promise spans.

Each is a function of the product and a side of it; nothing in the product knows. A passage
counts only if the arguments are about what the name says.
"""

import asyncio
import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from carriers.events import Receipted, Submitted
from gateway.calls import tables
from gateway.calls.model import CallStatus
from gateway.messages import records


class Side(Enum):
    """Where in a call of the function the process ends."""

    BEFORE = "before it"
    AFTER = "after it"
    WRITTEN = "when what it writes has gone to the socket"
    STALLED = "when what was written before it has gone to the socket; it does not begin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place; `where` is module:qualified name, `counts` says which calls are passages.

    One that belongs to the start is passed by what the last run left, the others under load.
    """

    name: str
    meaning: str
    where: str
    side: Side
    counts: Callable[..., bool]
    at_start: bool = False


def _always(*_: Any) -> bool:
    return True


def _accepts(_: Any, commits: Sequence[Any]) -> bool:
    return any(statement == records.INSERT for writes, *_ in commits for statement, _ in writes)


def _begins(_: Any, commits: Sequence[Any]) -> bool:
    return any(statement == tables.INSERT for writes, *_ in commits for statement, _ in writes)


def _is_answered(_: Any, commits: Sequence[Any]) -> bool:
    return any(
        statement == tables.UPDATE and CallStatus.IN_PROGRESS in row
        for writes, *_ in commits
        for statement, row in writes
    )


def _submits(_: Any, carrier: str, submissions: Sequence[Any], now: float) -> bool:
    return bool(submissions)


def _has(kind: type) -> Callable[..., bool]:
    def counts(_: Any, events: Sequence[Any]) -> bool:
        return any(isinstance(event, kind) for event in events)

    return counts


def _settles(_: Any, changes: Any) -> bool:
    return any(isinstance(event, Submitted) for event in changes.settled)


def _answers(_: Any, changes: Any) -> bool:
    return bool(changes.answers)


_UNDER_LOAD: Final = tuple(
    Point(name=name, meaning=meaning, where=where, side=side, counts=counts)
    for name, meaning, where, side, counts in (
        (
            "before-commit",
            "rows of an accept are written, the transaction is open",
            "gateway.store.sqlite_writer:Writer._run",
            Side.AFTER,
            _accepts,
        ),
        (
            "after-commit",
            "an accept is durable, its 201 has not left",
            "gateway.messages.service:Messages.accepted",
            Side.BEFORE,
            _always,
        ),
        (
            "before-submit",
            "`sending` is durable, the submit_sm has not left",
            "carriers.network:Network.submit",
            Side.BEFORE,
            _submits,
        ),
        (
            "after-submit",
            "the submit_sm is written, nothing of an answer is processed",
            "carriers.network:Network.submit",
            Side.WRITTEN,
            _submits,
        ),
        (
            "after-response",
            "the response is read, not committed",
            "gateway.messages.follow:Follower._process",
            Side.BEFORE,
            _has(Submitted),
        ),
        (
            "mid-response-commit",
            "the response is about to be committed, what was written has left",
            "gateway.messages.commit:Committer._make_durable",
            Side.STALLED,
            _settles,
        ),
        (
            "after-response-commit",
            "`sent` is durable, its callback has not been tried",
            "gateway.messages.commit:Committer._make_durable",
            Side.AFTER,
            _settles,
        ),
        (
            "after-receipt",
            "the receipt is read, not committed",
            "gateway.messages.follow:Follower._process",
            Side.BEFORE,
            _has(Receipted),
        ),
        (
            "mid-receipt-commit",
            "the receipt is about to be committed, what was written has left",
            "gateway.messages.commit:Committer._make_durable",
            Side.STALLED,
            _answers,
        ),
        (
            "after-receipt-commit",
            "the receipt is durable, its deliver_sm_resp has not left",
            "carriers.network:Network.answer",
            Side.BEFORE,
            _always,
        ),
        (
            "mid-callback",
            "the request is written, the app's answer is not read",
            "gateway.webhooks.exchange:_ask",
            Side.WRITTEN,
            _always,
        ),
        (
            "after-callback",
            "the app has answered, that is not stored",
            "gateway.webhooks.fetch:Fetcher.notify",
            Side.AFTER,
            _always,
        ),
    )
)
CALL_POINTS: Final = tuple(
    Point(name=name, meaning=meaning, where=where, side=side, counts=counts, at_start=at_start)
    for name, meaning, where, side, counts, at_start in (
        (
            "before-call-commit",
            "rows of a call are written, the transaction is open",
            "gateway.store.sqlite_writer:Writer._run",
            Side.AFTER,
            _begins,
            False,
        ),
        (
            "before-answer-commit",
            "rows of an answer are written, the transaction is open",
            "gateway.store.sqlite_writer:Writer._run",
            Side.AFTER,
            _is_answered,
            False,
        ),
        (
            "after-answer-commit",
            "an answer is durable, its 200 has not left",
            "gateway.calls.sip_leg:SipLeg.answer",
            Side.BEFORE,
            _always,
            False,
        ),
        (
            "before-acknowledgement",
            "a callee's answer is durable, its ACK has not left",
            "gateway.calls.sip_leg:SipLeg.confirm",
            Side.BEFORE,
            _always,
            False,
        ),
        (
            "after-acknowledgement",
            "the ACK of a callee's answer is written",
            "gateway.calls.sip_leg:SipLeg.confirm",
            Side.WRITTEN,
            _always,
            False,
        ),
        (
            "mid-end",
            "the answer to a BYE is written, its end may not be stored",
            "gateway.calls.line:Line.end",
            Side.WRITTEN,
            _always,
            False,
        ),
        (
            "during-release",
            "a far end of the last run was told, and that is stored; others were not",
            "gateway.calls.restart:Restart._release",
            Side.AFTER,
            _always,
            True,
        ),
    )
)
_AT_START: Final = (
    Point(
        name="during-recovery",
        meaning="what was being sent goes back to the queue, half of it",
        where="gateway.messages.settle:Settler.recovered",
        side=Side.AFTER,
        counts=_always,
        at_start=True,
    ),
    Point(
        name="before-ready",
        meaning="messages and jobs of the last run are taken up, nobody is listening yet",
        where="gateway.core.runner:JobRunner.recover",
        side=Side.AFTER,
        counts=_always,
        at_start=True,
    ),
)
POINTS: Final = (*_UNDER_LOAD, *_AT_START)
BY_NAME: Final = {point.name: point for point in (*POINTS, *CALL_POINTS)}


def owner_of(point: Point) -> tuple[Any, str]:
    """The class or module that has the function of `point`, and the function's name in it.

    Raises `AttributeError` if the product has no such function (any more).
    """
    module, _, path = point.where.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        owner = getattr(owner, each)
    getattr(owner, name)
    return owner, name


def arm(
    point: Point,
    is_due: Callable[[], bool],
    die: Callable[[], None],
    soon: Callable[[Callable[[], None]], None],
) -> None:
    """Call `die` at the passage of `point` for which `is_due`, asked at each, says so.

    `soon(f)` calls `f` when what the event loop has to write is written.
    """
    owner, name = owner_of(point)
    original = getattr(owner, name)

    def begins(arguments: tuple[Any, ...]) -> bool:
        ends_here = point.counts(*arguments) and is_due()
        if ends_here and point.side is Side.BEFORE:
            die()
        elif ends_here and point.side in (Side.WRITTEN, Side.STALLED):
            soon(die)
        return ends_here

    @functools.wraps(original)
    async def awaited(*arguments: Any, **named: Any) -> Any:
        ends_here = begins(arguments)
        if ends_here and point.side is Side.STALLED:
            await asyncio.get_running_loop().create_future()
        result = await original(*arguments, **named)
        if ends_here and point.side is Side.AFTER:
            die()
        return result

    @functools.wraps(original)
    def called(*arguments: Any, **named: Any) -> Any:
        ends_here = begins(arguments)
        result = original(*arguments, **named)
        if ends_here and point.side is Side.AFTER:
            die()
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(original) else called)

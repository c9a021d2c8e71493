"""How often a call is written: what it went through in a few milliseconds goes together."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.calls import keeping
from gateway.calls.book import Book
from gateway.calls.keeping import Keeping
from gateway.calls.line import Line
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus
from gateway.store.base import Lease, Write
from gateway.webhooks.callbacks import Patience

PATIENCE = 60.0


class Store:
    """Has each commit written; `commits` are the tables of each."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.came = asyncio.Event()

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        self.commits.append([statement.table for statement, _ in writes])
        self.came.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class World:
    """Two lines of one call: who called, and whom it calls."""

    def __init__(self) -> None:
        self.store: Any = Store()
        self.keeping = Keeping(self.store, lambda: None, lambda job: None, "CA1")
        self._book = Book(self.store, lambda: None)
        self.caller = self._line("CA1", CallDirection.INBOUND)
        self.callee = self._line("CA2", CallDirection.OUTBOUND_DIAL)

    def _line(self, sid: str, direction: CallDirection) -> Line:
        is_inbound = direction is CallDirection.INBOUND
        call = Call(
            account_sid="AC1",
            sid=sid,
            direction=direction,
            status=CallStatus.RINGING if is_inbound else CallStatus.INITIATED,
            from_address="+15550002000",
            to_address="+15550001000",
            date_created=0.0,
            date_updated=0.0,
        )
        return Line(
            call,
            book=self._book,
            keeping=self.keeping,
            patience=Patience(retry_for=0.0),
            clock=lambda: 1.0,
        )


def leg(sid: str, direction: CallDirection) -> CallLeg:
    return CallLeg(account_sid="AC1", sid=sid, direction=direction, began=0.0)


async def test_a_call_is_written_with_whom_it_calls_and_with_both_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "_MOMENT", 10 * PATIENCE)
    world = World()
    world.caller.begin(leg("CA1", CallDirection.INBOUND))
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.store.commits == []
    world.callee.begin(None)
    world.callee.trying(leg("CA2", CallDirection.OUTBOUND_DIAL))
    await world.keeping.durable()
    begun = ["calls", "call_legs", "facts", "calls", "facts", "call_legs"]
    assert world.store.commits == [begun]
    world.callee.move(CallStatus.RINGING)
    world.callee.move(CallStatus.IN_PROGRESS)
    for _ in range(5):
        await asyncio.sleep(0)
    world.caller.move(CallStatus.IN_PROGRESS)
    async with asyncio.timeout(PATIENCE):
        await world.keeping.durable()
    assert world.store.commits == [begun, 3 * ["calls", "facts"]]


async def test_a_call_that_calls_nobody_is_written_in_a_moment() -> None:
    world = World()
    world.caller.begin(leg("CA1", CallDirection.INBOUND))
    async with asyncio.timeout(PATIENCE):
        await world.store.came.wait()
    assert world.store.commits == [["calls", "call_legs", "facts"]]

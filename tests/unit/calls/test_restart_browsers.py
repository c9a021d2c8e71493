"""Calls of browsers whose process died: they are over, and talked for as long as they stood."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.calls.book import Book
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Party
from gateway.calls.restart import Restart
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience

CALL = Call(
    account_sid="AC" + "1" * 32,
    sid="CA" + "1" * 32,
    direction=CallDirection.INBOUND,
    status=CallStatus.RINGING,
    from_address="client:alice",
    to_address="",
    owner="dead",
    date_created=1.0,
    date_updated=1.0,
)
LEG = CallLeg(
    account_sid=CALL.account_sid,
    sid=CALL.sid,
    direction=CallDirection.INBOUND,
    transport="WSS",
    call_id=f"{CALL.sid}.1",
    began=1.0,
)
UP = msgspec.structs.replace(CALL, status=CallStatus.IN_PROGRESS, started=2.0)


async def nothing() -> None:
    """There is nothing else to end."""


@pytest.mark.parametrize(
    ("call", "status", "answered"),
    [(CALL, CallStatus.FAILED, 0.0), (UP, CallStatus.COMPLETED, 2.0)],
)
async def test_what_stood_ended_with_the_process(
    tmp_path: Path, call: Call, status: CallStatus, answered: float
) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    book = Book(store, lambda: None)
    house: Any = SimpleNamespace(
        book=book,
        ladder=SimpleNamespace(take=lambda ids: []),
        owner="me",
        clock=lambda: 10.0,
        patience=Patience(retry_for=60.0),
        offer=lambda job: None,
    )
    try:
        await book.commit(book.begun(call, LEG))
        restart = Restart(house, is_shared=lambda: False)
        await restart.begin(nothing)
        await restart.close()
        ended = await book.get(call.account_sid, call.sid)
        (leg,) = await book.legs(call.sid)
    finally:
        await store.close()
    assert ended is not None
    assert ended.status is status
    assert (leg.answered, leg.ended, leg.released_by) == (answered, 10.0, Party.RESTART)

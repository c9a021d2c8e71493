"""Calls in every store: what a commit of the book leaves, and what is found of it."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api.call_lists import LISTING, Filters, statuses_of
from gateway.api.paging import Page
from gateway.calls import orders, tables
from gateway.calls.book import BY_STATUS, Book, advanced, changed_at
from gateway.calls.cdr import record_of, records
from gateway.calls.ladder_file import ladder_of
from gateway.calls.model import (
    OVER,
    TRANSITIONS,
    Call,
    CallDirection,
    CallLeg,
    CallStatus,
    Crossing,
    Party,
    Quality,
)
from gateway.calls.orders_watch import OrderWatcher
from gateway.core.records import tables as job_tables
from gateway.core.runner import Job
from gateway.events import FactType
from gateway.messages import trace
from gateway.sids import CALL, JOB, first_sid, new_sid
from gateway.store.base import Stale, Store
from protocols.sip.session_saved import Saved, SavedDialog
from protocols.sip.transport import Flow, Hop, Transport
from tests.contract.backends import SHARED
from tests.contract.rows import facts_of

ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
NOW = 1_800_000_000.0
PATIENCE = 60.0  # seconds until a test fails that waits for something
INVITE = b"INVITE sip:a@b SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"
FLOW = Flow(id=3, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("198.51.100.7", 5062))
HOP = Hop(transport=Transport.TLS, host="2001:db8::7", port=5061, domain="carrier.example")


def dialog(local: str = "<sip:us@192.0.2.1>;tag=a") -> SavedDialog:
    return SavedDialog(
        call_id="c1@b",
        local=local,
        remote="<sip:them@198.51.100.7>;tag=b",
        target="sip:them@198.51.100.7:5062",
        routes=("<sip:edge.example;lr>",),
        local_cseq=1,
        remote_cseq=None,
    )


def a_call(number: int = 1, **fields: Any) -> Call:
    given = {
        "account_sid": ACCOUNT,
        "sid": f"{first_sid(CALL, NOW + number)}{number:016x}",
        "direction": CallDirection.INBOUND,
        "status": CallStatus.RINGING,
        "from_address": "+447700900123",
        "to_address": "+15550001000",
        "owner": "w",
        "date_created": NOW,
        "date_updated": NOW,
    }
    return Call(**given | fields)


def leg_of(call: Call, **fields: Any) -> CallLeg:
    given = {
        "account_sid": call.account_sid,
        "sid": call.sid,
        "direction": call.direction,
        "began": NOW,
    }
    return CallLeg(**given | fields)


def a_job(call: Call) -> Job:
    return Job(
        id=new_sid(JOB, NOW),
        kind="call_status",
        account_sid=call.account_sid,
        endpoint="https://app.example",
        sequence=call.sid,
        sid=call.sid,
        payload="{}",
        created_at=NOW,
        expire_at=NOW + 60,
    )


def after(call: Call, status: CallStatus, at: float, **also: Any) -> Call:
    found = advanced(call, status, at, **also)
    assert found is not None
    return found


@pytest.fixture
def book(store: Store) -> Book:
    return Book(store, lambda: None)


async def test_a_call_is_given_back_whole(store: Store, book: Book) -> None:
    full = a_call(
        parent_sid=f"CA{9:032x}",
        caller_name="Zoë",
        forwarded_from="+15550001009",
        phone_number_sid=f"PN{1:032x}",
        carrier="acme",
        domain="office.example",
        origin=f"number:PN{1:032x}",
        status_callback="https://app.example/status",
        status_callback_method="GET",
        status_callback_events=("initiated", "completed"),
        error_code=11200,
        sip_code=183,
        reason="because",
        started=NOW + 1,
        ended=NOW + 2.5,
        version=7,
    )
    leg = leg_of(
        full,
        attempt=2,
        carrier="acme",
        peer="sip:198.51.100.7:5062",
        transport="UDP",
        call_id="c1@b",
        saved=Saved(invite=INVITE, dialog=dialog(), flow=FLOW),
        ringing=NOW + 0.5,
        answered=NOW + 1,
        ended=NOW + 2.5,
        sip_code=200,
        cause="BYE",
        released_by=Party.PEER,
        codec_received="PCMA/8000",
        codec_sent="PCMU/8000",
        received=Quality(packets=100, lost=2, jitter=0.004, mos=4.3),
        sent=Quality(packets=99),
    )
    bare, bare_leg = a_call(2), leg_of(a_call(2), saved=Saved(hop=HOP))
    await book.commit([*book.begun(full, leg, [a_job(full)]), *book.begun(bare, bare_leg)])
    assert await book.get(ACCOUNT, full.sid) == full
    assert await book.get(ACCOUNT, bare.sid) == bare
    assert await book.legs(full.sid) == [leg]
    assert await book.legs(bare.sid) == [bare_leg]
    assert await book.get(OTHER, full.sid) is None


async def test_a_session_that_another_version_wrote_is_passed_over(
    store: Store, book: Book
) -> None:
    call = a_call()
    leg = leg_of(call, saved=Saved(hop=HOP))
    await book.commit(book.begun(call, leg))
    for written in ('{"hop": 7}', "no JSON", "[]"):
        _, row = tables.leg_updated(leg)
        (at,) = [i for i, each in enumerate(row) if "192.0.2" in str(each) or "hop" in str(each)]
        await store.commit([(tables.LEG_UPDATE, (*row[:at], written, *row[at + 1 :]))])
        (found,) = await book.legs(call.sid)
        assert found == leg_of(call)


async def test_what_a_peer_wrote_that_no_text_can_hold(store: Store, book: Book) -> None:
    bad = "caf\udce9 \0"
    call = a_call(from_address=bad, caller_name=bad, reason=bad)
    leg = leg_of(
        call, peer=bad, call_id=bad, cause=bad, saved=Saved(dialog=dialog("\udce9<sip:a>"))
    )
    await book.commit(book.begun(call, leg))
    found, (found_leg,) = await book.get(ACCOUNT, call.sid), await book.legs(call.sid)
    assert found is not None
    assert {found.from_address, found.caller_name, found.reason} == {"caf\ufffd \ufffd"}
    assert {found_leg.peer, found_leg.call_id, found_leg.cause} == {"caf\ufffd \ufffd"}
    assert found_leg.saved == leg.saved  # or the far end would not know the BYE
    ended = after(call, CallStatus.FAILED, NOW, reason=bad)
    await book.commit(book.ended(ended, leg))
    found = await book.get(ACCOUNT, call.sid)
    assert found is not None and found.reason == "caf\ufffd \ufffd"


async def test_a_call_from_beginning_to_end(store: Store, book: Book) -> None:
    call = a_call(status=CallStatus.QUEUED, carrier="acme", origin="rest")
    first = leg_of(call, carrier="acme", saved=Saved(invite=INVITE, hop=HOP))
    await book.commit(book.begun(call, first, [a_job(call)]))
    gone = msgspec.structs.replace(
        first, saved=None, ended=NOW + 1, sip_code=503, cause="503 Busy lines"
    )
    second = leg_of(call, attempt=2, carrier="beta", began=NOW + 1)
    await book.commit([*book.tried(call, gone), *book.trying(second)])
    call = after(call, CallStatus.RINGING, NOW + 2, carrier="beta")
    second = msgspec.structs.replace(second, ringing=NOW + 2)
    await book.commit(book.changed(call, [a_job(call)], second))
    call = after(call, CallStatus.IN_PROGRESS, NOW + 3)
    await book.commit(book.changed(call))
    call = changed_at(call, NOW + 4, origin="rest")
    await book.commit(book.updated(call))
    call = after(call, CallStatus.COMPLETED, NOW + 10.6, sip_code=200, reason="hangup")
    second = msgspec.structs.replace(second, ended=NOW + 10.6, released_by=Party.PEER)
    crossing = Crossing(NOW, True, "UDP", ("192.0.2.1", 5060), ("198.51.100.7", 5060), INVITE)
    await book.commit(book.ended(call, second, [crossing], [a_job(call)]))

    assert await book.get(ACCOUNT, call.sid) == call
    assert (call.duration, call.version) == (8, 5)
    assert await book.legs(call.sid) == [gone, second]
    facts = await facts_of(store, 6)
    assert [(each.type, each.version, each.at) for each in facts] == [
        ("call.queued", 1, NOW),
        ("call.tried", 1, NOW + 1),
        ("call.ringing", 2, NOW + 2),
        ("call.answered", 3, NOW + 3),
        ("call.updated", 4, NOW + 4),
        ("call.completed", 5, NOW + 10.6),
    ]
    said = [msgspec.json.decode(each.data) for each in facts]
    assert said[0] == {"direction": "inbound", "carrier": "acme", "origin": "rest"}
    assert said[1] == {"attempt": 1, "carrier": "acme", "sip_code": 503}
    assert said[-1] == {
        "direction": "inbound",
        "carrier": "beta",
        "duration": 8,
        "sip_code": 200,
        "released_by": "peer",
    }
    jobs = job_tables(int(NOW) // 3600)
    assert len(await store.fetch(jobs.of_sid, call.sid)) == 3
    assert ladder_of(await store.fetch(tables.TRACE, call.sid)) == [crossing]

    await book.commit(tables.deleted(ACCOUNT, call.sid))
    assert await book.get(ACCOUNT, call.sid) is None
    assert await book.legs(call.sid) == []
    assert await store.fetch(tables.TRACE, call.sid) == []


async def test_a_whole_call_in_one_commit_beside_others(store: Store, book: Book) -> None:
    """Changes gather while a commit is under way, and go together."""
    futures, wanted = [], []
    for number in range(60):
        call = a_call(number)
        leg = leg_of(call, saved=Saved(invite=INVITE, hop=HOP))
        writes = book.begun(call, leg)
        call = after(call, CallStatus.IN_PROGRESS, NOW + 1)
        writes += book.changed(call, leg=msgspec.structs.replace(leg, answered=NOW + 1))
        call = changed_at(call, NOW + 2, origin="x")
        writes += book.updated(call)
        gone = msgspec.structs.replace(leg, saved=None, answered=NOW + 1, ended=NOW + 3)
        writes += book.tried(call, gone)
        second = leg_of(call, attempt=2)
        writes += [*book.trying(second), *book.leg_changed(second)]
        call = after(call, CallStatus.COMPLETED, NOW + 5)
        second = msgspec.structs.replace(second, ended=NOW + 5)
        writes += book.ended(call, second)
        futures.append(book.commit(writes))
        wanted.append((call, [gone, second]))
    await asyncio.gather(*futures)
    for call, legs in wanted:
        assert await book.get(ACCOUNT, call.sid) == call
        assert await book.legs(call.sid) == legs
    told = [each.type for each in await facts_of(store, 300) if each.sid == wanted[0][0].sid]
    assert told == [
        "call.ringing",
        "call.answered",
        "call.updated",
        "call.tried",
        "call.completed",
    ]


async def test_numbers_and_words_stay_out_of_facts(store: Store, book: Book) -> None:
    call = a_call(reason="no route to +447700900123", caller_name="Zoë")
    leg = leg_of(call, peer="sip:+447700900123@carrier.example", cause="486 of Zoë")
    ended = after(call, CallStatus.BUSY, NOW, sip_code=486)
    writes = [*book.begun(call, leg), *book.tried(call, leg), *book.ended(ended, leg)]
    await book.commit(writes)
    for fact in await facts_of(store, 3):
        assert "+" not in fact.data and "Zo" not in fact.data and "486 of" not in fact.data


async def test_a_state_that_somebody_else_changed_is_not_written_over(
    store: Store, book: Book
) -> None:
    call = a_call()
    await book.commit(book.begun(call, None))
    ended = after(call, CallStatus.CANCELED, NOW + 1)
    await book.commit(book.ended(ended))
    with pytest.raises(Stale):
        await book.commit(book.changed(after(call, CallStatus.IN_PROGRESS, NOW + 1)))


async def test_whose_calls_are_open_and_which(store: Store, book: Book) -> None:
    member = await store.renew("here", 600.0)
    calls = [a_call(n, owner=("gone", "here", "away")[n % 3]) for n in range(450)]
    for call in calls:
        book.commit(book.begun(call, None))
    over = [after(call, CallStatus.FAILED, NOW) for call in calls[0:30]]
    await asyncio.gather(*(book.commit(book.ended(call)) for call in over))
    assert await book.orphaned() == ["away", "gone"]
    pages = [page async for page in book.open_of("gone")]
    assert [len(page) for page in pages] == [140]
    assert [call for page in pages for call in page] == calls[30::3]
    many = [a_call(1000 + n, owner="many") for n in range(401)]
    await asyncio.gather(*(book.commit(book.begun(call, None)) for call in many))
    assert [len(page) async for page in book.open_of("many")] == [200, 200, 1]
    await store.renew("here", 0.0)
    assert member.holder in await book.orphaned()


@pytest.mark.parametrize("status", CallStatus)
def test_every_state_has_its_fact_and_its_times(status: CallStatus) -> None:
    assert BY_STATUS[status] in FactType
    for following in CallStatus:
        found = advanced(a_call(status=status), following, NOW + 9, sip_code=1)
        if following not in TRANSITIONS[status]:
            assert found is None
            continue
        assert found is not None
        assert (found.status, found.version, found.date_updated) == (following, 2, NOW + 9)
        assert found.ended == (NOW + 9 if following in OVER else 0.0)
        assert found.started == (NOW + 9 if following is CallStatus.IN_PROGRESS else 0.0)


async def test_lists_and_records_are_read_with_every_filter(store: Store, book: Book) -> None:
    calls = [a_call(n, parent_sid=f"CA{9:032x}") for n in range(5)]
    answered = [after(call, CallStatus.IN_PROGRESS, NOW + 1) for call in calls]
    over = [after(call, CallStatus.COMPLETED, NOW + 5) for call in answered]
    for call, stood, end in zip(calls, answered, over, strict=True):
        leg = leg_of(call)
        await book.commit([*book.begun(call, leg), *book.changed(stood), *book.ended(end, leg)])
    await book.commit(book.begun(a_call(9, account_sid=OTHER), None))
    filters = Filters(
        to_address=calls[0].to_address,
        from_address=calls[0].from_address,
        parent_sid=calls[0].parent_sid,
        statuses=statuses_of("completed"),
        started=(NOW, NOW + 2),
        ended=(NOW, NOW + 6),
    )
    first = await LISTING.page(store, ACCOUNT, filters, Page(number=0, size=3))
    assert (first.rows, first.older) == (over[:1:-1], True)
    page = Page(number=1, size=3, after=first.sids[-1])
    assert (await LISTING.page(store, ACCOUNT, filters, page)).rows == over[1::-1]
    back = Page(number=0, size=3, before=over[1].sid)
    assert (await LISTING.page(store, ACCOUNT, Filters(), back)).rows == first.rows
    assert not (await LISTING.page(store, OTHER, filters, Page(number=0, size=3))).rows
    found = [each async for each in records(store, ACCOUNT, NOW, NOW + 4)]
    assert found == [[record_of(call, leg_of(call)) for call in over[:4]]]


# -- orders -----------------------------------------------------------------------------------


class Mine:
    """The calls of a process: those in `sids`."""

    def __init__(self, *sids: str) -> None:
        self.sids = sids
        self.carried_out: list[tuple[str, str, orders.Order]] = []
        self.fails = False

    async def order(self, account_sid: str, sid: str, order: orders.Order) -> Call | None:
        if sid not in self.sids:
            return None
        self.carried_out.append((account_sid, sid, order))
        if self.fails:
            raise ValueError("a defect")
        return a_call()


REDIRECT = orders.Redirect(
    url="https://app.example/next", method="GET", fallback_url="https://b.ex"
)


async def test_orders_are_taken_by_whoever_has_the_call_in_their_order(store: Store) -> None:
    one, two = f"CA{1:032x}", f"CA{2:032x}"
    left = [REDIRECT, orders.Redirect(twiml="<Response/>"), orders.Cancel(), orders.Complete()]
    for order in left:
        await orders.leave(store, ACCOUNT, one, order, NOW)
    theirs = await orders.leave(store, OTHER, two, orders.Complete(), NOW)
    mine = Mine(one)
    assert await OrderWatcher(store, mine).look() == 4
    assert mine.carried_out == [(ACCOUNT, one, order) for order in left]
    assert [each.id for each in await orders.waiting(store)] == [theirs]
    assert not await orders.taken(store, two, theirs, 0.1)
    assert await OrderWatcher(store, mine).look() == 0


async def test_many_orders_are_found_page_by_page(store: Store) -> None:
    sids = [f"CA{n:032x}" for n in range(450)]
    await asyncio.gather(
        *(orders.leave(store, ACCOUNT, sid, orders.Complete(), NOW) for sid in sids)
    )
    mine = Mine(*sids[::2])
    assert await OrderWatcher(store, mine).look() == 225
    assert [sid for _, sid, _ in mine.carried_out] == sids[::2]


async def test_a_defect_in_one_call_does_not_keep_the_orders_of_others(store: Store) -> None:
    one, two = f"CA{1:032x}", f"CA{2:032x}"
    for sid in (one, two):
        await orders.leave(store, ACCOUNT, sid, orders.Complete(), NOW)
    mine = Mine(one, two)
    mine.fails = True
    assert await OrderWatcher(store, mine).look() == 2
    assert len(mine.carried_out) == 2
    assert await orders.waiting(store) == []


async def test_a_watcher_takes_what_comes(store: Store) -> None:
    sid = f"CA{1:032x}"
    watcher = OrderWatcher(store, Mine(sid))
    watcher.start()
    id = await orders.leave(store, ACCOUNT, sid, orders.Cancel(), time.time())
    assert await orders.taken(store, sid, id, PATIENCE)
    await watcher.close()


@pytest.mark.parametrize("name", SHARED)
async def test_other_processes_hear_of_an_order(name: str, tmp_path: Path) -> None:
    backend = SHARED[name](tmp_path)
    here, there = await backend.open(), await backend.open()
    heard = there.watch(orders.HINT)
    async with asyncio.timeout(PATIENCE):
        while not heard.is_set():  # a hint may get lost
            await orders.leave(here, ACCOUNT, f"CA{1:032x}", orders.Cancel(), NOW)
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), 1.0)
    assert await orders.waiting(there)
    await backend.close_all()


async def test_a_ladder_in_the_trace_is_told_from_pdus(store: Store) -> None:
    sid = f"CA{1:032x}"
    crossing = Crossing(NOW, False, "TCP", ("::1", 5060), ("::2", 7), INVITE)
    await store.commit(
        [trace.kept(sid, [trace.Frame(NOW, True, b"pdu")]), tables.ladder_kept(sid, [crossing])]
    )
    assert ladder_of(await store.fetch(tables.TRACE, sid)) == [crossing]

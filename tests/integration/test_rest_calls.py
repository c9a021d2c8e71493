"""Calls over REST: as the official SDK sees them, and what is shown of them beside it."""

import csv
import io
import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_world import World, rest_world
from twilio.base.exceptions import TwilioRestException
from typer.testing import CliRunner

from gateway.calls import orders, tables
from gateway.calls.book import Book, advanced, changed_at
from gateway.calls.cdr import COLUMNS
from gateway.calls.documents import Exchange
from gateway.calls.model import (
    OVER,
    Call,
    CallDirection,
    CallLeg,
    CallStatus,
    Crossing,
    Party,
    Quality,
)
from gateway.calls.orders import Amend, Cancel, Complete, Order, Redirect
from gateway.calls.orders_watch import OrderWatcher
from gateway.cli import app
from gateway.messages import notifications
from gateway.sids import CALL, first_sid
from gateway.store.base import Query

NOW = 1_795_168_800.0  # 2026-11-20T10:00:00Z
DAY = 86400.0
SECRET = b'Authorization: Digest username="u", response="0123456789abcdef"'
INVITE = b"INVITE sip:bob@example.com SIP/2.0\r\n" + SECRET + b"\r\nContent-Length: 0\r\n\r\n"
US, PEER = ("192.0.2.1", 5060), ("2001:db8::7", 5062)
_numbers = iter(range(1, 1_000_000))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def made(world: World, at: float = NOW, **fields: Any) -> Call:
    given: dict[str, Any] = {
        "account_sid": world.main.sid,
        "sid": f"{first_sid(CALL, at)}{next(_numbers):016x}",
        "direction": CallDirection.OUTBOUND_DIAL,
        "status": CallStatus.RINGING,
        "from_address": "+15550001000",
        "to_address": "+447700900123",
        "date_created": at,
        "date_updated": at,
    }
    return Call(**given | fields)


def ended(call: Call, status: CallStatus, at: float, **also: Any) -> Call:
    if status is CallStatus.COMPLETED:
        call = changed_at(call, at, status=CallStatus.IN_PROGRESS, started=at - 12.0)
    found = advanced(call, status, at, **also)
    assert found is not None
    return found


async def stored(world: World, *calls: Call) -> None:
    await world.services.store.commit([tables.inserted(call) for call in calls])


def path_of(call: Call) -> str:
    return f"/2010-04-01/Accounts/{call.account_sid}/Calls/{call.sid}.json"


class Held:
    """The calls of this process: each does as it is told."""

    def __init__(self, world: World, *calls: Call) -> None:
        self._store = world.services.store
        self._calls = {call.sid: call for call in calls}
        self.orders: list[Order] = []

    async def order(self, account_sid: str, sid: str, order: Order) -> Call | None:
        call = self._calls.get(sid)
        if call is None or call.account_sid != account_sid:
            return None
        self.orders.append(order)
        match order:
            case Complete():
                status = CallStatus.COMPLETED
            case Cancel():
                status = CallStatus.CANCELED
            case _:
                return call
        moved = advanced(call, status, NOW + 20)
        if moved is None:
            return call
        await self._store.commit([tables.updated(moved)])
        self._calls[sid] = moved
        return moved


def hold(world: World, *calls: Call) -> Held:
    held = Held(world, *calls)
    object.__setattr__(world.services, "calls", held)
    return held


# -- one call ---------------------------------------------------------------------------------


async def test_a_call_is_shown_as_twilio_shows_it(world: World) -> None:
    parent = made(world, direction=CallDirection.INBOUND, from_address="+14158675310")
    call = ended(
        made(
            world,
            parent_sid=parent.sid,
            caller_name="Zoë",
            forwarded_from="+15550009",
            phone_number_sid=f"PN{1:032x}",
        ),
        CallStatus.COMPLETED,
        NOW + 30.4,
    )
    await stored(world, parent, call)
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls(call.sid).fetch())
    assert (found.status, found.direction, found.duration) == ("completed", "outbound-dial", "12")
    assert (found.parent_call_sid, found.caller_name) == (parent.sid, "Zoë")
    assert (found.to, found.from_formatted) == ("+447700900123", "(555) 000-1000")
    assert found.start_time == datetime.fromtimestamp(int(NOW + 18), UTC)
    assert found.end_time == datetime.fromtimestamp(int(NOW + 30), UTC)
    assert found.date_created == datetime.fromtimestamp(NOW, UTC)
    assert (found.phone_number_sid, found.forwarded_from) == (f"PN{1:032x}", "+15550009")
    other = await world.call(lambda: client.calls(parent.sid).fetch())
    assert (other.status, other.duration, other.end_time) == ("ringing", None, None)
    assert other.from_formatted == "(415) 867-5310"
    _, body, _ = await world.ask("GET", path_of(call), world.main)
    assert body["uri"] == path_of(call)
    assert body["subresource_uris"]["user_defined_messages"] == path_of(call).replace(
        ".json", "/UserDefinedMessages.json"
    )
    assert {"annotation", "answered_by", "group_sid", "queue_time", "trunk_sid"} <= body.keys()


async def test_a_call_that_is_being_set_up_is_shown_as_queued(world: World) -> None:
    call = made(world, status=CallStatus.INITIATED)
    await stored(world, call)
    _, body, _ = await world.ask("GET", path_of(call), world.main)
    assert (body["status"], body["start_time"]) == ("queued", None)


@pytest.mark.parametrize("sid", [f"CA{7:032x}", "CAx", f"SM{1:032x}", "CA" + "G" * 32])
async def test_a_call_that_is_not_there(world: World, sid: str) -> None:
    base = f"/2010-04-01/Accounts/{world.main.sid}/Calls/{sid}.json"
    for method, path in (
        ("GET", base),
        ("POST", base),
        ("DELETE", base),
        ("GET", f"/v1/calls/{sid}/timeline"),
        ("GET", f"/v1/calls/{sid}/pcap"),
    ):
        status, body, _ = await world.ask(method, path, world.main)
        assert (status, body["code"]) == (404, 20404)


# -- lists ------------------------------------------------------------------------------------


async def test_lists_are_paged_newest_first(world: World) -> None:
    calls = [made(world, NOW + at) for at in range(25)]
    await stored(world, *calls, made(world, account_sid=world.stranger.sid))
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls.list(page_size=7))
    assert [each.sid for each in found] == [call.sid for call in reversed(calls)]
    path = f"/2010-04-01/Accounts/{world.main.sid}/Calls.json?PageSize=10"
    _, first, _ = await world.ask("GET", path, world.main)
    _, second, _ = await world.ask("GET", first["next_page_uri"], world.main)
    _, third, _ = await world.ask("GET", second["next_page_uri"], world.main)
    _, again, _ = await world.ask("GET", second["previous_page_uri"], world.main)
    assert [len(each["calls"]) for each in (first, second, third)] == [10, 10, 5]
    assert third["next_page_uri"] is None
    assert again["calls"] == first["calls"]


FILTERS = [
    ({"to": "+447700900124"}, {1}),
    ({"from_": "sip:alice@office.example"}, {2}),
    ({"status": "busy"}, {3}),
    ({"status": "queued"}, {4, 5}),
    ({"parent_call_sid": "parent"}, {6}),
    ({"start_time": datetime(2026, 11, 21, 23, tzinfo=UTC)}, {7}),
    ({"start_time_after": datetime(2026, 11, 21, tzinfo=UTC)}, {7, 8}),
    ({"start_time_before": datetime(2026, 11, 20, 12, tzinfo=UTC)}, {0, 1, 2, 3, 4, 5, 6}),
    ({"end_time_after": datetime(2026, 11, 20, tzinfo=UTC)}, {3, 8}),
    ({"end_time": datetime(2026, 11, 23, tzinfo=UTC)}, {8}),
    ({"status": "completed", "end_time_before": datetime(2026, 11, 22, tzinfo=UTC)}, set()),
    ({"to": "+447700900123", "status": "completed"}, {8}),
]


@pytest.mark.parametrize("given, wanted", FILTERS)
async def test_lists_are_narrowed(world: World, given: dict[str, Any], wanted: set[int]) -> None:
    parent = made(world, NOW)
    late = made(world, NOW + DAY)
    calls = [
        parent,
        made(world, NOW, to_address="+447700900124"),
        made(world, NOW, from_address="sip:alice@office.example"),
        ended(made(world, NOW), CallStatus.BUSY, NOW + 3),
        made(world, NOW, status=CallStatus.QUEUED),
        made(world, NOW, status=CallStatus.INITIATED),
        made(world, NOW, parent_sid=parent.sid),
        changed_at(late, NOW + DAY + 9, status=CallStatus.IN_PROGRESS, started=NOW + DAY + 9),
        ended(made(world, NOW + DAY), CallStatus.COMPLETED, NOW + 3 * DAY),
    ]
    await stored(world, *calls)
    if "parent_call_sid" in given:
        given = {"parent_call_sid": parent.sid}
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls.list(**given))
    numbers = {call.sid: number for number, call in enumerate(calls)}
    assert {numbers[each.sid] for each in found} == wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("StartTime=20261121T230000", {1}),
        ("StartTime=20261121", {1}),
        ("StartTime=2026-11-20T23:30:00-05:00", {1}),
        ("StartTime%3E=20261121T000000&StartTime%3C=20261122", {1}),
    ],
)
async def test_times_are_read_in_every_form_of_iso_8601(
    world: World, query: str, wanted: set[int]
) -> None:
    calls = [made(world, NOW), made(world, NOW + DAY)]
    await stored(world, *calls)
    path = f"/2010-04-01/Accounts/{world.main.sid}/Calls.json?{query}"
    status, body, _ = await world.ask("GET", path, world.main)
    assert status == 200, body
    numbers = {call.sid: number for number, call in enumerate(calls)}
    assert {numbers[each["sid"]] for each in body["calls"]} == wanted


@pytest.mark.parametrize(
    "query", ["Status=initiated", "Status=Busy", "StartTime=soon", "EndTime%3C=2026-13-01"]
)
async def test_filters_that_are_none(world: World, query: str) -> None:
    path = f"/2010-04-01/Accounts/{world.main.sid}/Calls.json?{query}"
    status, body, _ = await world.ask("GET", path, world.main)
    assert (status, body["code"]) == (400, 20001)


# -- orders -----------------------------------------------------------------------------------


async def test_a_call_of_this_process_is_ended_at_once(world: World) -> None:
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW)
    ringing = made(world)
    await stored(world, call, ringing)
    held = hold(world, call, ringing)
    client = world.sdk(world.main)
    done = await world.call(lambda: client.calls(call.sid).update(status="completed"))
    assert (done.status, done.duration) == ("completed", "20")
    gone = await world.call(lambda: client.calls(ringing.sid).update(status="canceled"))
    assert gone.status == "canceled"
    assert held.orders == [Complete(), Cancel()]
    assert await orders.waiting(world.services.store) == []


@pytest.mark.parametrize(
    "form, wanted",
    [
        ({"url": "https://a.example/x"}, Redirect(url="https://a.example/x")),
        (
            {
                "url": "https://a.example/x",
                "method": "GET",
                "fallback_url": "https://b.example",
                "fallback_method": "GET",
                "twiml": "<Response/>",
            },
            Redirect(
                url="https://a.example/x",
                method="GET",
                fallback_url="https://b.example",
                fallback_method="GET",
            ),
        ),
        ({"twiml": "<Response><Hangup/></Response>", "fallback_url": "https://b.example"}, None),
    ],
)
async def test_a_call_runs_another_document(
    world: World, form: dict[str, str], wanted: Redirect | None
) -> None:
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW)
    await stored(world, call)
    held = hold(world, call)
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls(call.sid).update(**form))
    assert found.status == "in-progress"
    assert held.orders == [wanted or Redirect(twiml=form["twiml"])]
    noted = await world.services.store.fetch(notifications.OF_RESOURCE, call.sid)
    assert [row[3] for row in noted] == ([32019] if {"url", "twiml"} <= form.keys() else [])


@pytest.mark.parametrize(
    "form, wanted",
    [
        (
            {"status_callback": "https://a.example/s"},
            [Amend(status_callback="https://a.example/s")],
        ),
        ({"time_limit": 60}, [Amend(time_limit=60)]),
        (
            {
                "status_callback": "https://a.example/s",
                "status_callback_method": "GET",
                "time_limit": 60,
                "status": "completed",
            },
            [
                Amend(
                    status_callback="https://a.example/s",
                    status_callback_method="GET",
                    time_limit=60,
                ),
                Complete(),
            ],
        ),
        (
            {"status_callback_method": "GET"},
            [Amend(status_callback="https://a.example/before", status_callback_method="GET")],
        ),
    ],
)
async def test_what_holds_for_a_call_is_changed(
    world: World, form: dict[str, Any], wanted: list[Order]
) -> None:
    before = "https://a.example/before"
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW, status_callback=before)
    await stored(world, call)
    held = hold(world, call)
    client = world.sdk(world.main)
    await world.call(lambda: client.calls(call.sid).update(**form))
    assert held.orders == wanted


async def test_who_was_dialled_runs_no_document_of_its_own(world: World) -> None:
    parent = made(world, status=CallStatus.IN_PROGRESS, started=NOW)
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW, parent_sid=parent.sid)
    await stored(world, parent, call)
    held = hold(world, call)
    form = {"Twiml": "<Response/>"}
    http, body, _ = await world.ask("POST", path_of(call), world.main, data=form)
    assert (http, body["code"]) == (400, 21220)
    assert parent.sid in body["message"]
    assert held.orders == []


REFUSED = [
    *((status, {"Status": "completed"}, 21220) for status in sorted(OVER)),
    *((status, {"Twiml": "<Response/>"}, 21220) for status in sorted(OVER)),
    (CallStatus.IN_PROGRESS, {"Status": "canceled"}, 21220),
    (CallStatus.RINGING, {"Url": "https://a.example"}, 21220),
    (CallStatus.QUEUED, {"Twiml": "<Response/>"}, 21220),
    (CallStatus.IN_PROGRESS, {"Url": "ftp://a.example"}, 21205),
    (CallStatus.IN_PROGRESS, {"Url": "https://a.example", "FallbackUrl": "x"}, 21205),
    (CallStatus.IN_PROGRESS, {"Url": "https://a.example", "Method": "PUT"}, 21209),
    (CallStatus.IN_PROGRESS, {"Twiml": "x" * 4001}, 32018),
    (CallStatus.IN_PROGRESS, {"Status": "paused"}, 20001),
    (CallStatus.IN_PROGRESS, {"StatusCallback": "a.example"}, 21609),
    (CallStatus.IN_PROGRESS, {"TimeLimit": "0"}, 20001),
    (CallStatus.IN_PROGRESS, {"TimeLimit": "86401"}, 20001),
    (CallStatus.COMPLETED, {"TimeLimit": "60"}, 21220),
]


@pytest.mark.parametrize("status, form, code", REFUSED)
async def test_what_a_call_can_not_do(
    world: World, status: CallStatus, form: dict[str, str], code: int
) -> None:
    call = made(world, status=status)
    await stored(world, call)
    held = hold(world, call)
    http, body, _ = await world.ask("POST", path_of(call), world.main, data=form)
    assert (http, body["code"]) == (400, code)
    assert held.orders == []


async def test_nothing_asked_is_nothing_done(world: World) -> None:
    call = made(world, status=CallStatus.IN_PROGRESS)
    await stored(world, call)
    held = hold(world, call)
    status, body, _ = await world.ask("POST", path_of(call), world.main)
    assert (status, body["status"], held.orders) == (200, "in-progress", [])


async def test_a_call_that_was_answered_meanwhile_is_not_canceled(world: World) -> None:
    call = made(world)
    answered = advanced(call, CallStatus.IN_PROGRESS, NOW)
    assert answered is not None
    await stored(world, call)
    hold(world, answered)
    client = world.sdk(world.main)
    with pytest.raises(TwilioRestException) as caught:
        await world.call(lambda: client.calls(call.sid).update(status="canceled"))
    assert (caught.value.status, caught.value.code) == (400, 21220)


async def test_an_order_reaches_the_process_that_has_the_call(world: World) -> None:
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW)
    await stored(world, call)
    elsewhere = Held(world, call)
    watcher = OrderWatcher(world.services.store, elsewhere)
    watcher.start()
    status, body, _ = await world.ask(
        "POST", path_of(call), world.main, data={"Status": "completed"}
    )
    await watcher.close()
    assert (status, body["status"]) == (200, "completed")
    assert elsewhere.orders == [Complete()]
    assert await orders.waiting(world.services.store) == []


async def test_an_order_of_a_newer_version_is_left_to_one_and_stops_no_other(world: World) -> None:
    call = made(world, status=CallStatus.IN_PROGRESS, started=NOW)
    await stored(world, call)
    store, elsewhere = world.services.store, Held(world, call)
    row = (call.sid, "OR0", call.account_sid, '{"type":"later"}', NOW)
    await store.commit([(orders.INSERT, row)])
    await orders.leave(store, call.account_sid, call.sid, Complete(), NOW)
    assert await OrderWatcher(store, elsewhere).look() == 1
    assert elsewhere.orders == [Complete()]
    (left,) = await orders.waiting(store)
    assert (left.id, left.order) == ("OR0", None)


async def test_an_order_that_nobody_takes_in_time_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.api.calls._PATIENCE", 0.1)
    call = made(world, status=CallStatus.IN_PROGRESS)
    await stored(world, call)
    status, body, _ = await world.ask(
        "POST", path_of(call), world.main, data={"Status": "completed"}
    )
    assert (status, body["status"]) == (200, "in-progress")
    (waiting,) = await orders.waiting(world.services.store)
    assert (waiting.account_sid, waiting.sid, waiting.order) == (
        world.main.sid,
        call.sid,
        Complete(),
    )


# -- deletion ---------------------------------------------------------------------------------


async def test_a_call_that_is_over_is_deleted_with_all_that_was_kept(world: World) -> None:
    store = world.services.store
    call = ended(made(world), CallStatus.BUSY, NOW + 1)
    await stored(world, call)
    await store.commit(
        [
            tables.leg_inserted(leg_of(call)),
            tables.ladder_kept(call.sid, [Crossing(NOW, True, "UDP", US, PEER, INVITE)]),
            *notifications.noted(call.account_sid, call.sid, 11200, "error", NOW),
        ]
    )
    await orders.leave(store, call.account_sid, call.sid, Complete(), NOW)
    client = world.sdk(world.main)
    assert await world.call(lambda: client.calls(call.sid).delete())
    for table, column in {
        "calls": "sid",
        "call_legs": "sid",
        "trace": "sid",
        "call_orders": "sid",
        "notifications": "resource_sid",
    }.items():
        query = Query(f"left_{table}", f"SELECT {column} FROM {table} WHERE {column} = $1")
        assert await store.fetch(query, call.sid) == []
    facts = await store.facts_after(0, 10)
    assert (facts[-1].type, facts[-1].sid, facts[-1].version) == (
        "call.deleted",
        call.sid,
        call.version + 1,
    )
    assert (await world.ask("GET", path_of(call), world.main))[0] == 404


async def test_a_call_that_is_up_is_not_deleted(world: World) -> None:
    call = made(world)
    await stored(world, call)
    status, body, _ = await world.ask("DELETE", path_of(call), world.main)
    assert (status, body["code"]) == (409, 20009)
    assert (await world.ask("GET", path_of(call), world.main))[0] == 200


# -- what is known of calls -------------------------------------------------------------------


def leg_of(call: Call, **fields: Any) -> CallLeg:
    given: dict[str, Any] = {
        "account_sid": call.account_sid,
        "sid": call.sid,
        "direction": call.direction,
        "began": call.date_created,
    }
    return CallLeg(**given | fields)


async def kept(world: World) -> Call:
    """A call that was rung, answered and ended, with all that goes with it; its SID's."""
    store = world.services.store
    book = Book(store, lambda: None)
    call = made(world, carrier="acme")
    leg = leg_of(call, carrier="acme", peer="sip:[2001:db8::7]:5062", transport="UDP")
    await book.commit(book.begun(call, leg))
    answered = advanced(call, CallStatus.IN_PROGRESS, NOW + 3)
    assert answered is not None
    await book.commit(book.changed(answered))
    over = advanced(answered, CallStatus.COMPLETED, NOW + 10, sip_code=200, reason="the callee")
    assert over is not None
    leg = msgspec.structs.replace(
        leg,
        ringing=NOW + 1.25,
        answered=NOW + 3,
        ended=NOW + 10,
        sip_code=200,
        cause="BYE",
        released_by=Party.PEER,
        codec_received="PCMA",
        codec_sent="PCMU",
        received=Quality(packets=350, lost=3, jitter=0.0021, mos=4.21),
    )
    crossings = [
        Crossing(NOW, True, "UDP", US, PEER, INVITE),
        Crossing(NOW + 3, False, "UDP", US, PEER, b"SIP/2.0 200 OK\r\nFrom: caf\xe9\r\n\r\n"),
    ]
    exchange = Exchange(
        at=NOW + 3,
        url="https://app.example/voice",
        method="POST",
        status=200,
        elapsed=0.02,
        octets=11,
        body="<Response/>",
    )
    noted = notifications.noted(call.account_sid, call.sid, 12200, "warning", NOW + 4, message="m")
    await book.commit([*book.ended(over, leg, crossings), book.asked(over, [exchange]), *noted])
    await stored(world, made(world, parent_sid=call.sid))
    return over


async def test_a_timeline_tells_all_in_order(world: World) -> None:
    call = await kept(world)
    status, found, _ = await world.ask("GET", f"/v1/calls/{call.sid}/timeline", world.main)
    assert status == 200
    assert (found["status"], found["duration"], found["reason"]) == ("completed", 7, "the callee")
    assert (found["started_at"], found["ended_at"]) == (NOW + 3, NOW + 10)
    assert len(found["children"]) == 1
    (leg,) = found["legs"]
    assert (leg["post_dial_delay"], leg["duration"], leg["mos_received"]) == (1.25, 7.0, 4.21)
    assert [(each["at"] - NOW, each["type"]) for each in found["events"]] == [
        (0, "sip"),
        (0, "call.ringing"),
        (3, "sip"),
        (3, "document"),
        (3, "call.answered"),
        (4, "notification.created"),
        (10, "call.completed"),
    ]
    invite, answer = (each for each in found["events"] if each["type"] == "sip")
    assert (invite["direction"], invite["transport"]) == ("out", "UDP")
    assert (invite["from"], invite["to"]) == ("192.0.2.1:5060", "[2001:db8::7]:5062")
    assert invite["first_line"] == "INVITE sip:bob@example.com SIP/2.0"
    assert 'response="****************"' in invite["text"]
    assert (answer["direction"], answer["from"]) == ("in", "[2001:db8::7]:5062")
    assert "From: caf\ufffd" in answer["text"]
    (document,) = (each for each in found["events"] if each["type"] == "document")
    assert (document["url"], document["body"]) == ("https://app.example/voice", "<Response/>")


async def test_messages_are_shown_as_packets(world: World) -> None:
    call = await kept(world)
    status, octets, headers = await world.ask("GET", f"/v1/calls/{call.sid}/pcap", world.main)
    assert (status, headers["Content-Type"]) == (200, "application/vnd.tcpdump.pcap")
    assert headers["Content-Disposition"] == f'attachment; filename="{call.sid}.pcap"'
    assert struct.unpack("<I", octets[:4]) == (0xA1B2C3D4,)
    assert octets.count(b"INVITE sip:bob@example.com SIP/2.0\r\n") == 1
    assert b"0123456789abcdef" not in octets


async def test_who_was_dialled_is_found_in_the_ladder_of_the_call(world: World) -> None:
    call = made(world)
    child = ended(
        made(world, parent_sid=call.sid), CallStatus.BUSY, NOW + 2, reason="486 Busy Here"
    )
    ladder = [
        Crossing(NOW, False, "UDP", US, PEER, b"INVITE sip:a SIP/2.0\r\nCall-ID: in\r\n\r\n"),
        Crossing(NOW + 1, True, "UDP", US, PEER, b"INVITE sip:b SIP/2.0\r\ni: out\r\n\r\n"),
        Crossing(NOW + 2, False, "UDP", US, PEER, b"SIP/2.0 486 Busy\r\nCALL-ID : out\r\n\r\n"),
    ]
    await stored(world, call, child)
    await world.services.store.commit(
        [
            tables.ladder_kept(call.sid, ladder),
            tables.leg_inserted(leg_of(call, call_id="in")),
            tables.leg_inserted(leg_of(child, call_id="out")),
        ]
    )
    _, whole, _ = await world.ask("GET", f"/v1/calls/{call.sid}/timeline", world.main)
    assert whole["dialled"] == [
        {"sid": child.sid, "to": child.to_address, "status": "busy", "reason": "486 Busy Here"}
    ]
    assert len([each for each in whole["events"] if each["type"] == "sip"]) == 3
    _, found, _ = await world.ask("GET", f"/v1/calls/{child.sid}/timeline", world.main)
    lines = [each["first_line"] for each in found["events"] if each["type"] == "sip"]
    assert lines == ["INVITE sip:b SIP/2.0", "SIP/2.0 486 Busy"]
    _, octets, _ = await world.ask("GET", f"/v1/calls/{child.sid}/pcap", world.main)
    assert (octets.count(b"sip:a"), octets.count(b"sip:b"), octets.count(b"486")) == (0, 1, 1)


async def rows_of(world: World, query: str = "") -> list[dict[str, str]]:
    status, octets, headers = await world.ask("GET", f"/v1/cdr{query}", world.main)
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(octets.decode(), newline="")))


async def test_records_of_calls_as_csv(world: World) -> None:
    call = await kept(world)
    (row,) = await rows_of(world)
    assert tuple(row) == COLUMNS
    assert (row["call_sid"], row["attempt"], row["carrier"]) == (call.sid, "1", "acme")
    assert (row["from"], row["to"]) == ("+15550001000", "+447700900123")
    assert (row["began"], row["ended"]) == ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:10.000Z")
    assert (row["duration"], row["post_dial_delay"]) == ("7.0", "1.25")
    assert (row["cause"], row["released_by"], row["sip_code"]) == ("BYE", "peer", "200")
    assert (row["codec_received"], row["lost_received"], row["mos_sent"]) == ("PCMA", "3", "")


async def test_no_cell_is_a_formula(world: World) -> None:
    call = made(world, reason='-1+cmd|"/c calc"!A1,\r\n"x"', to_address="+1555+1")
    leg = leg_of(call, peer="@SUM(A1)", cause="\tx", carrier="=1", transport="-5.2")
    await world.services.store.commit([tables.inserted(call), tables.leg_inserted(leg)])
    (row,) = await rows_of(world)
    assert row["reason"] == '\'-1+cmd|"/c calc"!A1,\r\n"x"'
    assert (row["peer"], row["cause"], row["carrier"]) == ("'@SUM(A1)", "'\tx", "'=1")
    assert (row["from"], row["to"], row["transport"]) == ("+15550001000", "'+1555+1", "-5.2")


async def test_records_of_calls_as_lines_of_json(world: World) -> None:
    call = await kept(world)
    status, octets, headers = await world.ask("GET", "/v1/cdr?format=json", world.main)
    assert (status, headers["Content-Type"]) == (200, "application/x-ndjson")
    (line,) = octets.splitlines()
    found = msgspec.json.decode(line)
    assert tuple(found) == COLUMNS
    assert (found["call_sid"], found["jitter_received"]) == (call.sid, 0.0021)
    assert (found["from"], found["mos_sent"]) == ("+15550001000", None)


async def test_many_records_come_page_by_page_within_their_time(world: World) -> None:
    calls = [made(world, NOW + at * 60) for at in range(1201)]
    theirs = made(world, NOW, account_sid=world.stranger.sid)
    with_legs = [*calls[::2], theirs]  # some calls have none
    legs = [leg_of(call, attempt=attempt) for call in with_legs for attempt in (2, 1)]
    await stored(world, *calls, theirs)
    await world.services.store.commit([tables.leg_inserted(leg) for leg in legs])
    rows = await rows_of(world)
    assert [(row["call_sid"], row["attempt"]) for row in rows] == [
        (call.sid, attempt) for call in calls[::2] for attempt in ("1", "2")
    ]
    narrow = await rows_of(world, "?start=2026-11-20T10:10:00Z&end=2026-11-20T10:14:00Z")
    assert [row["call_sid"] for row in narrow] == [
        call.sid for call in calls[10:15:2] for _ in (1, 2)
    ]
    assert await rows_of(world, "?end=2026-11-19") == []


@pytest.mark.parametrize("query", ["format=xml", "start=soon", "end=2026-99-01"])
async def test_records_that_can_not_be_asked_for(world: World, query: str) -> None:
    status, body, _ = await world.ask("GET", f"/v1/cdr?{query}", world.main)
    assert (status, body["code"]) == (400, 20001)


async def test_times_of_now_are_of_this_day(world: World) -> None:
    call = made(world, time.time())
    await world.services.store.commit([tables.inserted(call), tables.leg_inserted(leg_of(call))])
    assert len(await rows_of(world, f"?start={datetime.now(UTC).date()}")) == 1


async def test_the_command_line_shows_what_rest_says(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call = await kept(world)
    monkeypatch.setenv("TRUNKLINE_URL", world.url)
    monkeypatch.setenv("TRUNKLINE_ACCOUNT_SID", world.main.sid)
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", world.main.auth_token)

    async def said(*arguments: str) -> str:
        result = await world.call(lambda: CliRunner().invoke(app, ["calls", *arguments]))
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    assert call.sid in await said("list", "--status", "completed")
    shown = await said("show", call.sid, "--messages")
    for words in (
        "SIP 200",
        "talked 7 s",
        "reason: the callee",
        "post-dial delay 1.250 s",
        "in PCMA MOS 4.21 3 of 350 packets lost",
        "── INVITE sip:bob@example.com SIP/2.0 ─",
        "Content-Length: 0",
        "POST https://app.example/voice → 200 after 20 ms",
        "<Response/>",
        "call.completed",
    ):
        assert words in shown
    file = tmp_path / "call.pcap"
    await said("pcap", call.sid, "-o", str(file))
    assert b"INVITE sip:bob@example.com" in file.read_bytes()
    assert call.sid in await said("cdr", "--start", "2026-11-20", "--end", "2026-11-20")

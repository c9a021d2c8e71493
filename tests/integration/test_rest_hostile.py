"""Whatever is sent, the answer is Twilio's error JSON and nobody sees what is not theirs."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_world import NUMBER, World, basic, rest_world

from gateway import applications
from gateway.api.app import OWN, RESOURCES, V2010
from gateway.api.declare import Resource
from gateway.api.resources import JSON, Access, Operation
from gateway.applications import Application
from gateway.browsers.client import Client
from gateway.calls import orders, pcap, queue_tables, room_tables, tables
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Crossing
from gateway.messages import notifications
from gateway.messages.draft import REST, Draft
from gateway.recordings import tables as recording_tables
from gateway.recordings.model import Recording, RecordingSource, RecordingStatus
from gateway.sip import bindings
from gateway.sip.directory import SipDirectory
from gateway.sip.model import (
    AccessList,
    Address,
    Credential,
    CredentialList,
    Domain,
    Entry,
    Mapping,
    Purpose,
)
from gateway.store.base import StoreUnavailable, Write
from protocols.sip.binding import Binding, Cause
from protocols.sip.registrar import Change
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri
from tests.unit.browsers.desks import Allowed, Page
from tests.unit.browsers.desks import World as Desks

APPLICATION = Application(
    account_sid="",
    sid=f"AP{1:032x}",
    friendly_name="private name",
    settings={"voice_url": "https://private.example"},
    date_created=1.0,
    date_updated=1.0,
)
CALL = Call(
    account_sid="",
    sid=f"CA{1:032x}",
    direction=CallDirection.INBOUND,
    status=CallStatus.IN_PROGRESS,
    from_address="sip:private@192.0.2.77",
    to_address=NUMBER,
    caller_name="private name",
    reason="private",
    date_created=1.0,
    date_updated=1.0,
    started=1.0,
)
RECORDING = Recording(
    account_sid="",
    sid=f"RE{1:032x}",
    call_sid=CALL.sid,
    conference_sid=f"CF{1:032x}",
    source=RecordingSource.DIAL_VERB,
    status=RecordingStatus.COMPLETED,
    status_callback="https://private",
    start_time=1.0,
    date_created=1.0,
    date_updated=1.0,
)
ROOM = room_tables.ConferenceRow(
    account_sid="",
    sid=f"CF{1:032x}",
    friendly_name="private room",
    status="in-progress",
    owner="somebody",
    date_created=1.0,
    date_updated=1.0,
)
QUEUE = queue_tables.QueueRow(
    account_sid="",
    sid=f"QU{1:032x}",
    friendly_name="private queue",
    max_size=7,
    date_created=1.0,
    date_updated=1.0,
)

PRIVATE = [operation for operation in (*V2010, *OWN) if operation.access is not Access.PUBLIC]
FILES = ("text/csv", pcap.MEDIA_TYPE)
FINITE = [operation for operation in PRIVATE if operation.produces in (JSON, *FILES)]
OF_ACCOUNT = [operation for operation in PRIVATE if "{AccountSid}" in operation.path]
OF_CALLER = [operation for operation in PRIVATE if "{AccountSid}" not in operation.path]
FORM = {"Body": "", "Status": "canceled"}
VARIABLE = re.compile(r"\{(\w+)\}")


_COMMON: dict[str, Any] = {"account_sid": "", "date_created": 1.0, "date_updated": 1.0}
PARENTS = {
    variable: f"{prefix}{1:032x}"
    for variable, prefix in (
        ("DomainSid", "SD"),
        ("CredentialListSid", "CL"),
        ("IpAccessControlListSid", "AL"),
        ("CallSid", "CA"),
        ("RecordingSid", "RE"),
        ("ConferenceSid", "CF"),
        ("QueueSid", "QU"),
    )
}
DOMAIN, USERS, NETWORKS, *_ = PARENTS.values()
ENTRIES: tuple[Entry, ...] = (
    Domain(
        sid=DOMAIN,
        domain_name="private.example",
        friendly_name="private name",
        settings={},
        **_COMMON,
    ),
    CredentialList(sid=USERS, friendly_name="private name", **_COMMON),
    AccessList(sid=NETWORKS, friendly_name="private name", **_COMMON),
    Credential(
        sid=f"CR{1:032x}",
        credential_list_sid=USERS,
        username="private.user",
        hashes={"MD5": "private hash"},
        **_COMMON,
    ),
    Address(
        sid=f"IP{1:032x}",
        ip_access_control_list_sid=NETWORKS,
        friendly_name="private name",
        ip_address="192.0.2.77",
        cidr_prefix_length=32,
        **_COMMON,
    ),
    *(
        Mapping(sid=sid, domain_sid=DOMAIN, purpose=purpose, **_COMMON)
        for sid, purpose in (
            (USERS, Purpose.CALLS),
            (NETWORKS, Purpose.CALLS),
            (USERS, Purpose.REGISTRATIONS),
        )
    ),
)

PHONE = Binding(
    aor="private.user@private.example",
    id="private phone",
    uri=SipUri(host="192.0.2.77", user="private.user"),
    call_id="private call",
    cseq=1,
    registered_at=1.0,
    expires_at=4e9,
    flow=Flow(
        id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("192.0.2.77", 5060)
    ),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def named(operation: Operation) -> str:
    return operation.id


def path_of(operation: Operation, **values: str) -> str:
    return VARIABLE.sub(lambda match: values.get(match[1], "x"), operation.path)


def messages_path(world: World) -> str:
    return f"/2010-04-01/Accounts/{world.main.sid}/Messages.json"


async def stored_sids(world: World) -> list[str]:
    """The SID of one of everything that the main account has; PARENTS are among them."""
    draft = Draft(
        account_sid=world.main.sid,
        to_address="+447700900123",
        from_address=NUMBER,
        body="private words",
        validity_period=60.0,
        origin=REST,
    )
    message = await world.messages.keep(draft)
    number = await world.services.phone_numbers.add(
        world.main.sid, "+15550003000", "private name", {}, world.services.clock()
    )
    for entry in ENTRIES:
        owned = msgspec.structs.replace(entry, account_sid=world.main.sid)
        await world.services.sip.add(owned)
    await world.services.store.commit(
        bindings.writes_of(world.main.sid, [Change(binding=PHONE, cause=Cause.REGISTERED)])
    )
    await world.services.store.commit(call_of(world.main.sid))
    world.roster.came(world.main.sid, device_of(world.main.sid))
    application = msgspec.structs.replace(APPLICATION, account_sid=world.main.sid)
    await world.services.store.commit(applications.added(application))
    what = notifications.noted(
        world.main.sid, CALL.sid, 11200, "error", 1.0, message="private", url="https://private"
    )
    await world.services.store.commit(what)
    ((_, noted, *_),) = await world.services.store.fetch(notifications.OF_RESOURCE, CALL.sid)
    recording = msgspec.structs.replace(RECORDING, account_sid=world.main.sid)
    await world.services.store.commit([recording_tables.inserted(recording)])
    await world.services.store.commit(rooms_of(world.main.sid))
    mine = (message, number, CALL, APPLICATION, RECORDING, ROOM, QUEUE, *ENTRIES)
    key = await world.services.keys.add(world.main.sid, "private key", 1.0)
    return [*(each.sid for each in mine), key.sid, noted]


def device_of(account_sid: str) -> Client:
    """A client of the Voice SDK that is connected."""
    client = Page(Desks()).client
    client.access = Allowed(account_sid=account_sid, identity="private identity")
    client.agent = "private browser"
    return client


def rooms_of(account_sid: str) -> list[Write]:
    """A conference and a queue, and the call that is in both."""
    room, queue = (msgspec.structs.replace(each, account_sid=account_sid) for each in (ROOM, QUEUE))
    person = room_tables.ParticipantRow(
        account_sid=account_sid,
        conference_sid=room.sid,
        call_sid=CALL.sid,
        label="private label",
        muted=False,
        hold=False,
        coached="",
        start_on_enter=True,
        end_on_exit=False,
        date_created=1.0,
        date_updated=1.0,
    )
    member = queue_tables.MemberRow(
        account_sid=account_sid,
        queue_sid=queue.sid,
        call_sid=CALL.sid,
        owner="somebody",
        date_enqueued=1.0,
    )
    return [
        room_tables.inserted(room),
        room_tables.came(person),
        queue_tables.inserted(queue),
        queue_tables.came(member),
    ]


def sid_in(body: Any) -> str:
    """Who is in a conference or a queue goes by the SID of their call."""
    return str(body["sid" if "sid" in body else "call_sid"])


def call_of(account_sid: str) -> list[Write]:
    """A call that is up, with its leg and its ladder."""
    call = msgspec.structs.replace(CALL, account_sid=account_sid)
    peer = ("192.0.2.77", 5060)
    invite = b"INVITE sip:private SIP/2.0\r\n\r\n"
    leg = CallLeg(
        account_sid=account_sid,
        sid=call.sid,
        direction=call.direction,
        peer="sip:private@192.0.2.77",
        began=1.0,
    )
    return [
        tables.inserted(call),
        tables.leg_inserted(leg),
        tables.ladder_kept(
            call.sid, [Crossing(1.0, False, "UDP", ("192.0.2.1", 5060), peer, invite)]
        ),
    ]


def is_twilios_error(status: int, body: Any, code: int) -> bool:
    return (
        isinstance(body, dict)
        and sorted(body) == ["code", "message", "more_info", "status"]
        and body["code"] == code
        and body["status"] == status
        and bool(body["message"])
    )


async def test_a_foreign_account_is_not_there(world: World) -> None:
    before = await stored_sids(world)
    for operation, sid in itertools.product(OF_ACCOUNT, before):
        path = path_of(operation, AccountSid=world.main.sid, Sid=sid, **PARENTS)
        for credentials in (world.stranger, world.test):
            status, body, _ = await world.ask(operation.method, path, credentials, data=FORM)
            assert is_twilios_error(404, body, 20404), (operation.id, status, body)
    await still_there(world, before)


@pytest.mark.parametrize("method", sorted({operation.method for operation in FINITE}))
async def test_a_foreign_resource_is_not_there(world: World, method: str) -> None:
    before = await stored_sids(world)
    for operation in FINITE:
        if operation.method == method:
            await is_not_there(world, operation, before)
            await still_there(world, before)


async def is_not_there(world: World, operation: Operation, before: list[str]) -> None:
    for sid in before:
        path = path_of(operation, AccountSid=world.stranger.sid, Sid=sid, **PARENTS)
        status, body, _ = await world.ask(operation.method, path, world.stranger, data=FORM)
        if {"Sid", *PARENTS} & set(VARIABLE.findall(operation.path)):
            assert is_twilios_error(404, body, 20404), (operation.id, status, body)
            continue
        for private in (*before, "private", "192.0.2.77", world.main.sid):
            assert private not in str(body), operation.id


async def test_its_account_alone_is_shown_it(world: World) -> None:
    sids = [world.main.sid, *await stored_sids(world)]
    sub = await world.call(world.sdk(world.main).api.accounts.create)
    for resource in RESOURCES:
        await is_shown_alone(world, resource, sids, sub)


async def is_shown_alone(world: World, resource: Resource[Any], sids: list[str], sub: Any) -> None:
    mine = {sid for sid in sids if sid.startswith(resource.prefixes)}
    assert mine, f"stored_sids makes no {resource.name}"
    listed = {**PARENTS, "AccountSid": world.main.sid}
    one = f"{resource.path}/{{{resource.variable}}}.json"
    status, page, _ = await world.ask("GET", filled(resource.path, listed), world.main)
    shown = {sid_in(each) for each in page[resource.list_key]}
    assert mine <= shown, (resource.name, status, page)
    for sid in mine:
        status, body, _ = await world.ask(
            "GET", filled(one, {**listed, resource.variable: sid}), world.main
        )
        assert (status, sid_in(body)) == (200, sid)
        for account, caller in ((world.stranger.sid, world.stranger), (sub.sid, world.main)):
            theirs = {**listed, "AccountSid": account}
            status, page, _ = await world.ask("GET", filled(resource.path, theirs), caller)
            assert status == 404 or not mine & {sid_in(e) for e in page[resource.list_key]} - {
                caller.sid
            }
            if resource.variable == "AccountSid":
                continue
            path = filled(one, {**theirs, resource.variable: sid})
            status, body, _ = await world.ask("GET", path, caller)
            assert is_twilios_error(404, body, 20404), (resource.name, status, body)


async def test_whatever_page_is_asked_for(world: World) -> None:
    sids = [world.main.sid, *await stored_sids(world)]
    for resource in RESOURCES:
        await every_page(world, resource, sids)


async def every_page(world: World, resource: Resource[Any], sids: list[str]) -> None:
    mine = [sid for sid in sids if sid.startswith(resource.prefixes)]
    path = filled(resource.path, {**PARENTS, "AccountSid": world.main.sid})
    invented = [prefix + digit * 32 for prefix in resource.prefixes for digit in "0f"]
    for sid in (*mine, *invented):
        for token in (f"PA{sid}", f"PB{sid}"):
            for number in (0, 1, 7):
                query = f"?PageSize=1&Page={number}&PageToken={token}"
                status, page, _ = await world.ask("GET", path + query, world.main)
                assert status == 200, (resource.name, token, number, page)
                for uri in (page["next_page_uri"], page["previous_page_uri"]):
                    assert uri is None or "PageToken=P" in uri, (resource.name, token, page)


def filled(path: str, values: dict[str, str]) -> str:
    return VARIABLE.sub(lambda match: values[match[1]], path)


async def still_there(world: World, sids: list[str]) -> None:
    path = f"/2010-04-01/Accounts/{world.main.sid}"
    _, message, _ = await world.ask("GET", f"{path}/Messages/{sids[0]}.json", world.main)
    assert (message["body"], message["status"]) == ("private words", "queued")
    _, number, _ = await world.ask("GET", f"{path}/IncomingPhoneNumbers/{sids[1]}.json", world.main)
    assert number["friendly_name"] == "private name"
    _, call, _ = await world.ask("GET", f"{path}/Calls/{sids[2]}.json", world.main)
    assert (call["caller_name"], call["status"]) == ("private name", "in-progress")
    _, known, _ = await world.ask("GET", f"/v1/calls/{sids[2]}/timeline", world.main)
    assert "INVITE sip:private SIP/2.0" in str(known)
    _, noted, _ = await world.ask("GET", f"{path}/Notifications/{sids[-1]}.json", world.main)
    assert (noted["message_text"], noted["request_url"]) == ("private", "https://private")
    _, application, _ = await world.ask("GET", f"{path}/Applications/{sids[3]}.json", world.main)
    assert application["voice_url"] == "https://private.example"
    assert await orders.waiting(world.services.store) == []
    owned = [msgspec.structs.replace(each, account_sid=world.main.sid) for each in ENTRIES]
    sip = await SipDirectory.load(world.services.store)
    assert sorted(sip.entries(), key=repr) == sorted(owned, key=repr)
    assert await bindings.load(world.services.store) == [(world.main.sid, PHONE)]


async def test_everything_private_asks_for_credentials(world: World) -> None:
    wrong = (None, "Basic !!", "Bearer x", basic(world.main.sid, "wrong"))
    for operation, header in itertools.product(PRIVATE, wrong):
        path = path_of(operation, AccountSid=world.main.sid)
        headers = {} if header is None else {"Authorization": header}
        status, body, got = await world.ask(operation.method, path, headers=headers)
        assert is_twilios_error(401, body, 20003), (operation.id, header, status, body)
        assert got["WWW-Authenticate"] == 'Basic realm="Twilio API"'
        assert got["Twilio-Request-Id"].startswith("RQ")
        status, _, _ = await world.ask("GET", messages_path(world), world.main)
        assert status == 200  # so that guessing is not stopped here


async def test_test_credentials_see_nothing_of_ours(world: World) -> None:
    for operation in OF_CALLER:
        status, body, _ = await world.ask(operation.method, path_of(operation), world.test)
        assert (status, body["code"]) in ((403, 20006), (403, 20008)), operation.id


async def test_guessing_is_stopped(world: World) -> None:
    path = messages_path(world)
    wrong = {"Authorization": basic(world.main.sid, "guess")}
    for _ in range(10):
        status, _, _ = await world.ask("GET", path, headers=wrong)
        assert status == 401
    for headers in (wrong, {"Authorization": basic(world.main.sid, world.main.auth_token)}):
        status, body, got = await world.ask("GET", path, headers=headers)
        assert is_twilios_error(429, body, 20429), (status, body)
        assert 1 <= int(got["Retry-After"]) <= 60
    other = f"/2010-04-01/Accounts/{world.stranger.sid}/Messages.json"
    status, _, _ = await world.ask("GET", other, world.stranger)
    assert status == 200


async def test_ten_megabytes(world: World) -> None:
    body = b"To=%2B447700900123&Body=" + b"x" * (10 * 1024 * 1024)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer, _ = await world.ask(
        "POST", messages_path(world), world.main, data=BytesIO(body), headers=headers
    )
    assert is_twilios_error(413, answer, 20413), (status, answer)


async def test_ten_megabytes_without_a_length(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65536

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer, _ = await world.ask(
        "POST", messages_path(world), world.main, data=chunks(), headers=headers
    )
    assert is_twilios_error(413, answer, 20413), (status, answer)


NO_FORMS = (
    ("application/json", b'{"To": "+447700900123"}', 20001),
    ("text/plain", b"To=1", 20001),
    ("multipart/form-data; boundary=x", b"--x--", 20001),
    ("application/x-www-form-urlencoded; charset=utf-16", b"To=%ff%fe", 20001),
    ("application/x-www-form-urlencoded", b"\xff\xfe\x00", 20001),
    ("APPLICATION/X-WWW-Form-UrlEncoded", b"&&=&=&", 21604),
    ("application/x-www-form-urlencoded", b"%%%", 21604),
    ("", b"To=", 21604),
)


async def test_bodies_that_are_no_form(world: World) -> None:
    path = messages_path(world)
    for content_type, body, code in NO_FORMS:
        headers = {"Content-Type": content_type}
        skip = ["Content-Type"] if not content_type else []
        status, answer, _ = await world.ask(
            "POST", path, world.main, data=body, headers=headers, skip_auto_headers=skip
        )
        assert is_twilios_error(400, answer, code), (content_type, body, status, answer)


NOWHERE = (
    "/nowhere",
    "/2010-04-01",
    "/2010-04-01/",
    "/2010-04-01/Nothing.json",
    "/2010-04-01/Accounts/{main}/Messages/SM1/Nothing.json",
    "/2010-04-01/Accounts/{main}/Messages/SM" + "0" * 32 + ".json",
    "/2010-04-01/Accounts/{main}/Messages/..%2F..%2Fx.json",
    "/2010-04-01/Accounts/{main}/Messages/%00.json",
    "/2010-04-01/Accounts//Messages.json",
    "/2010-04-01/Accounts/{main}/Messages/",
    "/2010-04-01/Accounts/{main}/IncomingPhoneNumbers/%00.json",
    "/v1/messages/SM%00/timeline",
    "/v1/nothing",
    "/v1/messages/SM" + "0" * 32 + "/timeline",
    "/v1/carriers/nobody",
    "/sim/handsets/%2B447700900123/messages",
)


async def test_what_is_not_there(world: World) -> None:
    for path in NOWHERE:
        status, body, _ = await world.ask("GET", path.replace("{main}", world.main.sid), world.main)
        assert is_twilios_error(404, body, 20404), (path, status, body)


async def test_methods_that_are_not_offered(world: World) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        status, body, headers = await world.ask(method, messages_path(world), world.main)
        assert is_twilios_error(405, body, 20004), (method, status, body)
        assert headers["Allow"] == "GET, HEAD, POST"
        assert headers["Twilio-Request-Id"].startswith("RQ")


@pytest.mark.parametrize("path", ["/v1/cdr", "/v1/events", "/v1/carriers", "/metrics"])
async def test_head_is_get_without_its_body(world: World, path: str) -> None:
    reader, writer = await asyncio.open_connection(*world.url.removeprefix("http://").split(":"))
    credentials = basic(world.main.sid, world.main.auth_token)
    for method, target in (("HEAD", path), ("GET", "/healthz")):
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {credentials}\r\n\r\n"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert b"\r\nTwilio-Request-Id: RQ" in answer
    writer.close()
    await writer.wait_closed()


HOSTS = (
    ("X-Original-Host", "api.twilio.com", 200),
    ("Host", "api.twilio.com", 200),
    ("Host", "api.dublin.ie1.twilio.com", 200),
    ("Host", "gateway.example:8080", 200),
    ("X-Original-Host", "messaging.twilio.com", 404),
    ("Host", "verify.twilio.com", 404),
)


async def test_the_host_says_which_product(world: World) -> None:
    for header, host, status in HOSTS:
        got, _, _ = await world.ask("GET", messages_path(world), world.main, headers={header: host})
        assert got == status, (header, host)


async def test_the_suffix_may_be_left_out(world: World) -> None:
    path = messages_path(world).removesuffix(".json")
    status, page, headers = await world.ask("GET", path, world.main)
    assert (status, page["uri"].partition("?")[0]) == (200, f"{path}.json")
    assert headers["Content-Type"] == "application/json"


async def test_the_store_away_is_a_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable("the disk is full: free some space")

    monkeypatch.setattr(type(world.services.store), "fetch", away)
    status, body, headers = await world.ask("GET", messages_path(world), world.main)
    assert is_twilios_error(503, body, 20503), (status, body)
    assert "disk is full" in body["message"]
    assert headers["Retry-After"] == "1"


async def test_a_defect_is_a_500_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("token of somebody")

    monkeypatch.setattr(type(world.services.store), "fetch", broken)
    status, body, _ = await world.ask("GET", messages_path(world), world.main)
    assert is_twilios_error(500, body, 20500), (status, body)
    assert "token" not in body["message"]


async def test_a_hundred_at_once(world: World) -> None:
    form = {"To": "+447700900123", "From": NUMBER, "Body": "x"}
    answers = await asyncio.gather(
        *(world.ask("POST", messages_path(world), world.main, data=form) for _ in range(100))
    )
    assert {status for status, _, _ in answers} == {201}
    assert len({body["sid"] for _, body, _ in answers}) == 100

"""Phones register: over UDP, TCP and TLS, with right and wrong passwords, in any weather."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.model import AccountStatus
from gateway.sip import bindings as stored
from gateway.sip.declared import declared_domain
from gateway.sip.floods import FloodLimits
from gateway.sip.model import Domain, Mapping, Purpose
from gateway.sip.refusals import RefusalLog, Refused
from gateway.sip.registrations import MAX_WAITING
from gateway.store.base import StoreUnavailable
from protocols.sip.binding import Cause
from protocols.sip.headers import read_reason, read_retry_after, read_warning
from protocols.sip.message import Response
from protocols.sip.registrar import Change
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Listen, Tls
from tests.integration.sip.peers import Authority
from tests.integration.sip.registrar_world import DOMAIN, USERS, Phone, World, phone, until

ALICE = f"alice@{DOMAIN}"
DIGEST = (
    'Authorization: Digest username="alice", realm="trunkline", nonce="x",'
    f' uri="sip:{DOMAIN}", response="0", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="1"\r\n'
)
UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
Start = Callable[..., Awaitable[World]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(*transports: Transport, **options: Any) -> World:
            listens = tuple(Listen(transport=each, host="127.0.0.1") for each in transports)
            world = World(tmp_path, listens=listens or (Listen(transport=UDP, host="127.0.0.1"),))
            for name, value in options.items():
                setattr(world, name, value)
            await world.start()
            stack.push_async_callback(world.stop)
            return world

        yield start


def told(response: Response) -> str:
    """The rule that a refusal names, which stands in both headers."""
    [warning], [reason] = read_warning(response.headers), read_reason(response.headers)
    assert (reason.protocol, reason.cause, warning.code) == ("SIP", response.status, 399)
    assert warning.text == reason.text
    return warning.text


def statuses(phone: Phone) -> list[int]:
    """What it was answered; a request that was sent again, after half a second, counts once."""
    came = [each.content for each in phone.crossed if each.came]
    answers = [each for each in came if isinstance(each, Response)]
    return [s for _, s in dict.fromkeys((each.vias[0].branch, each.status) for each in answers)]


async def rows(world: World) -> list[str]:
    return [binding.id for _, binding in await stored.load(world.store.store)]


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_a_phone_registers_and_leaves(start: Start, transport: Transport) -> None:
    world = await start(transport)
    async with phone() as alice:
        answer = await alice.register(world.hop(transport))
        assert (answer.status, statuses(alice)) == (200, [401, 200])
        [contact] = answer.contacts
        assert contact.params == (("expires", "600"),)
        [binding] = world.registrations.bindings(ALICE)
        assert (binding.uri, binding.flow.transport) == (contact.uri, transport)
        assert len(await rows(world)) == 1
        # A nonce serves until it ends.
        assert (await alice.register(world.hop(transport))).status == 200
        assert statuses(alice) == [401, 200, 200]
        answer = await alice.register(world.hop(transport), expires=0)
        assert (answer.status, answer.contacts) == (200, ())
        assert world.registrations.bindings(ALICE) == ()
        assert await rows(world) == []


async def test_it_is_stored_before_it_is_answered(start: Start) -> None:
    world = await start()
    async with phone() as alice, phone("bob") as bob:
        world.store.held = []
        one, other = alice.ask(world.hop()), bob.ask(world.hop())
        await until(lambda: len(world.store.held or ()) == 2)
        await asyncio.sleep(0.2)
        assert (one.done(), other.done()) == (False, False)
        world.store.release()
        assert [(await each).status for each in (one, other)] == [200, 200]


@pytest.mark.parametrize(
    ("user", "password", "asked", "status", "rule"),
    [
        ("alice", "wrong", {}, 401, "the username or the password is wrong"),
        ("nobody", "wrong", {}, 401, "the username or the password is wrong"),
        ("alice", None, {"to": "bob"}, 403, "a user may register its own address alone"),
        ("alice", None, {"domain": "x.example"}, 404, "the domain is not known here"),
    ],
)
async def test_who_may_not_register(
    start: Start, user: str, password: str | None, asked: dict[str, str], status: int, rule: str
) -> None:
    world = await start()
    given = {} if password is None else {"password": password}
    async with phone(user, **given) as stranger:
        with capture_logs() as logs:
            answer = await stranger.register(world.hop(), **asked)
        assert (answer.status, told(answer)) == (status, rule)
        [line] = [each for each in logs if each["event"] == "a SIP request was refused"]
        assert (line["rule"], line["source"], line["count"]) == (rule, "127.0.0.1", 1)
        assert line["user"] == asked.get("to", user)
        assert line["domain"] == asked.get("domain", DOMAIN)
    assert (len(world.registrations), await rows(world)) == (0, [])


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"secure": "true"}, "the domain takes nothing that does not come by TLS"),
        ({"sip_registration": "false"}, "the domain takes no registrations"),
    ],
)
async def test_what_a_domain_does_not_take(
    start: Start, settings: dict[str, str], rule: str
) -> None:
    world = await start()
    domain = world.directory.domain(DOMAIN)
    assert domain is not None
    domain.settings.update(settings)
    async with phone() as alice:
        answer = await alice.register(world.hop())
        assert (answer.status, told(answer), statuses(alice)) == (403, rule, [403])


async def test_a_secure_domain_takes_tls(start: Start, authority: Authority) -> None:
    files = Tls(certificates=(authority.sign("us", "localhost"),), trust=authority.trust)
    world = await start(TLS, files=files, settings={"secure": "true"})
    async with phone(files=files) as alice:
        assert (await alice.register(world.hop(TLS))).status == 200
    [binding] = world.registrations.bindings(ALICE) or [None]
    assert binding is None or binding.flow.transport is TLS


@pytest.mark.parametrize("status", [AccountStatus.SUSPENDED, AccountStatus.CLOSED])
async def test_an_account_that_is_not_active(start: Start, status: AccountStatus) -> None:
    world = await start()
    async with phone() as alice:
        assert (await alice.register(world.hop())).status == 200
        await world.accounts.change(world.account.sid, time.time(), status=status)
        answer = await alice.register(world.hop())
        assert (answer.status, told(answer)) == (403, "the account is suspended or closed")
        left = 0 if status is AccountStatus.CLOSED else 1
        assert len(world.registrations.bindings(ALICE)) == left
        await world.directory.refresh()
        assert len(world.registrations) == left
        await world.registrations.close()
        assert len(await rows(world)) == left


async def test_a_domain_that_goes_takes_its_phones_along(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        world.directory.declare([])
        assert (world.registrations.bindings(ALICE), len(world.registrations)) == ((), 0)
        assert (await alice.register(world.hop())).status == 404
    await world.registrations.close()
    assert await rows(world) == []


async def test_a_domain_that_another_account_has_now(start: Start) -> None:
    """Its users are other people, even if their names are the same."""
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        other = await world.accounts.add_subaccount(world.account.sid, "Other", time.time())
        world.directory.declare(declared_domain(other.sid, DOMAIN, {}, USERS, time.time()))
        assert world.registrations.bindings(ALICE) == ()
        assert (await alice.register(world.hop())).status == 200
        await world.registrations.close()
        [(account_sid, _)] = await stored.load(world.store.store)
        assert account_sid == other.sid


async def test_a_domain_that_is_renamed_or_removed(start: Start) -> None:
    """REST's, whose phones go with its name."""
    world = await start()
    common: dict[str, Any] = {
        "account_sid": world.account.sid,
        "date_created": 1.0,
        "date_updated": 1.0,
    }
    domain = Domain(
        sid=f"SD{1:032x}",
        domain_name="made.example",
        friendly_name="",
        settings={"sip_registration": "true"},
        **common,
    )
    await world.directory.add(domain)
    declared = world.directory.credential_lists.all()[0]
    mapping = Mapping(
        sid=declared.sid, domain_sid=domain.sid, purpose=Purpose.REGISTRATIONS, **common
    )
    await world.directory.add(mapping)
    async with phone() as alice:
        for _ in range(2):
            answer = await alice.register(world.hop(), domain="made.example")
            assert (answer.status, len(world.registrations)) == (200, 1)
            domain = await world.directory.change(domain, 2.0, domain_name="new.example")
            assert len(world.registrations) == 0
            domain = await world.directory.change(domain, 3.0, domain_name="made.example")
        await alice.register(world.hop(), domain="made.example")
        await world.directory.remove(domain, 4.0)
        assert len(world.registrations) == 0


async def test_a_replayed_request_binds_nothing(start: Start) -> None:
    """What was overheard serves nobody, from the same address either."""
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        await alice.register(world.hop(), expires=0)
        overheard = next(
            each.content
            for each in alice.crossed
            if isinstance(each.content, bytes)
            and b"Authorization:" in each.content
            and b"expires=600" in each.content
        )
    # Neither is covered by the digest.
    replayed = overheard.replace(b"z9hG4bK", b"z9hG4bKagain").replace(b"Call-ID: ", b"Call-ID: x")
    loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            told.put_nowait(data)

    hop = world.hop()
    peer, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(hop.host, hop.port))
    peer.sendto(replayed)
    async with asyncio.timeout(30):
        answer = await told.get()
    assert answer.startswith(b"SIP/2.0 401 ") and b"stale=true" in answer
    assert world.registrations.bindings(ALICE) == ()
    peer.close()


async def test_a_restart_keeps_phones_over_udp(start: Start) -> None:
    world = await start(UDP, TCP)
    async with phone() as alice, phone("bob") as bob:
        assert (await alice.register(world.hop(UDP))).status == 200
        assert (await bob.register(world.hop(TCP))).status == 200
        before = world.registrations.bindings(ALICE)
        await world.restart()
        [kept] = world.registrations.bindings(ALICE)
        assert (kept.uri, kept.expires_at) == (before[0].uri, before[0].expires_at)
        assert world.registrations.bindings(f"bob@{DOMAIN}") == ()
        [target] = world.registrations.targets(ALICE)
        assert target.destination == world.station.endpoint.path(kept.flow.local, kept.flow.remote)
        assert len(await rows(world)) == 1
        assert (await alice.register(world.hop(UDP))).status == 200
        assert len(world.registrations.bindings(ALICE)) == 1


async def test_a_restart_elsewhere_leaves_what_may_be_anothers(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop(), expires=60)
        kept = await rows(world)
        world.listens = (Listen(transport=UDP, host="127.0.0.1"),)
        await world.restart()
        assert (world.registrations.bindings(ALICE), await rows(world)) == ((), kept)
        world.clock = lambda: time.time() + 61
        await world.restart()
        await world.registrations.close()
        assert await rows(world) == []


async def test_a_restart_forgets_the_browsers_of_the_last_run_and_no_others(start: Start) -> None:
    world = await start(sockets=(("0.0.0.0", 8080),))
    async with phone() as alice:
        await alice.register(world.hop())
    [before] = world.registrations.bindings(ALICE)
    for name, port in (("ours", 8080), ("another's", 9090)):
        flow = Flow(
            id=7, transport=Transport.WSS, local=("127.0.0.1", port), remote=("127.0.0.1", 50000)
        )
        browser = msgspec.structs.replace(before, id=name, flow=flow)
        change = Change(binding=browser, cause=Cause.REGISTERED)
        await world.store.commit(stored.writes_of(world.account.sid, (change,)))
    await world.restart()
    await world.registrations.close()
    assert sorted(await rows(world)) == sorted([before.id, "another's"])


async def test_a_binding_ends_with_its_connection(start: Start) -> None:
    world = await start(TCP)
    async with phone() as alice:
        assert (await alice.register(world.hop(TCP))).status == 200
        assert len(world.registrations) == 1
    await until(lambda: len(world.registrations) == 0)
    await world.registrations.close()
    assert await rows(world) == []


async def test_a_binding_ends_with_its_time(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        answer = await alice.register(world.hop(), expires=1)
        assert [each.params for each in answer.contacts] == [(("expires", "1"),)]
        await until(lambda: len(world.registrations) == 0)
        await world.registrations.close()
        assert await rows(world) == []


async def test_the_store_is_away(start: Start) -> None:
    """The phone is told to come back, and what it had stays."""
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        before = world.registrations.bindings(ALICE)
        world.store.away = True
        elsewhere = SipUri(user="alice", host="192.0.2.9")
        for asked in ({"contact": elsewhere}, {"expires": 0}, {}):
            answer = await alice.register(world.hop(), **asked)
            assert (answer.status, told(answer)) == (503, "nothing can be stored at the moment")
            retry = read_retry_after(answer.headers)
            assert retry is not None and retry.seconds > 0
            assert world.registrations.bindings(ALICE) == before
        world.store.away = False
        answer = await alice.register(world.hop(), contact=elsewhere)
        assert (answer.status, len(answer.contacts)) == (200, 2)
        assert len(await rows(world)) == 2


async def test_what_cannot_be_taken_out_is_owed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sip.registrations._OWED_EVERY", 0.1)
    world = await start(TCP)
    async with phone() as alice:
        await alice.register(world.hop(TCP))
        world.store.away = True
    await until(lambda: len(world.registrations) == 0)
    assert len(await rows(world)) == 1
    world.store.away = False
    await until(lambda: not world.registrations._owed and not world.registrations._commits)
    assert await rows(world) == []


async def test_what_is_owed_spares_who_came_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sip.registrations._OWED_EVERY", 0.1)
    world = await start()
    async with phone() as alice, phone("bob") as bob:
        await alice.register(world.hop(), expires=1)
        world.store.away = True
        await until(lambda: len(world.registrations) == 0)
        world.store.away = False
        await alice.register(world.hop())
        await bob.register(world.hop())
        await until(lambda: not world.registrations._owed and not world.registrations._commits)
        assert len(await rows(world)) == 2


async def test_what_is_owed_is_not_forgotten_for_who_came_back_in_vain(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sip.registrations._OWED_EVERY", 0.1)
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop(), expires=1)
        world.store.away = True
        await until(lambda: len(world.registrations) == 0)
        world.store.away, world.store.held = False, []
        answer = alice.ask(world.hop())
        pending = world.registrations._pending
        await until(lambda: ALICE in pending and not world.registrations._owed)
        world.store.release(StoreUnavailable("gone"))
        assert (await answer).status == 503
        await until(lambda: not world.registrations._owed and not world.registrations._commits)
        assert await rows(world) == []


async def test_a_domain_that_goes_while_a_phone_is_refused(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        world.store.held = []
        answer = alice.ask(world.hop())
        await until(lambda: len(world.store.held or ()) == 1)
        world.directory.declare([])
        world.store.release(StoreUnavailable("gone"))
        assert (await answer).status == 503
        assert len(world.registrations) == 0


async def test_one_change_of_a_user_at_a_time(start: Start) -> None:
    """The second device's REGISTER waits for the first one's, and stands if that failed."""
    world = await start()
    async with phone() as desk, phone() as mobile:
        await desk.register(world.hop())
        await mobile.register(world.hop())
        world.store.held = []
        away, more = desk.ask(world.hop(), expires=0), mobile.ask(world.hop(), expires=900)
        await until(lambda: len(world.store.held or ()) == 1)
        await asyncio.sleep(0.2)
        assert len(world.store.held) == 1
        world.store.release(StoreUnavailable("gone"))
        first, second = await away, await more
        assert sorted((first.status, second.status)) == [200, 503]
        expected = {each.id for each in world.registrations.bindings(ALICE)}
        assert expected == set(await rows(world))


async def test_only_so_many_changes_of_a_user_wait(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        await alice.register(world.hop())
        world.store.held = []
        asked = [alice.ask(world.hop()) for _ in range(MAX_WAITING + 2)]
        async with asyncio.timeout(30):
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        [refused] = [each.result() for each in done]
        assert told(refused) == "too many registrations of this user wait already"
        assert read_retry_after(refused.headers) is None
        world.store.release()
        answers = [(await each).status for each in asked]
        assert sorted(answers) == [200] * (MAX_WAITING + 1) + [503]


async def test_a_connection_that_ends_while_its_binding_is_written(start: Start) -> None:
    """And with it what waits for that."""
    world = await start(TCP)
    async with phone() as alice:
        alice.ask(world.hop(TCP), expires=0)
        await until(lambda: 200 in statuses(alice))
        world.store.held = []
        alice.ask(world.hop(TCP))
        alice.ask(world.hop(TCP))
        pending = world.registrations._pending
        await until(lambda: ALICE in pending and pending[ALICE].waiting)
    await until(lambda: len(world.registrations) == 0)
    world.store.release()
    await world.registrations.close()
    assert (len(world.registrations), await rows(world)) == (0, [])


@pytest.mark.parametrize("failing", [False, True])
async def test_a_connection_that_ends_while_its_refresh_is_written(
    start: Start, failing: bool
) -> None:
    world = await start(TCP)
    async with phone() as alice:
        await alice.register(world.hop(TCP))
        world.store.held = []
        alice.ask(world.hop(TCP))
        await until(lambda: len(world.store.held or ()) == 1)
    await until(lambda: len(world.registrations) == 0)
    world.store.release(StoreUnavailable("gone") if failing else None)
    await until(lambda: not world.registrations._commits)
    assert len(world.registrations) == 0


async def test_a_flood_is_refused_and_logged_once(start: Start) -> None:
    world = await start(floods=FloodLimits(rate=0.001, burst=5))
    async with phone("alice", "wrong") as stranger, phone() as alice:
        with capture_logs() as logs:
            for _ in range(6):
                answer = await stranger.register(world.hop())
        assert answer.status == 503
        assert told(answer) == "this address sends too many requests that prove nothing"
        assert read_retry_after(answer.headers) is None
        assert [each["rule"] for each in logs if "refused" in each["event"]] == [
            "the username or the password is wrong",
            "this address sends too many requests that prove nothing",
        ]
        # The other phones of that address suffer with it.
        assert (await alice.register(world.hop())).status == 503


@pytest.mark.parametrize(
    ("given", "status"),
    [("", b"401"), (DIGEST, b"401"), ("Authorization: Digest username=x\r\n", b"400")],
)
async def test_a_flood_leaves_nothing_behind_and_harms_nobody_else(
    start: Start, given: str, status: bytes
) -> None:
    world = await start(
        listens=(Listen(transport=UDP, host="127.0.0.1"), Listen(transport=UDP, host="127.0.0.2")),
        floods=FloodLimits(rate=0.001, burst=50),
    )
    answers: Counter[bytes] = Counter()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            answers[data[8:11]] += 1

    loop, hop = asyncio.get_running_loop(), world.hop()
    peer, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(hop.host, hop.port))
    async with phone(host="127.0.0.2") as alice:
        for number in range(600):
            peer.sendto(
                (
                    f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
                    f"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{number}\r\n"
                    f"From: <sip:alice@{DOMAIN}>;tag=1\r\nTo: <sip:alice@{DOMAIN}>\r\n"
                    f"Call-ID: {number}\r\nCSeq: 1 REGISTER\r\n{given}"
                    "Contact: <sip:x@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
                ).encode()
            )
            if number % 100 == 99:
                await until(lambda sent=number + 1: answers.total() == sent)
        peer.close()
        assert answers == {status: 50, b"503": 550}
        assert world.station.agent.ledger() == {}
        assert world.station.agent.layer.servers == 0
        other = world.station.endpoint.addresses()[1][1]
        answer = await alice.register(Hop(transport=UDP, host=other[0], port=other[1]))
        assert answer.status == 200


async def test_what_others_are_refused_is_counted_in_the_log_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody registers, and the rest of a flood of calls is still told of."""
    monkeypatch.setattr("gateway.sip.registrations._LOOK_EVERY", 0.1)
    log = RefusalLog(apart=0.1)
    refused = Refused(method="INVITE", domain="", user="", source="192.0.2.1", rule="no")
    with capture_logs() as logs:
        await start(log=log)
        for _ in range(3):
            log.tell(refused, time.time())
        await until(lambda: sum(each.get("count", 0) for each in logs) == 3)


async def test_right_passwords_empty_no_bucket(start: Start) -> None:
    world = await start(floods=FloodLimits(rate=0.0, burst=4))
    for _ in range(8):
        async with phone() as alice:
            assert (await alice.register(world.hop())).status == 200


async def test_devices_and_their_flows(start: Start) -> None:
    """Two phones are two targets; two flows of one phone are one, the newest first."""
    world = await start(UDP, TCP)
    instance = ("+sip.instance", '"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"')
    async with phone() as desk, phone() as mobile:
        supported = (("Supported", "path, outbound"),)
        for number, transport in ((1, UDP), (2, TCP)):
            answer = await desk.register(
                world.hop(transport),
                params=(instance, ("reg-id", str(number))),
                headers=supported,
            )
            assert answer.status == 200
        await mobile.register(world.hop())
        first, second = world.registrations.targets(ALICE)
        assert (first.alternates, first.destination.transport) == ((), UDP)
        assert second.destination.transport is TCP
        assert [each.destination.transport for each in second.alternates] == [UDP]


async def test_a_path_leads_to_its_edge(start: Start) -> None:
    world = await start()
    async with phone() as alice:
        answer = await alice.register(
            world.hop(), headers=(("Path", "<sip:192.0.2.5:5070;lr>"), ("Supported", "path"))
        )
        assert (answer.status, answer.headers.all("Path")) == (200, ["<sip:192.0.2.5:5070;lr>"])
    [target] = world.registrations.targets(ALICE)
    assert target.destination == Hop(transport=UDP, host="192.0.2.5", port=5070)
    assert [route.uri.host for route in target.routes] == ["192.0.2.5"]

"""Records of the topic of submits: judged as REST judges, taken once, none skipped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.messages.accept import Accepted
from gateway.messages.asked import Judge
from gateway.messages.draft import Draft, Refusal
from gateway.messages.idempotency import KEPT_FOR
from gateway.messages.submit import Submitter, Taken
from gateway.messages.submit_record import MAX_RECORD, SUBMIT_FIELDS, SubmitRecord, read
from gateway.model import Account, AccountKind, AccountStatus
from gateway.store.base import (
    Insert,
    Lease,
    Query,
    StoreError,
    StoreUnavailable,
    Update,
    Write,
)
from tests.unit.messages.path_world import (
    ACCOUNT,
    HANDSET,
    NUMBER,
    OTHER,
    PathWorld,
    path_world,
)

UNKNOWN = "AC" + "9" * 32
TESTING = "AC" + "8" * 32
_REFUSED = Query(
    "refused",
    "SELECT account_sid, data FROM facts WHERE type = 'submit.refused' ORDER BY id",
)
_POSITION = Query("position", "SELECT value FROM meta WHERE name = 'position'")
_FIRST = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_MOVE = Update(table="meta", key=("name",), columns=("value",))


def account(sid: str, kind: AccountKind = AccountKind.FULL) -> Account:
    return Account(
        sid=sid,
        parent_sid=sid,
        kind=kind,
        friendly_name="",
        auth_token="",
        status=AccountStatus.ACTIVE,
        date_created=0.0,
        date_updated=0.0,
        version=1,
    )


ACCOUNTS = {
    ACCOUNT: account(ACCOUNT),
    OTHER: account(OTHER),
    TESTING: account(TESTING, AccountKind.TEST),
}


class Producer:
    """A submitter over a path, and what a producer writes."""

    def __init__(self, world: PathWorld) -> None:
        self.world = world
        self.full = False
        self.accounts = dict(ACCOUNTS)
        self.numbers = {NUMBER}
        self.looks = 0
        self.news: list[Callable[[], object]] = []  # what another process did
        self.submitter = Submitter(
            store=world.store,  # type: ignore[arg-type]
            path=world.messages,
            accounts=self.accounts.get,
            judge=self._judge,
            max_body=1600,
            overloaded=lambda: self.full,
            look=self._look,
            owner=world.owner,
            clock=lambda: world.now,
        )

    async def _look(self) -> None:
        if self.world.store.away:
            self.world.store.refusing.set()
            raise StoreUnavailable("the disk is gone")
        self.looks += 1
        for each in self.news:
            each()

    def _judge(self, account_sid: str) -> Judge:
        def judge(address: str) -> Refusal | None:
            if address in self.numbers:
                return None
            return Refusal(error_code=21606, message=f"{address} is not a number of this account")

        return judge

    async def take(self, *values: bytes, moved: list[Write] | None = None) -> Taken:
        taken = await self.submitter.take(values, moved or [])
        await self.world.quiet()
        return taken

    async def refused(self) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.world.store.real.fetch(_REFUSED)
        return [(account_sid, msgspec.json.decode(data)) for account_sid, data in rows]


def record(number: int = 1, **changed: Any) -> bytes:
    value = {
        "v": 1,
        "id": f"order-{number}",
        "account_sid": ACCOUNT,
        "to": HANDSET,
        "from": NUMBER,
        "body": "Hello",
        **changed,
    }
    return msgspec.json.encode({k: v for k, v in value.items() if v is not ...})


@pytest.fixture
async def producer(tmp_path: Path) -> AsyncIterator[Producer]:
    async with path_world(tmp_path) as world:
        yield Producer(world)


async def test_a_record_becomes_a_message_as_rest_makes_it(producer: Producer) -> None:
    value = record(
        body="Grüße",
        media_url=["https://a.example/1.png"],
        validity_period=60,
        extra={"ours": 1},
    )
    assert await producer.take(value) == Taken(accepted=1)
    (submission,) = producer.world.out
    message = await producer.world.message(submission.sid)
    assert (message.account_sid, message.origin, message.body) == (ACCOUNT, "submit", "Grüße")
    assert (message.media, message.sid[:2]) == (("https://a.example/1.png",), "MM")
    assert message.valid_until == message.date_created + 60
    assert await producer.world.facts(message.sid) == ["queued"]


async def test_a_record_is_taken_once_in_a_batch_and_over_batches(producer: Producer) -> None:
    assert await producer.take(record(1), record(2), record(1)) == Taken(accepted=2, known=1)
    assert await producer.take(record(2), record(3), record(1)) == Taken(accepted=1, known=2)
    assert await producer.take(record(1, account_sid=OTHER)) == Taken(accepted=1)
    assert await producer.world.count("messages") == 4
    await producer.world.restart()
    again = Producer(producer.world)
    assert await again.take(record(1), record(3)) == Taken(known=2)
    producer.world.now += KEPT_FOR + 1
    assert await again.take(record(1), record(9)) == Taken(accepted=2)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"to": "1"}, 21211),
        ({"to": ""}, 21604),
        ({"from": ""}, 21603),
        ({"from": "+15557654321"}, 21606),
        ({"body": None}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"status_callback": "ftp://a"}, 21609),
        ({"media_url": "nowhere"}, 21620),
        ({"media_url": ["https://a.example/"] * 11}, 21623),
        ({"validity_period": 0}, 21624),
        ({"validity_period": 36001}, 21624),
        ({"account_sid": UNKNOWN}, 21471),
        ({"account_sid": TESTING}, 20008),
        ({"account_sid": "me"}, 21471),
        ({"v": 2}, 20001),
        ({"v": "1"}, 20001),
        ({"v": ...}, 20001),
        ({"id": ""}, 20001),
        ({"id": 7}, 20001),
        ({"id": "a b"}, 20001),
        ({"id": "x" * 256}, 20001),
        ({"body": ["x"]}, 20001),
        ({"body": "a\0b"}, 20001),
        ({"media_url": ["https://a.example/\0"]}, 20001),
        ({"validity_period": "60"}, 20001),
        ({"validity_period": 10**30}, 20001),
        ({"v": 10**30}, 20001),
        ({"to": ...}, 20001),
        ({"more": "x" * MAX_RECORD}, 20413),
    ],
)
async def test_a_refused_record_is_one_fact(
    producer: Producer, changed: dict[str, Any], code: int
) -> None:
    value = record(1, **changed)
    assert await producer.take(value, record(2), value) == Taken(accepted=1, refused=1, known=1)
    assert await producer.take(value) == Taken(known=1)
    ((account_sid, data),) = await producer.refused()
    assert data["error_code"] == code
    assert data["message"]
    known = changed.get("account_sid", ACCOUNT) in ACCOUNTS
    named = data["id"] == "order-1"
    assert account_sid == (changed.get("account_sid", ACCOUNT) if known and named else "")
    assert "Hello" not in str(data)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'{"v":1',
        b'{"v":1,"id":"\xed\xa0\x80"}',
        b'{"v":1,"id":"\\ud800"}',
        b'{"v":1,"x":' + b"[" * 100_000,
        b'{"v":1,"id":"a","v":' + b"9" * 5000 + b"}",
        b"{}" * 3,
    ],
)
async def test_garbage_is_one_fact_and_stops_nobody(producer: Producer, value: bytes) -> None:
    assert await producer.take(value, record(1), value) == Taken(accepted=1, refused=1, known=1)
    assert await producer.take(value) == Taken(known=1)
    ((account_sid, data),) = await producer.refused()
    assert (account_sid, data["id"], data["error_code"]) == ("", "", 20001)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["v", "id", "account_sid", "to", "from", "body", "media_url"]),
                inner,
            )
        ),
    ).map(msgspec.json.encode)
)
def test_whatever_a_record_holds_it_is_a_record_or_a_refusal(value: bytes) -> None:
    assert isinstance(read(value), SubmitRecord | Refusal)


async def test_a_suspended_account_is_refused(producer: Producer) -> None:
    producer.world.active.clear()
    assert await producer.take(record(1)) == Taken(refused=1)
    ((account_sid, data),) = await producer.refused()
    assert (account_sid, data["error_code"]) == (ACCOUNT, 20005)


async def position(world: PathWorld) -> str:
    rows = await world.store.real.fetch(_POSITION)
    return rows[0][0] if rows else ""


def moved(to: str) -> list[Write]:
    return [(_FIRST, ("position", to)), (_MOVE, ("position", to))]


async def test_the_position_moves_with_the_last_record(producer: Producer) -> None:
    values = [record(n) for n in range(600)]
    producer.world.network.room = 10
    # The bound of accepts is 100: it takes several commits.
    commits = producer.world.store.real.stats().commits
    assert await producer.take(*values, moved=moved("600")) == Taken(accepted=600)
    assert producer.world.store.real.stats().commits - commits >= 6
    assert await position(producer.world) == "600"
    assert await producer.take(*values, moved=moved("601")) == Taken(known=600)
    assert await position(producer.world) == "601"
    assert await producer.take(moved=moved("602")) == Taken()
    assert await position(producer.world) == "602"


async def test_while_the_store_is_away_it_waits_and_skips_nothing(producer: Producer) -> None:
    world = producer.world
    world.store.away = True
    taking = asyncio.ensure_future(
        producer.submitter.take([record(1), b"garbage", record(2)], moved("3"))
    )
    await asyncio.wait_for(world.store.refusing.wait(), 30)
    assert not taking.done()
    world.store.away = False
    assert await taking == Taken(accepted=2, refused=1)
    assert await position(world) == "3"
    assert await world.count("messages") == 2


async def test_while_too_much_is_accepted_it_waits(producer: Producer) -> None:
    producer.full = True
    taking = asyncio.ensure_future(producer.submitter.take([record(1)]))
    done, _ = await asyncio.wait([taking], timeout=0.2)
    assert not done
    assert producer.world.messages.gauges().accepts_in_flight == 0
    producer.full = False
    assert await asyncio.wait_for(taking, 30) == Taken(accepted=1)
    assert producer.world.messages.gauges().accepts_in_flight == 0


async def test_the_bound_of_accepts_holds_for_records_too(producer: Producer) -> None:
    admitted = producer.world.messages.admit(1000)
    taking = asyncio.ensure_future(producer.submitter.take([record(1)]))
    done, _ = await asyncio.wait([taking], timeout=0.2)
    assert not done
    producer.world.messages.dismiss(admitted)
    assert await asyncio.wait_for(taking, 30) == Taken(accepted=1)


async def test_a_commit_that_was_made_after_all_is_not_lost(producer: Producer) -> None:
    """The connection went with the answer: the record is known, and it is ours."""
    world = producer.world
    real, failed = world.store.real.commit, []

    async def commit(writes: list[Write], fence: Lease | None = None) -> None:
        await real(writes, fence)
        if not failed:
            failed.append(1)
            raise StoreUnavailable("the connection was lost")

    world.store.commit = lambda writes, fence=None: asyncio.ensure_future(  # type: ignore
        commit(writes, fence)
    )
    assert await producer.take(record(1), b"garbage") == Taken(accepted=1, refused=1)
    assert len(world.out) == 1
    assert await world.count("messages") == 1
    assert len(await producer.refused()) == 1


# -- what another process did a moment ago -------------------------------------------------


async def test_an_account_that_was_made_a_moment_ago_is_looked_for(producer: Producer) -> None:
    producer.world.active.add(UNKNOWN)
    producer.news.append(lambda: producer.accounts.update({UNKNOWN: account(UNKNOWN)}))
    assert await producer.take(record(1, account_sid=UNKNOWN), record(2)) == Taken(accepted=2)
    assert producer.looks == 1


async def test_a_number_that_was_taken_a_moment_ago_is_looked_for(producer: Producer) -> None:
    producer.news.append(lambda: producer.numbers.add("+15557654321"))
    assert await producer.take(record(1, **{"from": "+15557654321"})) == Taken(accepted=1)


async def test_an_account_that_was_opened_again_a_moment_ago_sends(producer: Producer) -> None:
    producer.world.active.clear()
    producer.news.append(lambda: producer.world.active.add(ACCOUNT))
    assert await producer.take(record(1)) == Taken(accepted=1)


async def test_one_look_serves_a_batch_and_what_is_refused_anyway_needs_none(
    producer: Producer,
) -> None:
    strange = [record(n, account_sid=UNKNOWN) for n in range(5)]
    assert await producer.take(*strange) == Taken(refused=5)
    assert producer.looks == 1
    await producer.take(record(8, to="1"), record(9, account_sid="me"), b"garbage")
    assert producer.looks == 1


async def test_a_look_waits_while_the_store_is_away(producer: Producer) -> None:
    world = producer.world
    world.store.away = True
    producer.news.append(lambda: producer.numbers.add("+15557654321"))
    value = record(1, **{"from": "+15557654321"})
    taking = asyncio.ensure_future(producer.submitter.take([value]))
    await asyncio.wait_for(world.store.refusing.wait(), 30)
    world.store.away = False
    assert await asyncio.wait_for(taking, 30) == Taken(accepted=1)


# -- what nobody foresaw -------------------------------------------------------------------


async def test_a_record_that_breaks_the_path_is_refused_and_stops_nobody(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = producer.world.messages.plan

    def broken(draft: Draft) -> Accepted | Refusal:
        if draft.body == "poison":
            raise RuntimeError("a defect")
        return plan(draft)

    monkeypatch.setattr(producer.world.messages, "plan", broken)
    poison = record(2, body="poison")
    assert await producer.take(record(1), poison, record(3)) == Taken(accepted=2, refused=1)
    ((account_sid, data),) = await producer.refused()
    assert (account_sid, data["id"], data["error_code"]) == (ACCOUNT, "order-2", 20500)
    assert await producer.take(poison) == Taken(known=1)


async def test_a_record_that_the_store_refuses_is_a_fact_and_stops_nobody(
    producer: Producer,
) -> None:
    world = producer.world
    real = world.store.real.commit

    def commit(writes: list[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        if any("poison" in row for _, row in writes):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreError("OverflowError: too large"))
            return future
        return real(writes, fence)

    world.store.commit = commit  # type: ignore[method-assign, assignment]
    values = [record(1), record(2, body="poison"), b"garbage", record(3)]
    assert await producer.take(*values, moved=moved("4")) == Taken(accepted=2, refused=2)
    assert len(world.out) == 2
    codes = {data["id"]: data["error_code"] for _, data in await producer.refused()}
    assert codes == {"order-2": 20500, "": 20001}
    assert await position(world) == "4"


async def test_who_is_cancelled_in_a_commit_leaves_messages_that_go_out(
    producer: Producer,
) -> None:
    world = producer.world
    world.store.gate = asyncio.Event()
    taking = asyncio.ensure_future(producer.submitter.take([record(1)]))
    await asyncio.wait_for(world.store.gated.wait(), 30)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    world.store.gate.set()
    world.store.gate = None
    await asyncio.wait_for(world.network.busy.wait(), 30)
    assert await world.count("messages") == 1


async def test_what_is_said_of_the_validity_is_what_a_record_without_one_gets(
    producer: Producer,
) -> None:
    await producer.take(record(1))
    (submission,) = producer.world.out
    message = await producer.world.message(submission.sid)
    seconds = message.valid_until - message.date_created
    assert SUBMIT_FIELDS["validity_period"].endswith(f"default: {seconds:g}")

"""Statements and rows that the tests of the store write and read."""

import asyncio

from gateway.calls import tables as calls
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus
from gateway.messages import notifications
from gateway.sids import NOTIFICATION, first_sid
from gateway.store.base import Delete, Fact, Insert, Query, Store, Update, Write

META = Insert(table="meta", columns=("name", "value"))
META_ONCE = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
META_SET = Update(table="meta", key=("name",), columns=("value",))
META_DROP = Delete(table="meta", key=("name",))
ACCOUNT = Insert(
    table="accounts",
    columns=(
        "sid",
        "parent_sid",
        "kind",
        "friendly_name",
        "auth_token",
        "status",
        "date_created",
        "date_updated",
        "version",
    ),
)
ACCOUNT_NAME = Update(
    table="accounts", key=("sid",), columns=("friendly_name", "version"), guard="version"
)
ACCOUNT_STATUS = Update(
    table="accounts", key=("sid",), columns=("version", "status"), guard="version"
)
NUMBER = Insert(
    table="phone_numbers",
    columns=(
        "sid",
        "account_sid",
        "phone_number",
        "friendly_name",
        "settings",
        "date_created",
        "date_updated",
        "version",
    ),
)
NUMBER_SET = Update(table="phone_numbers", key=("sid",), columns=("phone_number",))
NUMBER_DROP = Delete(table="phone_numbers", key=("sid",))
SEGMENT = Insert(
    table="segments",
    columns=(
        "account_sid",
        "sid",
        "part",
        "attempt",
        "carrier",
        "carrier_id",
        "id_key",
        "state",
        "error_code",
        "at",
    ),
    ignore_taken=("sid", "part", "attempt"),
)
SEGMENT_STATE = Update(table="segments", key=("sid", "part", "attempt"), columns=("state", "at"))
SEGMENT_WIPE = Delete(table="segments", key=("sid",))
SEGMENT_MOVE = Update(table="segments", key=("carrier",), columns=("part",))
TRACE = Insert(table="trace", columns=("sid", "frames"))
TRACE_WIPE = Delete(table="trace", key=("sid",))
FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))

ALL_META = Query("all_meta", "SELECT name, value FROM meta WHERE name <> $1 ORDER BY name")
TABLES = {
    "meta": "SELECT * FROM meta ORDER BY name",
    "accounts": "SELECT * FROM accounts ORDER BY sid",
    "phone_numbers": "SELECT * FROM phone_numbers ORDER BY sid",
    "segments": "SELECT * FROM segments ORDER BY sid, part, attempt",
    "trace": "SELECT sid, frames FROM trace ORDER BY id",
    "facts": "SELECT sid, version FROM facts ORDER BY id",
}


def account(sid: str, version: int = 1) -> Write:
    return ACCOUNT, (sid, sid, "full", "name", "token", "active", 1.5, 1.5, version)


def number(sid: str, phone_number: str) -> Write:
    return NUMBER, (sid, "AC1", phone_number, "", "{}", 1.0, 1.0, 1)


def fact(sid: str, version: int = 1) -> Write:
    return FACT, ("AC1", sid, version, "message.queued", 2.5, "{}")


async def meta(store: Store) -> dict[str, str]:
    return dict(await store.fetch(ALL_META, "schema_version"))


async def facts_of(store: Store, count: int, cursor: int = 0) -> list[Fact]:
    """The next `count` facts; a store may need a moment until it can show them."""
    facts: list[Fact] = []
    async with asyncio.timeout(60):
        while len(facts) < count:
            facts += await store.facts_after(cursor, count - len(facts), wait=1.0)
            cursor = facts[-1].id if facts else cursor
    return facts


async def outcomes(futures: list["asyncio.Future[None]"]) -> list[type[BaseException] | None]:
    results = await asyncio.gather(*futures, return_exceptions=True)
    return [None if result is None else type(result) for result in results]


MESSAGE = Insert(
    table="messages",
    columns=(
        "account_sid",
        "sid",
        "direction",
        "status",
        "from_address",
        "to_address",
        "body",
        "media",
        "num_segments",
        "parts",
        "encoding",
        "status_callback",
        "status_callback_method",
        "origin",
        "in_reply_to",
        "carrier",
        "route",
        "attempt",
        "reference",
        "concat_reference",
        "error_code",
        "valid_until",
        "date_created",
        "date_updated",
        "date_sent",
        "version",
    ),
)


def message(sid: str, account_sid: str = "AC1", carrier: str = "acme") -> Write:
    texts = ("outbound-api", "queued", "+15550001000", "+15550001001", "Hello", "[]")
    origin = ("GSM", "", "POST", "rest", "", carrier, "[]")
    return MESSAGE, (account_sid, sid, *texts, 1, 1, *origin, 0, -1, -1, 0, 9.5, 1.5, 1.5, 0.0, 1)


def segment(sid: str) -> Write:
    return SEGMENT, ("AC1", sid, 1, 1, "acme", "", "", "held", 0, 1.5)


def call(sid: str, account_sid: str = "AC1") -> Write:
    return calls.inserted(
        Call(
            account_sid=account_sid,
            sid=sid,
            direction=CallDirection.INBOUND,
            status=CallStatus.RINGING,
            from_address="+447700900123",
            to_address="+15550001000",
            owner="w",
            date_created=1.5,
            date_updated=1.5,
        )
    )


def call_leg(sid: str) -> Write:
    return calls.leg_inserted(
        CallLeg(account_sid="AC1", sid=sid, direction=CallDirection.INBOUND, began=1.5)
    )


def jobs_table(generation: int) -> Insert:
    return Insert(
        table=f"jobs_{generation}",
        columns=(
            "id",
            "kind",
            "account_sid",
            "endpoint",
            "shard",
            "sequence",
            "sid",
            "payload",
            "created_at",
            "expire_at",
        ),
    )


def job(generation: int, job_id: str, endpoint: str = "https://a.example") -> Write:
    row = (job_id, "callback", "AC1", endpoint, 3, "", "SM1", "{}", 1.5, 9.5)
    return jobs_table(generation), row


def transition(generation: int, job_id: str, attempt: int) -> Write:
    statement = Insert(
        table=f"job_state_transitions_{generation}",
        columns=("job_id", "attempt", "to_state", "at", "retry_at", "note"),
        ignore_taken=("job_id", "attempt"),
    )
    return statement, (job_id, attempt, "succeeded", 2.5, 0.0, "")


def job_ids(generation: int) -> Query:
    return Query("job_ids", f"SELECT id FROM jobs_{generation} ORDER BY id")


def notification(account_sid: str, at: float, number: int = 0) -> Write:
    """About a message, made at `at`."""
    sid = f"{first_sid(NOTIFICATION, at)}{number:016x}"
    return notifications.INSERT, (account_sid, sid, "SM1", 11200, "error", "{}", at)

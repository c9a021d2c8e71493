"""Messages over REST, with the official SDK as the client."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rest_world import NUMBER, OTHER_NUMBER, World, rest_world
from twilio.base.exceptions import TwilioRestException

from gateway.messages.draft import REST, Draft, Refusal
from gateway.model import Message, MessageStatus

TO = "+447700900123"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def create(world: World, **params: Any) -> tuple[int, Any]:
    """Status and JSON of one create; `from_` is From."""
    form = {name.rstrip("_").title() if name == "from_" else name: v for name, v in params.items()}
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json"
    status, body, _ = await world.ask("POST", path, world.main, data=form)
    return status, body


async def keep(world: World, **changed: Any) -> Message:
    """A stored message of the main account."""
    draft = Draft(
        account_sid=world.main.sid,
        to_address=changed.pop("to_address", TO),
        from_address=changed.pop("from_address", NUMBER),
        body=changed.pop("body", "hello"),
        media=changed.pop("media", ()),
        validity_period=60.0,
        origin=REST,
    )
    return await world.messages.keep(draft, **changed)


async def test_the_sdk_creates_a_message(world: World) -> None:
    client = world.sdk(world.main)
    made = await world.call(
        lambda: client.messages.create(
            to=TO,
            from_=NUMBER,
            body="Grüße 🙂 & more=less+1",
            status_callback="https://app.example/status",
            validity_period=120,
        )
    )
    assert made.sid.startswith("SM")
    assert (made.status, made.direction, made.error_code) == ("queued", "outbound-api", None)
    assert (made.to, made.from_, made.body) == (TO, NUMBER, "Grüße 🙂 & more=less+1")
    assert (made.num_segments, made.num_media) == ("1", "0")
    assert made.date_created.tzinfo is not None
    assert made.date_sent is None
    assert made.uri == f"/2010-04-01/Accounts/{world.main.sid}/Messages/{made.sid}.json"
    [draft] = world.messages.drafts
    assert draft == Draft(
        account_sid=world.main.sid,
        to_address=TO,
        from_address=NUMBER,
        body="Grüße 🙂 & more=less+1",
        status_callback="https://app.example/status",
        validity_period=120.0,
        origin=REST,
    )


async def test_the_body_of_a_message_has_twilios_keys(world: World) -> None:
    _, body = await create(world, To=TO, From=NUMBER, Body="hi")
    assert sorted(body) == [
        "account_sid",
        "api_version",
        "body",
        "date_created",
        "date_sent",
        "date_updated",
        "direction",
        "error_code",
        "error_message",
        "from",
        "messaging_service_sid",
        "num_media",
        "num_segments",
        "price",
        "price_unit",
        "sid",
        "status",
        "subresource_uris",
        "to",
        "uri",
    ]


async def test_media_make_an_mms(world: World) -> None:
    client = world.sdk(world.main)
    urls = ["https://media.example/a.png", "https://media.example/b.png"]
    made = await world.call(lambda: client.messages.create(to=TO, from_=NUMBER, media_url=urls))
    assert made.sid.startswith("MM")
    assert made.num_media == "2"
    assert world.messages.drafts[0].media == tuple(urls)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21604),
        ({"To": " ", "From": "nonsense number"}, 21604),
        ({"To": "nonsense"}, 21603),
        ({"To": "nonsense", "From": "nonsense number"}, 21602),
        ({"To": "nonsense", "From": "nonsense number", "Body": "x"}, 21211),
        ({"To": "447700900123", "From": NUMBER, "Body": "x"}, 21211),
        ({"To": "+123456", "From": NUMBER, "Body": "x"}, 21211),
        ({"To": "+1234567890123456", "From": NUMBER, "Body": "x"}, 21211),
        ({"To": TO, "From": "+12", "Body": "x" * 1601}, 21212),
        ({"To": TO, "From": "a name too long", "Body": "x"}, 21212),
        ({"To": TO, "From": OTHER_NUMBER, "Body": "x" * 1601}, 21606),
        ({"To": TO, "From": "+15559999999", "Body": "x"}, 21606),
        ({"To": TO, "From": "12345", "Body": "x"}, 21606),
        ({"To": TO, "From": NUMBER, "Body": "x" * 1601, "StatusCallback": "ftp://x"}, 21617),
        ({"To": TO, "From": NUMBER, "Body": "x", "StatusCallback": "ftp://x"}, 21609),
        ({"To": TO, "From": NUMBER, "Body": "x", "StatusCallback": "/status"}, 21609),
        ({"To": TO, "From": NUMBER, "MediaUrl": ["https://m.example/1"] * 11}, 21623),
        ({"To": TO, "From": NUMBER, "MediaUrl": ["not a url"]}, 21620),
        ({"To": TO, "From": NUMBER, "Body": "x", "ValidityPeriod": "0"}, 21624),
        ({"To": TO, "From": NUMBER, "Body": "x", "ValidityPeriod": "36001"}, 21624),
        ({"To": TO, "From": NUMBER, "Body": "x", "ValidityPeriod": "soon"}, 21624),
        ({"To": TO, "From": NUMBER, "ContentSid": "HX1"}, 21655),
        ({"To": TO, "From": NUMBER, "Body": "x", "ScheduleType": "fixed"}, 35118),
        ({"To": TO, "From": NUMBER, "Body": "x", "SendAt": "2026-12-01T10:00:00Z"}, 35118),
        ({"To": TO, "MessagingServiceSid": "MG1", "Body": "x"}, 21701),
        ({"To": TO, "From": NUMBER, "Body": "x", "Attempt": "many"}, 20001),
        ({"To": TO, "From": NUMBER, "Body": "x", "ProvideFeedback": "perhaps"}, 20001),
    ],
)
async def test_what_a_create_is_refused_for(world: World, form: dict[str, Any], code: int) -> None:
    status, body = await create(world, **form)
    assert (status, body["code"], body["status"]) == (400, code, 400)
    assert body["more_info"].endswith(str(code))
    assert body["message"]
    assert world.messages.drafts == []


@pytest.mark.parametrize(
    ("form", "draft"),
    [
        ({"From": "Acme Ltd"}, {"from_address": "Acme Ltd"}),
        ({"To": "+44 (7700) 900-123"}, {"to_address": TO}),
        ({"Unknown": "ignored", "Body": "x"}, {"body": "x"}),
        ({"Body": "x" * 1600}, {"body": "x" * 1600}),
        ({"Body": "🙂" * 1600}, {"body": "🙂" * 1600}),
        ({"ValidityPeriod": "36000"}, {"validity_period": 36000.0}),
        ({}, {"validity_period": 36000.0}),
    ],
)
async def test_what_a_create_takes(
    world: World, form: dict[str, Any], draft: dict[str, Any]
) -> None:
    status, body = await create(world, **{"To": TO, "From": NUMBER, "Body": "x", **form})
    assert status == 201, body
    for name, value in draft.items():
        assert getattr(world.messages.drafts[0], name) == value


async def test_a_plus_that_was_not_escaped_is_understood(world: World) -> None:
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages"
    raw = f"To={TO}&From={NUMBER}&Body=a"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=klingon"}
    status, body, _ = await world.ask("POST", path, world.main, data=raw, headers=headers)
    assert (status, body["to"], body["from"]) == (201, TO, NUMBER)


@pytest.mark.parametrize(("code", "status"), [(20429, 429), (20503, 503), (21612, 400)])
async def test_the_refusals_of_the_path_reach_the_client(
    world: World, code: int, status: int
) -> None:
    world.messages.refusal = Refusal(error_code=code, message="not now")
    client = world.sdk(world.main)
    with pytest.raises(TwilioRestException) as caught:
        await world.call(lambda: client.messages.create(to=TO, from_=NUMBER, body="x"))
    assert (caught.value.status, caught.value.code, caught.value.msg.split(": ")[-1]) == (
        status,
        code,
        "not now",
    )


async def test_a_subaccount_sends_from_its_own_numbers(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create(friendly_name="sub"))
    with pytest.raises(TwilioRestException) as caught:
        await world.call(
            lambda: main.api.accounts(sub.sid).messages.create(to=TO, from_=NUMBER, body="x")
        )
    assert caught.value.code == 21606
    number = "+15550003000"
    await world.call(
        lambda: main.api.accounts(sub.sid).incoming_phone_numbers.create(phone_number=number)
    )
    made = await world.call(
        lambda: main.api.accounts(sub.sid).messages.create(to=TO, from_=number, body="x")
    )
    assert made.account_sid == sub.sid


async def test_fetch_update_delete(world: World) -> None:
    client = world.sdk(world.main)
    made = await world.call(lambda: client.messages.create(to=TO, from_=NUMBER, body="secret"))
    fetched = await world.call(lambda: client.messages(made.sid).fetch())
    assert fetched.body == "secret"
    canceled = await world.call(lambda: client.messages(made.sid).update(status="canceled"))
    assert canceled.status == "canceled"
    with pytest.raises(TwilioRestException) as caught:
        await world.call(lambda: client.messages(made.sid).update(status="canceled"))
    assert caught.value.code == 30409
    redacted = await world.call(lambda: client.messages(made.sid).update(body=""))
    assert redacted.body == ""
    assert (await world.call(lambda: client.messages(made.sid).fetch())).body == ""
    assert await world.call(lambda: client.messages(made.sid).delete())
    with pytest.raises(TwilioRestException) as caught:
        await world.call(lambda: client.messages(made.sid).fetch())
    assert (caught.value.status, caught.value.code) == (404, 20404)


async def test_an_update_that_means_nothing_is_refused(world: World) -> None:
    made = await keep(world)
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages/{made.sid}.json"
    for form in ({"Body": "other words"}, {"Status": "delivered"}):
        status, body, _ = await world.ask("POST", path, world.main, data=form)
        assert (status, body["code"]) == (400, 20001)
    status, body, _ = await world.ask("POST", path, world.main, data={})
    assert (status, body["status"], body["body"]) == (200, "queued", "hello")


async def test_an_error_is_shown_with_its_message(world: World) -> None:
    made = await keep(world, status=MessageStatus.UNDELIVERED, error_code=30003)
    fetched = await world.call(lambda: world.sdk(world.main).messages(made.sid).fetch())
    assert (fetched.error_code, fetched.error_message) == (
        30003,
        "Unreachable destination handset",
    )


async def test_the_sdk_pages_through_every_message_once(world: World) -> None:
    media = ("https://media.example/a.png",)
    made = [await keep(world, media=media if number % 3 == 0 else ()) for number in range(23)]
    expected = [message.sid for message in reversed(made)]
    client = world.sdk(world.main)
    listed = await world.call(lambda: client.messages.list(page_size=5))
    assert [message.sid for message in listed] == expected
    assert len(await world.call(lambda: client.messages.list(limit=7))) == 7


async def test_pages_lead_forth_and_back(world: World) -> None:
    made = [await keep(world) for _ in range(12)]
    expected = [message.sid for message in reversed(made)]
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json?PageSize=5"
    pages: list[dict[str, Any]] = []
    uri: str | None = path
    while uri:
        status, page, _ = await world.ask("GET", uri, world.main)
        assert status == 200
        pages.append(page)
        uri = page["next_page_uri"]
    assert [m["sid"] for page in pages for m in page["messages"]] == expected
    assert [(p["page"], p["start"], p["end"]) for p in pages] == [(0, 0, 4), (1, 5, 9), (2, 10, 11)]
    assert [p["previous_page_uri"] is None for p in pages] == [True, False, False]
    for before, after in pairwise(pages):
        _, again, _ = await world.ask("GET", after["previous_page_uri"], world.main)
        assert [m["sid"] for m in again["messages"]] == [m["sid"] for m in before["messages"]]
    _, first, _ = await world.ask("GET", pages[2]["first_page_uri"], world.main)
    assert first["messages"] == pages[0]["messages"]
    # A text that comes in meanwhile moves no page.
    await keep(world)
    _, second, _ = await world.ask("GET", pages[0]["next_page_uri"], world.main)
    assert second["messages"] == pages[1]["messages"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=1001", 20007),
        ("PageSize=0", 20001),
        ("PageSize=many", 20001),
        ("Page=-1", 20001),
        ("Page=1", 21481),
        ("PageToken=nonsense", 21481),
        ("Page=1&PageToken=PASM1", 21481),
        ("DateSent=yesterday", 20001),
        ("DateSent%3E=2026-13-01", 20001),
        ("DateSent=9999-12-31T23:59:59Z", 20001),
        ("DateSent=0001-01-01T00:00:00%2B14:00", 20001),
    ],
)
async def test_lists_refuse_nonsense(world: World, query: str, code: int) -> None:
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json?{query}"
    status, body, _ = await world.ask("GET", path, world.main)
    assert (status, body["code"]) == (400, code)


async def test_filters(world: World) -> None:
    day = datetime(2026, 11, 19, 12, tzinfo=UTC).timestamp()
    unsent = await keep(world)
    first = await keep(world, date_sent=day)
    other = await keep(world, date_sent=day + 86400, to_address="+447700900999")
    named = await keep(world, date_sent=day + 2 * 86400, from_address="Acme")
    client = world.sdk(world.main)

    async def listed(**filters: Any) -> list[str]:
        found = await world.call(lambda: client.messages.list(**filters))
        return [message.sid for message in found]

    assert await listed() == [named.sid, other.sid, first.sid, unsent.sid]
    assert await listed(to="+44 7700 900999") == [other.sid]
    assert await listed(from_="Acme") == [named.sid]
    assert await listed(to=TO, from_=NUMBER) == [first.sid, unsent.sid]
    assert await listed(date_sent=datetime(2026, 11, 19, tzinfo=UTC)) == [first.sid]
    assert await listed(date_sent_after=datetime(2026, 11, 20, tzinfo=UTC)) == [
        named.sid,
        other.sid,
    ]
    assert await listed(date_sent_before=datetime(2026, 11, 20, 12, tzinfo=UTC)) == [
        other.sid,
        first.sid,
    ]
    assert await listed(to=TO, date_sent_before=date(2026, 11, 22)) == [named.sid, first.sid]
    assert await listed(to=TO, from_=NUMBER, date_sent=date(2026, 11, 20)) == []
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json?DateSent%3C=2026-11-20"
    _, page, _ = await world.ask("GET", path, world.main)
    assert [message["sid"] for message in page["messages"]] == [other.sid, first.sid]


async def test_a_filter_stays_on_the_pages_behind(world: World) -> None:
    made = [await keep(world, to_address="+447700900999") for _ in range(5)]
    await keep(world)
    client = world.sdk(world.main)
    found = await world.call(lambda: client.messages.list(to="+447700900999", page_size=2))
    assert [message.sid for message in found] == [message.sid for message in reversed(made)]


@pytest.mark.parametrize(
    ("status", "to_address", "price"),
    [
        (MessageStatus.QUEUED, TO, None),
        (MessageStatus.SENDING, TO, None),
        (MessageStatus.SENT, TO, "-0.02250"),
        (MessageStatus.DELIVERED, TO, "-0.02250"),
        (MessageStatus.UNDELIVERED, TO, "-0.02250"),
        (MessageStatus.FAILED, TO, None),
        (MessageStatus.RECEIVED, TO, None),
        (MessageStatus.DELIVERED, "+15551230000", None),  # no route says what it costs
    ],
)
async def test_a_text_has_its_price_once_it_was_sent(
    world: World, status: MessageStatus, to_address: str, price: str | None
) -> None:
    kept = await keep(world, status=status, to_address=to_address, carrier="acme", num_segments=3)
    messages = world.sdk(world.main).messages
    fetched = await world.call(messages(kept.sid).fetch)
    [listed] = await world.call(messages.list)
    unit = None if price is None else "USD"
    assert (fetched.price, fetched.price_unit) == (listed.price, listed.price_unit) == (price, unit)

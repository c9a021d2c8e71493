"""Accounts and phone numbers over REST, with the official SDK as the client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_world import NUMBER, OTHER_NUMBER, World, rest_world
from twilio.base.exceptions import TwilioRestException

from gateway.accounts import Accounts
from gateway.calls import queue_tables
from gateway.calls.apps import App, app_of_number
from gateway.model import AccountStatus
from gateway.phone_numbers import PhoneNumbers
from gateway.store.base import StoreUnavailable
from gateway.webhooks.instructions import Fallback

TO = "+447700900123"
NO_MESSAGE = "SM" + "0" * 32


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def refused(world: World, use: Any) -> TwilioRestException:
    """The error with which the gateway refuses `use`."""
    with pytest.raises(TwilioRestException) as caught:
        await world.call(use)
    return caught.value


async def test_a_subaccount_has_a_token_of_its_own(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create(friendly_name="Clinic"))
    assert (sub.friendly_name, sub.status, sub.type) == ("Clinic", "active", "Full")
    assert sub.owner_account_sid == world.main.sid
    assert sub.subresource_uris["calls"] == f"/2010-04-01/Accounts/{sub.sid}/Calls.json"
    assert sub.auth_token != world.main.auth_token
    stored = world.services.accounts.get(sub.sid)
    assert stored is not None
    itself = world.sdk(stored)
    assert (await world.call(lambda: itself.api.accounts(sub.sid).fetch())).sid == sub.sid
    foreign = await refused(world, lambda: itself.api.accounts(world.main.sid).fetch())
    assert (foreign.status, foreign.code) == (404, 20404)
    nested = await refused(world, lambda: itself.api.accounts.create())
    assert nested.code == 21101


async def test_accounts_are_listed_and_filtered(world: World) -> None:
    main = world.sdk(world.main)
    made = [await world.call(lambda: main.api.accounts.create(friendly_name="A")) for _ in range(3)]
    await world.call(lambda: main.api.accounts(made[0].sid).update(status="suspended"))
    expected = [account.sid for account in reversed(made)]
    listed = await world.call(lambda: main.api.accounts.list(page_size=2))
    assert [account.sid for account in listed] == [*expected, world.main.sid]
    named = await world.call(lambda: main.api.accounts.list(friendly_name="A"))
    assert [account.sid for account in named] == expected
    suspended = await world.call(lambda: main.api.accounts.list(status="suspended"))
    assert [account.sid for account in suspended] == [made[0].sid]


async def test_what_a_suspended_subaccount_may_do(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create())
    stored = world.services.accounts.get(sub.sid)
    assert stored is not None
    itself = world.sdk(stored)
    await world.call(lambda: main.api.accounts(sub.sid).update(status="suspended"))
    assert await world.call(lambda: itself.messages.list()) == []
    for use in (
        lambda: itself.messages.create(to=TO, from_="Acme", body="x"),
        lambda: main.api.accounts(sub.sid).messages.create(to=TO, from_="Acme", body="x"),
        lambda: itself.api.accounts(sub.sid).update(status="active"),
    ):
        error = await refused(world, use)
        assert (error.status, error.code) == (403, 20005)
    await world.call(lambda: main.api.accounts(sub.sid).update(status="active"))
    made = await world.call(lambda: itself.messages.create(to=TO, from_="Acme", body="x"))
    assert made.status == "queued"


async def test_a_closed_subaccount_lets_its_numbers_go_and_stays_closed(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create())
    number = "+15550003000"
    await world.call(
        lambda: main.api.accounts(sub.sid).incoming_phone_numbers.create(phone_number=number)
    )
    queue = await world.call(
        lambda: main.api.accounts(sub.sid).queues.create(friendly_name="sales")
    )
    closed = await world.call(lambda: main.api.accounts(sub.sid).update(status="closed"))
    assert closed.status == "closed"
    assert world.services.phone_numbers.holder(number) is None
    assert not await world.services.store.fetch(queue_tables.NAMED, sub.sid, queue.friendly_name)
    stored = world.services.accounts.get(sub.sid)
    assert stored is not None
    error = await refused(world, lambda: world.sdk(stored).messages(NO_MESSAGE).fetch())
    assert (error.status, error.code) == (403, 20005)
    assert (await world.call(lambda: main.api.accounts(sub.sid).fetch())).status == "closed"
    again = await refused(world, lambda: main.api.accounts(sub.sid).update(status="active"))
    assert again.code == 21479


async def test_closing_an_account_and_letting_its_numbers_go_is_one_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, store = world.sdk(world.main), world.services.store
    sub = await world.call(lambda: main.api.accounts.create())
    itself = main.api.accounts(sub.sid)
    for number in ("+15550003000", "+15550003001"):
        await world.call(lambda n=number: itself.incoming_phone_numbers.create(phone_number=n))
    real, commits = store.commit, []

    def away(writes: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("the disk is full"))
        return future

    monkeypatch.setattr(store, "commit", away)
    assert (await refused(world, lambda: itself.update(status="closed"))).code == 20503
    assert len(world.services.phone_numbers.of_account(sub.sid)) == 2

    def noted(writes: Any) -> Any:
        commits.append(writes)
        return real(writes)

    monkeypatch.setattr(store, "commit", noted)
    assert (await world.call(lambda: itself.update(status="closed"))).status == "closed"
    assert len(commits) == 1
    assert world.services.phone_numbers.of_account(sub.sid) == []
    loaded = await PhoneNumbers.load(store)
    assert loaded.of_account(sub.sid) == []


async def test_what_races_the_end_of_a_number_or_an_account_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, numbers = world.sdk(world.main), world.services.phone_numbers
    sub = await world.call(lambda: main.api.accounts.create())
    kept, gone = [
        await world.call(lambda n=number: main.incoming_phone_numbers.create(phone_number=n))
        for number in ("+15550003000", "+15550003001")
    ]
    change, add = numbers.change, numbers.add

    async def late_change(sid: str, now: float, **changed: Any) -> Any:
        await numbers.remove([gone.sid], now)
        async with numbers.closing(sub.sid, now):
            pass
        return await change(sid, now, **changed)

    async def late_add(*args: Any) -> Any:
        async with numbers.closing(sub.sid, args[-1]):
            pass
        return await add(*args)

    monkeypatch.setattr(numbers, "change", late_change)
    monkeypatch.setattr(numbers, "add", late_add)
    of_main = main.incoming_phone_numbers
    of_sub = main.api.accounts(sub.sid).incoming_phone_numbers
    for use, status, code in (
        (lambda: of_main(gone.sid).update(friendly_name="late"), 404, 20404),
        (lambda: of_main(kept.sid).update(account_sid=sub.sid), 400, 21472),
        (lambda: of_sub.create(phone_number="+15550003002"), 400, 21472),
    ):
        error = await refused(world, use)
        assert (error.status, error.code) == (status, code)


async def test_updates_that_are_refused(world: World) -> None:
    main = world.sdk(world.main)
    itself = main.api.accounts(world.main.sid)
    assert (await world.call(lambda: itself.update(friendly_name="New"))).friendly_name == "New"
    for use, code in (
        (lambda: itself.update(status="closed"), 21477),
        (lambda: itself.update(status="asleep"), 21475),
        (lambda: itself.update(friendly_name="x" * 65), 20002),
        (lambda: main.api.accounts.create(friendly_name="x" * 65), 20002),
    ):
        assert (await refused(world, use)).code == code
    account = world.services.accounts.get(world.main.sid)
    assert account is not None
    assert account.status is AccountStatus.ACTIVE


async def test_accounts_and_numbers_survive_in_the_store(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create(friendly_name="kept"))
    kept = await world.call(lambda: main.incoming_phone_numbers.create(phone_number="+15550003000"))
    gone = await world.call(lambda: main.incoming_phone_numbers.create(phone_number="+15550003001"))
    await world.call(
        lambda: main.incoming_phone_numbers(kept.sid).update(sms_url="https://app.example/new")
    )
    await world.call(lambda: main.incoming_phone_numbers(gone.sid).delete())
    accounts = await Accounts.load(world.services.store)
    numbers = await PhoneNumbers.load(world.services.store)
    assert accounts.get(sub.sid) == world.services.accounts.get(sub.sid)
    assert numbers.get(world.main.sid, kept.sid) == world.services.phone_numbers.get(
        world.main.sid, kept.sid
    )
    assert numbers.holder("+15550003001") is None
    facts = await world.services.store.facts_after(0, 100)
    assert [fact.type for fact in facts][-5:] == [
        "account.created",
        "phone_number.created",
        "phone_number.created",
        "phone_number.updated",
        "phone_number.deleted",
    ]


async def test_a_number_is_taken_changed_and_let_go(world: World) -> None:
    client = world.sdk(world.main)
    number = await world.call(
        lambda: client.incoming_phone_numbers.create(
            phone_number="+44 20 7183 8750",
            sms_url="https://app.example/sms",
            sms_method="GET",
            voice_caller_id_lookup=True,
        )
    )
    assert number.sid.startswith("PN")
    assert (number.phone_number, number.friendly_name) == ("+442071838750", "+442071838750")
    assert (number.sms_url, number.sms_method) == ("https://app.example/sms", "GET")
    assert (number.sms_fallback_url, number.sms_fallback_method) == ("", "POST")
    assert number.capabilities["sms"] is True
    assert number.voice_caller_id_lookup is True
    changed = await world.call(
        lambda: client.incoming_phone_numbers(number.sid).update(
            friendly_name="London", sms_fallback_url="https://app.example/fallback"
        )
    )
    assert (changed.friendly_name, changed.sms_url) == ("London", "https://app.example/sms")
    fetched = await world.call(lambda: client.incoming_phone_numbers(number.sid).fetch())
    assert fetched.sms_fallback_url == "https://app.example/fallback"
    assert await world.call(lambda: client.incoming_phone_numbers(number.sid).delete())
    error = await refused(world, lambda: client.incoming_phone_numbers(number.sid).fetch())
    assert (error.status, error.code) == (404, 20404)


async def test_what_a_numbers_calls_run_is_what_rest_was_told(world: World) -> None:
    client = world.sdk(world.main)
    number = await world.call(
        lambda: client.incoming_phone_numbers.create(
            phone_number="+442071838750",
            voice_url="https://app.example/voice",
            voice_method="get",
            voice_fallback_url="https://app.example/fallback",
            status_callback="https://app.example/status",
            status_callback_method="GET",
        )
    )
    assert number.capabilities["voice"] is True
    held = world.services.phone_numbers.holder("+442071838750")
    assert held is not None
    app = App(
        url="https://app.example/voice",
        method="GET",
        fallback=Fallback(url="https://app.example/fallback", method="POST"),
        status_callback="https://app.example/status",
        status_callback_method="GET",
    )
    assert app_of_number(held) == app
    # What is emptied runs no more.
    await world.call(
        lambda: client.incoming_phone_numbers(number.sid).update(
            voice_fallback_url="", status_callback=""
        )
    )
    changed = world.services.phone_numbers.holder("+442071838750")
    assert changed is not None
    assert app_of_number(changed) == msgspec.structs.replace(app, fallback=None, status_callback="")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"phone_number": NUMBER}, 21422),
        ({"phone_number": OTHER_NUMBER}, 21422),
        ({"phone_number": "12345"}, 21421),
        ({"phone_number": "nonsense"}, 21421),
        ({}, 21421),
        ({"area_code": "415"}, 21457),
        ({"phone_number": "+15550009000", "sms_url": "nonsense"}, 21402),
        ({"phone_number": "+15550009000", "sms_method": "PUT"}, 21403),
        ({"phone_number": "+15550009000", "friendly_name": "x" * 65}, 20002),
        ({"phone_number": "+15550009000", "voice_receive_mode": "telex"}, 20001),
    ],
)
async def test_numbers_that_cannot_be_had(world: World, params: dict[str, Any], code: int) -> None:
    client = world.sdk(world.main)
    error = await refused(world, lambda: client.incoming_phone_numbers.create(**params))
    assert (error.status, error.code) == (400, code)
    assert world.services.phone_numbers.holder("+15550009000") is None


async def test_the_config_file_owns_what_it_names(world: World) -> None:
    client = world.sdk(world.main)
    [declared] = await world.call(lambda: client.incoming_phone_numbers.list())
    assert (declared.phone_number, declared.sms_url) == (NUMBER, "https://app.example/sms")
    one = client.incoming_phone_numbers(declared.sid)
    for use in (lambda: one.update(friendly_name="mine"), lambda: one.delete()):
        error = await refused(world, use)
        assert (error.status, error.code) == (403, 20006)
        assert "config file" in error.msg


async def test_a_number_moves_within_the_family(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(lambda: main.api.accounts.create())
    number = await world.call(
        lambda: main.incoming_phone_numbers.create(phone_number="+15550003000")
    )
    one = main.incoming_phone_numbers(number.sid)
    foreign = await refused(world, lambda: one.update(account_sid=world.stranger.sid))
    assert foreign.code == 21471
    for status in ("suspended", "closed"):
        other = await world.call(lambda: main.api.accounts.create())
        await world.call(lambda s=other.sid, to=status: main.api.accounts(s).update(status=to))
        inactive = await refused(world, lambda s=other.sid: one.update(account_sid=s))
        assert (inactive.status, inactive.code) == (400, 21472)
    moved = await world.call(lambda: one.update(account_sid=sub.sid))
    assert moved.account_sid == sub.sid
    assert (await refused(world, lambda: one.fetch())).code == 20404


async def test_numbers_are_listed_and_filtered(world: World) -> None:
    client = world.sdk(world.main)
    for digit in range(5):
        await world.call(
            lambda digit=digit: client.incoming_phone_numbers.create(
                phone_number=f"+4420718387{digit}0", friendly_name=f"line {digit % 2}"
            )
        )

    async def listed(**filters: Any) -> list[str]:
        found = await world.call(lambda: client.incoming_phone_numbers.list(**filters))
        return [number.phone_number for number in found]

    everything = await listed(page_size=2)
    assert len(everything) == len(set(everything)) == 6
    assert await listed(phone_number="+442071838720") == ["+442071838720"]
    assert await listed(phone_number="+44*071838720") == ["+442071838720"]
    assert await listed(phone_number="8710") == ["+442071838710"]
    assert await listed(phone_number="(") == []
    assert await listed(friendly_name="line 1") == ["+442071838730", "+442071838710"]
    assert len(await listed(origin="twilio")) == 6
    assert await listed(origin="hosted") == []


@pytest.mark.parametrize(
    ("to", "sender", "code"),
    [
        (TO, "+15005550006", None),
        (TO, "+15005550001", 21212),
        (TO, "+15005550007", 21606),
        (TO, "+15005550008", 21611),
        (TO, "+15005550000", 21606),
        (TO, NUMBER, 21606),
        (TO, "Acme", 21606),
        ("+15005550001", "+15005550006", 21211),
        ("+15005550002", "+15005550006", 21612),
        ("+15005550003", "+15005550006", 21408),
        ("+15005550004", "+15005550006", 21610),
        ("+15005550009", "+15005550006", 21614),
        ("nonsense", "+15005550006", 21211),
    ],
)
async def test_texts_with_test_credentials(
    world: World, to: str, sender: str, code: int | None
) -> None:
    client = world.sdk(world.test)
    if code is None:
        made = await world.call(lambda: client.messages.create(to=to, from_=sender, body="x" * 200))
        assert (made.status, made.num_segments, made.account_sid) == ("queued", "2", world.test.sid)
    else:
        error = await refused(world, lambda: client.messages.create(to=to, from_=sender, body="x"))
        assert (error.status, error.code) == (400, code)
    assert world.messages.drafts == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"phone_number": "+15005550006"}, None),
        ({"phone_number": "+15005550000"}, 21422),
        ({"phone_number": "+15005550001"}, 21421),
        ({"phone_number": "+447700900123"}, 21422),
        ({"area_code": "500"}, None),
        ({"area_code": "533"}, 21452),
        ({}, 21421),
    ],
)
async def test_numbers_with_test_credentials(
    world: World, params: dict[str, Any], code: int | None
) -> None:
    client = world.sdk(world.test)
    if code is None:
        made = await world.call(lambda: client.incoming_phone_numbers.create(**params))
        assert made.phone_number == "+15005550006"
    else:
        error = await refused(world, lambda: client.incoming_phone_numbers.create(**params))
        assert (error.status, error.code) == (400, code)
    assert world.services.phone_numbers.holder("+15005550006") is None


async def test_test_credentials_do_nothing_else(world: World) -> None:
    client = world.sdk(world.test)
    for use in (
        lambda: client.messages(NO_MESSAGE).fetch(),
        lambda: client.messages(NO_MESSAGE).delete(),
        lambda: client.api.accounts(world.test.sid).fetch(),
        lambda: client.api.accounts.create(),
    ):
        error = await refused(world, use)
        assert (error.status, error.code) == (403, 20008)

"""What customers submit: what is read of a submit_sm, and what a batch of them comes to."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.messages.accept import Accepted
from gateway.messages.customers import drafts, jobs
from gateway.messages.customers.intake import Intake
from gateway.messages.customers.jobs import Asked, ReceiptDelivery, Told
from gateway.messages.customers.numbers import Senders, sender_of
from gateway.messages.draft import Draft
from gateway.model import Message, MessageStatus, PhoneNumber
from gateway.store.sqlite import SqliteStore
from protocols.smpp.constants import CommandStatus, MessageState, RegisteredDelivery
from protocols.smpp.pdu import DataSm, Tag
from tests.unit.messages.customer_world import LONG, NOW, OK, SHOP, Plan, receipts, submit

World = tuple[Plan, Intake]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: NOW)
    plan = Plan()
    yield plan, Intake(store, plan)
    await store.close()


def ended(message: Message, status: MessageStatus, error_code: int = 0) -> list[ReceiptDelivery]:
    """The receipts of `message` when it has come to this end."""
    last = msgspec.structs.replace(message, status=status, error_code=error_code)
    return receipts(jobs.for_status(last, NOW + 60))


# -- reading -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"source_addr": "15559999999"}, CommandStatus.ESME_RINVSRCADR),
        ({"source_addr": "?", "source_addr_ton": 5}, CommandStatus.ESME_RINVSRCADR),
        ({"destination_addr": "12"}, CommandStatus.ESME_RINVDSTADR),
        ({"destination_addr": "SHOP", "dest_addr_ton": 5}, CommandStatus.ESME_RINVDSTADR),
        ({"schedule_delivery_time": "000000010000000R"}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": "tomorrow"}, CommandStatus.ESME_RINVEXPIRY),
        ({"validity_period": "000000000000000R"}, CommandStatus.ESME_RINVEXPIRY),
        ({"validity_period": "261118110639000+"}, CommandStatus.ESME_RINVEXPIRY),
        ({"validity_period": "261318110639000+"}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
async def test_what_is_refused(
    world: World, changed: dict[str, Any], status: CommandStatus
) -> None:
    plan, intake = world
    taken = await intake.take(SHOP, [submit(**changed)], NOW)
    assert taken.answers == [(status, "")]
    assert plan.drafts == [] and not taken.writes


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        ("", drafts.DEFAULT_VALIDITY),
        ("000000000130000R", 90.0),
        ("000000010000000R", 3600.0),
        ("000001000000000R", drafts.MAX_VALIDITY),
        ("261118110740000+", 60.0),
        ("261118110740500+", 60.5),
        ("261118120740004+", 60.0),  # an hour ahead of UTC
        ("261118060740020-", 60.0),  # five behind
        ("270101000000000+", drafts.MAX_VALIDITY),
    ],
)
async def test_how_long_a_text_is_valid(world: World, period: str, seconds: float) -> None:
    plan, intake = world
    assert (await intake.take(SHOP, [submit(validity_period=period)], NOW)).answers[0][0] is OK
    assert plan.drafts[0].validity_period == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("changed", "address"),
    [
        ({}, "+15550001000"),
        ({"source_addr": "+15550001000", "source_addr_ton": 0}, "+15550001000"),
        ({"source_addr": "15550001000", "source_addr_ton": 0}, "+15550001000"),
        ({"source_addr": "SHOP", "source_addr_ton": 5}, "SHOP"),
    ],
)
async def test_senders_are_known_in_every_form(
    world: World, changed: dict[str, Any], address: str
) -> None:
    plan, intake = world
    await intake.take(SHOP, [submit(**changed)], NOW)
    assert plan.drafts[0].from_address == address
    assert plan.drafts[0].to_address == "+15551230009"
    assert plan.drafts[0].origin == "customer:shop/1"


async def test_data_sm_and_message_payload_are_texts_too(world: World) -> None:
    plan, intake = world
    body = "long enough " * 40
    tlvs = ((Tag.MESSAGE_PAYLOAD, body.encode()),)
    data = DataSm(
        source_addr="+15550001000", destination_addr="15551230009", registered_delivery=0, tlvs=tlvs
    )
    taken = await intake.take(SHOP, [data, submit(short_message=b"", tlvs=tlvs)], NOW)
    assert [status for status, _ in taken.answers] == [OK, OK]
    assert [draft.body for draft in plan.drafts] == [body, body]
    assert plan.drafts[0].status_callback == ""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (20005, CommandStatus.ESME_RSUBMITFAIL),
        (21602, CommandStatus.ESME_RINVMSGLEN),
        (21612, CommandStatus.ESME_RINVDSTADR),
        (21617, CommandStatus.ESME_RINVMSGLEN),
    ],
)
async def test_refusals_of_the_path_have_their_status(
    world: World, code: int, status: CommandStatus
) -> None:
    plan, intake = world
    plan.code = code
    assert (await intake.take(SHOP, [submit()], NOW)).answers == [(status, "")]


# -- receipts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "status", "told"),
    [
        (RegisteredDelivery.NONE, MessageStatus.DELIVERED, False),
        (RegisteredDelivery.ALWAYS, MessageStatus.DELIVERED, True),
        (RegisteredDelivery.ALWAYS, MessageStatus.UNDELIVERED, True),
        (RegisteredDelivery.ALWAYS, MessageStatus.SENT, False),
        (RegisteredDelivery.ON_FAILURE, MessageStatus.DELIVERED, False),
        (RegisteredDelivery.ON_FAILURE, MessageStatus.FAILED, True),
        (RegisteredDelivery.ON_SUCCESS, MessageStatus.DELIVERED, True),
        (RegisteredDelivery.ON_SUCCESS, MessageStatus.UNDELIVERED, False),
    ],
)
async def test_receipts_come_when_they_were_asked_for(
    world: World, when: RegisteredDelivery, status: MessageStatus, told: bool
) -> None:
    _, intake = world
    (accepted,) = (await intake.take(SHOP, [submit(registered_delivery=when)], NOW)).accepted
    assert bool(ended(accepted.message, status)) is told


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (MessageStatus.DELIVERED, 0, MessageState.DELIVERED),
        (MessageStatus.UNDELIVERED, 30003, MessageState.UNDELIVERABLE),
        (MessageStatus.FAILED, 30005, MessageState.REJECTED),
        (MessageStatus.FAILED, 30036, MessageState.EXPIRED),
        (MessageStatus.CANCELED, 0, MessageState.DELETED),
    ],
)
async def test_a_receipt_says_what_became_of_the_text(
    world: World, status: MessageStatus, code: int, state: MessageState
) -> None:
    _, intake = world
    pdu = submit(tlvs=((Tag.USER_MESSAGE_REFERENCE, b"\x01\x02"),))
    (accepted,) = (await intake.take(SHOP, [pdu], NOW)).accepted
    (receipt,) = ended(accepted.message, status, code)
    assert receipt == ReceiptDelivery(
        system_id="shop/1",
        from_address="+15551230009",
        to_address="+15550001000",
        message_id=accepted.message.sid,
        state=int(state),
        err=f"{code % 1000:03d}",
        submit_date="2611181106",
        done_date="2611181107",
        reference=0x0102,
    )


def test_who_is_told_survives_its_uri() -> None:
    told = Told(
        system_id="a b/ü?&~",
        asked=(Asked(), Asked(message_id="SM1-2", reference=7, when=RegisteredDelivery.ON_FAILURE)),
    )
    assert Told.of_uri(told.uri()) == told


# -- numbers -----------------------------------------------------------------------------


def number(account_sid: str) -> PhoneNumber:
    return PhoneNumber(
        sid="PN1",
        account_sid=account_sid,
        phone_number="+15550001000",
        friendly_name="",
        settings={},
        date_created=0.0,
        date_updated=0.0,
        version=1,
    )


def inbound(account_sid: str, body: str = "Hi") -> Message:
    accepted = Plan()(
        Draft(
            account_sid=account_sid,
            to_address="+15550001000",
            from_address="+15551230009",
            body=body,
            validity_period=60.0,
            origin="carrier",
        )
    )
    assert isinstance(accepted, Accepted)
    return accepted.message


def test_a_text_to_a_sender_is_the_customers_unless_another_account_holds_the_number() -> None:
    nobody = Senders([SHOP], lambda _: None, NOW)
    held = nobody.holder("+15550001000")
    assert held is not None and held.account_sid == "AC1"
    assert nobody.holder("SHOP") is None
    assert nobody.holder("+15550002000") is None
    other = Senders([SHOP], lambda _: number("AC2"), NOW)
    held = other.holder("+15550001000")
    assert held is not None and held.account_sid == "AC2"
    assert other.told(inbound("AC2")) == []
    assert len(other.told(inbound("AC1"))) == 1
    assert len(nobody.told(inbound("AC1", LONG))) == 3


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("+15550001000", "+15550001000"),
        ("15550001000", "+15550001000"),
        ("+1 555 000-1000", "+15550001000"),
        ("12345", "12345"),
        ("SHOP", "SHOP"),
        ("??", "??"),
    ],
)
def test_senders_of_the_config_file_are_compared_in_one_form(written: str, address: str) -> None:
    assert sender_of(written) == address

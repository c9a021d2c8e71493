"""What customers submit: what is read of a submit_sm, and what a batch of them comes to."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.runner import Job
from gateway.messages.accept import Accepted
from gateway.messages.customers import drafts, jobs
from gateway.messages.customers.intake import Intake, Taken
from gateway.messages.customers.jobs import Asked, ReceiptDelivery, Told
from gateway.messages.customers.model import Customer
from gateway.messages.customers.numbers import Senders, sender_of
from gateway.messages.draft import Draft, Refusal
from gateway.model import Direction, Message, MessageStatus, PhoneNumber
from gateway.sids import SMS, new_sid
from gateway.store.sqlite import SqliteStore
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus, MessageState, RegisteredDelivery
from protocols.smpp.pdu import DataSm, SubmitSm, Tag

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC
OK = CommandStatus.ESME_ROK
SHOP = Customer(
    system_id="shop/1",
    password="secret",
    account_sid="AC1",
    binds=2,
    tps=0.0,
    senders=("+15550001000", "SHOP"),
)
LONG = "x" * 400


def submit(**changed: Any) -> SubmitSm:
    """A submit_sm from the shop to a handset."""
    given = SubmitSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="15550001000",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="15551230009",
        registered_delivery=1,
        short_message=b"Hello",
    )
    return msgspec.structs.replace(given, **changed)


def parts(reference: int = 7, body: str = LONG, **changed: Any) -> list[SubmitSm]:
    """The submit_sm of a long text."""
    return [
        submit(
            short_message=each.short_message,
            esm_class=each.esm_class,
            data_coding=each.data_coding,
            tlvs=((Tag.USER_MESSAGE_REFERENCE, each.number.to_bytes(2, "big")),),
            **changed,
        )
        for each in text.segments(body, reference=reference)
    ]


class Plan:
    """A message path that accepts, or refuses with `code`."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.code = 0

    def __call__(self, draft: Draft) -> Accepted | Refusal:
        if self.code:
            return Refusal(error_code=self.code, message="no")
        self.drafts.append(draft)
        message = Message(
            account_sid=draft.account_sid,
            sid=draft.sid or new_sid(SMS, NOW),
            direction=Direction.OUTBOUND_API,
            status=MessageStatus.QUEUED,
            from_address=draft.from_address,
            to_address=draft.to_address,
            body=draft.body,
            num_segments=1,
            parts=1,
            encoding="GSM-7",
            status_callback=draft.status_callback,
            origin=draft.origin,
            valid_until=NOW + draft.validity_period,
            date_created=NOW,
            date_updated=NOW,
        )
        return Accepted(message=message, writes=())


def world() -> tuple[Plan, Intake]:
    plan = Plan()
    return plan, Intake(plan, [SHOP])


def receipts(due: list[Job]) -> list[ReceiptDelivery]:
    """What the jobs deliver."""
    found = [jobs.delivery_of(job) for job in due]
    assert all(isinstance(each, ReceiptDelivery) for each in found)
    return [each for each in found if isinstance(each, ReceiptDelivery)]


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
def test_what_is_refused(changed: dict[str, Any], status: CommandStatus) -> None:
    plan, intake = world()
    taken = intake.take(SHOP, [submit(**changed)], NOW)
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
def test_how_long_a_text_is_valid(period: str, seconds: float) -> None:
    plan, intake = world()
    assert intake.take(SHOP, [submit(validity_period=period)], NOW).answers[0][0] is OK
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
def test_senders_are_known_in_every_form(changed: dict[str, Any], address: str) -> None:
    plan, intake = world()
    intake.take(SHOP, [submit(**changed)], NOW)
    assert plan.drafts[0].from_address == address
    assert plan.drafts[0].to_address == "+15551230009"
    assert plan.drafts[0].origin == "customer:shop/1"


def test_data_sm_and_message_payload_are_texts_too() -> None:
    plan, intake = world()
    body = "long enough " * 40
    tlvs = ((Tag.MESSAGE_PAYLOAD, body.encode()),)
    data = DataSm(
        source_addr="+15550001000", destination_addr="15551230009", registered_delivery=0, tlvs=tlvs
    )
    taken = intake.take(SHOP, [data, submit(short_message=b"", tlvs=tlvs)], NOW)
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
def test_refusals_of_the_path_have_their_status(code: int, status: CommandStatus) -> None:
    plan, intake = world()
    plan.code = code
    assert intake.take(SHOP, [submit()], NOW).answers == [(status, "")]


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
def test_receipts_come_when_they_were_asked_for(
    when: RegisteredDelivery, status: MessageStatus, told: bool
) -> None:
    _, intake = world()
    (accepted,) = intake.take(SHOP, [submit(registered_delivery=when)], NOW).accepted
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
def test_a_receipt_says_what_became_of_the_text(
    status: MessageStatus, code: int, state: MessageState
) -> None:
    _, intake = world()
    pdu = submit(tlvs=((Tag.USER_MESSAGE_REFERENCE, b"\x01\x02"),))
    (accepted,) = intake.take(SHOP, [pdu], NOW).accepted
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


# -- long texts --------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_parts_have_ids_of_their_own_and_each_its_receipt(order: tuple[int, ...]) -> None:
    plan, intake = world()
    given = parts()
    answers: dict[int, str] = {}
    for position in order:
        taken = intake.take(SHOP, [given[position]], NOW)
        ((status, message_id),) = taken.answers
        assert status is OK and taken.writes
        answers[position] = message_id
    (draft,) = plan.drafts
    assert draft.body == LONG
    (accepted,) = taken.accepted
    sid = accepted.message.sid
    assert answers == {position: f"{sid}-{position + 1}" for position in range(3)}
    told = ended(accepted.message, MessageStatus.DELIVERED)
    assert {(each.message_id, each.reference) for each in told} == {
        (f"{sid}-{number}", number) for number in (1, 2, 3)
    }
    assert not intake.waits("shop/1", sid)


def test_only_parts_that_asked_for_a_receipt_get_one() -> None:
    _, intake = world()
    one, two, three = parts()
    two = msgspec.structs.replace(two, registered_delivery=0)
    three = msgspec.structs.replace(three, registered_delivery=0)
    taken = intake.take(SHOP, [one, two, three], NOW)
    (accepted,) = taken.accepted
    (receipt,) = ended(accepted.message, MessageStatus.DELIVERED)
    assert receipt.message_id == taken.answers[0][1]


def test_a_part_that_comes_again_gets_the_same_id() -> None:
    plan, intake = world()
    one, two, three = parts()
    first = intake.take(SHOP, [one], NOW)
    again = intake.take(SHOP, [one], NOW)
    assert again.answers == first.answers
    assert again.writes  # its first commit may still run: it is answered after one of its own
    whole = intake.take(SHOP, [two, three], NOW)
    assert len(plan.drafts) == 1
    late = intake.take(SHOP, [three], NOW)
    assert late.answers == [whole.answers[1]]
    assert len(plan.drafts) == 1


@pytest.mark.parametrize("failed", [(0,), (2,), (0, 1, 2)])
def test_a_batch_that_was_not_committed_leaves_nothing_and_may_come_again(
    failed: tuple[int, ...],
) -> None:
    plan, intake = world()
    given = parts()
    for position in range(3):
        if position not in failed:
            intake.take(SHOP, [given[position]], NOW)
    batch = [given[position] for position in failed]
    lost = intake.take(SHOP, batch, NOW)
    intake.take_back(lost, NOW)
    plan.drafts.clear()
    again = intake.take(SHOP, batch, NOW)
    assert {status for status, _ in again.answers} == {OK}
    assert again.writes
    (draft,) = plan.drafts
    assert draft.body == LONG


def test_a_refused_whole_lets_its_last_part_come_again() -> None:
    plan, intake = world()
    one, two, three = parts()
    intake.take(SHOP, [one, two], NOW)
    plan.code = 21612
    assert intake.take(SHOP, [three], NOW).answers == [(CommandStatus.ESME_RINVDSTADR, "")]
    plan.code = 0
    assert intake.take(SHOP, [three], NOW).answers[0][0] is OK
    assert plan.drafts[0].body == LONG


def test_parts_that_never_become_a_text_are_told_as_expired() -> None:
    plan, intake = world()
    one, two, _ = parts()
    two = msgspec.structs.replace(two, registered_delivery=0)
    taken = intake.take(SHOP, [one, two], NOW)
    sid = taken.answers[0][1].partition("-")[0]
    assert intake.waits("shop/1", sid) and not intake.waits("other", sid)
    assert intake.expire(NOW + 599).writes == []
    expired: Taken = intake.expire(NOW + 601)
    (receipt,) = receipts(expired.jobs)
    assert (receipt.message_id, receipt.state) == (f"{sid}-1", int(MessageState.EXPIRED))
    assert (receipt.from_address, receipt.to_address) == ("+15551230009", "+15550001000")
    assert receipt.reference == 1
    assert not intake.waits("shop/1", sid)
    assert len(expired.writes) == 2  # the rows of its parts go, the job comes
    assert plan.drafts == []


def test_a_reference_that_is_used_again_begins_another_text() -> None:
    plan, intake = world()
    old = intake.take(SHOP, parts(body="a" * 400)[:1], NOW)
    new = intake.take(SHOP, parts(body="b" * 400), NOW)
    assert plan.drafts[0].body == "b" * 400
    (receipt,) = receipts(new.jobs)
    assert receipt.message_id == old.answers[0][1]


async def test_parts_survive_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: NOW)
    _, intake = world()
    one, two, three = parts()
    taken = intake.take(SHOP, [one, three], NOW)
    await store.commit(taken.writes)
    plan, after = world()
    await after.recover(store, SHOP.system_id)
    sid = taken.answers[0][1].partition("-")[0]
    assert after.waits("shop/1", sid)
    assert after.take(SHOP, [one], NOW).answers == taken.answers[:1]
    last = after.take(SHOP, [two], NOW)
    assert last.answers == [(OK, f"{sid}-2")]
    assert plan.drafts[0].body == LONG
    await store.commit(last.writes)
    empty_plan, empty = world()
    await empty.recover(store, SHOP.system_id)
    assert not empty.waits("shop/1", sid) and empty_plan.drafts == []
    await store.close()


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
    _, intake = world()
    (accepted,) = intake.take(SHOP, [submit()], NOW).accepted
    return msgspec.structs.replace(
        accepted.message, account_sid=account_sid, to_address="+15550001000", body=body
    )


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

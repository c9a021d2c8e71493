"""What answers and receipts mean."""

import pytest

from carriers.outcomes import (
    ACCEPTED,
    DeliveryStatus,
    OutcomeKind,
    fate_of,
    outcome_of,
)
from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.receipt import Receipt
from tests.floods import each

K, S, D = OutcomeKind, MessageState, DeliveryStatus


@pytest.mark.parametrize(
    ("status", "kind", "error_code"),
    [
        (0x00, K.ACCEPTED, 0),
        (0x08, K.RETRY, 30008),
        (0x64, K.RETRY, 30008),
        (0x14, K.QUEUE_FULL, 30017),
        (0x58, K.THROTTLED, 30017),
        (0x0A, K.REFUSED, 30007),
        (0x0B, K.REFUSED, 30005),
        (0x01, K.REFUSED, 30008),
        (0x45, K.REFUSED, 30008),
        (0x65, K.REFUSED, 30008),
        (0x66, K.REFUSED, 30007),
        (0xFE, K.REFUSED, 30003),
        (0x0D, K.BIND_FATAL, 30008),
        (0x0E, K.BIND_FATAL, 30008),
        (0x0F, K.BIND_FATAL, 30008),
        (0x0400, K.REFUSED, 30008),  # vendors begin here
        (0xFFFFFFFF, K.REFUSED, 30008),
    ],
)
def test_a_command_status(status: int, kind: OutcomeKind, error_code: int) -> None:
    outcome = outcome_of(status)
    assert (outcome.kind, outcome.error_code, outcome.status) == (kind, error_code, status)
    assert outcome.reason


def test_reasons_name_the_status() -> None:
    assert "ESME_RTHROTTLED" in outcome_of(0x58).reason
    assert "0x400" in outcome_of(0x400).reason
    assert outcome_of(0) is ACCEPTED


@each("status", list(CommandStatus))
def test_only_success_is_free_of_an_error_code(status: CommandStatus) -> None:
    outcome = outcome_of(status)
    assert (outcome.error_code == 0) == (outcome.kind is K.ACCEPTED) == (status == 0)


@pytest.mark.parametrize(
    ("state", "status", "error_code"),
    [
        (S.SCHEDULED, D.PENDING, 0),
        (S.ENROUTE, D.PENDING, 0),
        (S.ACCEPTED, D.PENDING, 0),
        (S.DELIVERED, D.DELIVERED, 0),
        (S.EXPIRED, D.UNDELIVERED, 30003),
        (S.DELETED, D.UNDELIVERED, 30008),
        (S.UNDELIVERABLE, D.UNDELIVERED, 30003),
        (S.UNKNOWN, D.UNDELIVERED, 30008),
        (S.REJECTED, D.UNDELIVERED, 30007),
        (S.SKIPPED, D.UNDELIVERED, 30008),
    ],
)
def test_a_receipt(state: MessageState, status: DeliveryStatus, error_code: int) -> None:
    receipt = Receipt(message_id="1", state=state)
    fate = fate_of(receipt)
    assert (fate.status, fate.error_code) == (status, error_code)
    assert receipt.is_final == (fate.status is not D.PENDING)


def test_an_intermediate_notification_moves_nothing() -> None:
    fate = fate_of(Receipt(message_id="1", state=S.UNDELIVERABLE, intermediate=True))
    assert (fate.status, fate.error_code) == (D.PENDING, 0)


@pytest.mark.parametrize(
    ("network_type", "code", "error_code"),
    [(3, 1, 30005), (3, 13, 30004), (3, 6, 30003), (3, 11, 30006), (3, 99, 30003), (1, 1, 30003)],
)
def test_a_gsm_network_says_more(network_type: int, code: int, error_code: int) -> None:
    receipt = Receipt(
        message_id="1",
        state=S.UNDELIVERABLE,
        network_type=network_type,
        network_error_code=code,
    )
    assert fate_of(receipt).error_code == error_code
    delivered = Receipt(
        message_id="1", state=S.DELIVERED, network_type=network_type, network_error_code=code
    )
    assert fate_of(delivered).error_code == 0


def test_the_carriers_own_code_is_in_the_reason() -> None:
    assert "err 027" in fate_of(Receipt(message_id="1", state=S.REJECTED, err="027")).reason

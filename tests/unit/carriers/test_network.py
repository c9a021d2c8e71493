"""The carriers' face over real sockets: a scripted message centre on the other side."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from scripted_smsc import PATIENCE, Smsc
from structlog.testing import capture_logs

from carriers.events import (
    BindDown,
    BindUp,
    CarrierEvent,
    Delivery,
    Receipted,
    Received,
    Submission,
    Submitted,
    Uncertain,
    Unsent,
)
from carriers.health import HealthState
from carriers.model import BindKind, Carrier, CarrierKind
from carriers.network import Network
from carriers.outcomes import OutcomeKind
from carriers.rebinding import LONGEST_REFUSED_DELAY
from protocols.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    SubmitSm,
)
from protocols.smpp.receipt import MessageState
from protocols.smpp.tlv import Tag, encode_tlv

T = TypeVar("T")

CERTIFICATES = Path(__file__).parents[2] / "vectors" / "tls"
SYSTEM_ERROR, BAD_PASSWORD, THROTTLED, QUEUE_FULL = 0x08, 0x0E, 0x58, 0x14


class Clock:
    """Time in the hand; the sockets' own timers run on the loop's."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A network under test and all that it reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seen: list[CarrierEvent] = []
        self.network: Network
        self._delays = 0
        self._delayed = asyncio.Event()

    def random(self) -> float:
        """Drawn once for each delay, after each failed attempt: the shortest one."""
        self._delays += 1
        self._delayed.set()
        return 0.0

    async def failures(self, n: int) -> None:
        """Wait until `n` attempts to bind have failed."""
        async with asyncio.timeout(PATIENCE):
            while self._delays < n:
                self._delayed.clear()
                await self._delayed.wait()

    async def open(self, *carriers: Carrier, tls: ssl.SSLContext | None = None) -> Network:
        options = {} if tls is None else {"tls": lambda: tls}
        self.network = Network(carriers, clock=self.clock, random=self.random, **options)
        await self.network.start()
        return self.network

    async def until(self, holds: Callable[[], bool]) -> None:
        """Read events until `holds()`."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.seen += await self.network.events()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.seen if isinstance(event, kind)]

    async def ups(self, n: int) -> None:
        await self.until(lambda: len(self.of(BindUp)) >= n)

    async def first(self, kind: type[T]) -> T:
        await self.until(lambda: bool(self.of(kind)))
        return self.of(kind)[0]

    def submit(self, submissions: Iterable[Submission], carrier: str = "acme") -> None:
        self.network.submit(carrier, list(submissions), self.clock())

    def capacity(self, carrier: str = "acme") -> int:
        return self.network.capacity(carrier, self.clock())


def parts(n: int, sid: str = "SM1") -> list[Submission]:
    return [
        Submission(
            account_sid="AC1",
            sid=sid,
            part=part,
            attempt=1,
            pdu=SubmitSm(destination_addr="15550001000", short_message=b"part %d" % part),
        )
        for part in range(1, n + 1)
    ]


def receipt_of(message_id: str) -> DeliverSm:
    return DeliverSm(
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="15550001000",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="15550009999",
        esm_class=0x04,
        short_message=b"id:%s sub:001 dlvrd:001 submit date:2601010000 done date:2601010000"
        b" stat:DELIVRD err:000 text:" % message_id.encode(),
    )


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    smsc = await Smsc().start()
    yield smsc
    await smsc.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.network.close(0.0)


def carrier_at(smsc: Smsc, **changes: object) -> Carrier:
    carrier = Carrier(
        name="acme",
        kind=CarrierKind.SMPP,
        port=smsc.port,
        system_id="me",
        password="secret",
        window=4,
    )
    return msgspec.structs.replace(carrier, **changes)


# -- submissions and slots


async def test_a_submission_comes_back_submitted_with_both_pdus(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    [submission] = parts(1)
    desk.submit([submission])
    submitted = await desk.first(Submitted)
    assert submitted.submission is submission
    assert submitted.outcome.kind is OutcomeKind.ACCEPTED
    [request] = smsc.links[0].requests
    assert submitted.carrier_id == f"id-{request.sequence_number}"
    assert submitted.octets[0] == request.octets
    assert submitted.octets[1][4:8] == b"\x80\0\0\4"
    assert (submitted.carrier, submitted.late, submitted.sent_at) == ("acme", False, desk.clock())
    counters = network.counters("acme")
    assert (counters.submitted, counters.statuses) == (1, {0: 1})
    assert counters.response_seconds.count == 1
    bind = smsc.links[0].bind
    assert isinstance(bind, BindTransceiver)
    assert (bind.system_id, bind.password) == ("me", "secret")


async def test_slots_are_freed_by_release_alone(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    assert desk.capacity() == 0
    await desk.ups(1)
    assert desk.capacity() == 4
    desk.submit(parts(4))
    assert desk.capacity() == 0
    await desk.until(lambda: len(desk.of(Submitted)) == 4)
    assert desk.capacity() == 0  # answered, and not yet durable
    first, *rest = desk.of(Submitted)
    network.release([first])
    assert desk.capacity() == 1
    network.release([first])
    assert desk.capacity() == 1
    assert network.binds("acme")[0].in_use == 3
    network.release(rest)
    assert desk.capacity() == 4


async def test_what_exceeds_the_window_is_unsent(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    submissions = parts(6)
    desk.submit(submissions)
    await desk.until(lambda: len(desk.of(Submitted)) == 4)
    unsent = desk.of(Unsent)
    assert [event.submission for event in unsent] == submissions[4:]
    assert {event.reason for event in unsent} == {"no slot of the window is free"}
    network.release(unsent)
    assert desk.capacity() == 0
    assert len(smsc.links[0].submits) == 4
    assert network.counters("acme").unsent == 2


async def test_unknown_carriers_take_nothing(smsc: Smsc, desk: Desk) -> None:
    await desk.open(carrier_at(smsc))
    assert desk.capacity("beta") == 0
    desk.submit(parts(1), "beta")
    unsent = await desk.first(Unsent)
    assert (unsent.carrier, unsent.reason) == ("beta", "there is no such carrier")


async def test_a_submission_that_smpp_cannot_carry_is_refused_for_good(
    smsc: Smsc, desk: Desk
) -> None:
    await desk.open(carrier_at(smsc))
    await desk.ups(1)
    [good] = parts(1)
    bad = msgspec.structs.replace(good, pdu=SubmitSm(short_message=b"x" * 300))
    desk.submit([bad, good])
    await desk.until(lambda: len(desk.of(Submitted)) == 2)
    refused, accepted = desk.of(Submitted)
    assert refused.submission is bad
    assert refused.outcome.kind is OutcomeKind.REFUSED
    assert "short_message" in refused.outcome.reason
    assert accepted.submission is good
    assert desk.capacity() == 3


async def test_refusals_are_outcomes(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(2))
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 2)
    link.respond(link.requests[1], 0x0B)  # responses may come in any order
    link.respond(link.requests[0], SYSTEM_ERROR)
    await desk.until(lambda: len(desk.of(Submitted)) == 2)
    outcomes = {event.submission.part: event.outcome for event in desk.of(Submitted)}
    assert (outcomes[2].kind, outcomes[2].error_code) == (OutcomeKind.REFUSED, 30005)
    assert outcomes[1].kind is OutcomeKind.RETRY
    assert network.counters("acme").statuses == {0x0B: 1, SYSTEM_ERROR: 1}


async def test_two_binds_share_what_is_submitted(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc, binds=2))
    await desk.ups(2)
    assert desk.capacity() == 8
    for submission in parts(2):
        desk.submit([submission])
    desk.submit(parts(6))
    assert desk.capacity() == 0
    await smsc.until(lambda: [len(link.requests) for link in smsc.links] == [4, 4])
    assert [bind.in_use for bind in network.binds("acme")] == [4, 4]


# -- lost answers


async def test_a_killed_peer_leaves_uncertainty_then_the_bind_goes_down_and_comes_again(
    smsc: Smsc, desk: Desk
) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    submissions = parts(4)
    desk.submit(submissions)
    await smsc.until(lambda: len(smsc.links[0].requests) == 4)
    smsc.links[0].kill()
    await desk.ups(2)
    kinds = [type(event) for event in desk.seen]
    assert kinds == [BindUp, *[Uncertain] * 4, BindDown, BindUp]
    uncertain = desk.of(Uncertain)
    assert [event.submission for event in uncertain] == submissions
    sent = [(request.octets,) for request in smsc.links[0].requests]
    assert [event.octets for event in uncertain] == sent
    assert desk.of(BindUp)[0].bind == desk.of(BindDown)[0].bind != desk.of(BindUp)[1].bind
    assert desk.capacity() == 4  # the slots went with the bind
    network.release(uncertain)
    assert desk.capacity() == 4
    counters = network.counters("acme")
    assert (counters.uncertain, counters.binds_lost, counters.bind_attempts) == (4, 1, 2)


async def test_a_late_answer_finds_its_submission(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc, response_timeout=0.3))
    await desk.ups(1)
    [submission] = parts(1)
    desk.submit([submission])
    uncertain = await desk.first(Uncertain)
    assert (uncertain.submission, uncertain.reason) == (submission, "response timeout")
    assert desk.capacity() == 3
    network.release([uncertain])
    assert desk.capacity() == 4
    [link] = smsc.live
    await smsc.until(lambda: len(link.requests) == 1)
    link.respond(link.requests[0])
    late = await desk.first(Submitted)
    assert late.submission is submission
    assert late.late
    assert late.octets[0] == uncertain.octets[0] == link.requests[0].octets
    network.release([late])
    assert desk.capacity() == 4
    assert network.counters("acme").late == 1
    assert not desk.of(BindDown)


async def test_a_late_answer_before_the_release_frees_no_second_slot(
    smsc: Smsc, desk: Desk
) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc, response_timeout=0.3))
    await desk.ups(1)
    desk.submit(parts(2))
    await desk.until(lambda: len(desk.of(Uncertain)) == 2)
    [link] = smsc.live
    await smsc.until(lambda: len(link.requests) == 2)
    link.respond(link.requests[0])
    late = await desk.first(Submitted)
    network.release([late])
    assert desk.capacity() == 2
    network.release(desk.of(Uncertain))
    assert desk.capacity() == 4


async def test_what_is_handed_to_a_bind_that_just_broke_is_unsent(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    smsc.links[0].kill()
    await desk.first(BindDown)
    desk.submit(parts(1))
    unsent = await desk.first(Unsent)
    assert "closed" in unsent.reason
    assert network.health("acme", desk.clock()).state is HealthState.DOWN


# -- pace


@pytest.mark.parametrize("command_status", [THROTTLED, QUEUE_FULL])
async def test_a_throttled_carrier_gets_a_pause(
    smsc: Smsc, desk: Desk, command_status: int
) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(3))
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 3)
    for request in link.requests:
        link.respond(request, command_status)
    await desk.until(lambda: len(desk.of(Submitted)) == 3)
    network.release(desk.of(Submitted))
    assert desk.capacity() == 0
    until = network.ready_at(desk.clock())
    assert until == pytest.approx(desk.clock() + 0.1)  # once for the window, not once for each
    health = network.health("acme", desk.clock())
    assert (health.state, health.throttled_until) == (HealthState.DEGRADED, until)
    desk.submit(parts(1))
    assert (await desk.first(Unsent)).reason == "throttled"
    assert until is not None
    desk.clock.now = until
    assert desk.capacity() == 4
    assert network.ready_at(desk.clock()) is None
    assert network.health("acme", desk.clock()).state is HealthState.BOUND


async def test_tps_counts_pdus_over_all_binds(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc, binds=2, window=10, tps=30))
    await desk.ups(2)
    assert desk.capacity() == 3
    desk.submit(parts(3))
    assert desk.capacity() == 0
    assert network.ready_at(desk.clock()) == pytest.approx(desk.clock() + 1 / 30)
    desk.clock.now += 0.05
    assert desk.capacity() == 1


async def test_congestion_state_narrows_the_window(smsc: Smsc, desk: Desk) -> None:
    smsc.response_tlvs = (encode_tlv(Tag.CONGESTION_STATE, 85),)
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(1))
    network.release([await desk.first(Submitted)])
    assert desk.capacity() == 2
    desk.clock.now += 60
    assert desk.capacity() == 4


# -- what carriers deliver


async def test_deliveries_are_answered_only_when_told(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    link = smsc.links[0]
    first, second = link.send(receipt_of("a1")), link.send(receipt_of("a2"))
    await desk.until(lambda: len(desk.of(Receipted)) == 2)
    one, two = desk.of(Receipted)
    assert (one.receipt.message_id, one.receipt.state) == ("a1", MessageState.DELIVERED)
    assert (one.from_address, one.to_address) == ("+15550001000", "+15550009999")
    assert one.octets[0][4:8] == b"\0\0\0\5"
    network.answer(two.delivery, SYSTEM_ERROR, desk.clock())
    network.flush()
    await smsc.until(lambda: len(link.responses) == 1)
    network.answer(one.delivery, 0, desk.clock())
    network.answer(one.delivery, 0, desk.clock())  # a second answer is none
    network.flush()
    await smsc.until(lambda: len(link.responses) == 2)
    assert [(r.sequence_number, r.command_status) for r in link.responses] == [
        (second, SYSTEM_ERROR),
        (first, 0),
    ]
    assert all(isinstance(response.pdu, DeliverSmResp) for response in link.responses)
    assert network.counters("acme").receipts == 2


async def test_texts_keep_their_octets_and_tlvs(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    link = smsc.links[0]
    unknown = (0x1400, b"vendor")
    payload = (int(Tag.MESSAGE_PAYLOAD), "grüß".encode("utf-16-be"))
    link.send(
        DataSm(source_addr="447700900000", data_coding=8, esm_class=0, tlvs=(payload, unknown))
    )
    link.send(DeliverSm(source_addr="12345", short_message=b"\x05\0\3\1\2\1hi", esm_class=0x40))
    await desk.until(lambda: len(desk.of(Received)) == 2)
    data, text = desk.of(Received)
    assert (data.payload, data.tlvs, data.data_coding) == (payload[1], (payload, unknown), 8)
    assert (text.payload, text.esm_class) == (b"\x05\0\3\1\2\1hi", 0x40)
    assert text.from_address == "12345"
    for event in (data, text):
        network.answer(event.delivery, 0, desk.clock())
    network.flush()
    await smsc.until(lambda: len(link.responses) == 2)
    assert [type(r.pdu) for r in link.responses] == [DataSmResp, DeliverSmResp]
    assert network.counters("acme").received == 2


async def test_an_answer_for_a_bind_that_is_gone_is_dropped(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    smsc.links[0].send(receipt_of("a1"))
    old = await desk.first(Receipted)
    smsc.links[0].kill()
    await desk.ups(2)
    smsc.links[1].send(receipt_of("a1"))  # the same sequence_number on the new connection
    await desk.until(lambda: len(desk.of(Receipted)) == 2)
    new = desk.of(Receipted)[1]
    assert old.delivery.sequence_number == new.delivery.sequence_number
    network.answer(old.delivery, SYSTEM_ERROR, desk.clock())
    network.answer(Delivery(bind=10_000, sequence_number=1), 0, desk.clock())
    network.answer(new.delivery, 0, desk.clock())
    network.flush()
    await smsc.until(lambda: bool(smsc.links[1].responses))
    assert [response.command_status for response in smsc.links[1].responses] == [0]


async def test_a_lost_bind_names_the_texts_whose_answers_may_be_unread(
    smsc: Smsc, desk: Desk
) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    link = smsc.links[0]
    sent = [link.send(DeliverSm(source_addr="12345", short_message=b"hi")) for _ in range(2)]
    await desk.until(lambda: len(desk.of(Received)) == 2)
    one, two = desk.of(Received)
    assert one.digest == two.digest != ""
    network.answer(one.delivery, 0, desk.clock())
    network.flush()
    await smsc.until(lambda: bool(link.responses))
    desk.submit(parts(1))
    await desk.first(Submitted)  # so the answer before it was read
    link.kill()
    assert (await desk.first(BindDown)).unread == (sent[1],)


async def test_what_a_carrier_has_read_is_told_once(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    link = smsc.links[0]
    link.send(DeliverSm(source_addr="12345", short_message=b"hi"))
    received = await desk.first(Received)
    network.answer(received.delivery, 0, desk.clock())
    network.flush()
    assert network.take_read() == []
    desk.submit(parts(1))
    await desk.first(Submitted)
    assert network.take_read() == [received.delivery]
    assert network.take_read() == []


async def test_after_an_unbind_no_answer_is_unread(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    smsc.links[0].send(DeliverSm(source_addr="12345", short_message=b"hi"))
    network.answer((await desk.first(Received)).delivery, 0, desk.clock())
    network.flush()
    smsc.links[0].unbind()
    assert (await desk.first(BindDown)).unread == ()


async def test_a_pair_submits_on_one_bind_and_receives_on_the_other(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc, bind=BindKind.TX_RX))
    await desk.ups(2)
    by_kind = {type(link.bind): link for link in smsc.links}
    transmitter, receiver = by_kind[BindTransmitter], by_kind[BindReceiver]
    assert desk.capacity() == 4
    desk.submit(parts(4))
    await desk.until(lambda: len(desk.of(Submitted)) == 4)
    assert (len(transmitter.requests), len(receiver.requests)) == (4, 0)
    receiver.send(receipt_of("a1"))
    network.answer((await desk.first(Receipted)).delivery, 0, desk.clock())
    network.flush()
    await smsc.until(lambda: len(receiver.responses) == 1)
    assert network.health("acme", desk.clock()).state is HealthState.BOUND
    transmitter.kill()
    await desk.first(BindDown)
    assert network.health("acme", desk.clock()).state is HealthState.DOWN


# -- binding


async def test_refused_credentials_wait_long_and_say_what_to_check(smsc: Smsc, desk: Desk) -> None:
    smsc.bind_statuses = [BAD_PASSWORD]
    with capture_logs() as logs:
        network = await desk.open(carrier_at(smsc))
        await smsc.until(lambda: bool(smsc.links) and bool(smsc.links[0].closed))
    [warning] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert "ESME_RINVPASWD" in warning["reason"]
    assert "check password" in warning["reason"]
    assert 30 <= warning["next_try_in"] <= LONGEST_REFUSED_DELAY
    assert "secret" not in repr(logs)
    assert network.counters("acme").bind_attempts == 1
    health = network.health("acme", desk.clock())
    assert "check password" in health.reason
    assert health.failed_binds == 1
    assert health.next_bind_at == pytest.approx(desk.clock() + warning["next_try_in"], abs=0.1)
    network.resume("acme", desk.clock())  # the operator has mended it: nobody waits so long
    await desk.ups(1)
    assert network.health("acme", desk.clock()).failed_binds == 0


async def test_a_passing_refusal_is_tried_again_soon(smsc: Smsc, desk: Desk) -> None:
    smsc.bind_statuses = [SYSTEM_ERROR, SYSTEM_ERROR]
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    assert network.counters("acme").bind_attempts == 3


async def test_a_port_where_nobody_listens_is_tried_until_somebody_does(desk: Desk) -> None:
    probe = await Smsc().start()
    port = probe.port
    await probe.close()
    carrier = Carrier(name="acme", kind=CarrierKind.SMPP, port=port, system_id="me")
    with capture_logs() as logs:
        network = await desk.open(carrier)
        await desk.failures(3)
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1  # the same failure again is no news
    assert f"127.0.0.1:{port}" in network.health("acme", desk.clock()).reason
    late = await Smsc().start(port=port)
    await desk.ups(1)
    await late.close()


async def test_the_backup_serves_while_the_first_is_away(smsc: Smsc, desk: Desk) -> None:
    backup = await Smsc().start()
    first_port = smsc.port
    await smsc.close()
    await desk.open(carrier_at(backup, port=first_port, backup=f"127.0.0.1:{backup.port}"))
    await desk.ups(1)
    desk.submit(parts(1))
    await desk.first(Submitted)
    assert len(backup.links[0].submits) == 1
    await backup.close()


async def test_tls(desk: Desk) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")
    smsc = await Smsc().start(tls=server)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATES / "localhost.pem"))
    await desk.open(carrier_at(smsc, tls=True), tls=trusting)
    await desk.ups(1)
    desk.submit(parts(2))
    await desk.until(lambda: len(desk.of(Submitted)) == 2)
    await smsc.close()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(desk: Desk) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")
    smsc = await Smsc().start(tls=server)
    network = await desk.open(carrier_at(smsc, tls=True), tls=ssl.create_default_context())
    await desk.failures(2)
    assert "certificate" in network.health("acme", desk.clock()).reason.lower()
    assert not smsc.live
    await smsc.close()


async def test_garbage_costs_the_bind_only_if_the_stream_is_unreadable(
    smsc: Smsc, desk: Desk
) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    link = smsc.links[0]
    desk.submit(parts(2))
    await smsc.until(lambda: len(link.requests) == 2)
    link.write(bytes.fromhex("00000010000000990000000000000007"))  # an unknown command
    link.write(bytes.fromhex("00000010800000040000000000007777"))  # answers nothing we asked
    link.respond(link.requests[0])
    await desk.first(Submitted)
    assert network.counters("acme").rejected == 2
    assert not desk.of(BindDown)
    link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await desk.ups(2)
    down = desk.of(BindDown)[0]
    assert "unreadable" in down.reason
    [uncertain] = desk.of(Uncertain)
    assert uncertain.submission.part == 2
    assert "unreadable" in uncertain.reason


async def test_a_defect_of_ours_costs_one_bind_and_nothing_in_flight(
    smsc: Smsc, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsc.answering = False
    await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(2))
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 2)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr("carriers.traffic.parse", None)
        link.send(receipt_of("a1"))
        await desk.first(BindDown)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["bind failed"]
    assert len(desk.of(Uncertain)) == 2
    assert "internal error" in desk.of(BindDown)[0].reason
    await desk.ups(2)


async def test_a_carrier_that_unbinds_is_bound_again(smsc: Smsc, desk: Desk) -> None:
    await desk.open(carrier_at(smsc))
    await desk.ups(1)
    smsc.links[0].unbind()
    await desk.ups(2)
    assert len(desk.of(BindDown)) == 1
    assert desk.capacity() == 4


# -- the operator


async def test_a_paused_carrier_keeps_its_bind_and_its_receipts(smsc: Smsc, desk: Desk) -> None:
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    network.pause("acme", desk.clock())
    assert desk.capacity() == 0
    assert network.health("acme", desk.clock()).state is HealthState.PAUSED
    desk.submit(parts(1))
    assert "paused" in (await desk.first(Unsent)).reason
    smsc.links[0].send(receipt_of("a1"))
    await desk.first(Receipted)
    network.resume("acme", desk.clock())
    await desk.ups(2)  # it takes traffic: said again
    assert desk.capacity() == 4
    assert len(smsc.links) == 1


async def test_a_drained_carrier_finishes_and_unbinds(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(2))
    network.drain("acme", desk.clock())
    assert desk.capacity() == 0
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 2)
    for request in link.requests:
        link.respond(request)
    await desk.until(lambda: len(desk.of(Submitted)) == 2)
    one, two = desk.of(Submitted)
    network.release([one])
    assert not link.closed
    network.release([two])
    down = await desk.first(BindDown)
    assert "unbound" in down.reason
    assert not desk.of(Uncertain)
    assert network.health("acme", desk.clock()).state is HealthState.DRAINING
    network.resume("acme", desk.clock())
    await desk.ups(2)
    assert desk.capacity() == 4


async def test_close_waits_for_slots_and_unbinds(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(1))
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 1)
    closing = asyncio.create_task(network.close(PATIENCE))
    await asyncio.sleep(0)
    assert desk.capacity() == 0
    link.respond(link.requests[0])
    submitted = await desk.first(Submitted)
    assert not closing.done()
    network.release([submitted])
    await closing
    assert "unbound" in (await desk.first(BindDown)).reason
    assert await network.events() == []
    await smsc.until(lambda: bool(link.closed))
    assert "unbound" in link.closed


async def test_close_gives_up_on_what_is_not_answered(smsc: Smsc, desk: Desk) -> None:
    smsc.answering = False
    network = await desk.open(carrier_at(smsc))
    await desk.ups(1)
    desk.submit(parts(2))
    await smsc.until(lambda: len(smsc.links[0].requests) == 2)
    async with asyncio.timeout(PATIENCE):
        await network.close(0.01)
    await desk.first(BindDown)
    assert len(desk.of(Uncertain)) == 2
    assert await network.events() == []


async def test_close_does_not_wait_for_a_peer_that_answers_no_unbind(
    smsc: Smsc, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carriers.bind.UNBIND_PATIENCE", 0.01)
    network = await desk.open(carrier_at(smsc, response_timeout=600))
    await desk.ups(1)
    smsc.links[0].fall_silent()
    async with asyncio.timeout(PATIENCE):
        await network.close(0.0)
    assert "we closed" in (await desk.first(BindDown)).reason


# -- reload


async def test_reload_leaves_what_did_not_change(smsc: Smsc, desk: Desk) -> None:
    other = await Smsc().start()
    acme = carrier_at(smsc)
    network = await desk.open(acme, carrier_at(other, name="beta"))
    await desk.ups(2)
    desk.submit(parts(1))
    await desk.first(Submitted)
    network.reload([msgspec.structs.replace(acme, tps=10, window=20)])
    assert network.names() == ("acme",)
    down = await desk.first(BindDown)
    assert down.carrier == "beta"
    network.release(desk.of(Submitted))
    assert desk.capacity() == 1  # ten a second, a tenth of a second at a time
    network.reload([msgspec.structs.replace(acme, window=20)])
    assert desk.capacity() == 20
    assert smsc.live == smsc.links
    assert len(smsc.links) == 1
    assert [event.carrier for event in desk.of(BindDown)] == ["beta"]
    await other.close()


async def test_reload_adds_carriers_and_binds(smsc: Smsc, desk: Desk) -> None:
    acme = carrier_at(smsc)
    network = await desk.open(acme)
    await desk.ups(1)
    network.reload([msgspec.structs.replace(acme, binds=3), carrier_at(smsc, name="beta")])
    await desk.ups(4)
    assert (desk.capacity(), desk.capacity("beta")) == (12, 4)
    network.counters("beta").submitted += 1
    network.reload([acme])
    assert network.counters("beta").submitted == 0  # what is late for it is counted nowhere
    await desk.until(lambda: len(desk.of(BindDown)) == 3)
    assert desk.capacity() == 4
    assert smsc.links[0] in smsc.live


async def test_reload_binds_anew_with_changed_credentials_when_the_old_is_done(
    smsc: Smsc, desk: Desk
) -> None:
    smsc.answering = False
    acme = carrier_at(smsc)
    network = await desk.open(acme)
    await desk.ups(1)
    desk.submit(parts(1))
    link = smsc.links[0]
    await smsc.until(lambda: len(link.requests) == 1)
    network.reload([msgspec.structs.replace(acme, password="other")])
    assert desk.capacity() == 0
    for n in range(1, 11):  # round trips in which a bind that did not wait would have come up
        link.send(receipt_of("a1"))
        await desk.until(lambda n=n: len(desk.of(Receipted)) == n)
    assert len(smsc.links) == 1
    link.respond(link.requests[0])
    network.release([await desk.first(Submitted)])
    await desk.ups(2)
    # The account may allow one bind only: the new one came after the old one had left.
    life = [type(event) for event in desk.seen if not isinstance(event, Receipted)]
    assert life == [BindUp, Submitted, BindDown, BindUp]
    bind = smsc.links[1].bind
    assert bind is not None
    assert bind.password == "other"
    assert desk.capacity() == 4


async def test_two_carriers_do_not_mix(smsc: Smsc, desk: Desk) -> None:
    other = await Smsc().start()
    other.answering = False
    network = await desk.open(carrier_at(smsc), carrier_at(other, name="beta"))
    await desk.ups(2)
    desk.submit(parts(2), "acme")
    desk.submit(parts(3, "SM2"), "beta")
    await desk.until(lambda: len(desk.of(Submitted)) == 2)
    assert {event.carrier for event in desk.of(Submitted)} == {"acme"}
    await other.until(lambda: len(other.links[0].requests) == 3)
    other.links[0].kill()
    await desk.first(BindDown)
    assert {event.carrier for event in desk.of(Uncertain)} == {"beta"}
    states = {name: health.state for name, health in network.all_health(desk.clock()).items()}
    assert states == {"acme": HealthState.BOUND, "beta": HealthState.DOWN}
    await other.close()

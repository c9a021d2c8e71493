"""The simulated carrier over a socket, with our own session as the ESME."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from sims_peer import GENEROUS, Peer, accept, long_submits, never, submit_sm

from protocols.smpp.events import BindRefused, PduRejected, RequestReceived, ResponseReceived
from protocols.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CommandStatus,
    DeliverSm,
    EsmClass,
    GenericNack,
    QuerySm,
    RegisteredDelivery,
    Tag,
    encode_tlv,
    tlv,
)
from protocols.smpp.receipt import MessageState
from protocols.smpp.text import decode
from sims.faults import Timing
from sims.handset import InText, NoBind, Outcome, Refused, Taken, Unanswered
from sims.ledger import Ledger
from sims.message_ids import IdForm, IdPlace, MessageIds
from sims.script import named_answers, texts
from sims.smsc import Settings, Smsc

TIMING = Timing(receipt_delay=0.05, response_timeout=0.1)
NUMBER = "447700900123"


class Carrier:
    """A carrier that listens, and all that is to be ended after the test."""

    def __init__(self, smsc: Smsc, port: int) -> None:
        self.smsc = smsc
        self.port = port
        self.peers: list[Peer] = []
        self.news = asyncio.Event()

    async def bound(self, *args: object, **options: object) -> Peer:
        peer = await Peer.bound(self.port, *args, news=self.news, **options)
        self.peers.append(peer)
        return peer

    def inbox(self, number: str = NUMBER) -> list[str]:
        return [text.body for text in self.smsc.inboxes.of(number)]


Start = Callable[..., Awaitable[Carrier]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Carrier] = []

    async def start(answers: tuple[str, ...] = (), **settings: object) -> Carrier:
        script = texts(TIMING, named_answers(list(answers), TIMING))
        ledger = Ledger(tmp_path / "ledger.jsonl")
        smsc = Smsc(Settings(**settings), script, MessageIds(0xABCDEF012345), ledger)
        carrier = Carrier(smsc, await smsc.listen("127.0.0.1", 0))
        started.append(carrier)
        return carrier

    yield start
    for carrier in started:
        for peer in carrier.peers:
            await peer.end()
        await carrier.smsc.close()


@pytest.fixture
async def carrier(start: Start) -> Carrier:
    return await start()


def status_of(response: ResponseReceived) -> int:
    return response.command_status


def id_of(response: ResponseReceived) -> str:
    return response.pdu.message_id


def position(peer: Peer, kind: type, count: int = 0) -> int:
    places = [n for n, event in enumerate(peer.log) if isinstance(event, kind)]
    return places[count]


# Binds


@pytest.mark.parametrize(
    ("bind", "status"),
    [
        (BindTransceiver(system_id="gateway", password="secret"), None),
        (BindTransmitter(system_id="gateway", password="wrong"), CommandStatus.ESME_RINVPASWD),
        (BindReceiver(system_id="other", password="secret"), CommandStatus.ESME_RINVSYSID),
    ],
)
async def test_a_bind_is_checked(start: Start, bind: BindTransceiver, status: int | None) -> None:
    carrier = await start(system_id="gateway", password="secret")
    peer = await carrier.bound(bind)
    refusals = [event.command_status for event in peer.log if isinstance(event, BindRefused)]
    assert refusals == ([] if status is None else [status])


async def test_without_a_setting_any_bind_is_taken(carrier: Carrier) -> None:
    peer = await carrier.bound(BindTransceiver(system_id="anybody", password="anything"))
    assert not peer.saw(BindRefused)


# The fixed numbers


async def test_a_text_arrives_and_is_receipted(carrier: Carrier) -> None:
    peer = await carrier.bound()
    reference = encode_tlv(Tag.USER_MESSAGE_REFERENCE, 4711)
    (response,) = await peer.sent(submit_sm(NUMBER, b"hello", tlvs=(reference,)))
    (receipt,) = await peer.receipts(1)
    assert status_of(response) == 0
    assert receipt.message_id == id_of(response)
    assert (receipt.state, receipt.err, receipt.dlvrd) == (MessageState.DELIVERED, "000", "001")
    assert receipt.user_message_reference == 4711
    (pdu,) = peer.delivered
    assert (pdu.source_addr, pdu.destination_addr) == (NUMBER, "15550001000")
    assert tlv(pdu, Tag.MESSAGE_STATE) == b"\x02"
    assert f"id:{id_of(response)} ".encode() in pdu.short_message
    (text,) = carrier.smsc.inboxes.of(NUMBER)
    assert (text.from_address, text.to_address) == ("+15550001000", f"+{NUMBER}")


async def test_0001_throttles_a_message_twice(carrier: Carrier) -> None:
    peer = await carrier.bound()
    pdu = submit_sm("15550000001")
    statuses = [status_of((await peer.sent(pdu))[0]) for _ in range(4)]
    throttled = CommandStatus.ESME_RTHROTTLED
    assert statuses == [throttled, throttled, 0, throttled]
    await peer.receipts(1)
    assert carrier.inbox("15550000001") == ["hello"]


async def test_0002_is_taken_and_not_delivered(carrier: Carrier) -> None:
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm("15550000002"))
    (receipt,) = await peer.receipts(1)
    assert (status_of(response), receipt.state) == (0, MessageState.UNDELIVERABLE)
    assert receipt.message_id == id_of(response)
    assert carrier.inbox("15550000002") == []


async def test_0003_is_refused(carrier: Carrier) -> None:
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm("15550000003"))
    assert status_of(response) == CommandStatus.ESME_RINVDSTADR
    assert carrier.inbox("15550000003") == []


async def test_0004_gets_no_receipt(carrier: Carrier) -> None:
    peer = await carrier.bound()
    await peer.sent(submit_sm("15550000004"))
    (other,) = await peer.sent(submit_sm(NUMBER))
    (receipt,) = await peer.receipts(1)
    assert receipt.message_id == id_of(other)
    assert carrier.inbox("15550000004") == ["hello"]


async def test_0005_receipts_before_it_responds(carrier: Carrier) -> None:
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm("15550000005"))
    (receipt,) = await peer.receipts(1)
    assert receipt.message_id == id_of(response)
    assert position(peer, RequestReceived) < position(peer, ResponseReceived)


async def test_0006_drops_the_bind_and_keeps_the_text(carrier: Carrier) -> None:
    first = await carrier.bound()
    first.submit(submit_sm("15550000006"))
    await first.closed()
    assert first.responses == {}
    second = await carrier.bound()
    (receipt,) = await second.receipts(1)
    assert receipt.state is MessageState.DELIVERED
    assert carrier.inbox("15550000006") == ["hello"]
    (response,) = await second.sent(submit_sm("15550000006"))
    assert status_of(response) == 0
    assert carrier.inbox("15550000006") == ["hello", "hello"]


async def test_0006_takes_what_was_sent_behind_it(carrier: Carrier) -> None:
    """What was under way when the bind dropped would be lost for one who sends nothing twice."""
    first = await carrier.bound()
    first.submit(submit_sm("15550000006"), submit_sm(NUMBER))
    await first.closed()
    assert first.responses == {}
    second = await carrier.bound()
    assert len(await second.receipts(2)) == 2
    assert carrier.inbox() == ["hello"]


async def test_0006_answers_what_came_before_it(carrier: Carrier) -> None:
    peer = await carrier.bound()
    before, dropping = peer.submit(submit_sm(NUMBER), submit_sm("15550000006"))
    await peer.closed()
    assert before in peer.responses
    assert dropping not in peer.responses


async def test_0006_drops_a_long_text_once_when_all_of_it_came(carrier: Carrier) -> None:
    body = "0123456789" * 40
    parts = long_submits("15550000006", body)
    first = await carrier.bound()
    numbers = first.submit(*parts)
    await first.closed()
    assert sorted(first.responses) == numbers[:-1]
    assert carrier.inbox("15550000006") == [body]
    second = await carrier.bound()
    assert [status_of(r) for r in await second.sent(*parts)] == [0, 0, 0]
    assert carrier.inbox("15550000006") == [body, body]


async def test_0007_answers_late_and_the_next_time_at_once(carrier: Carrier) -> None:
    peer = await carrier.bound()
    loop = asyncio.get_running_loop()
    began = loop.time()
    (late,) = peer.submit(submit_sm("15550000007"))
    (again,) = await peer.sent(submit_sm("15550000007"))
    assert late not in peer.responses
    (response,) = await peer.responses_to([late])
    assert loop.time() - began >= TIMING.response_timeout + 1.0
    assert status_of(response) == 0
    receipts = await peer.receipts(2)
    assert [receipt.message_id for receipt in receipts] == [id_of(again), id_of(response)]


# Other behaviours


async def test_garbage_that_is_framed_costs_nothing(start: Start) -> None:
    carrier = await start(answers=("0555=unknown-pdu",))
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm("15550000555"))
    assert status_of(response) == 0
    assert peer.saw(PduRejected)


async def test_garbage_without_a_frame_ends_the_bind(start: Start) -> None:
    carrier = await start(answers=("0555=garbage",))
    peer = await carrier.bound()
    peer.submit(submit_sm("15550000555"))
    await peer.closed()
    assert peer.responses == {}


async def test_split_writes_lose_nothing_and_keep_the_order(start: Start) -> None:
    carrier = await start(answers=("0555=split-writes",))
    peer = await carrier.bound()
    numbers = peer.submit(submit_sm("15550000555"), submit_sm(NUMBER), submit_sm(NUMBER))
    await peer.responses_to(numbers)
    assert list(peer.responses) == numbers
    assert len(await peer.receipts(3)) == 3


async def test_no_response_still_delivers(start: Start) -> None:
    carrier = await start(answers=("0555=no-response",))
    peer = await carrier.bound()
    (number,) = peer.submit(submit_sm("15550000555"))
    await peer.receipts(1)
    assert number not in peer.responses
    assert carrier.inbox("15550000555") == ["hello"]


async def test_other_requests_are_unknown(carrier: Carrier) -> None:
    peer = await carrier.bound()
    (number,) = peer.submit(QuerySm(message_id="1"))
    (response,) = await peer.responses_to([number])
    assert isinstance(response.pdu, GenericNack)
    assert status_of(response) == CommandStatus.ESME_RINVCMDID


# Receipts


@pytest.mark.parametrize(
    ("asked", "to", "expected"),
    [
        (RegisteredDelivery.NONE, NUMBER, 0),
        (RegisteredDelivery.ON_FAILURE, NUMBER, 0),
        (RegisteredDelivery.ON_FAILURE, "15550000002", 1),
        (RegisteredDelivery.ON_SUCCESS, NUMBER, 1),
        (RegisteredDelivery.ON_SUCCESS, "15550000002", 0),
    ],
)
async def test_receipts_come_as_asked(carrier: Carrier, asked: int, to: str, expected: int) -> None:
    peer = await carrier.bound()
    await peer.sent(submit_sm(to, registered_delivery=asked))
    (last,) = await peer.sent(submit_sm(NUMBER))
    await peer.until(lambda: any(r.message_id == id_of(last) for r in peer.receipted))
    assert len(peer.receipted) == expected + 1


@pytest.mark.parametrize(
    ("response_form", "receipt_form", "bases"),
    [
        (IdForm.HEX, IdForm.DECIMAL, (16, 10)),
        (IdForm.DECIMAL, IdForm.HEX, (10, 16)),
        (IdForm.PADDED, IdForm.DECIMAL, (10, 10)),
        (IdForm.MIXED, IdForm.HEX, (16, 16)),
    ],
)
async def test_response_and_receipt_may_write_the_same_id_differently(
    start: Start, response_form: IdForm, receipt_form: IdForm, bases: tuple[int, int]
) -> None:
    carrier = await start(message_id=response_form, receipt_id=receipt_form)
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm(NUMBER))
    (receipt,) = await peer.receipts(1)
    assert id_of(response) != receipt.message_id
    assert int(id_of(response), bases[0]) == int(receipt.message_id, bases[1])


@pytest.mark.parametrize("form", list(IdForm))
async def test_each_form_goes_both_ways(start: Start, form: IdForm) -> None:
    carrier = await start(message_id=form, receipt_id=form)
    peer = await carrier.bound()
    responses = await peer.sent(submit_sm(NUMBER), submit_sm(NUMBER))
    receipts = await peer.receipts(2)
    assert [r.message_id for r in receipts] == [id_of(r) for r in responses]
    assert len({id_of(r) for r in responses}) == 2


@pytest.mark.parametrize("place", list(IdPlace))
async def test_a_receipt_carries_its_id_where_it_is_told_to(start: Start, place: IdPlace) -> None:
    carrier = await start(receipt_id_in=place)
    peer = await carrier.bound()
    (response,) = await peer.sent(submit_sm(NUMBER))
    await peer.receipts(1)
    (pdu,) = peer.delivered
    in_tlv = tlv(pdu, Tag.RECEIPTED_MESSAGE_ID) == id_of(response).encode() + b"\0"
    in_text = f"id:{id_of(response)} ".encode() in pdu.short_message
    assert (in_tlv, in_text) == (place is not IdPlace.TEXT, place is not IdPlace.TLV)


async def test_receipts_wait_for_a_bind_of_the_same_system_id(carrier: Carrier) -> None:
    transmitter = await carrier.bound(BindTransmitter(system_id="gateway"))
    stranger = await carrier.bound(BindReceiver(system_id="stranger"))
    (response,) = await transmitter.sent(submit_sm(NUMBER))
    (foreign,) = await stranger_receipt(carrier)
    receiver = await carrier.bound(BindReceiver(system_id="gateway"))
    (receipt,) = await receiver.receipts(1)
    assert receipt.message_id == id_of(response)
    assert stranger.delivered == transmitter.delivered == []
    assert foreign.message_id != id_of(response)


async def stranger_receipt(carrier: Carrier) -> list:
    """A receipt for somebody else: by then the earlier one would have been sent, too."""
    third = await carrier.bound(BindTransceiver(system_id="third"))
    await third.sent(submit_sm(NUMBER))
    return await third.receipts(1)


async def test_unanswered_receipts_go_again_to_the_next_bind_in_their_order(
    carrier: Carrier,
) -> None:
    first = await carrier.bound(answers=never)
    responses = await first.sent(*(submit_sm(NUMBER, b"%d" % n) for n in range(5)))
    await first.receipts(5)
    await first.end()
    second = await carrier.bound()
    receipts = await second.receipts(5)
    assert [r.message_id for r in receipts] == [id_of(r) for r in responses]


async def test_receipts_in_flight_move_to_a_bind_that_stays(carrier: Carrier) -> None:
    leaving = await carrier.bound(BindReceiver(system_id="gateway"), answers=never)
    sender = await carrier.bound(BindTransmitter(system_id="gateway"))
    (response,) = await sender.sent(submit_sm(NUMBER))
    await leaving.receipts(1)
    staying = await carrier.bound(BindReceiver(system_id="gateway"))
    leaving.session.unbind(asyncio.get_running_loop().time())
    leaving.connection.flush()
    (receipt,) = await staying.receipts(1)
    assert receipt.message_id == id_of(response)
    await leaving.closed()


async def test_a_receipt_refused_for_the_moment_goes_again(carrier: Carrier) -> None:
    statuses = iter([CommandStatus.ESME_RMSGQFUL, CommandStatus.ESME_ROK])
    peer = await carrier.bound(answers=lambda _: next(statuses))
    (response,) = await peer.sent(submit_sm(NUMBER))
    receipts = await peer.receipts(2)
    assert [r.message_id for r in receipts] == [id_of(response)] * 2


async def test_a_receipt_refused_for_good_does_not_go_again(carrier: Carrier) -> None:
    statuses = iter([CommandStatus.ESME_RX_P_APPN, CommandStatus.ESME_RX_T_APPN])
    peer = await carrier.bound(answers=lambda _: next(statuses, 0))
    first, second = await peer.sent(submit_sm(NUMBER), submit_sm(NUMBER))
    receipts = await peer.receipts(3)
    assert [r.message_id for r in receipts] == [id_of(first), id_of(second), id_of(second)]


async def test_receipts_that_nobody_answers_in_time_go_again(start: Start) -> None:
    carrier = await start(deliver_timeout=0.1)
    came: set[bytes] = set()

    def second_time(pdu: DeliverSm) -> int | None:
        if pdu.short_message in came:
            return 0
        came.add(pdu.short_message)
        return None

    peer = await carrier.bound(answers=second_time)
    sent = [id_of(each) for each in await peer.sent(submit_sm(NUMBER), submit_sm(NUMBER, b"2"))]
    await peer.until(lambda: all(ids_of(peer).count(each) > 1 for each in sent))
    assert set(ids_of(peer)) == set(sent)


def ids_of(peer: Peer) -> list[str | None]:
    return [each.message_id for each in peer.receipted]


async def test_no_more_receipts_are_in_flight_than_the_window_holds(start: Start) -> None:
    carrier = await start(window=3)
    held: list[DeliverSm] = []
    peer = await carrier.bound(answers=lambda pdu: held.append(pdu))
    await peer.sent(*(submit_sm(NUMBER, b"%d" % n) for n in range(10)))
    await peer.receipts(3)
    (last,) = await peer.sent(submit_sm("15550000005"))  # the carrier goes on meanwhile
    assert status_of(last) == 0
    assert len(held) == 3


async def test_receipts_are_spread_over_binds(start: Start) -> None:
    carrier = await start(window=2)
    binds = [await carrier.bound(answers=never) for _ in range(3)]
    await binds[0].sent(*(submit_sm(NUMBER, b"%d" % n) for n in range(6)))
    for bind in binds:
        await bind.receipts(2)
    ids = [receipt.message_id for bind in binds for receipt in bind.receipted]
    assert len(set(ids)) == 6


# Long texts, and what is written down


@pytest.mark.parametrize("body", ["short", "x" * 400, "\u0416\U0001f600" * 120])
async def test_a_long_text_arrives_whole(carrier: Carrier, body: str) -> None:
    peer = await carrier.bound()
    await peer.sent(*reversed(long_submits(NUMBER, body)))
    assert carrier.inbox() == [body]


async def test_message_payload_and_sar_are_read(carrier: Carrier) -> None:
    peer = await carrier.bound()
    await peer.sent(submit_sm(NUMBER, b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"p" * 500),)))
    sar = [
        submit_sm(
            NUMBER,
            content,
            tlvs=(
                encode_tlv(Tag.SAR_MSG_REF_NUM, 9),
                encode_tlv(Tag.SAR_TOTAL_SEGMENTS, 2),
                encode_tlv(Tag.SAR_SEGMENT_SEQNUM, number),
            ),
        )
        for number, content in ((1, b"one "), (2, b"two"))
    ]
    await peer.sent(*sar)
    assert carrier.inbox() == ["p" * 500, "one two"]


async def test_the_ledger_knows_what_was_answered(carrier: Carrier, tmp_path: Path) -> None:
    peer = await carrier.bound()
    reference = encode_tlv(Tag.USER_MESSAGE_REFERENCE, 4711)
    parts = [
        msgspec.structs.replace(part, tlvs=(*part.tlvs, reference))
        for part in long_submits(NUMBER, "x" * 200)
    ]
    responses = await peer.sent(*parts, submit_sm("15550000003", b"no"))
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    first, second, text, refused = lines
    assert [line["message_id"] for line in (first, second)] == [id_of(r) for r in responses[:2]]
    assert [(line["part"], line["parts"]) for line in (first, second)] == [(1, 2), (2, 2)]
    assert bytes.fromhex(second["payload"]) == parts[1].short_message
    assert first["user_message_reference"] == 4711
    assert (first["event"], first["from"], first["to"]) == (
        "submit_sm",
        "+15550001000",
        f"+{NUMBER}",
    )
    assert (text["event"], text["to"], text["body"]) == ("text", f"+{NUMBER}", "x" * 200)
    assert (refused["command_status"], refused["payload"]) == (0x0B, b"no".hex())


async def test_the_ledger_is_written_before_the_bind_drops(
    carrier: Carrier, tmp_path: Path
) -> None:
    peer = await carrier.bound()
    (number,) = peer.submit(submit_sm("15550000006"))
    await peer.closed()
    (line, text) = map(json.loads, (tmp_path / "ledger.jsonl").read_text().splitlines())
    assert (line["sequence_number"], line["command_status"]) == (number, None)
    assert text["body"] == "hello"


async def test_forgetting_empties_inboxes_and_starts_scripts_anew(carrier: Carrier) -> None:
    peer = await carrier.bound()
    await peer.sent(submit_sm("15550000001"), submit_sm("15550000001"), submit_sm(NUMBER))
    carrier.smsc.forget()
    assert carrier.inbox() == []
    (response,) = await peer.sent(submit_sm("15550000001"))
    assert status_of(response) == CommandStatus.ESME_RTHROTTLED
    assert len(await peer.receipts(1)) == 1  # of the text before: that is still due


# Texting in


def text_in(carrier: Carrier, body: str) -> "asyncio.Task[Outcome]":
    text = InText(from_address=f"+{NUMBER}", to_address="+15550001000", body=body)
    return asyncio.create_task(carrier.smsc.text_in(text))


async def test_without_a_bind_that_receives_nobody_is_texted(carrier: Carrier) -> None:
    assert await text_in(carrier, "hello") == NoBind()
    await carrier.bound(BindTransmitter(system_id="gateway"))
    assert await text_in(carrier, "hello") == NoBind()


@pytest.mark.parametrize(("body", "parts"), [("hi", 1), ("x" * 400, 3), ("\U0001f600" * 50, 2)])
async def test_a_text_goes_in_as_many_parts_as_it_needs(
    carrier: Carrier, body: str, parts: int
) -> None:
    peer = await carrier.bound()
    assert await text_in(carrier, body) == Taken(parts=parts)
    assert len(peer.delivered) == parts
    for pdu in peer.delivered:
        assert (pdu.source_addr, pdu.destination_addr) == (NUMBER, "15550001000")
        assert bool(pdu.esm_class & EsmClass.UDHI) == (parts > 1)
    header = 6 if parts > 1 else 0
    content = b"".join(pdu.short_message[header:] for pdu in peer.delivered)
    assert decode(content, peer.delivered[0].data_coding) == body


async def test_two_long_texts_have_different_references(carrier: Carrier) -> None:
    peer = await carrier.bound()
    await text_in(carrier, "x" * 200)
    await text_in(carrier, "x" * 200)
    references = [pdu.short_message[3] for pdu in peer.delivered]
    assert references[0] == references[1] != references[2] == references[3]


async def test_a_text_waits_for_the_answer(carrier: Carrier) -> None:
    peer = await carrier.bound(answers=never)
    task = text_in(carrier, "hello")
    await peer.until(lambda: len(peer.delivered) == 1)
    assert not task.done()
    await peer.end()
    assert await asyncio.wait_for(task, GENEROUS) == NoBind()


async def test_a_refused_text_has_the_status_of_the_first_refusal(carrier: Carrier) -> None:
    statuses = iter([0, CommandStatus.ESME_RMSGQFUL, CommandStatus.ESME_RSYSERR])
    peer = await carrier.bound(answers=lambda _: next(statuses))
    assert await text_in(carrier, "x" * 400) == Refused(command_status=CommandStatus.ESME_RMSGQFUL)
    assert len(peer.delivered) == 3


async def test_a_text_that_nobody_answers_is_told(start: Start) -> None:
    carrier = await start(deliver_timeout=0.1)
    await carrier.bound(answers=never)
    assert await text_in(carrier, "hello") == Unanswered(seconds=0.1)


async def test_a_text_in_flight_moves_to_a_bind_that_stays(carrier: Carrier) -> None:
    leaving = await carrier.bound(answers=never)
    task = text_in(carrier, "hello")
    await leaving.until(lambda: len(leaving.delivered) == 1)
    await carrier.bound(answers=accept)
    await leaving.end()
    assert await asyncio.wait_for(task, GENEROUS) == Taken(parts=1)


# Load


async def test_thousands_of_texts_go_through_in_full_windows(start: Start) -> None:
    carrier = await start(inbox_limit=5_000)
    binds = [await carrier.bound() for _ in range(2)]
    for _ in range(10):
        await asyncio.gather(
            *(
                bind.sent(*(submit_sm(NUMBER, b"%d %d" % (which, n)) for n in range(300)))
                for which, bind in enumerate(binds)
            )
        )
    responses = [response for bind in binds for response in bind.responses.values()]
    ids = {id_of(response) for response in responses}
    assert (len(ids), len(carrier.inbox())) == (6_000, 5_000)

    await binds[0].until(lambda: sum(len(bind.delivered) for bind in binds) >= 6_000)
    assert {receipt.message_id for bind in binds for receipt in bind.receipted} == ids

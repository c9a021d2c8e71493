"""The other end of a simulated carrier for tests: our own session as ESME, held in the hand."""

import asyncio
from collections.abc import Callable
from typing import Self

from protocols.smpp import endpoint
from protocols.smpp.events import (
    BindRefused,
    Bound,
    Closed,
    Event,
    RequestReceived,
    ResponseReceived,
)
from protocols.smpp.pdu import (
    Bind,
    BindTransceiver,
    DeliverSm,
    DeliverSmResp,
    EsmClass,
    RegisteredDelivery,
    SubmitSm,
    Ton,
)
from protocols.smpp.receipt import Receipt, parse
from protocols.smpp.session import Role, Session, SessionConfig
from protocols.smpp.text import segments

GENEROUS = 60.0  # seconds; tests end as soon as what they wait for has happened


def submit_sm(to: str, short_message: bytes = b"hello", **fields: object) -> SubmitSm:
    values = {
        "source_addr_ton": Ton.INTERNATIONAL,
        "source_addr": "15550001000",
        "dest_addr_ton": Ton.INTERNATIONAL,
        "destination_addr": to,
        "registered_delivery": RegisteredDelivery.ALWAYS,
        "short_message": short_message,
    }
    return SubmitSm(**{**values, **fields})


def long_submits(to: str, body: str, reference: int = 7) -> list[SubmitSm]:
    return [
        submit_sm(
            to,
            segment.short_message,
            esm_class=segment.esm_class,
            data_coding=segment.data_coding,
            tlvs=segment.tlvs,
        )
        for segment in segments(body, reference=reference)
    ]


def never(_pdu: DeliverSm) -> int | None:
    return None


def accept(_pdu: DeliverSm) -> int | None:
    return 0


class Peer:
    """One bind; `answers` gives the status for each deliver_sm, None for no answer.

    Peers that share `news` can wait for what happens to any of them.
    """

    def __init__(self, answers: Callable[[DeliverSm], int | None], news: asyncio.Event) -> None:
        self.session = Session(Role.ESME, SessionConfig(window=1000, response_timeout=30), _now())
        self.answers = answers
        self.log: list[Event] = []
        self.delivered: list[DeliverSm] = []
        self.responses: dict[int, ResponseReceived] = {}
        self._news = news

    @classmethod
    async def bound(
        cls,
        port: int,
        bind: Bind | None = None,
        answers: Callable[[DeliverSm], int | None] = accept,
        news: asyncio.Event | None = None,
    ) -> Self:
        """Connect and bind; the answer to the bind is in the log."""
        peer = cls(answers, news or asyncio.Event())
        peer.connection = await endpoint.connect("127.0.0.1", port, peer.session, clock=_now)
        peer.session.bind(bind or BindTransceiver(system_id="gateway"), _now())
        peer.connection.flush()
        peer.reading = asyncio.create_task(peer._read())
        await peer.until(lambda: peer.saw(Bound) or peer.saw(BindRefused) or peer.is_closed)
        return peer

    def submit(self, *pdus: SubmitSm) -> list[int]:
        """Send them in one write; their sequence numbers."""
        numbers = [self.session.request(pdu, _now()) for pdu in pdus]
        self.connection.flush()
        return numbers

    async def responses_to(self, numbers: list[int]) -> list[ResponseReceived]:
        await self.until(lambda: all(number in self.responses for number in numbers))
        return [self.responses[number] for number in numbers]

    async def sent(self, *pdus: SubmitSm) -> list[ResponseReceived]:
        """Send them and wait for the responses."""
        return await self.responses_to(self.submit(*pdus))

    async def receipts(self, count: int) -> list[Receipt]:
        """The first `count` receipts."""
        await self.until(lambda: len(self.receipted) >= count)
        return self.receipted[:count]

    @property
    def receipted(self) -> list[Receipt]:
        pdus = (p for p in self.delivered if p.esm_class & EsmClass.DELIVERY_RECEIPT)
        read = (parse(p.short_message, p.data_coding, p.tlvs, p.esm_class) for p in pdus)
        return [receipt for receipt in read if receipt is not None]

    @property
    def is_closed(self) -> bool:
        return self.saw(Closed)

    def saw(self, kind: type[Event]) -> bool:
        return any(isinstance(event, kind) for event in self.log)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(GENEROUS):
            while not happened():
                self._news.clear()
                await self._news.wait()

    async def closed(self) -> None:
        """Wait until the carrier has ended the connection."""
        await self.until(lambda: self.is_closed)

    async def end(self) -> None:
        """Close without unbind."""
        self.connection.close()
        await self.reading

    async def _read(self) -> None:
        while events := await self.connection.events():
            for event in events:
                self._take(event)
            self.log += events
            self.connection.flush()
            self._news.set()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self.responses[event.sequence_number] = event
            case RequestReceived(pdu=DeliverSm() as pdu):
                self.delivered.append(pdu)
                status = self.answers(pdu)
                if status is not None:
                    number = event.sequence_number
                    self.session.answer(number, DeliverSmResp(), _now(), command_status=status)
            case _:
                pass


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Sockets of an endpoint, read together."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from protocols.sip.codec import read_datagram
from protocols.sip.sockets import datagrams
from protocols.sip.sockets.datagrams import ENOUGH, ROUNDS, Datagrams
from protocols.sip.wire import Event

PATIENCE = 60.0
OPTIONS = (
    b"OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n"
    b"From: <sip:peer@127.0.0.1>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n"
)


class Peer:
    """Sends, and sends more whenever it is heard; `readings` are the wake-up and size of each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams = Datagrams(read_datagram, self._loop.time, self._heard)
        # One for each datagram: whether it has come can be waited for.
        self._ears = [self._datagrams.add(ident, ("127.0.0.1", 0)) for ident in range(ENOUGH)]
        self._counts: Iterator[int] = iter(())
        self._turn = 0
        self._news = asyncio.Event()
        self.readings: list[tuple[int, int]] = []

    async def sends(self, *counts: int) -> None:
        """Send the first count, and the next one whenever some were heard, until all were."""
        self._counts = iter(counts)
        self._send()
        async with asyncio.timeout(PATIENCE):
            while sum(size for _, size in self.readings) < sum(counts):
                self._news.clear()
                await self._news.wait()

    def _send(self) -> None:
        for ear in self._ears[: next(self._counts, 0)]:
            self._way.sendto(OPTIONS, ear.local)
            assert select.select([ear], [], [], PATIENCE)[0]

    def _heard(self, batch: list[Event]) -> None:
        self.readings.append((self._turn, len(batch)))
        self._news.set()
        self._loop.call_soon(self._next_turn)
        self._send()

    def _next_turn(self) -> None:
        self._turn += 1

    def close(self) -> None:
        self._datagrams.close()
        self._way.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    yield made
    made.close()


async def test_what_is_answered_meanwhile_is_read_in_the_same_turn(peer: Peer) -> None:
    await peer.sends(ENOUGH, ENOUGH, 1)
    assert peer.readings == [(0, ENOUGH), (0, ENOUGH), (0, 1)]


async def test_a_few_are_followed_by_another_turn(peer: Peer) -> None:
    await peer.sends(ENOUGH - 1, 1)
    (first, _), (second, _) = peer.readings
    assert first < second


async def test_others_have_their_turn_however_much_comes(peer: Peer) -> None:
    await peer.sends(*(ROUNDS + 1) * [ENOUGH])
    turns = [turn for turn, _ in peer.readings]
    assert turns[:ROUNDS] == ROUNDS * [0] and turns[ROUNDS] > 0


async def test_a_rest_is_counted_from_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    seen: asyncio.Queue[tuple[int, float, float]] = asyncio.Queue()

    class Cadence:
        def __init__(self, now: float) -> None: ...

        def rest(self, came: int, began: float, now: float) -> float:
            seen.put_nowait((came, began, now))
            return 0.0

    def work(batch: list[Event]) -> None:
        nonlocal now
        now += 5.0

    monkeypatch.setattr(datagrams, "Cadence", Cadence)
    read = Datagrams(read_datagram, lambda: now, work)
    ear = read.add(0, ("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.sendto(OPTIONS, ear.local)
        async with asyncio.timeout(PATIENCE):
            assert await seen.get() == (1, 100.0, 105.0)
    read.close()

"""The client of rtpengine over real sockets: answers, repeats, patience, and who is not there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
import uvloop

from gateway.media.ng import Ng, NgAway, NgRefused
from protocols.ng import message
from protocols.ng.errors import LocalProtocolError
from protocols.ng.message import Message
from tests.ports import free_port

Answers = Callable[[Message, int], list[bytes]]  # of a command and how often it has come


class Rtpengine(asyncio.DatagramProtocol):
    """Answers as a test says, and keeps what came."""

    def __init__(self, answers: Answers) -> None:
        self.came: list[Message] = []
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = message.read(data)
        self.came.append(asked)
        for each in self._answers(asked, self.came.count(asked)):
            self._transport.sendto(each, addr)


def said(asked: Message, **fields: str) -> bytes:
    return message.write(Message(cookie=asked.cookie, fields={"result": "ok", **fields}))


def echo(asked: Message, times: int) -> list[bytes]:
    return [said(asked, call=asked.fields["call-id"])]


@asynccontextmanager
async def talking(
    answers: Answers, *, host: str = "127.0.0.1", patience: float = 30.0
) -> AsyncIterator[tuple[Ng, Rtpengine]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: Rtpengine(answers), local_addr=(host, 0)
    )
    client = Ng(transport.get_extra_info("sockname")[:2], patience=patience)
    try:
        await client.start()
        yield client, server
    finally:
        await client.close()
        transport.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_many_ask_at_once_and_each_has_the_answer_to_its_own(host: str) -> None:
    async with talking(echo, host=host) as (client, server):
        names = [f"call{number}" for number in range(200)]
        answers = await asyncio.gather(*(client.ask("query", call_id=each) for each in names))
    assert [each["call"] for each in answers] == names
    assert server.came[0].fields == {"command": "query", "call-id": "call0"}
    assert len({each.cookie for each in server.came}) == len(names)


async def test_a_command_goes_out_again_as_it_was_until_it_is_answered() -> None:
    def late(asked: Message, times: int) -> list[bytes]:
        return echo(asked, times) if times == 3 else []

    async with talking(late) as (client, server):
        assert (await client.ask("query", call_id="a"))["call"] == "a"
    assert len(server.came) == 3
    assert server.came == [server.came[0]] * 3


async def test_what_nobody_waits_for_or_nobody_can_read_is_dropped() -> None:
    def noisy(asked: Message, times: int) -> list[bytes]:
        stranger = Message(cookie="another", fields=asked.fields)
        right = said(asked, call="right")
        return [b"", b"\xff", said(stranger), right[:-1], right, said(asked, call="late")]

    async with talking(noisy) as (client, _):
        for _ in range(2):
            assert (await client.ask("query", call_id="a"))["call"] == "right"


async def test_a_refusal_has_the_reason() -> None:
    def refuse(asked: Message, times: int) -> list[bytes]:
        return [said(asked, **{"result": "error", "error-reason": "Unknown call-id"})]

    async with talking(refuse) as (client, _):
        with pytest.raises(NgRefused, match="Unknown call-id"):
            await client.ask("query", call_id="a")


async def test_who_says_nothing_is_away_when_patience_ends() -> None:
    async with talking(lambda asked, times: [], patience=2.0) as (client, server):
        with pytest.raises(NgAway, match=r"127\.0\.0\.1:\d+ did not answer within 2 s; start it"):
            await client.ask("ping")
    assert len(server.came) > 1


async def test_where_nobody_listens_all_are_told_at_once_and_the_next_is_asked_anew() -> None:
    port = free_port()
    client = Ng(("127.0.0.1", port), patience=600)
    asked = [client.ask("ping", number=each) for each in range(5)]
    for each in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(each, NgAway)
        assert "nobody listens" in str(each)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Rtpengine(echo), local_addr=("127.0.0.1", port)
    )
    assert (await client.ask("query", call_id="back"))["call"] == "back"
    await client.close()
    transport.close()


def test_uvloop_says_as_soon_that_nobody_listens() -> None:
    """The gateway runs on it, and its sockets tell of errors in a way of their own."""

    async def asks() -> None:
        client = Ng(("::1", free_port()), patience=600)
        with pytest.raises(NgAway, match=r"\[::1\]:\d+ is not there: nobody listens"):
            await client.ask("ping")
        await client.close()

    uvloop.run(asks())


async def test_a_name_that_nobody_has_is_away_too() -> None:
    client = Ng(("rtpengine.invalid", 2223))
    with pytest.raises(NgAway, match=r"rtpengine\.invalid:2223 can't be reached"):
        await client.ask("ping")
    await client.close()


async def test_who_waits_when_it_is_closed_is_told() -> None:
    came = asyncio.Event()

    def never(asked: Message, times: int) -> list[bytes]:
        came.set()
        return []

    async with talking(never, patience=600) as (client, _):
        waiting = asyncio.ensure_future(client.ask("ping"))
        await came.wait()
        await client.close()
        with pytest.raises(NgAway, match="closed"):
            await waiting
        with pytest.raises(NgAway, match="not asked any more"):
            await client.ask("ping")


async def test_what_fits_no_datagram_is_not_sent() -> None:
    async with talking(echo) as (client, server):
        with pytest.raises(LocalProtocolError, match=r"fits no datagram, which has 65507"):
            await client.ask("offer", call_id="a", sdp="x" * 65_500)
        await client.ask("offer", call_id="a", sdp="x" * 65_300)
    assert [len(each.fields["sdp"]) for each in server.came] == [65_300]

"""Floods, storms and bombs against a gateway, while two phones of it talk.

The gateway is a process of its own, so that its memory can be measured: after some of the attack,
and after more of it, which may not add to what it keeps. Every message gets the status that is
right for it, and the phones hear each other all along.
"""

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from gateway.sip.model import REALM
from protocols.sip import agent_events as events
from protocols.sip.ledger import Limits
from protocols.sip.transport import Hop, Transport
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.wire import Datagrams, Heard, Stream, anywhere
from tests.integration.voice.world import world
from tests.running import RunningGateway

pytestmark = pytest.mark.hostile

DOMAIN = "office.example"
NUMBER = "+15550001000"
TRUNK = "127.15.0.9"
CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "secret-of-alice" },
  { username = "bob", password = "secret-of-bob" },
]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.15.0.9:9"
inbound = "address"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/reject"
"""
TO_BOB = (
    '<Response><Dial answerOnBridge="true" timeout="20">'
    "<Sip>sip:bob@office.example</Sip></Dial></Response>"
)
REJECT = "<Response><Reject/></Response>"
GROWTH = 8 * 1024 * 1024  # octets: what an allocator may differ by
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
AUDIO = b"m=audio 40000 RTP/AVP 0\r\n"


@dataclass
class Scene:
    """A gateway in its process, with two phones that talk."""

    gateway: RunningGateway
    alice: Phone
    bob: Phone

    def hop(self, transport: Transport = Transport.UDP) -> Hop:
        port = self.gateway.ports[f"sip_{transport.lower()}"]
        return Hop(transport=transport, host="127.0.0.1", port=port)

    @property
    def memory(self) -> int:
        """Octets that the gateway has in memory."""
        assert self.gateway.process is not None
        status = Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmRSS")]
        return int(line.split()[1]) * 1024

    async def talk(self) -> None:
        """Hear what comes from now on, on both sides."""
        for phone in (self.alice, self.bob):
            phone.sound.heard.clear()
        await asyncio.gather(self.alice.sound.hears(880, 25), self.bob.sound.hears(440, 25))

    async def ends(self) -> None:
        """The call ends at once when one of them wants it to, and a phone can call again."""
        began = time.monotonic()
        self.alice.hang_up()
        await self.bob.until(events.HungUp)
        await self.alice.until(events.Ended)
        assert time.monotonic() - began < 10.0
        assert (await self.alice.register(self.hop())).response.status == 200


@pytest.fixture
async def scene(tmp_path: Path, open_phone: OpenPhone) -> AsyncIterator[Scene]:
    async with app() as url:
        gateway = RunningGateway(
            tmp_path,
            CONFIG.replace("{app}", url),
            {
                "TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]',
                "TRUNKLINE_SIP__TCP": '["127.0.0.1:0"]',
                "TRUNKLINE_SMPP__LISTEN": "",
                "TRUNKLINE_MEDIA__WORKERS": "1",
            },
        )
        await asyncio.to_thread(gateway.start)
        try:
            alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
            bob = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob")
            here = Scene(gateway, alice, bob)
            for phone in (alice, bob):
                assert (await phone.register(here.hop())).response.status == 200
            alice.call("bob", here.hop())
            await alice.until(events.Answered)
            await here.talk()
            yield here
        finally:
            await asyncio.to_thread(gateway.kill)


@asynccontextmanager
async def app() -> AsyncIterator[str]:
    """An app that joins phones and rejects carriers' calls; its URL."""
    pages = {"/voice": TO_BOB, "/reject": REJECT}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=pages.get(request.path, "<Response/>"), content_type="text/xml")

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(made)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def message(
    method: str,
    *lines: str,
    uri: str = "",
    host: str = DOMAIN,
    body: bytes = b"",
    length: int | None = None,
) -> bytes:
    """A request that nobody sent before, from and to `host`."""
    name = secrets.token_hex(8)
    contact = () if method == "OPTIONS" else ("Contact: <sip:x@127.0.0.1>",)
    kind = ("Content-Type: application/sdp",) if body else ()
    return (
        "\r\n".join(
            (
                f"{method} {uri or f'sip:bob@{DOMAIN}'} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{name}",
                "Max-Forwards: 70",
                f"From: <sip:alice@{host}>;tag={name}",
                f"To: <sip:alice@{host}>",
                f"Call-ID: {name}",
                f"CSeq: 1 {method}",
                *contact,
                *kind,
                *lines,
                f"Content-Length: {len(body) if length is None else length}",
            )
        ).encode()
        + b"\r\n\r\n"
        + body
    )


async def storm(
    here: Scene, make: Callable[[], bytes], count: int, *, host: str = "", batch: int = 40
) -> list[Heard]:
    """Send `count` messages from one address, as fast as they are answered."""
    peer = await Datagrams(here.hop()).open(host or anywhere())
    try:
        for at in range(0, count, batch):
            for _ in range(min(batch, count - at)):
                peer.send(make())
            await peer.probe()
        return list(peer.heard)
    finally:
        peer.close()


def statuses(heard: list[Heard]) -> Counter[int]:
    return Counter(each.status for each in heard)


def wrong(method: str, nonces: Iterator[str]) -> bytes:
    """Somebody who guesses alice's password."""
    uri = f"sip:bob@{DOMAIN}" if method == "INVITE" else f"sip:{DOMAIN}"
    proof = (
        f'Authorization: Digest username="alice", realm="{REALM}", nonce="{next(nonces)}",'
        f' uri="{uri}", response="{secrets.token_hex(16)}", algorithm=MD5, qop=auth, nc=00000001,'
        f' cnonce="{secrets.token_hex(4)}"'
    )
    return message(method, proof, uri=uri)


@pytest.mark.parametrize("body", [b"", SDP + AUDIO], ids=["empty", "with an offer"])
async def test_a_flood_of_calls_from_one_address(scene: Scene, body: bytes) -> None:
    await storm(scene, lambda: message("INVITE", body=body), 2000)
    before, began, host = scene.memory, time.monotonic(), anywhere()
    heard, _ = await asyncio.gather(
        storm(scene, lambda: message("INVITE", body=body), 10_000, host=host), scene.talk()
    )
    seen = statuses(heard)
    assert set(seen) == {401, 503} and seen.total() == 10_000
    assert seen[401] <= 500 + 50 * (time.monotonic() - began) + 1  # `FloodLimits`
    refused = [each for each in heard if each.status == 503]
    assert not any(each.header("Retry-After") for each in refused)  # the node is well
    assert "too many requests" in refused[0].header("Reason")
    assert statuses(await storm(scene, lambda: message("INVITE"), 20)) == {401: 20}
    assert scene.memory - before < GROWTH
    await scene.ends()


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
async def test_a_storm_of_bad_passwords(scene: Scene, method: str) -> None:
    (asked,) = await storm(scene, lambda: message("INVITE"), 1)
    nonce = asked.header("WWW-Authenticate").partition('nonce="')[2].partition('"')[0]
    known = iter(lambda: nonce, "")
    made_up = iter(lambda: secrets.token_hex(16), "")
    await storm(scene, lambda: wrong(method, known), 2000)
    before, began, host = scene.memory, time.monotonic(), anywhere()
    (guessed, strange), _ = await asyncio.gather(
        asyncio.gather(
            storm(scene, lambda: wrong(method, known), 5000, host=host),
            storm(scene, lambda: wrong(method, made_up), 5000),
        ),
        scene.talk(),
    )
    for heard in (guessed, strange):
        assert set(statuses(heard)) <= {401, 403, 503} and len(heard) == 5000
        looked_at = 5000 - statuses(heard)[503]
        assert looked_at <= 500 + 50 * (time.monotonic() - began) + 1  # `FloodLimits`
        assert not any(each.header("Retry-After") for each in heard)
    assert scene.memory - before < GROWTH
    await scene.ends()


OPTIONS_URI = f"sip:{DOMAIN}"
GIANTS: dict[str, tuple[Callable[[], bytes], int]] = {
    "a header of 60 KiB": (lambda: message("INVITE", "Note: " + "x" * 60_000), 513),
    "many headers": (lambda: message("INVITE", *["Note: y"] * 400), 513),
    "folds": (lambda: message("INVITE", "Note: y" + "\r\n z" * 400), 401),
    "a long URI": (lambda: message("INVITE", uri=f"sip:{'x' * 5000}@{DOMAIN}"), 414),
    "many hops": (
        lambda: message("OPTIONS", *["Via: SIP/2.0/UDP h;branch=z9hG4bKx"] * 200, uri=OPTIONS_URI),
        400,
    ),
    "many contacts": (
        lambda: message("REGISTER", "Contact: " + ",".join(["<sip:x@h>"] * 1000), uri=OPTIONS_URI),
        400,
    ),
    "a length of more": (lambda: message("INVITE", body=b"x", length=2), 400),
    "a length without end": (lambda: message("INVITE", length=10**30), 400),
    "a length below zero": (lambda: message("INVITE", length=-1), 400),
    "two lengths": (lambda: message("INVITE", "Content-Length: 5"), 400),
    "a length beyond us": (lambda: message("INVITE", length=1_000_000), 413),
    "garbage": (lambda: secrets.token_bytes(1000), 0),
}


@pytest.mark.parametrize("attack", GIANTS)
async def test_giant_headers_and_lies_in_datagrams(scene: Scene, attack: str) -> None:
    make, status = GIANTS[attack]
    few = 3 if attack == "a header of 60 KiB" else 20
    await storm(scene, make, 300, batch=few)
    before = scene.memory
    heard, _ = await asyncio.gather(
        storm(scene, make, 400, batch=few),  # within what one address may ask unproven
        scene.talk(),
    )
    assert statuses(heard) == ({status: 400} if status else {})
    assert scene.memory - before < GROWTH
    await scene.ends()


STREAMS: dict[str, tuple[Callable[[], bytes], list[int]]] = {
    "a header without end": (lambda: message("OPTIONS", "Note: " + "x" * 20_000), [513]),
    "many headers": (lambda: message("OPTIONS", *["Note: y"] * 400), [513]),
    "a body beyond us": (lambda: message("OPTIONS", length=1_000_000), [413]),
    "no length": (lambda: message("OPTIONS").replace(b"Content-Length: 0\r\n", b""), [400]),
    "a length of less": (
        lambda: message("OPTIONS", body=b"1234567890noise\r\n\r\n", length=10),
        [200],
    ),
    "garbage": (lambda: secrets.token_bytes(40_000), []),
}


@pytest.mark.parametrize("attack", STREAMS)
async def test_giant_headers_and_lies_in_streams(scene: Scene, attack: str) -> None:
    """Each ends its connection: nobody knows where the next message would begin."""
    make, right = STREAMS[attack]

    async def once(host: str) -> None:
        peer = await Stream(scene.hop(Transport.TCP)).open(host)
        heard = await peer.ask(make())
        await peer.close()
        assert [each.status for each in heard] == right
        assert peer.broken

    async def attacked() -> None:
        host = anywhere()
        for _ in range(25):
            await asyncio.gather(*(once(host) for _ in range(8)))

    await attacked()
    before = scene.memory
    await asyncio.gather(attacked(), scene.talk())
    assert scene.memory - before < GROWTH
    await scene.ends()


async def test_connections_that_never_say_anything_whole(scene: Scene) -> None:
    """One address has 512, and what they hold back is bounded: others connect and call."""
    host, octets = anywhere(), message("INVITE", length=60_000) + b"x" * 50_000
    held = [await Stream(scene.hop(Transport.TCP)).open(host) for _ in range(512)]
    for each in held:
        await each.send(octets)
    beyond = await Stream(scene.hop(Transport.TCP)).open(host)
    assert await beyond.ask(message("OPTIONS")) == [] and beyond.broken
    other = await Stream(scene.hop(Transport.TCP)).open(anywhere())
    assert [each.status for each in await other.ask(message("OPTIONS", uri=OPTIONS_URI))] == [200]
    assert scene.memory < 512 * 1024 * 1024
    await scene.talk()
    for each in (*held, beyond, other):
        await each.close()
    await scene.ends()


BOMBS: dict[str, tuple[bytes, int]] = {
    "too long": (SDP + AUDIO + b"a=x:" + b"y" * 33_000 + b"\r\n", 413),
    "media without end": (SDP + AUDIO * 400, 400),
    "attributes without end": (SDP + AUDIO + b"a=x\r\n" * 2000, 400),
    "formats without end": (SDP + b"m=audio 40000 RTP/AVP" + b" 0" * 4000 + b"\r\n", 400),
    "large numbers": (SDP + b"m=audio 99999999999999999999 RTP/AVP 0\r\n", 400),
    "no codec that we know": (SDP + b"m=audio 40000 RTP/AVP 77\r\na=rtpmap:77 X/8000\r\n", 488),
    "no SDP": (b"\xff\x00" * 500, 400),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_descriptions_that_are_bombs(scene: Scene, bomb: str) -> None:
    """From a carrier, whose calls are taken: strangers' descriptions are not even looked at."""
    body, status = BOMBS[bomb]

    def make() -> bytes:
        return message("INVITE", uri=f"sip:{NUMBER}@127.0.0.1", host=TRUNK, body=body)

    batch = 5 if len(body) > 5000 else 20
    assert set(statuses(await storm(scene, make, 200, batch=batch))) <= {401, 503}
    await storm(scene, make, 1000, host=TRUNK, batch=batch)  # what is kept of them is full then
    before = scene.memory
    heard, _ = await asyncio.gather(storm(scene, make, 1000, host=TRUNK, batch=batch), scene.talk())
    assert statuses(heard) == {status: 1000}
    assert scene.memory - before < GROWTH
    await scene.ends()


@pytest.mark.parametrize("method", ["INFO", "OPTIONS"])
async def test_a_storm_inside_a_call(scene: Scene, method: str) -> None:
    """Who was let in asks without end in the call; the call is heard, and ends when it should."""
    saved = scene.alice.station.agent.saved(scene.alice.session)
    assert saved is not None and saved.dialog is not None
    dialog = saved.dialog

    def inside() -> bytes:
        asked = message(method, uri=dialog.target).decode()
        for name, value in (
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.call_id),
            ("CSeq", f"{dialog.local_cseq} {method}"),
        ):
            asked = re.sub(rf"\r\n{name}: [^\r]*", f"\r\n{name}: {value}", asked, count=1)
        return asked.encode()

    await storm(scene, inside, 2000)
    before, began = scene.memory, time.monotonic()
    heard, _ = await asyncio.gather(storm(scene, inside, 10_000), scene.talk())
    seen = statuses(heard)
    assert set(seen) <= {200, 500} and seen.total() == 10_000
    assert seen[200] <= 100 + 10 * (time.monotonic() - began) + 1  # `pace.Rate`
    refused = next(each for each in heard if each.status == 500)
    assert 0 <= int(refused.header("Retry-After")) <= 10
    assert "too many requests in one call" in refused.header("Reason")
    assert scene.memory - before < GROWTH
    await scene.ends()


async def test_only_a_whole_node_that_is_full_says_when_to_come_again(tmp_path: Path) -> None:
    """503 with Retry-After is for all; what it would describe is not looked at any more."""
    async with world(tmp_path, CONFIG) as here:
        voice = here.gateway._voice
        assert voice is not None
        peer = await Datagrams(here.hop()).open(TRUNK)
        bomb = message(
            "INVITE", uri=f"sip:{NUMBER}@127.0.0.1", host=TRUNK, body=BOMBS["media without end"][0]
        )
        assert [each.status for each in await peer.ask(bomb)] == [400]
        voice.calls._most = 0
        (refused,) = await peer.ask(bomb.replace(b"z9hG4bK", b"z9hG4bK2"))
        assert (refused.status, refused.header("Retry-After")) == (503, "10")
        layer = voice.station.agent.layer
        layer.limits = Limits(servers=0, reserve=1)
        shed = await peer.first(bomb.replace(b"z9hG4bK", b"z9hG4bK3"))
        assert (shed.status, shed.header("Retry-After")) == (503, "10")
        assert layer.shed == 1 and layer.servers == 0
        bye = bomb.replace(b"z9hG4bK", b"z9hG4bK4").replace(b"INVITE", b"BYE")
        inside = await peer.first(re.sub(rb"\r\nTo: ([^\r]*)", rb"\r\nTo: \1;tag=x", bye))
        assert inside.status == 481  # there is room for who wants to end something
        peer.close()
        assert here.ledger() == {}

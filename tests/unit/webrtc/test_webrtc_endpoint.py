"""Two endpoints of ours on loopback: ICE, DTLS and its keys, and what breaks them."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aioice.ice
import pytest
from aioice import stun
from msgspec.structs import replace

from protocols.rtp.events import Address
from protocols.rtp.srtp import SrtpReceiver, SrtpSender, Suite
from protocols.sdp.ice import Fingerprint, IceSide, Setup
from protocols.sdp.media import Srtp
from protocols.webrtc import endpoint
from protocols.webrtc.endpoint import Endpoint
from tests.webrtc_peer import Stranger, on_loopback

HOST = "127.0.0.1"
PATIENCE = 60.0
PACKET = b"\x80\x00\x00\x01" + bytes(8) + b"sound"

__all__ = ["on_loopback"]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class Side:
    """An endpoint with its socket, and what it told; `is_cut` is a path that nothing passes."""

    def __init__(self, *, is_offerer: bool = False) -> None:
        self.keys: list[Srtp] = []
        self.at: list[Address] = []
        self.losses: list[tuple[str, str]] = []
        self.packets: list[bytes] = []
        self.asked = 0  # for consent, or whether there is a path
        self.is_cut = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.address: Address = self.socket.getsockname()
        asyncio.get_running_loop().add_reader(self.socket, self._read)
        self.endpoint = Endpoint(
            host=HOST, local=self.address, is_offerer=is_offerer, send=self._send, watcher=self
        )

    def _send(self, octets: bytes, address: Address) -> None:
        self.asked += octets[:2] == b"\x00\x01"
        if not self.is_cut:
            self.socket.sendto(octets, address)

    def _read(self) -> None:
        octets, source = self.socket.recvfrom(2048)
        if self.is_cut:
            return
        if octets[:1] == b"\x80":
            self.packets.append(octets)
        else:
            self.endpoint.take(octets, source)

    def found(self, address: Address) -> None:
        self.at.append(address)

    def keyed(self, keys: Srtp) -> None:
        self.keys.append(keys)

    def lost(self, cause: str, reason: str) -> None:
        self.losses.append((cause, reason))

    def close(self) -> None:
        self.endpoint.close()
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()


class Pair:
    """Who offers and who answers."""

    def __init__(self) -> None:
        self.one = Side(is_offerer=True)
        self.other = Side()

    def connect(self, answer: IceSide | None = None) -> None:
        self.other.endpoint.connect(self.one.endpoint.side)
        self.one.endpoint.connect(answer or self.other.endpoint.side)

    async def up(self) -> None:
        await until(lambda: self.one.keys and self.other.keys)

    def hears(self) -> bool:
        """Whether what each protects the other opens, from end to end."""
        for sender, receiver in ((self.one, self.other), (self.other, self.one)):
            suite = Suite(sender.keys[-1].suite)
            sealed = SrtpSender(suite, sender.keys[-1].send_key).protect(PACKET)
            opener = SrtpReceiver(suite, receiver.keys[-1].receive_key)
            if not isinstance(sealed, bytes) or opener.unprotect(sealed) != PACKET:
                return False
        return self.one.at[-1] == self.other.address and self.other.at[-1] == self.one.address

    def close(self) -> None:
        self.one.close()
        self.other.close()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    made.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
    assert [each for each in timers if not each.cancelled()] == []


async def test_both_are_found_and_have_the_same_keys(pair: Pair) -> None:
    assert pair.one.endpoint.side.setup is Setup.ACTPASS
    pair.connect()
    await pair.up()
    assert pair.hears()
    assert pair.one.losses == pair.other.losses == []


async def test_the_offerer_begins_dtls_when_the_answer_waits(pair: Pair) -> None:
    pair.other.endpoint.connect(replace(pair.one.endpoint.side, setup=Setup.ACTIVE))
    assert pair.other.endpoint.side.setup is Setup.PASSIVE
    pair.one.endpoint.connect(pair.other.endpoint.side)
    await pair.up()
    assert pair.hears()


async def test_an_offerer_without_candidates_is_found_by_its_checks(pair: Pair) -> None:
    pair.other.endpoint.connect(replace(pair.one.endpoint.side, candidates=()))
    pair.one.endpoint.connect(pair.other.endpoint.side)
    await pair.up()
    assert pair.hears()


async def test_candidates_may_come_later(pair: Pair) -> None:
    side = pair.one.endpoint.side
    pair.other.endpoint.connect(replace(side, candidates=()))
    pair.other.endpoint.connect(side)
    pair.one.endpoint.connect(replace(pair.other.endpoint.side, candidates=()))
    await pair.up()
    assert pair.hears()


async def test_another_certificate_than_the_described_one_is_refused(pair: Pair) -> None:
    wrong = (Fingerprint(algorithm="sha-256", value=":".join(["AB"] * 32)),)
    pair.connect(answer=replace(pair.other.endpoint.side, fingerprints=wrong))
    await until(lambda: pair.one.losses)
    assert pair.one.losses[0][0] == "refused"
    assert "certificate" in pair.one.losses[0][1]
    assert pair.one.keys == []


async def test_a_fingerprint_of_a_kind_that_nobody_computes_is_refused(pair: Pair) -> None:
    weak = (Fingerprint(algorithm="md5", value="00"),)
    pair.connect(answer=replace(pair.other.endpoint.side, fingerprints=weak))
    await until(lambda: pair.one.losses)
    assert pair.one.keys == []


async def test_what_strangers_send_changes_nothing(pair: Pair) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((HOST, 0))
        source = stranger.getsockname()

        def bother() -> None:
            for first in (b"", b"\x00", b"\x01\x01", b"\x16\xfe\xff", b"\x17", b"\x40", b"\xff"):
                for each in (pair.one, pair.other):
                    each.endpoint.take(first + os.urandom(60), source)
                    each.endpoint.take(first + b"\x21\x12\xa4\x42" * 20, source)

        bother()
        pair.connect()
        bother()
        await pair.up()
        bother()
    assert pair.hears()
    assert pair.one.losses == pair.other.losses == []


def _short_attributes() -> list[bytes]:
    head = b"\x21\x12\xa4\x42" + bytes(12)
    return [
        b"\x00\x01" + len(body).to_bytes(2, "big") + head + body
        for body in (
            b"\x00\x24\x00\x01\x00\x00\x00\x00",  # PRIORITY of one octet
            b"\x80\x29\x00\x02\x00\x00\x00\x00",  # ICE-CONTROLLED of two
            b"\x00\x06\x00\x02\xff\xfe\x00\x00",  # a name that is no UTF-8
            b"\x00\x20\x00\x01\x00\x00\x00\x00",
            b"\x00\x09\x00\x00",
        )
    ]


@pytest.mark.parametrize("octets", _short_attributes())
async def test_stun_that_is_cut_short_is_dropped(pair: Pair, octets: bytes) -> None:
    pair.one.endpoint.take(octets, (HOST, 9))
    pair.connect()
    await pair.up()
    assert pair.hears()


@pytest.mark.parametrize("name", ["", "abcd:efgh", "abcd"])
async def test_who_does_not_know_our_name_gets_no_answer(pair: Pair, name: str) -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    if name:
        message.attributes["USERNAME"] = name
    message.add_message_integrity(b"guessed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((HOST, 0))
        stranger.setblocking(False)
        pair.one.endpoint.take(bytes(message), stranger.getsockname())
        pair.connect()
        await pair.up()
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)
    assert pair.hears()


async def test_a_path_that_was_cut_is_found_again_under_the_same_keys(pair: Pair) -> None:
    pair.connect()
    await pair.up()
    pair.one.is_cut = pair.other.is_cut = True
    before = pair.one.endpoint.side
    pair.one.endpoint.restart()
    pair.one.is_cut = pair.other.is_cut = False
    offer = pair.one.endpoint.side
    assert offer.ufrag != before.ufrag
    assert offer.password != before.password
    assert offer.fingerprints == before.fingerprints
    pair.one.at.clear()
    pair.other.at.clear()
    old = pair.other.endpoint.side
    pair.other.endpoint.restart()
    pair.other.endpoint.connect(before)  # a graph that has not the new offer yet
    pair.other.endpoint.connect(offer)
    pair.one.endpoint.connect(old)
    pair.one.endpoint.connect(pair.other.endpoint.side)
    await until(lambda: pair.one.at and pair.other.at)
    assert pair.hears()
    assert (len(pair.one.keys), len(pair.other.keys)) == (1, 1)


async def asks_on(side: Side) -> None:
    """Return when it has asked for consent thrice more."""
    before = side.asked
    await until(lambda: side.asked >= before + 3)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent is asked for all the time, and has to be given at once."""
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.02)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)


@pytest.mark.usefixtures("often")
async def test_a_path_holds_until_the_peer_has_answered_a_restart(pair: Pair) -> None:
    """RFC 8445 §9: both ask for consent and give it, whoever has begun anew."""
    pair.connect()
    await pair.up()
    pair.one.endpoint.restart()
    await asks_on(pair.one)
    await asks_on(pair.other)
    assert pair.one.losses == pair.other.losses == []
    pair.other.is_cut = True
    await until(lambda: pair.one.losses)
    assert pair.one.losses[0][0] == "unreachable"


@pytest.mark.usefixtures("often")
async def test_a_restart_that_is_refused_leaves_the_path_and_the_names(pair: Pair) -> None:
    pair.connect()
    await pair.up()
    before = pair.one.endpoint.side
    pair.one.endpoint.restart()
    refused = pair.one.endpoint.side
    pair.one.endpoint.stay()
    assert pair.one.endpoint.side == before != refused
    pair.one.endpoint.connect(replace(pair.other.endpoint.side, candidates=()))  # a refresh
    await asks_on(pair.one)
    await asks_on(pair.other)
    assert pair.one.losses == pair.other.losses == []
    pair.one.at.clear()
    pair.one.endpoint.restart()
    pair.other.endpoint.restart()
    pair.connect()
    await until(lambda: pair.one.at)
    assert pair.hears()
    assert pair.one.endpoint.side.ufrag not in (before.ufrag, refused.ufrag)


@pytest.mark.usefixtures("often")
async def test_a_path_holds_while_another_is_looked_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has answered, and where it says to be nobody is."""
    pair.connect()
    await pair.up()
    nowhere = replace(pair.other.endpoint.side, candidates=())
    for ufrag in ("else", "void"):
        pair.one.endpoint.restart()
        pair.one.endpoint.connect(replace(nowhere, ufrag=ufrag))
        await asks_on(pair.one)
        await asks_on(pair.other)
        assert pair.one.losses == pair.other.losses == []
    monkeypatch.setattr(endpoint, "SET_UP", 0.1)
    pair.one.endpoint.restart()
    pair.one.endpoint.connect(replace(nowhere, ufrag="lost"))
    await until(lambda: pair.one.losses and pair.other.losses)
    assert "no path" in pair.one.losses[-1][1]


async def test_a_peer_that_began_anew_has_new_keys(pair: Pair) -> None:
    pair.connect()
    await pair.up()
    pair.other.close()
    pair.other = Side()
    pair.one.endpoint.restart()
    pair.connect()
    await until(lambda: len(pair.one.keys) == 2 and pair.other.keys)
    assert pair.hears()


async def test_the_end_of_a_peer_is_told_at_once(pair: Pair) -> None:
    pair.connect()
    await pair.up()
    pair.other.endpoint.close()
    await until(lambda: pair.one.losses)
    assert pair.one.losses == [("closed", "the peer ended DTLS")]


async def test_a_peer_that_does_not_consent_any_more_is_lost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.01)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)
    pair.connect()
    await pair.up()
    pair.other.is_cut = True
    await until(lambda: pair.one.losses)
    assert pair.one.losses[0][0] == "unreachable"


@pytest.mark.parametrize(("knows", "cause"), [(False, "unreachable"), (True, "refused")])
async def test_a_peer_that_never_comes_is_lost_in_time(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, knows: bool, cause: str
) -> None:
    """Nobody is there, or somebody who speaks ICE and no DTLS."""
    monkeypatch.setattr(endpoint, "SET_UP", 0.3)
    pair.one.endpoint.connect(pair.other.endpoint.side)
    pair.other.is_cut = not knows
    if knows:
        pair.other.endpoint.connect(pair.one.endpoint.side)
        monkeypatch.setattr(endpoint, "_DTLS", range(0))
    await until(lambda: pair.one.losses)
    assert pair.one.losses[0][0] == cause
    assert pair.one.keys == []


async def test_another_device_may_answer_the_same_offer(pair: Pair) -> None:
    offer = pair.one.endpoint.side
    pair.connect()
    await pair.up()
    pair.other.close()
    pair.other = Side()
    pair.connect()
    await until(lambda: len(pair.one.keys) == 2 and pair.other.keys)
    assert pair.hears()
    assert pair.one.endpoint.side == offer


async def offers(stranger: Stranger, side: Side) -> None:
    await stranger.accept(await _answered(stranger, side))


async def _answered(stranger: Stranger, side: Side) -> IceSide:
    side.endpoint.connect(await stranger.offer())
    return side.endpoint.side


async def answers(stranger: Stranger, side: Side) -> None:
    side.endpoint.connect(await stranger.answer(side.endpoint.side))


@pytest.mark.usefixtures("on_loopback")
@pytest.mark.parametrize("way", [offers, answers])
async def test_a_stranger_opens_what_we_protect_and_we_what_it_protects(
    way: Callable[[Stranger, Side], Awaitable[None]],
) -> None:
    side, stranger = Side(is_offerer=way is answers), Stranger()
    try:
        await way(stranger, side)
        await until(lambda: side.keys)
        keys = side.keys[0]
        sealer = SrtpSender(Suite(keys.suite), keys.send_key)
        opener = SrtpReceiver(Suite(keys.suite), keys.receive_key)
        await until(lambda: len(side.packets) >= 3)
        opened = [opener.unprotect(each) for each in side.packets[:3]]
        assert all(isinstance(each, bytes) and each[1] & 0x7F == 0 for each in opened)
        for number in range(1, 9):
            head = b"\x80\x00" + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big")
            sealed = sealer.protect(head + b"\x00\x00\x00\x07" + b"\xd5" * 160)
            assert isinstance(sealed, bytes)
            side.socket.sendto(sealed, side.at[-1])
        await until(lambda: len(stranger.payloads) == 8)
        assert set(stranger.payloads) == {b"\xd5" * 160}
    finally:
        await stranger.close()
        side.close()
    assert side.losses in ([], [("closed", "the peer ended DTLS")])

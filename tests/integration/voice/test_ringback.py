"""What callers hear before there is an answer: the carrier's sound, a ringing tone, or neither."""

import asyncio
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocols.sdp import codec as sdp
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, Provisional, Reply
from protocols.sip.session_offers import Body
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import dial, refer, ring_early, user
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import PATIENCE, RATE, Phone, decoded
from tests.integration.voice.world import World, world

CONFIG = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
transport = "udp"
early_media = "{early}"
codecs = ["PCMU"]
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
NUMBER = "+15550001000"
ELSEWHERE = {"us": "+15550001234", "uk": "+447700900002", "de": "+4930123456", "fr": "+33123456789"}


def config(carrier: Phone, early: str = "pass") -> str:
    port = carrier.station.endpoint.addresses()[0][1][1]
    return CONFIG.replace("{port}", str(port)).replace("{early}", early)


async def phones(open_phone: OpenPhone) -> tuple[Phone, Phone]:
    """Who calls, and the carrier, who is at the same place."""
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    carrier = await open_phone("carrier", "carrier.example", tone=880)
    return caller, carrier


def loudest(heard: list[bytes], count: int) -> set[int]:
    """The `count` loudest frequencies of what was heard, to 10 Hz."""
    samples = decoded(b"".join(heard))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=RATE))
    found: set[int] = set()
    while len(found) < count:
        peak = int(spectrum.argmax())
        found.add(round(peak, -1) if peak % 5 else peak)
        spectrum[max(0, peak - 8) : peak + 9] = 0
    return found


async def hear(phone: Phone, count: int, what: Callable[[list[bytes]], bool] | None = None) -> None:
    """Wait until the last `count` frames that a phone heard are so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            heard = phone.sound.heard
            if len(heard) >= count and (what is None or what(heard[-count:])):
                return
            await asyncio.sleep(0.01)


def is_loud(frame: bytes) -> bool:
    return bool(np.abs(decoded(frame)).max() > 300)


def rings(phone: Phone) -> list[list[bytes]]:
    """The frames of each time that it rang and was still again."""
    runs = [(loud, list(run)) for loud, run in groupby(phone.sound.heard, is_loud)]
    return [run for loud, run in runs[:-1] if loud]


def pick_up(phone: Phone) -> None:
    """Answer the call that rings."""
    invited = next(each for each in phone.told if isinstance(each, events.Invited))
    phone._renew()
    assert invited.offer is not None
    phone.negotiation.receive_offer(sdp.read(invited.offer.octets))
    answered: Any = phone.negotiation.answer(phone.local)
    phone._begin(answered.plan.audio)
    body = Body(octets=sdp.write(answered.description))
    phone.station.agent.accept(invited.session, Accept(body=body), phone.station.now())
    phone.station.wake()


async def over(here: World, caller: Phone) -> None:
    caller.hang_up()
    await here.ended()
    assert here.ledger() == {}


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("country", "tone", "frequencies", "loud"),
    [
        ("us", "", {440, 480}, 2.0),
        ("uk", "", {400, 450}, 0.4),
        ("de", "", {425}, 1.0),
        ("fr", "", {440}, 1.5),
        ("us", "it", {425}, 1.0),
        ("uk", "at", {420}, 1.0),
        ("de", "automatic", {425}, 1.0),
    ],
)
async def test_who_was_answered_hears_it_ring(
    tmp_path: Path,
    open_phone: OpenPhone,
    country: str,
    tone: str,
    frequencies: set[int],
    loud: float,
) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = Phone.ringing
    given = {"ringTone": tone} if tone else {}
    async with world(tmp_path, config(carrier), dial(ELSEWHERE[country], **given)) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        frames = round(loud * 50)
        # A busy machine leaves out what it missed: one ring of several is whole, nearly.
        await hear(caller, 1, lambda last: any(len(each) >= frames - 12 for each in rings(caller)))
        longest = max(rings(caller), key=len)
        assert loudest(longest, len(frequencies)) == frequencies
        assert len(longest) <= frames + 1
        pick_up(carrier)
        await asyncio.gather(caller.sound.hears(880), carrier.sound.hears(440))
        await over(here, caller)


async def test_who_was_answered_hears_the_carrier_s_sound_instead_when_it_comes(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = Phone.ringing
    async with world(tmp_path, config(carrier), dial(ELSEWHERE["de"])) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await hear(caller, 10, lambda last: loudest(last, 1) == {425})
        invited = await carrier.until(events.Invited)
        ring_early(carrier, invited)
        carrier.station.wake()
        await caller.sound.hears(880)
        carrier.station.agent.provisional(
            invited.session, Provisional(status=180), carrier.station.now()
        )
        carrier.station.wake()
        await caller.sound.hears(880, frames=20)  # a 180 that follows takes it away from nobody
        await over(here, caller)


@pytest.mark.parametrize(("early", "tone"), [("ring", ""), ("pass", "de"), ("ring", "de")])
async def test_who_was_answered_hears_ringing_and_no_carrier(
    tmp_path: Path, open_phone: OpenPhone, early: str, tone: str
) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = ring_early
    given = {"ringTone": tone} if tone else {}
    async with world(tmp_path, config(carrier, early), dial(ELSEWHERE["de"], **given)) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await hear(caller, 20, lambda last: loudest(last, 1) == {425})
        assert not any(_is_carrier(caller.sound.heard[at : at + 10]) for at in range(10))
        await over(here, caller)


def _is_carrier(frames: list[bytes]) -> bool:
    return loudest(frames, 1) == {880} and is_loud(frames[0])


@pytest.mark.parametrize(("early", "status"), [("ring", 180), ("pass", 183)])
async def test_a_caller_that_waits(
    tmp_path: Path, open_phone: OpenPhone, early: str, status: int
) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = ring_early
    twiml = dial(ELSEWHERE["uk"], answerOnBridge="true")
    async with world(tmp_path, config(carrier, early), twiml) as here:
        caller.call(NUMBER, here.hop())
        rang = await caller.until(events.Progressed, where=lambda each: each.response.status > 100)
        assert rang.response.status == status
        assert (rang.body is not None) is (status == 183)
        if status == 183:
            await caller.sound.hears(880)
        else:
            await asyncio.sleep(0.3)  # what is not to come would have come
            assert caller.sound.heard == []
        await over(here, caller)


async def test_two_that_ring_are_a_ringing_tone(tmp_path: Path, open_phone: OpenPhone) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = ring_early
    twiml = dial(f"<Number>{ELSEWHERE['de']}</Number>", f"<Number>{ELSEWHERE['de']}9</Number>")
    async with world(tmp_path, config(carrier), twiml) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await hear(caller, 20, lambda last: loudest(last, 1) == {425})
        await over(here, caller)


async def test_a_dial_that_fails_stops_ringing(tmp_path: Path, open_phone: OpenPhone) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = Phone.ringing
    document = f"<Response><Dial>{ELSEWHERE['de']}</Dial><Pause length='60'/></Response>"
    async with world(tmp_path, config(carrier), document) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await hear(caller, 10, lambda last: loudest(last, 1) == {425})
        carrier.station.agent.refuse(carrier.session, Reply(status=486), carrier.station.now())
        carrier.station.wake()
        # It rests for four seconds between two rings.
        await hear(caller, 250, lambda last: not any(map(is_loud, last)))
        await over(here, caller)


async def test_who_was_answered_hears_ringing_while_a_whisper_runs(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller, carrier = await phones(open_phone)
    carrier.on_call = ring_early
    twiml = dial(f'<Number url="{{app}}/whisper">{ELSEWHERE["de"]}</Number>')
    async with world(tmp_path, config(carrier)) as here:
        here.app.twiml = twiml.replace("{app}", here.app.url)
        here.app.pages["/whisper"] = "<Response><Pause length='60'/></Response>"
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        await caller.sound.hears(880)  # before the answer
        pick_up(carrier)
        await carrier.until(events.Confirmed)
        await hear(caller, 20, lambda last: loudest(last, 1) == {425})
        await over(here, caller)


async def test_who_is_transferred_hears_it_ring_when_who_asked_is_gone(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    users = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "pa" },
  { username = "bob", password = "pb" },
]
"""
    alice = await open_phone("alice", "office.example", tone=440, password="pa")
    bob = await open_phone("bob", "office.example", tone=660, password="pb")
    _, carrier = await phones(open_phone)
    carrier.on_call = Phone.ringing
    async with world(tmp_path, users + config(carrier), dial(user("bob"))) as here:
        await alice.register(here.hop())
        await bob.register(here.hop())
        alice.call("bob", here.hop())
        await asyncio.gather(alice.sound.hears(660), bob.sound.hears(440))
        asked = refer(bob, SipUri(user=ELSEWHERE["de"], host="office.example"))
        await bob.until(
            events.TransferProgressed,
            where=lambda each: each.transfer == asked and each.status == 180,
        )
        await asyncio.sleep(0.3)  # what is not to come would have come
        await alice.sound.hears(660)  # who asked is still there
        bob.hang_up()
        await hear(alice, 20, lambda last: loudest(last, 1) == {425})
        pick_up(carrier)
        await asyncio.gather(alice.sound.hears(880), carrier.sound.hears(440))
        await over(here, alice)

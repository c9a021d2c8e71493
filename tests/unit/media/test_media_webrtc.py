"""Legs over ICE and DTLS: as any other leg once the browser is met, and silent before."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from media_world import (
    HOST,
    STILL,
    chosen,
    free_span,
    heard_as,
    leg,
    loudest,
    stream,
    telephone_events,
    until,
    wav,
)
from msgspec.structs import replace
from recording_world import packets, recorded, tracks
from web_world import WebWorld, ours, web_leg, web_stream

from gateway.media import graph, wire
from gateway.media.graph import Join, both_ways
from protocols.rtp import codecs, rtcp
from protocols.rtp.dtmf import DigitSender
from protocols.sdp.formats import OPUS, PCMU
from protocols.sdp.ice import Fingerprint, Setup
from protocols.sdp.media import Srtp
from protocols.webrtc.endpoint import SET_UP

SOUND = bytes(range(160))


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[WebWorld]:
    made = WebWorld(**getattr(request, "param", {}))
    yield made
    made.close()
    for each in made.browsers:
        each.endpoint.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def pcmu(**rest: Any) -> Any:
    return web_stream(chosen(PCMU), **rest)


async def test_a_browsers_packets_go_on_as_they_are_and_back(
    world: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decoded on the way, so nothing that decodes is asked for."""
    monkeypatch.setattr(codecs, "decoder", pytest.fail)
    monkeypatch.setattr(codecs, "encoder", pytest.fail)
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    places = world.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    for number in range(20):
        browser.speak(bytes((number,)) * 160)
        phone.say(places["b"], bytes((100 + number,)) * 160)
    await until(lambda: len(browser.heard) == len(phone.heard) == 20)
    assert [each.payload for each in phone.heard] == [bytes((each,)) * 160 for each in range(20)]
    assert [each.payload[0] for each in browser.heard] == list(range(100, 120))
    assert len({each.ssrc for each in browser.heard}) == 1
    readings = world.readings("a")
    assert (readings.received.packets, readings.sent.packets) == (20, 20)
    assert readings.received.lost == 0
    assert readings.dropped.keys() <= {"SRTP: no key yet"}


async def test_a_browser_that_waits_hears_silence_once_there_are_keys(world: WebWorld) -> None:
    browser = world.browser()
    a = web_leg("a", web_stream(chosen(OPUS)), remote=browser.endpoint.side)
    places = world.apply([a])
    await asyncio.sleep(0.2)
    assert not browser.raw and world.readings("a").sent.packets == 0
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    count = len(browser.heard)
    await asyncio.sleep(1.0)
    assert len(browser.heard) - count == pytest.approx(50, abs=2)
    assert {each.payload for each in browser.heard} <= STILL
    assert "not sent" not in world.readings("a").dropped


async def test_the_worker_offers_and_its_place_has_all_that_an_offer_needs(world: WebWorld) -> None:
    browser, phone = world.browser(is_offerer=False), world.peer()
    b = leg("b", stream(phone.address, chosen(PCMU)))
    places = world.apply([web_leg("a", is_offerer=True), b])
    side = ours(places["a"])
    assert side.setup is Setup.ACTPASS
    assert [each.algorithm for each in side.fingerprints] == ["sha-256"]
    (candidate,) = side.candidates
    assert candidate.split()[4:6] == [HOST, str(places["a"].address[1])]
    browser.endpoint.connect(side)
    a = web_leg("a", pcmu(), is_offerer=True, remote=browser.endpoint.side)
    world.apply([a, b], both_ways("a", "b"))
    await world.met(browser)
    browser.speak(SOUND)
    await until(lambda: phone.heard)
    assert phone.heard[0].payload == SOUND
    assert world.of(wire.Latched)[0].source == browser.address


async def test_peers_see_the_advertised_address(world: WebWorld) -> None:
    world.switch._tools = replace(world.switch._tools, advertised="203.0.113.5")
    place = world.apply([web_leg("a")])["a"]
    (candidate,) = ours(place).candidates
    assert candidate.split()[4:6] == ["203.0.113.5", str(place.address[1])]


async def test_nothing_passes_before_there_are_keys(world: WebWorld) -> None:
    """Neither in nor out, though all is agreed on."""
    browser, phone, stranger = world.browser(), world.peer(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    places = world.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    stranger.say(places["a"], SOUND)
    phone.say(places["b"], SOUND)
    await until(lambda: world.readings("b").received.packets)
    await until(lambda: world.readings("a").dropped)
    assert world.readings("a").dropped == {"SRTP: no key yet": 1}
    assert phone.heard == browser.raw == []
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    stranger.say(places["a"], SOUND)
    await until(lambda: len(world.readings("a").dropped) == 2)
    assert world.readings("a").dropped["SRTP: authentication"] == 1
    assert phone.heard == []


async def test_keys_pass_as_events_both_ways_and_are_told(world: WebWorld) -> None:
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(dtmf=chosen(telephone_events(126))), remote=browser.endpoint.side)
    b = leg("b", stream(phone.address, chosen(PCMU), dtmf=chosen(telephone_events(101))))
    places = world.apply([a, b], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    sender = DigitSender(clock_rate=8000, duration=0.1)
    sender.press("5", timestamp=browser.timestamp, now=0.0)
    for tick in range(12):
        while (made := sender.next_packet(tick * 0.02)) is not None:
            browser.timestamp = made.timestamp
            browser.speak(made.payload, payload_type=126, ticks=0, marker=made.marker)
    await until(lambda: world.of(wire.DigitPressed))
    assert world.of(wire.DigitPressed)[0].digit == "5"
    assert {each.payload_type for each in phone.heard} == {101}
    world.switch.press("call", "a", "7", world.now())
    await until(lambda: world.of(wire.Pressed))
    pressed = [each for each in browser.heard if each.payload_type == 126]
    assert {each.payload[0] for each in pressed} == {7}


async def test_an_opus_browser_and_a_pcmu_phone_hear_each_other(world: WebWorld) -> None:
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", web_stream(chosen(OPUS)), remote=browser.endpoint.side)
    b = leg("b", stream(phone.address, chosen(PCMU)))
    places = world.apply([a, b], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    for payload in packets(440.0, 1.2):
        phone.say(places["b"], payload)
        await asyncio.sleep(0.02)
    await until(lambda: len(browser.heard) >= 50)
    samples, rate = heard_as(browser.heard[10:], OPUS)
    assert loudest(samples, rate) == pytest.approx(440.0, abs=10)


async def test_what_plays_is_heard_and_what_is_said_is_recorded(
    world: WebWorld, tmp_path: Path
) -> None:
    browser = world.browser()
    path = str(tmp_path / "kept.wav")
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    place = world.apply([a])["a"]
    browser.endpoint.connect(ours(place))
    await world.met(browser)
    player = graph.Player(id="p", clips=(graph.File(path=wav(tmp_path, (1000.0, 1.0))),))
    recorder = graph.Recorder(id="r", of="a", path=path, track=graph.Track.INBOUND)
    world.apply([a, player, recorder], [Join(source="p", hearer="a")])
    for payload in packets(600.0, 1.0):
        browser.speak(payload)
        await asyncio.sleep(0.02)
    await until(lambda: world.of(wire.PlayerEnded))
    samples, rate = heard_as(browser.heard, PCMU)
    assert loudest(samples, rate) == pytest.approx(1000.0, abs=10)
    world.apply([a])
    await recorded(world)
    (kept,), rate = tracks(Path(path))
    assert loudest(kept, rate) == pytest.approx(600.0, abs=10)


async def test_two_browsers_and_a_phone_in_a_room(world: WebWorld) -> None:
    one, other = world.browser(), world.browser(ssrc=0x44)
    legs = [
        web_leg("a", pcmu(), remote=one.endpoint.side),
        web_leg("b", pcmu(), remote=other.endpoint.side),
        graph.Mixer(id="m"),
    ]
    joins = [join for name in ("a", "b") for join in both_ways(name, "m")]
    places = world.apply(legs, joins)
    one.endpoint.connect(ours(places["a"]))
    other.endpoint.connect(ours(places["b"]))
    await world.met(one, "a")
    await world.met(other, "b")
    for payload in packets(500.0, 1.2):
        one.speak(payload)
        await asyncio.sleep(0.02)
    samples, rate = heard_as(other.heard[-40:], PCMU)
    assert loudest(samples, rate) == pytest.approx(500.0, abs=10)


# Paths that go, and come back


async def test_a_restart_brings_the_sound_back_over_another_port(world: WebWorld) -> None:
    """The browser is in another network: its old port is dead, and it asks for new names."""
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    b = leg("b", stream(phone.address, chosen(PCMU)))
    places = world.apply([a, b], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    browser.speak(b"\x01" * 160)
    await until(lambda: phone.heard)
    before, sealer, opener = ours(places["a"]), browser._sealer, browser._opener
    browser.is_cut = True
    moved = world.browser()  # the same page at another address
    moved.endpoint._certificate = browser.endpoint._certificate
    moved.endpoint._fingerprints = browser.endpoint._fingerprints
    moved.endpoint._handshake = browser.endpoint._handshake
    moved._sealer, moved._opener, moved.sequence = sealer, opener, browser.sequence
    offer = moved.endpoint.side
    place = world.apply([replace(a, webrtc=replace(a.webrtc, restarts=1)), b], both_ways("a", "b"))
    after = ours(place["a"])
    assert (after.ufrag == before.ufrag, after.password == before.password) == (False, False)
    assert (after.fingerprints, after.candidates) == (before.fingerprints, before.candidates)
    assert place["a"].address == places["a"].address
    known = graph.WebRtc(remote=offer, restarts=1)
    world.apply([replace(a, webrtc=known), b], both_ways("a", "b"))
    moved.endpoint.connect(after)
    await until(lambda: len(world.of(wire.Latched)) == 2)
    assert world.of(wire.Latched)[-1].source == moved.address
    moved.speak(b"\x02" * 160)
    phone.say(place["b"], SOUND)
    await until(lambda: len(phone.heard) == 2 and moved.heard)
    assert phone.heard[-1].payload == b"\x02" * 160
    assert moved.heard[-1].payload == SOUND


async def test_a_restart_that_is_refused_leaves_the_sound_and_our_names(world: WebWorld) -> None:
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    b = leg("b", stream(phone.address, chosen(PCMU)))
    before = ours(world.apply([a, b], both_ways("a", "b"))["a"])
    browser.endpoint.connect(before)
    await world.met(browser)
    offered = replace(a, webrtc=graph.WebRtc(restarts=1))
    place = world.apply([offered, b], both_ways("a", "b"))
    assert ours(place["a"]).ufrag != before.ufrag
    browser.speak(b"\x01" * 160)
    phone.say(place["b"], SOUND)
    await until(lambda: phone.heard and browser.heard)
    place = world.apply([a, b], both_ways("a", "b"))
    assert ours(place["a"]) == before
    browser.speak(b"\x02" * 160)
    phone.say(place["b"], SOUND)
    await until(lambda: len(phone.heard) == 2 and len(browser.heard) == 2)
    assert world.of(wire.PathLost) == []


async def test_a_browser_that_is_gone_is_told_once_and_hears_no_more(
    world: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    places = world.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    browser.is_cut = True
    await until(lambda: world.of(wire.PathLost))
    (lost,) = world.of(wire.PathLost)
    assert (lost.call, lost.leg, lost.cause) == ("call", "a", "unreachable")
    sent = world.readings("a").sent.packets
    phone.say(places["b"], SOUND)
    await until(lambda: world.readings("b").received.packets)
    assert world.readings("a").sent.packets == sent


async def test_a_page_that_is_closed_is_told(world: WebWorld) -> None:
    browser = world.browser()
    place = world.apply([web_leg("a", pcmu(), remote=browser.endpoint.side)])["a"]
    browser.endpoint.connect(ours(place))
    await world.met(browser)
    browser.endpoint.close()
    await until(lambda: world.of(wire.PathLost))
    assert world.of(wire.PathLost)[0].cause == "closed"


async def test_another_certificate_than_described_is_refused(world: WebWorld) -> None:
    browser = world.browser()
    wrong = (Fingerprint(algorithm="sha-256", value=":".join(["AB"] * 32)),)
    side = replace(browser.endpoint.side, fingerprints=wrong)
    browser.endpoint.connect(ours(world.apply([web_leg("a", pcmu(), remote=side)])["a"]))
    await until(lambda: world.of(wire.PathLost))
    assert world.of(wire.PathLost)[0].cause == "refused"


async def test_nobody_at_all_is_told_in_time(world: WebWorld) -> None:
    browser = world.browser()
    browser.is_cut = True
    world.apply([web_leg("a", pcmu(), remote=browser.endpoint.side)])
    await asyncio.sleep(SET_UP)
    await until(lambda: world.of(wire.PathLost))
    assert world.of(wire.PathLost)[0].cause == "unreachable"


async def test_a_silent_browser_is_told_as_any_peer(world: WebWorld) -> None:
    browser = world.browser()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side, silence=0.5)
    place = world.apply([a])["a"]
    await asyncio.sleep(1.0)
    assert not world.of(wire.FellSilent)  # there is no path yet that could bring anything
    browser.endpoint.connect(ours(place))
    await world.met(browser)
    await until(lambda: world.of(wire.FellSilent))
    browser.speak(SOUND)
    await until(lambda: world.of(wire.Resumed))


# Reports


async def test_what_a_browser_reports_is_read_and_reports_go_to_it(world: WebWorld) -> None:
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    places = world.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    for _ in range(50):
        browser.speak(SOUND)
        phone.say(places["b"], SOUND)
        await asyncio.sleep(0.02)
    await until(lambda: browser.controls)
    await until(lambda: browser.heard)
    block = rtcp.ReportBlock(
        ssrc=browser.heard[0].ssrc,
        fraction_lost=64,
        packets_lost=10,
        highest_sequence=browser.heard[-1].sequence,
        jitter=80,
    )
    browser.report_control(
        rtcp.write(
            rtcp.ReceiverReport(ssrc=browser.ssrc, blocks=(block,)),
            rtcp.SourceDescription(names=((browser.ssrc, "page"),)),
        )
    )
    await until(lambda: world.readings("a").sent.lost == 10)
    readings = world.readings("a")
    assert readings.sent.jitter == pytest.approx(0.01)
    assert readings.sent.mos is not None
    assert readings.received.mos is not None
    assert readings.sent.mos < readings.received.mos


# What a graph may not say


@pytest.mark.parametrize(
    "wrong",
    [
        {"ufrag": "a b:c"},
        {"password": "short"},
        {"fingerprints": ()},
        {"candidates": ("x",) * 101},
        {"candidates": ("x" * 2000,)},
    ],
)
async def test_a_peer_that_says_nonsense_is_refused(world: WebWorld, wrong: dict[str, Any]) -> None:
    side = replace(world.browser().endpoint.side, **wrong)
    refused = world.try_to([web_leg("a", pcmu(), remote=side)])
    assert isinstance(refused, wire.Refused)
    assert not refused.is_full


@pytest.mark.parametrize("keyed", [True, False])
async def test_keys_of_sdp_and_rtcp_elsewhere_are_no_webrtc(world: WebWorld, keyed: bool) -> None:
    key = bytes(30)
    keys = Srtp(suite="AES_CM_128_HMAC_SHA1_80", send_key=key, receive_key=key)
    agreed = pcmu(srtp=keys) if keyed else stream(None, chosen(PCMU))
    assert isinstance(world.try_to([web_leg("a", agreed)]), wire.Refused)


@pytest.mark.parametrize("world", [{"pairs": 40, "most_calls": 100}], indirect=True)
async def test_so_many_set_ups_a_second_and_later_more(world: WebWorld) -> None:
    limited = 20
    for number in range(limited):
        world.apply([web_leg("a")], call=f"call{number}")
    refused = world.try_to([web_leg("a")], call="one too many")
    assert isinstance(refused, wire.Refused)
    assert refused.is_full
    assert "browsers" in refused.reason
    world.apply([leg("a")], call="a phone")
    await asyncio.sleep(0.2)
    world._versions.clear()
    world.apply([web_leg("a")], call="later")


@pytest.mark.parametrize("world", [{"pairs": 40, "most_calls": 100}], indirect=True)
async def test_two_browsers_that_are_one_too_many_take_no_place_of_the_next(
    world: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = world.now()
    monkeypatch.setattr(world, "now", lambda: clock)
    for number in range(19):
        world.apply([web_leg("a")], call=f"call{number}")
    refused = world.try_to([web_leg("a"), web_leg("b")], call="two")
    assert isinstance(refused, wire.Refused)
    world._versions.clear()
    world.apply([web_leg("a")], call="two")


async def test_a_hundred_that_come_and_go_leave_nothing(world: WebWorld) -> None:
    for number in range(100):
        browser = world.browser()
        a = web_leg("a", pcmu(), remote=browser.endpoint.side)
        place = world.apply([a], call=f"call{number}")["a"]
        browser.endpoint.connect(ours(place))
        await until(lambda browser=browser: browser.keys)
        world.switch.end(f"call{number}", world.now())
        browser.endpoint.close()
        browser.ports.close()
        world.browsers.remove(browser)
        for each in (browser.ports.rtp, browser.ports.rtcp):
            assert each.fileno() < 0
        await asyncio.sleep(0.05)
    assert world.switch.calls == 0
    assert len(world.of(wire.LegClosed)) == 100
    assert len(asyncio.all_tasks()) < 5
    assert free_span(1)


async def test_losses_and_jitter_are_in_the_readings_and_the_score_falls(world: WebWorld) -> None:
    """2 % lost and 40 ms of jitter on the browser's way to us, after two seconds without."""
    browser, phone = world.browser(), world.peer()
    a = web_leg("a", pcmu(), remote=browser.endpoint.side)
    places = world.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    browser.endpoint.connect(ours(places["a"]))
    await world.met(browser)
    for _ in range(100):
        browser.speak(SOUND)
        await asyncio.sleep(0.02)
    well = world.readings("a").received
    chance, loop, lost = random.Random(3), asyncio.get_running_loop(), 0
    for _ in range(400):
        if chance.random() < 0.02:
            browser.write(SOUND)
            lost += 1
        else:
            loop.call_later(chance.uniform(0, 0.04), browser.speak_later())
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    rough = world.readings("a").received
    assert (well.lost, rough.lost) == (0, lost)
    assert rough.fraction_lost == pytest.approx(lost / 500)
    assert well.jitter < 0.002 < 0.005 < rough.jitter < 0.03
    assert well.mos is not None
    assert rough.mos is not None
    assert rough.mos < well.mos - 0.05
    assert len(phone.heard) == 500 - lost

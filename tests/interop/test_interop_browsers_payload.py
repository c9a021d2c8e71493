"""The official Voice SDK in Chromium and baresip behind a trunk: no octet of sound is touched."""

import asyncio
import shlex
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.media import workers
from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import RATE, sound, tones_of
from tests.integration.voice.test_trunk_calls import NUMBER, trunk
from tests.integration.voice.world import World
from tests.interop.baresip_peer import Account, Baresip
from tests.interop.browser_world import access, device, gateway, told
from tests.interop.chromium_peer import Chromium, Page, chromium, pages
from tests.interop.sip_wire import SipCapture

pytestmark = pytest.mark.interop
_HERE = Path(__file__).parent
CALLEE = "+447700900002"
BROWSERS, CALLEES = 1003, 443  # Hz; it takes a second until a packet is as one before it
SECONDS = 6.0
ENOUGH = 0.99
REMOTE = "window.call && call.getRemoteStream()"
# A microphone as it is: what Chromium takes for noise it would take away, and a tone is steady.
CONNECT = """
device.connect({rtcConstraints: {audio: {
  echoCancellation: false, noiseSuppression: false, autoGainControl: false,
}}}).then((made) => watch(made))
"""
COUNTS = "[octets.sent.length, octets.received.length]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What each side said for a while, and all that the other one got of it; in order."""

    by_browser: list[bytes]
    at_callee: list[bytes]
    by_callee: list[bytes]
    at_browser: list[bytes]


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, BROWSERS) as found:
        yield found


@pytest.fixture
def callee(tmp_path: Path) -> Iterator[Baresip]:
    account = Account(
        user=CALLEE, domain="127.0.0.1", password="none", server="127.0.0.1:9", every=0
    )
    started = Baresip(tmp_path / "callee", account, tone=CALLEES)
    yield started
    started.end()


@pytest.fixture
def capture(tmp_path: Path, callee: Baresip) -> Iterator[SipCapture]:
    """All that the callee says and gets by RTP."""
    started = SipCapture(tmp_path, (), (callee.media_ports[0], callee.media_ports[-1]))
    yield started
    started.stop()


def share(said: list[bytes], heard: list[bytes]) -> float:
    """How much of what was said was heard as it was, and in this order."""
    row = [0] * (len(heard) + 1)
    for each in said:
        above, row = row, [0]
        for at, other in enumerate(heard):
            row.append(above[at] + 1 if each == other else max(above[at + 1], row[at]))
    return row[-1] / len(said)


def document(**more: str) -> str:
    given = {"answerOnBridge": "true", "callerId": NUMBER, "action": "/after", **more}
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f"<Response><Dial {attributes}><Number>{CALLEE}</Number></Dial></Response>"


async def talk(here: World, browser: Chromium, callee: Baresip, capture: SipCapture) -> Passed:
    """One call from its beginning to its end, in which both heard the other's tone."""
    script = await asyncio.to_thread((_HERE / "browsers" / "octets.js").read_text)
    page = await device(here, browser, (await access(here)).token("bob"), first=script)
    await page.run(CONNECT)
    await page.hears(REMOTE, CALLEES)
    assert await page.until("call.codec") == "PCMU"
    first, begun = (await page.run(COUNTS))[0], time.time()
    await asyncio.sleep(SECONDS)
    last, over = (await page.run(COUNTS))[0], time.time()
    await page.hears(REMOTE, CALLEES)  # and what is under way comes
    await page.run("call.disconnect()")
    await told(page, "disconnect")
    await asyncio.to_thread(capture.stop)
    sent, received = await octets(page, "sent"), await octets(page, "received")
    wire = [each for each in capture.datagrams() if each.octets[1] & 0x7F == 0]
    return Passed(
        by_browser=sent[first:last],
        at_callee=[each.octets[12:] for each in wire if each.target in callee.media_ports],
        by_callee=[
            each.octets[12:]
            for each in wire
            if each.source in callee.media_ports and begun <= each.at < over
        ],
        at_browser=received,
    )


async def octets(page: Page, way: str) -> list[bytes]:
    """The frames of a page that went this way."""
    return [b64decode(each) for each in await page.run(f"octets.{way}")]


async def look_at(passed: Passed, callee: Baresip) -> None:
    """All but a hundredth came as it was, both ways, and it was sound."""
    for said in (passed.by_browser, passed.by_callee):
        assert len(said) > SECONDS * 45
        assert {len(each) for each in said} == {160}
        assert len(set(said)) > 40
    assert share(passed.by_browser, passed.at_callee) >= ENOUGH
    assert share(passed.by_callee, passed.at_browser) >= ENOUGH
    ((tone, _),) = (await asyncio.to_thread(callee.heard)).items()
    assert tone == pytest.approx(BROWSERS, abs=5)


async def test_a_recorded_call_passes_octet_by_octet(
    tmp_path: Path, browser: Chromium, callee: Baresip, capture: SipCapture
) -> None:
    """Who records listens, and touches nothing."""
    twiml = document(record="record-from-answer-dual")
    async with gateway(tmp_path, trunk(callee.port), twiml) as here:
        passed = await talk(here, browser, callee, capture)
        await look_at(passed, callee)
        inbound, outbound = await sound(here, (await here.app.until("/after"))["RecordingUrl"])
        assert tones_of(inbound[2 * RATE : 3 * RATE]) == {1000}
        assert tones_of(outbound[2 * RATE : 3 * RATE]) == {440}
        await left(here)


async def test_a_call_passes_where_nothing_can_be_decoded(
    tmp_path: Path,
    browser: Chromium,
    callee: Baresip,
    capture: SipCapture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker's decoders and encoders are such as fail, and none is asked for."""
    asked, program = tmp_path / "asked", tmp_path / "python"
    given = shlex.join([sys.executable, str(_HERE / "deaf_worker.py"), str(asked)])
    program.write_text(f'#!/bin/sh\nexec {given} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(workers, "sys", SimpleNamespace(executable=str(program)))
    async with gateway(tmp_path, trunk(callee.port), document()) as here:
        passed = await talk(here, browser, callee, capture)
        await look_at(passed, callee)
        assert (await here.app.until("/after"))["DialCallStatus"] == "completed"
        await left(here)
    assert asked.read_text() == ""

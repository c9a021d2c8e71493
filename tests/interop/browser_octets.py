"""What passes between a page and baresip, octet by octet: what each said, what the other one got.

A page keeps the encoded frames of its peer connection, and baresip's are in a capture.
"""

import asyncio
import shlex
import sys
import time
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.media import workers
from tests.interop.baresip_peer import Baresip
from tests.interop.browser_world import told
from tests.interop.chromium_peer import Page
from tests.interop.sip_wire import SipCapture

_HERE = Path(__file__).parent
BROWSERS, BARESIPS = 1003, 443  # Hz; it takes a second until a packet is as one before it
SECONDS = 6.0
ENOUGH = 0.99
REMOTE = "window.call && call.getRemoteStream()"
# A microphone as it is: what Chromium takes for noise it would take away, and a tone is steady.
MICROPHONE = """{rtcConstraints: {audio: {
  echoCancellation: false, noiseSuppression: false, autoGainControl: false,
}}}"""
_COUNTS = "[octets.sent.length, octets.received.length]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What each side said for a while, and all that the other one got of it; in order."""

    by_browser: list[bytes]
    at_phone: list[bytes]
    by_phone: list[bytes]
    at_browser: list[bytes]


async def keeping() -> str:
    """The script that has a page keep its frames; to run before all else."""
    return await asyncio.to_thread((_HERE / "browsers" / "octets.js").read_text)


async def passed(page: Page, phone: Baresip, capture: SipCapture, end: str) -> Passed:
    """What passed in a call of both; `end` is what the page does to end it, "" if the phone does.

    Both hear the other's tone before and after.
    """
    await page.hears(REMOTE, BARESIPS)
    assert await page.until("call.codec") == "PCMU"
    first, begun = (await page.run(_COUNTS))[0], time.time()
    await asyncio.sleep(SECONDS)
    last, over = (await page.run(_COUNTS))[0], time.time()
    await page.hears(REMOTE, BARESIPS)  # and what is under way comes
    if end:
        await page.run(end)
    else:
        phone.do("hangup")
    await told(page, "disconnect")
    await asyncio.to_thread(capture.stop)
    sent, received = await _octets(page, "sent"), await _octets(page, "received")
    wire = [each for each in capture.datagrams() if each.octets[1] & 0x7F == 0]
    return Passed(
        by_browser=sent[first:last],
        at_phone=[each.octets[12:] for each in wire if each.target in phone.media_ports],
        by_phone=[
            each.octets[12:]
            for each in wire
            if each.source in phone.media_ports and begun <= each.at < over
        ],
        at_browser=received,
    )


async def _octets(page: Page, way: str) -> list[bytes]:
    """The frames of a page that went this way."""
    return [b64decode(each) for each in await page.run(f"octets.{way}")]


def share(said: list[bytes], heard: list[bytes]) -> float:
    """How much of what was said was heard as it was, and in this order."""
    row = [0] * (len(heard) + 1)
    for each in said:
        above, row = row, [0]
        for at, other in enumerate(heard):
            row.append(above[at] + 1 if each == other else max(above[at + 1], row[at]))
    return row[-1] / len(said)


async def look_at(found: Passed, phone: Baresip) -> None:
    """All but a hundredth came as it was, both ways, and it was sound."""
    for said in (found.by_browser, found.by_phone):
        assert len(said) > SECONDS * 45
        assert {len(each) for each in said} == {160}
        assert len(set(said)) > 40
    assert share(found.by_browser, found.at_phone) >= ENOUGH
    assert share(found.by_phone, found.at_browser) >= ENOUGH
    ((tone, _),) = (await asyncio.to_thread(phone.heard)).items()
    assert tone == pytest.approx(BROWSERS, abs=5)


def deafen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have media workers whose decoders and encoders fail; the file that has who asked for one."""
    asked, program = folder / "asked", folder / "python"
    given = shlex.join([sys.executable, str(_HERE / "deaf_worker.py"), str(asked)])
    program.write_text(f'#!/bin/sh\nexec {given} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(workers, "sys", SimpleNamespace(executable=str(program)))
    return asked

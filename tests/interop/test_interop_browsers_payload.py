"""The official Voice SDK in Chromium and baresip behind a trunk: no octet of sound is touched."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.voice.test_rooms import left
from tests.integration.voice.test_spoken import RATE, sound, tones_of
from tests.integration.voice.test_trunk_calls import NUMBER, trunk
from tests.integration.voice.world import World
from tests.interop.baresip_peer import Account, Baresip
from tests.interop.browser_octets import (
    BARESIPS,
    BROWSERS,
    MICROPHONE,
    Passed,
    deafen,
    keeping,
    look_at,
    passed,
)
from tests.interop.browser_world import access, device, gateway, told
from tests.interop.chromium_peer import Chromium, chromium, pages
from tests.interop.sip_wire import SipCapture

pytestmark = pytest.mark.interop
PHONE = "+447700900002"
NOWHERE = "127.0.0.1:9"
RECORDED = "record-from-answer-dual"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with pages() as served, chromium(tmp_path / "browser", served, BROWSERS) as found:
        yield found


@contextmanager
def phone(folder: Path, server: str) -> Iterator[tuple[Baresip, SipCapture]]:
    """One that calls by `server`, and all that it says and gets by RTP."""
    account = Account(user=PHONE, domain="127.0.0.1", password="none", server=server, every=0)
    started = Baresip(folder / "phone", account, tone=BARESIPS)
    try:
        ports = started.media_ports
        capture = SipCapture(folder, (), (ports[0], ports[-1]))
        try:
            yield started, capture
        finally:
            capture.stop()
    finally:
        started.end()


def document(noun: str, **more: str) -> str:
    given = {"answerOnBridge": "true", "action": "/after", **more}
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f"<Response><Dial {attributes}>{noun}</Dial></Response>"


def server_of(here: World) -> str:
    return f"127.0.0.1:{here.hop().port}"


async def called_by_page(
    here: World, browser: Chromium, callee: Baresip, capture: SipCapture
) -> Passed:
    """A call that the page makes, from its beginning to its end."""
    token = (await access(here)).token("bob")
    page = await device(here, browser, token, first=await keeping())
    await page.run(f"device.connect({MICROPHONE}).then((made) => watch(made))")
    return await passed(page, callee, capture, "call.disconnect()")


async def calling_page(
    here: World, browser: Chromium, caller: Baresip, capture: SipCapture
) -> Passed:
    """A call that the page takes, from its beginning to its end."""
    token = (await access(here)).token("bob")
    page = await device(here, browser, token, first=await keeping())
    await page.run("device.register()")
    await told(page, "registered")
    caller.do("dial", f"sip:{NUMBER}@127.0.0.1")
    await told(page, "incoming")
    assert await page.run("call.parameters.From") == PHONE
    await page.run(f"call.accept({MICROPHONE})")
    return await passed(page, caller, capture, "")


async def recorded(here: World) -> list[set[int]]:
    """The tones of both sides in what was recorded, who called first."""
    sides = await sound(here, (await here.app.until("/after"))["RecordingUrl"])
    return [tones_of(side[2 * RATE : 3 * RATE]) for side in sides]


async def test_a_recorded_call_passes_octet_by_octet(tmp_path: Path, browser: Chromium) -> None:
    """Who records listens, and touches nothing."""
    twiml = document(f"<Number>{PHONE}</Number>", callerId=NUMBER, record=RECORDED)
    with phone(tmp_path, NOWHERE) as (callee, capture):
        async with gateway(tmp_path, trunk(callee.port), twiml) as here:
            await look_at(await called_by_page(here, browser, callee, capture), callee)
            assert await recorded(here) == [{1000}, {440}]
            await left(here)


async def test_a_call_passes_where_nothing_can_be_decoded(
    tmp_path: Path, browser: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's decoders and encoders are such as fail, and none is asked for."""
    asked = deafen(tmp_path, monkeypatch)
    twiml = document(f"<Number>{PHONE}</Number>", callerId=NUMBER)
    with phone(tmp_path, NOWHERE) as (callee, capture):
        async with gateway(tmp_path, trunk(callee.port), twiml) as here:
            await look_at(await called_by_page(here, browser, callee, capture), callee)
            assert (await here.app.until("/after"))["DialCallStatus"] == "completed"
            await left(here)
    assert asked.read_text() == ""


async def test_a_recorded_call_to_a_page_passes_octet_by_octet(
    tmp_path: Path, browser: Chromium
) -> None:
    """The other way round: baresip calls, and the page is who is dialled."""
    twiml = document("<Client>bob</Client>", record=RECORDED)
    async with gateway(tmp_path, trunk(9), twiml) as here:
        with phone(tmp_path, server_of(here)) as (caller, capture):
            await look_at(await calling_page(here, browser, caller, capture), caller)
            assert await recorded(here) == [{440}, {1000}]
            await left(here)


async def test_a_call_to_a_page_passes_where_nothing_can_be_decoded(
    tmp_path: Path, browser: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = deafen(tmp_path, monkeypatch)
    async with gateway(tmp_path, trunk(9), document("<Client>bob</Client>")) as here:
        with phone(tmp_path, server_of(here)) as (caller, capture):
            await look_at(await calling_page(here, browser, caller, capture), caller)
            assert (await here.app.until("/after"))["DialCallStatus"] == "completed"
            await left(here)
    assert asked.read_text() == ""

"""A leg that is closed is gone at once: nothing of it waits for the collector, nor for a clock."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from media_world import World, chosen, leg, stream
from web_world import WebWorld, ours, web_leg, web_stream

from gateway.media.graph import both_ways
from gateway.media.leg import Leg
from gateway.media.web_path import WebPath
from protocols.sdp.formats import PCMU
from protocols.webrtc.endpoint import Endpoint


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def web() -> AsyncIterator[WebWorld]:
    made = WebWorld()
    yield made
    for each in made.browsers:
        each.endpoint.close()
    made.close()


def alive() -> Counter[type]:
    return Counter(kind for kind in map(type, gc.get_objects()) if kind in _PARTS)


_PARTS = (Leg, WebPath, Endpoint)


@pytest.mark.usefixtures("uncollected")
async def test_what_a_call_had_goes_with_it(world: World) -> None:
    before = alive()[Leg]
    one, other = (stream(world.peer().address, chosen(PCMU)) for _ in range(2))
    for name in ("first", "second"):
        nodes = [leg("a", one, silence=60.0), leg("b", other)]
        world.apply(nodes, both_ways("a", "b"), call=name)
    assert alive()[Leg] == before + 4
    world.apply([leg("a", one)], call="second")
    world.switch.end("first", world.now())
    world.switch.end("second", world.now())
    assert alive()[Leg] == before


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("is_met", [True, False], ids=["met", "never met"])
async def test_what_a_browsers_call_had_goes_with_it(web: WebWorld, is_met: bool) -> None:
    browser, phone = web.browser(), web.peer()
    before = alive()
    a = web_leg("a", web_stream(chosen(PCMU)), remote=browser.endpoint.side)
    places = web.apply([a, leg("b", stream(phone.address, chosen(PCMU)))], both_ways("a", "b"))
    if is_met:
        browser.endpoint.connect(ours(places["a"]))
        await web.met(browser)
    assert alive() - before == Counter({Leg: 2, WebPath: 1, Endpoint: 1})
    web.switch.end("call", web.now())
    for _ in range(5):
        await asyncio.sleep(0)  # its tasks end
    assert alive() == before

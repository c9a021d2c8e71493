"""A leg that is closed is gone at once: nothing of it waits for the collector, nor for a clock."""

import gc

from media_world import World, chosen, leg, stream

from gateway.media.graph import both_ways
from gateway.media.leg import Leg
from protocols.sdp.formats import PCMU


def legs() -> int:
    return sum(isinstance(each, Leg) for each in gc.get_objects())


async def test_what_a_call_had_goes_with_it(world: World) -> None:
    gc.collect()
    before = legs()
    gc.disable()
    try:
        one, other = (stream(world.peer().address, chosen(PCMU)) for _ in range(2))
        for name in ("first", "second"):
            nodes = [leg("a", one, silence=60.0), leg("b", other)]
            world.apply(nodes, both_ways("a", "b"), call=name)
        assert legs() == before + 4
        world.apply([leg("a", one)], call="second")
        world.switch.end("first", world.now())
        world.switch.end("second", world.now())
        assert legs() == before
    finally:
        gc.enable()

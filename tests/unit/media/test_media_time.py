"""A switch says when its nodes want the time: nobody has to look at the clock before."""

from math import inf

from media_world import World, chosen, leg, stream, until

from gateway.media import wire
from gateway.media.graph import both_ways
from gateway.media.leg import VISITED
from protocols.sdp.formats import PCMU


async def test_legs_want_no_time_before_something_of_theirs_is_due(world: World) -> None:
    asked: list[float] = []
    world.switch.wanted = asked.append
    agreed = stream(world.peer().address, chosen(PCMU))
    nodes = [leg("a"), leg("b")]
    world.apply(nodes)
    assert (world.switch.timer(), asked) == (inf, [])
    begun = world.now()
    world.apply([leg("a", agreed), leg("b", agreed)], both_ways("a", "b"))
    assert begun < world.switch.timer() <= world.now() + VISITED
    assert asked[-1] == world.switch.timer()


async def test_what_is_nearer_is_told_and_what_is_over_is_not_waited_for(world: World) -> None:
    asked: list[float] = []
    agreed = stream(world.peer().address, chosen(PCMU))
    for name in ("first", "second"):
        world.apply([leg("a", agreed), leg("b", agreed)], both_ways("a", "b"), call=name)
    later = world.switch.timer()
    world.switch.wanted = asked.append
    world.switch.press("second", "a", "1", world.now())
    assert asked[-1] == world.switch.timer() < later
    world.switch.end("second", world.now())
    assert world.switch.timer() == later
    world.switch.end("first", world.now())
    assert world.switch.timer() == inf


async def test_silence_is_told_in_time_by_who_asks_for_the_timer(world: World) -> None:
    agreed = stream(world.peer().address, chosen(PCMU))
    world.apply([leg("a", agreed, silence=0.05)])
    assert world.switch.timer() <= world.now() + 0.05
    await until(lambda: world.of(wire.FellSilent))

"""Who is connected to a desk, as its roster has it."""

import asyncio

from tests.unit.browsers.desks import NOW, OURS, SID, THEIRS, Allowed, Page, World


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def comes(world: World, token: str = "alice") -> Page:
    page = Page(world)
    page.says("listen", token=token)
    page.says("register", media={"audio": True})
    await turn()
    return page


async def test_who_is_there_stands_in_the_roster_with_its_calls_until_it_leaves() -> None:
    world = World()
    page = await comes(world)
    world.now += 5.0
    late = await comes(world, "deaf")
    theirs = await comes(world, "theirs")
    page.says("invite", callsid="TJS1", sdp="v=0", twilio={"params": "To=%2B1555"})
    first, second = world.desk.roster.page(OURS, 10)
    assert (first.identity, first.is_registered, first.calls) == ("alice", True, (SID,))
    assert (first.flow, first.since) == (page.client.flow, world.now - 5.0)
    assert first.expires_at == page.client.access.expires
    assert (second.number, second.is_registered, second.since) == (2, False, world.now)
    assert [each.number for each in world.desk.roster.page(THEIRS, 10)] == [3]
    for each in (page, late, theirs):
        each.client.drop()
    assert [*world.desk.roster.page(OURS, 10), *world.desk.roster.page(THEIRS, 10)] == []


async def test_a_newer_token_gives_no_second_place_in_the_roster() -> None:
    world = World()
    page = await comes(world)
    world.tokens["alice"] = Allowed(expires=NOW + 9000)
    page.says("listen", token="alice")
    await turn()
    (shown,) = world.desk.roster.page(OURS, 10)
    assert (shown.number, shown.expires_at) == (1, NOW + 9000)

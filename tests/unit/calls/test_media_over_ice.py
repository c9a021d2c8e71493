"""A leg over WebRTC in its call's media: whose side is known, and how ICE begins anew."""

import asyncio
from typing import Any

import pytest

from gateway.calls.media import CallMedia, NoMedia
from gateway.media.graph import Graph, Leg, WebRtc
from gateway.media.wire import Applied, Place, Refused
from protocols.sdp.ice import Setup
from tests.unit.sdp.webrtc_examples import side


class Plane:
    """Gives a leg a name for each of its restarts; refuses while it is full."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.is_full = False

    def apply(self, graph: Graph) -> "asyncio.Future[Any]":
        done = asyncio.get_running_loop().create_future()
        if self.is_full:
            reason = "too many set-ups"
            result: Any = Refused(
                call=graph.call, version=graph.version, reason=reason, is_full=True
            )
        else:
            self.graphs.append(graph)
            places = {each.id: place(each) for each in graph.nodes if isinstance(each, Leg)}
            result = Applied(call=graph.call, version=graph.version, places=places)
        done.set_result(result)
        return done

    @property
    def webrtc(self) -> WebRtc:
        """What the leg is in the last graph."""
        (leg,) = self.graphs[-1].nodes
        assert isinstance(leg, Leg) and leg.webrtc is not None
        return leg.webrtc


def place(leg: Leg) -> Place:
    assert leg.webrtc is not None
    return Place(address=("", 0), control=0, ice=side(ufrag=f"side{leg.webrtc.restarts}"))


async def placed() -> tuple[CallMedia, Plane]:
    plane = Plane()
    media = CallMedia(plane, "CA1")  # type: ignore[arg-type]
    leg = Leg(id="leg", host="127.0.0.1", signalling="127.0.0.1", webrtc=WebRtc(is_offerer=True))
    given = await media.place(leg)
    assert given.ice is not None and given.ice.ufrag == "side0"
    return media, plane


async def test_the_peers_side_comes_with_what_was_agreed_on() -> None:
    media, plane = await placed()
    assert plane.webrtc.remote is None
    media.describe("leg", None, 1, side(setup=Setup.ACTIVE, ufrag="peer"))
    await media.settled()
    assert plane.webrtc.remote == side(setup=Setup.ACTIVE, ufrag="peer")
    media.describe("leg", None, 2)
    await media.settled()
    assert plane.webrtc.remote is not None  # it is where it was


async def test_ice_begins_anew_without_the_old_side() -> None:
    media, plane = await placed()
    media.describe("leg", None, 1, side(ufrag="peer"))
    given = await media.restart("leg")
    assert given.ice is not None and given.ice.ufrag == "side1"
    assert plane.webrtc == WebRtc(is_offerer=True, remote=None, restarts=1)


async def test_a_restart_that_is_refused_leaves_all_as_it_was() -> None:
    media, plane = await placed()
    media.describe("leg", None, 1, side(ufrag="peer"))
    await media.settled()
    plane.is_full = True
    with pytest.raises(NoMedia) as error:
        await media.restart("leg")
    assert error.value.is_full
    plane.is_full = False
    media.listen("leg")
    await media.settled()
    assert plane.webrtc == WebRtc(is_offerer=True, remote=side(ufrag="peer"))


async def test_a_restart_that_the_peer_refuses_is_taken_back() -> None:
    media, plane = await placed()
    media.describe("leg", None, 1, side(ufrag="peer"))
    for _ in range(2):  # the second before anything came of the first
        await media.restart("leg")
    media.stay("leg")
    await media.settled()
    assert plane.webrtc == WebRtc(is_offerer=True, remote=side(ufrag="peer"))
    await media.restart("leg")
    media.describe("leg", None, 2, side(ufrag="moved"))
    media.stay("leg")  # it is agreed on
    await media.settled()
    assert plane.webrtc == WebRtc(is_offerer=True, remote=side(ufrag="moved"), restarts=1)


async def test_whoever_does_not_wait_for_a_restart_takes_it_back() -> None:
    media, plane = await placed()
    restarting = asyncio.ensure_future(media.restart("leg"))
    await asyncio.sleep(0)
    restarting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restarting
    await media.settled()
    assert plane.webrtc == WebRtc(is_offerer=True)


async def test_a_leg_that_is_gone_begins_nothing() -> None:
    media, _ = await placed()
    media.remove("leg")
    with pytest.raises(NoMedia):
        await media.restart("leg")
    media.stay("leg")

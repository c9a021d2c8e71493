"""Peers whose SDP does not say where they are: a real rtpengine hears, follows and robs nobody."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from protocols.sdp.media import LocalMedia
from protocols.sip import agent_events as events
from tests.integration.voice.acts import change
from tests.integration.voice.phones import Phone, Sound
from tests.integration.voice.test_endings import DOMAIN
from tests.interop.rtpengine_peer import Rtpengine as Peer
from tests.interop.rtpengine_peer import engine
from tests.interop.test_interop_rtpengine_calls import (
    TO_BOB,
    bridged,
    gateway,
    hear_one_each,
    plane,
)

__all__ = ["engine"]

pytestmark = pytest.mark.interop

INSIDE = "10.0.0.9"  # as a phone behind a NAT sees itself
ELSEWHERE = "127.0.0.2"  # a host that no signalling comes from


class NatPhone(Phone):
    """Its offers and answers name an address and a port that mean nothing outside."""

    @property
    def local(self) -> LocalMedia:
        return msgspec.structs.replace(super().local, address=INSIDE, port=5004)


async def move(phone: Phone) -> None:
    """Send from another port from now on, and say so; a NAT forgot the one before."""
    before, phone.sound = phone.sound, Sound(phone.sound.tone)
    before.close()
    await phone.sound.open()
    await change(phone)


@pytest.fixture
async def alice() -> AsyncIterator[NatPhone]:
    phone = NatPhone("alice", DOMAIN, 440.0, "pa")
    await phone.open()
    yield phone
    await phone.close()


@pytest.fixture
async def bob() -> AsyncIterator[NatPhone]:
    phone = NatPhone("bob", DOMAIN, 880.0, "pb")
    await phone.open()
    yield phone
    await phone.close()


@pytest.fixture
async def caller() -> AsyncIterator[Phone]:
    phone = Phone("alice", DOMAIN, 440.0, "pa")
    await phone.open()
    yield phone
    await phone.close()


@pytest.fixture
async def carol() -> AsyncIterator[Phone]:
    phone = Phone("bob", DOMAIN, 880.0, "pb")
    await phone.open()
    yield phone
    await phone.close()


async def hear_each_other(one: Phone, other: Phone) -> None:
    one.sound.heard.clear()
    other.sound.heard.clear()
    await asyncio.gather(one.sound.hears(other.sound.tone), other.sound.hears(one.sound.tone))


async def stays_out(stranger: Sound, one: Phone, other: Phone) -> None:
    """Whatever it sends to the one's port, neither of the two hears it, nor it any of them."""
    assert one.sound.remote is not None
    stranger.begin(one.sound.remote)
    await hear_one_each(50, one, other)
    await asyncio.gather(one.sound.hears(other.sound.tone), other.sound.hears(one.sound.tone))
    assert stranger.heard == []


async def test_a_caller_behind_a_nat_is_heard_followed_and_not_robbed(
    tmp_path: Path, engine: Peer, alice: NatPhone, carol: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, alice, carol) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await hear_each_other(alice, carol)
        counts = plane(here).counts()
        assert (counts["fronts"], counts["bridged"]) == (1, 0)  # the worker has who is learnt
        stranger = await Sound(1500).open(ELSEWHERE)
        await stays_out(stranger, alice, carol)
        await move(alice)
        await hear_each_other(alice, carol)
        await stays_out(stranger, alice, carol)
        stranger.close()
        alice.hang_up()
        await carol.until(events.HungUp)
    assert engine.calls() == []


async def test_one_that_is_called_by_a_contact_inside_is_followed_where_it_moves(
    tmp_path: Path, engine: Peer, alice: NatPhone, bob: NatPhone
) -> None:
    contact = bob.station.contact

    async with gateway(tmp_path, engine, TO_BOB, alice) as here:
        inside = msgspec.structs.replace(contact(here.hop()).uri, host=INSIDE)
        told = msgspec.structs.replace(contact(here.hop()), uri=inside)
        bob.station.contact = lambda hop: told  # type: ignore[method-assign]
        await bob.register(here.hop())
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await hear_each_other(alice, bob)
        assert plane(here).counts()["fronts"] == 0
        await move(bob)
        await hear_each_other(alice, bob)
        alice.hang_up()
        await bob.until(events.HungUp)
    assert engine.calls() == []


async def test_one_that_turns_out_to_be_inside_is_learnt_by_rtpengine_from_its_host_alone(
    tmp_path: Path, engine: Peer, caller: Phone, bob: NatPhone
) -> None:
    """Its contact did not say so, and the answer comes when it has been told of its front."""
    async with gateway(tmp_path, engine, TO_BOB, caller, bob) as here:
        stranger = await Sound(1500).open(ELSEWHERE)
        picked_up = Phone.pick_up

        def robbed(phone: Phone, event: events.Invited) -> None:
            picked_up(phone, event)
            assert phone.sound.remote is not None
            stranger.begin(phone.sound.remote)  # as early as the phone

        bob.on_call = robbed
        caller.call("bob", here.hop())
        await caller.until(events.Answered)
        await hear_each_other(caller, bob)
        await bridged(here)
        await stays_out(stranger, bob, caller)
        stranger.close()
        caller.hang_up()
        await bob.until(events.HungUp)
    assert engine.calls() == []


async def test_one_that_says_where_it_is_is_followed_by_rtpengine(
    tmp_path: Path, engine: Peer, caller: Phone, carol: Phone
) -> None:
    async with gateway(tmp_path, engine, TO_BOB, caller, carol) as here:
        caller.call("bob", here.hop())
        await bridged(here)
        await hear_each_other(caller, carol)
        for each in (caller, carol):
            await move(each)
            await bridged(here)
            await hear_each_other(caller, carol)
        stranger = await Sound(1500).open()  # on the same host, and not where they say
        await stays_out(stranger, caller, carol)
        stranger.close()
        caller.hang_up()
        await carol.until(events.HungUp)
    assert engine.calls() == []

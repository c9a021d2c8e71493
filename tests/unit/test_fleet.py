"""What one process says of its carriers, another one hears; what one orders, the owner does."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from carriers.gateways import GatewayHealth, GatewayState
from carriers.health import Health, HealthState, Intake
from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from carriers.trunk_events import TrunkStanding
from carriers.trunks import Gateway, Trunk
from gateway.daemon.trunks import TrunkEstate
from gateway.fleet import Fleet, TrunkService
from gateway.store.base import Lease
from gateway.store.sqlite import SqliteStore
from gateway.trunk_report import GatewayReport, RegistrationReport, TrunkReport
from protocols.sip.registration_events import Standing, State
from protocols.sip.uri import SipUri

CARRIERS = tuple(
    Carrier(name=name, kind=CarrierKind.SMPP, host="127.0.0.1", port=1, system_id="us")
    for name in ("acme", "beta")
)
VOIP = Carrier(name="voip", kind=CarrierKind.SIP, trunk=Trunk(uri="sip:192.0.2.1"))
CONFIGURED = {each.name: each for each in (*CARRIERS, VOIP)}
NOT_UTF8 = b"Verz\xf6gert".decode("utf-8", "surrogateescape")


class Owner:
    alive = True

    def lease(self) -> Lease | None:
        return None


class OneTrunk:
    """The trunk `voip`, and what it was told; `owned` is empty where another registers it."""

    def __init__(self, *owned: str) -> None:
        self._owned = owned
        self._intake = Intake.OPEN
        self.steered: list[Intake] = []
        self.calls = 0
        self.trouble = NOT_UTF8

    def names(self) -> Sequence[str]:
        return ("voip",)

    def owned(self) -> Sequence[str]:
        return self._owned

    def intake(self, name: str) -> Intake:
        return self._intake

    def steer(self, name: str, intake: Intake) -> None:
        self._intake = intake
        self.steered.append(intake)

    def health_of(self, name: str) -> Health | None:
        state = HealthState.PAUSED if self._intake is Intake.PAUSED else HealthState.DEGRADED
        return Health(
            carrier="voip",
            state=state,
            binds_up=1,
            binds_wanted=1,
            transmitters_up=1,
            since=time.time(),
            reason=NOT_UTF8,
        )

    def standing(self, name: str) -> TrunkStanding | None:
        now = time.time()
        return TrunkStanding(
            trunk="voip",
            registration=Standing(
                state=State.REGISTERED,
                server=SipUri(host="192.0.2.1"),
                expires_at=now + 60.0,
                next_at=now + 30.0,
                failures=1,
                reason=NOT_UTF8,
            ),
            gateways=(
                GatewayHealth(
                    gateway=Gateway(uri="sip:192.0.2.1"),
                    state=GatewayState.RESTING,
                    until=now + 5.0,
                    failures=2,
                    reason=NOT_UTF8,
                ),
            ),
            calls=self.calls,
            channels=30,
            cps=5.0,
            addresses=("192.0.2.1",),
            trouble=self.trouble,
            trouble_at=now,
        )


class World:
    """Two processes on one store, of which the first owns all carriers."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.monotonic = 0.0
        self.network = Network(CARRIERS, clock=time.time, random=lambda: 0.0)
        self.trunk, self.others_trunk = OneTrunk("voip"), OneTrunk()
        self.owner = self.fleet(self.network, self.trunk)
        self.other = self.fleet(Network((), clock=time.time, random=lambda: 0.0), self.others_trunk)

    def fleet(self, network: Network, trunks: TrunkService) -> Fleet:
        return Fleet(
            store=self.store,
            network=network,
            trunks=trunks,
            configured=CONFIGURED,
            control_url=lambda name: "http://127.0.0.1:9" if network.names() else "",
            owner=Owner(),
            holder="me",
            clock=time.time,
            monotonic=lambda: self.monotonic,
        )

    def state(self, fleet: Fleet, carrier: str) -> HealthState:
        return fleet.health(carrier, time.time()).state

    async def said(self) -> int:
        """How many times the states of carriers were written."""
        before = self.store.stats().commits
        await self.owner.look()
        return self.store.stats().commits - before


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=time.time)
    yield World(store)
    await store.close()


async def test_others_hear_how_a_carrier_is_from_its_owner(world: World) -> None:
    assert "no process" in world.other.health("acme", 1.0).reason
    await world.owner.look()
    await world.other.look()
    assert "not bound yet" in world.other.health("acme", 1.0).reason
    assert world.other.control_urls() == ["http://127.0.0.1:9"]
    assert world.other.names() == ["acme", "beta", "voip"]
    assert set(world.other.healths(["acme", "voip"], 1.0)) == {"acme", "voip"}


async def test_an_owner_that_is_silent_is_not_believed_for_long(world: World) -> None:
    await world.owner.look()
    await world.other.look()
    world.monotonic += 14.0
    await world.other.look()
    assert "not bound yet" in world.other.health("acme", 1.0).reason
    assert world.other.trunk("voip") is not None
    world.monotonic += 2.0
    await world.other.look()
    assert "no process with the role smpp" in world.other.health("acme", 1.0).reason
    assert "no process with the role voice" in world.other.health("voip", 1.0).reason
    assert world.other.trunk("voip") is None


async def test_the_owner_does_what_another_process_was_told(world: World) -> None:
    await world.owner.look()
    await world.other.look()

    async def owner_looks() -> None:
        while world.state(world.owner, "acme") is not HealthState.PAUSED:
            await world.owner.look()
        await world.owner.look()
        await world.other.look()

    looking = asyncio.create_task(owner_looks())
    await world.other.steer("acme", Intake.PAUSED)
    await looking
    assert world.state(world.other, "acme") is HealthState.PAUSED
    assert world.state(world.other, "beta") is HealthState.DOWN
    await world.owner.steer("acme", Intake.OPEN)
    assert world.state(world.owner, "acme") is HealthState.DOWN


async def test_an_order_outlives_the_process_that_carried_it_out(world: World) -> None:
    for name in ("acme", "voip"):
        await world.owner.steer(name, Intake.DRAINING)
    trunk = OneTrunk("voip")
    next_run = world.fleet(Network(CARRIERS, clock=time.time, random=lambda: 0.0), trunk)
    assert world.state(next_run, "acme") is HealthState.DOWN
    await next_run.look()
    assert world.state(next_run, "acme") is HealthState.DRAINING
    assert trunk.steered == [Intake.DRAINING]


async def test_others_hear_how_a_trunk_is_in_plain_text(world: World) -> None:
    await world.owner.look()
    await world.other.look()
    assert world.state(world.other, "voip") is HealthState.DEGRADED
    reason = "Verz\\udcf6gert"
    assert world.other.health("voip", 1.0).reason == reason
    report = world.other.trunk("voip")
    assert isinstance(report, TrunkReport) and isinstance(report.registration, RegistrationReport)
    stands = report.registration
    assert (stands.state, stands.server, stands.failures) == ("registered", "sip:192.0.2.1", 1)
    assert stands.expires_at is not None and stands.expires_at > time.time()
    (gateway,) = report.gateways
    assert isinstance(gateway, GatewayReport)
    assert (gateway.uri, gateway.state, gateway.reason) == ("sip:192.0.2.1", "resting", reason)
    assert (report.channels, report.cps, report.addresses) == (30, 5.0, ("192.0.2.1",))
    assert report.trouble == stands.reason == reason


async def test_calls_that_come_and_go_are_no_news(world: World) -> None:
    assert await world.said() == 1
    world.trunk.calls = 7
    assert await world.said() == 0
    world.trunk.trouble = "the registration ran out"
    assert await world.said() == 1


async def test_every_process_that_places_calls_by_a_trunk_obeys(world: World) -> None:
    await world.owner.look()
    await world.other.look()

    async def owner_looks() -> None:
        while not world.trunk.steered:
            await world.owner.look()
        await world.owner.look()
        await world.other.look()

    looking = asyncio.create_task(owner_looks())
    await world.other.steer("voip", Intake.PAUSED)
    await looking
    assert world.state(world.other, "voip") is HealthState.PAUSED
    assert world.trunk.steered == world.others_trunk.steered == [Intake.PAUSED]


async def test_resuming_again_is_carried_out_again(world: World) -> None:
    """A registration that was given up is tried again by it."""
    await world.owner.look()
    await world.other.look()
    await world.owner.steer("voip", Intake.OPEN)
    assert world.trunk.steered == [Intake.OPEN]
    await world.owner.look()
    assert world.trunk.steered == [Intake.OPEN]
    await world.other.look()
    assert world.others_trunk.steered == [Intake.OPEN]


def test_a_process_without_calls_has_no_trunks() -> None:
    estate: TrunkService = TrunkEstate(None, lambda each: each, lambda name: None)  # type: ignore[arg-type]
    assert (estate.names(), estate.owned()) == ((), ())
    assert (estate.health_of("voip"), estate.standing("voip")) == (None, None)

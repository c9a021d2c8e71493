"""Gateways of trunks: signs of life, where DNS finds them, whose call it is, and the limits."""

import asyncio

import pytest
from trunk_world import EPOCH, Far, World, eventually

from carriers.call_limits import Admission, Full, Limit
from carriers.gateways import GatewayState
from carriers.health import HealthState
from carriers.inbound import Belongs, Unknown
from carriers.trunk import Door
from carriers.trunk_events import AddressesChanged, GatewayChanged
from carriers.trunk_places import LAST_FOR, target
from carriers.trunks import Gateway, Inbound, TransportChoice, Trunk
from protocols.sip.ledger import Limits
from protocols.sip.locating import Found, Kind, Question, Srv
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import format_uri


def behind(*fars: Far, **given: object) -> Trunk:
    gateways = tuple(Gateway(uri=each.uri, priority=at) for at, each in enumerate(fars))
    return Trunk(**{"gateways": gateways, "options_interval": 30.0, **given})


def uris(doors: tuple[Door, ...]) -> list[str]:
    return [door.gateway.uri for door in doors]


async def doors(world: World, name: str = "acme") -> list[str]:
    return uris(await world.trunks.doors(name))


# Signs of life


async def test_gateways_are_asked_again_and_again(world: World) -> None:
    far = await world.far()
    world.serve(acme=behind(far, username="alice", domain="carrier.example"))
    await world.trunks.start()
    await asyncio.sleep(301)
    asked = far.of("OPTIONS")
    assert len(asked) == pytest.approx(10, abs=1)  # the first comes by chance
    assert format_uri(asked[0].uri) == far.uri
    assert format_uri(asked[0].from_.uri) == "sip:alice@carrier.example"
    assert "INVITE" in (asked[0].headers.first("Allow") or "")
    assert len(asked[0].contacts) == 1
    assert not world.told


async def test_one_that_is_silent_three_times_is_out_until_it_answers_twice(world: World) -> None:
    far, other = await world.far(), await world.far()
    far.says["OPTIONS"] = None
    world.serve(acme=behind(far, other))
    await world.trunks.start()
    told = await world.until(GatewayChanged)
    assert (told.trunk, told.health.state) == ("acme", GatewayState.SILENT)
    assert (told.health.failures, told.health.reason) == (3, "no answer")
    assert len({each.call_id for each in far.of("OPTIONS")}) == 3
    assert await doors(world) == [other.uri]
    health = world.trunks.health()["acme"]
    assert (health.state, health.binds_up, health.binds_wanted) == (HealthState.DEGRADED, 1, 2)
    assert health.reason == f"1 of 2 gateways up: {far.uri} is silent (no answer)"
    standing = world.trunks.standing("acme")
    assert standing is not None
    assert standing.trouble == f"{far.uri} is silent: no answer"
    assert [each.state for each in standing.gateways] == [GatewayState.SILENT, GatewayState.UP]
    del far.says["OPTIONS"]
    told = await world.until(GatewayChanged, 2)
    assert told.health.state is GatewayState.UP
    assert world.trunks.health()["acme"].state is HealthState.BOUND
    assert await doors(world) == [far.uri, other.uri]


async def test_a_trunk_whose_gateways_are_all_gone_is_down_and_tried_all_the_same(
    world: World,
) -> None:
    far = await world.far()
    uri = far.uri
    await far.station.close()
    world.serve(acme=Trunk(uri=uri))
    assert world.trunks.health()["acme"].state is HealthState.BOUND  # nothing is known against it
    await world.trunks.start()
    told = await world.until(GatewayChanged)
    assert told.health.failures == 3
    since = world.clock()
    await asyncio.sleep(100)
    health = world.trunks.health()["acme"]
    assert (health.state, health.transmitters_up) == (HealthState.DOWN, 0)
    assert health.reason.startswith(f"{uri} is silent (")
    assert health.since == pytest.approx(since, abs=1)
    assert await doors(world) == [uri]


async def test_why_there_is_no_answer_is_said(world: World) -> None:
    world.serve(acme=Trunk(uri="sip:nowhere.example"))
    await world.trunks.start()
    told = await world.until(GatewayChanged)
    assert told.health.reason == "nowhere.example has no address"


async def test_404_and_405_are_signs_of_life(world: World) -> None:
    far = await world.far()
    far.says["OPTIONS"] = (405, ())
    world.serve(acme=behind(far))
    await world.trunks.start()
    await eventually(lambda: len(far.of("OPTIONS")) > 5)
    assert not world.told


async def test_retry_after_rests_one_gateway_until_then(world: World) -> None:
    far, other = await world.far(), await world.far()
    far.says["OPTIONS"] = (503, (("Retry-After", "600"),))
    world.serve(acme=behind(far, other))
    await world.trunks.start()
    told = await world.until(GatewayChanged)
    at = world.clock()
    assert told.health.state is GatewayState.RESTING
    assert told.health.until == pytest.approx(at + 600, abs=1)
    assert told.health.reason == "503 with Retry-After: 600"
    del far.says["OPTIONS"]
    count = len(far.of("OPTIONS"))
    await asyncio.sleep(550)
    assert await doors(world) == [other.uri]
    assert len(far.of("OPTIONS")) == count
    await asyncio.sleep(60)
    assert await doors(world) == [far.uri, other.uri]
    assert world.trunks.health()["acme"].state is HealthState.BOUND


async def test_an_invites_outcome_counts_like_that_of_options(world: World) -> None:
    one, two = "sip:192.0.2.1", "sip:192.0.2.2"
    gateways = (Gateway(uri=one), Gateway(uri=two, priority=1))
    world.serve(acme=Trunk(gateways=gateways, options_interval=0.0))
    await world.trunks.start()
    world.trunks.answered("acme", one, 503, retry_after=120)
    assert await doors(world) == [two]
    await asyncio.sleep(121)
    for _ in range(3):
        world.trunks.answered("acme", one, 0)
    world.trunks.answered("acme", two, 486)
    world.trunks.answered("gone", two, 0)
    assert await doors(world) == [two]
    world.trunks.answered("acme", two, 503, retry_after=60)
    health = world.trunks.health()["acme"]
    assert health.state is HealthState.DOWN
    assert f"{two} is resting (503 with Retry-After: 60)" in health.reason
    assert health.throttled_until == 0.0  # the other one is only silent
    world.trunks.answered("acme", one, 503, retry_after=30)
    resting = world.trunks.health()["acme"].throttled_until
    assert resting == pytest.approx(world.clock() + 30, abs=1)
    assert resting > EPOCH
    assert await doors(world) == []


async def test_a_call_for_help_is_tried_wherever_there_may_be_somebody(world: World) -> None:
    gateways = tuple(Gateway(uri=f"sip:192.0.2.{at}", priority=at) for at in range(4))
    resting, silent, up, last = (each.uri for each in gateways)
    world.serve(acme=Trunk(gateways=gateways, options_interval=0.0))
    world.trunks.answered("acme", resting, 503, retry_after=600)
    for _ in range(3):
        world.trunks.answered("acme", silent, 0)
    assert await doors(world) == [up, last]
    helped = uris(await world.trunks.doors("acme", kind=Admission.EMERGENCY))
    assert helped == [up, last, silent, resting]
    for uri in (silent, up, last):
        world.trunks.answered("acme", uri, 503, retry_after=600)
    assert await doors(world) == []
    assert len(await world.trunks.doors("acme", kind=Admission.EMERGENCY)) == 4


async def test_one_hop_that_answers_is_enough(world: World) -> None:
    silent, living = await world.far(), await world.far()
    silent.says["OPTIONS"] = None
    world.name("carrier.example", ("127.0.0.1", silent.port), ("127.0.0.1", living.port))
    world.serve(acme=Trunk(uri="sip:carrier.example"))
    await world.trunks.start()
    await asyncio.sleep(300)
    assert len(living.of("OPTIONS")) >= 4
    assert not world.of(GatewayChanged)
    # Calls begin where somebody is.
    (door,) = await world.trunks.doors("acme")
    assert [hop.port for hop in door.hops] == [living.port, silent.port]
    await asyncio.sleep(0)
    del silent.says["OPTIONS"]
    await asyncio.sleep(LAST_FOR + 40)
    (door,) = await world.trunks.doors("acme")
    assert [hop.port for hop in door.hops] == [silent.port, living.port]


async def test_one_that_is_waited_for_is_not_asked_again(world: World) -> None:
    far = await world.far()
    far.says["OPTIONS"] = None
    world.serve(acme=behind(far, options_interval=5.0))
    await world.trunks.start()
    await eventually(lambda: bool(far.asked))
    await asyncio.sleep(30)
    assert len({each.call_id for each in far.asked}) == 1


async def test_that_we_have_no_room_is_not_held_against_a_gateway(world: World) -> None:
    far = await world.far()
    await world.reopen(Limits(clients=0))
    world.serve(acme=behind(far))
    await world.trunks.start()
    await asyncio.sleep(1000)
    assert far.asked == [] and world.told == []
    assert world.trunks.health()["acme"].state is HealthState.BOUND


async def test_a_call_says_which_hop_is_silent(world: World) -> None:
    world.name("carrier.example", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
    world.serve(acme=Trunk(uri="sip:carrier.example", options_interval=0.0))

    async def hosts() -> list[str]:
        (door,) = await world.trunks.doors("acme")
        return [hop.host for hop in door.hops]

    assert await hosts() == ["192.0.2.1", "192.0.2.2"]
    world.trunks.unreached(Hop(transport=Transport.UDP, host="192.0.2.1", port=5060))
    assert await hosts() == ["192.0.2.2", "192.0.2.1"]
    await asyncio.sleep(LAST_FOR + 1)
    assert await hosts() == ["192.0.2.1", "192.0.2.2"]


async def test_a_gateway_fails_once_when_all_of_its_hops_have(world: World) -> None:
    failing, silent = await world.far(), await world.far()
    failing.says["OPTIONS"] = (500, ())
    silent.says["OPTIONS"] = None
    world.name("carrier.example", ("127.0.0.1", failing.port), ("127.0.0.1", silent.port))
    world.serve(acme=Trunk(uri="sip:carrier.example", options_interval=1000.0))
    await world.trunks.start()
    await eventually(lambda: bool(failing.asked))

    def failures() -> int:
        (health,) = world.trunks._lines["acme"].gateways.health(world.station.now())
        return health.failures

    await asyncio.sleep(20)
    assert failures() == 0
    await asyncio.sleep(20)
    assert failures() == 1
    assert world.trunks._lines["acme"].health().state is HealthState.BOUND


async def test_only_so_many_silent_hops_are_kept_in_mind(world: World) -> None:
    hops = [Hop(transport=Transport.UDP, host="192.0.2.1", port=port) for port in range(1, 1100)]
    for hop in hops:
        world.trunks.unreached(hop)
    assert list(world.trunks._places._silent) == hops[-1024:]


async def test_none_are_asked_where_the_interval_is_0_or_the_trunk_is_gone(world: World) -> None:
    far = await world.far()
    world.serve(acme=behind(far, options_interval=0.0), beta=behind(far))
    await world.trunks.start()
    await asyncio.sleep(100)
    count = len(far.asked)
    assert count == pytest.approx(3, abs=1)
    world.serve(acme=behind(far, options_interval=0.0))
    await asyncio.sleep(1000)
    assert len(far.asked) == count
    world.serve(acme=behind(far, options_interval=10.0))
    await asyncio.sleep(101)
    assert len(far.asked) - count >= 9


async def test_what_is_known_of_a_gateway_survives_a_reload(world: World) -> None:
    one, two = Gateway(uri="sip:192.0.2.1"), Gateway(uri="sip:192.0.2.2", priority=1)
    world.serve(acme=Trunk(gateways=(one, two), options_interval=0.0, channels=2))
    await world.trunks.start()
    world.trunks.answered("acme", one.uri, 503, retry_after=600)
    assert world.trunks.admit("acme", "CA1", kind=Admission.ORDINARY) is None
    world.serve(acme=Trunk(gateways=(one, two), options_interval=0.0, channels=1))
    assert await doors(world) == [two.uri]
    assert world.trunks.admit("acme", "CA2", kind=Admission.ORDINARY) is not None


# Where they are


async def test_doors_are_where_dns_says(world: World) -> None:
    world.name("carrier.example", ("192.0.2.1", 5080), ("192.0.2.2", 5070))
    world.serve(acme=Trunk(uri="sip:carrier.example", options_interval=0.0))
    (door,) = await world.trunks.doors("acme")
    assert door == Door(
        gateway=Gateway(uri="sip:carrier.example"),
        hops=(
            Hop(transport=Transport.UDP, host="192.0.2.1", port=5080),
            Hop(transport=Transport.UDP, host="192.0.2.2", port=5070),
        ),
        pinned=False,
    )
    assert await world.trunks.doors("gone") == ()


@pytest.mark.parametrize(
    ("uri", "transport", "expected"),
    [
        ("sip:a.example", TransportChoice.AUTO, "sip:a.example"),
        ("sip:a.example", TransportChoice.TCP, "sip:a.example;transport=tcp"),
        ("sip:a.example;transport=udp", TransportChoice.UDP, "sip:a.example;transport=udp"),
        ("sips:a.example", TransportChoice.TLS, "sips:a.example;transport=tls"),
    ],
)
def test_the_trunks_transport_is_asked_for(
    uri: str, transport: TransportChoice, expected: str
) -> None:
    assert format_uri(target(Gateway(uri=uri), transport)) == expected


@pytest.mark.parametrize(
    ("transport", "spoken", "pinned"),
    [
        (TransportChoice.AUTO, Transport.UDP, False),
        (TransportChoice.UDP, Transport.UDP, True),
        (TransportChoice.TCP, Transport.TCP, False),
        (TransportChoice.TLS, Transport.TLS, False),
    ],
)
async def test_what_is_spoken_is_what_the_trunk_says(
    world: World, transport: TransportChoice, spoken: Transport, pinned: bool
) -> None:
    world.serve(acme=Trunk(uri="sip:192.0.2.1", transport=transport, options_interval=0.0))
    (door,) = await world.trunks.doors("acme")
    assert ([hop.transport for hop in door.hops], door.pinned) == ([spoken], pinned)


async def test_a_gateway_that_dns_does_not_know_is_passed_over_and_counts_as_silent(
    world: World,
) -> None:
    gateways = (Gateway(uri="sip:nowhere.example"), Gateway(uri="sip:192.0.2.1", priority=1))
    world.serve(acme=Trunk(gateways=gateways, options_interval=0.0))
    for _ in range(3):
        assert await doors(world) == ["sip:192.0.2.1"]
    (told,) = world.of(GatewayChanged)
    assert told.health.state is GatewayState.SILENT
    assert "nowhere.example has no address" in told.health.reason


async def test_whose_call_it_is_follows_dns(world: World) -> None:
    world.name("carrier.example", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
    world.serve(
        acme=Trunk(uri="sip:carrier.example", addresses=("198.51.100.0/24",), options_interval=0.0),
        beta=Trunk(
            uri="sip:192.0.2.77",
            inbound=Inbound.BOTH,
            username="bob",
            password="x",
            options_interval=0.0,
        ),
    )
    whose = world.trunks.whose
    assert whose("192.0.2.77") == Belongs(trunk="beta", username="bob")  # before anything runs
    assert whose("198.51.100.9") == Belongs(trunk="acme")
    assert isinstance(whose("192.0.2.1"), Unknown)
    await world.trunks.start()
    assert whose("192.0.2.1") == whose("192.0.2.2") == Belongs(trunk="acme")
    (told,) = world.of(AddressesChanged)
    assert (told.trunk, set(told.addresses)) == ("acme", {"192.0.2.1", "192.0.2.2"})
    world.name("carrier.example", ("192.0.2.3", 5060))
    await asyncio.sleep(61)
    assert whose("192.0.2.3") == Belongs(trunk="acme")
    assert isinstance(whose("192.0.2.1"), Unknown)
    standing = world.trunks.standing("acme")
    assert standing is not None and standing.addresses == ("192.0.2.3",)
    world.dns_goes_away()
    await asyncio.sleep(10_000)
    assert whose("192.0.2.3") == Belongs(trunk="acme")
    world.serve()
    assert isinstance(whose("192.0.2.3"), Unknown)


async def test_a_trunk_that_comes_with_a_reload_is_looked_up_at_once(world: World) -> None:
    world.name("carrier.example", ("192.0.2.1", 5060))
    await world.trunks.start()
    world.serve(acme=Trunk(uri="sip:carrier.example", options_interval=0.0))
    began = world.station.now()
    await eventually(lambda: isinstance(world.trunks.whose("192.0.2.1"), Belongs), 5)
    assert world.station.now() - began < 1


async def test_dns_that_says_too_much_is_cut_short(world: World) -> None:
    gateways = []
    for at in range(6):
        name = f"{at}.example"
        gateways.append(Gateway(uri=f"sip:{name}"))
        srv = tuple(
            Srv(priority=0, weight=0, port=5060, target=f"{each}.{name}") for each in range(32)
        )
        question = Question(kind=Kind.SRV, name=f"_sip._udp.{name}")
        world.names[question] = Found(records=srv, ttl=60)
        for each in range(32):
            found = tuple(f"10.{at}.{each}.{last}" for last in range(8))
            world.names[Question(kind=Kind.A, name=f"{each}.{name}")] = Found(records=found, ttl=60)
    world.serve(acme=Trunk(gateways=tuple(gateways), options_interval=0.0))
    await world.trunks.start()
    standing = world.trunks.standing("acme")
    assert standing is not None and len(standing.addresses) == 256


# Limits and accounts


async def test_channels_and_cps_hold_for_all_but_calls_for_help(world: World) -> None:
    world.serve(acme=Trunk(uri="sip:192.0.2.1", channels=2, cps=100.0, options_interval=0.0))
    admit, ordinary = world.trunks.admit, Admission.ORDINARY
    assert admit("acme", "CA1", kind=ordinary) is None
    assert admit("acme", "CA1", kind=ordinary) is None  # the same call
    assert admit("acme", "CA2", kind=ordinary) is None
    assert admit("acme", "CA3", kind=ordinary) == Full(
        limit=Limit.CHANNELS, allowed=2, retry_at=None
    )
    assert admit("acme", "CA4", kind=Admission.EMERGENCY) is None
    standing = world.trunks.standing("acme")
    assert standing is not None
    assert (standing.trunk, standing.calls) == ("acme", 3)
    assert (standing.channels, standing.cps) == (2, 100.0)
    for call in ("CA1", "CA4", "CA4", "CA9"):
        world.trunks.release("acme", call)
    assert admit("acme", "CA3", kind=ordinary) is None
    assert admit("gone", "CA3", kind=ordinary) is None
    world.trunks.release("gone", "CA3")
    world.serve(acme=Trunk(uri="sip:192.0.2.1", cps=1.0, options_interval=0.0))
    found = [admit("acme", f"CB{at}", kind=ordinary) for at in range(3)]
    assert isinstance(found[-1], Full) and found[-1].limit is Limit.CPS
    assert admit("acme", "CC", kind=Admission.EMERGENCY) is None


async def test_each_call_answers_challenges_by_itself(world: World) -> None:
    world.serve(
        acme=Trunk(uri="sip:192.0.2.1", username="alice", password="secret"),
        beta=Trunk(uri="sip:192.0.2.2"),
        gamma=Trunk(uri="sip:192.0.2.3", username="alice"),
    )
    one, two = world.trunks.sessions("acme"), world.trunks.sessions("acme")
    assert one is not None and one is not two
    for name in ("beta", "gamma", "gone"):
        assert world.trunks.sessions(name) is None


async def test_a_trunk_without_a_gateway_takes_no_calls_of_ours(world: World) -> None:
    world.serve(acme=Trunk(addresses=("192.0.2.0/24",)))
    await world.trunks.start()
    health = world.trunks.health()["acme"]
    assert (health.state, health.reason) == (
        HealthState.DOWN,
        "it has no gateway: calls only come from it",
    )
    assert await doors(world) == []
    assert world.trunks.whose("192.0.2.9") == Belongs(trunk="acme")
    assert world.trunks.standing("gone") is None


async def test_no_password_is_shown(world: World) -> None:
    far = await world.far()
    world.serve(acme=Trunk(uri=far.uri, username="alice", password="hunter2", register=True))
    await world.trunks.start()
    await eventually(lambda: bool(far.of("REGISTER")))
    line = world.trunks._lines["acme"]
    shown = [repr(each) for each in (*world.told, line._account, world.trunks.standing("acme"))]
    assert "hunter2" not in " ".join(shown)

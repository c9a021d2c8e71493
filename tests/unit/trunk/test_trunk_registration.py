"""Registrations of trunks: made, refreshed, moved, refused, taken back, over real sockets."""

import asyncio

import msgspec
import pytest
from held_loop import HeldLoop
from trunk_world import EPOCH, World, contact_of, eventually, registering

from carriers.health import HealthState, Intake
from carriers.trunk_events import (
    Registered,
    RegistrationFailed,
    RegistrationGivenUp,
    RegistrationLost,
    Unregistered,
)
from carriers.trunks import Gateway, Trunk
from protocols.sip.agent_commands import Ask
from protocols.sip.challenge import PROXY, SERVER, Side
from protocols.sip.locating import Found, Kind, Question, Srv
from protocols.sip.message import NameAddr
from protocols.sip.registration_events import Patience, State
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.uri import SipUri, format_uri, parameter
from protocols.sip.wire import Closed, Failed, Opened


@pytest.mark.parametrize("algorithms", [("SHA-256",), ("MD5",), ("SHA-256", "MD5")])
@pytest.mark.parametrize("side", [SERVER, PROXY])
async def test_it_registers_with_a_digest(
    world: World, algorithms: tuple[str, ...], side: Side
) -> None:
    far = await world.far(algorithms=algorithms, side=side)
    world.serve(acme=registering(far))
    await world.trunks.start()
    told = await world.until(Registered)
    assert (told.trunk, told.server, told.refreshed) == ("acme", far.uri, False)
    assert told.expires_at == pytest.approx(world.clock() + 60, abs=5)
    first, second = far.of("REGISTER")
    assert format_uri(second.uri) == "sip:carrier.example"
    assert format_uri(second.to.uri) == format_uri(second.from_.uri) == "sip:alice@carrier.example"
    assert (second.call_id, second.cseq) == (first.call_id, first.cseq + 1)
    _, (host, port) = world.station.endpoint.addresses()[0]
    contact = contact_of(second)
    assert (contact.user, contact.host, contact.port) == ("alice", host, port)
    assert far.bindings() == [f"sip:alice@{host}:{port}"]
    assert world.trunks.health()["acme"].state is HealthState.BOUND
    assert not world.of(RegistrationFailed)


async def test_it_is_refreshed_for_as_long_as_it_is_wanted(world: World) -> None:
    far = await world.far(algorithms=("SHA-256",))
    world.serve(acme=registering(far))
    await world.trunks.start()
    for _ in range(60):
        await asyncio.sleep(10)
        assert len(far.bindings()) == 1
    told = world.of(Registered)
    assert len(told) >= 10
    assert all(each.refreshed for each in told[1:])
    asked = far.of("REGISTER")
    assert len({each.call_id for each in asked}) == 1
    assert [each.cseq for each in asked] == list(range(1, len(asked) + 1))
    assert len({contact_of(each) for each in asked}) == 1
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HeldLoop)
    assert loop.timers("Trunks._ring") == 1
    # The nonce is used again: one request for a refresh, but where the nonce has expired.
    assert len(asked) < 1.5 * len(told)


async def test_who_is_refused_asks_less_and_less_and_gives_up(world: World) -> None:
    far = await world.far()
    far.says["REGISTER"] = (403, ())
    world.another(Patience(refusals=4))
    world.serve(acme=registering(far))
    await world.trunks.start()
    told = await world.until(RegistrationGivenUp)
    assert told.reason == "403 Forbidden"
    assert len(far.of("REGISTER")) == 4
    apart = [after - before for before, after in zip(far.asked_at, far.asked_at[1:], strict=False)]
    assert apart[0] >= 29 and apart[-1] > apart[0]
    failed = world.of(RegistrationFailed)
    assert [each.status for each in failed] == [403] * 4
    assert failed[0].retry_at is not None and failed[0].retry_at > EPOCH
    assert failed[-1].retry_at is None
    health = world.trunks.health()["acme"]
    # It says nothing of calls that go out.
    assert (health.state, health.reason) == (HealthState.DEGRADED, "not registered: 403 Forbidden")
    standing = world.trunks.standing("acme")
    assert standing is not None and standing.registration is not None
    assert standing.registration.state is State.GAVE_UP
    assert standing.trouble == "the registration was given up: 403 Forbidden"
    assert standing.trouble_at == pytest.approx(world.clock(), abs=1)
    await asyncio.sleep(10_000)
    assert len(far.of("REGISTER")) == 4


async def test_a_wrong_password_is_said_so(world: World) -> None:
    far = await world.far(algorithms=("SHA-256",))
    far.password = "other"
    world.serve(acme=registering(far))
    await world.trunks.start()
    told = await world.until(RegistrationFailed)
    assert "the peer does not take our username or password" in told.reason


async def test_a_longer_time_is_asked_for_where_423_says_so(world: World) -> None:
    far = await world.far()
    far.says["REGISTER"] = (423, (("Min-Expires", "7200"),))
    world.serve(acme=registering(far))
    await world.trunks.start()
    await eventually(lambda: len(far.of("REGISTER")) >= 2)
    first, second = far.of("REGISTER")[:2]
    assert (first.headers.first("Expires"), second.headers.first("Expires")) == ("3600", "7200")


async def test_the_second_gateway_stands_in_until_the_first_is_back(world: World) -> None:
    first, second = await world.far(), await world.far()
    port = first.port
    await first.station.close()
    world.serve(acme=registering(first, second))
    await world.trunks.start()
    told = await world.until(Registered)
    assert told.server == second.uri
    failed = world.of(RegistrationFailed)
    assert [(each.server, each.status) for each in failed] == [(first.uri, 0)]
    again = await world.far(port=port)
    await eventually(lambda: bool(again.bindings()))
    moved = [each for each in world.of(Registered) if each.server == again.uri]
    assert len(moved) == 1 and not moved[0].refreshed


async def test_a_silent_gateway_is_left_after_its_time(world: World) -> None:
    first, second = await world.far(), await world.far()
    first.says["REGISTER"] = None
    world.serve(acme=registering(first, second))
    await world.trunks.start()
    await world.until(Registered)
    (failed,) = world.of(RegistrationFailed)
    assert (failed.server, failed.status, failed.reason) == (first.uri, 0, "no answer")
    assert second.asked_at[0] - world.began == pytest.approx(32, abs=3)


async def test_retry_after_rests_the_gateway_that_said_it_alone(world: World) -> None:
    first, second = await world.far(), await world.far()
    first.says["REGISTER"] = (503, (("Retry-After", "1800"),))
    world.serve(acme=registering(first, second))
    await world.trunks.start()
    told = await world.until(Registered)
    assert told.server == second.uri
    del first.says["REGISTER"]
    await asyncio.sleep(1500)  # five times the wish to go back
    assert len(first.of("REGISTER")) == 1
    await eventually(lambda: bool(first.bindings()), 900)


async def test_the_hop_that_answered_is_asked_again_and_silent_ones_are_not(world: World) -> None:
    silent, living = await world.far(), await world.far(algorithms=("MD5",))
    silent.says["REGISTER"] = None
    world.name("carrier.example", ("127.0.0.1", silent.port), ("127.0.0.1", living.port))
    trunk = Trunk(
        uri="sip:carrier.example",
        register=True,
        username="alice",
        password="secret",
        options_interval=0.0,
    )
    world.serve(acme=trunk)
    await world.trunks.start()
    await world.until(Registered, 4)
    assert not world.of(RegistrationFailed)  # a hop that fails is not the server's failure
    assert len({each.cseq for each in silent.of("REGISTER")}) == 1
    assert format_uri(living.asked[0].to.uri) == "sip:alice@carrier.example"


async def test_a_hop_that_falls_silent_is_left_for_the_next_one(world: World) -> None:
    one, two = await world.far(), await world.far()
    world.name("carrier.example", ("127.0.0.1", one.port), ("127.0.0.1", two.port))
    trunk = registering(one)
    world.serve(acme=msgspec.structs.replace(trunk, gateways=(Gateway(uri="sip:carrier.example"),)))
    await world.trunks.start()
    await world.until(Registered)
    one.says["REGISTER"] = None
    await world.until(Registered, 2)
    assert two.bindings()
    silent = len({each.cseq for each in one.of("REGISTER")})
    await world.until(Registered, 6)
    assert len({each.cseq for each in one.of("REGISTER")}) == silent
    assert not world.of(RegistrationFailed)


async def test_calls_begin_at_the_hop_that_registered_us(world: World) -> None:
    silent, living = await world.far(), await world.far()
    silent.says["REGISTER"] = None
    world.name("carrier.example", ("127.0.0.1", silent.port), ("127.0.0.1", living.port))
    gateways = (Gateway(uri="sip:carrier.example"),)
    world.serve(acme=msgspec.structs.replace(registering(living), gateways=gateways))
    hops = [
        Hop(transport=Transport.UDP, host="127.0.0.1", port=each.port) for each in (silent, living)
    ]
    for hop in hops:
        world.trunks.unreached(hop)
    await world.trunks.start()
    await world.until(Registered)
    (door,) = await world.trunks.doors("acme")
    assert door.hops == (hops[1], hops[0])


async def test_a_name_without_an_address_is_a_failure_with_its_reason(world: World) -> None:
    world.serve(
        acme=Trunk(uri="sip:nowhere.example", register=True, username="alice", password="secret")
    )
    await world.trunks.start()
    told = await world.until(RegistrationFailed)
    assert "nowhere.example has no address" in told.reason
    assert told.retry_at is not None


async def test_a_lost_connection_is_made_again_soon(world: World) -> None:
    far = await world.far(transport=Transport.TCP)
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    contact = contact_of(far.asked[0])
    assert parameter(contact.params, "transport") == "tcp"
    assert contact.port == world.station.endpoint.addresses()[1][1][1]
    asked = far.asked_at[0]
    (flow,) = world.trunks._flows  # the one connection
    far.station.endpoint.drop(next(iter(far.station.endpoint._flows.values())).flow)
    await world.until(Registered, 2)
    assert far.asked_at[-1] - asked < 4
    await eventually(lambda: flow not in world.trunks._flows)
    assert len(world.trunks._flows) == 1


async def test_it_hangs_on_the_connection_that_it_was_made_over(world: World) -> None:
    first, second = await world.far(), await world.far(transport=Transport.TCP)
    first.says["REGISTER"] = (500, ())
    world.serve(acme=registering(first, second))
    await world.trunks.start()
    await world.until(Registered)
    ours = Hop(transport=Transport.TCP, host="127.0.0.1", port=second.port)
    theirs = Hop(transport=Transport.UDP, host="127.0.0.1", port=first.port)
    (registration,) = world.trunks._registrations()
    assert registration.goes_by(ours) and not registration.goes_by(theirs)


async def test_a_registration_that_nobody_refreshes_is_lost(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = (500, ())
    told = await world.until(RegistrationLost)
    assert told.reason == "500 Server Internal Error"
    assert world.trunks.health()["acme"].state is HealthState.DEGRADED
    del far.says["REGISTER"]
    await world.until(Registered, 2)
    assert world.trunks.health()["acme"].state is HealthState.BOUND


async def test_what_is_lost_is_not_taken_back(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = (500, ())
    await world.until(RegistrationLost)
    world.serve()
    await asyncio.sleep(100)
    assert world.of(Unregistered) == []
    assert far.of("REGISTER")[-1].headers.first("Expires") != "0"


async def test_calls_go_by_the_service_route(world: World) -> None:
    far = await world.far()
    far.granted = (("Service-Route", "<sip:edge.carrier.example;lr>"),)
    world.serve(acme=registering(far), beta=Trunk(uri=far.uri))
    assert world.trunks.service_route("acme") == ()
    await world.trunks.start()
    await world.until(Registered)
    edge = NameAddr(uri=SipUri(host="edge.carrier.example", params=(("lr", None),)))
    assert world.trunks.service_route("acme") == (edge,)
    assert world.trunks.service_route("beta") == world.trunks.service_route("gone") == ()


async def test_times_are_told_in_seconds_of_the_epoch(world: World) -> None:
    far, gone = await world.far(), await world.far()
    world.serve(acme=registering(far), beta=registering(gone))
    await gone.station.close()
    await world.trunks.start()
    await asyncio.sleep(2)
    now = world.clock()
    standing = world.trunks.standing("acme")
    assert standing is not None and standing.registration is not None
    assert standing.registration.expires_at == pytest.approx(now + 58, abs=1)
    assert standing.registration.next_at is not None
    assert now < standing.registration.next_at < now + 60
    bound_at = world.trunks.health()["acme"].next_bind_at
    assert bound_at == pytest.approx(standing.registration.next_at, abs=0.1)
    health = world.trunks.health()["beta"]
    assert (health.failed_binds, health.failures) == (1, 0)
    assert now < health.next_bind_at < now + 10
    (failed,) = world.of(RegistrationFailed)
    assert failed.retry_at == pytest.approx(health.next_bind_at, abs=0.1)


async def test_without_a_domain_the_carrier_is_its_first_gateway(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far, domain=""))
    await world.trunks.start()
    await world.until(Registered)
    (asked,) = far.of("REGISTER")
    assert format_uri(asked.uri) == f"sip:127.0.0.1:{far.port}"
    assert format_uri(asked.to.uri) == "sip:alice@127.0.0.1"


async def test_a_name_with_every_character_registers(world: World) -> None:
    far = await world.far(algorithms=("MD5",))
    name = 'al"i\\ce@x.example;a=b c?\u00e9'
    world.serve(acme=registering(far, username=name))
    await world.trunks.start()
    await world.until(Registered)
    assert {contact_of(each).user for each in far.asked} == {name}


async def test_who_wants_sips_is_reached_by_sips(world: World) -> None:
    asked: list[tuple[Ask, Hop]] = []
    hop = Hop(transport=Transport.TLS, host="127.0.0.1", port=5061, domain="carrier.example")
    desk = world.trunks._desk
    desk.ask = lambda command, hop, taker: asked.append((command, hop))  # type: ignore[assignment]
    world.names[Question(kind=Kind.SRV, name="_sips._tcp.carrier.example")] = Found(
        records=(Srv(priority=0, weight=0, port=5061, target="edge.example"),), ttl=60
    )
    world.names[Question(kind=Kind.A, name="edge.example")] = Found(records=("127.0.0.1",), ttl=60)
    world.serve(
        acme=Trunk(
            uri="sips:carrier.example",
            register=True,
            username="alice",
            password="x",
            options_interval=0.0,
        )
    )
    await world.trunks.start()
    await eventually(lambda: bool(asked))
    command, place = asked[0]
    assert place == hop
    uri = command.contacts[0].uri
    assert isinstance(uri, SipUri)
    assert (uri.scheme, uri.user, uri.params) == ("sips", "alice", ())
    assert format_uri(command.uri) == "sips:carrier.example"


async def test_what_is_its_own_is_told_from_what_is_others(world: World) -> None:
    far = await world.far(transport=Transport.TCP)
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    known = Hop(transport=Transport.TCP, host="127.0.0.1", port=far.port)
    other = Hop(transport=Transport.TCP, host="127.0.0.1", port=1)

    def opened(number: int, hop: Hop | None) -> Opened:
        flow = Flow(id=number, transport=Transport.TCP, local=("", 0), remote=("", 0))
        return Opened(flow=flow, hop=hop, names=())

    take = world.trunks.take
    assert take(opened(1001, known))
    assert not take(opened(1002, other))
    assert not take(opened(1003, None))
    assert take(Closed(flow=opened(1001, None).flow, reason="gone"))
    for number in (1001, 1002, 1003):
        assert not take(Closed(flow=opened(number, None).flow, reason="gone"))
    assert not take(Failed(destination=known, reason="gone"))
    stranger = world.station.agent.request(
        Ask(
            method="OPTIONS",
            uri=SipUri(host="127.0.0.1"),
            from_=NameAddr(uri=SipUri(host="a.example")),
            to=NameAddr(uri=SipUri(host="b.example")),
        ),
        known,
        world.station.now(),
    )
    world.station.wake()
    await eventually(lambda: any(each.request == stranger for each in world.passed))


# What changes while it runs


async def test_what_did_not_change_stays_registered(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    world.serve(acme=registering(far), beta=Trunk(uri=far.uri))
    world.serve(acme=registering(far, cps=5.0, codecs=("G722",), stop_codes=()))
    trunk = world.trunks.get("acme")
    assert trunk is not None and trunk.cps == 5.0
    assert world.trunks.names() == ("acme",)
    await asyncio.sleep(20)
    assert len(far.of("REGISTER")) == 1
    assert not world.of(Unregistered)


async def test_another_password_begins_anew_after_the_old_one_is_gone(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    world.serve(acme=registering(far, password="other"))
    await world.until(Registered, 2)
    asked = far.of("REGISTER")
    assert [each.headers.first("Expires") for each in asked] == ["3600", "0", "3600"]
    assert asked[0].call_id == asked[1].call_id != asked[2].call_id
    assert len(far.bindings()) == 1
    assert [type(each) for each in world.told] == [Registered, Unregistered, Registered]


async def test_many_changes_at_once_end_in_one_registration(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    for password in ("a", "b", "c"):
        world.serve(acme=registering(far, password=password))
    world.serve()
    world.serve(acme=registering(far, password="d"))
    await world.until(Registered, 2)
    await asyncio.sleep(20)
    asked = far.of("REGISTER")
    assert [each.headers.first("Expires") for each in asked] == ["3600", "0", "3600"]
    assert len(far.bindings()) == 1


async def test_who_does_not_let_go_keeps_the_next_one_waiting_for_seconds(world: World) -> None:
    far, other = await world.far(), await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = None
    began = other.station.now()
    world.serve(acme=registering(other))
    await eventually(lambda: bool(other.bindings()))
    assert other.asked_at[0] - began == pytest.approx(5, abs=1)


async def test_a_trunk_that_is_gone_is_unregistered(world: World) -> None:
    far = await world.far(algorithms=("SHA-256",))
    world.serve(acme=registering(far), beta=Trunk(uri=far.uri))
    await world.trunks.start()
    await world.until(Registered)
    world.serve(beta=Trunk(uri=far.uri))
    assert (world.trunks.names(), world.trunks.get("acme")) == (("beta",), None)
    await world.until(Unregistered)
    assert far.bindings() == []
    await asyncio.sleep(5_000)
    assert far.of("REGISTER")[-1].headers.first("Expires") == "0"


async def test_an_operator_drains_and_resumes(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    world.trunks.steer("acme", Intake.PAUSED)
    assert world.trunks.health()["acme"].state is HealthState.PAUSED
    world.trunks.steer("acme", Intake.DRAINING)
    assert world.trunks.health()["acme"].state is HealthState.DRAINING
    await world.until(Unregistered)
    world.serve(acme=registering(far, password="other"))
    await asyncio.sleep(500)
    assert far.bindings() == []
    world.trunks.steer("acme", Intake.OPEN)
    await world.until(Registered, 2)
    assert world.trunks.health()["acme"].state is HealthState.BOUND
    with pytest.raises(KeyError):
        world.trunks.steer("gone", Intake.PAUSED)


async def test_an_operator_has_what_was_given_up_tried_again(world: World) -> None:
    far = await world.far()
    far.says["REGISTER"] = (403, ())
    world.another(Patience(refusals=1))
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(RegistrationGivenUp)
    del far.says["REGISTER"]
    world.trunks.steer("acme", Intake.OPEN)
    await world.until(Registered)
    world.trunks.steer("acme", Intake.OPEN)
    await asyncio.sleep(10)
    assert len(far.of("REGISTER")) == 2


async def test_one_that_waits_for_its_turn_is_not_begun_by_the_operator(world: World) -> None:
    far, other = await world.far(), await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = None
    world.serve(acme=registering(other))
    world.trunks.steer("acme", Intake.OPEN)
    await asyncio.sleep(4)
    assert other.asked == []
    world.trunks.steer("acme", Intake.DRAINING)
    await asyncio.sleep(100)
    assert other.asked == []


# The end


async def test_close_unregisters_and_leaves_nothing(world: World) -> None:
    one, two = await world.far(algorithms=("MD5",)), await world.far(transport=Transport.TCP)
    world.serve(
        acme=registering(one, options_interval=5.0), beta=registering(two, options_interval=5.0)
    )
    await world.trunks.start()
    await world.until(Registered, 2)
    await asyncio.sleep(30)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HeldLoop)
    assert loop.timers("Trunks._ring") == 1
    began = world.station.now()
    await world.trunks.close(10.0)
    assert world.station.now() - began < 1
    assert loop.timers("Trunks._ring") == 0
    assert (one.bindings(), two.bindings()) == ([], [])
    assert {each.trunk for each in world.of(Unregistered)} == {"acme", "beta"}
    told, asked = len(world.told), len(one.asked) + len(two.asked)
    await asyncio.sleep(100)
    assert world.trunks.ledger() == 0
    assert world.station.agent.ledger() == {}
    assert (len(world.told), len(one.asked) + len(two.asked)) == (told, asked)
    await world.close()
    assert loop.timers() == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_close_waits_no_longer_than_it_may(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = None
    began = world.station.now()
    await world.trunks.close(3.0)
    assert world.station.now() - began == pytest.approx(3.0, abs=0.5)
    await asyncio.sleep(100)  # what was asked ends by itself
    assert world.trunks.ledger() == 0


async def test_close_before_start_and_twice(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far))
    await world.trunks.close(1.0)
    await world.trunks.close(1.0)
    assert far.asked == []
    assert world.trunks.ledger() == 0

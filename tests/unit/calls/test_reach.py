"""The ways to a number: who was rung once is not rung by another, and who is silent is told of."""

from types import SimpleNamespace
from typing import Any

from carriers.call_limits import Admission
from carriers.call_outcomes import outcome_of_call
from carriers.caller_id import Caller
from carriers.routing import Considered, Medium, Plan, Verdict
from carriers.trunk_places import Door
from carriers.trunks import Gateway, Trunk
from gateway.calls.leg import Gone
from gateway.calls.model import Call, CallDirection, CallStatus, Party
from gateway.calls.reach import Asked, NumberArm
from protocols.sip.agent_events import Source
from protocols.sip.transport import Hop, Transport

NUMBER = "+447700900002"
HOPS = tuple(Hop(transport=Transport.UDP, host=f"192.0.2.{each}", port=5060) for each in (1, 2))
CALL = Call(
    account_sid="AC1",
    sid="CA1",
    direction=CallDirection.INBOUND,
    status=CallStatus.RINGING,
    from_address="+447700900001",
    to_address="+15550001000",
    date_created=1.0,
    date_updated=1.0,
)


class Trunks:
    """One trunk, whose gateway is at two hops."""

    def __init__(self) -> None:
        self.silent: list[Hop] = []

    def admit(self, name: str, call: str, *, kind: Admission) -> None:
        return None

    def release(self, name: str, call: str) -> None:
        return None

    async def doors(self, name: str, *, kind: Admission) -> tuple[Door, ...]:
        return (Door(gateway=Gateway(uri="sip:acme.example"), hops=HOPS, pinned=True),)

    def get(self, name: str) -> Trunk:
        return Trunk(uri="sip:acme.example")

    def sessions(self, name: str) -> None:
        return None

    def service_route(self, name: str) -> tuple[()]:
        return ()

    def answered(self, name: str, uri: str, status: int, *, retry_after: int = 0) -> None:
        return None

    def unreached(self, hop: Hop) -> None:
        self.silent.append(hop)


def number_arm(trunks: Trunks) -> NumberArm:
    reach: Any = SimpleNamespace(trunks=trunks)
    asked = Asked(call=CALL, caller=Caller(number="+447700900001"))
    return NumberArm(reach, NUMBER, asked, plan(Considered(carrier="acme", verdict=Verdict.READY)))


def plan(*considered: Considered) -> Plan:
    return Plan(
        to=NUMBER,
        medium=Medium.CALL,
        route=None,
        routes=0,
        candidates=tuple(each for each in considered if each.verdict is Verdict.READY),
        considered=considered,
    )


async def test_that_nobody_takes_it_is_said_with_the_reason() -> None:
    reach: Any = SimpleNamespace(trunks=Trunks())
    asked = Asked(call=CALL, caller=Caller(number="+447700900001"))
    paused = Considered(carrier="acme", verdict=Verdict.PAUSED, medium=Medium.CALL)
    arm = NumberArm(reach, NUMBER, asked, plan(paused))
    assert await arm.next(None, None) is None
    assert arm.reason == (
        f"no carrier for {NUMBER}: no routes are configured, every carrier serves all numbers;"
        " acme: paused by the operator"
    )


def silence() -> Gone:
    return Gone(by=Party.NOBODY, status=408, source=Source.TIMEOUT, reason="no answer")


async def test_the_next_hop_is_tried_where_nobody_answered_and_the_trunk_is_told() -> None:
    trunks = Trunks()
    arm = number_arm(trunks)
    first = await arm.next(None, None)
    assert first is not None and first.destination == HOPS[0]
    second = await arm.next(outcome_of_call(408), silence())
    assert second is not None and second.destination == HOPS[1]
    assert trunks.silent == [HOPS[0]]


async def test_who_was_rung_is_not_rung_by_another_hop() -> None:
    arm = number_arm(Trunks())
    await arm.next(None, None)
    assert await arm.next(outcome_of_call(408, progress=180), silence()) is None


async def test_an_answer_of_the_gateway_says_nothing_against_its_hop() -> None:
    trunks = Trunks()
    arm = number_arm(trunks)
    await arm.next(None, None)
    gone = Gone(by=Party.PEER, status=503, source=Source.PEER, reason="503")
    second = await arm.next(outcome_of_call(503), gone)
    assert second is not None and second.destination == HOPS[1]
    assert trunks.silent == []

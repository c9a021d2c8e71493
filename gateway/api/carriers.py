"""Carriers: `/v1/carriers`, how each stands, and the operator's hand on it.

Everybody may look; carriers are shared by all accounts, so only a main account may steer them.
What a carrier is stands in the config file and is not changed here.
"""

from typing import Final

import msgspec

from carriers.health import Health, Intake
from carriers.model import CarrierKind
from gateway.api.http import answer_json, iso8601, not_found
from gateway.api.resources import Access, Call, Operation, Result
from gateway.trunk_report import RegistrationReport, TrunkReport

_PATH: Final = "/v1/carriers"


class TrunkRegistrationBody(msgspec.Struct, frozen=True, kw_only=True):
    """Our registration at a carrier: `registered` at `server` until `expires_at`, or `trying`.

    It is `gave up` when the account was refused too often: correct it, or `resume` the carrier.
    `failures` are those in a row, `reason` is that of the last one, and the next attempt is in
    `next_in` seconds.
    """

    state: str
    server: str
    expires_at: str | None
    next_in: float | None
    failures: int
    reason: str


class TrunkGatewayBody(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway: `up`, `resting` until `until` because it said so, or `silent`."""

    uri: str
    priority: int
    weight: int
    state: str
    until: str | None
    failures: int
    reason: str


class TrunkBody(msgspec.Struct, frozen=True, kw_only=True):
    """The SIP side of a carrier, as the process sees it that registers it.

    `registration` is null where none is wanted. `calls` of that process are up now; `channels` and
    `cps` limit each process, 0 is no limit. Calls come in from `addresses` of its gateways.
    `trouble` is what went wrong last.
    """

    registration: TrunkRegistrationBody | None
    gateways: list[TrunkGatewayBody]
    calls: int
    channels: int
    cps: float
    addresses: list[str]
    trouble: str
    trouble_at: str | None


class CarrierBody(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier as it stands; `reason` says why it is not `bound`.

    While a bind is down, `failed_binds` counts the attempts in vain and `next_bind_in` is the
    time to the next one, in seconds. Of a carrier of kind `sip` gateways are what binds are of
    the others, and `failed_binds` counts registrations. `trunk` is null where no calls go by it.
    """

    name: str
    kind: str
    state: str
    reason: str
    binds_up: int
    binds_wanted: int
    transmitters_up: int
    failures: int
    failed_binds: int
    next_bind_in: float | None
    since: str | None
    throttled_until: str | None
    trunk: TrunkBody | None


class CarriersBody(msgspec.Struct, frozen=True, kw_only=True):
    """Every carrier, in the order of the config file."""

    carriers: list[CarrierBody]


def carrier_body(
    kind: CarrierKind, health: Health, trunk: TrunkReport | None, now: float
) -> CarrierBody:
    """The JSON of a carrier."""
    wait = round(health.next_bind_at - now, 1) if health.next_bind_at else None
    return CarrierBody(
        name=health.carrier,
        kind=kind,
        state=health.state,
        reason=health.reason,
        binds_up=health.binds_up,
        binds_wanted=health.binds_wanted,
        transmitters_up=health.transmitters_up,
        failures=health.failures,
        failed_binds=health.failed_binds,
        next_bind_in=wait,
        since=iso8601(health.since),
        throttled_until=iso8601(health.throttled_until),
        trunk=None if trunk is None else _trunk_body(trunk, now),
    )


def _trunk_body(trunk: TrunkReport, now: float) -> TrunkBody:
    registration = trunk.registration
    return TrunkBody(
        registration=None if registration is None else _registration_body(registration, now),
        gateways=[
            TrunkGatewayBody(
                uri=each.uri,
                priority=each.priority,
                weight=each.weight,
                state=each.state,
                until=iso8601(each.until or 0.0),
                failures=each.failures,
                reason=each.reason,
            )
            for each in trunk.gateways
        ],
        calls=trunk.calls,
        channels=trunk.channels,
        cps=trunk.cps,
        addresses=list(trunk.addresses),
        trouble=trunk.trouble,
        trouble_at=iso8601(trunk.trouble_at or 0.0),
    )


def _registration_body(registration: RegistrationReport, now: float) -> TrunkRegistrationBody:
    due = registration.next_at
    return TrunkRegistrationBody(
        state=registration.state,
        server=registration.server,
        expires_at=iso8601(registration.expires_at or 0.0),
        next_in=None if due is None else round(max(0.0, due - now), 1),
        failures=registration.failures,
        reason=registration.reason,
    )


def _body(call: Call, name: str) -> CarrierBody:
    carriers = call.services.carriers
    return carrier_body(
        carriers.kind(name), carriers.health(name, call.now), carriers.trunk(name), call.now
    )


async def list_(call: Call) -> Result:
    """Every carrier and how it stands."""
    bodies = [_body(call, name) for name in call.services.carriers.names()]
    return answer_json(CarriersBody(carriers=bodies))


async def fetch(call: Call) -> Result:
    """One carrier and how it stands."""
    name = call.path["Name"]
    if name not in call.services.carriers.names():
        return not_found(call.request.path)
    return answer_json(_body(call, name))


async def pause(call: Call) -> Result:
    """Hand the carrier nothing more; its binds stay up and receipts still come.

    New texts that no other carrier serves are refused (21612), while they wait for a carrier that
    is only down. Calls go by other carriers, but for those for help; the carrier's own still come.
    """
    return await _steer(call, Intake.PAUSED)


async def resume(call: Call) -> Result:
    """Use the carrier again; one that is down is tried at once, and so is a registration."""
    return await _steer(call, Intake.OPEN)


async def drain(call: Call) -> Result:
    """Let the carrier finish what it has, then unbind; a registration is taken back at once."""
    return await _steer(call, Intake.DRAINING)


async def _steer(call: Call, intake: Intake) -> Result:
    name = call.path["Name"]
    if name in call.services.carriers.names():
        await call.services.carriers.steer(name, intake)
    return await fetch(call)


_ONE: Final = f"{_PATH}/{{Name}}"
_COMMANDS: Final = {"pause": pause, "resume": resume, "drain": drain}

OPERATIONS: Final = (
    Operation("ListCarriers", "GET", _PATH, list_, Access.READ, returns=CarriersBody),
    Operation("FetchCarrier", "GET", _ONE, fetch, Access.READ, returns=CarrierBody),
    *(
        Operation(
            *(f"{name.title()}Carrier", "POST", f"{_ONE}/{name}", command, Access.STEER),
            returns=CarrierBody,
        )
        for name, command in _COMMANDS.items()
    ),
)

"""Carriers: `/v1/carriers`, how each stands, and the operator's hand on it.

Everybody may look; carriers are shared by all accounts, so only a main account may steer them.
What a carrier is stands in the config file and is not changed here.
"""

from typing import Final

import msgspec

from carriers.health import Health, Intake
from gateway.api.http import answer_json, iso8601, not_found
from gateway.api.resources import Access, Call, Operation, Result

_PATH: Final = "/v1/carriers"


class CarrierBody(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier as it stands; `reason` says why it is not `bound`.

    While a bind is down, `failed_binds` counts the attempts in vain and `next_bind_in` is the
    time to the next one, in seconds.
    """

    name: str
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


class CarriersBody(msgspec.Struct, frozen=True, kw_only=True):
    """Every carrier, in the order of the config file."""

    carriers: list[CarrierBody]


def carrier_body(health: Health, now: float) -> CarrierBody:
    """The JSON of a carrier's health."""
    wait = round(health.next_bind_at - now, 1) if health.next_bind_at else None
    return CarrierBody(
        name=health.carrier,
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
    )


async def list_(call: Call) -> Result:
    """Every carrier and how it stands."""
    carriers = call.services.carriers
    bodies = [carrier_body(carriers.health(name, call.now), call.now) for name in carriers.names()]
    return answer_json(CarriersBody(carriers=bodies))


async def fetch(call: Call) -> Result:
    """One carrier and how it stands."""
    name, carriers = call.path["Name"], call.services.carriers
    if name not in carriers.names():
        return not_found(call.request.path)
    return answer_json(carrier_body(carriers.health(name, call.now), call.now))


async def pause(call: Call) -> Result:
    """Hand the carrier nothing more; its binds stay up and receipts still come.

    New texts that no other carrier serves are refused (21612), while they wait for a carrier that
    is only down.
    """
    return await _steer(call, Intake.PAUSED)


async def resume(call: Call) -> Result:
    """Use the carrier again; one that is down is tried at once."""
    return await _steer(call, Intake.OPEN)


async def drain(call: Call) -> Result:
    """Let the carrier finish what it has, then unbind."""
    return await _steer(call, Intake.DRAINING)


async def _steer(call: Call, intake: Intake) -> Result:
    name = call.path["Name"]
    if name in call.services.carriers.names():
        await call.services.carriers.steer(name, intake)
    return await fetch(call)


_ONE: Final = f"{_PATH}/{{Name}}"
_COMMANDS: Final = {"pause": pause, "resume": resume, "drain": drain}

OPERATIONS: Final = (
    Operation(
        id="ListCarriers",
        method="GET",
        path=_PATH,
        doc=list_.__doc__ or "",
        handler=list_,
        access=Access.READ,
        returns=CarriersBody,
    ),
    Operation(
        id="FetchCarrier",
        method="GET",
        path=_ONE,
        doc=fetch.__doc__ or "",
        handler=fetch,
        access=Access.READ,
        returns=CarrierBody,
    ),
    *(
        Operation(
            id=f"{name.title()}Carrier",
            method="POST",
            path=f"{_ONE}/{name}",
            doc=command.__doc__ or "",
            handler=command,
            access=Access.STEER,
            returns=CarrierBody,
        )
        for name, command in _COMMANDS.items()
    ),
)

"""What happens to trunks, for who reads the log: a sentence, how much it matters, and times of day.

A registration that was made again in time is told to nobody but a debugger: it is no news.
"""

from datetime import UTC, datetime
from typing import Final

import structlog

from carriers.gateways import GatewayState
from carriers.trunk_events import (
    AddressesChanged,
    GatewayChanged,
    Registered,
    RegistrationFailed,
    RegistrationGivenUp,
    RegistrationLost,
    TrunkEvent,
    Unregistered,
)

_log = structlog.get_logger(__name__)

_SAID: Final[dict[type[TrunkEvent], tuple[str, str]]] = {
    Registered: ("info", "a trunk is registered"),
    RegistrationFailed: ("warning", "a trunk could not be registered"),
    RegistrationLost: ("warning", "a trunk's registration ran out"),
    RegistrationGivenUp: ("error", "a trunk's registration was given up"),
    Unregistered: ("info", "a trunk's registration was taken back"),
    GatewayChanged: ("info", "a trunk's gateway changed"),
    AddressesChanged: ("info", "a trunk's gateways have other addresses"),
}


def told(event: TrunkEvent) -> None:
    """Write it down."""
    level, sentence = _SAID[type(event)]
    fields: dict[str, object] = {
        name: getattr(event, name) for name in event.__struct_fields__ if name != "refreshed"
    }
    match event:
        case Registered(refreshed=True):
            level = "debug"
        case GatewayChanged(health=health):
            level = "info" if health.state is GatewayState.UP else "warning"
            del fields["health"]
            fields |= {"gateway": health.gateway.uri, "state": health.state.value}
            fields |= {"reason": health.reason, "until": health.until}
        case AddressesChanged():
            fields["addresses"] = ", ".join(event.addresses)
    for name in fields.keys() & {"expires_at", "retry_at", "until"}:
        fields[name] = _time_of_day(fields[name])
    getattr(_log, level)(sentence, **{name: value for name, value in fields.items() if value})


def _time_of_day(at: object) -> str:
    if not isinstance(at, float) or at <= 0:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

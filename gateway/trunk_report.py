"""How a SIP trunk stands, as processes tell each other and REST tells people: plain values.

What a peer said in words is made fit for JSON here. Times are seconds since the epoch.
"""

import msgspec

from carriers.gateways import GatewayHealth
from carriers.health import Health
from carriers.trunk_events import TrunkStanding
from protocols.sip.registration_events import Standing
from protocols.sip.uri import format_uri


class RegistrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Our registration at the carrier.

    `server` and `expires_at` are "" and None while nothing stands, `next_at` is None while a
    request is under way or nothing more is due. `failures` are those in a row, `reason` is that of
    the last one since it stood.
    """

    state: str
    server: str
    expires_at: float | None
    next_at: float | None
    failures: int
    reason: str


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway; `until` is None unless it rests, `failures` are those in a row."""

    uri: str
    priority: int
    weight: int
    state: str
    until: float | None
    failures: int
    reason: str


class TrunkReport(msgspec.Struct, frozen=True, kw_only=True):
    """A trunk as the process sees it that keeps it.

    `registration` is None where none is wanted. `calls` are those of that process that are up
    now, `channels` and `cps` the limits of each process, 0 for none. `addresses` are those of its
    gateways. `trouble` is what went wrong last, at `trouble_at`; "" and None if nothing did.
    """

    registration: RegistrationReport | None
    gateways: tuple[GatewayReport, ...]
    calls: int
    channels: int
    cps: float
    addresses: tuple[str, ...]
    trouble: str
    trouble_at: float | None


def report_of(standing: TrunkStanding) -> TrunkReport:
    """What is told of `standing`."""
    return TrunkReport(
        registration=_registration(standing.registration),
        gateways=tuple(_gateway(each) for each in standing.gateways),
        calls=standing.calls,
        channels=standing.channels,
        cps=standing.cps,
        addresses=standing.addresses,
        trouble=_plain(standing.trouble),
        trouble_at=standing.trouble_at or None,
    )


def told_health(health: Health) -> Health:
    """`health` with a reason that fits in JSON."""
    return msgspec.structs.replace(health, reason=_plain(health.reason))


def news_in(report: TrunkReport) -> tuple[object, ...]:
    """What of a report others should hear of at once, if it is another than before."""
    registration = report.registration
    return (
        registration and (registration.state, registration.server, registration.reason),
        tuple((each.uri, each.state, each.reason) for each in report.gateways),
        (report.channels, report.cps, report.addresses, report.trouble),
    )


def _registration(standing: Standing | None) -> RegistrationReport | None:
    if standing is None:
        return None
    return RegistrationReport(
        state=standing.state.value,
        server="" if standing.server is None else format_uri(standing.server),
        expires_at=standing.expires_at,
        next_at=standing.next_at,
        failures=standing.failures,
        reason=_plain(standing.reason),
    )


def _gateway(health: GatewayHealth) -> GatewayReport:
    return GatewayReport(
        uri=health.gateway.uri,
        priority=health.gateway.priority,
        weight=health.gateway.weight,
        state=health.state.value,
        until=health.until or None,
        failures=health.failures,
        reason=_plain(health.reason),
    )


def _plain(text: str) -> str:
    """A peer's octets that are no UTF-8 as a person can read them."""
    return text.encode("utf-8", "backslashreplace").decode()

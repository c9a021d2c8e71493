"""What happened to SIP trunks and how each stands: values, for logs, routing and people.

Times are seconds since the epoch. `trunk` is the carrier's name.
"""

import msgspec

from carriers.gateways import GatewayHealth
from protocols.sip.registration_events import Standing


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier knows where we are, until `expires_at`; `refreshed`: it did before."""

    trunk: str
    server: str
    expires_at: float
    refreshed: bool


class RegistrationFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A server did not register us; `status` is 0 if it did not answer.

    The next attempt is at `retry_at`, None if there is none.
    """

    trunk: str
    server: str
    status: int
    reason: str
    retry_at: float | None


class RegistrationLost(msgspec.Struct, frozen=True, kw_only=True):
    """The registration ran out: the carrier can't reach us by it; attempts go on."""

    trunk: str
    reason: str


class RegistrationGivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier refused the account too often; nothing is tried until the trunk is changed."""

    trunk: str
    reason: str


class Unregistered(msgspec.Struct, frozen=True, kw_only=True):
    """We took the registration back; `reason` says why the carrier may not know it, or is ""."""

    trunk: str
    reason: str


class GatewayChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway takes calls again, or takes none for now."""

    trunk: str
    health: GatewayHealth


class AddressesChanged(msgspec.Struct, frozen=True, kw_only=True):
    """DNS says that the trunk's gateways, which call as well, are at other `addresses`."""

    trunk: str
    addresses: tuple[str, ...]


TrunkEvent = (
    Registered
    | RegistrationFailed
    | RegistrationLost
    | RegistrationGivenUp
    | Unregistered
    | GatewayChanged
    | AddressesChanged
)


class TrunkStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A trunk at one moment.

    `registration` is None where none is wanted. `calls` are those that are counted now, `channels`
    and `cps` their limits, 0 for none. `addresses` are those that DNS has of its gateways.
    `trouble` is what went wrong last, at `trouble_at`; "" and 0 if nothing did.
    """

    trunk: str
    registration: Standing | None
    gateways: tuple[GatewayHealth, ...]
    calls: int
    channels: int
    cps: float
    addresses: tuple[str, ...]
    trouble: str
    trouble_at: float

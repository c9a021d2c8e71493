"""One SIP trunk at work: its gateways, its limits, its registration, and what is to be said of it.

It does what it is told when it is told: `trunk` has the sockets, the timers and all of the lines.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from carriers import trunk_events
from carriers.call_limits import CallLimits
from carriers.gateways import GatewayHealth, Gateways, GatewayState
from carriers.health import Health, HealthState, Intake
from carriers.trunk_desk import Desk
from carriers.trunk_events import TrunkEvent, TrunkStanding
from carriers.trunk_options import Probing, Sign
from carriers.trunk_registration import Registering, account_of
from carriers.trunks import Trunk, gateway_uri
from protocols.sip.locating import numeric
from protocols.sip.registration_events import State

MAX_ADDRESSES: Final = 256
"""Addresses that DNS may have of the gateways of one trunk."""

_MAX_REASONS: Final = 3  # gateways that are named in one sentence
_CLOSED: Final = {
    Intake.PAUSED: (HealthState.PAUSED, "paused by the operator"),
    Intake.DRAINING: (HealthState.DRAINING, "draining: takes no new calls"),
}


class Line:
    """See the module; times are those of the station's clock unless they say otherwise."""

    def __init__(
        self, name: str, trunk: Trunk, desk: Desk, report: Callable[[TrunkEvent], None]
    ) -> None:
        now = desk.station.now()
        self.name = name
        self.trunk = trunk
        self.intake = Intake.OPEN
        self.gateways = Gateways(
            trunk.doors(), interval=trunk.options_interval, random=desk.chance, now=now
        )
        self.limits = CallLimits(cps=trunk.cps, channels=trunk.channels)
        self.registering: Registering | None = None
        self._desk = desk
        self._report = report
        self._probing = Probing(name, trunk, desk, self._signed)
        self._found: dict[str, tuple[str, ...]] = {}
        self._trouble, self._trouble_at = "", 0.0
        self._account = account_of(trunk)
        self._renew(now)
        self._state, self._since = self._judge(self.gateways.health(now))[0], desk.clock()

    # Commands

    def change(self, trunk: Trunk) -> Registering | None:
        """Go on as `trunk` says; gives the registration that has to go, if one has."""
        now = self._desk.station.now()
        before, self.trunk, self._probing.trunk = self._account, trunk, trunk
        self.gateways.change(trunk.doors(), trunk.options_interval, now)
        self.limits.change(cps=trunk.cps, channels=trunk.channels)
        uris = {each.uri for each in trunk.doors()}
        self._found = {uri: known for uri, known in self._found.items() if uri in uris}
        self._account = account_of(trunk)
        if self._account == before:
            return None
        gone = self.registering
        self._renew(now)
        return gone

    def steer(self, intake: Intake) -> Registering | None:
        """Do what the operator says; gives the registration that has to go, if one has.

        A trunk that drains takes its registration back, and registers again when it is resumed.
        """
        was, self.intake = self.intake, intake
        gone = None
        if intake is Intake.DRAINING:
            gone, self.registering = self.registering, None
        elif was is Intake.DRAINING:
            self._renew(self._desk.station.now())
        self.settle()
        return gone

    def answered(
        self, uri: str, status: int, *, retry_after: int = 0, reason: str = "no answer"
    ) -> None:
        """The gateway answered an INVITE or OPTIONS, with 0 not at all."""
        now = self._desk.station.now()
        changed = self.gateways.answered(
            uri, status, now, retry_after=retry_after, reason=reason or "no answer"
        )
        if changed is not None:
            health = self._dated(changed.health)
            self.tell(trunk_events.GatewayChanged(trunk=self.name, health=health))
            self._desk.changed()

    def resolved(self, uri: str, addresses: tuple[str, ...]) -> None:
        """DNS found the gateway at `addresses`."""
        self._found[uri] = addresses

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        if self.registering is not None:
            self.registering.handle_timer(now)
        self._probing.ask_due(self.gateways, now)

    def timer(self) -> float | None:
        """When to call `handle_timer` next."""
        registering = self.registering.timer() if self.registering is not None else None
        due = (registering, self.gateways.timer())
        return min((at for at in due if at is not None), default=None)

    def tell(self, event: TrunkEvent) -> None:
        """Report, and keep what went wrong last."""
        if trouble := _trouble_in(event):
            self._trouble, self._trouble_at = trouble, self._desk.clock()
        self.settle()
        self._report(event)

    # What is asked

    def addresses(self) -> tuple[str, ...]:
        """Where its gateways are: as DNS says, or as their URIs do."""
        found: dict[str, None] = {}
        for each in self.trunk.doors():
            written = numeric(gateway_uri(each).host)
            found.update(dict.fromkeys((written,) if written else self._found.get(each.uri, ())))
        return tuple(found)[:MAX_ADDRESSES]

    def settle(self) -> None:
        """Note in which state it is, and since when."""
        self._settle(self.gateways.health(self._desk.station.now()))

    def health(self) -> Health:
        """For routing: a gateway counts as a bind does. Times are of the epoch."""
        gateways = self.gateways.health(self._desk.station.now())
        reason = self._settle(gateways)
        up = sum([each.state is GatewayState.UP for each in gateways])
        standing = self.registering.standing() if self.registering is not None else None
        next_at = standing.next_at if standing is not None else None
        rest = 0.0 if up else min((each.until for each in gateways), default=0.0)
        return Health(
            carrier=self.name,
            state=self._state,
            binds_up=up,
            binds_wanted=len(gateways),
            transmitters_up=up,
            since=self._since,
            reason=reason,
            throttled_until=self._epoch(rest),
            failures=max([each.failures for each in gateways], default=0),
            failed_binds=standing.failures if standing is not None else 0,
            next_bind_at=self._epoch(next_at or 0.0),
        )

    def standing(self) -> TrunkStanding:
        """For a person; times are of the epoch."""
        registration = self.registering.standing() if self.registering is not None else None
        if registration is not None:
            ends, following = registration.expires_at, registration.next_at
            registration = msgspec.structs.replace(
                registration,
                expires_at=None if ends is None else self._desk.epoch(ends),
                next_at=None if following is None else self._desk.epoch(following),
            )
        now = self._desk.station.now()
        return TrunkStanding(
            trunk=self.name,
            registration=registration,
            gateways=tuple(self._dated(each) for each in self.gateways.health(now)),
            calls=len(self.limits),
            channels=self.trunk.channels,
            cps=self.trunk.cps,
            addresses=self.addresses(),
            trouble=self._trouble,
            trouble_at=self._trouble_at,
        )

    # Inside

    def _renew(self, now: float) -> None:
        """Have the registration that is wanted, which is yet to be started."""
        account, self.registering = self._account, None
        if account is None or self.intake is Intake.DRAINING:
            return
        fresh = Gateways(account.doors, interval=0.0, random=self._desk.chance, now=now)
        self.registering = Registering(
            self.name, account, fresh.order(now), self._desk, report=self.tell
        )

    def _signed(self, sign: Sign) -> None:
        self.answered(sign.uri, sign.status, retry_after=sign.retry_after, reason=sign.reason)

    def _dated(self, health: GatewayHealth) -> GatewayHealth:
        return msgspec.structs.replace(health, until=self._epoch(health.until))

    def _epoch(self, at: float) -> float:
        return self._desk.epoch(at) if at else 0.0

    def _settle(self, gateways: Sequence[GatewayHealth]) -> str:
        """Note the state; gives why it is not `BOUND`."""
        state, reason = self._judge(gateways)
        if state is not self._state:
            self._state, self._since = state, self._desk.clock()
        return reason

    def _judge(self, gateways: Sequence[GatewayHealth]) -> tuple[HealthState, str]:
        closed = _CLOSED.get(self.intake)
        if closed is not None:
            return closed
        if not gateways:
            return HealthState.DOWN, "it has no gateway: calls only come from it"
        down = [each for each in gateways if each.state is not GatewayState.UP]
        if not down:
            return self._judge_registration()
        why = ", ".join(
            f"{each.gateway.uri} is {each.state} ({each.reason})" for each in down[:_MAX_REASONS]
        )
        if len(down) == len(gateways):
            return HealthState.DOWN, why
        up = f"{len(gateways) - len(down)} of {len(gateways)} gateways up"
        return HealthState.DEGRADED, f"{up}: {why}"

    def _judge_registration(self) -> tuple[HealthState, str]:
        standing = self.registering.standing() if self.registering is not None else None
        if standing is not None and standing.state is not State.REGISTERED:
            # It may take calls of ours all the same: many carriers know us by our address.
            return HealthState.DEGRADED, f"not registered: {standing.reason or 'not answered yet'}"
        return HealthState.BOUND, ""


def _trouble_in(event: TrunkEvent) -> str:
    match event:
        case trunk_events.RegistrationFailed(server=server, reason=reason):
            return f"{server} did not register us: {reason}"
        case trunk_events.RegistrationLost(reason=reason):
            return f"the registration ran out: {reason}"
        case trunk_events.RegistrationGivenUp(reason=reason):
            return f"the registration was given up: {reason}"
        case trunk_events.GatewayChanged(health=health) if health.state is not GatewayState.UP:
            return f"{health.gateway.uri} is {health.state}: {health.reason}"
        case _:
            return ""

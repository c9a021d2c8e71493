"""Which gateway of a trunk is asked first, and which are left alone for now.

By priority, among equals at random by weight, as RFC 2782 has it for SRV. One that sent Retry-After
rests until then, it alone; one that leaves several OPTIONS unanswered is out until it has answered
some again. `now` is in seconds of a clock that never goes back.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from carriers.trunks import Gateway

LONGEST_REST: Final = 3600.0  # seconds of a Retry-After that are believed
FAILURES_TO_LEAVE: Final = 3  # in a row
ANSWERS_TO_RETURN: Final = 2

# A gateway that can't take a call; every other answer to OPTIONS, 404 and 405 too, is a sign of
# life: many carriers know no OPTIONS.
DEAD: Final = frozenset({0, 408, 500, 502, 503, 504})


class GatewayState(StrEnum):
    """UP takes calls, RESTING none until a time, SILENT only if no other is left."""

    UP = "up"
    RESTING = "resting"
    SILENT = "silent"


class GatewayHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway at one moment; `until` is 0 unless it rests, `failures` are those in a row."""

    gateway: Gateway
    state: GatewayState
    until: float = 0.0
    failures: int = 0
    reason: str = ""


class GatewayChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway is in another state than before."""

    health: GatewayHealth


class _Door:
    __slots__ = ("answers", "asked_at", "failures", "gateway", "reason", "resting", "silent")

    def __init__(self, gateway: Gateway, asked_at: float) -> None:
        self.gateway = gateway
        self.failures = self.answers = 0
        self.resting = 0.0
        self.silent = False
        self.asked_at = asked_at
        self.reason = ""

    def health(self, now: float) -> GatewayHealth:
        resting = self.resting > now
        state = GatewayState.SILENT if self.silent else GatewayState.UP
        return GatewayHealth(
            gateway=self.gateway,
            state=GatewayState.RESTING if resting else state,
            until=self.resting if resting else 0.0,
            failures=self.failures,
            reason=self.reason if resting or self.silent or self.failures else "",
        )


class Gateways:
    """The gateways of one trunk, each known by its URI.

    OPTIONS are due every `interval` seconds, 0 for never; the first ones are spread over the
    interval by `random` (0 to 1).
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        *,
        interval: float,
        random: Callable[[], float],
        now: float,
    ) -> None:
        self._interval = interval
        self._random = random
        self._doors = {each.uri: _Door(each, now - interval * random()) for each in gateways}

    def order(self, now: float) -> tuple[Gateway, ...]:
        """Those to try with one call, in turn; empty if all of them rest.

        Silent ones are tried only where no other is left: that OPTIONS get no answer is no proof.
        """
        open_ = [door for door in self._doors.values() if door.resting <= now]
        tried = [door for door in open_ if not door.silent] or open_
        if len(tried) == 1:
            return (tried[0].gateway,)
        found: list[Gateway] = []
        for priority in sorted({door.gateway.priority for door in tried}):
            found += self._drawn(
                [door.gateway for door in tried if door.gateway.priority == priority]
            )
        return tuple(found)

    def order_for_help(self, now: float) -> tuple[Gateway, ...]:
        """All of them for a call for help: those of `order`, then who is silent, then who rests."""
        first = self.order(now)
        others = [door for door in self._doors.values() if door.gateway not in first]
        others.sort(key=lambda door: (door.resting > now, door.gateway.priority))
        return (*first, *(door.gateway for door in others))

    def answered(
        self, uri: str, status: int, now: float, *, retry_after: int = 0, reason: str = "no answer"
    ) -> GatewayChanged | None:
        """The gateway answered an INVITE or OPTIONS with `status`, 0 if it did not at all.

        `retry_after` is what the answer said, in seconds, `reason` why there was none. Answers of a
        gateway that is no more are passed over.
        """
        door = self._doors.get(uri)
        if door is None:
            return None
        before = door.health(now).state
        if retry_after > 0 and status >= 300:
            door.resting = max(door.resting, now + min(retry_after, LONGEST_REST))
            door.reason = f"{status} with Retry-After: {retry_after}"
        elif status in DEAD:
            door.failures += 1
            door.answers = 0
            door.silent = door.silent or door.failures >= FAILURES_TO_LEAVE
            door.reason = f"{status}" if status else reason
        else:
            door.answers += 1
            door.failures = 0
            door.silent = door.silent and door.answers < ANSWERS_TO_RETURN
        health = door.health(now)
        return GatewayChanged(health=health) if health.state is not before else None

    def due(self, now: float) -> tuple[Gateway, ...]:
        """Those to send OPTIONS to now; they count as asked. Who rests is left alone."""
        if not self._interval:
            return ()
        found = []
        for door in self._doors.values():
            if door.asked_at + self._interval <= now:
                door.asked_at = now
                if door.resting <= now:
                    found.append(door.gateway)
        return tuple(found)

    def timer(self) -> float | None:
        """When `due` has something next."""
        if not self._interval:
            return None
        return min((door.asked_at + self._interval for door in self._doors.values()), default=None)

    def health(self, now: float) -> tuple[GatewayHealth, ...]:
        """All of them, in the order of the file."""
        return tuple([door.health(now) for door in self._doors.values()])

    def change(self, gateways: Sequence[Gateway], interval: float, now: float) -> None:
        """Go on with `gateways`: what is known of those that stay is kept."""
        self._interval = interval
        doors = {}
        for each in gateways:
            door = self._doors.get(each.uri) or _Door(each, now - interval * self._random())
            door.gateway = each
            doors[each.uri] = door
        self._doors = doors

    def _drawn(self, gateways: list[Gateway]) -> list[Gateway]:
        """All of them in a random order by weight; those of weight 0 come after the others."""
        heavy = [each for each in gateways if each.weight]
        found = []
        while heavy:
            mark = self._random() * sum(each.weight for each in heavy)
            for each in heavy:
                mark -= each.weight
                if mark < 0:
                    break
            found.append(each)
            heavy.remove(each)
        return found + [each for each in gateways if not each.weight]

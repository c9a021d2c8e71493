"""The role `voice`: which SIP trunks this process registers, and all that calls may go by.

Every process with the role knows all trunks, asks their gateways for signs of life and places calls
by them. One among them registers a trunk at its carrier and speaks for it.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from carriers.health import Health, Intake
from carriers.model import Carrier, CarrierKind
from carriers.trunk import Trunks
from carriers.trunk_events import TrunkStanding
from gateway.daemon.ground import Ground
from gateway.store.base import Lease


class TrunkEstate:
    """Trunks by name: an `Estate`, and the fleet's `TrunkService`; empty before `open`."""

    def __init__(
        self,
        ground: Ground,
        reached: Callable[[Carrier], Carrier],
        obey: Callable[[str], None],
    ) -> None:
        """`reached` gives a carrier as it is reached now, `obey` steers one as was ordered."""
        self._ground = ground
        self._reached = reached
        self._obey = obey
        self._owned: dict[str, None] = {}
        self._trunks: Trunks | None = None

    def open(self, trunks: Trunks) -> None:
        """Work on `trunks`, which serve `carriers` already."""
        self._trunks = trunks
        for name in trunks.names():
            self._obey(name)

    def carriers(self) -> Iterator[Carrier]:
        """What trunks are to serve: all carriers, those of others without a registration."""
        for carrier in self._ground.carriers.values():
            reached = self._reached(carrier)
            if reached.trunk is not None and not self._registers(reached):
                trunk = msgspec.structs.replace(reached.trunk, register=False)
                reached = msgspec.structs.replace(reached, trunk=trunk)
            yield reached

    def configured(self) -> list[str]:
        """The trunks of which each has one owner."""
        carriers = self._ground.carriers.values()
        return [each.name for each in carriers if each.kind is CarrierKind.SIP]

    def reload(self) -> None:
        """The carriers changed, or where they are reached."""
        if self._trunks is not None:
            self._trunks.reload(self.carriers())
            for name in self._trunks.names():
                self._obey(name)

    def _registers(self, carrier: Carrier) -> bool:
        return carrier.kind is not CarrierKind.SIP or carrier.name in self._owned

    # -- an estate

    async def take_over(self, name: str, lease: Lease) -> None:
        """`Estate.take_over`."""
        self._owned[name] = None
        self.reload()

    async def give_up(self, name: str) -> None:
        """`Estate.give_up`: the carrier forgets us before another registers."""
        self._owned.pop(name, None)
        self.reload()
        if self._trunks is not None:
            await self._trunks.parted(name)

    # -- what the fleet asks

    def names(self) -> Sequence[str]:
        """`TrunkService.names`."""
        return () if self._trunks is None else self._trunks.names()

    def owned(self) -> Sequence[str]:
        """`TrunkService.owned`."""
        return tuple(self._owned)

    def health_of(self, name: str) -> Health | None:
        """`TrunkService.health_of`."""
        return None if self._trunks is None else self._trunks.health_of(name)

    def standing(self, name: str) -> TrunkStanding | None:
        """`TrunkService.standing`."""
        return None if self._trunks is None else self._trunks.standing(name)

    def intake(self, name: str) -> Intake:
        """`TrunkService.intake`."""
        return Intake.OPEN if self._trunks is None else self._trunks.intake(name)

    def steer(self, name: str, intake: Intake) -> None:
        """`TrunkService.steer`."""
        if self._trunks is not None:
            self._trunks.steer(name, intake)

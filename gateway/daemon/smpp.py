"""The role `smpp`: carriers that are ours, and the deliveries of customers who are bound here."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from gateway import simulators
from gateway.core.owned import Queues
from gateway.core.runner import JobRunner
from gateway.daemon.core import GIVEN_UP_WITHIN
from gateway.daemon.ground import Ground
from gateway.messages.customers.binds import Binds
from gateway.messages.customers.jobs import endpoint_of
from gateway.messages.follow import Follower
from gateway.store.base import Lease


class CarrierEstate:
    """Carriers by name: their binds, and what of their messages is under way."""

    def __init__(
        self,
        ground: Ground,
        network: Network,
        follower: Follower,
        stack: AsyncExitStack,
        opened: Callable[[str], Awaitable[None]],
    ) -> None:
        """`opened` is told when a carrier is served; `stack` ends simulators with the daemon.

        They end after the binds that it opens from here on: what drains has to be answered.
        """
        self._ground = ground
        self._network = network
        self._follower = follower
        self._opened = opened
        self._served: dict[str, Carrier] = {}
        self._simulators: dict[str, simulators.Simulator] = {}
        stack.push_async_callback(self._end_simulators)

    async def take_over(self, name: str, lease: Lease) -> None:
        """`Estate.take_over`."""
        carrier = await self._reached(self._ground.carriers[name])
        try:
            await self._follower.take_over(name)
        except BaseException:
            self._follower.forget(name)
            raise
        self._served[name] = carrier
        self._network.reload(self._served.values())
        await self._opened(name)

    async def give_up(self, name: str) -> None:
        """`Estate.give_up`."""
        if self._served.pop(name, None) is None:
            return
        self._network.reload(self._served.values())
        await self._follower.give_up(name)
        simulator = self._simulators.pop(name, None)
        if simulator is not None:
            await simulator.close()

    async def reload(self) -> None:
        """The config file was read again: what it changed of the carriers that are ours."""
        for name in self._served:
            if name in self._ground.carriers:
                self._served[name] = await self._reached(self._ground.carriers[name])
        self._network.reload(self._served.values())

    def reached(self, carrier: Carrier) -> Carrier:
        """`carrier` as it is reached now: a simulated one at its simulator, if that runs here."""
        return self._served.get(carrier.name, carrier)

    async def tell_gateway(self, name: str, address: tuple[str, int]) -> None:
        """Tell a simulated carrier where our SIP is; nothing for any other."""
        simulator = self._simulators.get(name)
        if simulator is not None:
            await simulator.tell_gateway(*address)

    def control_url(self, name: str) -> str:
        """Where a simulated carrier that is ours takes orders; "" for any other."""
        simulator = self._simulators.get(name)
        return "" if simulator is None else simulator.control_url

    async def _reached(self, carrier: Carrier) -> Carrier:
        """The carrier with its address; a simulated one is started for it."""
        if carrier.kind is not CarrierKind.SIMULATED:
            return carrier
        simulator = self._simulators.get(carrier.name)
        if simulator is None:
            simulator = await simulators.start(carrier, self._ground.data)
            self._simulators[carrier.name] = simulator
        return simulator.reached(carrier)

    async def _end_simulators(self) -> None:
        for each in self._simulators.values():
            await each.close()


class CustomerEstate:
    """Customers by system_id: their deliveries."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    async def take_over(self, name: str, lease: Lease) -> None:
        """`Estate.take_over`."""
        await self._runner.take_over(_queue(name))

    async def give_up(self, name: str) -> None:
        """`Estate.give_up`."""
        await self._runner.give_up(_queue(name), GIVEN_UP_WITHIN)


def _queue(system_id: str) -> Queues:
    return Queues(customers=frozenset({endpoint_of(system_id)}))


def bound(ground: Ground, binds: Binds) -> list[str]:
    """The customers that are bound here: their deliveries are ours to make."""
    return [each.system_id for each in ground.customers if binds.of(each.system_id)]

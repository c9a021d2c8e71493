"""SIP trunks at work: registered, asked for signs of life, found by DNS, held to their limits.

They work over a station and a resolver that belong to somebody else: what that station tells is
handed to `take` first. Calls are made by whoever asks for `doors` and says what came of them.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from carriers import trunk_events
from carriers.call_limits import Admission, Full
from carriers.health import Health, Intake
from carriers.inbound import Belongs, Doorkeeper, Unknown
from carriers.model import Carrier
from carriers.trunk_desk import Desk
from carriers.trunk_events import TrunkEvent, TrunkStanding
from carriers.trunk_line import Line
from carriers.trunk_places import Door as Door
from carriers.trunk_places import Places
from carriers.trunk_registration import Registering, sessions_of
from carriers.trunks import Gateway, Trunk
from protocols.sip.agent_events import Responded
from protocols.sip.digest import Sessions
from protocols.sip.locating import Unlocated
from protocols.sip.message import NameAddr
from protocols.sip.registration_events import Patience
from protocols.sip.resolver import Resolver
from protocols.sip.station import Station
from protocols.sip.transport import Hop
from protocols.sip.wire import Closed, Failed, Opened

LOOK_EVERY: Final = 60.0
"""Seconds between two questions to DNS where the gateways are that may call."""

_FIRST_LOOK: Final = 5.0  # seconds that `start` waits for DNS, at most
_PARTING: Final = 5.0  # seconds that a registration has to go before the next one takes its place
_PATIENCE: Final = Patience()


class Trunks:
    """The SIP trunks of one process; see the module."""

    def __init__(
        self,
        station: Station,
        resolver: Resolver,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        token: Callable[[], str],
        report: Callable[[TrunkEvent], None],
        patience: Patience = _PATIENCE,
    ) -> None:
        """`clock` gives seconds since the epoch, for what people read; all that is due goes by
        the station's. `chance` gives numbers from 0 to below 1, `token` texts that nobody can
        guess. `report` is told what happens, `patience` is that of registrations.
        """
        self._station = station
        self._places = Places(resolver, station.now)
        self._token = token
        self._report = report
        self._desk = Desk(
            station,
            self._places,
            clock=clock,
            chance=chance,
            token=token,
            changed=self._changed,
            patience=patience,
        )
        self._lines: dict[str, Line] = {}
        self._keeper = Doorkeeper({})
        # Registrations that are being taken back: until when that may take, and what follows.
        self._leaving: dict[Registering, tuple[float, Registering | None]] = {}
        self._flows: dict[int, Hop] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._started = False
        self._look = asyncio.Event()
        self._looked = asyncio.Event()
        self._quiet = asyncio.Event()
        self._gone = asyncio.Event()

    # Its life

    async def start(self) -> None:
        """Register, and look where everybody is, for a few seconds at most before it returns."""
        self._started = True
        for line in self._lines.values():
            if line.registering is not None:
                line.registering.start()
        self._changed()
        self._desk.do(self._watch(), "trunks: look where they are")
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK):
                await self._looked.wait()

    async def parted(self, name: str) -> None:
        """Return when no registration of `name` is being taken back any more."""
        while any(each.name == name for each in self._leaving):
            self._gone.clear()
            await self._gone.wait()

    async def close(self, patience: float) -> None:
        """Take registrations back, for `patience` seconds at most; nothing runs after it.

        The station has to go on meanwhile, and what it tells to come to `take`.
        """
        if self._started:
            for line in self._lines.values():
                if line.registering is not None:
                    self._leave(line.registering, math.inf, None)
            if self._leaving:
                self._quiet.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._quiet.wait()
        self._started = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        await self._desk.close()

    def reload(self, carriers: Iterable[Carrier]) -> None:
        """Serve exactly those of `carriers` that have a trunk.

        A registration whose account and gateways are as they were stays, and so do calls and what
        is known of gateways. Another one is taken back before its successor begins.
        """
        wanted = {each.name: each.trunk for each in carriers if each.trunk is not None}
        before, self._lines = self._lines, {}
        for name, trunk in wanted.items():
            line = before.pop(name, None)
            if line is None:
                line = Line(name, trunk, self._desk, self._report)
                self._begin(None, line.registering)
            elif line.trunk != trunk:
                self._begin(line.change(trunk), line.registering)
            self._lines[name] = line
        for line in before.values():
            self._begin(line.registering, None)
        self._keep()
        self._look.set()
        self._changed()

    def steer(self, name: str, intake: Intake) -> None:
        """Do what the operator says of new calls; KeyError for a trunk that is not served.

        A registration that was given up is tried again.
        """
        line = self._lines[name]
        gone = line.steer(intake)
        self._begin(gone, line.registering)

    # What happens

    def take(self, event: Responded | Opened | Closed | Failed) -> bool:
        """Whether `event` was about something of a trunk's own.

        A connection that registrations go by may bear calls as well: others look at it too.
        """
        match event:
            case Responded():
                return self._desk.take(event)
            case Opened(flow=flow, hop=hop) if hop is not None:
                self._flows[flow.id] = hop
                return any(each.goes_by(hop) for each in self._registrations())
            case Closed(flow=flow, reason=reason):
                gone = self._flows.pop(flow.id, None)
                if gone is None:
                    return False
                return any([each.flow_lost(gone, reason) for each in self._registrations()])
            case _:
                return False  # what was sent there is answered for by the agent

    def answered(self, name: str, uri: str, status: int, *, retry_after: int = 0) -> None:
        """A gateway's final answer to an INVITE, 0 if there was none; `retry_after` in seconds."""
        line = self._lines.get(name)
        if line is not None:
            line.answered(uri, status, retry_after=retry_after)

    def unreached(self, hop: Hop) -> None:
        """Nothing came back from `hop`: calls of the next minute try it last."""
        self._places.failed(hop)

    # Calls

    async def doors(self, name: str, *, kind: Admission = Admission.ORDINARY) -> tuple[Door, ...]:
        """Where to try a call by `name`, in turn; may take as long as DNS does.

        A gateway that DNS knows no way to is passed over, and counts as silent. A call for help
        is tried at those that rest, too, when all others were.
        """
        line = self._lines.get(name)
        if line is None:
            return ()
        trunk = line.trunk
        now, gateways = self._station.now(), line.gateways
        helps = kind is Admission.EMERGENCY
        ordered = gateways.order_for_help(now) if helps else gateways.order(now)
        found = await self._find(trunk, ordered)
        doors = []
        for gateway, each in found:
            if isinstance(each, Unlocated):
                line.answered(gateway.uri, 0, reason=each.reason)
            else:
                doors.append(each)
        return tuple(doors)

    def admit(self, name: str, call: str, *, kind: Admission) -> Full | None:
        """Count `call`, which begins now; why not if the trunk's limits are reached."""
        line = self._lines.get(name)
        if line is None:
            return None
        now = self._station.now()
        if kind is Admission.EMERGENCY:
            line.limits.admit_emergency(call, now)
            return None
        return line.limits.admit(call, now)

    def release(self, name: str, call: str) -> None:
        """`call` is over, or goes by another trunk."""
        line = self._lines.get(name)
        if line is not None:
            line.limits.end(call)

    def sessions(self, name: str) -> Sessions | None:
        """What answers the challenges to one call; None without an account."""
        line = self._lines.get(name)
        if line is None or not (line.trunk.username and line.trunk.password):
            return None
        return sessions_of(line.trunk.username, line.trunk.password, self._token)

    def service_route(self, name: str) -> tuple[NameAddr, ...]:
        """What calls go by while we are registered, if the registrar said so (RFC 3608)."""
        line = self._lines.get(name)
        if line is None or line.registering is None:
            return ()
        return line.registering.service_route

    def whose(self, address: str) -> Belongs | Unknown:
        """Whose call it is that came from `address`, an IP address without brackets."""
        return self._keeper.whose(address)

    # What is asked

    def names(self) -> tuple[str, ...]:
        """Those that are served, in the order of the file."""
        return tuple(self._lines)

    def get(self, name: str) -> Trunk | None:
        """What the file says of a trunk."""
        line = self._lines.get(name)
        return None if line is None else line.trunk

    def health(self) -> Mapping[str, Health]:
        """For routing: how each is, by its name."""
        return {name: line.health() for name, line in self._lines.items()}

    def intake(self, name: str) -> Intake:
        """What the operator said last; KeyError for a trunk that is not served."""
        return self._lines[name].intake

    def health_of(self, name: str) -> Health | None:
        """How one is; None for a trunk that is not served."""
        line = self._lines.get(name)
        return None if line is None else line.health()

    def standing(self, name: str) -> TrunkStanding | None:
        """Everything about a trunk, for a person."""
        line = self._lines.get(name)
        return None if line is None else line.standing()

    def ledger(self) -> int:
        """How many requests, tasks and timers there are: 0 after `close`, when all is answered."""
        return len(self._desk) + (self._alarm is not None)

    # Registrations that come and go

    def _registrations(self) -> Iterator[Registering]:
        for line in self._lines.values():
            if line.registering is not None:
                yield line.registering

    def _begin(self, gone: Registering | None, following: Registering | None) -> None:
        """Let one registration follow another: the same contact must not be taken back after."""
        if not self._started:
            return
        name = next((each.name for each in (gone, following) if each is not None), "")
        for each, (until, _) in self._leaving.items():
            if each.name == name:  # what waits for it was never begun
                self._leaving[each] = (until, following)
                return
        if gone is not None:
            self._leave(gone, self._station.now() + _PARTING, following)
        elif following is not None:
            following.start()

    def _leave(self, gone: Registering, until: float, following: Registering | None) -> None:
        self._leaving[gone] = (until, following)
        gone.close()

    def _changed(self) -> None:
        """Something is due at another time, or over."""
        if not self._started:
            return
        now = self._station.now()
        over = [each for each, (at, _) in self._leaving.items() if each.over or at <= now]
        if over:
            self._gone.set()
        for each in over:
            _, following = self._leaving.pop(each, (0.0, None))
            if following is not None:
                following.start()
        if not self._leaving:
            self._quiet.set()
        self._arm()

    def _arm(self) -> None:
        due = [at for line in self._lines.values() if (at := line.timer()) is not None]
        due += [at for at, _ in self._leaving.values() if at < math.inf]
        if self._alarm is not None:
            # uvloop's handle of what is due at once has no time to ask for.
            if due and self._alarm_at == min(due):
                return
            self._alarm.cancel()
        self._alarm_at = min(due, default=math.inf)
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(self._alarm_at, self._ring) if due else None

    def _ring(self) -> None:
        self._alarm = None
        now = self._station.now()
        for line in list(self._lines.values()):
            line.handle_timer(now)
        self._changed()

    # Where they are

    async def _watch(self) -> None:
        while True:
            self._look.clear()
            await self._look_around()
            self._looked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look.wait()

    async def _look_around(self) -> None:
        await asyncio.gather(*(self._look_at(line) for line in self._lines.values()))

    async def _look_at(self, line: Line) -> None:
        before, trunk = line.addresses(), line.trunk
        for gateway, found in await self._find(trunk, trunk.doors()):
            if isinstance(found, Door):  # else what was known before still holds
                line.resolved(gateway.uri, tuple(hop.host for hop in found.hops))
        after = line.addresses()
        if after != before and self._lines.get(line.name) is line:
            self._keep()
            line.tell(trunk_events.AddressesChanged(trunk=line.name, addresses=after))

    def _keep(self) -> None:
        self._keeper = Doorkeeper(
            {name: line.trunk for name, line in self._lines.items()},
            {name: line.addresses() for name, line in self._lines.items()},
        )

    async def _find(
        self, trunk: Trunk, gateways: Iterable[Gateway]
    ) -> list[tuple[Gateway, Door | Unlocated]]:
        asked = tuple(gateways)
        if len(asked) == 1:
            return [(asked[0], await self._places.find(asked[0], trunk.transport))]
        finding = (self._places.find(each, trunk.transport) for each in asked)
        return list(zip(asked, await asyncio.gather(*finding), strict=True))

"""All carriers as this process sees them: its own at first hand, the others as their owners say.

The owner of a carrier writes how it is into the store, and reads there what an operator wants of
it; the operator may have asked any process. What is wanted is kept: a paused carrier is paused
after a restart too. A trunk is obeyed for by every process that places calls by it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import structlog

from carriers.health import Health, HealthState, Intake
from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from carriers.trunk_events import TrunkStanding
from gateway.messages.ownership import Owner
from gateway.store.base import Fenced, Insert, Query, Store, StoreError, Update, Write
from gateway.trunk_report import TrunkReport, news_in, report_of, told_health

_log = structlog.get_logger(__name__)

HINT: Final = "carriers"  # somebody gave an order
_LOOK_EVERY: Final = 1.0  # seconds
_SAY_EVERY: Final = 5.0  # seconds between words about a carrier of which there is nothing new
_SILENT_AFTER: Final = 15.0  # seconds after which the word of an owner is not believed any more
_OBEYED_WITHIN: Final = 3.0  # seconds that an operator waits to see the order carried out

_FIRST_STATE: Final = Insert(
    table="carrier_states", columns=("name", "holder", "state", "at"), ignore_taken=("name",)
)
_STATE: Final = Update(table="carrier_states", key=("name",), columns=("holder", "state", "at"))
_STATES: Final = Query("carrier_states", "SELECT name, state, at FROM carrier_states")
_FIRST_ORDER: Final = Insert(
    table="carrier_orders", columns=("name", "intake", "at"), ignore_taken=("name",)
)
_ORDER: Final = Update(table="carrier_orders", key=("name",), columns=("intake", "at"))
_ORDERS: Final = Query("carrier_orders", "SELECT name, intake, at FROM carrier_orders")
_OBEYED: Final = {
    Intake.PAUSED: frozenset({HealthState.PAUSED}),
    Intake.DRAINING: frozenset({HealthState.DRAINING}),
    Intake.OPEN: frozenset({HealthState.BOUND, HealthState.DEGRADED, HealthState.DOWN}),
}


class TrunkService(Protocol):
    """The trunks of this process: none where it has no calls."""

    def names(self) -> Sequence[str]:
        """Those that calls go by here, whoever registers them."""
        ...

    def owned(self) -> Sequence[str]:
        """Those that this process registers and speaks for."""
        ...

    def health_of(self, name: str) -> Health | None:
        """How one is; None for one that is not served."""
        ...

    def standing(self, name: str) -> TrunkStanding | None:
        """Everything about one; None for one that is not served."""
        ...

    def intake(self, name: str) -> Intake:
        """What it was steered to last."""
        ...

    def steer(self, name: str, intake: Intake) -> None:
        """Let calls go by it or not; a registration that was given up is tried again."""
        ...


class CarrierReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner says: the health, and where a simulated carrier takes orders ("" if none).

    `trunk` is there for a carrier that calls go by.
    """

    health: Health
    control_url: str = ""
    trunk: TrunkReport | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants of a carrier, and when it was said."""

    intake: Intake = Intake.OPEN
    at: float = 0.0


_NO_ORDER: Final = Order()


class _Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The last word about a carrier: when its owner wrote it, when that was news here."""

    report: CarrierReport
    at: float
    news_at: float


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(CarrierReport)


class Fleet:
    """Tells and steers; `run` keeps it up to date."""

    def __init__(
        self,
        *,
        store: Store,
        network: Network,
        trunks: TrunkService,
        configured: Mapping[str, Carrier],
        control_url: Callable[[str], str],
        owner: Owner,
        holder: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`configured` are the carriers of the config file, `control_url` gives a simulator's of
        ours.
        """
        self._store = store
        self._network = network
        self._trunks = trunks
        self._configured = configured
        self._control_url = control_url
        self._owner = owner
        self._holder = holder
        self._clock = clock
        self._monotonic = monotonic
        self._heard: dict[str, _Heard] = {}
        self._orders: dict[str, Order] = {}
        self._done: dict[str, float] = {}
        self._said: dict[str, tuple[CarrierReport, float]] = {}
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Condition()

    def start(self) -> None:
        """Look again and again, in the background: there are others."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="fleet")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # -- what REST and routing ask ---------------------------------------------------------

    def names(self) -> Sequence[str]:
        """Every configured carrier."""
        return list(self._configured)

    def kind(self, carrier: str) -> CarrierKind:
        """What is spoken with `carrier`, which is configured."""
        return self._configured[carrier].kind

    def health(self, carrier: str, now: float) -> Health:
        """How `carrier` stands."""
        if carrier in self._network.names():
            return self._network.health(carrier, now)
        ours = self._trunks.health_of(carrier) if carrier in self._trunks.owned() else None
        if ours is not None:
            return told_health(ours)
        report = self._believed(carrier)
        if report is not None:
            return report.health
        heard = self._heard.get(carrier)
        role = "voice" if self.kind(carrier) is CarrierKind.SIP else "smpp"
        return Health(
            carrier=carrier,
            state=HealthState.DOWN,
            binds_up=0,
            binds_wanted=0,
            transmitters_up=0,
            since=now if heard is None else heard.at,
            reason=f"no process with the role {role} serves it",
        )

    def trunk(self, carrier: str) -> TrunkReport | None:
        """How the SIP side of `carrier` stands; None if it has none, or nobody tells."""
        if self._speaks_for(carrier):
            standing = self._trunks.standing(carrier)
            return None if standing is None else report_of(standing)
        report = self._believed(carrier)
        return None if report is None else report.trunk

    def healths(self, carriers: Sequence[str], now: float) -> dict[str, Health]:
        """How each of `carriers` stands."""
        return {name: self.health(name, now) for name in carriers}

    def _speaks_for(self, carrier: str) -> bool:
        """Whether how `carrier` is, is this process's to say."""
        return carrier in self._network.names() or carrier in self._trunks.owned()

    def _believed(self, carrier: str) -> CarrierReport | None:
        """What the owner said of a carrier, unless that was too long ago."""
        heard = self._heard.get(carrier)
        if heard is None or self._monotonic() - heard.news_at >= _SILENT_AFTER:
            return None
        return heard.report

    def control_urls(self) -> list[str]:
        """Where the simulated carriers take orders, whoever runs them."""
        ours = [self._control_url(name) for name in self._configured]
        others = [each.report.control_url for each in self._heard.values()]
        return list(dict.fromkeys(url for url in (*ours, *others) if url))

    async def steer(self, carrier: str, intake: Intake) -> None:
        """Let the owner of `carrier` hand it traffic or not; returns when it does, if that is soon.

        Raises `StoreUnavailable` if the order can't be kept.
        """
        now = self._clock()
        await self._store.commit(
            [(_FIRST_ORDER, (carrier, intake.value, now)), (_ORDER, (carrier, intake.value, now))]
        )
        self._orders[carrier] = Order(intake=intake, at=now)
        self._store.hint(HINT)
        self.obey(carrier)
        if self._speaks_for(carrier):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_OBEYED_WITHIN), self._looked:
                await self._looked.wait_for(lambda: self._is_obeyed(carrier, intake))

    def _is_obeyed(self, carrier: str, intake: Intake) -> bool:
        return self.health(carrier, self._clock()).state in _OBEYED[intake]

    def obey(self, carrier: str) -> None:
        """Make of a carrier that is ours what was ordered."""
        order = self._orders.get(carrier, _NO_ORDER)
        if carrier in self._network.names():
            self._obey_binds(carrier, order)
        if carrier in self._trunks.names():
            self._obey_trunk(carrier, order)

    def _obey_binds(self, carrier: str, order: Order) -> None:
        now = self._clock()
        if self._network.intake(carrier) is order.intake:
            return
        match order.intake:
            case Intake.PAUSED:
                self._network.pause(carrier, now)
            case Intake.DRAINING:
                self._network.drain(carrier, now)
            case Intake.OPEN:
                self._network.resume(carrier, now)

    def _obey_trunk(self, carrier: str, order: Order) -> None:
        """An order is carried out again if it was given again: resuming tries to register."""
        known = self._done.setdefault(carrier, order.at)
        if known != order.at or self._trunks.intake(carrier) is not order.intake:
            self._done[carrier] = order.at
            self._trunks.steer(carrier, order.intake)

    # -- keeping up ------------------------------------------------------------------------

    async def _run(self) -> None:
        hinted = self._store.watch(HINT)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await hinted.wait()
            hinted.clear()
            try:
                await self.look()
            except Fenced:
                return  # the process ends
            except StoreError as error:
                _log.warning("the state of carriers can't be exchanged", reason=str(error))
            except Exception:
                _log.exception("the state of carriers can't be exchanged")

    async def look(self) -> None:
        """Read what others wrote, carry out orders, write how our own carriers are."""
        self._orders = {
            name: Order(intake=Intake(intake), at=at)
            for name, intake, at in await self._store.fetch(_ORDERS)
        }
        for name in {*self._network.names(), *self._trunks.names()}:
            self.obey(name)
        now = self._monotonic()
        for name, state, at in await self._store.fetch(_STATES):
            heard = self._heard.get(name)
            if heard is None or heard.at != at:
                with suppress(msgspec.DecodeError):  # another version's: as if it were silent
                    report = _decoder.decode(state)
                    self._heard[name] = _Heard(report=report, at=at, news_at=now)
        news = self._news()
        if news:
            await self._store.commit(
                [write for name, report in news.items() for write in self._saying(name, report)],
                self._owner.lease(),
            )
            said_at = self._clock()
            self._said.update((name, (report, said_at)) for name, report in news.items())
            self._store.hint(HINT)
        async with self._looked:
            self._looked.notify_all()

    def _news(self) -> dict[str, CarrierReport]:
        """How our carriers are, of those of which there is something new to say."""
        now = self._clock()
        news: dict[str, CarrierReport] = {}
        for name in dict.fromkeys((*self._network.names(), *self._trunks.owned())):
            report = CarrierReport(
                health=self.health(name, now),
                control_url=self._control_url(name),
                trunk=self.trunk(name),
            )
            said, at = self._said.get(name, (None, 0.0))
            if said is None or _news_in(report) != _news_in(said) or abs(now - at) >= _SAY_EVERY:
                news[name] = report
        return news

    def _saying(self, name: str, report: CarrierReport) -> list[Write]:
        row = (name, self._holder, _encode(report).decode(), self._clock())
        return [(_FIRST_STATE, row), (_STATE, row)]


def _news_in(report: CarrierReport) -> object:
    """What of a report is told at once. Calls come and go, times are never twice the same."""
    if report.trunk is None:
        return report
    health = msgspec.structs.replace(
        report.health, since=0.0, throttled_until=0.0, next_bind_at=0.0
    )
    return health, report.control_url, news_in(report.trunk)

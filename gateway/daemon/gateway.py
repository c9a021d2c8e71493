"""The gateway as an object: what its roles need, put together, begun and ended in order.

Tests start real ones on port 0. `start` makes the rooms from the store upwards, `close` takes
them down in the reverse order; `reload` takes a changed config file.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from carriers.network import Network
from carriers.routing import Medium, Plan, RouteRequest
from gateway import listening, metrics, tls
from gateway.api.app import build_app, build_status_app
from gateway.api.services import ApiLimits, Services
from gateway.bus.base import Bus
from gateway.bus.embedded import EmbeddedBus
from gateway.config import Config
from gateway.core.replay import Replay
from gateway.core.runner import Handler
from gateway.core.tracking.tracker import Tracker
from gateway.daemon import voice, work
from gateway.daemon.core import SHARD_NAMES, JobsEstate, Maker, WorksEstate
from gateway.daemon.ground import Ground, chance
from gateway.daemon.recordings import recordings
from gateway.daemon.sinks import Sinks
from gateway.daemon.smpp import CarrierEstate, CustomerEstate, bound
from gateway.daemon.trunks import TrunkEstate
from gateway.daemon.voice import Voice
from gateway.fleet import Fleet
from gateway.janitor import Janitor, Kept
from gateway.messages import inbound, path
from gateway.messages.asked import sender_judge
from gateway.messages.callbacks import CallbackPolicy
from gateway.messages.copies import prune_inbound
from gateway.messages.customers.binds import Binds
from gateway.messages.customers.delivery import Deliveries
from gateway.messages.customers.intake import Intake
from gateway.messages.customers.server import CustomerServer
from gateway.messages.customers.unfinished import Unfinished
from gateway.messages.follow import Follower
from gateway.messages.idempotency import prune_idempotency
from gateway.messages.service import Messages
from gateway.messages.submit import Submitter
from gateway.messages.timeline import timeline
from gateway.messages.wiped import prune_wiped
from gateway.owners import EVERY_ROLE, Group, Owners, Role, Sharing, new_holder
from gateway.store.base import Lease, Write
from gateway.webhooks.cookies import CookieBook

if TYPE_CHECKING:
    from gateway.daemon.kafka import Kafka

_log = structlog.get_logger(__name__)
PORTS = "ports.json"
_RELOADED = ("carriers", "routes", "numbers", "customers", "domains", "sources", "turn")
_ALL = 2**62  # facts: what Kafka has not got yet stays, and accepts are refused at the bound
_FORGETS = (prune_idempotency, prune_inbound, prune_wiped)
_QUEUES = ("jobs", "customer")  # kinds of names that are ours anyway where nobody else is
_HTTP_ENDS_WITHIN = 1.0  # seconds for answers under way, after the drain
_LINGER = 2.0  # seconds for which the rest of a refused upload is read


class Gateway:
    """The daemon. `start` returns when traffic may come, `close` when the last promise is kept."""

    def __init__(
        self,
        config: Config,
        data: Path,
        environ: Mapping[str, str],
        roles: Collection[Role] = EVERY_ROLE,
    ) -> None:
        self._config = config
        self._data = data
        self._roles = frozenset(roles)
        if not voice.is_wanted(config):
            self._roles -= {Role.VOICE}  # no share of the trunks is ours
        self._clock = time.time
        self._holder = new_holder(self._roles)
        self._ground = Ground(config, data, environ, self._holder, self._clock)
        self._stack = AsyncExitStack()
        self._unready = "starting"
        self._deadline = 0.0
        self._http: web.AppRunner | None = None
        self.ports: dict[str, int] = {}

    # -- its life --------------------------------------------------------------------------

    async def start(self) -> None:
        """Make everything, from the store upwards, and begin to listen."""
        try:
            listening.check(self._config, self._roles)
            await self._ground.open(self._stack)
            self._owners = Owners(
                self._ground.store,
                holder=self._holder,
                ttl=self._config.daemon.lease,
                monotonic=time.monotonic,
            )
            await self._owners.join()
            self._assemble()
            await self._begin()
        except BaseException:
            await self._stack.aclose()
            raise

    async def close(self) -> None:
        """Take nothing more, end what is under way within the drain time, let go."""
        self._unready = "draining"
        if self._http is not None:
            self._messages.stop()
            if self._voice is not None:
                self._voice.calls.stop()
        self._deadline = asyncio.get_running_loop().time() + self._config.daemon.drain
        await self._stack.aclose()
        try:
            await asyncio.to_thread((self._data / PORTS).unlink, missing_ok=True)
        except OSError as error:  # the folder became unwritable; nobody listens there any more
            _log.warning("a file stays behind", file=str(self._data / PORTS), reason=str(error))

    async def reload(self, config: Config) -> None:
        """Take what the file owns from `config`; binds that did not change stay up."""
        await self._ground.declare(config)
        await self._carrier_estate.reload()
        self._trunk_estate.reload()
        if self._voice is not None:
            self._voice.reload()
        self._owners.hurry()
        self._server.declare(self._ground.customers)
        changed = [
            each.name
            for each in fields(config)
            if getattr(config, each.name) != getattr(self._config, each.name)
        ]
        now = [name for name in changed if name in _RELOADED]
        if later := [name for name in changed if name not in now]:
            _log.warning("a change needs a restart", sections=", ".join(later))
        self._config = config
        _log.info("the config file was reloaded", changed=", ".join(now) or "nothing")

    @property
    def account_sid(self) -> str:
        """The main account's."""
        return self._ground.main_sid

    @property
    def lost(self) -> asyncio.Event:
        """Set when others took over what this process owned: it must end at once."""
        return self._owners.lost

    def _patience(self) -> float:
        """What is left of the drain time, seconds."""
        return max(0.1, self._deadline - asyncio.get_running_loop().time())

    # -- the rooms, and what each is given -------------------------------------------------

    def _assemble(self) -> None:
        ground, webhooks = self._ground, self._config.webhooks
        self._handlers: dict[str, Handler] = {}
        self._network = Network((), clock=self._clock, random=chance)
        self._runner = work.make_runner(self._ground, self._owners, self._handlers)
        self._callback_policy = CallbackPolicy(
            states=webhooks.message_states, retry_for=webhooks.retry_for
        )
        self._make_bus()
        self._messages, self._follower = self._make_path()
        self._trunk_estate = TrunkEstate(
            ground,
            reached=lambda carrier: self._carrier_estate.reached(carrier),
            obey=lambda name: self._fleet.obey(name),
        )
        self._recordings = recordings(ground, self.ports, self._holder, self._callback_policy)
        self._voice = self._make_voice()
        self._submitter = Submitter(
            store=ground.store,
            path=self._messages,
            accounts=ground.accounts.get,
            judge=lambda account_sid: sender_judge(ground.numbers, account_sid),
            max_body=self._config.messages.max_body,
            overloaded=self._overloaded,
            look=ground.look,
            owner=self._owners,
            clock=self._clock,
        )
        self._binds = Binds()
        self._carrier_estate = CarrierEstate(
            ground, self._network, self._follower, self._stack, self._carrier_opened
        )
        self._customer_estate = CustomerEstate(self._runner)
        self._fleet = Fleet(
            store=ground.store,
            network=self._network,
            trunks=self._trunk_estate,
            configured=ground.carriers,
            control_url=self._carrier_estate.control_url,
            owner=self._owners,
            holder=self._holder,
            clock=self._clock,
            monotonic=time.monotonic,
        )
        self._server = CustomerServer(
            customers=ground.customers,
            store=ground.store,
            runner=self._runner,
            intake=Intake(ground.store, self._messages.plan),
            binds=self._binds,
            path=self._messages,
            came_or_left=self._owners.hurry,
            clock=self._clock,
        )
        self._handlers.update(self._make_handlers())

    def _make_voice(self) -> Voice | None:
        """SIP and media, where this process has the role and anything is listened at."""
        if Role.VOICE not in self._roles:
            return None
        return Voice(
            self._ground,
            owner=self._holder,
            lease=self._owners.lease,
            offer=self._runner.offer,
            patience=self._callback_policy,
            carriers=self._trunk_estate.carriers,
            recordings=self._recordings,
            texts=self._messages.accept,
        )

    def _make_bus(self) -> None:
        """The bus of the config, and the works that keep it."""
        makers: dict[str, Maker] = {
            "janitor": self._start_janitor,
            "tracking": self._start_tracker,
        }
        self._live = EmbeddedBus(self._ground.store)
        self._bus: Bus = self._live
        self._kafka: Kafka | None = None
        if self._config.bus.url:
            from gateway.daemon import kafka  # the embedded bus does without its clients

            self._kafka = kafka.Kafka(self._ground, self._owners, self._take_submits)
            self._bus = self._kafka.bus
            makers |= self._kafka.works()
        self._sinks = Sinks(self._ground, self._bus, self._owners.lease)
        makers |= self._sinks.works()
        self._works = WorksEstate(makers)

    def _groups(self) -> list[Group]:
        """What this process reaches for, by its roles. What was left undone comes first."""
        ground = self._ground
        groups = (
            Group(
                kind="jobs",
                role=Role.CORE,
                names=lambda: SHARD_NAMES,
                estate=JobsEstate(self._runner),
            ),
            Group(
                kind="customer",
                role=Role.SMPP,
                names=lambda: bound(ground, self._binds),
                estate=self._customer_estate,
                sharing=Sharing.WANTED,
            ),
            Group(
                kind="carrier",
                role=Role.SMPP,
                names=ground.bound_to,
                estate=self._carrier_estate,
            ),
            Group(
                kind="trunk",
                role=Role.VOICE,
                names=self._trunk_estate.configured,
                estate=self._trunk_estate,
            ),
            Group(kind="work", role=Role.CORE, names=self._works.names, estate=self._works),
        )
        kafka = self._kafka.groups() if self._kafka is not None else []
        reached_for = [group for group in (*groups, *kafka) if group.role in self._roles]
        if ground.shared:
            return reached_for
        return [group for group in reached_for if group.kind not in _QUEUES]

    def _make_path(self) -> tuple[Messages, Follower]:
        bounds = self._config.messages
        around = path.Around(
            store=self._ground.store,
            network=self._network,
            runner=self._runner,
            carriers=self._ground.carriers,
            plan=self._plan,
            may_send=self._ground.tokens.may_send,
            holder=self._ground.holder,
            inbound=self._ground.told,
            policy=self._callback_policy,
            bounds=path.Bounds(
                max_body=bounds.max_body,
                max_accepts_in_flight=bounds.max_accepts_in_flight,
                max_in_memory=bounds.max_in_memory,
                max_parked_receipts=bounds.max_parked_receipts,
            ),
            overloaded=self._overloaded,
            owner=self._owners,
            clock=self._clock,
            fraction=chance,
        )
        return path.build(around)

    def _make_handlers(self) -> dict[str, Handler]:
        texts = inbound.InboundTexts(
            store=self._ground.store,
            fetcher=self._ground.fetcher,
            tokens=self._ground.tokens,
            conversations=CookieBook(),
            plan=self._messages.plan,
            accepted=self._messages.accepted,
            holder=self._ground.numbers.holder,
            clock=self._clock,
        )
        deliveries = Deliveries(
            self._ground.store, self._binds, self._runner.close_endpoint, self._clock
        )
        return work.handlers(self._ground, self._callback_policy, texts, deliveries)

    def _services(self) -> Services:
        ground = self._ground
        return Services(
            store=ground.store,
            accounts=ground.accounts,
            keys=ground.keys,
            phone_numbers=ground.numbers,
            sip=ground.sip,
            messages=self._messages,
            carriers=self._fleet,
            recordings=self._recordings,
            bus=self._bus,
            live=self._live,
            overloaded=self._overloaded,
            timeline=timeline,
            plan=self._plan,
            price=ground.price,
            sources=ground.sources,
            ice_servers=ground.ice_servers,
            is_local=ground.is_local,
            proxies=ground.proxies,
            calls=voice.calls_of(self._voice, ground),
            faces={} if self._voice is None else self._voice.browsers.handlers,
            clients=None if self._voice is None else self._voice.browsers.desk.roster,
            replay=Replay(ground.store, ground.archive, self._runner.offer, self._clock),
            unready=self._why_unready,
            clock=self._clock,
            simulators=self._fleet.control_urls,
            limits=ApiLimits(
                max_body=self._config.messages.max_body,
                max_event_streams=self._config.http.max_event_streams,
                max_queued=self._config.sip.max_queued,
            ),
            collectors=(
                *metrics.collectors(
                    network=self._network,
                    store=ground.store.stats,
                    jobs=self._runner.stats,
                    messages=self._messages.gauges,
                    customers=self._binds.counts,
                    clock=self._clock,
                ),
                metrics.limits_collector(self._config),
                metrics.sinks_collector(self._sinks.stats),
                metrics.trunk_collector(self._trunk_estate),
                *([metrics.voice_collector(self._voice.stats)] if self._voice is not None else []),
                *([metrics.dedup_collector(self._kafka.dedup.stats)] if self._kafka else []),
            ),
        )

    def _plan(self, request: RouteRequest, now: float) -> Plan:
        asked = self._fleet.names() if request.medium is Medium.CALL else self._ground.bound_to()
        return self._ground.plan(request, self._fleet.healths(asked, now), now)

    def _overloaded(self) -> bool:
        """Whether more facts wait to be told elsewhere than may."""
        return self._kafka is not None and self._kafka.backlog.full()

    async def _take_submits(self, values: Sequence[bytes], moved: Sequence[Write]) -> None:
        await self._submitter.take(values, moved)

    def _why_unready(self) -> str:
        if self._unready:
            return self._unready
        if not self._owners.alive:
            return "the lease of this process has run out: the store does not answer"
        return self._ground.store.stats().trouble

    async def _carrier_opened(self, name: str) -> None:
        self._fleet.obey(name)
        if self._voice is not None:
            await self._carrier_estate.tell_gateway(name, self._voice.address)
            self._trunk_estate.reload()
        self._owners.hurry()

    async def _start_janitor(self, lease: Lease) -> Janitor:
        store, bus = self._config.store, self._config.bus
        kept = Kept(
            trace_rows=store.trace_rows,
            facts=bus.max_backlog if self._kafka is None else _ALL,
            facts_for=store.facts_for,
            jobs_for=store.jobs_for,
            messages_for=store.messages_for,
            calls_for=store.calls_for,
        )
        unfinished = Unfinished(lambda: self._ground.customers, self._runner.offer, self._owners)
        forgets = (*_FORGETS, self._sinks.forget, unfinished.forget)
        janitor = Janitor(
            self._ground.store, kept, self._ground.carriers, self._clock, also=forgets
        )
        janitor.start()
        return janitor

    async def _start_tracker(self, lease: Lease) -> Tracker:
        tracker = Tracker(self._ground.store, self._bus, self._owners.lease())
        tracker.start()
        return tracker

    # -- beginning, from the inside out; the stack ends it in the reverse order ------------

    async def _begin(self) -> None:
        self._stack.push_async_callback(self._stop_http)  # last: it tells that we drain
        self._stack.push_async_callback(self._owners.leave)
        if self._kafka is not None:
            await self._kafka.open(self._stack)
        await self._fleet.look()
        if self._ground.shared:
            self._fleet.start()
            self._stack.push_async_callback(self._fleet.close)
        self._stack.push_async_callback(self._follower.close)
        await self._network.start()
        self._stack.push_async_callback(lambda: self._network.close(self._patience()))
        await self._follower.start()
        self._stack.push_async_callback(lambda: self._runner.close(self._patience()))
        self._stack.push_async_callback(self._works.close)
        if self._voice is not None:
            await self._voice.open(self._stack)
            self._trunk_estate.open(self._voice.trunks)
            self.ports.update(self._voice.ports)
        if Role.SMPP in self._roles:
            await self._follower.tell_of_strays(self._ground.carriers)
            await self._serve_customers()
        if not self._ground.shared:
            await self._runner.recover()
        await self._owners.start(self._groups())
        self._stack.push_async_callback(self._owners.close)
        self._runner.start()  # after the server closed the queues of customers who are away
        self._stack.push_async_callback(self._live.close)
        if self._bus is not self._live:
            self._stack.push_async_callback(self._bus.close)
        build = build_app if Role.API in self._roles else build_status_app
        await self._listen(build(self._services()))
        await asyncio.to_thread(listening.write_ports, self._data / PORTS, self.ports)
        self._unready = ""

    async def _serve_customers(self) -> None:
        address = self._config.smpp.listen
        if address is not None:
            with listening.explained("smpp", "listen", address):
                self.ports["smpp"] = await self._server.start(address.host, address.port)
            self._stack.push_async_callback(self._server.close)

    async def _listen(self, app: web.Application) -> None:
        self._http = app_runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_HTTP_ENDS_WITHIN,
            lingering_time=_LINGER,
        )
        await app_runner.setup()
        http = self._config.http
        secured = tls.server_context(http.tls_cert, http.tls_key)
        for name, key, listen, context in (
            ("http", "listen", http.listen, None),
            ("https", "tls_listen", http.tls_listen, secured),
        ):
            if listen is not None:
                site = web.TCPSite(app_runner, listen.host, listen.port, ssl_context=context)
                with listening.explained("http", key, listen):
                    await site.start()
                self.ports[name] = app_runner.addresses[-1][1]

    async def _stop_http(self) -> None:
        if self._http is not None:
            await self._http.cleanup()

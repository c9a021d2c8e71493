"""The composition root: the one place that knows which backends there are, and makes the daemon.

A `Gateway` is an object: tests start real ones on port 0. `start` makes the rooms from the store
upwards, `close` takes them down in the reverse order; `reload` takes a changed config file.
"""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import structlog
from aiohttp import web

from carriers import routing
from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from carriers.routing import Plan, RouteRequest, RoutingTable
from gateway import credentials, declared, listening, simulators, tls
from gateway.accounts import Accounts
from gateway.api.app import build_app
from gateway.api.services import ApiLimits, Services
from gateway.bus.embedded import EmbeddedBus
from gateway.config import Config
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.runner import Bounds, Handler, Job, JobRunner
from gateway.janitor import Janitor, Kept
from gateway.messages import callbacks, inbound, path
from gateway.messages.callbacks import CallbackPolicy, StatusCallbacks
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.customers.binds import Binds
from gateway.messages.customers.delivery import Deliveries
from gateway.messages.customers.intake import Intake
from gateway.messages.customers.numbers import Senders
from gateway.messages.customers.server import CustomerServer
from gateway.messages.follow import Follower
from gateway.messages.service import Messages
from gateway.messages.timeline import timeline
from gateway.metrics import collectors, limits_collector
from gateway.model import AccountStatus, Message, PhoneNumber
from gateway.phone_numbers import PhoneNumbers
from gateway.store import sqlite
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.cookies import CookieBook
from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard

_log = structlog.get_logger(__name__)
DATABASE = "trunkline.db"
PORTS = "ports.json"
_FIRST_NUMBER = "+15550001000"
_CALLBACK_RETRY = RetryPolicy(base=1.0, cap=600.0)
_TRIES_PER_CUSTOMER = 20  # deliver_sm under way to one customer: the window of a bind
_RELOADED = ("carriers", "routes", "numbers", "customers")
_HTTP_ENDS_WITHIN = 1.0  # seconds for answers under way, after the drain
_LINGER = 2.0  # seconds for which the rest of a refused upload is read


class Gateway:
    """The daemon. `start` returns when traffic may come, `close` when the last promise is kept."""

    def __init__(self, config: Config, data: Path, environ: Mapping[str, str]) -> None:
        self._config = config
        self._data = data
        self._environ = environ
        self._clock = time.time
        self._stack = AsyncExitStack()
        self._unready = "starting"
        self._deadline = 0.0
        self._http: web.AppRunner | None = None
        self._simulators: dict[str, simulators.Simulator] = {}
        self._carriers: dict[str, Carrier] = {}
        self._table = RoutingTable((), ())
        self.ports: dict[str, int] = {}

    # -- its life --------------------------------------------------------------------------

    async def start(self) -> None:
        """Make everything, from the store upwards, and begin to listen."""
        try:
            await self._open_store()
            listening.check(self._config)
            await self._declare(self._config)
            await self._connect()
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
        self._deadline = asyncio.get_running_loop().time() + self._config.daemon.drain
        await self._stack.aclose()
        await asyncio.to_thread((self._data / PORTS).unlink, missing_ok=True)

    async def reload(self, config: Config) -> None:
        """Take what the file owns from `config`; binds that did not change stay up."""
        await self._declare(config)
        self._network.reload(self._carriers.values())
        self._intake.declare(self._customers)
        self._server.declare(self._customers)
        others = replace(config, **{name: getattr(self._config, name) for name in _RELOADED})
        if others != self._config:
            _log.warning("a change outside of " + ", ".join(_RELOADED) + " needs a restart")
        self._config = config
        _log.info("the config file was reloaded", carriers=len(self._carriers))

    def _patience(self) -> float:
        """What is left of the drain time, seconds."""
        return max(0.1, self._deadline - asyncio.get_running_loop().time())

    # -- what everything stands on ---------------------------------------------------------

    async def _open_store(self) -> None:
        now = self._clock()
        await asyncio.to_thread(self._data.mkdir, parents=True, exist_ok=True)
        self.credentials = credentials.load(self._data, self._environ, now)
        self._store = await SqliteStore.open(
            self._data / DATABASE, max_queued=self._config.store.max_queued, clock=self._clock
        )
        self._stack.push_async_callback(self._store.close)
        self._accounts = await Accounts.load(self._store)
        self._main_sid = (await credentials.establish(self.credentials, self._accounts, now)).sid
        self._tokens = Tokens(self._accounts)
        self._numbers = await PhoneNumbers.load(self._store)

    async def _declare(self, config: Config) -> None:
        """Make known what the file owns: carriers, routes, numbers, customers' senders."""
        now = self._clock()
        declared.check_accounts(config, self._accounts)
        carriers = [await self._reached(carrier) for carrier in config.carriers]
        self._carriers.clear()
        self._carriers.update((carrier.name, carrier) for carrier in carriers)
        self._table = RoutingTable(config.routes, carriers)
        self._numbers.declare(declared.numbers(config, self._main_sid, now))
        if not len(self._numbers):
            await self._numbers.add(self._main_sid, _FIRST_NUMBER, _FIRST_NUMBER, {}, now)
        self._customers = declared.customers(config, self._main_sid)
        self._senders = Senders(self._customers, self._numbers.holder, now)

    async def _reached(self, carrier: Carrier) -> Carrier:
        """The carrier with its address; a simulated one is started for it."""
        if carrier.kind is not CarrierKind.SIMULATED:
            return carrier
        simulator = self._simulators.get(carrier.name)
        if simulator is None:
            simulator = await simulators.start(carrier, self._data)
            self._stack.push_async_callback(simulator.close)
            self._simulators[carrier.name] = simulator
        return simulator.reached(carrier)

    async def _connect(self) -> None:
        webhooks = self._config.webhooks
        connections = await self._stack.enter_async_context(
            Connections(Guard(webhooks.allow), per_host=webhooks.concurrency_per_host)
        )
        self._fetcher = Fetcher(connections, clock=self._clock)
        self._network = Network(self._carriers.values(), clock=self._clock, random=random.random)

    # -- the rooms, and what each is given -------------------------------------------------

    def _assemble(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._runner = self._make_runner()
        self._callback_policy = CallbackPolicy(
            states=self._config.webhooks.message_states,
            retry_for=self._config.webhooks.retry_for,
        )
        self._messages, self._follower = self._make_path()
        self._binds = Binds()
        self._intake = Intake(self._messages.plan, self._customers)
        self._server = CustomerServer(
            customers=self._customers,
            store=self._store,
            runner=self._runner,
            intake=self._intake,
            binds=self._binds,
            path=self._messages,
            clock=self._clock,
        )
        self._handlers.update(self._make_handlers())
        self._bus = EmbeddedBus(self._store)

    def _make_runner(self) -> JobRunner:
        webhooks = self._config.webhooks
        scheduler: Scheduler[Job] = Scheduler(
            policies(
                QueuePolicy(concurrency=webhooks.concurrency_per_host),
                {customer_jobs.SCHEME: QueuePolicy(concurrency=_TRIES_PER_CUSTOMER)},
            ),
            _CALLBACK_RETRY,
            slots=webhooks.workers,
        )
        return JobRunner(
            self._store,
            scheduler,
            self._handlers,
            workers=webhooks.workers,
            clock=self._clock,
            fraction=random.random,
            bounds=Bounds(
                per_endpoint=webhooks.max_in_memory_per_host, total=webhooks.max_in_memory
            ),
        )

    def _make_path(self) -> tuple[Messages, Follower]:
        bounds = self._config.messages
        return path.build(
            store=self._store,
            network=self._network,
            runner=self._runner,
            carriers=self._carriers,
            plan=self._plan,
            may_send=self._tokens.may_send,
            holder=self._holder,
            inbound=self._told,
            policy=self._callback_policy,
            bounds=path.Bounds(
                max_body=bounds.max_body,
                max_accepts_in_flight=bounds.max_accepts_in_flight,
                max_in_memory=bounds.max_in_memory,
                max_parked_receipts=bounds.max_parked_receipts,
            ),
            clock=self._clock,
            fraction=random.random,
        )

    def _make_handlers(self) -> dict[str, Handler]:
        return {
            callbacks.KIND: StatusCallbacks(self._fetcher, self._tokens, self._callback_policy),
            inbound.KIND: inbound.InboundTexts(
                store=self._store,
                fetcher=self._fetcher,
                tokens=self._tokens,
                conversations=CookieBook(),
                plan=self._messages.plan,
                accepted=self._messages.accepted,
                holder=self._numbers.holder,
                clock=self._clock,
            ),
            customer_jobs.KIND: Deliveries(
                self._store, self._binds, self._runner.close_endpoint, self._clock
            ),
        }

    def _services(self) -> Services:
        return Services(
            store=self._store,
            accounts=self._accounts,
            phone_numbers=self._numbers,
            messages=self._messages,
            carriers=self._network,
            bus=self._bus,
            timeline=timeline,
            plan=self._plan,
            price=self._price,
            unready=self._why_unready,
            clock=self._clock,
            simulators=lambda: [each.control_url for each in self._simulators.values()],
            limits=ApiLimits(
                max_body=self._config.messages.max_body,
                max_event_streams=self._config.http.max_event_streams,
            ),
            collectors=(
                *collectors(
                    network=self._network,
                    store=self._store.stats,
                    jobs=self._runner.stats,
                    messages=self._messages.gauges,
                    customers=self._binds.counts,
                    clock=self._clock,
                ),
                limits_collector(self._config),
            ),
        )

    def _plan(self, request: RouteRequest, now: float) -> Plan:
        return routing.plan(request, self._table, self._network.all_health(now), now)

    def _price(self, message: Message) -> Decimal | None:
        return self._table.price(
            message.account_sid, message.carrier, message.to_address, message.num_segments
        )

    def _told(self, message: Message, number: PhoneNumber) -> Sequence[Job]:
        """The jobs that an inbound text makes due: the number's app, the customer's bind."""
        jobs = inbound.for_message(message, number, message.date_created)
        return [*jobs, *self._senders.told(message)]

    def _holder(self, address: str) -> PhoneNumber | None:
        return self._senders.holder(address)

    def _why_unready(self) -> str:
        return self._unready or self._store.stats().trouble

    # -- beginning, from the inside out; the stack ends it in the reverse order ------------

    async def _begin(self) -> None:
        self._stack.push_async_callback(self._stop_http)  # last: it tells that we drain
        # What the last run left comes before what carriers say now: callbacks keep their order.
        await self._runner.recover()
        self._stack.push_async_callback(self._follower.close)
        await self._network.start()
        self._stack.push_async_callback(lambda: self._network.close(self._patience()))
        await self._follower.start()
        self._stack.push_async_callback(lambda: self._runner.close(self._patience()))
        store, bus = self._config.store, self._config.bus
        kept = Kept(
            trace_rows=store.trace_rows,
            facts=bus.max_backlog,
            facts_for=store.facts_for,
            jobs_for=store.jobs_for,
        )
        janitor = Janitor(self._store, kept, self._carriers, self._clock)
        janitor.start()
        self._stack.push_async_callback(janitor.close)
        if self._config.smpp.listen is not None:
            host, port = self._config.smpp.listen
            with listening.explained("smpp", "listen", self._config.smpp.listen):
                self.ports["smpp"] = await self._server.start(host, port)
            self._stack.push_async_callback(self._server.close)
        self._runner.start()  # after the server closed the queues of customers who are away
        self._stack.push_async_callback(self._bus.close)
        await self._listen(build_app(self._services()))
        await asyncio.to_thread(_write_ports, self._data / PORTS, self.ports)
        self._unready = ""

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
        for name, key, listen, context in (
            ("http", "listen", http.listen, None),
            (
                "https",
                "tls_listen",
                http.tls_listen,
                tls.server_context(http.tls_cert, http.tls_key),
            ),
        ):
            if listen is not None:
                site = web.TCPSite(app_runner, listen.host, listen.port, ssl_context=context)
                with listening.explained("http", key, listen):
                    await site.start()
                self.ports[name] = app_runner.addresses[-1][1]

    async def _stop_http(self) -> None:
        if self._http is not None:
            await self._http.cleanup()


class Tokens:
    """What webhooks and customers' binds ask of the accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def token_of(self, account_sid: str) -> str | None:
        """The auth token that signs for the account; None if it is closed."""
        account = self._accounts.get(account_sid)
        if account is None or account.status is AccountStatus.CLOSED:
            return None
        return account.auth_token

    def may_send(self, account_sid: str) -> bool:
        """Whether the account is active."""
        account = self._accounts.get(account_sid)
        return account is not None and account.status is AccountStatus.ACTIVE


def migrate(data: Path) -> list[str]:
    """Bring the store of the data folder to this version's schema; the steps that it took."""
    return sqlite.migrate(data / DATABASE)


def _write_ports(file: Path, ports: Mapping[str, int]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(ports) + "\n")
    fresh.replace(file)

"""The composition root: the one place that knows which backends there are, and makes the daemon.

A `Gateway` is an object: tests start real ones on port 0. `run` is the process around it: the
event loop, signals, what is printed.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

from carriers import routing
from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from carriers.routing import Plan, RouteRequest, RoutingTable
from gateway import credentials, simulators, tls
from gateway.accounts import Accounts
from gateway.api.app import build_app
from gateway.api.services import ApiLimits, Services
from gateway.bus.embedded import EmbeddedBus
from gateway.config import Config
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.runner import Handler, Job, JobRunner
from gateway.janitor import Janitor, Kept
from gateway.messages import callbacks, inbound, path
from gateway.messages.callbacks import CallbackPolicy, StatusCallbacks
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.customers.binds import Binds
from gateway.messages.customers.delivery import Deliveries
from gateway.messages.customers.intake import Intake
from gateway.messages.customers.model import Customer
from gateway.messages.customers.server import CustomerServer
from gateway.messages.follow import Follower
from gateway.messages.timeline import timeline
from gateway.metrics import collectors
from gateway.model import Account, AccountStatus, Message, PhoneNumber
from gateway.phone_numbers import PhoneNumbers, declared_number
from gateway.store.base import Query, StoreError
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.cookies import CookieBook
from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard
from gateway.welcome import welcome
from protocols.smpp import text

_log = structlog.get_logger(__name__)
DATABASE = "trunkline.db"
PORTS = "ports.json"
_SCHEMA_VERSION = Query("schema_version", "SELECT value FROM meta WHERE name = $1")
_FIRST_NUMBER = "+15550001000"
_CALLBACK_RETRY = RetryPolicy(base=1.0, cap=600.0)


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
        self._simulators: list[simulators.Simulator] = []
        self.ports: dict[str, int] = {}
        self.credentials: credentials.Credentials

    async def start(self) -> None:
        """Make everything, from the store upwards, and begin to listen."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        now = self._clock()
        await asyncio.to_thread(self._data.mkdir, parents=True, exist_ok=True)
        self.credentials = credentials.load(self._data, self._environ, now)
        store = await SqliteStore.open(
            self._data / DATABASE, max_queued=self._config.store.max_queued, clock=self._clock
        )
        self._stack.push_async_callback(store.close)
        accounts = await Accounts.load(store)
        main = await credentials.establish(self.credentials, accounts, now)
        numbers = await self._numbers(store, main, now)
        carriers = await self._carriers()
        network = Network(carriers, clock=self._clock, random=random.random)
        fetcher = Fetcher(await self._connections(), clock=self._clock)
        await self._assemble(store, accounts, main, numbers, carriers, network, fetcher)

    async def _assemble(
        self,
        store: SqliteStore,
        accounts: Accounts,
        main: Account,
        numbers: PhoneNumbers,
        carriers: tuple[Carrier, ...],
        network: Network,
        fetcher: Fetcher,
    ) -> None:
        table = RoutingTable(self._config.routes, carriers)
        tokens = Tokens(accounts)
        policy = self._policy()
        customers = self._customers(main)
        by_sender = {sender: each.system_id for each in customers for sender in each.senders}
        binds = Binds()
        scheduler: Scheduler[Job] = Scheduler(
            policies(
                QueuePolicy(concurrency=self._config.webhooks.concurrency_per_host),
                {},
            ),
            _CALLBACK_RETRY,
        )
        handlers: dict[str, Handler] = {}
        runner = JobRunner(
            store,
            scheduler,
            handlers,
            workers=self._config.webhooks.workers,
            clock=self._clock,
            fraction=random.random,
        )

        def plan(request: RouteRequest, now: float) -> Plan:
            return routing.plan(request, table, network.all_health(now), now)

        def told(message: Message, number: PhoneNumber) -> Sequence[Job]:
            jobs = inbound.for_message(message, number, message.date_created)
            system_id = by_sender.get(message.to_address)
            if system_id is not None:
                parts = text.count(message.body).segments
                jobs += customer_jobs.for_inbound(message, system_id, parts, message.date_created)
            return jobs

        messages, follower = path.build(
            store=store,
            network=network,
            runner=runner,
            carriers=carriers,
            plan=plan,
            may_send=tokens.may_send,
            holder=numbers.holder,
            inbound=told,
            policy=policy,
            bounds=path.Bounds(
                max_body=self._config.messages.max_body,
                max_accepts_in_flight=self._config.messages.max_accepts_in_flight,
                max_in_memory=self._config.messages.max_in_memory,
                max_parked_receipts=self._config.messages.max_parked_receipts,
            ),
            clock=self._clock,
            fraction=random.random,
        )
        handlers[callbacks.KIND] = StatusCallbacks(fetcher, tokens, policy)
        handlers[inbound.KIND] = inbound.InboundTexts(
            store=store,
            fetcher=fetcher,
            tokens=tokens,
            conversations=CookieBook(),
            plan=messages.plan,
            accepted=messages.accepted,
            holder=numbers.holder,
            clock=self._clock,
        )
        handlers[customer_jobs.KIND] = Deliveries(store, binds, self._clock)
        server = CustomerServer(
            customers=customers,
            store=store,
            runner=runner,
            intake=Intake(messages.plan),
            binds=binds,
            accepted=messages.accepted,
            clock=self._clock,
        )
        bus = EmbeddedBus(store)
        self._stack.push_async_callback(bus.close)
        services = Services(
            store=store,
            accounts=accounts,
            phone_numbers=numbers,
            messages=messages,
            carriers=network,
            bus=bus,
            timeline=timeline,
            plan=plan,
            unready=lambda: self._unready,
            clock=self._clock,
            simulators=lambda: [each.control_url for each in self._simulators],
            limits=ApiLimits(max_body=self._config.messages.max_body),
            collectors=collectors(
                network=network,
                store=store.stats,
                jobs=runner.stats,
                messages=messages.gauges,
                customers=binds.counts,
                clock=self._clock,
            ),
        )
        await self._open(store, network, runner, follower, server, services)

    async def _open(
        self,
        store: SqliteStore,
        network: Network,
        runner: JobRunner,
        follower: Follower,
        server: CustomerServer,
        services: Services,
    ) -> None:
        """Start the rooms from the inside out; they are closed in the reverse order."""
        grace = max((each.receipt_grace for each in self._config.carriers), default=86400.0)
        self._stack.push_async_callback(follower.close)
        await network.start()
        self._stack.push_async_callback(lambda: network.close(self._patience()))
        await follower.start()
        runner.start()
        self._stack.push_async_callback(lambda: runner.close(self._patience()))
        kept = Kept(
            trace_rows=self._config.store.trace_rows,
            facts=self._config.bus.max_backlog,
            receipt_grace=grace,
        )
        janitor = Janitor(store, kept, self._clock)
        janitor.start()
        self._stack.push_async_callback(janitor.close)
        if self._config.smpp.listen is not None:
            host, port = self._config.smpp.listen
            self.ports["smpp"] = await server.start(host, port)
            self._stack.push_async_callback(server.close)
        await runner.recover()
        await self._listen(build_app(services))
        await asyncio.to_thread(_write_ports, self._data / PORTS, self.ports)
        self._unready = ""

    async def close(self) -> None:
        """Take nothing more, end what is under way within the drain time, let go."""
        self._unready = "draining"
        self._deadline = asyncio.get_running_loop().time() + self._config.daemon.drain
        await self._stack.aclose()

    def _patience(self) -> float:
        """What is left of the drain time, seconds."""
        return max(0.1, self._deadline - asyncio.get_running_loop().time())

    # -- parts -----------------------------------------------------------------------------

    def _policy(self) -> CallbackPolicy:
        webhooks = self._config.webhooks
        return CallbackPolicy(states=webhooks.message_states, retry_for=webhooks.retry_for)

    async def _numbers(self, store: SqliteStore, main: Account, now: float) -> PhoneNumbers:
        declared = [
            declared_number(
                each.account or main.sid,
                each.number,
                {
                    "sms_url": each.sms_url,
                    "sms_method": each.sms_method,
                    "sms_fallback_url": each.sms_fallback_url,
                    "sms_fallback_method": each.sms_fallback_method,
                },
                now,
            )
            for each in self._config.numbers
        ]
        numbers = await PhoneNumbers.load(store, declared)
        if not len(numbers):
            await numbers.add(main.sid, _FIRST_NUMBER, _FIRST_NUMBER, {}, now)
        return numbers

    async def _carriers(self) -> tuple[Carrier, ...]:
        """The carriers with their addresses; simulated ones are started for it."""
        carriers: list[Carrier] = []
        for carrier in self._config.carriers:
            if carrier.kind is CarrierKind.SIMULATED:
                simulator = await simulators.start(carrier, self._data)
                self._stack.push_async_callback(simulator.close)
                self._simulators.append(simulator)
                carrier = simulator.reached
            carriers.append(carrier)
        return tuple(carriers)

    async def _connections(self) -> Connections:
        webhooks = self._config.webhooks
        return await self._stack.enter_async_context(
            Connections(Guard(webhooks.allow), per_host=webhooks.concurrency_per_host)
        )

    def _customers(self, main: Account) -> list[Customer]:
        return [
            Customer(
                system_id=each.system_id,
                password=each.password,
                account_sid=each.account or main.sid,
                binds=each.binds,
                tps=each.tps,
                senders=each.senders,
            )
            for each in self._config.customers
        ]

    async def _listen(self, app: web.Application) -> None:
        app_runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=self._config.daemon.drain,
            lingering_time=2.0,
        )
        await app_runner.setup()
        self._stack.push_async_callback(app_runner.cleanup)
        http = self._config.http
        for name, listen, context in (
            ("http", http.listen, None),
            ("https", http.tls_listen, tls.server_context(http.tls_cert, http.tls_key)),
        ):
            if listen is not None:
                site = web.TCPSite(app_runner, listen.host, listen.port, ssl_context=context)
                await site.start()
                self.ports[name] = app_runner.addresses[-1][1]


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


def run(config: Config, data: Path) -> int:
    """Be the daemon until a signal ends it; the answer is the exit status."""
    return uvloop.run(_run(config, data))


def migrate(data: Path) -> int:
    """Bring the store of the data folder to this version's schema; the answer is its number."""
    return asyncio.run(_migrate(data))


async def _migrate(data: Path) -> int:
    store = await SqliteStore.open(data / DATABASE, max_queued=1, clock=time.time)
    rows = await store.fetch(_SCHEMA_VERSION, "schema_version")
    await store.close()
    return int(rows[0][0])


async def _run(config: Config, data: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop)
    gateway = Gateway(config, data, os.environ)
    starting = loop.create_task(gateway.start())
    stopping = loop.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return 0
        starting.result()
    except (StoreError, credentials.CredentialsError, simulators.SimulatorError, OSError) as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 1
    print(welcome(gateway, config, data), flush=True)
    await stopping
    print("trunkline: draining; a second signal ends it at once", flush=True)
    await gateway.close()
    return 0


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()


def _write_ports(path: Path, ports: Mapping[str, int]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(ports) + "\n")
    fresh.replace(path)

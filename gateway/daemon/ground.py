"""What every role stands on: the store, who is who in it, what the config file declares."""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from carriers import routing
from carriers.call_plan import call_plan
from carriers.health import Health
from carriers.model import Carrier, CarrierKind
from carriers.routing import Medium, Plan, RouteRequest, RoutingTable
from gateway import credentials, declared
from gateway.access.keys import Keys
from gateway.access.tokens import Tokens as AccessTokens
from gateway.access.turn import IceServers
from gateway.accounts import Accounts
from gateway.browsers.sockets import is_loopback
from gateway.config import Config
from gateway.core.archive import open_archive
from gateway.core.runner import Job
from gateway.daemon.folder import Folder
from gateway.directory import Directory
from gateway.messages import inbound
from gateway.messages.customers.model import Customer
from gateway.messages.customers.numbers import Senders
from gateway.model import AccountStatus, Message, PhoneNumber
from gateway.phone_numbers import PhoneNumbers, Taken
from gateway.proxies import Proxies
from gateway.resting import Resting
from gateway.sip.directory import SipDirectory
from gateway.sources import Sources
from gateway.store import sqlite
from gateway.store.base import Conflict, Store
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard

DATABASE = "trunkline.db"
ARCHIVE = "archive"
FIRST_NUMBER = "+15550001000"


class Ground:
    """Made by `open`; `declare` takes a config file, the first and each changed one."""

    def __init__(
        self,
        config: Config,
        data: Path,
        environ: Mapping[str, str],
        holder: str,
        clock: Callable[[], float],
    ) -> None:
        """`holder` is this process's name as a member."""
        self.config = config
        self.data = data
        self.clock = clock
        self.shared = bool(config.store.url)  # other processes may work on the same store
        self.carriers: dict[str, Carrier] = {}
        self.customers: Sequence[Customer] = ()
        self.sources = Sources()
        self._directory: Directory | None = None
        self._environ = environ
        self._holder = holder
        self._table = RoutingTable((), ())

    # -- its life --------------------------------------------------------------------------

    async def open(self, stack: AsyncExitStack) -> None:
        """Open everything; `stack` closes it."""
        folder = Folder(self.data, self._holder)
        stack.callback(folder.release)
        self.store = await self._open_store()
        stack.push_async_callback(self.store.close)
        resting = Resting(lambda: self.store.stats().commits, self.store.rest)
        resting.start()
        stack.push_async_callback(resting.close)
        if folder.previous:
            await self.store.bury(folder.previous)
        self.accounts = await Accounts.load(self.store)
        self.tokens = Tokens(self.accounts)
        self.keys = await Keys.load(self.store)
        self.access = AccessTokens(self.keys.find, self.tokens.may_send)
        self.numbers = await PhoneNumbers.load(self.store)
        self.sip = await SipDirectory.load(self.store)
        await self._establish()
        await self.declare(self.config)
        if self.shared:
            self._directory = Directory(
                self.store, self.accounts, self.keys, self.numbers, self.sip
            )
            self._directory.start()
            stack.push_async_callback(self._directory.close)
        webhooks = self.config.webhooks
        connections = await stack.enter_async_context(
            Connections(Guard(webhooks.allow), per_host=webhooks.max_connections_per_host)
        )
        self.fetcher = Fetcher(connections, clock=self.clock)
        self.archive = open_archive(webhooks.archive, self.data / ARCHIVE)

    async def _open_store(self) -> Store:
        section = self.config.store
        if section.url:
            from gateway.store.postgres import PostgresStore  # a driver that SQLite does without

            return await PostgresStore.open(
                section.url,
                connections=section.connections,
                max_queued=section.max_queued,
                clock=self.clock,
                writer=self._holder,
            )
        return await SqliteStore.open(
            self.data / DATABASE,
            max_queued=section.max_queued,
            clock=_steady(self.clock),
            apart=_end,
        )

    async def _establish(self) -> None:
        """The main account: of the environment, of a shared store, of the folder, or a new one."""
        while True:
            now = self.clock()
            stored = credentials.stored(self.accounts) if self.shared else {}
            self.credentials = credentials.load(self.data, self._environ, now, stored)
            try:
                main = await credentials.establish(self.credentials, self.accounts, now)
                break
            except Conflict:  # another process made the first account at this moment
                await self.accounts.refresh()
        self.main_sid = main.sid
        credentials.save(self.data, self.credentials)

    async def declare(self, config: Config) -> None:
        """Make known what the file owns: carriers, routes, numbers, domains, customers' senders."""
        now = self.clock()
        declared.check_accounts(config, self.accounts)
        self.carriers.clear()
        self.carriers.update((carrier.name, carrier) for carrier in config.carriers)
        self._table = RoutingTable(config.routes, config.carriers)
        self.numbers.declare(declared.numbers(config, self.main_sid, now))
        self.sip.declare(declared.domains(config, self.main_sid, now))
        if not len(self.numbers):
            await self._add_first_number(now)
        self.customers = declared.customers(config, self.main_sid)
        self.sources.declare(declared.sources(config, self.main_sid))
        self._senders = Senders(self.customers, self.numbers.holder, now)
        self.config = config

    async def _add_first_number(self, now: float) -> None:
        try:
            await self.numbers.add(self.main_sid, FIRST_NUMBER, FIRST_NUMBER, {}, now)
        except Taken:  # by another process that starts at this moment
            await self.numbers.refresh()

    async def look(self) -> None:
        """Know accounts, numbers and domains as they are in the store now, whoever changed them.

        Raises `StoreUnavailable`.
        """
        if self._directory is not None:
            await self._directory.look()

    def bound_to(self) -> list[str]:
        """The carriers that SMPP is spoken with."""
        return [each.name for each in self.carriers.values() if each.kind is not CarrierKind.SIP]

    # -- what rooms ask --------------------------------------------------------------------

    def plan(self, request: RouteRequest, health: Mapping[str, Health], now: float) -> Plan:
        """Which carriers may take it."""
        if request.medium is Medium.CALL:
            return call_plan(request, self._table, self.carriers, health, now)
        return routing.plan(request, self._table, health, now)

    def call_plan(self, request: RouteRequest, health: Mapping[str, Health], now: float) -> Plan:
        """Which carriers may take a call; one for help goes by its own rules."""
        return call_plan(request, self._table, self.carriers, health, now)

    def price(self, message: Message) -> Decimal | None:
        """What a text that was sent is charged."""
        return self._table.price(
            message.account_sid, message.carrier, message.to_address, message.num_segments
        )

    def told(self, message: Message, number: PhoneNumber) -> Sequence[Job]:
        """The jobs that an inbound text makes due: the number's app, the customer's bind."""
        jobs = inbound.for_message(message, number, message.date_created)
        return [*jobs, *self._senders.told(message)]

    @property
    def is_local(self) -> bool:
        """Whether HTTP is listened at for this machine alone: through a proxy others come in."""
        http = self.config.http
        listens = [each.host for each in (http.listen, http.tls_listen) if each is not None]
        return not http.proxies and all(map(is_loopback, listens))

    @property
    def proxies(self) -> Proxies:
        """Those that are trusted before HTTP."""
        http = self.config.http
        return Proxies(trusted=http.proxies, header=http.proxy_header)

    def ice_servers(self) -> IceServers:
        """What browsers are told of."""
        turn = self.config.turn
        return IceServers(urls=turn.urls, secret=turn.secret, ttl=int(turn.ttl))

    def holder(self, address: str) -> PhoneNumber | None:
        """Whose `address` is."""
        return self._senders.holder(address)


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


def _end() -> None:
    """The database's writer ended by itself, killed or broken: so does the gateway, at once.

    What became of its last commits nobody knows but the file, which is what a start goes by.
    """
    os._exit(os.EX_SOFTWARE)


def _steady(clock: Callable[[], float]) -> Callable[[], float]:
    """What `clock` says now, and what passes from now on.

    The store is the judge of who is silent: by a clock that is set forward this process would be.
    """
    offset = clock() - time.monotonic()
    return lambda: time.monotonic() + offset


async def migrate(config: Config, data: Path) -> list[str]:
    """Bring the store to this version's schema; the steps that it took."""
    if config.store.url:
        from gateway.store import postgres

        return await postgres.migrate(config.store.url)
    return sqlite.migrate(data / DATABASE)


def chance() -> float:
    """A random number in [0, 1)."""
    return random.random()

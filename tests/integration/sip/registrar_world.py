"""A registrar on its sockets over a real store, and phones on theirs."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts, new_token
from gateway.model import Account, AccountKind, AccountStatus
from gateway.sids import ACCOUNT, new_sid
from gateway.sip.declared import declared_domain
from gateway.sip.directory import SipDirectory
from gateway.sip.floods import FloodLimits, Floods
from gateway.sip.gate import Gate
from gateway.sip.refusals import RefusalLog
from gateway.sip.registrations import Registrations
from gateway.store.base import Lease, StoreUnavailable, Write
from gateway.store.sqlite import SqliteStore
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Ask
from protocols.sip.challenger import Challenger
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.message import Headers, NameAddr, Response
from protocols.sip.registrar import Limits
from protocols.sip.station import Crossed, Event, Station, Terms, open_station
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import Params, SipUri
from protocols.sip.wire import Closed, Listen, Tls

PATIENCE = 60.0
DOMAIN = "office.example"
PASSWORD = "Correct-Horse-1"
USERS = (("alice", PASSWORD), ("bob", PASSWORD))


class Weather:
    """A store whose commits may fail, or wait, for a while."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.away = False
        self.held: list[tuple[Sequence[Write], asyncio.Future[None]]] | None = None
        self.commits = 0

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> asyncio.Future[None]:
        self.commits += 1
        if not self.away and self.held is None:
            return self.store.commit(writes, fence)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.held is not None:
            self.held.append((writes, future))
        else:
            future.set_exception(StoreUnavailable("the disk is full: free some of it"))
        return future

    def release(self, error: Exception | None = None) -> None:
        """What was held fails with `error`, or is committed in its order."""
        held, self.held = self.held or [], None
        for writes, future in held:
            if error is not None:
                future.set_exception(error)
            else:
                done = self.store.commit(writes)
                done.add_done_callback(lambda _, future=future: future.set_result(None))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class World:
    """What a test holds; `listens` are where it stands, the same after `restart`."""

    store: Weather
    accounts: Accounts
    account: Account
    directory: SipDirectory
    station: Station
    registrations: Registrations

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.listens: tuple[Listen, ...] = options.pop("listens", ())
        self.files: Tls | None = options.pop("files", None)
        self.floods: FloodLimits = options.pop("floods", FloodLimits())
        self.settings: dict[str, str] = options.pop("settings", {})
        self.limits: Limits = options.pop("limits", Limits(min_expires=1))
        self.log: RefusalLog | None = options.pop("log", None)
        self.sockets: tuple[tuple[str, int], ...] = ()
        self.secret = secrets.token_bytes(32)
        self.clock = time.time

    async def start(self) -> None:
        store = await SqliteStore.open(
            self.folder / "trunkline.db", max_queued=10_000, clock=time.time
        )
        self.store = Weather(store)
        self.accounts = await Accounts.load(store)
        first = self.accounts.first(AccountKind.FULL)
        self.account = first or await self.accounts.add(_account())
        self.directory = await SipDirectory.load(store)
        self.directory.declare(
            declared_domain(self.account.sid, DOMAIN, self.settings, USERS, time.time())
        )
        self.station = await open_station(
            Terms(listens=self.listens, files=self.files),
            self._take,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
        )
        bound = self.station.endpoint.addresses()
        self.listens = tuple(Listen(transport=t, host=h, port=p) for t, (h, p) in bound)
        gate = Gate(self.directory, self.accounts, Challenger(self.secret), Floods(self.floods))
        self.registrations = Registrations(
            self.store,  # type: ignore[arg-type]  # a store, with weather
            self.directory,
            self.station,
            gate,
            clock=lambda: self.clock(),
            limits=self.limits,
            log=self.log,
            sockets=self.sockets,
        )
        await self.registrations.start()

    async def stop(self) -> None:
        await self.registrations.close()
        await self.station.close()
        await self.store.store.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def hop(self, transport: Transport = Transport.UDP) -> Hop:
        for kind, (host, port) in self.station.endpoint.addresses():
            if kind is transport:
                domain = "localhost" if kind is Transport.TLS else ""
                return Hop(transport=kind, host=host, port=port, domain=domain)
        raise LookupError(transport)

    def _take(self, event: Event) -> None:
        match event:
            case events.RegisterReceived():
                self.registrations.take(event)
            case Closed(flow=flow):
                self.registrations.flow_closed(flow)


class Phone:
    """A phone of `user`; what it is answered is returned by `register`."""

    def __init__(self, station: Station, user: str, password: str) -> None:
        self.station = station
        self.user = user
        self.sessions = Sessions(
            [Credentials(username=user, password=password)], cnonce=lambda: secrets.token_hex(8)
        )
        self.call_id = secrets.token_hex(8)
        self.cseq = 0
        self.answers: dict[events.RequestId, asyncio.Future[Response]] = {}
        self.crossed: list[Crossed] = []

    async def register(self, hop: Hop, **options: Any) -> Response:
        return await asyncio.wait_for(self.ask(hop, **options), PATIENCE)

    def ask(
        self,
        hop: Hop,
        *,
        to: str = "",
        domain: str = DOMAIN,
        expires: int = 600,
        contact: SipUri | None = None,
        params: Params = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> "asyncio.Future[Response]":
        """Send a REGISTER; its final answer."""
        self.cseq += 8  # a challenge takes the next
        aor = NameAddr(uri=SipUri(user=to or self.user, host=domain))
        uri = contact or self.contact(hop)
        id = self.station.agent.request(
            Ask(
                method="REGISTER",
                uri=SipUri(host=domain),
                from_=aor,
                to=aor,
                contacts=(NameAddr(uri=uri, params=(*params, ("expires", str(expires)))),),
                headers=Headers(headers),
                call_id=self.call_id,
                cseq=self.cseq,
            ),
            hop,
            self.station.now(),
            self.sessions,
        )
        self.station.wake()
        self.answers[id] = asyncio.get_running_loop().create_future()
        return self.answers[id]

    def contact(self, hop: Hop) -> SipUri:
        found = self.station.contact(hop).uri
        assert isinstance(found, SipUri)
        return SipUri(user=self.user, host=found.host, port=found.port, params=found.params)

    def take(self, event: Event) -> None:
        if isinstance(event, events.Responded) and event.request in self.answers:
            self.answers[event.request].set_result(event.response)


@asynccontextmanager
async def phone(
    user: str = "alice",
    password: str = PASSWORD,
    *,
    files: Tls | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Phone]:
    """A phone on a socket of its own."""
    made: list[Phone] = []
    station = await open_station(
        Terms(listens=(Listen(transport=Transport.UDP, host=host),), files=files),
        lambda event: made[0].take(event),
        token=lambda: secrets.token_hex(8),
        chance=random.random,
        tap=lambda crossed: made[0].crossed.append(crossed),
    )
    made.append(Phone(station, user, password))
    try:
        yield made[0]
    finally:
        await station.close()


async def until(condition: Any) -> None:
    """Wait until `condition` gives something true."""
    async with asyncio.timeout(PATIENCE):
        while not (found := condition()):
            await asyncio.sleep(0.01)
            del found


def _account() -> Account:
    now = time.time()
    sid = new_sid(ACCOUNT, now)
    return Account(
        sid=sid,
        parent_sid=sid,
        kind=AccountKind.FULL,
        friendly_name="Main",
        auth_token=new_token(),
        status=AccountStatus.ACTIVE,
        date_created=now,
        date_updated=now,
        version=1,
    )

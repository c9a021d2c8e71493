"""The role `voice`: SIP, media, and the calls between them, put together for one process."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog

from carriers.model import Carrier
from carriers.routing import Medium, Plan, RouteRequest
from carriers.trunk import Trunks
from gateway import trunk_log
from gateway.calls.book import Book
from gateway.calls.call_messages import CallMessages
from gateway.calls.documents import Documents
from gateway.calls.house import Accept, House
from gateway.calls.ladder import Ladder
from gateway.calls.meters import VoiceStats
from gateway.calls.orders import NoCalls, Orders
from gateway.calls.orders_watch import OrderWatcher
from gateway.calls.pace import Paces
from gateway.calls.queue_run import Queues
from gateway.calls.reach import Device, Reach, srtp_of
from gateway.calls.restart import Restart
from gateway.calls.room_restart import RoomCloser
from gateway.calls.rooms import Rooms
from gateway.calls.service import Calls
from gateway.calls.sip_tools import Tools
from gateway.config import Config
from gateway.core.runner import Job
from gateway.daemon.browsers import Browsers
from gateway.daemon.ground import Ground, chance
from gateway.daemon.media import Media, open_media
from gateway.daemon.prompts import prompts
from gateway.forms import Address
from gateway.media.plane import Plane
from gateway.media.workers import Workers
from gateway.recordings.book import Book as Recordings
from gateway.recordings.restart import Closer
from gateway.sids import Dice
from gateway.sip.admission import Admission
from gateway.sip.directory import SipDirectory
from gateway.sip.floods import Floods
from gateway.sip.gate import Gate
from gateway.sip.refusals import RefusalLog
from gateway.sip.registrations import Registrations
from gateway.speech.prompts import Prompts
from gateway.store.base import Lease
from gateway.webhooks.callbacks import Patience
from protocols.sip import agent_commands, locating, registrar
from protocols.sip.agent_commands import Settings
from protocols.sip.challenger import Challenger
from protocols.sip.errors import LocalProtocolError
from protocols.sip.ledger import Limits
from protocols.sip.overload import Lag
from protocols.sip.resolver import NameServers, Resolver
from protocols.sip.session_refresh import Wish
from protocols.sip.sizes import Sizes
from protocols.sip.sockets.addresses import is_any, source_to
from protocols.sip.station import Station, Terms, open_station
from protocols.sip.transport import Transport
from protocols.sip.wire import Certificate, Listen, Tls

_log = structlog.get_logger(__name__)

# Nobody here has a use for MESSAGE: a 200 would say that somebody read it.
INSIDE: Final = frozenset(agent_commands.INSIDE) - {"MESSAGE"}
OUTSIDE: Final = frozenset({"INVITE", "OPTIONS", "REGISTER"})
SOFTWARE: Final = "trunkline"
_UNREGISTER_WITHIN: Final = 2.0  # seconds
_NOWHERE: Final = "nobody carries calls: [sip] udp, tcp and tls name no address to listen at"
_SECRET: Final = 32  # octets
_dice: Final = Dice(24)  # hex digits of a token
# By whether it is IPv6: an address of nobody, to ask the system where it speaks from.
_ANYBODY: Final = {False: "192.0.2.1", True: "2001:db8::1"}
_LOOPBACK: Final = {False: "127.0.0.1", True: "::1"}
_TRANSACTIONS: Final = 100_000  # an answer over UDP is kept for 32 s: 3,000 requests a second


class Voice:
    """See the module. `open` makes it, the stack that it is given ends it."""

    def __init__(
        self,
        ground: Ground,
        *,
        owner: str,
        lease: Callable[[], Lease | None],
        offer: Callable[[Job], None],
        patience: Patience,
        carriers: Callable[[], Iterable[Carrier]],
        recordings: Recordings,
        texts: Accept,
    ) -> None:
        """`carriers` are those of the file as they are reached now, `texts` takes texts to send."""
        self._recordings = recordings
        self._texts = texts
        self._ground = ground
        self._config = ground.config
        self._book = Book(ground.store, lease)
        self._refusals = RefusalLog()
        self._owner = owner
        self._lease = lease
        self._offer = offer
        self._patience = patience
        self._carriers = carriers
        sip = ground.config.sip
        self.calls = Calls(
            clock=ground.clock,
            most=sip.max_calls,
            paces=Paces(sip.account_cps, sip.max_queued),
        )
        self.trunks: Trunks
        self.station: Station
        self.browsers: Browsers
        self._media: Media
        self._prompts: Prompts
        self._registrations: Registrations
        self.ports: dict[str, int] = {}
        self._number = itertools.count(int(time.time()) << 20).__next__

    @property
    def address(self) -> tuple[str, int]:
        """Where carriers on this machine reach us first."""
        host, port = self.station.endpoint.addresses()[0][1]
        return (_LOOPBACK[":" in host] if is_any(host) else host), port

    @property
    def _workers(self) -> Workers:
        return self._media.workers

    def stats(self) -> VoiceStats:
        """What is measured."""
        agent, workers, meters = self.station.agent, self._workers, self._book.meters
        before = self._media.rtpengine
        return VoiceStats(
            calls=self.calls.counts(),
            queued=self.calls.queued(),
            ended=meters.ended,
            post_dial=meters.post_dial,
            mos=meters.mos,
            sessions=agent.ledger().get("sessions", 0),
            transactions=agent.layer.clients + agent.layer.servers,
            connections=self.station.endpoint.connections(),
            registrations=len(self._registrations),
            workers=workers.size,
            media=workers.loads(),
            refused=self._refusals.counts,
            prompts_waiting=self._prompts.under_way,
            prompts_kept=self._prompts.octets,
            sockets=len(self.browsers.door),
            strangers=self.browsers.door.strangers,
            clients=self.browsers.desk.ledger(),
            rtpengine={} if before is None else before.counts(),
            lag=self.station.overload.late,
            overload=self.station.overload.share,
        )

    async def open(self, stack: AsyncExitStack) -> None:
        """Begin: media first, then the sockets, then what is registered and where."""
        config = self._ground.config
        self._media = await open_media(config, self._ground.data, self.calls.told, stack)
        await self._open_prompts(stack)
        ladder = await self._listen(stack)
        self.browsers = Browsers(self._ground, self._messages())
        stack.push_async_callback(self.browsers.desk.close)
        self._registrations = registrations = self._furnish(self._media.plane, ladder, stack)
        await registrations.start()
        stack.push_async_callback(registrations.close)
        self.trunks.reload(self._carriers())
        await self.trunks.start()
        stack.push_async_callback(lambda: self.trunks.close(_UNREGISTER_WITHIN))
        await self._restart.begin(self._end_what_is_left())
        stack.callback(asyncio.create_task(self.calls.keep_ladders()).cancel)
        watcher = OrderWatcher(self._ground.store, self.calls)
        watcher.start()
        stack.push_async_callback(watcher.close)
        stack.push_async_callback(self._restart.close)
        stack.push_async_callback(lambda: self.calls.drain(config.daemon.drain_calls))

    async def _open_prompts(self, stack: AsyncExitStack) -> None:
        self._prompts = prompts(
            self._ground.config.speech,
            self._ground.data,
            fetcher=self._ground.fetcher,
            tokens=self._ground.tokens,
            clock=self._ground.clock,
        )
        stack.push_async_callback(self._prompts.close)
        await self._prompts.open()

    async def _listen(self, stack: AsyncExitStack) -> Ladder:
        """Open the sockets of SIP; what passes there goes into the ladder."""
        ladder = Ladder(
            clock=self._ground.clock,
            steady=asyncio.get_running_loop().time,
            local=lambda destination: self.station.advertised(destination),
        )
        self.station = await open_station(
            _terms_of(self._ground.config),
            self.calls.take,
            token=_dice.throw,
            chance=chance,
            tap=ladder.see,
        )
        stack.push_async_callback(self.station.close)
        self._note_ports()
        return ladder

    def _end_what_is_left(self) -> Callable[[], Awaitable[None]]:
        """What ends recordings and rooms whose process died."""
        closer = Closer(
            self._recordings,
            self._ground.store,
            lease=self._lease,
            offer=self._offer,
            also=self._restart.recorded,
        )
        rooms = RoomCloser(
            self._ground.store,
            lease=self._lease,
            clock=self._ground.clock,
            offer=self._offer,
            patience=self._patience,
        )

        async def end_what_is_left() -> None:
            await closer.look()
            await rooms.look()

        return end_what_is_left

    def reload(self) -> None:
        """Read the certificates again, for connections from now on."""
        try:
            self.station.endpoint.reload(_files_of(self._config))
        except LocalProtocolError as error:
            _log.error("[sip] keeps the certificates that it has", reason=str(error))

    def _host(self) -> str:
        """Our own host as From names it: what is advertised, or the address that we speak from."""
        if self._config.sip.advertised:
            return self._config.sip.advertised.strip("[]")
        host = self.station.endpoint.addresses()[0][1][0]
        if not is_any(host):
            return host
        return source_to(_ANYBODY[":" in host]) or _LOOPBACK[":" in host]

    def _furnish(self, plane: Plane, ladder: Ladder, stack: AsyncExitStack) -> Registrations:
        ground, config, station = self._ground, self._ground.config, self.station
        resolver = self._resolver(stack)
        challenger = Challenger(secrets.token_bytes(_SECRET), algorithms=config.sip.digest)
        gate = Gate(
            ground.sip, ground.accounts, challenger, Floods(), proved=station.endpoint.proved
        )
        refusals = self._refusals
        registrations = Registrations(
            ground.store,
            ground.sip,
            station,
            gate,
            clock=ground.clock,
            limits=registrar.Limits(
                min_expires=int(config.sip.min_expires), max_expires=int(config.sip.max_expires)
            ),
            fence=self._lease,
            log=refusals,
            sockets=_sockets_of(config),
            moved=self.calls.moved,
        )
        self.trunks = Trunks(
            station,
            resolver,
            clock=ground.clock,
            chance=chance,
            token=_dice.throw,
            report=trunk_log.told,
        )
        admission = Admission(
            gate, self.trunks, ground.numbers.holder, clock=ground.clock, log=refusals
        )
        house = self._house(plane, ladder, resolver, registrations)
        self.calls.furnish(
            house, trunks=self.trunks, registrations=registrations, admission=admission
        )
        self.browsers.open_to(self.calls, house)
        self._restart = Restart(house, is_shared=lambda: ground.shared)
        return registrations

    def _house(
        self, plane: Plane, ladder: Ladder, resolver: Resolver, registrations: Registrations
    ) -> House:
        ground, rtp = self._ground, self._ground.config.rtp
        return House(
            tools=Tools(
                station=self.station,
                watch=self.calls.watch,
                host=rtp.listen,
                advertised=rtp.advertised,
                clock=ground.clock,
                number=self._number,
                key=secrets.token_bytes,
                silence=rtp.silence,
            ),
            plane=plane,
            reach=Reach(
                trunks=self.trunks,
                resolver=resolver,
                users=Users(ground.sip, registrations),
                plan=self._plan,
                host=self._host,
                clock=ground.clock,
                cnonce=_dice.throw,
            ),
            browsers=self.browsers.desk,
            documents=Documents(ground.fetcher, ground.tokens, ground.clock),
            prompts=self._prompts,
            recordings=self._recordings,
            rooms=Rooms(),
            queues=Queues(),
            texts=self._texts,
            book=self._book,
            store=ground.store,
            lease=self._lease,
            offer=self._offer,
            patience=self._patience,
            ladder=ladder,
            sizes=Sizes(),
            holder=ground.numbers.holder,
            owner=self._owner,
            clock=ground.clock,
        )

    def _messages(self) -> CallMessages:
        ground = self._ground
        return CallMessages(
            ground.store,
            lease=self._lease,
            offer=self._offer,
            patience=self._patience,
            clock=ground.clock,
        )

    def _resolver(self, stack: AsyncExitStack) -> Resolver:
        sip = self._ground.config.sip
        spoken = {Transport.UDP: sip.udp, Transport.TCP: sip.tcp}
        transports = tuple(each for each, listens in spoken.items() if listens)
        resolver = Resolver(
            NameServers(),
            clock=asyncio.get_running_loop().time,
            chance=chance,
            abilities=locating.Abilities(transports=(*transports, Transport.TLS)),
        )
        stack.push_async_callback(resolver.close)
        return resolver

    def _plan(self, account_sid: str, to: str, from_: str) -> Plan:
        """The carriers of a call, the best first, and why."""
        request = RouteRequest(
            medium=Medium.CALL, account_sid=account_sid, to=to, from_=from_, fraction=chance()
        )
        return self._ground.call_plan(request, self.trunks.health(), self._ground.clock())

    def _note_ports(self) -> None:
        for transport, (_, port) in self.station.endpoint.addresses():
            self.ports.setdefault(f"sip_{transport.lower()}", port)


class Users:
    """The users of our domains, and their devices: `reach.Users`."""

    def __init__(self, directory: SipDirectory, registrations: Registrations) -> None:
        self._directory = directory
        self._registrations = registrations

    def is_ours(self, domain: str) -> bool:
        """See `reach.Users`."""
        return self._directory.domain(domain) is not None

    def devices(self, account_sid: str, user: str, domain: str) -> Sequence[Device]:
        """See `reach.Users`: those of another account are nobody's business."""
        found = self._directory.domain(domain)
        if found is None or found.account_sid != account_sid:
            return ()
        return [
            Device(
                uri=target.uri,
                destinations=(
                    target.destination,
                    *(other.destination for other in target.alternates),
                ),
                routes=target.routes,
                media=srtp_of(found),
            )
            for target in self._registrations.targets(f"{user}@{found.domain_name}")
        ]


def _terms_of(config: Config) -> Terms:
    sip = config.sip
    listens = [
        _listen(transport, address, sip.advertised)
        for transport, addresses in (
            (Transport.UDP, sip.udp),
            (Transport.TCP, sip.tcp),
            (Transport.TLS, sip.tls),
        )
        for address in addresses
    ]
    return Terms(
        listens=tuple(listens),
        settings=Settings(
            inside=INSIDE,
            outside=OUTSIDE,
            software=SOFTWARE,
            refresh=Wish(seconds=int(sip.session_expires)),
        ),
        limits=Limits(servers=_TRANSACTIONS, clients=_TRANSACTIONS),
        lag=Lag(most=sip.max_lag),
        files=_files_of(config),
        names=sip.names,
    )


def _listen(transport: Transport, address: Address, advertised: str) -> Listen:
    return Listen(
        transport=transport,
        host=address.host,
        port=address.port,
        advertised=(advertised.strip("[]"), 0),
    )


def _sockets_of(config: Config) -> tuple[tuple[str, int], ...]:
    """Where browsers come in."""
    listens = (config.http.listen, config.http.tls_listen)
    return tuple((each.host, each.port) for each in listens if each is not None)


def _files_of(config: Config) -> Tls:
    sip = config.sip
    shown: tuple[Certificate, ...] = ()
    if sip.tls_cert is not None and sip.tls_key is not None:
        shown = (Certificate(chain=str(sip.tls_cert), key=str(sip.tls_key)),)
    trust = str(sip.tls_ca) if sip.tls_ca is not None else ""
    return Tls(certificates=shown, clients=sip.tls_clients, trust=trust)


def calls_of(voice: Voice | None, ground: Ground) -> Orders:
    """What REST asks of calls; where this process carries none another one may."""
    if voice is not None:
        return voice.calls
    return NoCalls("" if ground.shared else _NOWHERE)


def is_wanted(config: Config) -> bool:
    """Whether calls are listened for at all."""
    return bool(config.sip.udp or config.sip.tcp or config.sip.tls)

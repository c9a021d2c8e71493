"""A gateway that is REST alone: real HTTP and a real store, the rest held in the hand."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from carriers.call_plan import call_plan
from carriers.health import Health, HealthState, Intake
from carriers.model import Carrier, CarrierKind, Route
from carriers.routing import Medium, Plan, RouteRequest, RoutingTable, plan
from carriers.trunks import Trunk
from gateway.access.keys import Keys
from gateway.accounts import Accounts, new_token
from gateway.api.app import build_app
from gateway.api.services import ApiLimits, Services
from gateway.browsers.roster import Roster
from gateway.bus.embedded import EmbeddedBus
from gateway.core.archive import Folder
from gateway.core.records import Job
from gateway.core.replay import Replay
from gateway.messages import records
from gateway.messages.draft import Draft, Refusal
from gateway.messages.idempotency import Replayed
from gateway.messages.timeline import timeline
from gateway.model import Account, AccountKind, AccountStatus, Direction, Message, MessageStatus
from gateway.phone_numbers import PhoneNumbers, declared_number
from gateway.proxies import NONE as NO_PROXIES
from gateway.proxies import Proxies
from gateway.recordings.book import Book as Recordings
from gateway.recordings.files import Files
from gateway.sids import ACCOUNT, MMS, SMS, new_sid
from gateway.sip.directory import SipDirectory
from gateway.store.sqlite import SqliteStore
from gateway.trunk_report import TrunkReport
from gateway.webhooks.callbacks import Patience

T = TypeVar("T")

NUMBER = "+15550001000"  # of the main account, declared by its config file
OTHER_NUMBER = "+15550002000"  # of the stranger


class HeldMessages:
    """The message path without carriers: what is accepted is stored and stays queued."""

    def __init__(self, store: SqliteStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self.refusal: Refusal | None = None
        self.drafts: list[Draft] = []
        self.keys: dict[str, tuple[Draft, str]] = {}

    async def accept(self, draft: Draft) -> Message | Refusal:
        if self.refusal is not None:
            return self.refusal
        self.drafts.append(draft)
        return await self.keep(draft)

    async def accept_once(self, draft: Draft, key: str) -> Message | Replayed | Refusal:
        if key not in self.keys:
            taken = await self.accept(draft)
            if isinstance(taken, Message):
                self.keys[key] = (draft, taken.sid)
            return taken
        before, sid = self.keys[key]
        if before != draft:
            return Refusal(error_code=20422, message=f"The key stands for {sid}.")
        return Replayed(message=await self._get(draft.account_sid, sid))

    async def keep(self, draft: Draft, **changed: Any) -> Message:
        now = self._clock()
        message = Message(
            account_sid=draft.account_sid,
            sid=new_sid(MMS if draft.media else SMS, now),
            direction=Direction.OUTBOUND_API,
            status=MessageStatus.QUEUED,
            from_address=draft.from_address,
            to_address=draft.to_address,
            body=draft.body,
            media=draft.media,
            num_segments=1,
            parts=1,
            encoding="gsm7",
            status_callback=draft.status_callback,
            origin=draft.origin,
            valid_until=now + draft.validity_period,
            date_created=now,
            date_updated=now,
        )
        message = msgspec.structs.replace(message, **changed)
        await self._store.commit([records.inserted(message)])
        return message

    async def cancel(self, account_sid: str, sid: str) -> Message | Refusal:
        message = await self._get(account_sid, sid)
        if message.status is not MessageStatus.QUEUED:
            return Refusal(error_code=30409, message=f"The message is {message.status}.")
        new = msgspec.structs.replace(
            message, status=MessageStatus.CANCELED, version=message.version + 1
        )
        await self._store.commit([records.changed(new)])
        return new

    async def redact(self, account_sid: str, sid: str) -> Message | Refusal:
        message = await self._get(account_sid, sid)
        new = msgspec.structs.replace(message, body="", media=(), version=message.version + 1)
        await self._store.commit([records.redacted(new)])
        return new

    async def delete(self, account_sid: str, sid: str) -> Refusal | None:
        await self._store.commit([records.deleted(account_sid, sid)])
        return None

    async def _get(self, account_sid: str, sid: str) -> Message:
        return records.message_of((await self._store.fetch(records.GET, account_sid, sid))[0])


class HeldCarriers:
    """One carrier, which does as it is told."""

    def __init__(self) -> None:
        self.states = {"acme": HealthState.BOUND}

    def names(self) -> tuple[str, ...]:
        return tuple(self.states)

    def health(self, carrier: str, now: float) -> Health:
        return Health(
            carrier=carrier,
            state=self.states[carrier],
            binds_up=1,
            binds_wanted=1,
            transmitters_up=1,
            since=1_795_168_800.0,
        )

    def kind(self, carrier: str) -> CarrierKind:
        return CarrierKind.SMPP

    def trunk(self, carrier: str) -> TrunkReport | None:
        return None

    async def steer(self, carrier: str, intake: Intake) -> None:
        self.states[carrier] = {
            Intake.OPEN: HealthState.BOUND,
            Intake.PAUSED: HealthState.PAUSED,
            Intake.DRAINING: HealthState.DRAINING,
        }[intake]


class GatewayHttpClient(TwilioHttpClient):
    """The SDK's own client, with every Twilio host turned to the gateway."""

    def __init__(self, url: str) -> None:
        super().__init__(pool_connections=False)
        self._url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(
            method, url.replace("https://api.twilio.com", self._url), *args, **kwargs
        )


@dataclass(kw_only=True)
class World:
    """What a test holds: the gateway's address, its accounts and what it was made of."""

    url: str
    main: Account
    stranger: Account
    test: Account
    services: Services
    messages: HeldMessages
    carriers: HeldCarriers
    session: aiohttp.ClientSession
    roster: Roster
    unready: list[str]
    simulators: list[str] = field(default_factory=list)
    offered: list[Job] = field(default_factory=list)

    def sdk(self, account: Account) -> Client:
        """The official SDK with the credentials of `account`."""
        client = Client(account.sid, account.auth_token, http_client=GatewayHttpClient(self.url))
        return client

    async def call(self, use: Callable[[], T]) -> T:
        """What `use` gives, in a thread: the SDK blocks."""
        return await asyncio.to_thread(use)

    async def ask(
        self, method: str, path: str, account: Account | None = None, **kwargs: Any
    ) -> tuple[int, Any, aiohttp.typedefs.CIMultiDictProxy[str]]:
        """Status, decoded JSON (or octets) and headers of one request."""
        headers = CIMultiDict(kwargs.pop("headers", {}))
        if account is not None:
            headers.setdefault("Authorization", basic(account.sid, account.auth_token))
        async with self.session.request(
            method, self.url + path, headers=headers, **kwargs
        ) as response:
            body = await response.read()
            kind = response.headers.get("Content-Type", "")
            is_json = body and kind.startswith("application/json")
            value = msgspec.json.decode(body) if is_json else body
            return response.status, value, response.headers


def basic(sid: str, token: str) -> str:
    """An `Authorization` header."""
    return "Basic " + b64encode(f"{sid}:{token}".encode()).decode()


def new_account(name: str, kind: AccountKind = AccountKind.FULL) -> Account:
    """A main account of its own."""
    now = time.time()
    sid = new_sid(ACCOUNT, now)
    return Account(
        sid=sid,
        parent_sid=sid,
        kind=kind,
        friendly_name=name,
        auth_token=new_token(),
        status=AccountStatus.ACTIVE,
        date_created=now,
        date_updated=now,
        version=1,
    )


def _planner() -> Callable[[RouteRequest, float], Plan]:
    acme = Carrier(name="acme", kind=CarrierKind.SIMULATED, trunk=Trunk(emergency=("GB",)))
    table = RoutingTable((), (acme,))

    def plan_(request: RouteRequest, now: float) -> Plan:
        if request.medium is Medium.CALL:
            return call_plan(request, table, {"acme": acme}, {}, now)
        return plan(request, table, {}, now)

    return plan_


ROUTE = Route(prefix="+44", carriers=("acme",), price=Decimal("0.0075"))
_PRICES = RoutingTable((ROUTE,), (Carrier(name="acme", kind=CarrierKind.SMPP),))


def _price(message: Message) -> Decimal | None:
    return _PRICES.price(
        message.account_sid, message.carrier, message.to_address, message.num_segments
    )


@asynccontextmanager
async def rest_world(
    folder: Path, limits: ApiLimits | None = None, proxies: Proxies = NO_PROXIES
) -> AsyncIterator[World]:
    """A gateway on a free port, with a main account, a stranger's and test credentials."""
    store = await SqliteStore.open(folder / "trunkline.db", max_queued=1000, clock=time.time)
    accounts = Accounts(store)
    main, stranger = new_account("Main"), new_account("Stranger")
    test = new_account("Test", AccountKind.TEST)
    for account in (main, stranger, test):
        await accounts.add(account)
    numbers = await PhoneNumbers.load(
        store,
        [
            declared_number(main.sid, NUMBER, {"sms_url": "https://app.example/sms"}, time.time()),
            declared_number(stranger.sid, OTHER_NUMBER, {}, time.time()),
        ],
    )
    sip = await SipDirectory.load(store)
    messages, carriers = HeldMessages(store, time.time), HeldCarriers()
    unready: list[str] = []
    simulators: list[str] = []
    offered: list[Job] = []
    bus = EmbeddedBus(store)
    roster = Roster(time.time)
    services = Services(
        store=store,
        accounts=accounts,
        keys=await Keys.load(store),
        phone_numbers=numbers,
        sip=sip,
        messages=messages,
        carriers=carriers,
        recordings=Recordings(
            store=store,
            files=Files(folder),
            base=lambda: "https://api.example",
            patience=Patience(retry_for=60.0),
            clock=time.time,
            owner="rest",
        ),
        bus=bus,
        live=bus,
        timeline=timeline,
        plan=_planner(),
        price=_price,
        unready=lambda: unready[0] if unready else store.stats().trouble,
        clock=time.time,
        simulators=lambda: simulators,
        limits=limits or ApiLimits(),
        proxies=proxies,
        clients=roster,
        replay=Replay(store, Folder(folder / "archive"), offered.append, time.time),
    )
    runner = web.AppRunner(build_app(services), access_log=None, lingering_time=2.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    session = aiohttp.ClientSession()
    try:
        yield World(
            url=f"http://127.0.0.1:{port}",
            main=main,
            stranger=stranger,
            test=test,
            services=services,
            messages=messages,
            carriers=carriers,
            session=session,
            roster=roster,
            unready=unready,
            simulators=simulators,
            offered=offered,
        )
    finally:
        await session.close()
        await bus.close()
        await runner.cleanup()
        await store.close()

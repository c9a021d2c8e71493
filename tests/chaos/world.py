"""What a run consists of: servers, processes of the gateway, carriers, apps, the load, and all
that they wrote down.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from twilio.request_validator import RequestValidator

from tests.chaos.foreign import FACTS, SUBMITS, Reader, Record, by_headers, by_ids
from tests.chaos.judge import Evidence, Fact, fact_of, faults_of
from tests.chaos.ledgers import AppLedger, CarrierLedger, Line
from tests.chaos.load import ENDINGS, PREFIXES, SUBMIT_TOPIC, Book, Clients, Submitter, pour
from tests.chaos.members import Member
from tests.chaos.waiting import until
from tests.chaos.watch import Watch
from tests.integration.gateway_process import App, Carrier
from tests.kafka_cluster import BrokerDied, KafkaCluster
from tests.postgres import PostgresServer

WINDOWS: Final = {"acme": (20, 1), "beta": (10, 2)}  # submit_sm in flight of a bind, and binds
APPS: Final = 3
# Callbacks of one process that may be made again after a blow: those under way, as many as it has
# workers, and those whose ends the store does not have yet. No further one starts when it takes
# more than a quarter of a second over those before; a thousand a second is what all take here.
UNSETTLED: Final = 64 + 500
PARTITIONS: Final = 4
LEASE: Final = 5.0  # seconds: the default
_ANSWERS_AFTER: Final = 0.2  # seconds, so that a kill finds submit_sm in flight
_RECEIPT_AFTER: Final = (1.0, 20.0)  # seconds: some come long after another took over
_THREADS: Final = 32
_READY_WITHIN: Final = 120.0
_SETTLES_WITHIN: Final = 90.0
_LOOK_EVERY: Final = 1.0
_READ: Final = 20.0  # seconds of one look at Kafka, at most
_STILL: Final = 3  # looks that see nothing new, when all is there
_PAGE: Final = 1000
_ACCOUNT: Final = "AC" + "c4a05" * 6 + "c4"
_TOKEN: Final = "c4a05" * 6 + "c4"
_FACTS: Final = "SELECT id, sid, type, version FROM facts ORDER BY id"


def _never(_since: float, _until: float) -> bool:
    return False


def _answer(ending: int) -> dict[str, object]:
    """How a carrier answers texts to numbers with these last four digits."""
    steps = [
        {"do": "deliver"},
        {"do": "wait", "seconds": _ANSWERS_AFTER},
        {"do": "respond"},
        {"do": "wait", "seconds": _RECEIPT_AFTER[ending // 4 % 2]},
        {"do": "receipt"},
    ]
    return {"turns": [steps]}


class World:
    """Everything of one run, in the folder `home`."""

    def __init__(self, home: Path, dice: random.Random, *, rate: float) -> None:
        """`rate` is texts a second, of all sources together."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.dice = dice
        self.rate = rate
        self.book = Book()
        self.clusters: dict[str, KafkaCluster] = {}
        self.members: list[Member] = []
        self.server = PostgresServer(durable=True)
        self.watch: Watch
        self._carriers: dict[str, Carrier] = {}
        self._apps: list[App] = []
        self._carrier_ledgers: dict[str, CarrierLedger] = {}
        self._app_ledgers: list[AppLedger] = []
        self._clients: Clients
        self._submitter: Submitter | None = None
        self._pouring: asyncio.Task[None] | None = None
        self._readers: list[Reader] = []
        self._stack = AsyncExitStack()

    # -- its life ----------------------------------------------------------------------------

    async def open(self, nodes: Mapping[str, int], submit: Sequence[str] = ()) -> None:
        """Start servers and strangers: clusters by name with so many brokers.

        To those that `submit` names records are produced.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        self._ends(self._end_server)
        starting = [
            asyncio.to_thread(self.server.start),
            *(asyncio.to_thread(self._start_cluster, name, n) for name, n in nodes.items()),
            asyncio.to_thread(self._start_strangers),
        ]
        await asyncio.gather(*starting)
        self.watch = Watch(self.server.url(over="tcp"))
        self._stack.push_async_callback(self.watch.close)
        self._clients = Clients(
            self.book, self._targets, (_ACCOUNT, _TOKEN), self._callback_urls(), self.dice
        )
        await self._clients.open()
        self._stack.push_async_callback(self._clients.close)
        for name in submit:
            brokers = self.clusters[name].bootstrap
            self._submitter = Submitter(
                self.book, brokers, _ACCOUNT, self._callback_urls(), self.dice
            )
            self._stack.push_async_callback(self._submitter.close)
        topics = [*FACTS, *([SUBMITS] if submit else [])]
        self._readers = [
            Reader(name, cluster.bootstrap, topics) for name, cluster in self.clusters.items()
        ]
        for reader in self._readers:
            self._ends(reader.close)
        self._stack.push_async_callback(self._end_members)
        self._stack.push_async_callback(self.rest)

    def _ends(self, end: Callable[[], None]) -> None:
        """Call `end`, which blocks, when all that was begun later has ended."""
        self._stack.push_async_callback(asyncio.to_thread, end)

    def _end_server(self) -> None:
        (self.home / "postgres.log").write_text(self.server.log_tail())
        self.server.remove()

    async def _end_members(self) -> None:
        await asyncio.gather(*(each.close() for each in self.members))

    async def start(
        self, roles: Sequence[str], store_was_away: Callable[[float, float], bool] = _never
    ) -> None:
        """Start a process for each of `roles`; return when all are ready and own what they do."""
        config = self._config()
        environ = {
            "TRUNKLINE_STORE__URL": self.server.url(over="tcp"),
            "TRUNKLINE_ACCOUNT_SID": _ACCOUNT,
            "TRUNKLINE_AUTH_TOKEN": _TOKEN,
        }
        for number, role in enumerate(roles):
            home = self.home / f"{role}{roles[:number].count(role) + 1}"
            self.members.append(Member(home, role, config, environ, self.dice, store_was_away))
            self.members[-1].start()
        await self.all_ready()
        self.watch.start()
        wanted = {*(f"carrier:{name}" for name in WINDOWS), "work:forwarder"}
        owners = self.watch.owners
        await until(lambda: wanted <= owners.keys(), f"{wanted} are owned", _READY_WITHIN)
        # Brokers would make a topic that is written to too early, of another size.
        topics = [*FACTS, *([SUBMIT_TOPIC, SUBMITS] if self._submitter is not None else [])]
        async with asyncio.timeout(_READY_WITHIN):
            for reader in self._readers:
                while True:
                    if await asyncio.to_thread(reader.has, topics):
                        break
                    await asyncio.sleep(_LOOK_EVERY)

    async def all_ready(self) -> None:
        """Wait until every process is."""
        await until(
            lambda: all(each.ready for each in self.members), "all are ready", _READY_WITHIN
        )

    async def close(self) -> None:
        """End everything that still runs."""
        await self._stack.aclose()

    # -- the load ----------------------------------------------------------------------------

    def work(self) -> None:
        """Let texts come."""
        sources = [self._clients.send]
        if self._submitter is not None:
            self._submitter.open()
            sources.append(self._submitter.send)
        self._pouring = asyncio.get_running_loop().create_task(pour(self.rate, sources))

    async def rest(self) -> None:
        """Let no more come."""
        if self._pouring is not None:
            self._pouring.cancel()
            with suppress(asyncio.CancelledError):
                await self._pouring
            self._pouring = None

    async def settle(self) -> list[str]:
        """Wait until everything that was asked is accepted; what is not."""
        left = await self._clients.settle(_SETTLES_WITHIN)
        wrong = [f"{left} requests were never answered 201"] if left else []
        if self._submitter is not None:
            left = await self._submitter.settle(_SETTLES_WITHIN)
            wrong += [f"{left} records were never acknowledged"] if left else []
        return wrong

    def brokers_that_died(self) -> list[str]:
        """Those that ended though nobody killed them."""
        died = []
        for cluster in self.clusters.values():
            try:
                cluster.check()
            except BrokerDied as error:
                died.append(str(error))
        return died

    # -- what was written down ---------------------------------------------------------------

    async def drain(self, within: float) -> Evidence:
        """Wait until all that was accepted has ended and was told; all that was written down."""
        deadline = time.monotonic() + within
        still, before = 0, (0, 0, 0)
        while True:
            evidence = await self.evidence()
            size = (len(evidence.callbacks), len(evidence.facts), len(evidence.taken))
            whole = not faults_of(evidence) and len(evidence.taken) >= len(evidence.facts)
            still = still + 1 if whole and size == before else 0
            before = size
            if still == _STILL or time.monotonic() > deadline:
                return evidence
            await asyncio.sleep(_LOOK_EVERY)

    async def evidence(self) -> Evidence:
        """As it is now."""
        known = await self._known()
        facts = await self.facts()
        await self.read_on()
        await asyncio.to_thread(self.look)
        return Evidence(
            asked=list(self.book.asked.values()),
            promises=self.book.promises,
            known=known,
            texts=[text for each in self._carrier_ledgers.values() for text in each.texts],
            submits={name: each.submits for name, each in self._carrier_ledgers.items()},
            callbacks=sorted(
                (each for ledger in self._app_ledgers for each in ledger.callbacks),
                key=lambda each: each.at,
            ),
            facts=facts,
            taken=[fact_of(record) for record in self.taken()],
            submitted=[
                str(record.value["id"])
                for record in by_headers(self.records(SUBMITS))
                if record.value is not None
            ],
        )

    async def facts(self) -> list[Fact]:
        """Those of the store, as they are now."""
        return [tuple(row) for row in await self.watch.fetch(_FACTS)]

    async def read_on(self) -> None:
        """Read what has come to Kafka, in every cluster that answers."""
        await asyncio.gather(*(asyncio.to_thread(each.look, _READ) for each in self._readers))

    def look(self) -> None:
        """Read the ledgers on."""
        for carrier in self._carrier_ledgers.values():
            carrier.look()
        for app in self._app_ledgers:
            app.look()

    def records(self, *topics: str) -> list[Record]:
        """All that was read of these topics, in every cluster."""
        return [
            record
            for reader in self._readers
            for record in reader.records
            if record.topic in topics
        ]

    def taken(self) -> list[Record]:
        """The facts that the foreign consumer takes."""
        return by_ids(self.records(*FACTS))

    async def _known(self) -> list[Line]:
        """All messages that REST lists, page by page, from whichever process answers."""
        auth = aiohttp.BasicAuth(_ACCOUNT, _TOKEN)
        while True:
            path: str | None = f"/2010-04-01/Accounts/{_ACCOUNT}/Messages.json?PageSize={_PAGE}"
            found: list[Line] = []
            try:
                async with aiohttp.ClientSession(auth=auth) as session:
                    while path:
                        async with session.get(self.dice.choice(self._targets()) + path) as answer:
                            answer.raise_for_status()
                            page: dict[str, Any] = await answer.json()
                        found += page["messages"]
                        path = page["next_page_uri"]
                return found
            except (aiohttp.ClientError, TimeoutError, IndexError):
                await asyncio.sleep(_LOOK_EVERY)

    # -- making it ---------------------------------------------------------------------------

    def _start_cluster(self, name: str, nodes: int) -> None:
        folder = self.home / name
        folder.mkdir()
        cluster = self.clusters[name] = KafkaCluster.start(folder, nodes)

        def end() -> None:
            with suppress(BrokerDied):  # the run told of it
                cluster.stop_all()

        self._ends(end)

    def _start_strangers(self) -> None:
        script = self.home / "script.json"
        script.write_text(json.dumps({f"{ending}": _answer(ending) for ending in ENDINGS}))
        for name in WINDOWS:
            folder = self.home / name
            folder.mkdir()
            self._carriers[name] = Carrier(folder, "--script", str(script))
            self._ends(self._carriers[name].stop)
            self._carriers[name].start()
            self._carrier_ledgers[name] = CarrierLedger(self._carriers[name].ledger)
        validator = RequestValidator(_TOKEN)

        def is_signed(line: Line) -> bool:
            return bool(validator.validate(line["url"], line["params"], line["signature"]))

        for number in range(APPS):
            folder = self.home / f"app{number + 1}"
            folder.mkdir()
            self._apps.append(App(folder))
            self._ends(self._apps[-1].stop)
            self._apps[-1].start()
            self._app_ledgers.append(AppLedger(self._apps[-1].ledger, is_signed))

    def _config(self) -> str:
        urls = {name: f"kafka://{cluster.bootstrap}" for name, cluster in self.clusters.items()}
        lines = [
            "[daemon]",
            f'lease = "{LEASE:g}s"',
            "[bus]",
            f"url = {json.dumps(urls['primary'])}",
            f"partitions = {PARTITIONS}",
            f"submit = {json.dumps(self._submitter is not None)}",
        ]
        if "secondary" in urls:
            lines.append(f"secondary = {json.dumps(urls['secondary'])}")
        for name, prefix in zip(WINDOWS, PREFIXES, strict=True):
            window, binds = WINDOWS[name]
            table = self._carriers[name].config(
                name=name, window=window, binds=binds, on_uncertain="resend"
            )
            lines += [table, "[[routes]]", f'prefix = "{prefix}"', f'carriers = ["{name}"]']
        return "\n".join(lines) + "\n"

    def _callback_urls(self) -> list[str]:
        return [app.url("/status") for app in self._apps]

    def _targets(self) -> list[str]:
        return [each.gateway.url for each in self.members if each.role == "api" and each.ready]

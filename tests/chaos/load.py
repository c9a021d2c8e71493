"""The load: clients of REST and a producer of submits, and a book of what each was promised.

A client repeats a request until it is answered 201, under one Idempotency-Key, at whichever
process it reaches; the producer repeats a record until the brokers have acknowledged it, and
sends some twice on purpose. So at the end everything that was asked is promised, and counts.
"""

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from confluent_kafka import KafkaError, Message, Producer

from tests.chaos.waiting import holds_within

FROM: Final = "+15550001000"
PREFIXES: Final = ("+4477", "+4915")  # of the recipients: one for each carrier
SUBMIT_TOPIC: Final = "trunkline.submit"
ENDINGS: Final = range(1000, 1250)  # of the recipients' numbers: what the carriers go by
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_AGAIN: Final = (0.05, 0.5)  # seconds until a client tries again
_TWICE: Final = 0.05  # of the records are sent twice
_KEPT_BY_PRODUCER: Final = 600_000  # milliseconds that librdkafka tries a record
_POLL_EVERY: Final = 0.02  # seconds

REST, SUBMIT = "rest", "submit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The text `number`, from one of the sources; each part of its body says the number."""

    number: int
    source: str
    to: str
    body: str
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A text that was accepted at `at`; `sid` is "" where the answer does not tell it."""

    text: Text
    sid: str
    at: float


def text(number: int, source: str) -> Text:
    """What is sent as the text `number`: a ninth of them have three parts."""
    prefix = PREFIXES[number % len(PREFIXES)]
    to = f"{prefix}{number // len(ENDINGS) % 10000:04d}{ENDINGS[number % len(ENDINGS)]}"
    body, parts = f"{number:06d} by {source}", 1
    if number % 9 == 8:
        body, parts = (f"{number:06d} in parts, by {source}. " * 20)[:400], 3
    return Text(number=number, source=source, to=to, body=body, parts=parts)


class Book:
    """What was asked, what was promised, and how long each answer took."""

    def __init__(self) -> None:
        self.asked: dict[int, Text] = {}
        self.promises: list[Promise] = []
        self.answers: Counter[str] = Counter()
        self.answered: list[tuple[float, float]] = []  # when each 201 came, after how long
        self.patience: list[float] = []  # from the first try to the 201
        self.refusals: list[str] = []

    def ask(self, asked: Text) -> None:
        """It is about to be asked."""
        self.asked[asked.number] = asked

    def seconds(self, since: float = 0.0, until: float = math.inf) -> list[float]:
        """How long the answers 201 took that came between two times."""
        return [seconds for at, seconds in self.answered if since <= at <= until]

    def keep(self, asked: Text, sid: str = "") -> None:
        """It was accepted."""
        self.promises.append(Promise(text=asked, sid=sid, at=time.time()))


class Clients:
    """Post texts, over to the next process when one does not answer."""

    def __init__(
        self,
        book: Book,
        targets: Callable[[], Sequence[str]],
        account: tuple[str, str],
        callbacks: Sequence[str],
        dice: random.Random,
    ) -> None:
        """`targets` gives the URLs there are now; `account` is its SID and token."""
        self._book = book
        self._targets = targets
        self._account = account
        self._callbacks = callbacks
        self._dice = dice
        self._key = f"{dice.getrandbits(64):x}"
        self._session: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the session that all share."""
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT, auth=aiohttp.BasicAuth(*self._account)
        )

    def send(self, number: int) -> None:
        """Begin to post the text `number`."""
        asked = text(number, REST)
        self._book.ask(asked)
        task = asyncio.get_running_loop().create_task(self._until_accepted(asked))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settle(self, within: float) -> int:
        """Wait for what is under way; how many texts are still without an answer."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=within)
        return len(self._running)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()

    async def _until_accepted(self, asked: Text) -> None:
        began = time.monotonic()
        while True:
            if await self._post(asked):
                break
            await asyncio.sleep(self._dice.uniform(*_AGAIN))
        self._book.patience.append(time.monotonic() - began)

    async def _post(self, asked: Text) -> bool:
        """One try; whether there is nothing left to try."""
        targets = self._targets()
        if not targets or self._session is None:
            return False
        sid = self._account[0]
        form = {
            "To": asked.to,
            "From": FROM,
            "Body": asked.body,
            "StatusCallback": self._callbacks[asked.number % len(self._callbacks)],
        }
        began = time.monotonic()
        try:
            async with self._session.post(
                f"{self._dice.choice(targets)}/2010-04-01/Accounts/{sid}/Messages.json",
                data=form,
                headers={"Idempotency-Key": f"{self._key}-{asked.number}"},
            ) as response:
                content = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            self._book.answers["none"] += 1
            return False
        self._book.answers[str(response.status)] += 1
        if response.status == 429 or response.status >= 500:
            return False
        if response.status != 201:
            self._book.refusals.append(f"{asked.number}: {response.status} {content[:200]}")
            return True
        self._book.answered.append((time.time(), time.monotonic() - began))
        answer: dict[str, Any] = json.loads(content)
        self._book.keep(asked, answer["sid"])
        return True


class Submitter:
    """Produces records of `trunkline.submit`, acknowledged by all brokers that must have them."""

    def __init__(
        self,
        book: Book,
        bootstrap: str,
        account_sid: str,
        callbacks: Sequence[str],
        dice: random.Random,
    ) -> None:
        self._book = book
        self._account_sid = account_sid
        self._callbacks = callbacks
        self._dice = dice
        self._left = 0
        self._closed = False
        self._polling: asyncio.Task[None] | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "partitioner": "murmur2_random",  # Kafka's own; librdkafka has another
                "linger.ms": 5,
                "message.timeout.ms": _KEPT_BY_PRODUCER,
                "request.timeout.ms": 5000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )

    def open(self) -> None:
        """Begin to hear of acknowledgements."""
        self._polling = asyncio.get_running_loop().create_task(self._poll())

    def send(self, number: int) -> None:
        """Produce the text `number`, now and then twice."""
        asked = text(number, SUBMIT)
        self._book.ask(asked)
        self._produce(asked, first=True)
        if self._dice.random() < _TWICE:
            self._produce(asked, first=False)

    async def settle(self, within: float) -> int:
        """Wait for acknowledgements; how many records have none."""
        await holds_within(lambda: not self._left, within)
        return self._left

    async def close(self) -> None:
        """Let go of the brokers."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        self._closed = True
        self._producer.purge()
        await asyncio.to_thread(self._producer.flush, 5)

    def _produce(self, asked: Text, *, first: bool) -> None:
        number = asked.number
        record = {
            "v": 1,
            "id": name_of(number),
            "account_sid": self._account_sid,
            "to": asked.to,
            "from": FROM,
            "body": asked.body,
            "status_callback": self._callbacks[number % len(self._callbacks)],
        }

        def told(error: KafkaError | None, _: Message) -> None:
            self._left -= 1
            if self._closed:
                return
            if error is not None:
                self._book.answers[f"kafka: {error.name()}"] += 1
                self._produce(asked, first=first)
            elif first:
                self._book.answers["acknowledged"] += 1
                self._book.keep(asked)

        self._left += 1
        self._producer.produce(
            SUBMIT_TOPIC,
            json.dumps(record).encode(),
            name_of(number).encode(),
            headers=[("schema", b"1")],
            on_delivery=told,
        )

    async def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(_POLL_EVERY)


def name_of(number: int) -> str:
    """The id of a submit."""
    return f"submit-{number}"


async def pour(rate: float, sources: Sequence[Callable[[int], None]]) -> None:
    """Give texts to the sources in turn, `rate` a second in all, until cancelled."""
    began = time.monotonic()
    number = 0
    while True:
        due = int((time.monotonic() - began) * rate)
        while number < due:
            sources[number // len(PREFIXES) % len(sources)](number)
            number += 1
        await asyncio.sleep(_POLL_EVERY)

"""The client: posts texts as fast as it may, and keeps a file of what it was promised.

A 201 counts when its line is on the disk. A request that got no answer is not repeated: whether
the gateway took it is the gateway's to say.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

FROM: Final = "+15550001000"
ENDINGS: Final = range(1000, 1250)  # of the recipients' numbers: what the carrier goes by
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A text that was answered 201."""

    sid: str
    number: int
    to: str
    body: str
    segments: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer other than 201."""

    status: int
    content_type: str
    body: str
    at: float


def text(number: int) -> tuple[str, str, int]:
    """Recipient, body and segments of the text `number`: half of them have three parts.

    Each part says the number, so no two PDUs of different texts are the same.
    """
    to = f"+4477{number // len(ENDINGS) % 10000:04d}{ENDINGS[number % len(ENDINGS)]}"
    match number % 4:
        case 0:
            return to, f"{number:06d} short", 1
        case 1:
            return to, f"{number:06d} коротко", 1
        case 2:
            return to, (f"{number:06d} in parts, the GSM alphabet. " * 12)[:400], 3
        case _:
            return to, (f"{number:06d} части, " * 12)[:180], 3


class Book:
    """The file of promises: each is on the disk before it counts."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path, flags, 0o644)
        self._path = path

    def keep(self, promise: Promise) -> None:
        """Write one down, durably."""
        os.write(self._file, json.dumps(asdict(promise)).encode() + b"\n")
        os.fsync(self._file)

    def read(self) -> list[Promise]:
        """All of them, oldest first."""
        return [Promise(**json.loads(line)) for line in self._path.read_text().splitlines()]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Load:
    """Posts texts at `rate` a second over `width` connections, to wherever `target` says."""

    def __init__(
        self, book: Book, target: Callable[[], tuple[str, str, str]], callback: str, rate: float
    ) -> None:
        """`target` gives URL, account SID and token; they may change from one to the next."""
        self._book = book
        self._target = target
        self._callback = callback
        self._pause = 1.0 / rate
        self._numbers = iter(range(1_000_000))
        self._running: set[asyncio.Task[None]] = set()
        self.answers: Counter[str] = Counter()
        self.refusals: list[Refusal] = []

    async def run(self, width: int = 32) -> None:
        """Post until cancelled; what is under way is waited for by `drain`."""
        connector = aiohttp.TCPConnector(limit=width)
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
            try:
                while True:
                    if len(self._running) < width:
                        self._start(session, next(self._numbers))
                    await asyncio.sleep(self._pause)
            finally:
                await asyncio.gather(*self._running)

    def _start(self, session: aiohttp.ClientSession, number: int) -> None:
        task = asyncio.get_running_loop().create_task(self._post(session, number))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _post(self, session: aiohttp.ClientSession, number: int) -> None:
        url, sid, token = self._target()
        to, body, segments = text(number)
        form = {"To": to, "From": FROM, "Body": body, "StatusCallback": self._callback}
        try:
            async with session.post(
                f"{url}/2010-04-01/Accounts/{sid}/Messages.json",
                data=form,
                auth=aiohttp.BasicAuth(sid, token),
            ) as response:
                content = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            self.answers["none"] += 1
            return
        self.answers[str(response.status)] += 1
        if response.status != 201:
            kind = response.content_type
            self.refusals.append(
                Refusal(status=response.status, content_type=kind, body=content, at=time.time())
            )
            return
        answer: dict[str, Any] = json.loads(content)
        self._book.keep(
            Promise(
                sid=answer["sid"],
                number=number,
                to=to,
                body=body,
                segments=segments,
                at=time.time(),
            )
        )

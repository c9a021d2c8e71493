"""What a run consists of: a gateway, a carrier, an app, the client's book, and what they know."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from twilio.request_validator import RequestValidator

from tests.crash.judge import Evidence, Kill, Line, Verdict, judge, open_promises
from tests.crash.killable import ORDER
from tests.crash.load import ENDINGS, Book, Load
from tests.integration.gateway_process import ROOT, App, Carrier
from tests.running import RunningGateway

WINDOW: Final = 10  # submit_sm in flight, of one bind: the default
QUIET_WITHIN: Final = 60.0  # seconds until everything accepted has ended
_ENDS_WITHIN: Final = 30.0  # seconds until an armed gateway has come to its point
_ANSWERS_AFTER: Final = 0.03
_RECEIPT_AFTER: Final = 1.0
_LOOK_EVERY: Final = 0.3
KILLABLE: Final = (sys.executable, "-m", "tests.crash.killable", "serve")


def _script(home: Path) -> Path:
    """How the carrier answers: not at once, so that a kill finds submit_sm in flight."""
    steps = [
        {"do": "deliver"},
        {"do": "wait", "seconds": _ANSWERS_AFTER},
        {"do": "respond"},
        {"do": "wait", "seconds": _RECEIPT_AFTER},
        {"do": "receipt"},
    ]
    path = home / "script.json"
    path.write_text(json.dumps({str(ending): {"turns": [steps]} for ending in ENDINGS}))
    return path


class World:
    """The processes of one run, in the folder `home`."""

    def __init__(
        self, home: Path, command: tuple[str, ...] = KILLABLE, *, rate: float, config: str = ""
    ) -> None:
        """`rate` is texts a second; `config` stands before the carrier's table."""
        home.mkdir(parents=True, exist_ok=True)
        self.order = home / "order.json"
        self.kills: list[Kill] = []
        self._carrier = Carrier(home, "--script", str(_script(home)))
        self._app = App(home)
        self._home, self._command, self._config = home, command, config
        self._book = Book(home / "promises")
        self._rate = rate
        self._loading: asyncio.Task[None] | None = None
        self.gateway: RunningGateway
        self.load: Load

    async def open(self) -> None:
        """Start the strangers; the gateway is started by `start`."""
        await asyncio.to_thread(self._carrier.start)
        await asyncio.to_thread(self._app.start)
        self.gateway = RunningGateway(
            self._home,
            self._config + self._carrier.config(window=WINDOW),
            {ORDER: str(self.order), "PYTHONPATH": str(ROOT)},
            self._command,
        )
        self.load = Load(self._book, self._target, self._app.url("/status"), self._rate)

    async def close(self) -> None:
        """End everything that still runs."""
        await self.rest()
        self.gateway.kill()
        self._carrier.stop()
        self._app.stop()
        self._book.close()

    # -- the gateway -------------------------------------------------------------------------

    async def start(self, point: str = "", passage: int = 0) -> None:
        """Start the gateway, always by the same command line; armed if there is a `point`."""
        for each in (self.order, self._mark, self._loaded):
            each.unlink(missing_ok=True)
        if point:
            self.order.write_text(json.dumps({"point": point, "passage": passage}))
        try:
            await asyncio.to_thread(self.gateway.start)
        except AssertionError:
            if not self._mark.exists():  # the point may belong to the start
                raise
        self._loaded.touch()

    async def comes_to(self, point: str) -> bool:
        """Whether the armed gateway ended itself where it should."""
        assert self.gateway.process is not None
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.gateway.process.wait, _ENDS_WITHIN)
        reached = self._mark.exists()
        self.kill(point)
        return reached

    def kill(self, name: str) -> None:
        """End it as a power cut would, and note the kill."""
        self.gateway.kill()
        self.kills.append(Kill(name=name, at=time.time()))

    @property
    def _mark(self) -> Path:
        return self.order.with_suffix(".done")

    @property
    def _loaded(self) -> Path:
        return self.order.with_suffix(".loaded")

    # -- the load ----------------------------------------------------------------------------

    def work(self) -> None:
        """Let the client post."""
        self._loading = asyncio.get_running_loop().create_task(self.load.run())

    async def rest(self) -> None:
        """Let it stop, and wait for what it has under way."""
        if self._loading is not None:
            self._loading.cancel()
            with suppress(asyncio.CancelledError):
                await self._loading
            self._loading = None

    def _target(self) -> tuple[str, str, str]:
        gateway = self.gateway
        return gateway.url, gateway.account_sid, gateway.auth_token

    # -- the end -----------------------------------------------------------------------------

    async def verdict(self) -> Verdict:
        """Wait until everything accepted has ended, then judge."""
        deadline = time.monotonic() + QUIET_WITHIN
        before: Sequence[int] = ()
        while True:
            evidence = await self._evidence()
            sizes = (len(evidence.submits), len(evidence.callbacks))
            waits = open_promises(evidence) or any(
                line["status"] in ("queued", "sending", "sent") for line in evidence.known
            )
            if (not waits and sizes == before) or time.monotonic() > deadline:
                break
            before = sizes
            await asyncio.sleep(_LOOK_EVERY if waits else 3 * _LOOK_EVERY)
        validator = RequestValidator(self.gateway.auth_token)

        def is_signed(line: Line) -> bool:
            return bool(validator.validate(line["url"], line["params"], line["signature"]))

        return judge(evidence, self.kills, WINDOW, is_signed)

    async def _evidence(self) -> Evidence:
        known = await self._known()
        return await asyncio.to_thread(self._read, known)

    def _read(self, known: Sequence[Line]) -> Evidence:
        return Evidence(
            promises=self._book.read(),
            submits=self._carrier.lines("submit_sm"),
            texts=self._carrier.lines("text"),
            callbacks=self._app.lines(),
            known=known,
        )

    async def _known(self) -> list[Line]:
        """All messages that REST lists, page by page."""
        url, sid, token = self._target()
        path: str | None = f"/2010-04-01/Accounts/{sid}/Messages.json?PageSize=1000"
        found: list[Line] = []
        async with aiohttp.ClientSession(auth=aiohttp.BasicAuth(sid, token)) as session:
            while path:
                async with session.get(url + path) as response:
                    response.raise_for_status()
                    page: dict[str, Any] = await response.json()
                found += page["messages"]
                path = page["next_page_uri"]
        return found

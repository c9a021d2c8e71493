"""The processes of the gateway under a supervisor, as an operator's would be: what ends is started
again, and how it ended is written down.

Killed by us and ended with 75, because others had taken over, are as they should be; so is one
that found no store at its start while the store was away. Anything else is a fault.
"""

import asyncio
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.waiting import holds_within
from tests.integration.gateway_process import ROOT
from tests.running import RunningGateway

FENCED: Final = 75
_STORE_AWAY: Final = 1  # the status of a process that does not find the store at its start
_AGAIN: Final = (0.2, 6.0)  # seconds until what ended is started again
_ENDS_WITHIN: Final = 30.0  # seconds after SIGTERM, on a machine that has much to do
_TAIL: Final = 2500  # characters of a log


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A process of `role` with the id `pid` ended at `at`; `why` is a word for the table."""

    role: str
    pid: int
    at: float
    why: str


class Member:
    """One process slot: `name` is its role and a number, its data folder stays."""

    def __init__(
        self,
        home: Path,
        role: str,
        config: str,
        environ: Mapping[str, str],
        dice: random.Random,
        store_was_away: Callable[[float, float], bool],
    ) -> None:
        """`store_was_away` says whether it was at any moment between two times."""
        home.mkdir(parents=True)
        self.role, self.name = role, home.name
        command = (sys.executable, "-m", "gateway", "serve", "--role", role)
        self.gateway = RunningGateway(home, config, {"PYTHONPATH": str(ROOT), **environ}, command)
        self._dice = dice
        self._store_was_away = store_was_away
        self._killed: set[int] = set()
        self._began = 0.0
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self.ready = False
        self.endings: list[Ending] = []
        self.faults: list[str] = []

    # -- its life ----------------------------------------------------------------------------

    def start(self) -> None:
        """Run it, and again whenever it ends."""
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """Let it end in order."""
        self._ending = True
        pid = self.pid
        if pid and self.ready:
            os.kill(pid, signal.SIGTERM)
            if not await holds_within(lambda: not self.pid, _ENDS_WITHIN):
                self._note(pid, f"did not end within {_ENDS_WITHIN:g} s of SIGTERM")
        await self.close()

    async def close(self) -> None:
        """End it at once."""
        self._ending = True
        if self.pid:
            self._signal(signal.SIGCONT)
            self._killed.add(self.pid)
            self._signal(signal.SIGKILL)
        if self._task is not None:
            await self._task

    # -- what is done to it ------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process; 0 while none runs."""
        process = self.gateway.process
        return 0 if process is None or process.poll() is not None else process.pid

    def kill(self) -> int:
        """`kill -9`; the process that is no more, 0 if there was none."""
        pid = self.pid
        if pid:
            self.ready = False
            self._killed.add(pid)
            self._signal(signal.SIGKILL)
        return pid

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last of what it printed."""
        log = self.gateway.log
        return log.read_text(errors="replace")[-_TAIL:] if log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        process = self.gateway.process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    # -- the supervisor ----------------------------------------------------------------------

    async def _supervise(self) -> None:
        while not self._ending:
            self._began = time.time()
            try:
                await asyncio.to_thread(self.gateway.start)
                self.ready = True
            except AssertionError:  # it ended, or was not ready in time and was killed for that
                pass
            await holds_within(lambda: not self.pid, math.inf)
            self.ready = False
            self._ended()
            if not self._ending:
                await asyncio.sleep(self._dice.uniform(*_AGAIN))

    def _ended(self) -> None:
        process = self.gateway.process
        assert process is not None
        pid, status, now = process.pid, process.returncode, time.time()
        if pid in self._killed:
            why = "killed"
        elif status == FENCED:
            why = "fenced"
        elif status == 0 and self._ending:
            why = "asked"
        elif status == _STORE_AWAY and self._store_was_away(self._began, now):
            why = "no store"
        else:
            why = "fault"
            self._note(pid, f"ended by itself with {status}")
        self.endings.append(Ending(role=self.role, pid=pid, at=now, why=why))

    def _note(self, pid: int, what: str) -> None:
        self.faults.append(f"{self.name} ({pid}) {what}:\n{self.log_tail()}")

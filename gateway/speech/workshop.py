"""Work that may crash or hang, in a process of its own: what breaks there costs one task.

The process starts with the first task and takes one at a time; others wait for their turn, up to a
bound. One that takes too long is killed with its process, and the next task finds another one.
"""

import asyncio
import contextlib
import socket
import sys
from typing import Final

import structlog

from gateway.children import environment
from gateway.speech import wire

_STARTS_WITHIN: Final = 60.0  # seconds: a busy machine takes long to start it
_MARGIN: Final = 5  # seconds longer than we wait for it, and then it ends itself
_LINE: Final = 1 << 20

_log = structlog.get_logger(__name__)


class Workshop:
    """See the module; `name` is for the log, `deadline` seconds for one task."""

    def __init__(self, name: str, *, waiting: int, deadline: float) -> None:
        self._name = name
        self._most = waiting
        self._deadline = deadline
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self.waiting = 0
        """How many tasks are asked for and not done."""

    @property
    def pid(self) -> int | None:
        """The process that is there; None before the first task."""
        return None if self._process is None else self._process.pid

    async def ask(self, task: wire.Task) -> wire.Made | wire.Unmade:
        """Have `task` done; `Unmade` too where nobody can do it."""
        if self.waiting >= self._most:
            return wire.Unmade(reason=f"{self._most} others wait for it: try it again later")
        self.waiting += 1
        try:
            async with self._turn:
                return await self._do(task)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _do(self, task: wire.Task) -> wire.Made | wire.Unmade:
        try:
            writer = await self._there()
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            await self._end()
            _log.error("a process for prompts can't be started", room=self._name, error=str(error))
            return wire.Unmade(reason="no process can be started for it")
        answer: wire.Answer | None = None
        try:
            async with asyncio.timeout(self._deadline):
                writer.write(wire.line(task))
                answer = await self._answer()
        except TimeoutError:
            reason = f"it took longer than {self._deadline:g} s"
        except (OSError, EOFError, ValueError):  # gone, or not to be understood any more
            reason = "the process that did it died"
        finally:
            if answer is None:  # cancelled, too: nobody would take what it says now
                await self._end()
        if isinstance(answer, wire.Made | wire.Unmade):
            return answer
        _log.warning("a prompt was given up", room=self._name, reason=reason)
        return wire.Unmade(reason=reason)

    async def _there(self) -> asyncio.StreamWriter:
        """The process, started if it is not there."""
        if self._writer is not None and self._process is not None:
            if self._process.returncode is None and not self._reader.at_eof():
                return self._writer
            await self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gateway.speech.worker",
                    str(theirs.fileno()),
                    str(int(self._deadline) + _MARGIN),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environment(),
                )
            ours.setblocking(False)
            self._reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE)
        except BaseException:
            ours.close()  # and with it ends the process, if there is one
            raise
        self._writer = writer
        async with asyncio.timeout(_STARTS_WITHIN):
            await self._answer()
        return writer

    async def _answer(self) -> wire.Answer:
        octets = await self._reader.readline()
        if not octets.endswith(b"\n"):
            raise EOFError
        answer: wire.Answer = wire.answer_of(octets)
        return answer

    async def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

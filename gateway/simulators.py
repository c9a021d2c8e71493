"""The simulated carrier as a child: started by command line, reached over sockets, ended with us.

`sims` is a program of its own; nothing of it is imported here. What it complains of goes to a
log in the data folder.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import msgspec
import structlog

from carriers.model import Carrier

_log = structlog.get_logger(__name__)
_READY_WITHIN = 30.0  # seconds, on a slow machine
_END_WITHIN = 3.0


class SimulatorError(Exception):
    """A simulated carrier did not start; the text says where its log is."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulator says, as its first line, when it listens."""

    smpp: int
    control: int
    pid: int


class Simulator:
    """One running simulated carrier."""

    def __init__(self, process: Process, ports: Ports) -> None:
        self.ports = ports
        self._process = process

    def reached(self, carrier: Carrier) -> Carrier:
        """`carrier` with the address at which the simulator listens."""
        return msgspec.structs.replace(carrier, host="127.0.0.1", port=self.ports.smpp)

    @property
    def control_url(self) -> str:
        """Where it is steered: what `/sim` is forwarded to."""
        return f"http://127.0.0.1:{self.ports.control}"

    async def close(self) -> None:
        """End it, by force if it does not go."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _END_WITHIN)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def start(carrier: Carrier, data: Path) -> Simulator:
    """Start the simulator of `carrier` and wait until it listens."""
    path = data / f"simulator-{carrier.name}.log"
    with path.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sims",
            "smsc",
            "--parent-pid",
            str(os.getpid()),
            "--response-timeout",
            str(carrier.response_timeout),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for us: we end it when we have drained
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _READY_WITHIN)
        ports = msgspec.json.decode(line, type=Ports)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if not isinstance(error, TimeoutError | msgspec.DecodeError):
            raise
        raise SimulatorError(f"the simulated carrier did not start; {path} says why") from None
    _log.info("simulated carrier is up", carrier=carrier.name, smpp=ports.smpp)
    return Simulator(process, ports)

"""The simulated carrier as a child: started by command line, reached over sockets, ended with us.

`sims` is a program of its own; nothing of it is imported here. What it complains of goes to a
log in the data folder. It carries texts over SMPP and calls over SIP.
"""

import asyncio
import os
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from http import HTTPStatus
from pathlib import Path

import msgspec
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from carriers.model import Carrier
from carriers.trunks import Inbound, Trunk

_log = structlog.get_logger(__name__)
_READY_WITHIN = 30.0  # seconds, on a slow machine
_END_WITHIN = 3.0
_TOLD_WITHIN = ClientTimeout(total=10.0)


class SimulatorError(Exception):
    """A simulated carrier did not start; the text says where its log is."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulator says, as its first line, when it listens."""

    smpp: int
    sip: int
    control: int
    pid: int


class Simulator:
    """One running simulated carrier."""

    def __init__(self, process: Process, ports: Ports) -> None:
        self.ports = ports
        self._process = process
        # What comes from 127.0.0.1 may be anybody's on this machine: its calls have to prove it.
        self._username = f"simulated-{secrets.token_hex(4)}"
        self._password = secrets.token_urlsafe(16)

    def reached(self, carrier: Carrier) -> Carrier:
        """`carrier` with the addresses at which the simulator listens; each time the same."""
        trunk = Trunk(
            uri=f"sip:127.0.0.1:{self.ports.sip}",
            inbound=Inbound.DIGEST,
            username=self._username,
            password=self._password,
            emergency=(),
        )
        return msgspec.structs.replace(carrier, host="127.0.0.1", port=self.ports.smpp, trunk=trunk)

    async def tell_gateway(self, host: str, port: int) -> None:
        """Say where we take calls: an IP address and a port of SIP over UDP.

        Raises `SimulatorError` if it does not take that.
        """
        where = {
            "host": host,
            "port": port,
            "username": self._username,
            "password": self._password,
        }
        try:
            async with (
                ClientSession(timeout=_TOLD_WITHIN) as session,
                session.put(f"{self.control_url}/sim/gateway", json=where) as response,
            ):
                status, text = response.status, await response.text()
        except (ClientError, TimeoutError) as error:
            raise SimulatorError(f"the simulated carrier does not answer: {error}") from error
        if status != HTTPStatus.NO_CONTENT:
            raise SimulatorError(f"the simulated carrier can't call {host}:{port}: {text}")

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
            async with asyncio.timeout(_END_WITHIN):
                await self._process.wait()
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
        async with asyncio.timeout(_READY_WITHIN):
            line = await process.stdout.readline()
        ports = msgspec.json.decode(line, type=Ports)
    except BaseException as error:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if not isinstance(error, TimeoutError | msgspec.DecodeError):
            raise
        raise SimulatorError(f"the simulated carrier did not start; {path} says why") from None
    _log.info("simulated carrier is up", carrier=carrier.name, smpp=ports.smpp, sip=ports.sip)
    return Simulator(process, ports)

"""The simulated carrier as a child: reached when it listens, explained when it does not, ended."""

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from carriers.model import Carrier, CarrierKind
from carriers.trunks import Inbound, problems_of_trunk
from gateway import simulators
from gateway.simulators import SimulatorError

CARRIER = Carrier(name="sim", kind=CarrierKind.SIMULATED, response_timeout=2.0)


@pytest.mark.waiting
async def test_it_listens_and_ends_with_us(tmp_path: Path) -> None:
    simulator = await simulators.start(CARRIER, tmp_path)
    reached = simulator.reached(CARRIER)
    assert (reached.host, reached.port) == ("127.0.0.1", simulator.ports.smpp)
    assert reached.trunk is not None
    assert reached.trunk.uri == f"sip:127.0.0.1:{simulator.ports.sip}"
    assert reached.trunk.inbound is Inbound.DIGEST and reached.trunk.emergency == ()
    assert problems_of_trunk(reached.trunk) == ()
    assert simulator.reached(CARRIER) == reached
    _, writer = await asyncio.open_connection(reached.host, reached.port)
    writer.close()
    assert simulator.control_url == f"http://127.0.0.1:{simulator.ports.control}"
    await simulator.close()
    await simulator.close()  # it may have ended by itself
    with pytest.raises(OSError):
        await asyncio.open_connection(reached.host, reached.port)


@pytest.mark.parametrize("program", ["raise SystemExit('no port')", "print('hello')"])
async def test_one_that_does_not_start_says_where_its_log_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SimulatorError, match=r"simulator-sim\.log says why"):
        await simulators.start(CARRIER, tmp_path)
    log = (tmp_path / "simulator-sim.log").read_text()
    assert ("no port" in log) is ("no port" in program)


class Peer(asyncio.DatagramProtocol):
    """Somebody who reads what comes over UDP."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data.startswith(b"INVITE "):  # and not what was meant for who had the port before
            self.came.put_nowait(data)


@pytest.mark.waiting
async def test_it_calls_where_it_was_told_that_we_are(tmp_path: Path) -> None:
    simulator = await simulators.start(CARRIER, tmp_path)
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    await simulator.tell_gateway("127.0.0.1", port)
    async with (
        ClientSession() as session,
        session.post(
            f"{simulator.control_url}/sim/phones/+15550001001/calls", json={"to": "+15550001000"}
        ) as placed,
    ):
        assert placed.status == 201
    async with asyncio.timeout(60):
        invite = await peer.came.get()
    assert invite.startswith(f"INVITE sip:+15550001000@127.0.0.1:{port} SIP/2.0\r\n".encode())
    with pytest.raises(SimulatorError, match="can't call"):
        await simulator.tell_gateway("nobody's place", port)
    await simulator.close()
    with pytest.raises(SimulatorError, match="does not answer"):
        await simulator.tell_gateway("127.0.0.1", port)
    transport.close()

"""The simulated carrier as a child: reached when it listens, explained when it does not, ended."""

import asyncio
import sys
from pathlib import Path

import pytest

from carriers.model import Carrier, CarrierKind
from gateway import simulators
from gateway.simulators import SimulatorError

CARRIER = Carrier(name="sim", kind=CarrierKind.SIMULATED, response_timeout=2.0)


@pytest.mark.realtime
async def test_it_listens_and_ends_with_us(tmp_path: Path) -> None:
    simulator = await simulators.start(CARRIER, tmp_path)
    reached = simulator.reached(CARRIER)
    assert (reached.host, reached.port) == ("127.0.0.1", simulator.ports.smpp)
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

"""A data folder that can't be written: at the start it is named, later nothing is lost."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.disks import BOUND, FullDisk, unwritable
from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import NUMBER, ROOT, wait_for_status
from tests.running import RunningGateway

TO = "+447700900123"
ENDS_WITHIN = 60.0  # seconds
SMALL = 16 * 1024  # octets: the log of a process that ends at its start has room, no database has


def bound(home: Path, config: str = "") -> RunningGateway:
    """A gateway to which permissions mean something."""
    home.mkdir(exist_ok=True)
    serve = (*BOUND, "-m", "gateway", "serve")
    return RunningGateway(home, config, {"PYTHONPATH": str(ROOT)}, serve)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    with FullDisk(folder, 2**20) as disk:
        disk.fill(SMALL)
        yield


Spoiled = Callable[[Path], AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("spoiled", "advice"),
    [
        (unwritable, "look at its permissions, or name another with --data"),
        (full, "make room|look at the system's log"),  # a limit is no full disk to SQLite
    ],
)
def test_at_the_start_it_is_named_and_the_process_ends(
    tmp_path: Path, spoiled: Spoiled, advice: str
) -> None:
    gateway = bound(tmp_path / "home")
    gateway.data.mkdir()
    with spoiled(gateway.data):
        with pytest.raises(AssertionError, match="ended at its start"):
            gateway.start()
        assert gateway.process is not None
        assert gateway.process.wait(ENDS_WITHIN) == 1
    said = gateway.log.read_text()
    assert str(gateway.data) in said and re.search(advice, said)
    assert "Traceback" not in said


def test_a_folder_with_data_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    gateway = bound(tmp_path / "home").start()
    assert gateway.terminate() == 0
    with unwritable(gateway.data), pytest.raises(AssertionError, match="ended at its start"):
        gateway.start()
    assert "look at its permissions" in gateway.log.read_text()
    gateway.start()
    assert gateway.terminate() == 0


def test_one_that_becomes_so_while_it_runs_loses_nothing(
    tmp_path: Path, start_carrier: StartCarrier
) -> None:
    config = start_carrier("--receipt-delay", "0.1").config()
    gateway = bound(tmp_path / "home", config).start()
    try:
        sids = [send(gateway, "before")]
        wait_for_status(gateway, sids[0], ["delivered"])
        with unwritable(gateway.data):
            sids.append(send(gateway, "while"))  # files that are open can be written
            wait_for_status(gateway, sids[1], ["delivered"])
            assert gateway.terminate() == 0, gateway.log.read_text()
        assert "Traceback" not in gateway.log.read_text()
        gateway.start()
        sids.append(send(gateway, "after"))
        for sid in sids:
            wait_for_status(gateway, sid, ["delivered"])
    finally:
        gateway.kill()


def send(gateway: RunningGateway, body: str) -> str:
    return str(gateway.client().messages.create(to=TO, from_=NUMBER, body=body).sid)

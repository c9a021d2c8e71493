"""A PostgreSQL that does not let us in: at the start, and after its password was changed."""

import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from twilio.base.exceptions import TwilioRestException

from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import NUMBER, wait_for, wait_for_status
from tests.postgres import PostgresServer
from tests.running import RunningGateway

pytestmark = pytest.mark.waiting
TO = "+447700900123"
PASSWORD = "c0rrect"
COMMAND = (sys.executable, "-m", "gateway", "serve")
ENDS_WITHIN = 60.0  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that wants a password over TCP."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-hba-"))
    folder.chmod(0o755)
    rules = folder / "hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    server = PostgresServer(hba_file=str(rules))
    server.start()
    server.execute(f"CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD}'")
    yield server
    server.remove()
    shutil.rmtree(folder)


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    server.execute("CREATE DATABASE trunkline OWNER gateway")
    yield "trunkline"
    server.execute("DROP DATABASE trunkline WITH (FORCE)")


def url(server: PostgresServer, password: str, database: str) -> str:
    return f"postgresql://gateway:{password}@127.0.0.1:{server.port}/{database}"


def gateway_on(home: Path, store: str, config: str = "") -> RunningGateway:
    home.mkdir(exist_ok=True)
    return RunningGateway(home, config, {"TRUNKLINE_STORE__URL": store}, COMMAND)


def ended(gateway: RunningGateway) -> tuple[int, str]:
    """The exit status of a gateway that can't start, and what it said."""
    with pytest.raises(AssertionError, match="ended at its start"):
        gateway.start()
    assert gateway.process is not None
    return gateway.process.wait(ENDS_WITHIN), gateway.log.read_text()


def test_a_wrong_password_at_the_start_is_named_and_ends_it(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    status, said = ended(gateway_on(tmp_path / "home", url(server, "guessed", database)))
    assert status == 1
    assert "it refused the password: correct the one in [store] url" in said
    assert f"127.0.0.1:{server.port}/trunkline" in said
    assert "guessed" not in said and "Traceback" not in said


def test_a_database_that_is_away_at_the_start_is_named_and_ends_it(tmp_path: Path) -> None:
    """Whoever supervises the process starts it again."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}/trunkline"
        status, said = ended(gateway_on(tmp_path / "home", f"postgresql://gateway:x@{place}"))
    assert status == 1
    assert place in said and "nothing answers there: start it" in said
    assert "Traceback" not in said


def test_a_password_that_is_changed_while_it_runs_is_named_and_nothing_is_lost(
    server: PostgresServer, database: str, start_carrier: StartCarrier, tmp_path: Path
) -> None:
    config = start_carrier("--receipt-delay", "0.1").config() + '[daemon]\nlease = "4s"\n'
    gateway = gateway_on(tmp_path / "home", url(server, PASSWORD, database), config)
    gateway.start()
    try:
        before = send(gateway, "before")
        server.execute("ALTER ROLE gateway PASSWORD 'another'")
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'"
        )
        status, reason = wait_for(lambda: unready(gateway), "it says that it is not ready")
        assert (status == 503 and "password" in reason) or "lease" in reason
        with pytest.raises(TwilioRestException) as refused:
            send(gateway, "refused")
        assert refused.value.status == 503
        wait_for(
            lambda: "it refused the password: correct the one in [store] url" in said(gateway),
            "it is named in the log",
        )
        assert "another" not in said(gateway)
        server.execute(f"ALTER ROLE gateway PASSWORD '{PASSWORD}'")
        wait_for(lambda: not unready(gateway), "it is ready again, by itself")
        after = send(gateway, "after")
        for sid in (before, after):
            wait_for_status(gateway, sid, ["delivered"])
        assert gateway.terminate() == 0
    finally:
        gateway.kill()
        server.execute(f"ALTER ROLE gateway PASSWORD '{PASSWORD}'")


def said(gateway: RunningGateway) -> str:
    return gateway.log.read_text()


def send(gateway: RunningGateway, body: str) -> str:
    return str(gateway.client().messages.create(to=TO, from_=NUMBER, body=body).sid)


def unready(gateway: RunningGateway) -> tuple[int, str] | None:
    """What `/readyz` says when it is not 200."""
    try:
        with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=30):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())["reason"]

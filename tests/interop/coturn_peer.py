"""coturn as a relay on loopback, with the configuration that the project shows."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.ports import free_port, listened_at

SECRET = "a secret of two"
_SHOWN = Path(__file__).parents[2] / "examples" / "turnserver.conf"
_OURS = """
allow-loopback-peers
listening-ip=127.0.0.1
relay-ip=127.0.0.1
no-tls
no-dtls
static-auth-secret={secret}
"""


def configuration(port: int) -> str:
    """The one that is shown, on this machine alone; the gateway is at 127.0.0.1."""
    text = _SHOWN.read_text()
    for key, value in (("listening-port", port), ("allowed-peer-ip", "127.0.0.1")):
        text, count = re.subn(rf"(?m)^{key}=.*$", f"{key}={value}", text)
        assert count == 1, key
    text, count = re.subn(r"(?m)^external-ip=.*\n", "", text)
    assert count == 1
    return text + _OURS.format(secret=SECRET)


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[int]:
    """One that runs; gives its port."""
    program = shutil.which("turnserver", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None, "coturn is not here: tests/interop/provide coturn"
    port, log = free_port(), folder / "coturn.log"
    settings = folder / "turnserver.conf"
    settings.write_text(configuration(port))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            *("-c", str(settings), "--pidfile", str(folder / "coturn.pid")),
            *("--db", str(folder / "turndb")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
        )
    try:
        await listened_at(port, process, log)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""nginx before a gateway on loopback, with the site that the project shows."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from protocols.sip.wire import Certificate
from tests.ports import free_port, listened_at

_SHOWN = Path(__file__).parents[2] / "examples" / "nginx.conf"
# What the system's nginx.conf has around sites, in a folder of its own and in front.
_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {site}
}}
"""


def site(port: int, gateway: int, certificate: Certificate) -> str:
    """The one that is shown, with this port and certificate, before this gateway."""
    text = _SHOWN.read_text()
    for key, value in (
        ("listen", f"127.0.0.1:{port} ssl"),
        ("ssl_certificate", certificate.chain),
        ("ssl_certificate_key", certificate.key),
        ("proxy_pass", f"http://127.0.0.1:{gateway}"),
    ):
        text, count = re.subn(rf"(?m)^( *{key} +)[^;]*;", rf"\g<1>{value};", text)
        assert count == 1, key
    return text


@asynccontextmanager
async def nginx(folder: Path, gateway: int, certificate: Certificate) -> AsyncIterator[int]:
    """One that runs in a folder before the gateway at a port; gives its own."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None, "nginx is not here: tests/interop/provide nginx"
    port, settings, log = free_port(), folder / "nginx.conf", folder / "error.log"
    around = _AROUND.format(folder=folder, site=site(port, gateway, certificate))
    await asyncio.to_thread(settings.write_text, around)
    process = await asyncio.create_subprocess_exec(
        program,
        *("-p", str(folder), "-c", str(settings), "-e", str(log)),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        await listened_at(port, process, log)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""Kannel as a customer: a bearerbox that binds to an SMPP server, and a smsbox for HTTP.

Faults of Kannel 1.4.5 that the tests live with: it cuts surrogate pairs at the border of two
parts, and sends "?" for what is not in GSM 03.38 unless `coding=2` is given.
"""

import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.integration.gateway_process import wait_for
from tests.interop.world import NUMBER, PASSWORD, SYSTEM_ID
from tests.ports import free_port

_CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
admin-password = interop
log-file = {folder}/bearerbox.log
log-level = 0
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = trunkline
host = 127.0.0.1
port = {smpp}
transceiver-mode = true
smsc-username = {system_id}
smsc-password = {password}
system-type = ""
source-addr-ton = 1
source-addr-npi = 1
dest-addr-ton = 1
dest-addr-npi = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = {folder}/smsbox.log
log-level = 0
mo-recode = true

group = sendsms-user
username = interop
password = interop
concatenation = true
max-messages = 20

group = sms-service
keyword = default
max-messages = 0
concatenation = true
catch-all = true
get-url = "{text_url}"
"""


class Kannel:
    """A smsbox with a name would get only what a route names it for: ours has none.

    `text_url` is asked for each text that comes in, with `from`, `to` and `text`."""

    def __init__(self, folder: Path, smpp_port: int, text_url: str) -> None:
        self._folder = folder
        self._admin, box, self._http = free_port(), free_port(), free_port()
        self._config = folder / "kannel.conf"
        self._config.write_text(
            _CONFIG.format(
                admin=self._admin,
                box=box,
                http=self._http,
                smpp=smpp_port,
                folder=folder,
                system_id=SYSTEM_ID,
                password=PASSWORD,
                text_url=f"{text_url}?from=%p&to=%P&text=%a&coding=%c",
            )
        )
        self._status = f"http://127.0.0.1:{self._admin}/status.txt?password=interop"
        self._boxes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both boxes and wait until the SMSC is online and the smsbox known."""
        # The port for smsboxes is not tried: that would be a box that came and went.
        for name, port in (("bearerbox", self._admin), ("smsbox", self._http)):
            program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
            assert program is not None, f"{name} is not here: tests/interop/provide kannel"
            with (self._folder / f"{name}.out").open("wb") as output:
                box = subprocess.Popen(
                    [program, "-v", "4", str(self._config)], stdout=output, stderr=output
                )
            self._boxes.append(box)
            wait_for(lambda p=port: _is_open(p), f"{name} listens")
        wait_for(self._is_online, "Kannel is bound")

    def _is_online(self) -> bool:
        with urllib.request.urlopen(self._status, timeout=5) as response:
            status = response.read().decode()
        return "(online" in status and "smsbox:(none)" in status

    def send(self, to: str, text: str, dlr_url: str) -> None:
        """Have it text `to`; `dlr_url` is asked for each event of it, with `type` and `answer`."""
        query = {
            "username": "interop",
            "password": "interop",
            "from": NUMBER,
            "to": to,
            "text": text,
            "charset": "UTF-8",
            "dlr-mask": "31",
            "dlr-url": f"{dlr_url}?type=%d&answer=%A",
        }
        if any(character > "\u00ff" and character not in "€ΔΦΓΛΩΠΨΣΘΞ" for character in text):
            query["coding"] = "2"
        url = f"http://127.0.0.1:{self._http}/cgi-bin/sendsms?{urlencode(query, quote_via=quote)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            assert response.status == 202

    def end(self) -> None:
        """End both."""
        for box in reversed(self._boxes):
            box.terminate()
            try:
                box.wait(10)
            except subprocess.TimeoutExpired:
                box.kill()
                box.wait()


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True

"""Kamailio as a carrier: a registrar that asks for digest, and a proxy that stays in the dialog.

One process of it hears UDP: of two, one might pass on a 487 before the other has answered the
CANCEL that it is for. Whoever has registered gets the calls to its name, and the user `TRUNK` those
to its number, as the carriers of trunks have it; every other call goes to `beyond`. Callers of its
domain are asked for their password.
"""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.integration.gateway_process import wait_for
from tests.ports import free_port

TRUNK, NUMBER = "trunk", "+15550001000"
_CONFIG = """#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=2
auto_aliases=no
alias="{domain}"
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
mpath="{modules}"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "kex.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 60)
modparam("registrar", "default_expires", 120)
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_auth_max_drift", 0)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "Not here");
    exit;
  }}
  t_check_trans();
  if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("{domain}", "{password}", "0")) {{
      www_challenge("{domain}", "1");
      exit;
    }}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if (is_method("INVITE") && $fd == "{domain}") {{
    if (!pv_proxy_authenticate("{domain}", "{password}", "0")) {{
      proxy_challenge("{domain}", "1");
      exit;
    }}
    consume_credentials();
  }}
  if (is_method("INVITE")) record_route();
  if ($rU == "{number}") {{
    if (!lookup("location", "sip:{trunk}@{domain}")) {{ sl_send_reply("404", "Away"); exit; }}
  }} else if (!lookup("location")) $du = "sip:{beyond}";
  t_relay();
}}
"""


class Kamailio:
    """It listens once it is made, over UDP and TCP; all users have one password."""

    def __init__(
        self, folder: Path, *, domain: str, password: str, beyond: str, host: str = "127.0.0.1"
    ) -> None:
        program = shutil.which("kamailio", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None, "kamailio is not here: tests/interop/provide kamailio"
        folder.mkdir()
        self.host, self.port, self.domain = host, free_port(host), domain
        self._log = folder / "kamailio.log"
        config = folder / "kamailio.cfg"
        config.write_text(
            _CONFIG.format(
                domain=domain,
                password=password,
                beyond=beyond,
                host=host,
                port=self.port,
                modules=_modules(),
                number=NUMBER,
                trunk=TRUNK,
            )
        )
        command = [program, "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4"]
        command += ["-P", str(folder / "pid"), "-Y", str(folder), "-w", str(folder)]
        with self._log.open("wb") as output:
            # Its children stay when their parent is killed: a group of their own ends together.
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
        wait_for(self._answers, f"kamailio answers at {self.port}")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind((self.host, 0))
            wire.settimeout(0.2)
            host, port = wire.getsockname()
            wire.sendto(
                f"OPTIONS sip:{self.host}:{self.port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{port}\r\n"
                f"From: <sip:probe@{host}>;tag=1\r\nTo: <sip:{self.host}:{self.port}>\r\n"
                f"Call-ID: probe-{port}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\n"
                "Content-Length: 0\r\n\r\n".encode(),
                (self.host, self.port),
            )
            try:
                return wire.recv(4096).startswith(b"SIP/2.0 200 ")
            except OSError:
                return False

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")[-20_000:]

    def end(self) -> None:
        """End it with its children."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _modules() -> str:
    """Where the distribution keeps them: below a folder named after the machine's kind."""
    found = sorted(Path("/usr/lib").glob("*/kamailio/modules/tm.so"))
    assert found, "kamailio has no modules under /usr/lib/*/kamailio/modules"
    return f"{found[0].parent}/"

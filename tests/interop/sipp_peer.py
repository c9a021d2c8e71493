"""sipp: one call of a flow, as caller or as callee.

What sipp 3.6.1 wants: `-nostdin`, or it ends with its standard input; `-au` and `-ap`, for
`[authentication]` cannot hold other keywords; `-bind_local`, or it sends from another address than
it says; a variable that is named only once is an error, so scenarios end with a `Reference`.
"""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.integration.gateway_process import wait_for
from tests.interop.sip.flow import Names, Side, Stay, Steps, scenario
from tests.ports import TCP, UDP, free_port, is_taken

_ENDS_WITHIN = 150.0
_TRANSPORTS = {"udp": "u1", "tcp": "t1"}


class Sipp:
    """One side of a flow. A callee listens once it is made; `port` is where."""

    def __init__(
        self,
        folder: Path,
        side: Side,
        steps: Steps,
        *,
        names: Names | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        to: tuple[str, int] | None = None,
        user: str = "sipp",
        password: str = "",
        digest_uri: str = "",
        transport: str = "udp",
        calls: int = 1,
        within: float = 60.0,
    ) -> None:
        program = shutil.which("sipp")
        assert program is not None, "sipp is not here: tests/interop/provide sipp"
        folder.mkdir()
        self._messages, self._errors = folder / "messages.log", folder / "errors.log"
        self.host, self.port = host, port or free_port(host)
        self.media_port = free_port(host)
        self._within = within
        if transport == "tcp":  # nothing is sent again, and the other side hangs up when it is done
            steps = tuple(
                replace(each, seconds=0) if type(each) is Stay else each for each in steps
            )
        names = replace(names or Names(), transport=transport)
        (folder / "flow.xml").write_text(scenario(side, steps, names))
        command = [
            *(program, "-sf", str(folder / "flow.xml"), "-m", str(calls), "-nostdin"),
            *("-i", host, "-p", str(self.port), "-bind_local", "-mi", host),
            *("-mp", str(self.media_port), "-rtp_echo", "-t", _TRANSPORTS[transport]),
            *("-buff_size", "4194304", "-default_behaviors", "none,abortunexp"),
            *("-timeout", f"{int(within)}s", "-timeout_error"),
            *("-max_reconnect", "3", "-reconnect_close", "false"),
            *("-trace_msg", "-message_file", str(self._messages)),
            *("-trace_err", "-error_file", str(self._errors)),
            *("-au", user, "-ap", password, "-cp", str(free_port(host))),
        ]
        if digest_uri:  # without "sip:"; else that of the address that it sends to
            command += ["-auth_uri", digest_uri]
        if to is not None:
            command.append(f"{to[0]}:{to[1]}")
        with (folder / "sipp.out").open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, "TERM": "dumb"}
            )
        if to is None:
            wait_for(lambda: self._listens(transport), f"sipp listens at {self.port}")

    def _listens(self, transport: str) -> bool:
        assert self._process.poll() is None, self.log()
        return is_taken(self.host, self.port, TCP if transport == "tcp" else UDP)

    def finish(self) -> str:
        """Wait until the call is over; the messages. Fails with them if the flow did."""
        try:
            code = self._process.wait(min(self._within + 20, _ENDS_WITHIN))
        except subprocess.TimeoutExpired:
            self.end()
            code = -1
        assert code == 0, f"sipp ended with {code}\n{self.log()}"
        return self._messages.read_text(errors="replace")

    def wait_for(self, expression: str) -> re.Match[str]:
        """Wait until its messages match, dots any character; fails with them if they never do."""

        def found() -> re.Match[str] | None:
            text = self._messages.read_text(errors="replace") if self._messages.exists() else ""
            return re.search(expression, text, re.DOTALL)

        try:
            return wait_for(found, f"sipp has {expression}", self._within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def log(self) -> str:
        """What it saw, and what it has to say of it."""
        found = [path for path in (self._errors, self._messages) if path.exists()]
        return "\n".join(path.read_text(errors="replace")[-20_000:] for path in found)

    def end(self) -> None:
        """End it, in mid-call if need be."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

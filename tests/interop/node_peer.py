"""Programs that share no code with us as children: told by JSON lines, telling by JSON lines."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.gateway_process import wait_for

_HERE = Path(__file__).parent / "node"
CACHE = Path(os.environ.get("TRUNKLINE_CACHE") or Path.home() / ".cache" / "trunkline")


class LinePeer:
    """`command` as a child; `environ` is added to ours."""

    def __init__(self, log: Path, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    def tell(self, **command: object) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it told of one kind; a line under way is left out."""
        text = self._log.read_text()
        whole = [line for line in text.rpartition("\n")[0].splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in whole]
        return [line for line in found if line["event"] == event]

    def wait(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The first `count` of them."""

        def told() -> list[dict[str, Any]] | None:
            found = self.lines(event)
            if len(found) >= count:
                return found[:count]
            assert self._process.poll() is None, f"it ended:\n{self._log.read_text()}"
            return None

        try:
            return wait_for(told, f"{count} times {event}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._log.read_text()}") from None

    def end(self) -> None:
        """End it, by force if it does not go when its input ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class NodePeer(LinePeer):
    """`node SCRIPT`, with the packages that `provide node` installed."""

    def __init__(self, script: str, log: Path, *arguments: str) -> None:
        packages = {"NODE_PATH": str(CACHE / "node" / "node_modules")}
        super().__init__(log, ["node", str(_HERE / script), *arguments], packages)

"""Trunkline as `bench/chain.py` starts it: over PostgreSQL, and Kafka, in one process or three."""

import sys
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

from ours import ACCOUNT, TOKEN, Ours, wait_until_ready
from processes import Process
from profiles import Profile

_CONFIG = """
[http]
listen = "127.0.0.1:0"

[smpp]
listen = ""

[store]
url = "{store}"

[bus]
url = "{bus}"

[webhooks]
message_states = "final"

[[carriers]]
name = "sink"
kind = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "bench"
password = "bench"
window = 100
"""
# How many processes, and what each of them does.
ROLES = {1: ("all",), 3: ("api", "smpp", "core")}


class Launch(Enum):
    """How the processes are started: as a user does, or sampled."""

    PLAIN = auto()
    SAMPLED = auto()


class Member(NamedTuple):
    """One process of the gateway."""

    role: str
    process: Process
    port: int
    profile: Profile


class Scaled:
    """Processes of one gateway; the first of them takes the requests."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._first = Ours(members[0].process, members[0].port)
        self.name = f"{len(members)} process{'es' * (len(members) > 1)}"

    def load(self, peers: Any) -> list[str]:
        return self._first.load(peers)

    def cpu_by_role(self) -> dict[str, float]:
        return {member.role: member.process.cpu() for member in self._members}

    def memory(self) -> float:
        return sum(member.process.memory() for member in self._members)

    def profile(self) -> dict[str, dict[str, float]]:
        """CPU seconds by stack and by thread since the start, all processes together."""
        together: dict[str, dict[str, float]] = {"stacks": {}, "threads": {}}
        for member in self._members:
            for kind, found in member.profile.read(member.process.pid).items():
                for name, seconds in found.items():
                    together[kind][name] = together[kind].get(name, 0.0) + seconds
        return together

    def end(self) -> None:
        for member in self._members:
            member.process.end()


def start(
    folder: Path, *, sink: int, store: str, bus: str, processes: int, launch: Launch
) -> Scaled:
    """Start them one after the other: the first makes the schema. `sink` is the carrier's port."""
    members: list[Member] = []
    for role in ROLES[processes]:
        home = folder / role
        home.mkdir()
        config, data, log = home / "trunkline.toml", home / "data", home / "log"
        config.write_text(_CONFIG.format(store=store, bus=bus, port=sink))
        profile = Profile(home / "profile.json")
        launcher = profile.launcher if launch is Launch.SAMPLED else ("-m", "gateway")
        serve = ("serve", "--role", role, "--config", str(config), "--data", str(data))
        process = Process(
            [sys.executable, *launcher, *serve],
            log=log,
            environ={"TRUNKLINE_ACCOUNT_SID": ACCOUNT, "TRUNKLINE_AUTH_TOKEN": TOKEN},
        )
        port = wait_until_ready(process, data / "ports.json", log)
        members.append(Member(role, process, port, profile))
    return Scaled(members)

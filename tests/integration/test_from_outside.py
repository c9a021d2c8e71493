"""What a person does who has just cloned the project, with a gateway as a child process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartGateway
from tests.running import RunningGateway

ROOT = Path(__file__).parent.parent.parent
HANDSET = "+447700900123"


def environment(gateway: RunningGateway) -> dict[str, str]:
    """The variables that point a command or an example at `gateway`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    return {**inherited, "TRUNKLINE_DATA": str(gateway.data), "PYTHONPATH": str(ROOT)}


def said(gateway: RunningGateway, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(gateway),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trunkline(gateway: RunningGateway, *arguments: str) -> str:
    return said(gateway, "-m", "gateway", *arguments)


def eventually(condition: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def processes() -> dict[int, int]:
    """Who runs, and whose child it is (proc(5)), without those that have ended."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if state != "Z":
            found[int(path.parent.name)] = int(parent)
    return found


def children(gateway: RunningGateway) -> set[int]:
    assert gateway.process is not None
    parent = gateway.process.pid
    found = {pid for pid, parent_pid in processes().items() if parent_pid == parent}
    assert found, "no simulator runs"
    return found


def test_the_answering_example_is_asked_and_its_reply_is_threaded(
    running_gateway: RunningGateway,
) -> None:
    app = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/reply_app.py")],
        env=environment(running_gateway),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert app.stdout is not None
        assert "texts to +15550001000 are answered" in app.stdout.readline()
        text = ("--from", HANDSET, "--to", "+15550001000", "--body", "Are you open?")
        trunkline(running_gateway, "sim", "text", *text)
        assert app.stdout.readline() == f"{HANDSET}: Are you open?\n"
        answer = "We are open from 9 to 18, Monday to Friday."
        eventually(lambda: answer in trunkline(running_gateway, "sim", "inbox", HANDSET))
        page = json.loads(trunkline(running_gateway, "messages", "list", "--json"))
        (inbound,) = (m["sid"] for m in page["messages"] if m["direction"] == "inbound")
        shown = trunkline(running_gateway, "messages", "show", inbound)
        assert shown.startswith(inbound)
        beneath = [line for line in shown.splitlines() if line.startswith("    ")]
        assert f"“{answer}”" in beneath[2]
        assert any("submit_sm" in line and f"“{answer}”" in line for line in beneath)
    finally:
        app.send_signal(signal.SIGINT)
        assert app.wait(30) == 0
        app.stdout.close()


def test_a_text_by_hand(running_gateway: RunningGateway) -> None:
    sent = trunkline(
        running_gateway, "send", "--to", HANDSET, "--body", "Hello", "--wait", "20"
    ).split()
    assert sent[1:] == ["delivered", "1", "segment"]
    shown = trunkline(running_gateway, "messages", "show", sent[0])
    assert "──► submit_sm" in shown
    assert "◄── submit_sm_resp" in shown
    assert "◄── deliver_sm" in shown
    assert "simulated  bound" in trunkline(running_gateway, "carriers", "list")
    assert "1. simulated: ready" in trunkline(running_gateway, "route", "explain", HANDSET)


def test_tail_prints_what_happens(running_gateway: RunningGateway) -> None:
    tail = subprocess.Popen(
        [sys.executable, "-u", "-m", "gateway", "tail", "--after", "0"],
        env=environment(running_gateway),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert tail.stdout is not None
        trunkline(running_gateway, "send", "--to", HANDSET, "--body", "Hello")
        kinds = []
        while "message.delivered" not in kinds:
            kinds.append(tail.stdout.readline().split()[2])
        assert [kind for kind in kinds if kind.startswith("message.")] == [
            "message.queued",
            "message.sent",
            "message.delivered",
        ]
    finally:
        tail.send_signal(signal.SIGINT)
        tail.wait(30)
        tail.stdout.close()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_leaves_nothing_behind(
    start_gateway: StartGateway, sent: signal.Signals
) -> None:
    gateway = start_gateway()
    simulators = children(gateway)
    assert gateway.terminate(sent) == 0
    assert not any(listens(port) for port in gateway.ports.values())
    assert not simulators & processes().keys()


def test_a_restart_after_a_crash_needs_no_hand(start_gateway: StartGateway) -> None:
    gateway = start_gateway()
    simulators = children(gateway)
    sid = trunkline(gateway, "send", "--to", HANDSET, "--body", "Hello").split()[0]
    gateway.kill()
    eventually(lambda: not simulators & processes().keys())
    gateway.start()
    assert sid in trunkline(gateway, "messages", "list")
    assert gateway.terminate() == 0


def test_the_first_message_of_the_readme(running_gateway: RunningGateway) -> None:
    readme = (ROOT / "README.md").read_text()
    program = readme.split("```python\n")[1].split("```")[0]
    assert len([line for line in program.splitlines() if line]) == 6
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=running_gateway.home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.fullmatch(r"SM[0-9a-f]{32}\n", done.stdout), done.stderr

"""The examples, run as their first lines say."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

from tests.integration.gateway_process import NUMBER, ROOT, command, handset, wait_for
from tests.running import RunningGateway

HANDSET = "+447700900123"


def environ(gateway: RunningGateway) -> Mapping[str, str]:
    """What an example needs to find the gateway."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    return {**inherited, "TRUNKLINE_DATA": str(gateway.data), "PYTHONUNBUFFERED": "1"}


def send_sms(gateway: RunningGateway, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `examples/send_sms.py`."""
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "send_sms.py"), *options],
        cwd=gateway.home,
        env=environ(gateway),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_send_sms_shows_queued_sent_delivered(running_gateway: RunningGateway) -> None:
    done = send_sms(running_gateway)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *told = done.stdout.splitlines()
    sid = first.split()[0]
    assert first == f"{sid} created: queued, 1 segment(s)"
    line = re.compile(rf"{sid} (\w+) after (\d+\.\d\d) s, signature valid")
    found = [match for each in told if (match := line.fullmatch(each))]
    assert [match[1] for match in found] == ["sent", "delivered"]
    assert len(found) == len(told)
    assert [text["body"] for text in handset(running_gateway, HANDSET)] == [
        "Hello from Trunkline 👋"
    ]


def test_send_sms_says_so_when_a_text_fails(running_gateway: RunningGateway) -> None:
    done = send_sms(running_gateway, "--to", "+447700900003", "--body", "To nobody")
    assert done.returncode == 1
    assert "failed (error 30005)" in done.stdout


def test_send_sms_ends_in_one_sentence_when_it_can_not_go_on(
    running_gateway: RunningGateway,
) -> None:
    refused = send_sms(running_gateway, "--to", "447700900123")
    assert refused.returncode == 1
    assert refused.stderr.startswith("the gateway refused: ")
    assert refused.stderr.endswith("is it +447700900123?\n")
    assert len(refused.stderr.splitlines()) == 1
    running_gateway.kill()  # its ports.json stays
    alone = send_sms(running_gateway)
    assert alone.returncode == 1
    assert alone.stderr == (
        f"no gateway answers at {running_gateway.url}; start one first: make run\n"
    )


def test_the_first_start_prints_where_everything_is(running_gateway: RunningGateway) -> None:
    said = running_gateway.log.read_text()
    assert f"http      {running_gateway.url}\n" in said
    assert f"smpp      127.0.0.1:{running_gateway.ports['smpp']}\n" in said
    assert f"account   {running_gateway.account_sid}\n" in said
    assert "credentials.json (auth_token)" in said
    assert running_gateway.auth_token not in said


def test_reply_app_answers_a_handset(running_gateway: RunningGateway) -> None:
    gateway = running_gateway
    output = gateway.home / "reply_app.log"
    with output.open("wb") as log:
        app = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "reply_app.py")],
            cwd=gateway.home,
            env=environ(gateway),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: "are answered at" in output.read_text(), "the app serves")
        asked = command(
            *(gateway, "sim", "text", "--from", HANDSET, "--to", NUMBER),
            *("--body", "Are you open?"),
        )
        assert asked.returncode == 0, asked.stderr
        wait_for(lambda: handset(gateway, HANDSET), "the answer is on the handset")
        shown = command(gateway, "sim", "inbox", HANDSET)
        assert f"{NUMBER}: We are open from 9 to 18, Monday to Friday." in shown.stdout
        assert f"{HANDSET}: Are you open?" in output.read_text()
        app.send_signal(signal.SIGINT)
        assert app.wait(10) == 0
    finally:
        if app.poll() is None:
            app.kill()
            app.wait()

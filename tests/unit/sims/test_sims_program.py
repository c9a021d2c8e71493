"""The simulators as programs: `python -m sims`, with smpplib as the stranger on the other end."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sims.cli import main
from tests.running import NO_AUTHORITIES

GENEROUS = 60.0
PHONE = ("--domain", "d", "--user", "u", "--password", "p", "--server", "192.0.2.1")
QUICK = ("--receipt-delay", "0.05", "--response-timeout", "0.1")


class Program:
    """One simulator that runs, and what it said when it was ready."""

    def __init__(self, process: "subprocess.Popen[str]", ready_file: Path) -> None:
        self.process = process
        deadline = time.monotonic() + GENEROUS
        while not ready_file.exists():
            assert process.poll() is None, f"ended early with {process.returncode}"
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.01)
        self.ready = json.loads(ready_file.read_text())

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        port = self.ready.get("control") or self.ready["http"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=GENEROUS) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def inbox(self, number: str) -> list[str]:
        _, texts = self.request("GET", f"/sim/handsets/{number}/messages")
        return [text["body"] for text in texts]


Run = Callable[..., Program]
ENVIRON = {**os.environ, **NO_AUTHORITIES}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sims", *arguments]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    programs: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> Program:
        ready_file = tmp_path / f"ready{len(programs)}.json"
        process = subprocess.Popen(
            command(*arguments, "--ready-file", str(ready_file)),
            env=ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        programs.append(process)
        return Program(process, ready_file)

    yield run
    for process in programs:
        process.kill()
        _, errors = process.communicate()
        assert errors == ""


def customer(
    carrier: Program, *arguments: str, exits: int = 0, **options: str
) -> list[dict[str, Any]]:
    """What the customer reports, after it has ended."""
    return ended(customer_begun(carrier, *arguments, **options), exits)


def customer_begun(carrier: Program, *arguments: str, **options: str) -> "subprocess.Popen[str]":
    """A customer that runs beside what follows."""
    options = {
        "port": str(carrier.ready["smpp"]),
        "system-id": "customer",
        "password": "secret",
        "from": "+15550001000",
        "wait": str(GENEROUS),
        **options,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return subprocess.Popen(
        command("esme", *words, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(customer: "subprocess.Popen[str]", exits: int = 0) -> list[dict[str, Any]]:
    """What it reports, after it has ended."""
    try:
        output, errors = customer.communicate(timeout=60)
    finally:
        customer.kill()
    assert (customer.returncode, errors) == (exits, ""), output[-2000:]
    return [json.loads(line) for line in output.splitlines()]


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_a_stranger_sends_texts_and_gets_receipts(run: Run) -> None:
    carrier = run("smsc", *QUICK)
    events = customer(carrier, to="+447700900123", body="text {n}", count="3")
    ids = [event["message_id"] for event in of(events, "response")]
    receipts = of(events, "receipt")
    assert [event["message_id"] for event in receipts] == ids
    assert all("stat:DELIVRD" in event["text"] for event in receipts)
    assert all(event["message_state"] == 2 for event in receipts)
    assert events[-1] == {
        "event": "ended",
        "submitted": 3,
        "accepted": 3,
        "refused": 0,
        "receipts": 3,
        "texts": 0,
    }
    assert carrier.inbox("%2B447700900123") == ["text 1", "text 2", "text 3"]


def test_what_a_stranger_splits_arrives_whole(run: Run) -> None:
    carrier = run("smsc", *QUICK)
    bodies = ["x" * 152 + "\u20ac" * 100, "\u0416\U0001f600" * 150]
    for body in bodies:
        customer(carrier, to="+447700900123", body=body)
    assert carrier.inbox("447700900123") == bodies


FIXED = {
    "0001": ([0x58, 0x58, 0], ["DELIVRD"]),
    "0002": ([0, 0, 0], ["UNDELIV"] * 3),
    "0003": ([0x0B] * 3, []),
    "0004": ([0] * 3, []),
    "0005": ([0] * 3, ["DELIVRD"] * 3),
}


def test_strangers_meet_the_fixed_numbers(run: Run) -> None:
    carrier = run("smsc", *QUICK)
    same = {"body": "same", "count": "3", "window": "1"}
    customers = {
        # Each has a receiver of its own, or it would be given what is for another.
        digits: customer_begun(
            carrier,
            to=f"+1555000{digits}",
            **{"system-id": digits, "wait": "0.5" if digits == "0004" else str(GENEROUS), **same},
        )
        for digits in FIXED
    }
    for digits, (statuses, receipts) in FIXED.items():
        events = ended(customers[digits], exits=int(any(statuses)))
        assert [event["command_status"] for event in of(events, "response")] == statuses, digits
        told = [event["text"].split("stat:")[1][:7] for event in of(events, "receipt")]
        assert told == receipts, digits
        if digits == "0005":
            assert events[1]["event"] == "receipt"


def test_a_stranger_is_dropped_by_0006_and_receipted_when_it_is_back(run: Run) -> None:
    carrier = run("smsc", *QUICK)
    events = customer(carrier, exits=1, to="+15550000006", body="hello")
    assert of(events, "response") == []
    assert of(events, "disconnected")
    back = customer(carrier, to="+15550000006", body="hello")
    assert len(of(back, "response")) == 1
    assert len(of(back, "receipt")) >= 1
    assert carrier.inbox("15550000006") == ["hello", "hello"]


def test_a_stranger_gets_the_late_response_of_0007(run: Run) -> None:
    carrier = run("smsc", *QUICK)
    events = customer(carrier, to="+15550000007", body="same", count="2")
    first, second = of(events, "response")
    assert first["sequence_number"] > second["sequence_number"]  # the second submit's came first
    assert {event["message_id"] for event in of(events, "receipt")} == {
        first["message_id"],
        second["message_id"],
    }


def test_a_handset_texts_a_stranger(run: Run) -> None:
    carrier = run("smsc")
    port = str(carrier.ready["smpp"])
    words = ["--port", port, "--system-id", "customer", "--until", "time", "--wait", "60"]
    process = subprocess.Popen(command("esme", *words), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "bound"
    body = "\u0416\U0001f600" * 100
    for text in ("hello [world] \u00a7", body):
        status, _ = carrier.request(
            "POST",
            "/sim/handsets/+447700900123/messages",
            {"to": "+15550001000", "body": text},
        )
        assert status == 201
        assert json.loads(process.stdout.readline()) == {
            "event": "text",
            "from": "447700900123",
            "to": "15550001000",
            "body": text,
        }
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS) == 0
    assert json.loads(process.stdout.readlines()[-1])["texts"] == 2
    process.stdout.close()


def test_a_bind_with_a_wrong_password_is_told(run: Run) -> None:
    carrier = run("smsc", "--system-id", "customer", "--password", "right")
    (event,) = customer(carrier, exits=1, password="wrong")
    assert event["event"] == "refused"
    assert "Password" in event["reason"]


def test_a_web_app_answers_and_keeps_a_ledger(run: Run, tmp_path: Path) -> None:
    ledger = tmp_path / "requests.jsonl"
    app = run("webapp", "--reply", "You said {Body}", "--ledger", str(ledger))
    url = f"http://127.0.0.1:{app.ready['http']}/sms"
    with urllib.request.urlopen(url, data=b"Body=hi", timeout=GENEROUS) as answer:
        assert answer.read() == b"<Response><Message>You said hi</Message></Response>"
    (line,) = ledger.read_text().splitlines()
    assert json.loads(line)["params"] == {"Body": "hi"}
    status, came = app.request("GET", "/requests")
    assert (status, came) == (200, [json.loads(line)])


CALLER = "+15550009999"


def called(program: Program, phone: str) -> list[dict[str, Any]]:
    """The calls of a phone, as soon as there are some and all are over."""
    deadline = time.monotonic() + GENEROUS
    while True:
        _, calls = program.request("GET", f"/sim/phones/{phone}/calls")
        if calls and all(call["state"] == "ended" for call in calls):
            return list(calls)
        assert time.monotonic() < deadline, calls
        time.sleep(0.02)


def call(program: Program, to: str, *script: dict[str, Any], phone: str = CALLER) -> dict[str, Any]:
    """What becomes of a call."""
    body = {"to": to, "script": [*script, {"hangup": True}]}
    status, placed = program.request("POST", f"/sim/phones/{phone}/calls", body)
    assert status == 201, placed
    return next(call for call in called(program, phone) if call["id"] == placed["id"])


@pytest.mark.parametrize("simulator", ["smsc", "carrier"])
def test_phones_of_a_carrier_call_each_other(run: Run, simulator: str) -> None:
    carrier = run(
        simulator, "--manner", '0555={"script": [{"tone": 650, "for": 9}]}', "--codecs", "PCMA"
    )
    where = {"host": "127.0.0.1", "port": carrier.ready["sip"]}
    assert carrier.request("PUT", "/sim/gateway", where)[0] == 204
    done = call(carrier, "+15550000555", {"expect": "tone:650", "within": 9})
    assert (done["sip_code"], done["steps"][0]["ok"]) == (200, True)


def test_a_carrier_knows_its_gateway_from_the_command_line(run: Run, tmp_path: Path) -> None:
    manners = tmp_path / "manners.json"
    manners.write_text('{"*": {"refuse": 480}}')
    far = run("carrier", "--manners", str(manners))
    carrier = run("carrier", "--gateway-sip", f"127.0.0.1:{far.ready['sip']}")
    assert call(carrier, "+15550001234")["sip_code"] == 480


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_phone_registers_and_calls_both_ways(run: Run, transport: str) -> None:
    carrier = run("carrier", "--account", "alice:secret", "--challenge-calls", "--realm", "a.test")
    server = f"127.0.0.1:{carrier.ready['sip']}"
    options = ("--domain", "a.test", "--user", "alice", "--password", "secret")
    greeting = '{"script": [{"tone": 550, "for": 9}]}'
    phone = run(
        *("phone", "--server", server, "--transport", transport, *options, "--manner", greeting)
    )
    out = call(phone, "+15550001234", {"expect": "tone:440", "within": 9}, phone="alice")
    assert (out["sip_code"], out["steps"][0]["ok"]) == (200, True)
    back = call(carrier, "alice", {"expect": "tone:550", "within": 9})
    assert (back["sip_code"], back["steps"][0]["ok"]) == (200, True)
    phone.process.send_signal(signal.SIGTERM)
    assert phone.process.wait(GENEROUS) == 0
    body = {"to": "alice", "script": []}
    assert carrier.request("POST", f"/sim/phones/{CALLER}/calls", body)[0] == 503


def test_a_phone_that_is_not_let_in_says_why(run: Run) -> None:
    carrier = run("carrier", "--account", "alice:secret")
    server = f"127.0.0.1:{carrier.ready['sip']}"
    options = ("--domain", "a.test", "--user", "alice", "--password", "guess")
    done = subprocess.run(
        command("phone", "--server", server, *options),
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=GENEROUS,
    )
    assert done.returncode == 1
    assert "401" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("simulator", ["smsc", "webapp", "carrier"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(run: Run, simulator: str, number: int) -> None:
    program = run(simulator)
    assert program.ready["pid"] == program.process.pid
    program.process.send_signal(number)
    assert program.process.wait(GENEROUS) == 0


def test_a_signal_ends_a_carrier_that_is_bound(run: Run) -> None:
    carrier = run("smsc")
    port = str(carrier.ready["smpp"])
    words = ["--port", port, "--system-id", "customer", "--until", "time", "--wait", "60"]
    process = subprocess.Popen(command("esme", *words), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    carrier.process.send_signal(signal.SIGTERM)
    assert carrier.process.wait(GENEROUS) == 0
    assert process.wait(GENEROUS) == 1
    assert '"disconnected"' in process.stdout.read()
    process.stdout.close()


@pytest.mark.parametrize("simulator", ["smsc", "webapp", "esme", "carrier"])
def test_it_does_not_outlive_its_parent(run: Run, simulator: str, tmp_path: Path) -> None:
    """The parent is a shell that is killed, so that nobody could pass a signal on."""
    special = "--ready-file $DIR/ready"
    if simulator == "esme":
        port = run("smsc").ready["smpp"]
        special = f"--port {port} --system-id a --until time --wait 600"
    line = f'"$PYTHON" -m sims {simulator} {special} --parent-pid $$ > "$DIR/out" & echo $!; wait'
    environ = {**ENVIRON, "PYTHON": sys.executable, "DIR": str(tmp_path)}
    parent = subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True, env=environ)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        ready = _lines(tmp_path / "out", time.monotonic() + GENEROUS)
        parent.kill()
    assert len(ready) == 1
    deadline = time.monotonic() + GENEROUS
    while _runs(pid):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.01)


def _lines(path: Path, deadline: float) -> list[str]:
    """The lines of a file as soon as there are any, or none at the deadline."""
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text.splitlines()
        time.sleep(0.01)
    return []


def _runs(pid: int) -> bool:
    """Whether the process lives; a dead one that nobody waited for doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_parent_that_is_gone_already_ends_it_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        command("webapp", "--parent-pid", str(gone.pid)), capture_output=True, timeout=GENEROUS
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("smsc", "--answer", "0555=nonsense"), "throttled-twice"),
        (("smsc", "--script", "/nowhere.json"), "/nowhere.json"),
        (("smsc", "--manner", '0555={"sing": 1}'), "sing"),
        (("carrier", "--manners", "/nowhere.json"), "/nowhere.json"),
        (("carrier", "--codecs", "MP3"), "PCMU"),
        (("carrier", "--account", "acme"), "--account is USER:PASSWORD"),
        (
            ("phone", *PHONE, "--manner", "sing"),
            "--manner is JSON",
        ),
        (("carrier", "--gateway-sip", "127.0.0.1:many"), "HOST:PORT"),
        (("smsc", "--message-id", "octal"), "octal"),
        (("webapp", "--script", "/nowhere.json"), "/nowhere.json"),
    ],
)
def test_a_wrong_argument_is_told_on_the_command_line(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_usage_is_said_of_what_a_person_started() -> None:
    started = [sys.executable, "-m", "gateway", "sim", "phone", "--domain", "pbx.example"]
    done = subprocess.run(started, capture_output=True, text=True, timeout=GENEROUS)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m gateway sim phone ")


def test_a_port_in_use_is_told(run: Run) -> None:
    carrier = run("smsc")
    port = str(carrier.ready["smpp"])
    done = subprocess.run(
        command("smsc", "--port", port),
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=GENEROUS,
    )
    assert done.returncode == 1
    assert port in done.stderr
    assert "another program listens there: choose another port" in done.stderr
    assert "Traceback" not in done.stderr

"""The examples, run as their first lines say."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import StartGateway
from tests.integration.gateway_process import NUMBER, ROOT, command, get, handset, wait_for
from tests.running import RunningGateway

HANDSET = "+447700900123"
CALLER = "+447700900456"
DOMAIN = "pbx.example"
CALLS = {"TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]', "TRUNKLINE_SIP__TCP": "[]"}


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


@contextmanager
def example(gateway: RunningGateway, name: str, *options: str) -> Iterator[Path]:
    """An example that serves until Ctrl-C ends it; gives where what it prints is."""
    output = gateway.home / f"{name}.log"
    with output.open("wb") as log:
        app = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / name), *options],
            cwd=gateway.home,
            env=environ(gateway),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield output
        app.send_signal(signal.SIGINT)
        assert app.wait(30) == 0, output.read_text()
    finally:
        if app.poll() is None:
            app.kill()
            app.wait()


@contextmanager
def phone(gateway: RunningGateway, user: str, script: Sequence[Any] = ()) -> Iterator[str]:
    """A simulated phone of `DOMAIN` that is registered; gives the URL of its calls."""
    ready, log = gateway.home / f"{user}.ready", gateway.home / f"{user}.log"
    options = {
        "domain": DOMAIN,
        "user": user,
        "password": password(user),
        "server": f"127.0.0.1:{gateway.ports['sip_udp']}",
        "manner": json.dumps({"script": [*script]}),
        "ready-file": str(ready),
        "parent-pid": str(os.getpid()),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sims", "phone"),
                *(part for name, value in options.items() for part in (f"--{name}", value)),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, f"{user} is registered")
        assert ready.exists(), log.read_text()
        control = json.loads(ready.read_text())["control"]
        yield f"http://127.0.0.1:{control}/sim/phones/{user}/calls"
    finally:
        process.terminate()
        process.wait(30)


def password(user: str) -> str:
    """What proves that somebody is a user of the domain."""
    return f"{user.capitalize()}-secret-1"


def make_domain(gateway: RunningGateway, voice_url: str, *users: str) -> None:
    """A SIP domain whose users may register and call, made as at Twilio."""
    sip = gateway.client().api.v2010.account.sip
    domain = sip.domains.create(
        domain_name=DOMAIN, voice_url=voice_url, sip_registration=True, friendly_name="Exchange"
    )
    known = sip.credential_lists.create(friendly_name="Phones")
    for user in users:
        sip.credential_lists(known.sid).credentials.create(username=user, password=password(user))
    auth = sip.domains(domain.sid).auth
    auth.calls.credential_list_mappings.create(credential_list_sid=known.sid)
    auth.registrations.credential_list_mappings.create(credential_list_sid=known.sid)


def dial(calls: str, to: str, script: Sequence[Any]) -> None:
    """Call from a phone of the domain."""
    content = json.dumps({"to": to, "script": [*script]}).encode()
    request = urllib.request.Request(calls, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 201


def ended(calls: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Calls of a simulated phone, when there are some and all are over."""
    return calls if all(each["state"] == "ended" for each in calls) else ()


def calls_of(url: str) -> Sequence[Mapping[str, Any]]:
    """The calls of a phone of the domain."""
    with urllib.request.urlopen(url, timeout=30) as response:
        found: Sequence[Mapping[str, Any]] = json.load(response)
    return found


def heard_all(call: Mapping[str, Any]) -> bool:
    """Whether every step of a call came to what it should."""
    return bool(call["steps"]) and all(each["ok"] for each in call["steps"])


def told(output: Path, of: str) -> Sequence[str]:
    """What the app was told of the calls to a number or a user, sorted.

    What it is told begins in the order of the states; its threads may overtake each other.
    """
    said = rf"^CA\w+ {re.escape(of)} is (\S+)"
    return sorted(re.findall(said, output.read_text(), re.MULTILINE))


STEPS = sorted(["initiated", "ringing", "in-progress", "completed"])
LISTEN_THEN_SPEAK = [
    {"expect": "tone:440", "within": 20},
    {"expect": "silence", "within": 20},
    {"tone": 800, "for": 2},
    {"expect": "tone:800", "within": 20},
    {"hangup": True},
]


def ask_servers(gateway: RunningGateway, token: str) -> Any:
    """What the gateway tells who shows it `token`."""
    form = urlencode({"Token": token}).encode()
    with urllib.request.urlopen(f"{gateway.url}/phone/ice", form, timeout=30) as answer:
        return json.load(answer)


def test_token_server_gives_tokens_that_the_gateway_believes(start_gateway: StartGateway) -> None:
    servers = ["stun:turn.example:3478"]
    gateway = start_gateway(TRUNKLINE_TURN__URLS=json.dumps(servers))
    with example(gateway, "token_server.py") as output:
        wait_for(lambda: "softphone of alice" in output.read_text(), "the app serves")
        tokens, softphone = output.read_text().splitlines()
        url = tokens.removeprefix("tokens: ").partition("?")[0]
        with urllib.request.urlopen(f"{url}?identity=bob", timeout=30) as answer:
            given = json.load(answer)
        with urllib.request.urlopen(url.replace("/token", "/turn"), timeout=30) as answer:
            told = json.load(answer)
        assert given["identity"] == "bob"
        page, _, of_alice = softphone.removeprefix("softphone of alice: ").partition("#")
        assert page == f"{gateway.url}/phone"
        assert [each["urls"] for each in told["ice_servers"]] == servers
        for token in (given["token"], of_alice):
            assert ask_servers(gateway, token) == told
        listed = get(gateway, f"/2010-04-01/Accounts/{gateway.account_sid}/Applications.json")
        assert [each["voice_url"] for each in listed["applications"]] == [
            url.replace("/token", "/voice")
        ]
    with pytest.raises(urllib.error.HTTPError) as error:  # its key went with it
        ask_servers(gateway, given["token"])
    assert error.value.code == 401
    error.value.close()


@pytest.mark.waiting
def test_voice_app_joins_a_caller_to_a_number(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**CALLS)
    assert "examples/voice_app.py" in gateway.log.read_text(), "a person is told what to try"
    with example(gateway, "voice_app.py", "--dial", HANDSET) as output:
        wait_for(lambda: f"--to {NUMBER}" in output.read_text(), "the app serves")
        called = command(
            *(gateway, "sim", "call", "--from", CALLER, "--to", NUMBER),
            *("--script", json.dumps(LISTEN_THEN_SPEAK)),  # the other one greets, then echoes
        )
        assert called.returncode == 0, called.stderr
        (call,) = wait_for(
            lambda: ended(get(gateway, f"/sim/phones/%2B{CALLER[1:]}/calls")), "the call is over"
        )
        assert heard_all(call), call
        wait_for(lambda: told(output, HANDSET) == STEPS, "the app is told of each step")
        assert f"{CALLER} calls {NUMBER}" in output.read_text()
        wait_for(lambda: "the dial came to: completed" in output.read_text(), "its end is told")
    listed = command(gateway, "calls", "list", "--json")
    made = {each["direction"]: each for each in json.loads(listed.stdout)["calls"]}
    assert made["outbound-dial"]["parent_call_sid"] == made["inbound"]["sid"]
    assert {each["status"] for each in made.values()} == {"completed"}
    shown = command(gateway, "calls", "show", made["inbound"]["sid"])
    assert re.search(r"INVITE sip:\+15550001000@.*\n(.*\n)*.*200 OK", shown.stdout), shown.stdout


@pytest.mark.waiting
def test_voice_app_says_what_became_of_a_call_that_nobody_took(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(**CALLS)
    with example(gateway, "voice_app.py", "--dial", "+447700900486") as output:
        wait_for(lambda: "is joined to" in output.read_text(), "the app serves")
        command(gateway, "sim", "call", "--from", CALLER, "--to", NUMBER)
        wait_for(lambda: "the dial came to: busy" in output.read_text(), "it is told")
        wait_for(lambda: told(output, "+447700900486") == ["busy", "initiated"], "the end is told")


@pytest.mark.waiting
def test_voice_app_is_a_small_exchange(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**CALLS)
    answer = [{"expect": "tone:440", "within": 20}, {"tone": 550, "for": 5}]
    ask = [{"tone": 440, "for": 2}, {"expect": "tone:550", "within": 20}, {"hangup": True}]
    with example(gateway, "voice_app.py", "--dial", f"sip:bob@{DOMAIN}") as output:
        line = wait_for(
            lambda: re.search(r"joined to .* by (\S+)", output.read_text()), "it serves"
        )
        make_domain(gateway, line[1], "alice", "bob")
        with phone(gateway, "bob", answer) as bob, phone(gateway, "alice") as alice:
            command(
                *(gateway, "sim", "call", "--from", CALLER, "--to", NUMBER),
                *("--script", json.dumps(ask)),
            )
            (first,) = wait_for(lambda: ended(calls_of(bob)), "the number's call is over")
            dial(alice, "bob", ask)
            (asked,) = wait_for(lambda: ended(calls_of(alice)), "alice has called bob")
            dial(alice, HANDSET, LISTEN_THEN_SPEAK)
            wait_for(lambda: len(ended(calls_of(alice))) == 2, "alice has called a number")
            outside = calls_of(alice)[1]
            dial(alice, "112", [])
            wait_for(lambda: "failed" in told(output, "112"), "a call for help fails")
            wait_for(lambda: told(output, HANDSET) == STEPS, "the app is told of each step")
            bob_is = f"sip:bob@{DOMAIN}"
            wait_for(lambda: told(output, bob_is) == sorted(2 * STEPS), "and of those to bob")
        assert (first["from"], first["steps"][0]["ok"]) == (CALLER, True)
        assert heard_all(asked), asked
        assert heard_all(outside), outside
    (second,) = get(gateway, f"/sim/phones/%2B{HANDSET[1:]}/calls")
    assert second["from"] == NUMBER

"""The command line against a stand-in for the gateway: what is asked, and what a person reads."""

import json
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli.client import ConnectionLost, Gateway, GatewayError

SID = "AC" + "1" * 32
SMS = "SM" + "2" * 32
ACCOUNT = f"/2010-04-01/Accounts/{SID}"
MESSAGE = {
    "sid": SMS,
    "status": "queued",
    "num_segments": "1",
    "error_code": None,
    "error_message": None,
    "from": "+15550001000",
    "to": "+447700900123",
    "body": "Hello",
    "direction": "outbound-api",
    "date_created": "Fri, 20 Nov 2026 10:00:00 +0000",
}


@dataclass
class StandIn:
    """A REST server that answers from a table and notes what it was asked."""

    port: int = 0
    answers: dict[tuple[str, str], list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, *contents: Any, status: int = 200) -> None:
        self.answers[method, path] = [(status, content) for content in contents]

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length).decode()
        self.asked.append((handler.command, handler.path, body))
        self.headers.append(dict(handler.headers))
        path = handler.path.partition("?")[0]
        missing = [(404, {"code": 20404, "message": f"{path} was not found"})]
        found = self.answers.get((handler.command, path), missing)
        status, content = found.pop(0) if len(found) > 1 else found[0]
        octets = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(octets)))
        handler.end_headers()
        handler.wfile.write(octets)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in that the data folder `tmp_path` points at."""
    found = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.reply(self)

        def do_POST(self) -> None:
            found.reply(self)

        do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("TRUNKLINE_URL", "TRUNKLINE_ACCOUNT_SID", "TRUNKLINE_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRUNKLINE_DATA", str(tmp_path))
    (tmp_path / "ports.json").write_text(json.dumps({"http": found.port}))
    (tmp_path / "credentials.json").write_text(
        json.dumps({"account_sid": SID, "auth_token": "token"})
    )
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=given)


def said(*arguments: str, given: str = "") -> str:
    result = run(*arguments, given=given)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(*arguments: str) -> str:
    error = run(*arguments).exception
    assert isinstance(error, GatewayError), error
    return str(error)


def test_send_posts_a_form_with_basic_auth(gateway: StandIn) -> None:
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", MESSAGE, status=201)
    printed = said("send", "--to", "+447700900123", "--from", "+15550001000", "--body", "Hi & bye")
    assert printed == f"{SMS}  queued  1 segment\n"
    ((method, path, body),) = gateway.asked
    assert (method, path) == ("POST", f"{ACCOUNT}/Messages.json")
    assert parse_qs(body) == {
        "To": ["+447700900123"],
        "From": ["+15550001000"],
        "Body": ["Hi & bye"],
    }
    kind, _, credentials = gateway.headers[0]["Authorization"].partition(" ")
    assert (kind, b64decode(credentials)) == ("Basic", f"{SID}:token".encode())


def test_send_without_a_sender_takes_the_first_number(gateway: StandIn) -> None:
    numbers = {"incoming_phone_numbers": [{"phone_number": "+15550001000"}]}
    gateway.answer("GET", f"{ACCOUNT}/IncomingPhoneNumbers.json", numbers)
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", MESSAGE, status=201)
    said("send", "--to", "+447700900123", "--body", "Hello")
    assert parse_qs(gateway.asked[-1][2])["From"] == ["+15550001000"]


def test_send_waits_for_the_final_state(gateway: StandIn) -> None:
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", MESSAGE, status=201)
    later = [MESSAGE | {"status": "sent"}, MESSAGE | {"status": "delivered", "num_segments": "2"}]
    gateway.answer("GET", f"{ACCOUNT}/Messages/{SMS}.json", *later)
    printed = said("send", "--to", "+1", "--from", "+1", "--body", "x", "--wait", "30")
    assert printed == f"{SMS}  delivered  2 segments\n"


def test_send_that_fails_says_why(gateway: StandIn) -> None:
    failed = MESSAGE | {"status": "failed", "error_code": 30005, "error_message": "Unknown"}
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", failed, status=201)
    assert refused("send", "--to", "+1", "--from", "+1", "--body", "x") == (
        "failed: Unknown (error 30005)"
    )


def test_a_refusal_gives_twilios_code_and_sentence(gateway: StandIn) -> None:
    body = {"code": 21211, "message": "Invalid 'To' Phone Number: 12", "status": 400}
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", body, status=400)
    assert refused("send", "--to", "12", "--from", "+1", "--body", "x") == (
        "400: Invalid 'To' Phone Number: 12 (error 21211)"
    )


def test_wrong_credentials_say_where_they_stand(
    gateway: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.answer("GET", "/v1/carriers", {"code": 20003, "message": "Authenticate"}, status=401)
    assert refused("carriers", "list").endswith(f"check those in {tmp_path / 'credentials.json'}")
    monkeypatch.setenv("TRUNKLINE_ACCOUNT_SID", SID)
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", "token")
    assert refused("carriers", "list").endswith(
        "check TRUNKLINE_ACCOUNT_SID and TRUNKLINE_AUTH_TOKEN"
    )


def test_a_gateway_that_does_not_answer_is_not_waited_for(
    gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.client._TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("TRUNKLINE_URL", url)
        error = refused("carriers", "list")
    assert error.startswith(f"what listens at {url} did not answer within 0.1 s;")


def test_send_that_is_not_final_in_time_says_what_it_waits_for(gateway: StandIn) -> None:
    gateway.answer("POST", f"{ACCOUNT}/Messages.json", MESSAGE, status=201)
    gateway.answer("GET", f"{ACCOUNT}/Messages/{SMS}.json", MESSAGE)
    gateway.answer("GET", f"/v1/messages/{SMS}/timeline", TIMELINE)
    carrier = {"name": "acme", "state": "down", "reason": "nobody listens"}
    gateway.answer("GET", "/v1/carriers/acme", carrier)
    result = run("send", "--to", "+1", "--from", "+1", "--body", "x", "--wait", "0.1")
    assert result.exit_code == 3
    assert result.stdout == f"{SMS}  queued  1 segment\n"
    assert result.stderr == (
        "trunkline: queued after 0.1 s: carrier acme is down, nobody listens;"
        f" see: trunkline messages show {SMS}\n"
    )


def test_a_text_that_is_not_there_is_named(gateway: StandIn) -> None:
    error = refused("messages", "show", SMS)
    assert error == f"there is no text {SMS}; see: trunkline messages list"


def test_messages_list_is_a_table_and_control_characters_do_nothing(gateway: StandIn) -> None:
    hostile = MESSAGE | {"body": "\x1b[2J[red]boo :AB:\n", "status": "failed", "error_code": 30003}
    gateway.answer("GET", f"{ACCOUNT}/Messages.json", {"messages": [hostile]})
    printed = said("messages", "list", "--to", "+447700900123")
    assert "?To=%2B447700900123&PageSize=20" in gateway.asked[0][1]
    assert "failed 30003" in printed
    assert "\\x1b[2J[red]boo :AB:" in printed
    assert "\x1b" not in printed


TIMELINE = {
    "sid": SMS,
    "created_at": 1_795_000_000.0,
    "direction": "inbound",
    "status": "received",
    "error_code": None,
    "from": "+447700900123",
    "to": "+15550001000",
    "carrier": "acme",
    "num_segments": 1,
    "encoding": "GSM-7",
    "in_reply_to": None,
    "replies": [],
    "route": [],
    "parts": [],
    "events": [
        {
            "at": 1.5,
            "type": "pdu",
            "direction": "in",
            "octets": "00",
            "name": "deliver_sm",
            "sequence_number": 7,
            "command_status": 0,
            "fields": {
                "source_addr": "447700900123",
                "service_type": "",
                "esm_class": 0x40,
                "data_coding": 8,
                "short_message": "050003010201" + "Да".encode("utf-16-be").hex(),
                "tlvs": [
                    {"tag": "0x0204", "name": "user_message_reference", "value": 8755},
                    {"tag": "0x1400", "name": "", "value": "ff"},
                    {"tag": "0x0424", "name": "message_payload", "value": "00"},
                ],
            },
            "text": "Да",
            "part": {"number": 2, "total": 4, "reference": 17},
        },
        {"at": 2.0, "type": "message.received", "version": 1, "status": "received"},
    ],
}


def test_messages_show_prints_pdus_and_threads_the_reply(gateway: StandIn) -> None:
    reply = "SM" + "3" * 32
    refused_pdu = {
        "at": 3.0,
        "type": "pdu",
        "direction": "out",
        "octets": "00",
        "name": "submit_sm_resp",
        "sequence_number": 8,
        "command_status": 0x58,
        "meaning": "ESME_RTHROTTLED (0x58): throttled",
        "fields": {},
    }
    answer = TIMELINE | {
        "sid": reply,
        "direction": "outbound-reply",
        "in_reply_to": SMS,
        "route": [{"carrier": "acme", "verdict": "ready", "reason": "ready"}],
        "parts": [
            {"part": 1, "attempt": 1, "carrier_id": "A1", "state": "delivered", "error_code": None},
            {
                "part": 2,
                "attempt": 2,
                "carrier_id": "",
                "state": "undelivered",
                "error_code": 30003,
            },
        ],
        "events": [refused_pdu],
    }
    gateway.answer("GET", f"/v1/messages/{SMS}/timeline", TIMELINE | {"replies": [reply]})
    gateway.answer("GET", f"/v1/messages/{reply}/timeline", answer)
    gateway.answer("GET", f"{ACCOUNT}/Messages/{SMS}.json", MESSAGE | {"body": "Are you open?"})
    gateway.answer("GET", f"{ACCOUNT}/Messages/{reply}.json", MESSAGE | {"body": "Until six."})
    lines = said("messages", "show", SMS).splitlines()
    day = datetime.fromtimestamp(1_795_000_000.0).strftime("%Y-%m-%d")
    assert lines[0] == f"{SMS}  +447700900123 → +15550001000  received  {day}"
    assert "  “Are you open?”" in lines
    (deliver,) = (line for line in lines if "◄── deliver_sm" in line)
    assert deliver.partition("deliver_sm")[2] == (
        " #7 part 2/4 ref 17 source_addr=447700900123 esm_class=64 data_coding=8"
        " user_message_reference=8755 0x1400=ff “Да”"
    )
    beneath = lines[next(n for n, line in enumerate(lines) if reply in line) :]
    assert all(line.startswith("    ") for line in beneath)
    assert "      route: acme: ready" in beneath
    assert "      part 1: delivered, the carrier's id A1" in beneath
    assert "      part 2: undelivered error 30003 in attempt 2" in beneath
    assert any("submit_sm_resp #8 ESME_RTHROTTLED (0x58): throttled" in line for line in beneath)
    assert f"answers {SMS}: +15550001000 texted “Are you open?”" in said("messages", "show", reply)


def test_carriers_are_listed_and_steered(gateway: StandIn) -> None:
    carrier = {
        "name": "acme",
        "kind": "smpp",
        "state": "bound",
        "reason": "",
        "binds_up": 1,
        "binds_wanted": 2,
        "since": None,
        "failed_binds": 3,
        "next_bind_in": None,
        "trunk": None,
    }
    down = carrier | {"state": "down", "reason": "nobody listens", "next_bind_in": 2.5}
    gateway.answer("GET", "/v1/carriers", {"carriers": [carrier]})
    gateway.answer("GET", "/v1/carriers/acme", carrier)
    gateway.answer("POST", "/v1/carriers/acme/pause", carrier | {"state": "paused"})
    assert said("carriers", "list").splitlines()[1].split() == ["acme", "smpp", "bound", "1/2"]
    registered = carrier | {"kind": "sip", "next_bind_in": 24.1, "failed_binds": 0}
    gateway.answer("GET", "/v1/carriers", {"carriers": [registered | {"reason": "paused"}]})
    assert said("carriers", "list").splitlines()[1].endswith("paused")
    gateway.answer("GET", "/v1/carriers", {"carriers": [carrier]})
    gateway.answer("POST", "/v1/carriers/acme/resume", down)
    assert "nobody listens; attempt 4 in 2.5 s" in said("carriers", "resume", "acme")
    gateway.answer("GET", "/v1/carriers/beta", down)
    assert "next bind in     2.5 s" in said("carriers", "show", "beta")
    assert "binds wanted     2" in said("carriers", "show", "acme")
    assert "paused" in said("carriers", "pause", "acme")
    for command in ("show", "pause", "resume", "drain"):
        error = refused("carriers", command, "b/c")
        assert error == "there is no carrier b/c; there are: acme"
    assert {path for _, path, _ in gateway.asked} >= {"/v1/carriers/b%2Fc/drain"}


def test_a_trunk_is_shown_with_its_registration_and_health(gateway: StandIn) -> None:
    registration = {
        "state": "registered",
        "server": "sip:192.0.2.1",
        "expires_at": "2026-11-20T11:00:00.000Z",
        "next_in": 30.0,
        "failures": 0,
        "reason": "",
    }
    up = {"uri": "sip:192.0.2.1", "priority": 0, "weight": 1, "state": "up"}
    up |= {"until": None, "failures": 0, "reason": ""}
    resting = up | {"uri": "sip:192.0.2.2", "state": "resting", "failures": 1}
    resting |= {"until": "2026-11-20T10:05:00.000Z", "reason": "503 with Retry-After: 300"}
    trunk = {
        "registration": registration,
        "gateways": [up, resting],
        "calls": 3,
        "channels": 30,
        "cps": 5.0,
        "addresses": ["192.0.2.1", "192.0.2.2"],
        "trouble": "sip:192.0.2.2 is resting",
        "trouble_at": "2026-11-20T10:00:00.000Z",
    }
    carrier = {
        "name": "acme",
        "kind": "sip",
        "state": "degraded",
        "reason": "1 of 2 gateways up",
        "binds_up": 1,
        "failed_binds": 0,
        "since": None,
        "trunk": trunk,
    }
    gateway.answer("GET", "/v1/carriers/acme", carrier)
    shown = said("carriers", "show", "acme")
    for line in (
        "registration     registered at sip:192.0.2.1 until 2026-11-20T11:00:00.000Z; next in 30 s",
        "gateway          sip:192.0.2.1 up\n",
        "gateway          sip:192.0.2.2 resting until 2026-11-20T10:05:00.000Z: 503 with Retry",
        "calls            3 of 30",
        "cps              5",
        "addresses        192.0.2.1, 192.0.2.2",
        "last trouble     sip:192.0.2.2 is resting (2026-11-20T10:00:00.000Z)",
    ):
        assert line in shown
    assert "binds" not in shown
    trunk["registration"] = registration | {"state": "trying", "server": "", "failures": 2}
    trunk["registration"]["reason"] = "no answer"
    assert "trying; 2 in vain: no answer; next in 30 s" in said("carriers", "show", "acme")


def test_route_explain_orders_the_candidates(gateway: StandIn) -> None:
    plan = {
        "to": "+447700900123",
        "medium": "sms",
        "rule": "route +44, failover",
        "candidates": ["beta"],
        "considered": [
            {"carrier": "acme", "verdict": "paused", "reason": "paused by the operator"},
            {"carrier": "beta", "verdict": "ready", "reason": "ready"},
        ],
    }
    gateway.answer("GET", "/v1/route", plan)
    lines = said("route", "explain", "+447700900123").splitlines()
    assert lines == [
        "+447700900123: route +44, failover",
        "   - acme: paused by the operator",
        "  1. beta: ready",
    ]
    assert json.loads(said("route", "explain", "+447700900123", "--json")) == plan


def test_route_explain_tells_of_calls(gateway: StandIn) -> None:
    plan = {
        "to": "999",
        "medium": "call",
        "rule": "emergency call to 999 refused: no carrier takes it",
        "help": True,
        "candidates": [],
        "considered": [],
    }
    gateway.answer("GET", "/v1/route", plan)
    lines = said("route", "explain", "999", "--call", "--from", "+44").splitlines()
    assert lines == [
        "999: emergency call to 999 refused: no carrier takes it",
        "  it is a call for help: no limit holds for it",
        "  it would be refused: no carrier takes it now",
    ]
    assert gateway.asked[-1][1] == "/v1/route?to=999&medium=call&from=%2B44"


@pytest.mark.parametrize(
    ("considered", "expected"),
    [
        ([], "add a route for it to the config: [[routes]] with its prefix and carriers"),
        ([{"carrier": "acme", "reason": "paused"}], "no carrier takes it now"),
    ],
)
def test_route_explain_says_that_a_text_would_be_refused(
    gateway: StandIn, considered: list[dict[str, str]], expected: str
) -> None:
    plan = {"to": "+1555", "rule": "a rule", "candidates": [], "considered": considered}
    gateway.answer("GET", "/v1/route", plan)
    first, second, *_ = said("route", "explain", "+1555").splitlines()
    assert first == "+1555: a rule"
    assert "it would be refused (error 21612)" in second
    assert expected in second


def test_events_come_with_their_ids_and_resume_after_the_last(gateway: StandIn) -> None:
    stream = (
        b': stream\n\nid: 7\nevent: x\ndata: {"n": 1}\n\n: still here\n\nid: 8\ndata: {"n": 2}\n\n'
    )
    gateway.answer("GET", "/v1/events", stream)
    client = Gateway(f"http://127.0.0.1:{gateway.port}", SID, "token")
    events = client.events("6")
    assert [next(events), next(events)] == [("7", {"n": 1}), ("8", {"n": 2})]
    with pytest.raises(ConnectionLost, match="closed the stream"):
        next(events)
    assert gateway.headers[-1]["Last-Event-ID"] == "6"


def test_sim_calls_from_phones_and_shows_what_they_heard(gateway: StandIn) -> None:
    path = "/sim/phones/%2B447700900123/calls"
    call = {
        "id": "1",
        "from": "+447700900123",
        "to": "+15550001000",
        "state": "ended",
        "sip_code": 200,
        "started_at": "10:00",
        "steps": [
            {"step": {"tone": 440}, "ok": True, "at": "10:01", "heard": None},
            {"step": {"expect": "dtmf:1"}, "ok": False, "at": "10:02", "heard": "dtmf:[2]"},
        ],
    }
    ringing = {**call, "state": "ringing", "sip_code": None, "steps": []}
    refusal = {**ringing, "state": "ended", "sip_code": 480, "reason": "no voice_url"}
    gateway.answer("GET", path, [call, ringing, refusal])
    gateway.answer("POST", path, {"id": "1"}, status=201)
    assert said("sim", "calls", "+447700900123").splitlines() == [
        "10:00 +447700900123 -> +15550001000: ended 200",
        '  ok {"tone": 440}',
        '  missed {"expect": "dtmf:1"}, heard dtmf:[2]',
        "10:00 +447700900123 -> +15550001000: ringing",
        "10:00 +447700900123 -> +15550001000: ended 480 (no voice_url)",
    ]
    call_in = ("sim", "call", "--from", "+447700900123", "--to", "+15550001000", "--script")
    printed = said(*call_in, '[{"press": "1"}]', "--no-wait")
    assert printed.endswith("sim calls +447700900123\n")
    assert json.loads(gateway.asked[-1][2]) == {"to": "+15550001000", "script": [{"press": "1"}]}
    assert "--script is JSON" in refused(*call_in, "[")


def test_tail_says_that_it_waits_and_what_a_notification_says(
    gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = [f"NO{n:032x}" for n in (1, 2)]
    events = [
        {"at": "10:00", "sid": "CA1", "type": "notification.created", "data": {"notification": sid}}
        for sid in sids
    ]
    stream = "".join(f"id: {n}\ndata: {json.dumps(each)}\n\n" for n, each in enumerate(events))
    gateway.answer("GET", "/v1/carriers", {})
    gateway.answer("GET", "/v1/events", stream.encode())
    note = {
        "log": "0",
        "error_code": "12100",
        "message_text": "no [XML]",
        "request_url": "http://a",
    }
    gateway.answer("GET", f"{ACCOUNT}/Notifications/{sids[0]}.json", note)  # the other was deleted

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    result = run("tail")
    assert result.stderr.startswith("waiting for events; Ctrl-C ends it\n")
    assert result.stdout.splitlines() == [
        f"10:00 CA1 notification.created notification={sids[0]}",
        "    error 12100: no [XML] at http://a",
        f"10:00 CA1 notification.created notification={sids[1]}",
    ]


REFUSED = "{} can't be run: the document is refused whole"
PHONE_CALLS = "/sim/phones/%2B447700900123/calls"
CALL_IN = ("sim", "call", "--from", "+447700900123", "--to", "+15550001000", "--script")


def sim_call(state: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {"id": "2", "state": state, "sip_code": None, "reason": "", "answered_at": "10:01"}
    return {**known, "steps": list(steps), **more}


def test_sim_call_follows_the_call_and_fails_with_its_steps(gateway: StandIn) -> None:
    press, hear = {"press": "1"}, {"expect": "tone:440"}
    pressed = {"step": press, "ok": True, "heard": None}
    gateway.answer("POST", PHONE_CALLS, {"id": "2"}, status=201)
    other = sim_call("ended", id="1")
    begun = sim_call("calling", answered_at=None)
    states = (begun, sim_call("answered", pressed), sim_call("ended", pressed, sip_code=200))
    gateway.answer("GET", PHONE_CALLS, *([other, each] for each in states))
    printed = said(*CALL_IN, json.dumps([press, {"wait": 9}])).splitlines()
    assert printed == ["calling", "answered", '  ok {"press": "1"}', "ended 200"]
    # The other side was first, and a tone that nobody heard is no success.
    assert refused(*CALL_IN, json.dumps([press, {"wait": 9}, hear])).startswith("1 of 3 steps mis")
    missed = {"step": hear, "ok": False, "heard": "silence"}
    gateway.answer("GET", PHONE_CALLS, [sim_call("ended", missed, sip_code=200)])
    assert refused(*CALL_IN, json.dumps([hear])).startswith("1 of 1 steps missed; see: ")
    busy = sim_call("ended", answered_at=None, sip_code=486, reason="too many")
    gateway.answer("GET", PHONE_CALLS, [busy])
    result = run(*CALL_IN, "[]")
    assert result.stdout == "ended 486 (too many)\n"
    assert str(result.exception).startswith("it was not answered; see: ")
    gateway.answer("GET", PHONE_CALLS, [])
    assert "had the phones forget" in refused(*CALL_IN, "[]")


def test_sim_call_hangs_up_when_it_is_left(
    gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    gateway.answer("POST", PHONE_CALLS, {"id": "2"}, status=201)
    gateway.answer("GET", PHONE_CALLS, [sim_call("answered")])
    gateway.answer("DELETE", f"{PHONE_CALLS}/2", None, status=200)
    monkeypatch.setattr("time.sleep", interrupted)
    result = run(*CALL_IN, "[]")
    assert (result.exit_code, result.stderr) == (130, "it hung up\n")
    assert gateway.asked[-1][:2] == ("DELETE", f"{PHONE_CALLS}/2")


def test_sim_reads_and_writes_handsets(gateway: StandIn) -> None:
    path = "/sim/handsets/%2B447700900123/messages"
    text = {"from": "+1", "to": "+447700900123", "body": "Hello", "received_at": "10:00"}
    gateway.answer("GET", path, [text])
    gateway.answer("POST", path, {}, status=201)
    assert said("sim", "inbox", "+447700900123") == "10:00 +1: Hello\n"
    text_in = ("sim", "text", "--from", "+447700900123", "--body", "Hi", "--to")
    for to in ("+15550001000", "12345"):
        said(*text_in, to)
        assert json.loads(gateway.asked[-1][2]) == {"to": to, "body": "Hi"}
    asked = len(gateway.asked)
    assert "is it +447700900123?" in refused("sim", "inbox", "447700900123")
    assert "is it +15550001000?" in refused(*text_in, "15550001000")
    assert len(gateway.asked) == asked


def test_sim_says_what_the_set_up_lacks(gateway: StandIn) -> None:
    text_in = ("sim", "text", "--from", "+447700900123", "--to", "+15550001000", "--body", "Hi")
    for command in (text_in, ("sim", "inbox", "+447700900123")):
        assert refused(*command).startswith("no carrier of this gateway is simulated;")
    path = "/sim/handsets/%2B447700900123/messages"
    gateway.answer("POST", path, {"error": "refused", "command_status": 0x0B}, status=502)
    assert refused(*text_in).startswith("nobody holds +15550001000; add it under [[numbers]]")
    gateway.answer("POST", path, {"error": "no bind that receives is up"}, status=503)
    assert refused(*text_in) == "503: no bind that receives is up; try again in a moment"


def test_nobody_listening_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--data", str(tmp_path)]
    monkeypatch.delenv("TRUNKLINE_URL", raising=False)
    assert "start one with `trunkline serve`" in refused("carriers", "list", *data)
    (tmp_path / "ports.json").write_text('{"http": 1}')
    assert "credentials.json is not there" in refused("carriers", "list", *data)
    (tmp_path / "credentials.json").write_text('{"account_sid": "AC1", "auth_token": "t"}')
    error = refused("carriers", "list", *data)
    assert error.startswith("no gateway answers at http://127.0.0.1:1 (")
    monkeypatch.setenv("TRUNKLINE_URL", "gateway:8080")
    assert "should be such as http://127.0.0.1:8080" in refused("carriers", "list", *data)


def test_text_explain_needs_no_gateway() -> None:
    printed = said("text", "explain", "a" * 161)
    assert printed.startswith("GSM-7, 2 segments: 161 septets at 153 per segment")
    assert "  2    8 septets  characters 154-161" in printed
    assert json.loads(said("text", "explain", "ж", "--json"))["alphabet"] == "UCS-2"
    assert "  and 2 more" in said("text", "explain", "Приветы").splitlines()
    assert "more" not in said("text", "explain", "ж")
    assert said("text", "explain", "").splitlines()[-1] == "  it has no characters"


def test_twiml_check_says_what_is_wrong(tmp_path: Path, gateway: StandIn) -> None:
    path = tmp_path / "answer.xml"
    path.write_text("<Response>\n<Message>Hello</Message>\n<Massage>x</Massage></Response>")
    lines = said("twiml", "check", str(path)).splitlines()
    assert lines[0].startswith("line 3: warning 12200: ")
    assert lines[-1] == "It says: Message."
    path.write_text("<Response><Message>")
    assert refused("twiml", "check", str(path)) == REFUSED.format(path)
    gateway.answer("POST", "/sms", b"<Response/>")
    assert (
        "the answer has no Content-Type"
        in run("twiml", "check", f"http://127.0.0.1:{gateway.port}/sms").stdout
    )


def test_twiml_check_reads_documents_for_calls(tmp_path: Path) -> None:
    path = tmp_path / "answer.xml"
    path.write_text(
        "<Response>\n<Dial timeout='x'>+15550002000</Dial>\n"
        "<Gather numDigits='x'><Ninja/></Gather>\n<Pay/></Response>"
    )
    told = [line.split(": ")[:2] for line in said("twiml", "check", str(path)).splitlines()]
    for expected in (
        ["line 2", "warning 13212"],
        ["line 3", "warning 13314"],
        ["line 3", "warning 13320"],
        ["line 4", "warning 13750"],
    ):
        assert expected in told
    assert [place for place, _ in told[:-1]] == sorted(place for place, _ in told[:-1])
    assert told[-1][0] == "It says"
    assert told[-1][1].startswith("Dial")
    path.write_text("")
    assert refused("twiml", "check", "--for", "calls", str(path)) == REFUSED.format(path)
    assert said("twiml", "check", str(path)).strip() == "It says: nothing."


def test_twiml_check_ends_with_1_where_twilio_s_level_is_error(tmp_path: Path) -> None:
    path = tmp_path / "answer.xml"
    path.write_text(
        "<Response>\n<Dial recordingStatusCallbackEvent='x'>+15550002000</Dial></Response>"
    )
    result = run("twiml", "check", str(path))
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("line 2: error 13621: ")
    path.write_text("<Response>\n<Foo/>\n<Enqueue/>\n<Say bar='1'>x</Say></Response>")
    lines = run("twiml", "check", "--for", "calls", str(path)).stdout.splitlines()
    assert [each.split(":")[:2] for each in lines] == [
        ["line 2", " warning 12200"],
        ["line 3", " error 14204"],
        ["line 4", " warning 12200"],
    ]


def test_twiml_check_reads_what_is_piped_in() -> None:
    document = "<Response><Message>Hello</Message><Message to='bob'>x</Message></Response>"
    lines = said("twiml", "check", "-", given=document).splitlines()
    assert lines[0].startswith("line 1: warning 14101: ")
    assert lines[1] == "It says: Message."


def test_twiml_check_asks_no_other_kind_of_url() -> None:
    told = refused("twiml", "check", "file:///etc/passwd")
    assert told == "file:///etc/passwd can't be fetched: it is no URL of http or https"


def test_init_writes_once_and_check_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Whether there is an engine of speech is this machine's matter.
    monkeypatch.setattr("gateway.consistency.has_espeak", lambda: True)
    assert said("init") == (
        "trunkline.toml is written; change it, then: trunkline check && trunkline serve\n"
    )
    monkeypatch.setattr("sys.argv", [".venv/bin/trunkline"])
    assert said("init", "b.toml").endswith(
        "then: .venv/bin/trunkline check --config b.toml"
        " && .venv/bin/trunkline serve --config b.toml\n"
    )
    written = Path("trunkline.toml").read_text()
    assert "stays as it is" in refused("init")
    assert Path("trunkline.toml").read_text() == written
    assert said("check").splitlines() == [
        "The config is right. Listening: HTTP on 127.0.0.1:8080; SMPP on 127.0.0.1:2775.",
        "Calls: UDP on 127.0.0.1:5060; TCP on 127.0.0.1:5060; RTP on 127.0.0.1, ports 20000-21999"
        " for 1000 legs.",
        "Carriers: simulated (simulated). Routes: 0.",
        "Numbers: none in it. Customers: 0. Domains: 0.",
    ]


def test_check_notes_what_may_surprise(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[sip]\nudp = []\ntcp = []\n[[domains]]\nname = "pbx.example"\n')
    lines = said("check", "--config", str(path)).splitlines()
    assert "Calls: not listened for." in lines
    assert lines[-1] == "Note: [sip]: SIP is listened for nowhere: no calls for pbx.example."


def test_check_prints_every_finding(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[http]\nlistn = 1\n[messages]\nmax_body = 0\n")
    result = run("check", "--config", str(path))
    assert result.exit_code == 1
    assert "did you mean listen?" in result.stderr
    assert "whole number from 1 to 1000000" in result.stderr
    assert str(result.exception) == "the config can't be used: 2 findings"


def test_roles_are_refused_with_the_reason() -> None:
    assert "set [store] url to a PostgreSQL" in refused("serve", "--role", "api")
    assert "there is no such role; all, or api, smpp, voice, core" in refused(
        "serve", "--role", "sms"
    )


def test_tracking_is_rebuilt_when_somebody_says_yes(gateway: StandIn) -> None:
    gateway.answer("POST", "/v1/tracking/rebuild", {"facts": 12}, status=202)
    no = CliRunner().invoke(app, ["tracking", "rebuild"], input="n\n")
    assert no.exit_code == 1 and "will be gone" in no.output
    assert gateway.asked == []
    yes = CliRunner().invoke(app, ["tracking", "rebuild", "--yes"])
    assert yes.exit_code == 0 and "12 facts are counted again" in yes.output
    assert [each[:2] for each in gateway.asked] == [("POST", "/v1/tracking/rebuild")]

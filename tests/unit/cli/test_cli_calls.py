"""`trunkline calls` against a stand-in for the gateway: what is asked, and what a person reads."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from test_cli import ACCOUNT, StandIn, gateway, refused, run, said

from gateway.cli import ladder
from gateway.cli.client import Gateway

__all__ = ["gateway"]  # a fixture

SID = f"CA{7:032x}"
BEGAN = 1_795_168_800.0
US, ONE, TWO = "192.0.2.1:5060", "198.51.100.7:5062", "[2001:db8::7]:5060"
CALL = {
    "sid": SID,
    "date_created": "Fri, 20 Nov 2026 10:00:00 +0000",
    "direction": "inbound",
    "status": "in-progress",
    "duration": None,
    "from": "sip:[red]alice@office.example",
    "to": "+15550001000",
}
LEG = {
    "attempt": 1,
    "carrier": "acme",
    "peer": "sip:198.51.100.7:5062",
    "transport": "UDP",
    "post_dial_delay": 1.25,
    "duration": 7.04,
    "codec_received": "PCMA",
    "codec_sent": "PCMU",
    "packets_received": 350,
    "lost_received": 3,
    "packets_sent": 0,
    "lost_sent": 0,
    "mos_received": 4.214,
    "mos_sent": None,
    "cause": "BYE",
    "released_by": "peer",
}


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def sip(after: float, direction: str, peer: str, line: str, *more: str) -> dict[str, Any]:
    ends = (US, peer) if direction == "out" else (peer, US)
    return {
        "at": BEGAN + after,
        "type": "sip",
        "direction": direction,
        "transport": "UDP",
        "from": ends[0],
        "to": ends[1],
        "first_line": line,
        "text": "\r\n".join((line, *more)),
    }


def timeline(*events: dict[str, Any], **changed: Any) -> dict[str, Any]:
    known = {
        "sid": SID,
        "created_at": BEGAN,
        "started_at": BEGAN + 3,
        "ended_at": BEGAN + 10,
        "duration": 7,
        "direction": "outbound-dial",
        "status": "completed",
        "error_code": None,
        "sip_code": 200,
        "reason": "the callee hung up",
        "from": "+15550001000",
        "to": "+447700900123",
        "carrier": "acme",
        "domain": "",
        "origin": "rest",
        "parent_call_sid": None,
        "children": [],
        "dialled": [],
        "legs": [LEG],
        "events": list(events),
    }
    return known | changed


NOTE = {
    "log": "0",
    "error_code": "12100",
    "message_text": "no [XML] (line 3)",
    "request_url": "http://app/voice",
}


def noted(gateway: StandIn, *notes: dict[str, str]) -> None:
    """Newest first, as REST has them."""
    path = f"{ACCOUNT}/Calls/{SID}/Notifications.json"
    gateway.answer("GET", path, {"notifications": list(notes)})


def test_a_call_is_made_and_followed_until_it_is_over(gateway: StandIn) -> None:
    queued = CALL | {"status": "queued"}
    over = CALL | {"status": "completed", "duration": "12"}
    gateway.answer("POST", f"{ACCOUNT}/Calls.json", queued, status=201)
    gateway.answer("GET", f"{ACCOUNT}/Calls/{SID}.json", queued, CALL, over)
    noted(gateway, NOTE | {"log": "1"})
    url = "https://app.example/voice?a=1&b=2"
    call = ("call", "--to", "+447700900123", "--from", "+15550001000", "--url", url)
    printed = said(*call, "--time-limit", "60")
    assert printed.splitlines() == [
        f"{SID}  queued",
        f"{SID}  in-progress",
        f"{SID}  completed  12 s",
        "warning 12100: no [XML] (line 3) at http://app/voice",
    ]
    form = parse_qs(gateway.asked[0][2])
    assert (form["To"], form["From"], form["Url"]) == (["+447700900123"], ["+15550001000"], [url])
    assert form["TimeLimit"] == ["60"]


def test_a_call_whose_document_failed_is_an_error(gateway: StandIn) -> None:
    over = CALL | {"status": "completed", "duration": "0"}
    gateway.answer("POST", f"{ACCOUNT}/Calls.json", over, status=201)
    noted(gateway, NOTE | {"log": "1", "error_code": "13223", "request_url": ""}, NOTE)
    result = run("call", "--to", "+447700900123", "--from", "+15550001000", "--twiml", "<Say>")
    assert result.stdout.splitlines()[1:] == [
        "error 12100: no [XML] (line 3) at http://app/voice",
        "warning 13223: no [XML] (line 3)",
    ]
    assert str(result.exception).startswith("completed, with 1 error; see: ")


def test_a_call_that_is_left_to_itself_can_be_ended(
    gateway: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    gateway.answer("POST", f"{ACCOUNT}/Calls.json", CALL, status=201)
    monkeypatch.setattr("time.sleep", interrupted)
    result = run("call", "--to", "+447700900123", "--from", "+15550001000", "--twiml", "<Say>")
    assert result.exit_code == 130
    assert "the call goes on; end it: " in result.stderr
    assert result.stderr.endswith(f"calls hangup {SID}\n")


def test_a_call_that_nobody_answers_is_an_error(gateway: StandIn) -> None:
    numbers = {"incoming_phone_numbers": [{"phone_number": "+15550001000"}]}
    gateway.answer("GET", f"{ACCOUNT}/IncomingPhoneNumbers.json", numbers)
    gateway.answer("POST", f"{ACCOUNT}/Calls.json", CALL | {"status": "busy"}, status=201)
    noted(gateway)
    why = refused("call", "--to", "+447700900123", "--twiml", "<Response/>")
    assert why.startswith("busy; see: ") and why.endswith(f"calls show {SID}")
    form = parse_qs(gateway.asked[-2][2])
    assert (form["From"], form["Twiml"]) == (["+15550001000"], ["<Response/>"])


@pytest.mark.parametrize("given", [(), ("--url", "https://a.example", "--twiml", "<Response/>")])
def test_a_call_runs_one_thing(gateway: StandIn, given: tuple[str, ...]) -> None:
    assert "--url or --twiml" in refused("call", "--to", "+447700900123", *given)
    assert gateway.asked == []


def test_lists_are_asked_for_as_wanted(gateway: StandIn) -> None:
    over = CALL | {"status": "completed", "duration": "12"}
    gateway.answer("GET", f"{ACCOUNT}/Calls.json", {"calls": [CALL, over]})
    printed = said(
        "calls", "list", "--to", "+1", "--from", "+2", "--status", "busy", "--limit", "7"
    )
    head, one, other = printed.splitlines()
    assert head.split() == ["SID", "CREATED", "DIRECTION", "STATUS", "TALKED", "FROM", "TO"]
    assert SID in one and "in-progress" in one and "sip:[red]alice@office.example" in one
    assert "12 s" in other
    query = parse_qs(urlsplit(gateway.asked[0][1]).query)
    assert query == {"To": ["+1"], "From": ["+2"], "Status": ["busy"], "PageSize": ["7"]}
    assert said("calls", "list", "--json").startswith('{\n  "calls": [')


def test_a_call_is_shown_with_its_legs_and_its_ladder(gateway: StandIn) -> None:
    found = timeline(
        {"at": BEGAN, "type": "call.ringing", "version": 1, "carrier": "acme", "error_code": 0},
        sip(0.0, "out", ONE, "INVITE sip:+447700900123@198.51.100.7:5062;user=phone SIP/2.0"),
        sip(0.1, "in", ONE, "SIP/2.0 503 Service Unavailable"),
        sip(0.2, "out", TWO, "BYE sip:b SIP/2.0"),
        sip(0.3, "in", TWO, "SIP/2.0 200 OK"),
        {
            "at": BEGAN + 3,
            "type": "document",
            "method": "POST",
            "url": "https://app.example/[x]",
            "status": 200,
            "elapsed": 0.0204,
            "body": "<Response/>",
            "error_code": 0,
        },
    )
    gateway.answer("GET", f"/v1/calls/{SID}/timeline", found)
    shown = said("calls", "show", SID)
    assert shown.splitlines() == [
        f"{SID}  +15550001000 → +447700900123  completed  SIP 200  2026-11-20",
        "  outbound-dial, carrier acme, talked 7 s, from rest",
        "  reason: the callee hung up",
        "  leg 1: carrier acme, sip:198.51.100.7:5062 UDP, post-dial delay 1.250 s, talked 7.0 s,"
        " in PCMA MOS 4.21 3 of 350 packets lost, out PCMU, ended by the peer: BYE",
        "",
        " " * 20 + "trunkline".ljust(44) + ONE.ljust(44) + TWO.ljust(44),
        "10:00:00.000     +0.000 call.ringing carrier=acme",
        "10:00:00.000     +0.000 │── INVITE sip:+447700900123@198.51.10… ───►│" + " " * 43 + "│",
        "10:00:00.100     +0.100 │◄──── SIP/2.0 503 Service Unavailable ─────│" + " " * 43 + "│",
        "10:00:00.200     +0.200 │─────────── BYE sip:b SIP/2.0 ─────────────┼" + "─" * 42 + "►│",
        "10:00:00.300     +0.300 │◄───────────── SIP/2.0 200 OK ─────────────┼" + "─" * 43 + "│",
        "10:00:03.000     +3.000 document POST https://app.example/[x] → 200 after 20 ms",
    ]


def test_messages_and_documents_are_printed_whole_if_asked(gateway: StandIn) -> None:
    found = timeline(
        sip(0.0, "in", ONE, "INVITE sip:b SIP/2.0", "Via: [bold]", "", "v=0", "s=\x1b[31m"),
        {
            "at": BEGAN,
            "type": "document",
            "method": "GET",
            "url": "https://a",
            "status": 0,
            "elapsed": 15.0,
            "error_code": 11200,
            "body": "<Response>\n <Hangup/>",
        },
    )
    gateway.answer("GET", f"/v1/calls/{SID}/timeline", found)
    assert "v=0" not in said("calls", "show", SID)
    shown = said("calls", "show", SID, "--messages").splitlines()
    at = next(number for number, line in enumerate(shown) if "◄" in line)
    assert [line.strip() for line in shown[at + 1 : at + 6]] == [
        "INVITE sip:b SIP/2.0",
        "Via: [bold]",
        "",
        "v=0",
        "s=\\x1b[31m",
    ]
    assert shown[at + 6].endswith(
        "document GET https://a → no answer after 15000 ms error_code=11200"
    )
    assert [line.strip() for line in shown[at + 7 :]] == ["<Response>", "<Hangup/>"]


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"started_at": None, "ended_at": None, "origin": ""}, "  outbound-dial, carrier acme"),
        ({"ended_at": None}, "  outbound-dial, carrier acme, up, from rest"),
        ({"parent_call_sid": "CA1"}, "  dialled by CA1"),
        (
            {"dialled": [{"sid": "CA1", "to": "+15550001001", "status": "busy", "reason": "486"}]},
            "  dialled CA1  +15550001001  [yellow]busy[/]: 486",
        ),
        (
            {"dialled": [{"sid": "CA1", "to": "sip:a@b", "status": "ringing", "reason": ""}]},
            "  dialled CA1  sip:a@b  [cyan]ringing[/]",
        ),
        (
            {
                "legs": [
                    dict.fromkeys(LEG)
                    | {"attempt": 2, "peer": "", "transport": "", "packets_received": 0}
                ]
            },
            "  leg 2: no peer yet",
        ),
    ],
)
def test_what_is_known_of_a_call_is_said(changed: dict[str, Any], line: str) -> None:
    assert line in ladder.lines(timeline(**changed))


def test_a_call_is_hung_up(gateway: StandIn) -> None:
    gateway.answer("POST", f"{ACCOUNT}/Calls/{SID}.json", CALL | {"status": "completed"})
    assert said("calls", "hangup", SID) == f"{SID}  completed\n"
    assert gateway.asked == [("POST", f"{ACCOUNT}/Calls/{SID}.json", "Status=completed")]


def test_a_call_that_is_over_is_not_hung_up(gateway: StandIn) -> None:
    answer = {"code": 21220, "message": "The call is over: busy"}
    gateway.answer("POST", f"{ACCOUNT}/Calls/{SID}.json", answer, status=400)
    assert refused("calls", "hangup", SID) == "400: The call is over: busy (error 21220)"


@pytest.mark.parametrize("command", ["show", "hangup", "pcap"])
def test_a_call_that_is_not_there(gateway: StandIn, command: str) -> None:
    said_so = refused("calls", command, SID)
    assert said_so.startswith(f"there is no call {SID}; see: ")
    assert said_so.endswith(" calls list")


def test_packets_are_written_to_a_file(gateway: StandIn, tmp_path: Path) -> None:
    octets = os.urandom(200_000)
    gateway.answer("GET", f"/v1/calls/{SID}/pcap", octets)
    file = tmp_path / "call.pcap"
    assert said("calls", "pcap", SID, "-o", str(file)) == ""
    assert file.read_bytes() == octets


def test_a_capture_of_nothing_is_not_written(gateway: StandIn, tmp_path: Path) -> None:
    gateway.answer("GET", f"/v1/calls/{SID}/pcap", bytes(24))
    file = tmp_path / "call.pcap"
    assert refused("calls", "pcap", SID, "-o", str(file)).startswith(
        f"there are no SIP messages of {SID}: they are written down when a call is over"
    )
    assert not file.exists()


def test_a_call_that_is_up_has_no_ladder_yet() -> None:
    said_so = "  its SIP messages are written down when it is over"
    assert said_so in ladder.lines(timeline(ended_at=None, events=[]))
    assert said_so not in ladder.lines(timeline(events=[]))


def test_a_capture_is_not_printed_on_a_terminal() -> None:
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "gateway", "calls", "pcap", SID]
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False)
    os.close(terminal)
    os.close(ours)
    assert done.returncode == 1
    assert done.stderr == f"trunkline: a capture is nothing to read; name a file: -o {SID}.pcap\n"


def test_whoever_reads_a_part_ends_it_and_not_the_gateway(gateway: StandIn, tmp_path: Path) -> None:
    gateway.answer("GET", f"/v1/calls/{SID}/pcap", os.urandom(200_000))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as file, pytest.raises(BrokenPipeError):
        Gateway.find(tmp_path).save(f"/v1/calls/{SID}/pcap", file)


def test_what_was_not_written_whole_is_not_left(gateway: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "call.pcap"
    assert "there is no call" in refused("calls", "pcap", SID, "-o", str(file))
    assert not file.exists()
    unwritable = tmp_path / "none" / "call.pcap"
    assert "can't be written" in refused("calls", "pcap", SID, "-o", str(unwritable))


def test_records_are_printed_or_written(gateway: StandIn, tmp_path: Path) -> None:
    gateway.answer("GET", "/v1/cdr", b"call_sid,attempt\r\nCA1,1\r\n")
    assert said("calls", "cdr") == "call_sid,attempt\nCA1,1\n"  # the runner reads lines
    file = tmp_path / "cdr"
    said("calls", "cdr", "--format", "json", "--start", "2026-11-01", "--output", str(file))
    assert file.read_bytes().startswith(b"call_sid")
    queries = [parse_qs(urlsplit(path).query) for _, path, _ in gateway.asked]
    assert queries == [{"format": ["csv"]}, {"format": ["json"], "start": ["2026-11-01"]}]

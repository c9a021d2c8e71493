"""The pieces of the pytest plugin, with no gateway: the app, the handsets and the phones."""

import io
import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import VoiceResponse

from sims import pytest_plugin
from sims.media_sounds import recording
from sims.plugin_gateway import Door, GatewayProcess
from sims.plugin_notices import pass_over
from sims.plugin_phones import Phone
from sims.plugin_texts import Messages
from sims.plugin_webapp import Reply, WebApp

TOKEN = "token"


@pytest.fixture
def app() -> Iterator[WebApp]:
    app = WebApp(TOKEN)
    yield app
    app.close()


def ask(url: str, form: Mapping[str, str] | None = None, token: str = TOKEN) -> tuple[int, Any]:
    """What an app answers a gateway with this token: the status, and type and octets."""
    signature = RequestValidator(token).compute_signature(url, dict(form or {}))
    body = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, body, {"X-Twilio-Signature": signature})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, (response.headers["Content-Type"], response.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, (refused.headers["Content-Type"], refused.read())


def test_an_app_answers_with_what_it_is_given(app: WebApp, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<html/>")
    response = VoiceResponse()
    response.hangup()
    app["/xml"], app["/text"], app["/file"], app["/none"] = "<Response/>", "hello", file, None
    app["/object"] = response
    app["/reply"] = Reply(status=302, headers={"Location": app.url("/text")})
    app["/function"] = lambda asked: f"<Response><Say>{asked.params['From']}</Say></Response>"
    xml, text = "text/xml; charset=utf-8", "text/plain; charset=utf-8"
    assert ask(app.url("/xml"), {"a": "b"}) == (200, (xml, b"<Response/>"))
    assert ask(app.url("/text?a=b")) == (200, (text, b"hello"))
    assert ask(app.url("/file")) == (200, ("text/html", b"<html/>"))
    assert ask(app.url("/none"))[0] == 204
    assert ask(app.url("/object")) == (200, (xml, str(response).encode()))
    assert ask(app.url("/reply"))[1][1] != b""  # not signed there: 403, as anything unsigned
    assert b"<Say>+44</Say>" in ask(app.url("/function"), {"From": "+44"})[1][1]
    assert ask(app.url("/other"))[0] == 404
    assert app.requests[0].params == {"a": "b"}
    assert app.requests[1].params == {"a": "b"}


def test_an_app_tells_who_is_not_the_gateway(app: WebApp) -> None:
    app["/voice"] = "<Response/>"
    form = {"To": "+15550001000", "From": "+44 7700", "Empty": ""}
    assert ask(app.url("/voice?x=1"), form)[0] == 200
    assert ask(app.url("/voice"), form, token="another")[0] == 403
    assert [each.is_signed for each in app.requests] == [True, False]
    app.check_signatures = False
    assert ask(app.url("/voice"), form, token="another")[0] == 200


def test_what_a_test_s_function_raises_fails_the_test() -> None:
    app = WebApp(TOKEN)
    app["/voice"] = lambda asked: asked.params["Nothing"]
    assert ask(app.url("/voice"))[0] == 500
    with pytest.raises(KeyError, match="Nothing"):
        app.close()


def test_an_app_waits_for_a_request(app: WebApp) -> None:
    app["/status"] = None
    for state in ("ringing", "completed"):
        ask(app.url("/status"), {"CallStatus": state})
    assert app.expect("/status").params["CallStatus"] == "ringing"
    assert app.expect("/status", CallStatus="completed").is_signed
    with pytest.raises(AssertionError, match=r"POST /status .*'ringing'.*\n.*'completed'"):
        app.expect("/status", within=0.0, CallStatus="busy")


def test_an_app_has_tones(app: WebApp, tmp_path: Path) -> None:
    status, (kind, octets) = ask(app.tone("/tone.wav", 440, seconds=0.5))
    assert (status, kind) == (200, "audio/wav")
    with wave.open(io.BytesIO(octets)) as file:
        assert (file.getnframes(), file.getframerate()) == (4000, 8000)
    (tmp_path / "tone.wav").write_bytes(octets)
    samples = recording(str(tmp_path / "tone.wav"), 8000).take(4000)
    crossings = sum(a < 0 <= b for a, b in itertools.pairwise(samples))
    assert crossings in (219, 220)


class HeldDoor(Door):
    """Answers what a test says: `texts` on any handset, `calls` of any phone."""

    def __init__(self) -> None:
        super().__init__("http://nowhere", "AC1", TOKEN)
        self.texts: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.numbers: list[dict[str, str]] = []
        self.notes: list[dict[str, Any]] = []  # newest first
        self.asked: list[tuple[str, str, object]] = []

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        content: object = None,
    ) -> Any:
        self.asked.append((method, path, content or form))
        if "Calls.json" in path:
            return {"calls": []}
        if "Notifications.json" in path:
            return {"notifications": self.notes}
        if "IncomingPhoneNumbers" in path:
            return {"incoming_phone_numbers": self.numbers}
        if path.endswith("/scripts"):
            return {"id": "1"}
        return self.texts if path.endswith("/messages") else self.calls


def text(body: str) -> dict[str, Any]:
    return {"from": "Shop", "to": "+44", "body": body, "received_at": ""}


def test_each_text_is_given_once() -> None:
    door = HeldDoor()
    messages = Messages(door)
    door.texts = [text("a"), text("a"), text("b")]
    assert [messages.expect("+44", "a")["body"] for _ in range(2)] == ["a", "a"]
    with pytest.raises(AssertionError, match=r"the text 'a' from Shop within 0 s"):
        messages.expect("+44", "a", from_="Shop", within=0.0)
    assert messages.expect("+44")["body"] == "b"
    with pytest.raises(AssertionError, match="to get a text from Bank"):
        messages.expect("+44", from_="Bank", within=0.0)


def call(state: str, **more: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": "c1", "from": "+1", "to": "+44", "direction": "inbound"}
    shown["started_at"] = "2026-11-22T08:49:34.483Z"
    shown |= {"state": state, "sip_code": None, "answered_at": None, "dtmf": "", "steps": []}
    return shown | more


def test_an_expectation_says_what_was_there_instead() -> None:
    door = HeldDoor()
    phone = Phone(door, "+44")
    assert door.asked == [("PUT", "/sim/phones/%2B44", {"answer_after": 0.0})]
    with pytest.raises(AssertionError, match=r"\+44 has no call, and none came within 0 s"):
        phone.expect_tone(440, within=0.0)
    door.calls = [call("ringing")]
    with pytest.raises(AssertionError, match=r"was to be answered within 0 s\n.*is ringing"):
        phone.expect_tone(440, within=0.0)
    door.calls = [call("ended", sip_code=486)]
    with pytest.raises(AssertionError, match=r"was to be answered\n.*is ended with 486"):
        phone.expect_tone(440)
    assert phone.expect_end() == 486
    step = {"step": {"expect": "dtmf:1"}, "ok": False, "at": "now", "heard": "dtmf:2"}
    heard = {**step, "script": "1"}
    door.calls = [call("answered", answered_at="now", dtmf="2", steps=[heard])]
    with pytest.raises(AssertionError, match=r"hear dtmf:1 within 5 s, and it heard dtmf:2\n.*\n"):
        phone.expect_dtmf("1", within=5)
    assert door.asked[-2][2] is None or phone.calls[0].keys == "2"


def note(sid: str, at: int, **more: Any) -> dict[str, Any]:
    date = f"Sun, 22 Nov 2026 08:49:{at} +0000"
    shown = {"sid": sid, "message_date": date, "log": "0", "error_code": "12100"}
    shown |= {"message_text": "no XML (line 3)", "request_url": "http://app/voice"}
    return {**shown, "call_sid": "CA1", **more}


def test_a_call_that_fails_says_what_the_gateway_noted_of_it() -> None:
    door = HeldDoor()
    door.log = Path("/tmp/gateway.log")
    phone = Phone(door, "+44")
    door.calls = [call("ended", sip_code=500)]
    texts = note("NO3", 34, call_sid=None, message_text="a text's")
    warned = note("NO4", 36, log="1", error_code="13223", request_url="", message_text="odd")
    door.notes = [warned, texts, note("NO2", 34), note("NO1", 33, message_text="before")]
    with pytest.raises(AssertionError) as failed:
        phone.expect_tone(440)
    assert str(failed.value).splitlines()[2:] == [
        "  error 12100: no XML (line 3) at http://app/voice (CA1)",
        "  warning 13223: odd (CA1)",
        "  the gateway's log: /tmp/gateway.log",
    ]
    pass_over(door)
    door.calls = []
    door.notes = [note("NO5", 40, message_text="in this test"), *door.notes]
    with pytest.raises(AssertionError, match=r"none\n  error 12100: in this test at .*\n  the gat"):
        phone.expect_call(within=0.0)


def test_what_the_end_of_a_call_cuts_off_is_no_failure() -> None:
    class EndsLater(HeldDoor):
        def ask(self, method: str, path: str, **what: Any) -> Any:
            if method == "GET" and len(self.asked) > 8:
                self.calls = [call("ended", answered_at="now", sip_code=200)]
            return super().ask(method, path, **what)

    door = EndsLater()
    door.calls = [call("answered", answered_at="now")]
    phone = Phone(door, "+44")
    phone.tone(440, seconds=60)
    phone.hang_up()  # which waits until all is said
    assert phone.state == "ended"


def test_a_phone_tells_of_its_newest_call() -> None:
    door = HeldDoor()
    door.calls = [call("ended"), call("answered", id="c2", dtmf="12")]
    phone = Phone(door, "+44")
    assert (phone.state, phone.keys, phone.shown()["id"]) == ("answered", "12", "c2")


def test_each_call_is_given_once() -> None:
    door = HeldDoor()
    phone = Phone(door, "+44")
    door.calls = [call("answered"), call("ended", id="c2", **{"from": "+2"})]
    assert [phone.expect_call(from_="+2").id, phone.expect_call().id] == ["c2", "c1"]
    with pytest.raises(AssertionError, match=r"called within 0 s; its calls: \+1 \(answered\)"):
        phone.expect_call(within=0.0)


def test_a_file_that_is_not_there_can_not_be_said(tmp_path: Path) -> None:
    door = HeldDoor()
    door.calls = [call("answered", answered_at="now")]
    with pytest.raises(AssertionError, match="is no file; a phone plays WAV files"):
        Phone(door, "+44").play(tmp_path / "none.wav")


def test_numbers_get_back_what_a_test_changed() -> None:
    door = HeldDoor()
    of_file = {"sid": "PN1", "phone_number": "+2", "voice_url": "http://file", "sms_url": ""}
    ours = {"sid": "PN2", "phone_number": "+1", "voice_url": "", "status_callback": "http://kept"}
    door.numbers = [of_file, ours]
    process = cast(GatewayProcess, SimpleNamespace(data=Path("var"), log=Path("log")))
    trunkline = pytest_plugin.Trunkline(process, door)
    for url in ("http://one", "http://two"):
        trunkline.answer_calls(url, StatusCallback=url)
        door.numbers[1] = {**ours, "voice_url": url, "status_callback": url}
    trunkline.clean()
    changed = [(path[-8:], form) for method, path, form in door.asked if method == "POST"]
    assert {path for path, _ in changed} == {"PN2.json"}
    before = {"VoiceUrl": "", "VoiceMethod": "", "StatusCallback": "http://kept"}
    assert changed[-1][1] == before
    assert ("DELETE", "/sim", None) in door.asked
    with pytest.raises(AssertionError, match=r"\+3 is no number of the account; its own is \+1"):
        trunkline.answer_texts("http://one", "+3")


@pytest.mark.parametrize("scope", ["session", "function", ""])
def test_a_gateway_lives_as_long_as_is_said(scope: str) -> None:
    config = cast(pytest.Config, SimpleNamespace(getini=lambda name: scope))
    pytest_plugin.pytest_configure(config)
    assert pytest_plugin._scope("trunkline_gateway", config) == (scope or "session")


def test_a_wrong_scope_is_told() -> None:
    config = cast(pytest.Config, SimpleNamespace(getini=lambda name: "test"))
    with pytest.raises(pytest.UsageError, match="function, not 'test'"):
        pytest_plugin.pytest_configure(config)


def test_pytest_finds_it_and_tests_without_it_load_nothing_more() -> None:
    (found,) = (each for each in entry_points(group="pytest11") if each.name == "trunkline")
    assert found.value == "sims.pytest_plugin"
    program = (
        "import json, sys, pytest; had = set(sys.modules); import sims.pytest_plugin;"
        "print(json.dumps(sorted(set(sys.modules) - had)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = json.loads(done.stdout)
    assert {each for each in loaded if each.startswith("sims")} == {"sims", "sims.pytest_plugin"}
    assert not {"aiohttp", "numpy", "twilio"} & set(loaded)

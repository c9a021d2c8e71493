"""A menu for phones that are not ours: an app written with Twilio's helper answers baresip.

The prompt has a tone of `<Play>` and a hum of `<Say>`; after a key the caller is joined with a
second phone and recorded, one channel for each of them.
"""

import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt
import pytest
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

from gateway.speech.engines import length, pitch
from sims.plugin_webapp import Request, WebApp
from tests.integration.gateway_process import request_of, wait_for
from tests.interop.baresip_peer import RATE, Account, Baresip
from tests.interop.heard import Heard, heard_in, tones_in
from tests.interop.sip.world import CALLER, DOMAIN, NUMBER, USERS
from tests.running import RunningGateway

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

ALICE, BOB, PROMPT = 440, 980, 620  # Hz
PLAYED = 1.5  # seconds
WELCOME = "For sales press one, for support press two."
GOODBYE = "Goodbye, and thank you."
KEY = 697, 1336  # Hz, of 2
RINGS, TALKS = 1.0, 3.0
HEARD_AFTER = PLAYED + length(WELCOME) + 1.0  # the welcome, that is
CONFIG = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:9"
addresses = ["127.0.0.1"]
dtmf = "inband"
options_interval = "0s"
emergency = []

[[numbers]]
number = "{number}"
voice_url = "{voice}"
status_callback = "{told}"

[[domains]]
name = "{domain}"
voice_url = "{voice}"
voice_status_callback_url = "{told}"
users = [{users}]
"""
EVENTS = "initiated ringing answered completed"
StartPhone = Callable[[Account, int], Baresip]


class Menu:
    """The app: whoever presses 2 is joined with Bob, and recorded."""

    def __init__(self) -> None:
        self.token = ""
        self.web = WebApp("")
        self.web.check_signatures = False  # here: they are looked at in the end
        self.web["/voice"] = self._voice
        self.web["/pressed"] = self._pressed
        self.web["/over"] = self._over
        for path in ("/call", "/child", "/recording"):
            self.web[path] = None
        self.web.tone("/prompt.wav", PROMPT, PLAYED)

    @staticmethod
    def _voice(asked: Request) -> VoiceResponse:
        response = VoiceResponse()
        gather = Gather(action="/pressed", num_digits=1, timeout=20)
        gather.play("/prompt.wav")
        gather.say(WELCOME)
        response.append(gather)
        return response

    @staticmethod
    def _pressed(asked: Request) -> VoiceResponse:
        response = VoiceResponse()
        dial = Dial(
            action="/over",
            answer_on_bridge=True,
            record="record-from-answer-dual",
            recording_status_callback="/recording",
            recording_status_callback_event="in-progress completed",
        )
        if asked.params["Digits"] == "2":
            uri = f"sip:bob@{DOMAIN}"
            dial.sip(uri, status_callback="/child", status_callback_event=EVENTS)
        response.append(dial)
        return response

    @staticmethod
    def _over(asked: Request) -> VoiceResponse:
        response = VoiceResponse()
        response.say(GOODBYE)
        response.hangup()
        return response

    def asked(self, path: str) -> list[dict[str, str]]:
        """With what `path` was asked, in order."""
        return [dict(each.params) for each in self.web.requests if each.path == path]

    def assert_all_is_signed(self) -> None:
        """By the judgement of Twilio's own helper."""
        validator = RequestValidator(self.token)
        for each in self.web.requests:
            form = {} if each.method == "GET" else dict(each.params)
            signature = each.headers.get("X-Twilio-Signature", "")
            assert validator.validate(each.url, form, signature), each


@pytest.fixture
def menu() -> Iterator[Menu]:
    menu = Menu()
    yield menu
    menu.web.close()


@pytest.fixture
def gateway(menu: Menu, start_gateway: Callable[..., RunningGateway]) -> RunningGateway:
    """It hums what is said; who calls from this host without an account is the carrier."""
    started = start_gateway(
        CONFIG.format(
            number=NUMBER,
            domain=DOMAIN,
            voice=menu.web.url("/voice"),
            told=menu.web.url("/call"),
            users=", ".join(
                f'{{ username = "{user}", password = "{password}" }}'
                for user, password in USERS.items()
            ),
        ),
        TRUNKLINE_SIP__UDP='["127.0.0.1:0"]',
        TRUNKLINE_SPEECH__ENGINE="fake",
    )
    menu.token = started.auth_token
    return started


@pytest.fixture
def start_phone(tmp_path: Path) -> Iterator[StartPhone]:
    """Starts phones, each in a folder by its user's name."""
    started: list[Baresip] = []

    def start(account: Account, tone: int) -> Baresip:
        started.append(Baresip(tmp_path / account.user, account, tone=tone))
        if account.every:
            started[-1].wait_until_registered()
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def bob(gateway: RunningGateway, start_phone: StartPhone) -> Baresip:
    """Rings until he is told to answer."""
    return start_phone(user_of(gateway, "bob", answers="manual"), BOB)


def user_of(gateway: RunningGateway, user: str, **more: str) -> Account:
    """One of the domain's."""
    known = {"user": user, "domain": DOMAIN, "password": USERS[user], "server": where(gateway)}
    return Account(**known, **more)


def where(gateway: RunningGateway) -> str:
    """It takes calls."""
    return f"127.0.0.1:{gateway.ports['sip_udp']}"


def test_a_phone_presses_a_key_and_is_joined_and_recorded(
    gateway: RunningGateway, menu: Menu, bob: Baresip, start_phone: StartPhone
) -> None:
    alice = start_phone(user_of(gateway, "alice"), ALICE)
    alice.do("dial", f"sip:menu@{DOMAIN}")
    alice.wait("CALL_ESTABLISHED")
    alice.talk(HEARD_AFTER)
    alice.do("sndcode", "2")
    talk(alice, bob)
    look_at_all(gateway, menu, alice.sounds(), bob.sounds())


def test_a_key_of_a_trunk_is_pressed_as_sound(
    tmp_path: Path, gateway: RunningGateway, menu: Menu, bob: Baresip, start_phone: StartPhone
) -> None:
    host = where(gateway)
    account = Account(user=CALLER, domain="127.0.0.1", password="none", server=host, every=0)
    alice = start_phone(account, ALICE)
    write_key(tmp_path / CALLER / "tone.wav", HEARD_AFTER)
    alice.do("dial", f"sip:{NUMBER}@{host}")
    alice.wait("CALL_ESTABLISHED")
    talk(alice, bob)
    look_at_all(gateway, menu, alice.sounds(), bob.sounds())


def write_key(path: Path, after: float) -> None:
    """Alice's tone, with the key 2 within it."""

    def sound(seconds: float, *tones: int) -> npt.NDArray[np.float64]:
        at = np.arange(round(seconds * RATE)) / RATE
        return sum((6000 * np.sin(2 * np.pi * tone * at) for tone in tones), np.zeros(len(at)))

    parts = (sound(after, ALICE), sound(0.1), sound(0.2, *KEY), sound(0.1), sound(20, ALICE))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(parts).astype("<i2").tobytes())


def talk(alice: Baresip, bob: Baresip) -> None:
    """From the key on: Bob's phone rings, they talk, he hangs up, and Alice is told goodbye."""
    bob.wait("CALL_INCOMING")
    alice.talk(RINGS)
    bob.do("accept")
    bob.wait("CALL_ESTABLISHED")
    alice.talk(TALKS)
    bob.do("hangup")
    alice.wait("CALL_CLOSED")


def look_at_all(
    gateway: RunningGateway, menu: Menu, at_alice: list[Heard], at_bob: list[Heard]
) -> None:
    """What was heard, what REST keeps, and what the app was told."""
    welcome, goodbye = pitch(WELCOME), pitch(GOODBYE)
    heard = PROMPT, welcome, BOB, goodbye
    assert tones_in(at_alice, *heard, ALICE) == [*heard], at_alice
    lasted = {tone: sum(each.seconds for each in at_alice if each.is_tone(tone)) for tone in heard}
    assert lasted[PROMPT] == pytest.approx(PLAYED, abs=0.2)
    assert lasted[welcome] == pytest.approx(length(WELCOME), abs=0.3)
    assert lasted[goodbye] == pytest.approx(length(GOODBYE), abs=0.3)
    assert lasted[BOB] == pytest.approx(TALKS, abs=0.5)
    assert tones_in(at_bob, ALICE, BOB, PROMPT, welcome) == [ALICE], at_bob
    calls = wait_for_end(gateway)
    parent, child = calls["inbound"], calls["outbound-dial"]
    assert child.parent_call_sid == parent.sid
    recording = look_at_recording(gateway, parent.sid)
    wait_for(lambda: menu.asked("/call"), "the app is told that the call is over")
    wait_for(lambda: len(menu.asked("/recording")) == 2, "the app is told of the recording")
    look_at_requests(menu, parent, child, recording)
    menu.assert_all_is_signed()


def wait_for_end(gateway: RunningGateway) -> dict[str, Any]:
    """Both calls by direction, once they are over."""
    client = gateway.client()

    def over() -> list[Any] | None:
        calls = client.calls.list()
        return calls if [each.status for each in calls] == ["completed"] * 2 else None

    return {each.direction: each for each in wait_for(over, "both calls are over")}


def look_at_recording(gateway: RunningGateway, call_sid: str) -> Any:
    """The one recording of the call: who called is its first channel."""
    client = gateway.client()

    def whole() -> Any:
        (found,) = client.calls(call_sid).recordings.list()
        return found if found.status == "completed" else None

    recording = wait_for(whole, "the recording is whole")
    assert (recording.channels, recording.source) == (2, "DialVerb")
    assert float(recording.duration) == pytest.approx(TALKS, abs=1)
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Recordings/{recording.sid}.wav"
    with urlopen(request_of(gateway, path), timeout=30) as response:
        first, second = heard_in(response.read())
    assert tones_in(first, ALICE, BOB) == [ALICE], first
    assert tones_in(second, ALICE, BOB) == [BOB], second
    for channel in (first, second):
        assert sum(each.seconds for each in channel) == pytest.approx(TALKS, abs=0.5)
    return recording


def look_at_requests(menu: Menu, parent: Any, child: Any, recording: Any) -> None:
    """Each thing that happened is told once, in its order, to whom it was promised."""
    paths = [each.path for each in menu.web.requests]
    own = [path for path in paths if path not in ("/child", "/recording")]
    assert own == ["/voice", "/prompt.wav", "/pressed", "/over", "/call"]
    pressed, over, ended = (menu.asked(path)[0] for path in own[2:])
    assert (pressed["Digits"], pressed["CallSid"]) == ("2", parent.sid)
    told = menu.asked("/child")
    assert [each["CallStatus"] for each in told] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [each["SequenceNumber"] for each in told] == ["0", "1", "2", "3"]
    assert {(each["CallSid"], each["ParentCallSid"]) for each in told} == {(child.sid, parent.sid)}
    assert told[-1]["CallDuration"] == over["DialCallDuration"] == child.duration
    told = menu.asked("/recording")
    assert [each["RecordingStatus"] for each in told] == ["in-progress", "completed"]
    assert {(each["RecordingSid"], each["CallSid"]) for each in told} == {
        (recording.sid, parent.sid)
    }
    first = {path: paths.index(path) for path in paths}
    assert first["/pressed"] < first["/child"] < first["/recording"] < first["/over"]
    assert over["DialCallStatus"] == "completed"
    assert (over["DialCallSid"], over["RecordingSid"]) == (child.sid, recording.sid)
    assert over["RecordingUrl"].endswith(f"/Recordings/{recording.sid}")
    assert (ended["CallStatus"], ended["CallSid"]) == ("completed", parent.sid)
    assert ended["CallDuration"] == parent.duration

"""The examples that answer calls, called by simulated phones: one gateway, by our own plugin."""

import os
import re
import subprocess
import sys
import urllib.request
import wave
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from sims.media_hearing import share
from sims.plugin_texts import Messages
from sims.plugin_webapp import WebApp
from sims.pytest_plugin import Trunkline
from tests.integration.gateway_process import ROOT, wait_for
from tests.running import NO_AUTHORITIES

pytestmark = pytest.mark.waiting

CALLER, OTHER = "+447700900456", "+447700900123"
PATIENCE = 60.0  # seconds: others are at work on the machine, too

Start = Callable[..., "Example"]


@pytest.fixture(scope="session")
def trunkline_settings() -> Mapping[str, str]:
    return {**NO_AUTHORITIES, "TRUNKLINE_SPEECH__ENGINE": "fake"}


class Example:
    """An example that runs; what it prints is in `said`."""

    def __init__(self, trunkline: Trunkline, folder: Path, name: str, *options: str) -> None:
        self._output = folder / f"{name}.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "examples" / name), *options],
                cwd=folder,
                env={**inherited, "TRUNKLINE_DATA": str(trunkline.data), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def expect(self, pattern: str) -> re.Match[str]:
        """It prints something."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.said, re.MULTILINE)
            assert match or self.process.poll() in (None, 0), self.said
            return match

        return wait_for(found, f"{pattern} is printed; so far:\n{self.said}")


@pytest.fixture
def start(trunkline: Trunkline, tmp_path: Path) -> Iterator[Start]:
    started: list[Example] = []

    def start(name: str, *options: str) -> Example:
        started.append(Example(trunkline, tmp_path, name, *options))
        return started[-1]

    yield start
    trunkline.end_calls()
    for each in started:
        each.process.terminate()
        each.process.wait(30)


def fetched(trunkline: Trunkline, url: str, path: Path) -> Path:
    """What is at a URL of the gateway's, as a file."""
    proof = b64encode(f"{trunkline.account_sid}:{trunkline.auth_token}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {proof}"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        path.write_bytes(response.read())
    return path


def channels(path: Path) -> "list[np.ndarray[tuple[int], np.dtype[np.int16]]]":
    """The samples of each channel of a WAV file at 8,000 a second."""
    with wave.open(str(path), "rb") as file:
        assert file.getframerate() == 8000
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return [samples[at :: file.getnchannels()] for at in range(file.getnchannels())]


def loudest(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> float:
    """The tone that most of it is, by FFT."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 8000 / len(samples)


def test_ivr_joins_a_caller_to_an_agent(
    trunkline: Trunkline, webapp: WebApp, start: Start, tmp_path: Path
) -> None:
    webapp.check_signatures = False  # sounds are fetched as anybody would
    agent, caller = trunkline.phone(OTHER), trunkline.phone(CALLER)
    ivr = start("ivr.py", "--agent", OTHER, "--chime", webapp.tone("/chime.wav", 700, seconds=1))
    ivr.expect("has a menu")
    caller.call(trunkline.number)
    caller.expect_tone(700, PATIENCE)
    caller.press("2")  # which ends the menu
    agent.expect_call(PATIENCE, from_=trunkline.number)
    agent.tone(440, seconds=2)
    caller.tone(550, seconds=2)
    caller.expect_tone(440, PATIENCE)
    agent.expect_tone(550, PATIENCE)
    caller.hang_up()
    assert agent.expect_end(PATIENCE) == 200
    ivr.expect(rf"^CA\w+ {re.escape(CALLER)} pressed 2$")
    ivr.expect(rf"^CA\w+ {re.escape(OTHER)} is completed$")
    url = ivr.expect(r"^RE\w+ has 2 channels of \d+ s: (\S+)$")[1]
    theirs, ours = channels(fetched(trunkline, url, tmp_path / "recording.wav"))
    assert (round(loudest(theirs), -1), round(loudest(ours), -1)) == (550, 440)


def test_voicemail_takes_a_message(trunkline: Trunkline, messages: Messages, start: Start) -> None:
    owner, caller = trunkline.phone(OTHER), trunkline.phone(CALLER)
    owner.refuse(486)
    start("voicemail.py", "--owner", OTHER).expect("takes messages")
    caller.call(trunkline.number)
    caller.expect_tone(1000, PATIENCE)  # the beep
    caller.expect_silence(PATIENCE)
    caller.tone(440, seconds=1)
    caller.press("#")
    caller.expect_speech(PATIENCE)
    caller.expect_end(PATIENCE)
    found = re.compile(rf"A message of (\d) s from {re.escape(CALLER)}: (\S+)\.mp3")
    text = messages.expect(OTHER, found, within=PATIENCE)
    match = found.fullmatch(text["body"])
    assert match is not None and match[1] in "12"


def test_a_call_is_recorded_and_fetched(trunkline: Trunkline, start: Start, tmp_path: Path) -> None:
    other, caller = trunkline.phone(OTHER), trunkline.phone(CALLER)
    example = start("record_calls.py", "--dial", OTHER, "--folder", str(tmp_path))
    example.expect("are recorded")
    caller.call(trunkline.number)
    other.expect_call(PATIENCE).expect_answer()
    example.expect(r"^RE\w+ began$")
    caller.tone(550, seconds=2)
    other.tone(440, seconds=2)
    caller.expect_tone(440, PATIENCE)
    caller.hang_up()
    file = Path(example.expect(r"^\d+ s are in (\S+)$")[1])
    assert file.stem not in {each.sid for each in trunkline.client.recordings.list()}
    theirs, ours = (each for each in channels(file))
    assert (round(loudest(theirs), -1), round(loudest(ours), -1)) == (550, 440)
    assert max(share(theirs, 440, 8000), share(ours, 550, 8000)) < 0.05


def test_reminder_is_repeated_until_it_is_confirmed(
    trunkline: Trunkline, messages: Messages, start: Start
) -> None:
    phone = trunkline.phone(OTHER)
    phone.refuse(486)
    reminder = start("reminder.py", "--to", OTHER, "--about", "the test")
    messages.expect(OTHER, "A reminder of the test.", within=PATIENCE)
    reminder.expect("press 1 there to confirm it")
    reminder.expect(rf"^CA\w+ calls {re.escape(OTHER)}$")
    phone.expect_call(PATIENCE)
    phone.answer_after(0.0)
    reminder.expect(r"^CA\w+ busy$")
    again = phone.expect_call(PATIENCE)
    reminder.expect(r"^CA\w+ in-progress$")
    again.expect_speech(PATIENCE)
    again.press("1")
    again.expect_end(PATIENCE)
    reminder.expect(r"^CA\w+ completed, confirmed$")
    assert reminder.process.wait(PATIENCE) == 0


def test_conference_lets_in_who_knows_the_pin(trunkline: Trunkline, start: Start) -> None:
    moderator, caller, third = (trunkline.phone(f"+44770090012{each}") for each in "345")
    conference = start("conference.py", "--moderator", moderator.number)
    conference.expect("is a conference line")
    for each in (caller, third):
        each.call(trunkline.number)
        each.expect_speech(PATIENCE)
        each.press("1234")
    moderator.call(trunkline.number)
    conference.expect(r"^conference-start")
    wait_for(lambda: conference.said.count("participant-join") == 3, "all are there")
    moderator.tone(440, seconds=3)
    caller.expect_tone(440, PATIENCE)
    third.expect_tone(440, PATIENCE)
    moderator.expect_silence(PATIENCE)  # which does not hear itself
    moderator.hang_up()
    assert {each.expect_end(PATIENCE) for each in (caller, third)} == {200}
    conference.expect(r"^conference-end")


def test_queue_is_served_in_turn(trunkline: Trunkline, start: Start) -> None:
    agent, first, second = (trunkline.phone(f"+44770090012{each}") for each in "345")
    queue = start("queue_with_agents.py", "--agents", agent.number)
    queue.expect("has a queue")
    for at, each in enumerate((first, second), 1):
        each.call(trunkline.number)
        queue.expect(rf"^CA\w+ waits at position {at}$")
    agent.call(trunkline.number)
    agent.tone(440, seconds=20)
    first.expect_tone(440, PATIENCE)
    first.tone(550, seconds=3)
    agent.expect_tone(550, PATIENCE)
    first.hang_up()
    second.expect_tone(440, PATIENCE)
    second.hang_up()
    agent.expect_speech(PATIENCE)  # nobody waits
    agent.expect_end(PATIENCE)
    wait_for(lambda: queue.said.count("left the queue: bridged") == 2, "both were served")

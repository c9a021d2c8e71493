"""`examples/ivr.py` as it stands, between phones that are not ours, both reached by a trunk."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from gateway.speech.engines import pitch
from sims.plugin_webapp import WebApp
from tests.integration.gateway_process import ROOT, request_of, wait_for
from tests.interop.baresip_peer import Account, Baresip
from tests.interop.heard import heard_in, tones_in
from tests.interop.sip.world import BEYOND, CALLER, NUMBER
from tests.running import NO_AUTHORITIES, RunningGateway

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

ALICE, BOB, CHIME = 440, 980, 620  # Hz
MENU = "For our opening hours, press 1. To speak with us, press 2."
CONFIG = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
addresses = ["127.0.0.1"]
options_interval = "0s"
emergency = []
"""


@contextmanager
def phone(folder: Path, user: str, tone: int, port: int = 9) -> Iterator[Baresip]:
    """One that has no registration; calls of its own go to `port`."""
    server = f"127.0.0.1:{port}"
    account = Account(user=user, domain="127.0.0.1", password="none", server=server, every=0)
    started = Baresip(folder / user, account, tone=tone)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def menu(gateway: RunningGateway, chime: str) -> Iterator[Path]:
    """The example; gives where what it prints is."""
    output = gateway.home / "ivr.log"
    with output.open("wb") as log:
        app = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "examples" / "ivr.py"),
                "--agent",
                BEYOND,
                "--chime",
                chime,
            ],
            env={**os.environ, **NO_AUTHORITIES, "TRUNKLINE_DATA": str(gateway.data)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: "has a menu" in output.read_text(), "the app serves")
        yield output
        app.send_signal(signal.SIGINT)
        assert app.wait(30) == 0, output.read_text()
    finally:
        if app.poll() is None:
            app.kill()
            app.wait()


def test_phones_meet_by_the_menu(
    tmp_path: Path, start_gateway: Callable[..., RunningGateway]
) -> None:
    sounds = WebApp("")
    sounds.check_signatures = False
    chime = sounds.tone("/chime.wav", CHIME, 1.0)
    with phone(tmp_path, BEYOND, BOB) as bob:
        gateway = start_gateway(
            CONFIG.format(port=bob.port),
            TRUNKLINE_SIP__UDP='["127.0.0.1:0"]',
            TRUNKLINE_SPEECH__ENGINE="fake",
        )
        port = gateway.ports["sip_udp"]
        with menu(gateway, chime) as printed, phone(tmp_path, CALLER, ALICE, port) as alice:
            alice.do("dial", f"sip:{NUMBER}@127.0.0.1:{port}")
            alice.wait("CALL_ESTABLISHED")
            alice.talk(2.5)  # as long as it takes to get impatient
            alice.do("sndcode", "2")
            bob.wait("CALL_ESTABLISHED")
            alice.talk(3)
            alice.do("hangup")
            bob.wait("CALL_CLOSED")
            wait_for(lambda: "2 channels" in printed.read_text(), "the app has the recording")
            lines = printed.read_text()
            at_alice, at_bob = alice.sounds(), bob.sounds()
    sounds.close()
    assert tones_in(at_alice, CHIME, pitch(MENU), BOB, ALICE) == [CHIME, pitch(MENU), BOB], at_alice
    assert tones_in(at_bob, ALICE, BOB, CHIME) == [ALICE], at_bob
    assert f"{CALLER} pressed 2" in lines
    steps = [line.rpartition(" is ")[2] for line in lines.splitlines() if f" {BEYOND} is " in line]
    assert steps == ["initiated", "ringing", "in-progress", "completed"]
    assert "the dial came to: completed" in lines
    look_at_recording(gateway)


def look_at_recording(gateway: RunningGateway) -> None:
    """Who called is its first channel."""
    (recording,) = gateway.client().recordings.list()
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Recordings/{recording.sid}.wav"
    with urlopen(request_of(gateway, path), timeout=30) as response:
        first, second = heard_in(response.read())
    assert tones_in(first, ALICE, BOB) == [ALICE], first
    assert tones_in(second, ALICE, BOB) == [BOB], second

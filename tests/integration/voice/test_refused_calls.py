"""Whoever is refused hears why, and so does who reads the log."""

from pathlib import Path

from structlog.testing import capture_logs

from protocols.sdp.formats import G722
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.world import World, world

CONFIG = """
[[domains]]
name = "office.example"
{voice}
users = [{ username = "alice", password = "pa" }]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:9"
addresses = ["127.0.0.1"]
emergency = []
options_interval = "0s"
codecs = ["PCMA"]
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
VOICE = 'voice_url = "{app}/voice"'
NUMBER = "+15550001000"
PAUSE = '<Response><Pause length="60"/></Response>'


def config(voice: str = VOICE) -> str:
    return CONFIG.replace("{voice}", voice)


async def is_refused(caller: Phone, here: World, to: str = "anybody") -> tuple[int, str, list[str]]:
    """The code, what Reason says, and the rules in the log."""
    since = len(caller.told)
    with capture_logs() as logs:
        caller.call(to, here.hop())
        refused = await caller.until(events.Refused, since=since)
    rules = [each["rule"] for each in logs if each["event"] == "a SIP request was refused"]
    return refused.status, refused.headers.first("Reason") or "", rules


async def test_who_comes_while_the_gateway_drains(tmp_path: Path, open_phone: OpenPhone) -> None:
    alice = await open_phone("alice", "office.example", password="pa")
    async with world(tmp_path, config(), PAUSE) as here:
        voice = here.gateway._voice
        assert voice is not None
        voice.calls.stop()
        code, reason, told = await is_refused(alice, here)
        assert (code, told) == (503, ["the gateway drains"])
        assert told[0] in reason


async def test_who_is_one_too_many(tmp_path: Path, open_phone: OpenPhone) -> None:
    alice = await open_phone("alice", "office.example", password="pa")
    other = await open_phone("alice", "office.example", password="pa")
    async with world(tmp_path, config(), PAUSE) as here:
        voice = here.gateway._voice
        assert voice is not None
        voice.calls._most = 1
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        code, reason, told = await is_refused(other, here)
        assert (code, told) == (503, ["[sip] max_calls = 1"])
        assert told[0] in reason
        alice.hang_up()
        await here.ended()


async def test_who_calls_while_signalling_is_behind(tmp_path: Path, open_phone: OpenPhone) -> None:
    alice = await open_phone("alice", "office.example", password="pa")
    async with world(tmp_path, config(), PAUSE) as here:
        here.fall_behind()
        code, reason, told = await is_refused(alice, here)
        assert (code, told) == (503, ["signalling is behind by more than [sip] max_lag"])
        assert told[0] in reason
        assert (await alice.until(events.Refused)).headers.first("Retry-After") is None
        alice.call("112", here.hop())
        await alice.until(events.Answered)
        alice.hang_up()
        await here.ended()


async def test_a_trunk_that_calls_while_signalling_is_behind(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    carrier = await open_phone("+447700900001", "carrier.example")
    async with world(tmp_path, config(), PAUSE) as here:
        here.fall_behind()
        code, _, told = await is_refused(carrier, here, NUMBER)
        assert (code, told) == (503, ["signalling is behind by more than [sip] max_lag"])


async def test_what_a_trunk_names_is_for_help_while_signalling_is_behind(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", "office.example", password="pa")
    text = config().replace("emergency = []", 'emergency = ["1550"]')
    async with world(tmp_path, text, PAUSE) as here:
        here.fall_behind()
        assert (await is_refused(alice, here, "1551"))[0] == 503
        alice.call("1550", here.hop())
        await alice.until(events.Answered)
        alice.hang_up()
        await here.ended()


async def test_who_has_no_codec_in_common(tmp_path: Path, open_phone: OpenPhone) -> None:
    carrier = await open_phone("+447700900001", "carrier.example")
    carrier.codecs = (G722,)
    async with world(tmp_path, config(), PAUSE) as here:
        code, reason, told = await is_refused(carrier, here, NUMBER)
        assert code == 488 and len(told) == 1
        assert told[0] in reason


async def test_who_calls_where_nothing_says_what_to_do(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    alice = await open_phone("alice", "office.example", password="pa")
    async with world(tmp_path, config(voice="")) as here:
        code, reason, told = await is_refused(alice, here)
        assert (code, told) == (480, ["no voice_url or voice_twiml says what to do with it"])
        assert told[0] in reason
        await here.ended()

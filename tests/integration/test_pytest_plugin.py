"""The pytest plugin, as a project that tests its app meets it: in a run of pytest of its own."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.waiting

QUIET = ("-p", "no:cacheprovider", "-p", "no:asyncio")  # which warns of settings it misses
ROOT = Path(__file__).resolve().parents[2]

# What a test may leave behind, and that the next one finds nothing of it.
TESTS = """
import pytest

urls = []

def test_what_is_left_behind(trunkline, webapp):
    urls.append(trunkline.url)
    said = "<Response><Message>{Body}!</Message></Response>"
    webapp["/sms"] = lambda asked: said.format(**asked.params)
    webapp["/voice"] = "<Response><Dial>+447700900123</Dial></Response>"
    trunkline.answer_texts(webapp.url("/sms"))
    trunkline.answer_calls(webapp.url("/voice"), StatusCallback=webapp.url("/status"))
    trunkline.messages.text_in("+447700900456", trunkline.number, "Hello")
    assert trunkline.messages.expect("+447700900456", "Hello!")["from"] == trunkline.number
    caller, agent = trunkline.phone("+447700900456"), trunkline.phone("+447700900123")
    caller.call(trunkline.number)
    agent.expect_call(from_="+447700900456").expect_answer()
    caller.press("42")
    agent.expect_dtmf("42")
    agent.refuse()
    with pytest.raises(AssertionError, match="hear tone:440 within 0.1 s, and it heard silence"):
        caller.expect_tone(440, within=0.1)

def test_the_next_one(trunkline, messages):
    assert [trunkline.url] == urls
    assert {each["status"] for each in trunkline.calls()} == {"completed"}
    assert messages.of("+447700900456") == []
    (number,) = trunkline.client.incoming_phone_numbers.list()
    assert (number.voice_url or "", number.sms_url or "", number.status_callback or "") == 3 * ("",)
    trunkline.client.messages.create(to="+447700900456", from_=trunkline.number, body="Once")
    messages.expect("+447700900456", "Once")
    with pytest.raises(AssertionError, match="on the handset:\\n  .15550001000: Once"):
        messages.expect("+447700900456", "Once", within=0.1)
    waits = "<Response><Pause length='30'/></Response>"
    calls = trunkline.client.calls
    made = calls.create(to="+447700900123", from_=trunkline.number, twiml=waits)
    trunkline.phone("+447700900123").expect_answer()  # it refuses no more
    assert made.sid == trunkline.calls()[0]["sid"]

def test_how_a_call_ends(trunkline, webapp):
    trunkline.answer_calls(webapp.url("/voice"))
    caller = trunkline.phone("+447700900456")
    webapp["/voice"] = "<Response><Gather action='/bye' numDigits='1'/></Response>"
    webapp["/bye"] = "<Response><Hangup/></Response>"
    caller.call(trunkline.number)
    caller.press("1")  # which ends the call
    assert (caller.expect_end(), caller.state) == (200, "ended")
    webapp["/voice"] = "<Response><Say>"
    caller.call(trunkline.number)
    caller.expect_answer()  # and told that the application failed
    with pytest.raises(AssertionError) as failed:
        caller.expect_dtmf("1")
    assert "error 12100: " in str(failed.value) and webapp.url("/voice") in str(failed.value)
    assert f"the gateway's log: {trunkline.log}" in str(failed.value)
"""


def test_a_project_tests_its_app(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs/testing.md").read_text()
    shown = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert shown[1].count("\n") == 12, "it is said to take ten lines"
    pytester.makepyfile(test_shown=shown[1], test_told=TESTS)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    result = pytester.runpytest_subprocess(*QUIET)
    result.assert_outcomes(passed=4)
    (log,) = pytester.path.glob("runpytest-0/trunkline0/gateway.log")
    url = re.findall(r"http +(http://\S+)", log.read_text())[0]
    with pytest.raises(urllib.error.URLError):  # the gateway ended with the run
        urllib.request.urlopen(url, timeout=5)


def test_a_gateway_that_can_not_start_is_explained(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(trunkline): pass")
    pytester.makefile(".toml", wrong="[smpp]\nlissten = 1\n")
    pytester.makeini("[pytest]\ntrunkline_config = wrong.toml\n")
    result = pytester.runpytest_subprocess(*QUIET)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the gateway ended at its start:*", "*lissten*"])

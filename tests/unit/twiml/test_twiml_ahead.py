"""While one prompt is heard the next one is made ready: which one that is, and until when."""

import pytest

from tests.unit.twiml.fake_call import BASE, FakeCall, Page, World, run
from twiml.nouns import Number
from twiml.verbs import Dial, Gather, Hangup, Pause, Play, Record, Redirect, Say, VoiceVerb

HI, BYE = Say(text="Hi"), Say(text="Bye")
TONE = Play(url="tone.wav")
FETCHED = Play(url="https://app.example.com/voice/tone.wav")


@pytest.mark.parametrize(
    ("rest", "foreseen"),
    [
        ((BYE, TONE), BYE),
        ((TONE,), FETCHED),
        ((Pause(length=2), TONE), FETCHED),
        ((Gather(prompts=(Pause(), TONE, BYE)),), FETCHED),
        ((Gather(prompts=()), BYE), None),
        ((Play(digits="12"), BYE), None),
        ((Hangup(),), None),
        ((Redirect(url="next"), BYE), None),
        ((Dial(nouns=(Number(number="+15550002000"),)), BYE), None),
        ((), None),
    ],
)
def test_what_is_heard_next_is_made_ready(
    rest: tuple[VoiceVerb, ...], foreseen: Say | Play | None
) -> None:
    assert FakeCall().runs(HI, *rest).ahead == foreseen


def test_nothing_is_made_ready_while_the_caller_speaks() -> None:
    call = FakeCall(World(speaks_until=60.0)).runs(Record(), BYE)
    assert call.ahead is None


def test_one_prompt_is_made_ready_at_a_time_in_a_gather_too() -> None:
    call = run(HI, Gather(prompts=(BYE, Pause(length=3), TONE), timeout=1), HI)
    assert call.foreseen == [(0.0, BYE), (1.0, FETCHED), (2.0, FETCHED)]


@pytest.mark.parametrize("page", ["<Response><Pause/></Response>"])
def test_what_was_foreseen_is_let_go_of_where_the_document_goes_elsewhere(page: Page) -> None:
    by_key = FakeCall(World(app={f"{BASE}/keys": page}, latency=9.0, keys=((0.5, "1"),)))
    by_key.runs(Gather(prompts=(HI, BYE), num_digits=1, action=f"{BASE}/keys"))
    assert by_key.ahead == BYE
    by_key.until(1.0)
    assert by_key.ahead is None
    by_order = FakeCall().runs(HI, BYE)
    by_order.runs(Pause(length=1))
    assert by_order.ahead is None

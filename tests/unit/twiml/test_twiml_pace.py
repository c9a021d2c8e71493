"""How fast documents may lead to each other, on a held clock."""

import pytest

from tests.unit.twiml.fake_call import BASE, FakeCall, World, run
from twiml.call import DialEnded, DialStatus
from twiml.errors import Level
from twiml.nouns import Number
from twiml.runner import PER_SECOND
from twiml.verbs import MAX_DOCUMENTS, Dial, Gather, Pause, Play, Redirect, VoiceVerb

HOURS = 4 * 3600.0
FAILING = DialEnded(ask=0, status=DialStatus.FAILED)
BEEP = "https://app.example.com/beep.wav"
DIAL = Dial(nouns=(Number(number="+15550002000"),), action=BASE)


def round_and_round(
    *page: VoiceVerb,
    latency: float = 0.0,
    keys: tuple[tuple[float, str], ...] = (),
    dial_takes: float = 0.0,
) -> FakeCall:
    """A call whose only document leads to itself."""
    world = World(
        app={BASE: page},
        latency=latency,
        keys=keys,
        sounds={BEEP: 0.25},
        dialled=FAILING,
        dial_takes=dial_takes,
    )
    call = FakeCall(world)
    call.runs(*page)
    return call


@pytest.mark.parametrize(
    "page",
    [
        (Redirect(),),
        (DIAL,),
        (Gather(timeout=0, action_on_empty_result=True),),
        (Gather(timeout=0), Redirect()),
    ],
)
def test_documents_that_lead_on_at_once_come_to_an_end(page: tuple[VoiceVerb, ...]) -> None:
    call = round_and_round(*page).play_out()
    assert len(call.asked) == MAX_DOCUMENTS
    assert call.timeline[-1] == (0.0, "hang up failed")
    assert [(each.code, each.level) for each in call.findings] == [(14106, Level.ERROR)]


def test_an_app_that_answers_fast_is_not_asked_on_and_on() -> None:
    call = round_and_round(Redirect(), latency=0.05).play_out()
    # Each takes a place of 50, and gives a quarter of one back.
    assert call.timeline[-1] == (pytest.approx(66 * 0.05), "hang up failed")
    assert [each.code for each in call.findings] == [14106]


@pytest.mark.parametrize(
    ("page", "latency"),
    [
        pytest.param((Pause(length=10), Redirect()), 0.0, id="pauses"),
        pytest.param((Redirect(),), 14.0, id="long polls"),
        pytest.param((Redirect(),), 1 / PER_SECOND, id="a slow app"),
        pytest.param((Play(url=BEEP), Redirect()), 0.0, id="short sounds"),
    ],
)
def test_documents_between_which_time_passes_go_round_for_hours(
    page: tuple[VoiceVerb, ...], latency: float
) -> None:
    call = round_and_round(*page, latency=latency).until(HOURS)
    assert not call.is_over
    assert len(call.asked) > 10 * MAX_DOCUMENTS
    assert call.findings == []


def test_a_dial_that_rings_for_a_while_may_be_tried_again_and_again() -> None:
    call = round_and_round(DIAL, dial_takes=5.0).until(HOURS)
    assert not call.is_over
    assert call.findings == []


def test_keys_may_lead_from_menu_to_menu_as_fast_as_they_are_pressed() -> None:
    keys = tuple((at / 4, "1") for at in range(1, 20 * MAX_DOCUMENTS))
    menu = Gather(num_digits=1, action=BASE, timeout=5)
    call = round_and_round(menu, keys=keys).until(4.9 * MAX_DOCUMENTS)
    assert not call.is_over
    assert len(call.asked) > 15 * MAX_DOCUMENTS


def test_a_rest_lets_as_many_documents_follow_at_once_again() -> None:
    nearly = MAX_DOCUMENTS - 1
    app: dict[str, tuple[VoiceVerb, ...]] = {
        f"{BASE}/{at}": (Redirect(url=f"{BASE}/{at + 1}"),) for at in range(1, 2 * nearly)
    }
    app[f"{BASE}/{nearly}"] = (Pause(length=10), Redirect(url=f"{BASE}/{nearly + 1}"))
    call = run(Redirect(url=f"{BASE}/1"), world=World(app=app | {f"{BASE}/{2 * nearly}": ()}))
    assert len(call.asked) == 2 * nearly
    assert call.timeline[-1] == (10.0, "hang up done")

"""Which tests show that an attribute works: each one's row on a fake call, and what there is more.

What is named here runs in a gateway, where an attribute's effect is another's than the document's.
"""

from collections.abc import Mapping
from typing import Final

from tests.mutate.mutants import TEST
from tests.unit.twiml.test_twiml_attributes import ROWS

_VOICE: Final = "tests/integration/voice/"
_ENDINGS: Final = f"{_VOICE}test_endings.py::"
_SPOKEN: Final = f"{_VOICE}test_spoken.py::"
_MESSAGE: Final = f"{_SPOKEN}test_a_message_is_recorded_after_a_beep"
_SIDES: Final = f"{_SPOKEN}test_both_sides_of_a_dial_are_recorded"
_GREETED: Final = f"{_SPOKEN}test_who_is_dialled_is_pressed_to_and_hears_a_document_first"

GATEWAY: Final[Mapping[str, tuple[str, ...]]] = {
    "Dial action": (f"{_ENDINGS}test_the_action_hears_of_a_dial_whose_caller_is_gone",),
    "Dial answerOnBridge": (f"{_ENDINGS}test_what_a_dial_comes_to_that_nobody_answers[busy]",),
    "Dial callerId": (f"{_VOICE}test_dials.py::test_a_dial_under_somebody_elses_number_fails",),
    "Dial referUrl": (
        f"{_VOICE}test_transfers.py::test_an_app_says_what_becomes_of_who_is_transferred",
    ),
    "Dial timeLimit": (f"{_ENDINGS}test_a_dial_lasts_no_longer_than_its_limit",),
    "Dial timeout": (f"{_ENDINGS}test_what_a_dial_comes_to_that_nobody_answers[no answer]",),
    "Dial>Sip statusCallback": (f"{_ENDINGS}test_status_callbacks_come_in_order",),
    "Dial>Sip statusCallbackEvent": (f"{_ENDINGS}test_status_callbacks_come_in_order",),
    "Dial>Sip url": (f"{_ENDINGS}test_a_whisper_that_hangs_up_joins_nobody",),
    "Dial hangupOnStar": (_SIDES,),
    "Dial record": (_SIDES,),
    "Dial recordingStatusCallback": (_SIDES,),
    "Dial>Number sendDigits": (_GREETED,),
    "Dial>Number url": (_GREETED,),
    "Gather action": (f"{_SPOKEN}test_keys_are_gathered_while_a_prompt_plays[events]",),
    "Record maxLength": (_MESSAGE,),
    "Record recordingStatusCallback": (_MESSAGE,),
    "Record recordingStatusCallbackEvent": (_MESSAGE,),
    "Reject reason": (f"{_ENDINGS}test_a_call_that_is_rejected[busy-486]",),
}


def named() -> dict[str, tuple[str, ...]]:
    """The tests of each attribute, by its name."""
    return {name: (f"{TEST}[{name}]", *GATEWAY.get(name, ())) for name in {**ROWS, **GATEWAY}}

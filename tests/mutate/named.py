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
_TEXTED: Final = f"{_SPOKEN}test_a_text_leaves_a_call_and_then_the_caller_does"
_SCREENED: Final = f"{_SPOKEN}test_who_is_dialled_takes_the_call_by_a_key[events]"
_RINGS: Final = f"{_VOICE}test_ringback.py::test_who_was_answered_hears_it_ring"
_TWELVE: Final = f"{_VOICE}test_big_rooms.py::test_each_of_twelve_hears_whom_it_should"
_ROOM: Final = f"{_VOICE}test_room_attributes.py::"
_WAITS: Final = f"{_ROOM}test_who_waits_for_a_room_to_start_hears_the_documents_of_its_app"
_TOLD: Final = f"{_ROOM}test_what_happens_in_a_room_is_told_as_it_says"
_BEEPS: Final = f"{_ROOM}test_a_room_beeps_for_who_wants_that_and_the_older_url_is_told"
_QUEUES: Final = f"{_VOICE}test_queue_calls.py::"
_JOINED: Final = f"{_QUEUES}test_who_waits_is_joined_to_who_dials[1-False]"
_TAKEN: Final = f"{_QUEUES}test_who_waits_is_joined_to_who_dials[2-True]"
_APP: Final = f"{_VOICE}test_dialled_applications.py::"
_REFERRED: Final = f"{_VOICE}test_transfers.py::test_an_app_says_what_becomes_of_who_is_transferred"
_HEARD: Final = f"{_APP}test_a_caller_hears_an_application_and_presses_keys_for_it"
_VERBS: Final = f"{_VOICE}test_verb_attributes.py::"
_PROMPTS: Final = f"{_VERBS}test_prompts_are_heard_as_often_as_they_say"
_SILENT: Final = f"{_VERBS}test_who_says_nothing_is_waited_for_as_long_as_it_says"
_MENU: Final = f"{_VERBS}test_a_menu_takes_keys_as_it_says"
_KEYED: Final = f"{_VERBS}test_a_message_ends_by_the_key_that_it_says"
_BESIDE: Final = f"{_VERBS}test_what_runs_beside_a_call_is_recorded_as_it_says"
_DIALLED: Final = f"{_VERBS}test_of_a_dial_is_recorded_and_told_what_it_says"
_PASSWORD: Final = f"{_VERBS}test_a_password_is_shown_to_who_wants_one"
_PREFERRED: Final = f"{_VERBS}test_of_several_addresses_the_one_to_prefer_is_tried_first"
_NUMBERED: Final = f"{_VERBS}test_a_number_has_a_document_and_callbacks_of_its_own"
_FULL: Final = f"{_VERBS}test_a_queue_has_no_more_places_than_it_says"
_GREETED: Final = f"{_SPOKEN}test_who_is_dialled_is_pressed_to_and_hears_a_document_first"

GATEWAY: Final[Mapping[str, tuple[str, ...]]] = {
    "Dial action": (f"{_ENDINGS}test_the_action_hears_of_a_dial_whose_caller_is_gone",),
    "Dial answerOnBridge": (f"{_ENDINGS}test_what_a_dial_comes_to_that_nobody_answers[busy]",),
    "Dial callerId": (f"{_VOICE}test_dials.py::test_a_dial_under_somebody_elses_number_fails",),
    "Dial referMethod": (_REFERRED,),
    "Dial referUrl": (_REFERRED,),
    "Dial timeLimit": (f"{_ENDINGS}test_a_dial_lasts_no_longer_than_its_limit",),
    "Dial timeout": (f"{_ENDINGS}test_what_a_dial_comes_to_that_nobody_answers[no answer]",),
    "Dial>Sip codecs": (_DIALLED,),
    "Dial>Sip password": (f"{_PASSWORD}[Sip]",),
    "Dial>Sip username": (f"{_PASSWORD}[Sip]",),
    "Dial>Sip>Uri password": (f"{_PASSWORD}[Uri]",),
    "Dial>Sip>Uri priority": (f"{_PREFERRED}[priority]",),
    "Dial>Sip>Uri username": (f"{_PASSWORD}[Uri]",),
    "Dial>Sip>Uri weight": (f"{_PREFERRED}[weight]",),
    "Dial>Sip method": (_DIALLED,),
    "Dial>Sip statusCallbackMethod": (_DIALLED,),
    "Dial>Sip>Headers>Header name": (_DIALLED,),
    "Dial>Sip>Headers>Header value": (_DIALLED,),
    "Dial>Sip statusCallback": (f"{_ENDINGS}test_status_callbacks_come_in_order",),
    "Dial>Sip statusCallbackEvent": (f"{_ENDINGS}test_status_callbacks_come_in_order",),
    "Dial>Sip url": (f"{_ENDINGS}test_a_whisper_that_hangs_up_joins_nobody", _SCREENED),
    "Dial hangupOnStar": (_SIDES,),
    "Dial method": (_DIALLED,),
    "Dial record": (_SIDES,),
    "Dial recordingStatusCallback": (_SIDES,),
    "Dial recordingStatusCallbackEvent": (_DIALLED,),
    "Dial recordingStatusCallbackMethod": (_DIALLED,),
    "Dial recordingTrack": (_DIALLED,),
    "Dial>Number method": (_NUMBERED,),
    "Dial>Number sendDigits": (_GREETED,),
    "Dial>Number statusCallback": (_NUMBERED,),
    "Dial>Number statusCallbackEvent": (_NUMBERED,),
    "Dial>Number statusCallbackMethod": (_NUMBERED,),
    "Dial>Number url": (_GREETED,),
    "Dial ringTone": (
        f"{_VOICE}test_ringback.py::test_who_was_answered_hears_it_ring[us-it-frequencies4-1.0]",
    ),
    "Dial sequential": (f"{_ENDINGS}test_one_after_the_other",),
    "Dial>Application copyParentTo": (f"{_APP}test_whom_an_application_dials_talks_to_the_caller",),
    "Dial>Application customerId": (_HEARD,),
    "Dial>Application method": (_HEARD,),
    "Dial>Application statusCallback": (_HEARD,),
    "Dial>Application statusCallbackEvent": (_HEARD,),
    "Dial>Application statusCallbackMethod": (_HEARD,),
    "Dial>Application url": (_HEARD,),
    "Dial>Application>Parameter name": (_HEARD,),
    "Dial>Application>Parameter value": (_HEARD,),
    "Dial>Conference beep": (_BEEPS,),
    "Dial>Conference coach": (
        f"{_VOICE}test_big_rooms.py::test_each_of_twelve_hears_whom_it_should",
    ),
    "Dial>Conference endConferenceOnExit": (_TOLD,),
    "Dial>Conference eventCallbackUrl": (_BEEPS,),
    "Dial>Conference jitterBufferSize": (
        f"{_VERBS}test_a_room_waits_for_late_sound_as_long_as_it_says[small]",
    ),
    "Dial>Conference maxParticipants": (_WAITS,),
    "Dial>Conference muted": (_BEEPS,),
    "Dial>Conference participantLabel": (_TOLD,),
    "Dial>Conference record": (_TOLD,),
    "Dial>Conference recordingStatusCallback": (_TOLD,),
    "Dial>Conference recordingStatusCallbackEvent": (_TOLD,),
    "Dial>Conference recordingStatusCallbackMethod": (_TOLD,),
    "Dial>Conference startConferenceOnEnter": (_WAITS,),
    "Dial>Conference statusCallback": (_TOLD,),
    "Dial>Conference statusCallbackEvent": (_TOLD,),
    "Dial>Conference statusCallbackMethod": (_TOLD,),
    "Dial>Conference waitMethod": (_WAITS,),
    "Dial>Conference waitUrl": (_WAITS,),
    "Dial>Queue method": (_TAKEN,),
    "Dial>Queue url": (_TAKEN,),
    "Enqueue action": (_JOINED,),
    "Enqueue maxQueueSize": (_FULL,),
    "Enqueue method": (_FULL,),
    "Enqueue waitUrl": (_JOINED,),
    "Enqueue waitUrlMethod": (_FULL,),
    "Gather action": (f"{_SPOKEN}test_keys_are_gathered_while_a_prompt_plays[events]",),
    "Gather actionOnEmptyResult": (_MENU,),
    "Gather finishOnKey": (_MENU,),
    "Gather input": (f"{_VERBS}test_a_menu_for_speech_takes_no_keys",),
    "Gather method": (_MENU,),
    "Gather numDigits": (_MENU,),
    "Gather timeout": (f"{_SILENT}[gather]",),
    "Pause length": (f"{_SILENT}[gather]",),
    "Play digits": (f"{_VERBS}test_a_call_presses_keys",),
    "Play loop": (_PROMPTS,),
    "Record action": (_KEYED,),
    "Record finishOnKey": (_KEYED,),
    "Record maxLength": (_MESSAGE,),
    "Record method": (_KEYED,),
    "Record playBeep": (_KEYED,),
    "Record recordingStatusCallback": (_MESSAGE,),
    "Record recordingStatusCallbackEvent": (_MESSAGE,),
    "Record recordingStatusCallbackMethod": (_KEYED,),
    "Record timeout": (f"{_SILENT}[record]",),
    "Record trim": (f"{_VERBS}test_the_silence_that_ends_a_message_is_kept_if_it_says",),
    "Redirect method": (_PROMPTS,),
    "Refer action": (_TEXTED,),
    "Refer method": (_TEXTED,),
    "Reject reason": (f"{_ENDINGS}test_a_call_that_is_rejected[busy-486]",),
    "Say loop": (_PROMPTS,),
    "Sms action": (_TEXTED,),
    "Sms from": (_TEXTED,),
    "Sms method": (_TEXTED,),
    "Sms to": (_TEXTED,),
    "Start action": (_BESIDE,),
    "Start method": (_BESIDE,),
    "Start>Recording channels": (_BESIDE,),
    "Start>Recording recordingStatusCallback": (_BESIDE,),
    "Start>Recording recordingStatusCallbackEvent": (_BESIDE,),
    "Start>Recording recordingStatusCallbackMethod": (_BESIDE,),
    "Start>Recording track": (_BESIDE,),
}


def named() -> dict[str, tuple[str, ...]]:
    """The tests of each attribute, by its name."""
    return {name: (f"{TEST}[{name}]", *GATEWAY.get(name, ())) for name in {**ROWS, **GATEWAY}}

"""How `<Gather>` is written: keys that are pressed while prompts are heard.

What belongs to speech is read, so that a wrong value is found, and has no effect.
Source: https://www.twilio.com/docs/voice/twiml/gather.
"""

from collections.abc import Callable
from typing import Any, Final

from twiml import readers
from twiml.common_attributes import action
from twiml.elements import (
    GET_OR_POST,
    URL,
    YES_OR_NO,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
    OnBadValue,
    unused_text,
)
from twiml.errors import (
    INVALID_BARGE_IN,
    INVALID_FINISH_ON_KEY,
    INVALID_GATHER_CHILD,
    INVALID_GATHER_LANGUAGE,
    INVALID_GATHER_METHOD,
    INVALID_GATHER_TIMEOUT,
    INVALID_HINTS,
    INVALID_INPUT,
    INVALID_MAX_SPEECH_TIME,
    INVALID_NUM_DIGITS,
    INVALID_ON_EMPTY_RESULT,
    INVALID_PARTIAL_METHOD,
    INVALID_PROFANITY_FILTER,
    INVALID_SPEECH_MODEL,
    INVALID_SPEECH_TIMEOUT,
    SCHEMA_WARNING,
)
from twiml.prompt_elements import LONGEST_CALL, PROMPTS
from twiml.verbs import Gather, Pause, Play, Say

__all__ = ["GATHER"]

_MAX_DIGITS: Final = 1000
_LONGEST_HINTS: Final = 50_000
_MODEL: Final = (
    r"default|numbers_and_commands|phone_call"
    r"|(?:experimental|googlev2|deepgram)_[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
)
_WHOLE_SECONDS: Final = f"a whole number of seconds from 1 to {LONGEST_CALL}"
_NO_SPEECH: Final = "speech is not listened to"


def _gather(fields: dict[str, Any], content: Content) -> Made[Gather]:
    complaints = unused_text(content, "Gather")
    if "speech" in fields.get("input", ()):
        why = f"speech as input of <Gather> has no effect here: {_NO_SPEECH}"
        complaints += (Complaint(SCHEMA_WARNING, why),)
    prompts = tuple(part for part in content.parts if isinstance(part, Say | Play | Pause))
    return Made(Gather(prompts=prompts, **fields), complaints)


def _checked(read: Callable[[str], object | None], code: int, expected: str) -> Attribute:
    return Attribute(field="", read=read, code=code, expected=expected)


def _seconds_or_auto(text: str) -> object | None:
    return text if text == "auto" else readers.integer(1, LONGEST_CALL)(text)


_KEYS: Final = {
    "input": Attribute(
        field="input",
        read=readers.some_of({each: each for each in ("dtmf", "speech")}),
        code=INVALID_INPUT,
        expected="dtmf, speech or both",
        difference=f"`speech` is warned of: {_NO_SPEECH}",
    ),
    **action(INVALID_GATHER_METHOD),
    "timeout": Attribute(
        field="timeout",
        read=readers.integer(1, LONGEST_CALL),
        code=INVALID_GATHER_TIMEOUT,
        expected=_WHOLE_SECONDS,
    ),
    "finishOnKey": Attribute(
        field="finish_on_key",
        read=readers.matching(r"[0-9*#]{0,12}"),
        code=INVALID_FINISH_ON_KEY,
        expected="some of 0-9, * and #, or nothing for no key",
    ),
    "numDigits": Attribute(
        field="num_digits",
        read=readers.integer(1, _MAX_DIGITS),
        code=INVALID_NUM_DIGITS,
        expected=f"a whole number from 1 to {_MAX_DIGITS}",
    ),
    "actionOnEmptyResult": Attribute(
        field="action_on_empty_result",
        read=readers.yes_or_no,
        code=INVALID_ON_EMPTY_RESULT,
        expected=YES_OR_NO,
        # Twilio's level for this one is error, not warning.
        on_bad_value=OnBadValue.END_DOCUMENT,
    ),
}

_SPEECH: Final = {
    "speechTimeout": _checked(
        _seconds_or_auto, INVALID_SPEECH_TIMEOUT, f"auto or {_WHOLE_SECONDS}"
    ),
    "language": _checked(readers.language, INVALID_GATHER_LANGUAGE, "a language such as en-GB"),
    "hints": _checked(readers.line(_LONGEST_HINTS), INVALID_HINTS, "phrases with commas between"),
    "speechModel": _checked(
        readers.matching(_MODEL), INVALID_SPEECH_MODEL, "a model such as phone_call"
    ),
    "enhanced": _checked(readers.yes_or_no, SCHEMA_WARNING, YES_OR_NO),
    "profanityFilter": _checked(readers.yes_or_no, INVALID_PROFANITY_FILTER, YES_OR_NO),
    "bargeIn": _checked(readers.yes_or_no, INVALID_BARGE_IN, YES_OR_NO),
    "partialResultCallback": _checked(readers.url_reference, SCHEMA_WARNING, URL),
    "partialResultCallbackMethod": _checked(readers.method, INVALID_PARTIAL_METHOD, GET_OR_POST),
    "maxSpeechTime": _checked(
        readers.integer(1, LONGEST_CALL), INVALID_MAX_SPEECH_TIME, _WHOLE_SECONDS
    ),
}

GATHER: Final = Element(
    attributes={**_KEYS, **_SPEECH},
    undone={
        **dict.fromkeys(_SPEECH, _NO_SPEECH),
        "debug": _NO_SPEECH,
        "dtmfDetection": "`input` says whether keys count",
    },
    children=PROMPTS,
    child_code=INVALID_GATHER_CHILD,
    make=_gather,
)

"""How what a caller hears is written: `<Say>`, `<Play>`, `<Pause>`.

In a `<Gather>` they are the same, but for the codes of two mistakes.
Sources: https://www.twilio.com/docs/voice/twiml/say, /play and /pause.
"""

from typing import Any, Final

from twiml import readers
from twiml.elements import Attribute, Complaint, Content, Element, Made, unused_text
from twiml.errors import (
    INVALID_GATHERED_LOOP,
    INVALID_GATHERED_VOICE,
    INVALID_LANGUAGE,
    INVALID_PAUSE_LENGTH,
    INVALID_PLAY_DIGITS,
    INVALID_PLAY_LOOP,
    INVALID_SAY_LOOP,
    INVALID_VOICE,
    NOTHING_TO_SAY,
    SCHEMA_WARNING,
    TEXT_TOO_LONG,
)
from twiml.ssml_elements import SSML, spoken
from twiml.verbs import Pause, Play, Say

__all__ = [
    "LONGEST_CALL",
    "MAX_LOOPS",
    "MAX_POLLY_TEXT",
    "MAX_TEXT",
    "PAUSE",
    "PLAY",
    "PROMPTS",
    "SAY",
]

LONGEST_CALL: Final = 14400  # seconds
MAX_TEXT: Final = 4096  # characters of a <Say>
MAX_POLLY_TEXT: Final = 3000
MAX_LOOPS: Final = 1000

_VOICE: Final = r"man|woman|alice|[A-Za-z][A-Za-z0-9]{0,31}\.[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_POLLY: Final = "Polly."
_LOOPS: Final = f"a whole number up to {MAX_LOOPS}; 0 is without end"


def _say(fields: dict[str, Any], content: Content) -> Made[Say]:
    said = spoken(content)
    text, ssml = (" ".join(each.split()) for each in (said.text, said.ssml))
    if not text and "<break" not in ssml:
        return Made(None, (Complaint(NOTHING_TO_SAY, "a <Say> has no text; it is passed over"),))
    marked = f"<speak>{ssml}</speak>" if "<" in ssml else ""
    limit = MAX_POLLY_TEXT if fields.get("voice", "").startswith(_POLLY) else MAX_TEXT
    if len(text) <= limit:
        return Made(Say(text=text, ssml=marked, **fields))
    why = f"of {len(text)} characters in a <Say>, {limit} at most are spoken"
    why += ", and without their markup" if marked else ""
    return Made(Say(text=_cut(text, limit), **fields), (Complaint(TEXT_TOO_LONG, why),))


def _cut(text: str, limit: int) -> str:
    """As many whole words as there is room for."""
    return text[: limit + 1].rpartition(" ")[0] or text[:limit]


def _play(fields: dict[str, Any], content: Content) -> Made[Play]:
    if "digits" in fields:
        beside = Complaint(SCHEMA_WARNING, "the URL in a <Play> with digits is not played")
        return Made(Play(**fields), (beside,) if content.text else ())
    if readers.url_reference(content.text) is None:
        why = "a <Play> holds neither a URL of http or https nor digits; it is passed over"
        return Made(None, (Complaint(SCHEMA_WARNING, why),))
    return Made(Play(url=content.text, **fields))


def _pause(fields: dict[str, Any], content: Content) -> Made[Pause]:
    return Made(Pause(**fields), unused_text(content, "Pause"))


def _said(voice_code: int, loop_code: int) -> Element[Say]:
    return Element(
        attributes={
            "voice": Attribute(
                field="voice",
                read=readers.matching(_VOICE),
                code=voice_code,
                expected="man, woman, alice, or a provider and its voice, as Polly.Joanna",
                difference="a voice that is not there is another one of its language, with"
                " warning 13511",
            ),
            "language": Attribute(
                field="language",
                read=readers.language,
                code=INVALID_LANGUAGE,
                expected="a language such as en-GB",
            ),
            "loop": _loop(loop_code),
        },
        children=SSML,
        make=_say,
        difference=f"Of more than {MAX_TEXT} characters, {MAX_POLLY_TEXT} with a voice of Polly, as"
        " many are spoken, without markup.",
    )


def _loop(code: int) -> Attribute:
    return Attribute(field="loop", read=readers.integer(0, MAX_LOOPS), code=code, expected=_LOOPS)


SAY: Final = _said(INVALID_VOICE, INVALID_SAY_LOOP)

PLAY: Final = Element(
    attributes={
        "digits": Attribute(
            field="digits",
            read=readers.matching(r"[0-9A-D*#wW]{1,128}"),
            code=INVALID_PLAY_DIGITS,
            expected="digits, *, #, A to D, w for half a second and W for a second",
        ),
        "loop": _loop(INVALID_PLAY_LOOP),
    },
    make=_play,
    difference="Files are WAV, MP3, Ogg, FLAC, AIFF, AU, and µ-law and GSM by their type.",
)

PAUSE: Final = Element(
    attributes={
        "length": Attribute(
            field="length",
            read=readers.integer(1, LONGEST_CALL),
            code=INVALID_PAUSE_LENGTH,
            expected=f"a whole number of seconds from 1 to {LONGEST_CALL}",
        )
    },
    make=_pause,
)

PROMPTS: Final = {
    "Say": _said(INVALID_GATHERED_VOICE, INVALID_GATHERED_LOOP),
    "Play": PLAY,
    "Pause": PAUSE,
}

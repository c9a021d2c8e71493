"""How speech is marked up in `<Say>`: the elements of SSML that Twilio takes, and no others.

What comes of them is written anew from what was read, so that a speech engine is given nothing
that is not in these rows. An element that lacks what it needs is as if it were not there: what is
in it is spoken. Elements hold each other to any depth that the XML parser takes.
Sources: https://www.twilio.com/docs/voice/twiml/say/text-speech#ssml, W3C SSML 1.1.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final
from xml.sax.saxutils import escape

import msgspec

from twiml import readers
from twiml.elements import Attribute, Complaint, Content, Element, Made, unused_text
from twiml.errors import SCHEMA_WARNING

__all__ = ["MAX_BREAK", "SSML", "Spoken", "spoken"]

MAX_BREAK: Final = 10_000  # milliseconds

_LONGEST: Final = 256  # characters of a value that is free text
_STRENGTHS: Final = ("none", "x-weak", "weak", "medium", "strong", "x-strong")
_ALPHABETS: Final = (
    "ipa", "x-sampa", "x-amazon-jyutping", "x-amazon-pinyin", "x-amazon-pron-kana",
    "x-amazon-yomigana",
)  # fmt: skip
_MEANINGS: Final = (
    "characters", "spell-out", "cardinal", "number", "ordinal", "digits", "fraction", "unit",
    "date", "time", "address", "expletive", "telephone",
)  # fmt: skip
_DATES: Final = ("mdy", "dmy", "ymd", "md", "dm", "ym", "my", "d", "m", "y", "yyyymmdd")
_PITCH: Final = r"default|x-low|low|medium|high|x-high|[+-][0-9]{1,3}(?:\.[0-9]{1,3})?%"
_RATE: Final = r"default|x-slow|slow|medium|fast|x-fast|[0-9]{1,3}(?:\.[0-9]{1,3})?%"
_VOLUME: Final = r"default|silent|x-soft|soft|medium|loud|x-loud|[+-][0-9]{1,3}(?:\.[0-9]{1,3})?dB"
# What becomes of markup that not every speech engine has.
_PLAIN: Final = "an engine over HTTP speaks the text plainly"
_AS_WRITTEN: Final = "the text in it is spoken as it is written"
_TIME: Final = readers.matching(r"\+?[0-9]{1,5}(?:\.[0-9]{1,3})?m?s")


class Spoken(msgspec.Struct, frozen=True):
    """What is said, as text and as SSML without a root."""

    text: str
    ssml: str


def spoken(content: Content) -> Spoken:
    """What stood between the tags of an element, in order."""
    text, ssml = list[str](), list[str]()
    for each in content.mixed:
        if isinstance(each, Spoken):
            text.append(each.text)
            ssml.append(each.ssml)
        elif isinstance(each, str):
            text.append(each)
            ssml.append(escape(each))
    return Spoken("".join(text), "".join(ssml))


class _Aloud(Enum):
    """What of an element is heard where the markup is not understood."""

    CONTENT = "content"
    APART = "content, apart from what is beside it"
    ALIAS = "alias"


def _make(
    name: str, needs: tuple[str, ...] = (), aloud: _Aloud = _Aloud.CONTENT
) -> Callable[[dict[str, Any], Content], Made[Spoken]]:
    """The reader of one element, which says nothing without one of the attributes it `needs`."""

    def make(fields: dict[str, Any], content: Content) -> Made[Spoken]:
        inside = spoken(content)
        if needs and not fields.keys() & set(needs):
            why = f"a <{name}> without {' or '.join(needs)} has no effect: its text is spoken"
            return Made(inside, (Complaint(SCHEMA_WARNING, why),))
        ssml = f"<{name}{_written(fields)}>{inside.ssml}</{name}>"
        match aloud:
            case _Aloud.CONTENT:
                return Made(Spoken(inside.text, ssml))
            case _Aloud.APART:
                return Made(Spoken(f" {inside.text} ", ssml))
            case _Aloud.ALIAS:
                return Made(Spoken(fields["alias"], ssml))

    return make


def _break(fields: dict[str, Any], content: Content) -> Made[Spoken]:
    return Made(Spoken(" ", f"<break{_written(fields)}/>"), unused_text(content, "break"))


def _written(fields: dict[str, Any]) -> str:
    return "".join(
        f' {name}="{escape(value, {chr(34): "&quot;"})}"' for name, value in sorted(fields.items())
    )


def _time(text: str) -> str | None:
    read = _TIME(text)
    if read is None:
        return None
    milliseconds = float(read[:-2]) if read.endswith("ms") else float(read[:-1]) * 1000
    return read if milliseconds <= MAX_BREAK else None


def _attribute(
    name: str, read: Callable[[str], str | None], expected: str, difference: str = ""
) -> Attribute:
    return Attribute(
        field=name, read=read, code=SCHEMA_WARNING, expected=expected, difference=difference
    )


def _one_of(name: str, values: tuple[str, ...], difference: str = "") -> Attribute:
    read = readers.one_of({value: value for value in values})
    return _attribute(name, read, f"one of {', '.join(values)}", difference)


def _free(name: str, what: str) -> Attribute:
    return _attribute(name, readers.line(_LONGEST), what)


def _all_but(rows: dict[str, Element[object]], *names: str) -> dict[str, Element[object]]:
    return {name: element for name, element in rows.items() if name not in names}


# Filled below: rows that hold each other.
SSML: Final[dict[str, Element[object]]] = {}
_IN_P: Final[dict[str, Element[object]]] = {}
_IN_S: Final[dict[str, Element[object]]] = {}
_IN_W: Final[dict[str, Element[object]]] = {}

_PROSODY: Final = {
    "pitch": _attribute(
        "pitch",
        readers.matching(_PITCH),
        "x-low to x-high, default, or a change such as +10%",
        _PLAIN,
    ),
    "rate": _attribute(
        "rate",
        readers.matching(_RATE),
        "x-slow to x-fast, default, or a share such as 90%",
        _PLAIN,
    ),
    "volume": _attribute(
        "volume",
        readers.matching(_VOLUME),
        "silent, x-soft to x-loud, default, or a change such as +6dB",
        _PLAIN,
    ),
}
_BREAK: Final = {
    "strength": _one_of("strength", _STRENGTHS),
    "time": _attribute("time", _time, f"a time such as 500ms, up to {MAX_BREAK // 1000}s"),
}

SSML.update(
    {
        "break": Element(attributes=_BREAK, make=_break),
        "emphasis": Element(
            attributes={"level": _one_of("level", ("strong", "moderate", "reduced"), _PLAIN)},
            children=_IN_S,
            make=_make("emphasis"),
        ),
        "lang": Element(
            attributes={
                "xml:lang": _attribute(
                    "xml:lang", readers.language, "a language such as fr-FR", _PLAIN
                )
            },
            children=SSML,
            make=_make("lang", ("xml:lang",)),
        ),
        "p": Element(children=_IN_P, make=_make("p", aloud=_Aloud.APART)),
        "phoneme": Element(
            attributes={
                "alphabet": _one_of("alphabet", _ALPHABETS),
                "ph": _free("ph", "phonetic symbols"),
            },
            undone=dict.fromkeys(("alphabet", "ph"), _AS_WRITTEN),
            make=_make("phoneme", ("ph",)),
        ),
        "prosody": Element(
            attributes=_PROSODY, children=SSML, make=_make("prosody", ("pitch", "rate", "volume"))
        ),
        "s": Element(children=_IN_S, make=_make("s", aloud=_Aloud.APART)),
        "say-as": Element(
            attributes={
                "interpret-as": _one_of(
                    "interpret-as",
                    _MEANINGS,
                    "characters, digits and telephone numbers are spelt out, expletives left out,"
                    " the rest is up to the engine",
                ),
                "format": _one_of("format", _DATES),
            },
            undone={"format": _AS_WRITTEN},
            make=_make("say-as", ("interpret-as",)),
        ),
        "sub": Element(
            attributes={"alias": _free("alias", "what is spoken instead")},
            make=_make("sub", ("alias",), _Aloud.ALIAS),
        ),
        "w": Element(
            attributes={"role": _free("role", "what kind of word it is")},
            undone={"role": _AS_WRITTEN},
            children=_IN_W,
            make=_make("w", ("role",)),
        ),
    }
)
_IN_P.update(_all_but(SSML, "p"))
_IN_S.update(_all_but(_IN_P, "s"))
_IN_W.update(_all_but(_IN_S, "lang", "w"))

"""Twilio's names of voices and languages, and who of those that are here comes nearest.

A voice of Amazon or Google is none of ours, so whoever asks for one hears another: of the same
language and, where the name tells, as high or as deep.
"""

import re
from typing import Final

import msgspec

from gateway.speech.model import INVALID_LANGUAGE, INVALID_VOICE, Cast, Remark

DEFAULT_LANGUAGE: Final = "en-us"
_PLAIN: Final = {"": "f3", "woman": "f3", "man": "m3"}
_GOOGLE: Final = re.compile(r"Google\.([a-z]{2,3}-[A-Z]{2})-[A-Za-z0-9-]{1,40}")
_TAG: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}")

_SPOKEN: Final = (
    "af am an ar as az ba be bg bn bs ca cmn cs cy da de el en-029 en-gb en-gb-scotland en-us eo es"
    " es-419 et eu fa fi fr-be fr-ch fr-fr ga gd gn gu he hi hr ht hu hy ia id is it ja ka kk kn ko"
    " ku ky la lb lt lv mi mk ml mr ms mt my nb ne nl om or pa pl pt pt-br ro ru sd si sk sl sq sr"
    " sv sw ta te th tk tr tt ug uk ur uz vi yue"
)
SPOKEN: Final = frozenset(_SPOKEN.split())
"""What espeak-ng speaks, by its own names."""

_AS: Final = {
    "arb": "ar", "cmn-cn": "cmn", "en": "en-us", "en-au": "en-gb", "en-gb-wls": "en-gb",
    "en-ie": "en-gb", "en-in": "en-gb", "en-nz": "en-gb", "en-za": "en-gb", "es-mx": "es-419",
    "es-us": "es-419", "fr": "fr-fr", "iw": "he", "no": "nb", "yue": "yue", "zh": "cmn",
    "zh-hk": "yue",
}  # fmt: skip

_POLLY: Final = {
    name: (language, sex)
    for language, sex, names in (
        ("ar", "f", "Zeina Hala"), ("ar", "m", "Zayd"), ("ca", "f", "Arlet"),
        ("cs", "f", "Jitka"), ("cmn", "f", "Zhiyu"), ("yue", "f", "Hiujin"), ("cy", "f", "Gwyneth"),
        ("da", "f", "Naja Sofie"), ("da", "m", "Mads"), ("de", "f", "Marlene Vicki Hannah Sabrina"),
        ("de", "m", "Hans Daniel"), ("en-gb", "f", "Amy Emma Nicole Olivia Niamh Raveena Ayanda"),
        ("en-gb", "m", "Brian Arthur Russell Geraint"), ("en-gb", "f", "Aria Jasmine"),
        ("en-us", "f", "Joanna Salli Kendra Kimberly Ivy Ruth Danielle"),
        ("en-us", "m", "Joey Matthew Justin Kevin Gregory Stephen Patrick"),
        ("es", "f", "Conchita Lucia Alba"), ("es", "m", "Enrique Sergio Raul"),
        ("es-419", "f", "Mia Penelope Lupe"), ("es-419", "m", "Miguel Pedro Andres"),
        ("fi", "f", "Suvi"), ("fr-be", "f", "Isabelle"), ("fr-fr", "f", "Celine Lea Chantal"),
        ("fr-fr", "f", "Gabrielle"), ("fr-fr", "m", "Mathieu Remi Liam"),
        ("hi", "f", "Aditi Kajal"),
        ("is", "f", "Dora"), ("is", "m", "Karl"), ("it", "f", "Carla Bianca"),
        ("it", "m", "Giorgio Adriano"), ("ja", "f", "Mizuki Kazuha Tomoko"), ("ja", "m", "Takumi"),
        ("ko", "f", "Seoyeon Jihye"), ("nb", "f", "Liv Ida"), ("nl", "f", "Lotte Laura Lisa"),
        ("nl", "m", "Ruben"), ("pl", "f", "Ewa Maja Ola"), ("pl", "m", "Jacek Jan"),
        ("pt", "f", "Ines"), ("pt", "m", "Cristiano"), ("pt-br", "f", "Vitoria Camila"),
        ("pt-br", "m", "Ricardo Thiago"), ("ro", "f", "Carmen"), ("ru", "f", "Tatyana"),
        ("ru", "m", "Maxim"), ("sv", "f", "Astrid Elin"), ("tr", "f", "Filiz Burcu"),
    )
    for name in names.split()
}  # fmt: skip

# Letters and names of Google's voices that are deep; the others count as high.
_NAMED_DEEP: Final = (
    "B D I J Achird Algenib Algieba Alnilam Charon Enceladus Fenrir Iapetus Orus Puck Rasalgethi"
    " Sadachbia Sadaltager Schedar Umbriel Zubenelgenubi"
)
_DEEP: Final = frozenset(_NAMED_DEEP.split())
_VARIANTS: Final = {"f": "f3", "m": "m3"}
# With a variant espeak-ng wants the name that the language's file has.
_FILES: Final = {"en-gb": "en", "fr-fr": "fr"}


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """What a voice's name says: a `language`, empty if none, and `variant`, how it sounds.

    `is_known` is false of a name that Twilio has not got either.
    """

    language: str
    variant: str
    is_ours: bool = False
    is_known: bool = True


def meant(voice: str) -> Meant:
    """What the name `voice` says."""
    if voice in _PLAIN:
        return Meant(language="", variant=_PLAIN[voice], is_ours=True)
    if voice == "alice":
        return Meant(language="", variant="f3")
    if match := _GOOGLE.fullmatch(voice):
        sex = "m" if voice.rpartition("-")[2] in _DEEP else "f"
        return Meant(language=match[1], variant=_VARIANTS[sex])
    provider, _, name = voice.partition(".")
    # Behind the name stands the kind of engine: Joanna, Joanna-Neural, Joanna-Generative.
    found = _POLLY.get(_ascii(name.partition("-")[0])) if provider == "Polly" else None
    if found is None:
        return Meant(language="", variant="f3", is_known=provider == "Polly" and bool(name))
    return Meant(language=found[0], variant=_VARIANTS[found[1]])


def _ascii(name: str) -> str:
    return name.translate(str.maketrans("áäçéíóúÁÉÍÓÚ", "aaceiouAEIOU"))


def tongue(language: str) -> str:
    """The name of espeak-ng for a language of BCP 47; empty if it has no such one."""
    tag = language.lower().replace("_", "-")
    if not _TAG.fullmatch(tag):
        return ""
    first = tag.partition("-")[0]
    for each in (tag, first):
        found = _AS.get(each, each)
        if found in SPOKEN:
            return found
    return ""


def cast_espeak(voice: str, language: str) -> Cast:
    """Who of espeak-ng's speaks for `voice` and `language`."""
    wanted = meant(voice)
    # As with Twilio a voice that has a language speaks that, whatever the attribute says.
    asked = wanted.language or language
    spoken = tongue(asked) if asked else DEFAULT_LANGUAGE
    remarks = []
    if not wanted.is_ours:
        remarks.append(another(voice, wanted, f"espeak-ng, in {spoken or DEFAULT_LANGUAGE}"))
    if not spoken:
        message = f"espeak-ng does not speak {language!r}: {DEFAULT_LANGUAGE} is spoken"
        remarks.append(Remark(code=INVALID_LANGUAGE, message=message))
    spoken = spoken or DEFAULT_LANGUAGE
    name = f"{_FILES.get(spoken, spoken)}+{wanted.variant}"
    return Cast(voice=name, language=spoken, remarks=tuple(remarks))


def another(voice: str, wanted: Meant, who: str) -> Remark:
    """That it is not `voice` who speaks but `who`."""
    what = "is not here" if wanted.is_known else "is no voice"
    return Remark(code=INVALID_VOICE, message=f"{voice!r} {what}: {who} speaks")

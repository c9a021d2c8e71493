"""Who speaks for Twilio's voices and languages."""

import pytest

from gateway.speech.voices import SPOKEN, cast_espeak, meant, tongue


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("en-US", "en-us"),
        ("en-AU", "en-gb"),
        ("de-DE", "de"),
        ("de-AT", "de"),
        ("fr-CA", "fr-fr"),
        ("es-MX", "es-419"),
        ("es-ES", "es"),
        ("pt-BR", "pt-br"),
        ("pt-PT", "pt"),
        ("cmn-CN", "cmn"),
        ("zh-CN", "cmn"),
        ("zh-HK", "yue"),
        ("arb", "ar"),
        ("nb-NO", "nb"),
        ("xx-YY", ""),
        ("", ""),
        ("../../etc/passwd", ""),
        ("en-us+f3", ""),
        ("e" * 100_000, ""),
    ],
)
def test_languages_by_the_names_of_espeak(language: str, name: str) -> None:
    assert tongue(language) == name
    assert not name or name in SPOKEN


@pytest.mark.parametrize(
    ("voice", "language", "name", "codes"),
    [
        ("", "", "en-us+f3", []),
        ("woman", "de-DE", "de+f3", []),
        ("man", "en-GB", "en+m3", []),
        ("man", "fr-FR", "fr+m3", []),
        ("alice", "", "en-us+f3", [13511]),
        ("Polly.Joanna", "", "en-us+f3", [13511]),
        ("Polly.Joanna-Neural", "de-DE", "en-us+f3", [13511]),
        ("Polly.Hans", "", "de+m3", [13511]),
        ("Polly.Céline", "", "fr+f3", [13511]),
        ("Polly.Nobody", "it-IT", "it+f3", [13511]),
        ("Google.ja-JP-Chirp3-HD-Charon", "", "ja+m3", [13511]),
        ("Google.de-DE-Wavenet-A", "", "de+f3", [13511]),
        ("woman", "tlh-KX", "en-us+f3", [13512]),
        ("Google.tlh-KX-Standard-B", "", "en-us+m3", [13511, 13512]),
        ("somebody", "", "en-us+f3", [13511]),
    ],
)
def test_a_voice_that_is_not_here_is_told_of(
    voice: str, language: str, name: str, codes: list[int]
) -> None:
    cast = cast_espeak(voice, language)
    assert cast.voice == name
    assert [each.code for each in cast.remarks] == codes


def test_what_twilio_has_is_told_apart_from_what_nobody_has() -> None:
    (missing,) = cast_espeak("Polly.Joanna", "").remarks
    (unknown,) = cast_espeak("somebody", "").remarks
    assert missing.message == "'Polly.Joanna' is not here: espeak-ng, in en-us speaks"
    assert unknown.message == "'somebody' is no voice: espeak-ng, in en-us speaks"


@pytest.mark.parametrize("voice", ["Polly.", "Google.", ".", "Polly", "Google.en-US-" + "a" * 99])
def test_half_a_name_is_no_voice(voice: str) -> None:
    assert not meant(voice).is_known

"""SSML for engines that take it, and for those that take text alone."""

import pytest

from gateway.speech.model import Unspoken
from gateway.speech.ssml import Pause, for_espeak, parts


def speak(inner: str) -> str:
    return f"<speak>{inner}</speak>"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("Hello  you", ("Hello you",)),
        ('a<break time="2s"/>b', ("a", Pause(seconds=2.0), "b")),
        ('a<break time="250ms"/>b', ("a", Pause(seconds=0.25), "b")),
        ('a<break strength="x-strong"/>b', ("a", Pause(seconds=1.0), "b")),
        ('a<break strength="none"/>b', ("a b",)),
        ('a<break time="9999s"/>b', ("a", Pause(seconds=10.0), "b")),
        ('a<break time="-1s"/>b', ("a", Pause(seconds=0.4), "b")),
        ("<p>one</p><p>two</p>", ("one", Pause(seconds=0.5), "two", Pause(seconds=0.5))),
        ('<sub alias="World Wide Web">WWW</sub>!', ("World Wide Web!",)),
        ('<say-as interpret-as="telephone">55 12</say-as>', ("5 5 1 2",)),
        ('<say-as interpret-as="spell-out">abc</say-as>', ("a b c",)),
        ('<say-as interpret-as="cardinal">12</say-as>', ("12",)),
        ('a <say-as interpret-as="expletive">b</say-as> c', ("a c",)),
        ('<phoneme alphabet="ipa" ph="x">pecan</phoneme>', ("pecan",)),
        ('<prosody rate="slow">a <emphasis>b</emphasis></prosody>', ("a b",)),
        ("", ()),
    ],
)
def test_texts_and_pauses(inner: str, expected: tuple[object, ...]) -> None:
    assert parts(speak(inner)) == expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("a &lt; b &amp; c", "a &lt; b &amp; c"),
        ('a<break time="2s"/>b', 'a<break time="2000ms"/>b'),
        ('<prosody rate="slow" pitch="high">a</prosody>',) * 2,
        ('<prosody rate="90%" volume="+6dB">a</prosody>',) * 2,
        ('<prosody rate="87.5%" pitch="+12.5%" volume="-6.5dB">a</prosody>',) * 2,
        ('<prosody rate="9999999%" onload="x">a</prosody>', "<prosody>a</prosody>"),
        ("<emphasis>a</emphasis>", '<emphasis level="moderate">a</emphasis>'),
        ('<lang xml:lang="fr-FR">a</lang>', '<voice xml:lang="fr-fr">a</voice>'),
        ('<lang xml:lang="tlh">a</lang>', "a"),
        ('<say-as interpret-as="digits">12</say-as>', " 1 2 "),
        ('<audio src="/etc/passwd">a</audio>b', "ab"),
        ('<voice name="../../x">a</voice>b', "ab"),
        ("<p>a <s>b</s></p>",) * 2,
        ("a<!-- <audio/> -->b<?x y?>c", "abc"),
    ],
)
def test_espeak_meets_only_what_twilio_has(inner: str, expected: str) -> None:
    assert for_espeak(speak(inner)) == speak(expected)


@pytest.mark.parametrize(
    "ssml",
    [
        "<speak>a",
        "",
        "no markup",
        '<!DOCTYPE speak [<!ENTITY a "aaaa">]><speak>&a;</speak>',
        '<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak/>',
        "<speak>&unknown;</speak>",
        "<speak>\x00</speak>",
        speak("<p>" * 300 + "</p>" * 300),
    ],
)
def test_what_can_not_be_read_is_not_spoken(ssml: str) -> None:
    assert isinstance(parts(ssml), Unspoken)
    assert isinstance(for_espeak(ssml), Unspoken)

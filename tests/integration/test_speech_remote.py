"""An engine of speech behind HTTP: what it is asked, and what it may do wrong."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from webhook_servers import Reply, Seen, Server, answer, octets, redirect, serving

from gateway.model import SpeechFormat
from gateway.speech.model import Unspoken, Words
from gateway.speech.remote import MOST_PARTS, RemoteConfig, RemoteEngine
from gateway.speech.wav import seconds_of
from gateway.webhooks.exchange import Connections
from gateway.webhooks.guard import Guard
from tests.unit.speech.speech_world import Inline, encoded, strongest, tone


@asynccontextmanager
async def engine(url: str, **more: Any) -> AsyncIterator[RemoteEngine]:
    made = RemoteEngine(
        RemoteConfig(url=url, **more),
        Connections(Guard((ip_network("127.0.0.0/8"),))),
        Inline(),  # type: ignore[arg-type]
        waiting=2,
    )
    yield made
    await made.close()


def sound(path: Path, rate: int = 24000, form: str = "wav") -> bytes:
    return encoded(path, tone(440, 0.5, rate), rate, form, "pcm_s16le").read_bytes()


def body(seen: Seen) -> dict[str, str]:
    found: dict[str, str] = json.loads(seen.body)
    return found


def left(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith("out")]


async def test_a_text_is_asked_for_and_written(tmp_path: Path) -> None:
    reply = answer(body=sound(tmp_path / "in"), Content_Type="audio/wav")
    async with serving(reply) as server, engine(f"{server.origin}/v1/", key="k1") as made:
        cast = made.cast("woman", "de-DE")
        assert cast.remarks == ()
        target = tmp_path / "out.wav"
        assert await made.speak(Words(text="Grüß \ud800Gott"), cast, target) is None
    assert strongest(target) == pytest.approx(440, abs=3)
    assert seconds_of(target) == pytest.approx(0.5, abs=0.01)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/v1/audio/speech")
    assert seen.headers["Authorization"] == "Bearer k1"
    assert seen.headers["Content-Type"] == "application/json"
    assert body(seen) == {
        "model": "tts-1",
        "input": "Grüß ?Gott",
        "voice": "alloy",
        "response_format": "wav",
    }
    assert left(tmp_path) == ["out.wav"]


async def test_samples_alone_are_24000_a_second(tmp_path: Path) -> None:
    reply = answer(body=sound(tmp_path / "in", form="s16le"), Content_Type="audio/pcm")
    async with serving(reply) as server, engine(server.origin, format=SpeechFormat.PCM) as made:
        target = tmp_path / "out.wav"
        assert await made.speak(Words(text="Hello"), made.cast("", ""), target) is None
    assert strongest(target) == pytest.approx(440, abs=3)
    assert body(server.seen[0])["response_format"] == "pcm"
    assert "Authorization" not in server.seen[0].headers


async def test_ssml_is_its_texts_and_the_pauses_between_them(tmp_path: Path) -> None:
    reply = answer(body=sound(tmp_path / "in"), Content_Type="audio/wav")
    words = Words(text="x", ssml='<speak>one<break time="2s"/><emphasis>two</emphasis></speak>')
    async with serving(reply) as server, engine(server.origin) as made:
        target = tmp_path / "out.wav"
        assert await made.speak(words, made.cast("", ""), target) is None
    assert [body(each)["input"] for each in server.seen] == ["one", "two"]
    assert seconds_of(target) == pytest.approx(3.0, abs=0.02)


async def test_a_text_of_many_parts_is_asked_for_at_once(tmp_path: Path) -> None:
    reply = answer(body=sound(tmp_path / "in"), Content_Type="audio/wav")
    words = Words(text="x", ssml=f"<speak>{'a<break/>' * (MOST_PARTS + 1)}</speak>")
    async with serving(reply) as server, engine(server.origin) as made:
        assert await made.speak(words, made.cast("", ""), tmp_path / "out.wav") is None
    (seen,) = server.seen
    assert body(seen)["input"] == " ".join("a" * (MOST_PARTS + 1))


async def test_voices_of_its_own_for_names_of_twilios() -> None:
    async with engine("http://127.0.0.1:1", voices={"Polly.Joanna": "nova"}) as made:
        assert made.cast("Polly.Joanna", "").voice == "nova"
        assert made.cast("Polly.Joanna", "").remarks == ()
        other = made.cast("Polly.Hans", "")
    assert other.voice == "alloy"
    assert [each.message for each in other.remarks] == [
        "'Polly.Hans' is not here: the voice alloy speaks"
    ]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer("429 Too Many Requests"), "answered 429: it is asked too much of"),
        (answer("500 Oops", body=b"out of\n memory"), "answered 500: out of memory"),
        (answer("401 No", body=b"bad key"), "answered 401; look at [speech] api_key: bad key"),
        (redirect(302, "http://169.254.169.254/"), "answered 302"),
        (answer(body=b"{}", Content_Type="application/json"), "application/json, which is no"),
        (answer(body=b"hello", Content_Type="audio/wav"), "is no sound: it is none of WAV"),
        (octets(b"SSH-2.0-OpenSSH\r\n"), "something that is not HTTP"),
        (
            octets(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            "no whole answer within 0.3 s",
        ),
    ],
)
async def test_what_goes_wrong_is_a_reason(tmp_path: Path, reply: Reply, said: str) -> None:
    async with serving(reply) as server, engine(server.origin, timeout=0.3) as made:
        target = tmp_path / "out.wav"
        failed = await made.speak(Words(text="Hello"), made.cast("", ""), target)
        assert made.waiting == 0
    assert isinstance(failed, Unspoken)
    assert said in failed.reason
    assert [each for each in left(tmp_path) if each != "out.wav"] == []


async def test_nobody_there_is_a_reason(tmp_path: Path) -> None:
    async with engine("http://127.0.0.1:1") as made:
        failed = await made.speak(Words(text="a"), made.cast("", ""), tmp_path / "out.wav")
    assert failed == Unspoken(reason="nobody listens on 127.0.0.1:1")


async def test_more_than_may_wait_are_refused(tmp_path: Path) -> None:
    async def inside(server: Server, seen: Seen, writer: Any) -> None:
        made = engines[0]
        made.waiting += 1
        refused.append(await made.speak(Words(text="b"), made.cast("", ""), tmp_path / "other.wav"))
        made.waiting -= 1
        writer.write(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n")

    engines: list[RemoteEngine] = []
    refused: list[Unspoken | None] = []
    async with serving(inside) as server, engine(server.origin) as made:
        engines.append(made)
        await made.speak(Words(text="a"), made.cast("", ""), tmp_path / "out.wav")
    assert refused == [Unspoken(reason="2 others wait for it: try it again later")]


async def test_ssml_that_can_not_be_read_is_not_asked_for(tmp_path: Path) -> None:
    async with serving(answer()) as server, engine(server.origin) as made:
        failed = await made.speak(
            Words(text="a", ssml="<speak>"), made.cast("", ""), tmp_path / "out.wav"
        )
    assert isinstance(failed, Unspoken)
    assert not server.seen

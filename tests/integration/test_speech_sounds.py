"""Sounds of URLs, from a web server to a file: passwords, limits, and where nothing is fetched."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from webhook_servers import (
    TOKEN,
    Reply,
    Seen,
    Server,
    answer,
    dribble,
    fetching,
    redirect,
    serving,
)

from gateway.speech import prompts as room
from gateway.speech.engines import FakeEngine
from gateway.speech.model import NoPrompt, Prompt
from gateway.speech.prompts import Prompts
from tests.unit.speech.speech_world import Inline, encoded, strongest, tone

ACCOUNT = "AC1"


class Tokens:
    def token_of(self, account_sid: str) -> str | None:
        return TOKEN


@asynccontextmanager
async def world(folder: Path, reply: Reply) -> AsyncIterator[tuple[Prompts, Server]]:
    async with serving(reply) as server, fetching() as fetcher:
        prompts = Prompts(
            folder / "prompts",
            synthesiser=FakeEngine(),
            workshop=Inline(),  # type: ignore[arg-type]
            fetcher=fetcher,
            tokens=Tokens(),
            waiting=8,
            cache=1_000_000,
            clock=time.time,
        )
        await prompts.open()
        yield prompts, server
        await prompts.close()


def sound(folder: Path) -> bytes:
    path = encoded(folder / "in", tone(440, 1.0, 8000), 8000, "mp3", "libmp3lame")
    return path.read_bytes()


def files(folder: Path) -> list[str]:
    return sorted(each.suffix for each in (folder / "prompts").iterdir())


async def test_a_password_of_the_url_is_told_who_asks_for_it(tmp_path: Path) -> None:
    good = answer(body=sound(tmp_path), Content_Type="audio/mpeg", ETag='"1"')
    bad = answer("401 Unauthorized", body=b"who?", WWW_Authenticate='Basic realm="a"')

    async def reply(server: Server, seen: Seen, writer: object) -> None:
        await (good if "Authorization" in seen.headers else bad)(server, seen, writer)  # type: ignore[arg-type]

    async with world(tmp_path, reply) as (prompts, server):
        url = server.origin.replace("//", "//me:secret@") + "/a.mp3"
        found = await prompts.sound(url, ACCOUNT)
        assert isinstance(found, Prompt)
        assert strongest(found.path) == pytest.approx(440, abs=3)
        assert await prompts.sound(url, ACCOUNT) == found  # the 200 again: it knows no conditions
    assert [each.headers.get("Authorization", "") for each in server.seen] == [
        "",
        "Basic bWU6c2VjcmV0",
        "Basic bWU6c2VjcmV0",
    ]
    assert server.seen[2].headers["If-None-Match"] == '"1"'
    assert all("X-Twilio-Signature" in each.headers for each in server.seen)
    assert files(tmp_path) == [".json", ".wav"]


@pytest.mark.parametrize(
    ("reply", "fragment", "code"),
    [
        (answer("404 Not Found", body=b"no", Content_Type="audio/wav"), "", 11200),
        (answer(body=b"x" * 5000, Content_Type="audio/wav"), "", 11750),
        (redirect(302, "http://10.0.0.1/a.wav"), "", 11205),
        (redirect(302, "/again"), "", 11215),
        (
            dribble(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\nRIFF", 0.01),
            "#tt=300",
            11203,
        ),
        (answer(body=b"<html/>", Content_Type="text/html"), "", 13420),
        (answer(body=b"<html/>", Content_Type="audio/wav"), "", 13420),
        (answer(body=b"", Content_Type="audio/wav"), "", 13420),
    ],
)
async def test_what_is_not_to_be_had_is_told_by_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, fragment: str, code: int
) -> None:
    monkeypatch.setattr(room, "MOST_SOUND", 4096)
    async with world(tmp_path, reply) as (prompts, server):
        found = await prompts.sound(f"{server.origin}/a.wav{fragment}", ACCOUNT)
    assert isinstance(found, NoPrompt)
    assert [(each.error_code, each.level) for each in found.notes] == [(code, "error")]
    assert files(tmp_path) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "a.wav", "", "http://", "http://a b/"])
async def test_what_is_no_url_of_the_web_is_not_asked(tmp_path: Path, url: str) -> None:
    async with world(tmp_path, answer()) as (prompts, server):
        found = await prompts.sound(url, ACCOUNT)
        assert isinstance(found, NoPrompt)
        assert [each.error_code for each in found.notes] in ([11100], [11210])
        assert not server.seen

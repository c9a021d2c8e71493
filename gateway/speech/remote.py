"""An engine behind HTTP, as OpenAI's is: `POST {url}/audio/speech` answers with sound.

The URL is the operator's own, so it may be on an internal address, and nothing is redirected. Text
is all it takes: pauses of SSML are put between the parts, the rest of it is left out.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from gateway.model import SpeechFormat
from gateway.speech import ssml, voices, wire
from gateway.speech.model import Cast, Unspoken, Words
from gateway.speech.workshop import Workshop
from gateway.webhooks.exchange import Connections, Fault, Response, Want
from gateway.webhooks.target import BadTarget, Target, parse_target

MOST_PARTS: Final = 32
"""Texts of one document that are asked for one by one."""

_MOST: Final = 64 << 20  # octets of one answer: 20 minutes at 24,000 samples a second
_SHOWN: Final = 200


class RemoteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`voice` speaks unless `voices` has another for a name of Twilio's; `timeout` in seconds."""

    url: str
    key: str = ""
    model: str = "tts-1"
    voice: str = "alloy"
    voices: Mapping[str, str] = {}
    format: SpeechFormat = SpeechFormat.WAV
    timeout: float = 20.0


class RemoteEngine:
    """See the module. At most `waiting` prompts are asked for at once."""

    def __init__(
        self, config: RemoteConfig, connections: Connections, workshop: Workshop, *, waiting: int
    ) -> None:
        self._config = config
        self._connections = connections
        self._workshop = workshop
        self._most = waiting
        self.waiting = 0
        self.version = f"http {config.url} {config.model} {config.format}"

    def cast(self, voice: str, language: str) -> Cast:
        """See `Synthesiser`."""
        own = self._config.voices.get(voice)
        if own is not None:
            return Cast(voice=own, language=language)
        wanted = voices.meant(voice)
        ours = self._config.voice
        remarks = () if wanted.is_ours else (voices.another(voice, wanted, f"the voice {ours}"),)
        return Cast(voice=ours, language=language, remarks=remarks)

    async def speak(self, words: Words, cast: Cast, target: Path) -> Unspoken | None:
        """See `Synthesiser`."""
        parts = ssml.parts(words.ssml) if words.ssml else (words.text,)
        if isinstance(parts, Unspoken):
            return parts
        if self.waiting >= self._most:
            return Unspoken(reason=f"{self._most} others wait for it: try it again later")
        self.waiting += 1
        brought: list[Path] = []
        try:
            return await self._speak(_gathered(parts), cast, target, brought)
        finally:
            self.waiting -= 1
            for each in brought:
                with contextlib.suppress(OSError):
                    each.unlink(missing_ok=True)

    async def close(self) -> None:
        """See `Synthesiser`."""
        await self._connections.close()

    async def _speak(
        self, parts: tuple[ssml.Part, ...], cast: Cast, target: Path, brought: list[Path]
    ) -> Unspoken | None:
        kind = "pcm24000" if self._config.format is SpeechFormat.PCM else ""
        pieces: list[wire.Clip | wire.Gap] = []
        for part in parts:
            if isinstance(part, ssml.Pause):
                pieces.append(wire.Gap(seconds=part.seconds))
                continue
            sound = await self._sound(part, cast)
            if isinstance(sound, Unspoken):
                return sound
            path = target.with_name(f"{target.name}.{len(brought)}")
            brought.append(path)
            await asyncio.to_thread(_keep, path, sound)
            pieces.append(wire.Clip(path=str(path), kind=kind))
        answer = await self._workshop.ask(wire.Decode(pieces=tuple(pieces), target=str(target)))
        if isinstance(answer, wire.Unmade):
            return Unspoken(reason=f"what {self._config.url} answered is no sound: {answer.reason}")
        return None

    async def _sound(self, text: str, cast: Cast) -> bytes | Unspoken:
        config = self._config
        target = parse_target(f"{config.url.rstrip('/')}/audio/speech")
        if isinstance(target, BadTarget):
            return Unspoken(reason=target.message)
        want = Want(max_body=_MOST, kept=True)
        response = await self._connections.exchange(
            target, self._question(target, text, cast), want, config.timeout
        )
        if isinstance(response, Fault):
            return Unspoken(reason=_told(target, response.message, config.timeout))
        return _judged(target, response)

    def _question(self, target: Target, text: str, cast: Cast) -> bytes:
        config = self._config
        body = msgspec.json.encode(
            {
                "model": config.model,
                "input": text.encode("utf-8", "replace").decode(),
                "voice": cast.voice,
                "response_format": config.format.value,
            }
        )
        key = f"Authorization: Bearer {config.key}\r\n" if config.key else ""
        head = (
            f"POST {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n"
            f"User-Agent: trunkline\r\nAccept: audio/*\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _told(target: Target, message: str, timeout: float) -> str:
    """A fault's message, in which the time is that of the config and not that of a webhook."""
    if message.startswith("no whole answer"):
        return f"{target.authority} gave no whole answer within {timeout:g} s"
    return message


def _judged(target: Target, response: Response) -> bytes | Unspoken:
    status = response.status
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status == 429:
        return Unspoken(reason=f"{target.authority} answered 429: it is asked too much of")
    if not 200 <= status < 300:
        said = " ".join(response.body[:_SHOWN].decode("utf-8", "replace").split())
        remedy = "; look at [speech] api_key" if status in (401, 403) else ""
        return Unspoken(reason=f"{target.authority} answered {status}{remedy}: {said}")
    if not kind.startswith("audio/") and kind not in ("", "application/octet-stream"):
        return Unspoken(reason=f"{target.authority} answered with {kind}, which is no sound")
    return response.body


def _gathered(parts: tuple[ssml.Part, ...]) -> tuple[ssml.Part, ...]:
    """`parts` with no more texts than are asked for one by one: the others are one."""
    texts = [each for each in parts if isinstance(each, str)]
    if len(texts) <= MOST_PARTS:
        return parts
    return (" ".join(texts),)


def _keep(path: Path, octets: bytes) -> None:
    with path.open("xb") as file:
        path.chmod(0o600)
        file.write(octets)

"""Puts speech together: the engine that the config names, and what makes and keeps prompts."""

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import structlog

from gateway import consistency
from gateway.model import Engine
from gateway.sections import Speech
from gateway.speech.base import Synthesiser
from gateway.speech.engines import EspeakEngine, FakeEngine, ToneEngine
from gateway.speech.prompts import Prompts
from gateway.speech.remote import RemoteConfig, RemoteEngine
from gateway.speech.workshop import Workshop
from gateway.webhooks.callbacks import Tokens
from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard

FOLDER: Final = "prompts"
_SPEAKS_WITHIN: Final = 20.0  # seconds
_DECODES_WITHIN: Final = 30.0
# The engine's URL is the operator's own: it may be anywhere.
_ANYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))

_log = structlog.get_logger(__name__)


def prompts(
    speech: Speech,
    data: Path,
    *,
    fetcher: Fetcher,
    tokens: Tokens,
    clock: Callable[[], float],
) -> Prompts:
    """What makes and keeps prompts in the data folder `data`; made inside a running loop."""
    decodes = Workshop("decoding", waiting=speech.max_waiting, deadline=_DECODES_WITHIN)
    return Prompts(
        data / FOLDER,
        synthesiser=_synthesiser(speech, decodes),
        workshop=decodes,
        fetcher=fetcher,
        tokens=tokens,
        waiting=speech.max_waiting,
        cache=speech.max_cache,
        clock=clock,
    )


def chosen(speech: Speech) -> Engine:
    """Which engine it is, where the config leaves that open."""
    if speech.engine is not Engine.AUTO:
        return speech.engine
    if speech.url:
        return Engine.HTTP
    return Engine.ESPEAK if consistency.has_espeak() else Engine.NONE


def _synthesiser(speech: Speech, decodes: Workshop) -> Synthesiser:
    match chosen(speech):
        case Engine.HTTP:
            return RemoteEngine(
                RemoteConfig(
                    url=speech.url,
                    key=speech.api_key,
                    model=speech.model,
                    voice=speech.voice,
                    voices={each.name: each.voice for each in speech.voices},
                    format=speech.format,
                    timeout=speech.timeout,
                ),
                Connections(Guard(_ANYWHERE), per_host=speech.max_waiting),
                decodes,
                waiting=speech.max_waiting,
            )
        case Engine.ESPEAK:
            speaks = Workshop("speech", waiting=speech.max_waiting, deadline=_SPEAKS_WITHIN)
            return EspeakEngine(speaks)
        case Engine.FAKE:
            return FakeEngine()
        case _:
            _log.warning("a tone is heard in place of speech: there is no engine")
            return ToneEngine()

"""Which engine the config names, what `check` says of it, and what is measured."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway import consistency
from gateway.config import Config, ConfigError, load
from gateway.daemon.prompts import chosen, prompts
from gateway.forms import Secret
from gateway.model import Engine, SpeechFormat
from gateway.sections import Speech, StandIn
from gateway.speech.model import NoPrompt, Prompt
from twiml.verbs import Say

NO_ENGINE = "a tone is heard in place of speech: there is no engine"


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load(path, {"KEY": "k1"})


@pytest.fixture(params=[True, False], ids=["espeak", "no espeak"])
def has_espeak(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(consistency, "has_espeak", lambda: request.param)
    return bool(request.param)


def test_all_of_it_is_read(tmp_path: Path) -> None:
    written = """
        [speech]
        engine = "http"
        url = "http://10.0.0.1:8000/v1"
        api_key = "env:KEY"
        voices = [{ name = "Polly.Joanna", voice = "nova" }]
        format = "pcm"
        timeout = "3s"
    """
    speech = read(tmp_path, written).speech
    assert (speech.engine, speech.format) == (Engine.HTTP, SpeechFormat.PCM)
    assert speech.api_key == "k1"
    assert "k1" not in repr(speech)
    assert speech.voices == (StandIn(name="Polly.Joanna", voice="nova"),)
    assert (speech.model, speech.voice, speech.timeout) == ("tts-1", "alloy", 3.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engin = 'http'", "did you mean engine?"),
        ("engine = 'https'", 'should be "auto" or "espeak" or "http" or "fake" or "none"'),
        ("engine = 'http'", "http needs a url"),
        ("engine = 'fake'\nurl = 'http://a/v1'", "fake asks no url"),
        ("url = 'a/v1'", "an absolute URL"),
        ("api_key = 'a b'", "found a secret"),
        ("voices = [{ name = 'man' }]", "voice is missing"),
        ("max_cache = 10", "of at least 1000000"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f"[speech]\n{text}")
    assert said in str(error.value)


def test_espeak_has_to_be_there_if_it_is_named(tmp_path: Path, has_espeak: bool) -> None:
    if has_espeak:
        assert read(tmp_path, "[speech]\nengine = 'espeak'").speech.engine is Engine.ESPEAK
        return
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "[speech]\nengine = 'espeak'")
    assert "pip install '.[speech]' in the checkout" in str(error.value)


def test_nobody_to_speak_is_noted_and_no_fault(tmp_path: Path, has_espeak: bool) -> None:
    found = [each.problem for each in consistency.voiceless(read(tmp_path, ""))]
    assert found == ([] if has_espeak else [NO_ENGINE])
    for text in (
        "[speech]\nurl = 'http://a/v1'",
        "[speech]\nengine = 'none'",
        "[sip]\nudp=[]\ntcp=[]",
    ):
        assert list(consistency.voiceless(read(tmp_path, text))) == []


def test_auto_takes_what_is_there(has_espeak: bool) -> None:
    assert chosen(Speech(url="http://a/v1")) is Engine.HTTP
    assert chosen(Speech()) is (Engine.ESPEAK if has_espeak else Engine.NONE)
    assert chosen(Speech(engine=Engine.NONE, url="")) is Engine.NONE


@pytest.mark.parametrize("engine", Engine)
async def test_each_engine_is_put_together_and_ended(tmp_path: Path, engine: Engine) -> None:
    # Nobody listens at the URL, and what espeak-ng needs may not be here.
    speech = Speech(engine=engine, url="http://127.0.0.1:1/v1", api_key=Secret("k"))
    made = prompts(
        speech,
        tmp_path,
        fetcher=SimpleNamespace(),  # type: ignore[arg-type]
        tokens=SimpleNamespace(),  # type: ignore[arg-type]
        clock=lambda: 1.0,
    )
    await made.open()
    try:
        if engine in (Engine.FAKE, Engine.NONE):
            assert isinstance(await made.say(Say(text="Hello"), "AC1"), Prompt)
        if engine in (Engine.HTTP, Engine.AUTO):
            assert isinstance(await made.say(Say(text="Hello"), "AC1"), NoPrompt)
    finally:
        await made.close()

"""The file that `trunkline init` writes: nothing in it changes anything, all of it may be set."""

import re
import tomllib
from pathlib import Path

from gateway.config import LISTS, SECTIONS, SIP_KEYS, load
from gateway.sample import rows, sample

KEY = re.compile(r"# (\w+ = .*)")


def uncommented(text: str) -> str:
    """`text` with its keys and list headers made live."""
    lines = [re.sub(r"^# (\[\[\w+\]\])$", r"\1", line) for line in text.splitlines()]
    return "\n".join(KEY.sub(r"\1", line) if KEY.match(line) else line for line in lines)


def test_as_written_it_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text(sample())
    assert load(path, {}) == load(None, {})


def test_every_key_stands_in_it_and_can_be_set(tmp_path: Path) -> None:
    live = uncommented(sample())
    parsed = tomllib.loads(live)
    for name, (_, keys) in SECTIONS.items():
        assert parsed[name].keys() == keys.keys()
    for name, (_, keys) in LISTS.items():
        assert parsed[name][0].keys() == keys.keys()
    assert parsed["carriers"][1].keys() == SIP_KEYS.keys()
    path = tmp_path / "trunkline.toml"
    # A carrier needs a name to bind with and another port than ours.
    named = live.replace('system_id = ""', 'system_id = "me"')
    # A trunk needs to be told where it goes, and whose calls for help it takes.
    named = named.replace('uri = ""', 'uri = "sip:sip.carrier.example"')
    path.write_text(re.sub(r"^port = 2775", "port = 2776", named, flags=re.MULTILINE))
    config = load(path, {"CUSTOMER1_PASSWORD": "secret", "SOURCE1_WRITE_KEY": "key"})
    default = load(None, {})
    assert (config.http, config.webhooks) == (default.http, default.webhooks)
    assert config.carriers[0].name == "acme"


def test_lines_fit_a_terminal() -> None:
    assert max(len(line) for line in sample().splitlines()) <= 100


def test_what_few_things_may_stand_at_a_key_is_said() -> None:
    text = " ".join(line.removeprefix("#").strip() for line in sample().splitlines())
    assert 'what the uri and DNS say ("auto" or "udp" or "tcp" or "tls")' in text
    assert "may register and call; each { username = …, password = … } users = []" in text
    assert '[[domains]] name = "pbx.example"' in text


def test_documentation_has_a_row_for_each_key() -> None:
    tables = [keys for _, keys in (*SECTIONS.values(), *LISTS.values())]
    count = sum(len(keys) for keys in (*tables, SIP_KEYS))
    assert sum(len(found) for found in rows().values()) == count
    assert ("max_body", "1600") in {row[:2] for row in rows()["[messages]"]}

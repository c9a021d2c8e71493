"""What the config file may say of a SIP trunk, once the kind is served."""

import re
import tomllib
from pathlib import Path

import pytest

from carriers.model import Carrier, CarrierKind
from carriers.trunks import Gateway, Inbound, NumberFormat, Trunk
from gateway import sample
from gateway.config import SIP_KEYS, ConfigError, load

ACME = """
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:sip.acme.example"
emergency = []
"""
SMPP = """
[[carriers]]
name = "texts"
kind = "smpp"
system_id = "me"
port = 2776
"""


def read(tmp_path: Path, text: str, **environ: str) -> tuple[Carrier, ...]:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load(path, environ).carriers


def findings(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in caught.value.findings]


def test_keys_are_read_by_their_own_names_and_forms(tmp_path: Path) -> None:
    assert findings(tmp_path, ACME + 'codec = ["PCMU"]\nchannels = "two"') == [
        "trunkline.toml: [[carriers]] 1 (acme): there is no key codec; did you mean codecs?",
        'trunkline.toml: [[carriers]] 1 (acme) channels: found the text "two"; it should be'
        " a whole number of at least 0",
    ]


def test_its_words_become_values(tmp_path: Path) -> None:
    text = """
[[carriers]]
name = "acme"
kind = "sip"
price = "0.01"
gateways = [{ uri = "sip:a.example" }, { uri = "sips:b.example", priority = 1, weight = 5 }]
register = true
username = "acct7"
password = "env:ACME"
inbound = "both"
addresses = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
expires = "10m"
emergency = ["GB", "112", "*"]
stop_codes = [486, 603]
dial = "international"
set_headers = { X-Account = "{account_sid}" }
"""
    (carrier,) = read(tmp_path, text, ACME="s3cret")
    assert (carrier.name, carrier.kind, str(carrier.price)) == ("acme", CarrierKind.SIP, "0.01")
    assert carrier.trunk == Trunk(
        gateways=(
            Gateway(uri="sip:a.example"),
            Gateway(uri="sips:b.example", priority=1, weight=5),
        ),
        register=True,
        username="acct7",
        password="s3cret",
        inbound=Inbound.BOTH,
        addresses=("192.0.2.0/24", "198.51.100.7", "2001:db8::/32"),
        expires=600.0,
        emergency=("GB", "112", "*"),
        stop_codes=(486, 603),
        dial=NumberFormat.INTERNATIONAL,
        set_headers={"X-Account": "{account_sid}"},
    )
    assert "s3cret" not in repr(carrier)


def test_what_is_not_said_is_at_its_default(tmp_path: Path) -> None:
    carrier, texts = read(tmp_path, ACME + SMPP)
    assert carrier.trunk == Trunk(uri="sip:sip.acme.example", emergency=())
    assert texts.trunk is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ACME + 'host = "a.example"',
            "(acme): host is a key of carriers of kind smpp or simulated; give uri",
        ),
        (ACME + "window = 5", "window is a key of carriers of kind smpp or simulated; leave it"),
        (ACME + "trunk = 1", "there is no key trunk"),
        (
            SMPP + 'uri = "sip:a.example"',
            "(texts): uri is a key of carriers of kind sip; give host and port",
        ),
        (SMPP + "codecs = []", "codecs is a key of carriers of kind sip; leave it out"),
        (SMPP + "trunk = 1", "there is no key trunk"),
        (ACME + SMPP.replace("texts", "acme"), "[[carriers]] 2 name: acme stands there twice"),
        (ACME + 'srtp = "yes"', 'it should be "off" or "allow" or "require"'),
        (ACME + "codecs = []", "[[carriers]] 1 (acme): codecs is empty; name one at least"),
        (ACME + 'addresses = ["192.0.2.1/24"]', 'it should be a list in which item 1 is "192.0.2.'),
        (ACME + 'gateways = ["a"]', 'in which item 1 is { uri = "sip:…", priority = 0'),
        (ACME + "gateways = [{ weight = 1 }]", 'item 1 is { uri = "sip:…", priority = 0'),
        (
            ACME + 'gateways = [{ uri = "sip:a", weight = -1 }]',
            "item 1 is a table in which weight is a whole number from 0 to 65535",
        ),
        (ACME + "stop_codes = [200]", "item 1 is a whole number from 300 to 699"),
        (ACME.replace("[]", '["uk"]'), 'item 1 is a country such as "GB"'),
        (
            ACME.replace("emergency = []", ""),
            "[[carriers]]: nothing says where emergency calls go (112, 911, 999 …)",
        ),
        (ACME.replace("[]", '["XX"]'), "carrier acme: emergency has 'XX'; it must be a country"),
        (ACME.replace("sip:sip.acme.example", "sip.acme.example"), 'it should be a URI such as "s'),
    ],
)
def test_mistakes_are_told_with_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    (finding,) = findings(tmp_path, text)
    assert said in finding


def test_a_password_is_not_shown_in_a_finding(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, ACME + 'username = "u"\npassword = 12345678')
    assert "12345678" not in finding


def test_the_sample_has_a_table_of_its_own_for_them_that_may_be_set(tmp_path: Path) -> None:
    text = sample.sample()
    assert max(len(line) for line in text.splitlines()) <= 100
    section = text.split("SIP trunks are carriers")[1].split("\n\n")[0]
    live = "\n".join(
        line[2:] for line in section.splitlines() if re.match(r"# (\w+ = |\[\[)", line)
    )
    (table,) = tomllib.loads(live)["carriers"]
    assert table.keys() == SIP_KEYS.keys()
    (carrier,) = read(tmp_path, live.replace('uri = ""', 'uri = "sip:sip.acme.example"'))
    assert carrier.trunk == Trunk(uri="sip:sip.acme.example", emergency=("GB",))
    rows = sample.rows()['[[carriers]] of kind = "sip"']
    assert [row[0] for row in rows] == list(SIP_KEYS)
    assert all(about for _, _, _, about in rows)

"""What the gateway says when it is ready: commands that work as they stand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import config as configuration
from gateway.welcome import welcome

OWN = '[[numbers]]\nnumber = "+442071838750"\nvoice_url = "http://127.0.0.1:5000/voice"\n'


def said(folder: Path, text: str) -> str:
    file = folder / "trunkline.toml"
    file.write_text(text)
    gateway: Any = SimpleNamespace(ports={"http": 8080, "sip_udp": 5060}, account_sid="AC1")
    return welcome(gateway, configuration.load(file, {}), folder)


@pytest.mark.parametrize("text, number", [("", "+15550001000"), (OWN, "+442071838750")])
def test_what_is_to_be_tried_is_for_a_number_that_there_is(
    tmp_path: Path, text: str, number: str
) -> None:
    shown = said(tmp_path, text)
    assert f"--from {number}" in shown
    assert f"--to {number}" in shown


def test_an_example_that_would_be_refused_is_not_named(tmp_path: Path) -> None:
    """The file says who answers its numbers."""
    assert "voice_app.py" in said(tmp_path, "")
    assert "voice_app.py" not in said(tmp_path, OWN)

"""The pages under docs/ and the README say what is there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli import app
from gateway.messages.idempotency import KEPT_FOR
from twiml.registry import Place, elements, promised
from twiml.voice_dialect import ALL_VOICE, VOICE

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["configuration.md", "rest.md", "twiml.md", "events.md", "asyncapi.json"]
)
def test_generated_pages_are_up_to_date(name: str) -> None:
    page = generator().PAGES[name]()
    assert (ROOT / "docs" / name).read_text() == page, "run `make docs`"


def test_who_writes_submits_is_told_for_how_long_they_are_known() -> None:
    page = " ".join((ROOT / "docs/events.md").read_text().split())
    known = f"{KEPT_FOR / 3600:.0f} hours"
    assert f"known by its `account_sid` and `id` for {known}" in page
    assert f"away for more than {known} may be taken again" in page


def told(place: Place) -> dict[str, str]:
    """What the page about TwiML says of each attribute of an element."""
    page = (ROOT / "docs/twiml.md").read_text()
    title = " in ".join(f"`{name}`" for name in reversed(place))
    _, _, section = page.partition(f"### {title}\n")
    rows = re.findall(
        r"^\| `([^`<]+)` \|.*\| (.*?) \| [^|]*\|$", section.partition("###")[0], re.MULTILINE
    )
    return dict(rows)


def test_each_attribute_of_a_call_s_twiml_is_told_as_it_is() -> None:
    """What has an effect is said to work, and nothing else is."""
    works = set(promised(VOICE))
    for place, element in elements(VOICE):
        here = told(place)
        assert here.keys() == element.attributes.keys() | element.undone.keys()
        for name, state in here.items():
            assert state.startswith("works" if (place, name) in works else "warned (12200): ")


def test_verbs_that_are_not_run_are_told_as_such() -> None:
    for place, element in elements(ALL_VOICE):
        if place[0] not in VOICE.elements:
            here = told(place)
            assert here.keys() == element.attributes.keys() | element.undone.keys()
            assert set(here.values()) <= {"warned (13750)"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_cli_exist(page: Path) -> None:
    """Every `trunkline …` that a page shows is a command, with those options."""
    for line in re.findall(
        r"(?:^|`|\.venv/bin/)trunkline ((?:[a-z][\w-]*)[^`\n]*)", page.read_text()
    ):
        words = line.split("#")[0].split()
        command, names = get_command(app), []
        while words and words[0] in getattr(command, "commands", {}):
            names.append(words.pop(0))
            command = command.commands[names[-1]]
        assert names, f"{page.name}: there is no command `trunkline {line}`"
        shown = CliRunner().invoke(app, [*names, "--help"]).stdout if "sim" not in names else ""
        for option in (word for word in words if word.startswith("--")):
            assert not shown or option.partition("=")[0] in shown, f"{page.name}: {line}"


def test_make_targets_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    (peers,) = re.findall(r"^PEERS := (.*)$", makefile, re.MULTILINE)
    targets |= {f"interop-{peer}" for peer in peers.split()}
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"

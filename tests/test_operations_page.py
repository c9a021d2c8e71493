"""docs/operations.md names what there is: tables, keys, topics, roles that a person asks about."""

import re
import sqlite3
from pathlib import Path

import pytest

from gateway.backup.in_flight import InFlight
from gateway.bus import topics
from gateway.config import SECTIONS
from gateway.owners import Role
from gateway.process import FENCED
from gateway.store.sqlite_file import upgrade

PAGE = (Path(__file__).parent.parent / "docs/operations.md").read_text()
PRIVACY = PAGE[PAGE.index("## Retention and privacy") :]


def tables(folder: Path) -> set[str]:
    path = folder / "store.db"
    connection = sqlite3.connect(path, isolation_level=None)
    upgrade(connection, path)
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    names = {name for (name,) in rows if not name.startswith("sqlite_")}
    return {re.sub(r"_\d+$", "_N", name) for name in names}


def test_every_table_has_its_line_about_privacy(tmp_path: Path) -> None:
    first_cells = " ".join(re.findall(r"^\| ([^|]*) \|", PRIVACY, re.MULTILINE))
    assert tables(tmp_path) <= set(re.findall(r"`(\w+)`", first_cells))


def test_every_topic_has_its_line_about_privacy() -> None:
    for name, _, _ in topics.KINDS:
        assert re.search(rf"^\| `{re.escape(name)}` and its clean topic \|", PRIVACY, re.MULTILINE)


@pytest.mark.parametrize("section, key", sorted(set(re.findall(r"\[(\w+)\] (\w+)", PAGE))))
def test_every_key_is_one_of_the_config(section: str, key: str) -> None:
    assert key in SECTIONS[section][1]


def test_roles_and_ways_to_restore_are_those_that_there_are() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \|$", PAGE, re.MULTILINE)) >= {
        *(role.value for role in Role),
        "all",
    }
    for choice in InFlight:
        assert re.search(rf"^\| `{choice}`", PAGE, re.MULTILINE)
    assert f"exit status {FENCED}" in PAGE


@pytest.mark.parametrize("metric", sorted(set(re.findall(r"trunkline_([a-z_]+)", PAGE))))
def test_every_metric_is_counted_somewhere(metric: str) -> None:
    source = (Path(__file__).parent.parent / "gateway/metrics.py").read_text()
    assert f'"{metric}"' in source or f'"{metric.partition("_")[2]}"' in source

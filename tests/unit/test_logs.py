"""Nothing that a variable holds gets into a log."""

import subprocess
import sys

PROGRAM = """
import structlog
from gateway import logs
logs.set_up()
def fails(auth_token):
    raise RuntimeError("a defect")
try:
    fails("s3cr3t-token")
except RuntimeError:
    structlog.get_logger().exception("it failed")
"""


def test_a_traceback_shows_no_values_of_variables() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert "RuntimeError: a defect" in said
    assert "it failed" in said
    assert "s3cr3t" not in said.replace('fails("s3cr3t-token")', "")

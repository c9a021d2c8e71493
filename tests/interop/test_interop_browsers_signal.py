"""The softphone's half of `/signal` in Node.js, with a socket and timers that are held."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

_SIGNAL = Path(__file__).parents[2] / "gateway/api/softphone/signal.js"
_SCRIPT = """
import { Signal } from "./signal.mjs";

const timers = new Map();
let last = 0;
globalThis.setInterval = (work, every) => timers.set(++last, { work, every }) && last;
globalThis.clearInterval = (timer) => timers.delete(timer);
globalThis.setTimeout = () => 0;
const sent = [];
let socket;
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 1;
  constructor() {
    socket = this;
  }
  send(text) {
    sent.push(JSON.parse(text).type);
  }
  close() {}
};
Object.defineProperty(globalThis, "navigator", { value: { platform: "", userAgent: "" } });
const hear = (type, payload) => socket.onmessage({ data: JSON.stringify({ type, payload }) });
const tick = () => [...timers.values()].forEach((timer) => timer.work());

const claims = { grants: { voice: { incoming: { allow: true } } } };
const signal = new Signal("ws://here/signal");
signal.listen(`x.${btoa(JSON.stringify(claims))}.y`);
socket.onopen();
hear("connected", {});
tick();
hear("error", { callsid: "CA1", error: { code: 31205 } });
tick();
hear("error", { error: { code: 31205 } });
tick();
signal.listen(`x.${btoa(JSON.stringify(claims))}.y`);
hear("connected", {});
tick();
console.log(sent.join(" "));
"""


def test_a_token_that_ran_out_is_not_registered_with_until_there_is_another(tmp_path: Path) -> None:
    (tmp_path / "signal.mjs").write_text(_SIGNAL.read_text())
    (tmp_path / "run.mjs").write_text(_SCRIPT)
    ran = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    said = ran.stdout.split()
    assert ran.stderr == ""
    assert said == ["listen", *["register"] * 3, "listen", *["register"] * 2]

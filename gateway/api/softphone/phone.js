// The page: what a person does, and what they are told.

import { Call } from "/phone/call.js";
import { Signal, claimsOf } from "/phone/signal.js";

const KEYS = "123456789*0#";
const SECOND = 1000;
const SLOWEST = 30 * SECOND;
const PATIENCE = 3 * SECOND; // what a call waits for servers
const WARN = 60; // seconds before a token ends
const STATES = { new: "calling…", calling: "calling…", ringing: "ringing…", open: "in a call" };
const LOOPBACK = ["127.0.0.1", "[::1]", "localhost"];

const $ = (id) => document.getElementById(id);
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const signal = new Signal(`${scheme}//${location.host}/signal`);

let identity = ""; // as the gateway knows it
let takesCalls = false;
let refusal = ""; // what the gateway last said against the token
let servers = []; // as they were told last
let call = null; // the one that stands or rings
let accepted = null; // the one that was taken last
let ends = 0; // when the token does, in seconds
let levels = [];

// What a person reads

function say(text) {
  $("status").textContent = text;
}

function sayIdle() {
  say(`Connected as ${identity}${takesCalls ? ", taking calls" : ""}.`);
}

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function show() {
  const state = call?.state ?? "idle";
  const isBusy = call !== null && state !== "incoming";
  $("incoming").hidden = state !== "incoming";
  $("call").disabled = call !== null || !signal.isUp;
  $("hangup").disabled = !isBusy;
  $("mute").disabled = !isBusy;
  $("peer").textContent = isBusy ? `${call.peer}: ${STATES[state] ?? state}` : "";
  for (const key of $("keypad").children) key.disabled = state !== "open" && call !== null;
}

// Who one is

function enter(given) {
  const claims = claimsOf(given);
  if (claims === null) return complain("An Access Token has three parts with dots between.");
  complain("");
  ends = claims.exp ?? 0;
  say("Connecting…");
  signal.listen(given);
}

async function post(path, form, headers = {}, patience = SLOWEST) {
  const answer = await fetch(path, {
    method: "POST",
    body: new URLSearchParams(form),
    headers,
    credentials: "omit",
    signal: AbortSignal.timeout(patience),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message);
  return body;
}

// What credentials are told counts for a time, so each call asks.
async function askServers() {
  try {
    servers = (await post("/phone/ice", { Token: signal.token }, {}, PATIENCE)).ice_servers;
  } catch {
    // whether the token is any good, /signal says
  }
  return servers;
}

async function mint() {
  const user = `${$("account").value.trim()}:${$("secret").value.trim()}`;
  const form = { Identity: $("identity").value, ApplicationSid: $("application").value.trim() };
  try {
    const made = await post("/phone/token", form, { Authorization: `Basic ${btoa(user)}` });
    $("token").value = made.token;
    $("secret").value = "";
    enter(made.token);
  } catch (error) {
    complain(error.message);
  }
}

// Sound

async function microphone() {
  if (!navigator.mediaDevices) {
    throw new Error("The browser gives this page no microphone: see below.");
  }
  const id = $("microphone").value;
  const audio = id ? { deviceId: { exact: id } } : true;
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  await listDevices();
  meter("mine", stream);
  return stream;
}

async function listDevices() {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  for (const [id, kind] of [["microphone", "audioinput"], ["speaker", "audiooutput"]]) {
    const list = $(id);
    const chosen = list.value;
    const ours = found.filter((each) => each.kind === kind && each.deviceId && each.label);
    list.replaceChildren(new Option("The system's", ""));
    for (const each of ours) list.append(new Option(each.label, each.deviceId));
    list.value = ours.some((each) => each.deviceId === chosen) ? chosen : "";
  }
  $("speaker").disabled = !("setSinkId" in HTMLMediaElement.prototype);
}

let context = null;

function meter(id, stream) {
  context ??= new AudioContext();
  context.resume();
  const analyser = context.createAnalyser();
  const source = context.createMediaStreamSource(stream);
  source.connect(analyser);
  levels = levels.filter((each) => each.id !== id);
  levels.push({ id, analyser, source, samples: new Float32Array(analyser.fftSize) });
}

let ringing = null;

// Two seconds of silence after one of a tone, for a minute and a half, or until it is stopped.
function ring(isOn) {
  ringing?.stop();
  ringing = null;
  document.title = isOn ? `${call.peer} calls · Trunkline` : "Softphone · Trunkline";
  if (!isOn) return;
  context ??= new AudioContext();
  context.resume();
  const volume = context.createGain();
  for (let at = 0; at < 90; at += 3) {
    volume.gain.setValueAtTime(0.1, context.currentTime + at);
    volume.gain.setValueAtTime(0, context.currentTime + at + 1);
  }
  ringing = context.createOscillator();
  ringing.connect(volume).connect(context.destination);
  ringing.start();
}

function showLevels() {
  for (const { id, analyser, samples } of levels) {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-9);
    $(id).value = Math.min(1, Math.max(0, (decibels + 60) / 60));
  }
}

// Calls

function take(made) {
  call = made;
  call.addEventListener("sound", (event) => {
    $("sound").srcObject = event.detail;
    meter("theirs", event.detail);
  });
  call.addEventListener("state", () => {
    if (call?.state === "open") say("In a call.");
    if (call !== null) ring(false);
    if (call?.state === "ended") over();
    show();
  });
  call.addEventListener("path", (event) => {
    if (event.detail === "failed") complain("The path to the gateway is lost; trying another.");
    if (event.detail === "connected") complain("");
  });
  show();
}

function over() {
  say(`The call is over: ${call.why}.`);
  const hadFocus = $("incoming").contains(document.activeElement);
  call = null;
  for (const { id, source } of levels) {
    source.disconnect();
    $(id).value = 0;
  }
  levels = [];
  $("sound").srcObject = null;
  $("mute").setAttribute("aria-pressed", "false");
  $("quality").textContent = "Quality: no call.";
  if (hadFocus) $("number").focus();
}

// What is dialled for what was typed: a number without what is between its digits, nor the (0) that
// only who is in its country dials, else all of it.
function dialled(typed) {
  const abroad = typed.replace(/^((?:\+|00)[\d\s.\/-]+)\(0\)/, "$1");
  const bare = abroad.replace(/[\s().\/-]/g, "").replace(/^00(?=[1-9]\d{6})/, "+");
  return /^\+?\d+$/.test(bare) ? bare : typed;
}

async function dial() {
  if (call !== null) return;
  const to = dialled($("number").value.trim());
  if (/^0\d{6,}$/.test(to)) {
    return complain(`${to} is in no country: begin with + and its code, as in +447700900123.`);
  }
  complain("");
  const sid = `TJS${crypto.randomUUID()}`;
  const made = new Call(signal, { sid, peer: to || "your application", servers: askServers });
  say(`Calling ${made.peer}.`);
  take(made);
  try {
    await made.dial(to, await microphone());
  } catch (error) {
    complain(`No call: ${error.message}`);
    made.end("it did not begin");
  }
}

async function accept() {
  const taken = call;
  if (taken === null || taken === accepted) return; // pressed twice
  accepted = taken;
  try {
    await taken.accept(await microphone());
    $("hangup").focus();
  } catch (error) {
    complain(`No call: ${error.message}`);
    taken.reject();
  }
}

function press(key) {
  if (call?.state === "open") call.press(key);
  else if (call === null) $("number").value += key;
}

function ofCall(type, then) {
  signal.addEventListener(type, (event) => {
    const { callsid } = event.detail;
    const isOurs = call !== null && (call.sid === callsid || call.state === "calling");
    if (isOurs) Promise.resolve(then(event.detail)).catch((error) => complain(error.message));
  });
}

ofCall("ringing", (told) => call.onRinging(told));
ofCall("answer", (told) => call.onAnswer(told));
ofCall("cancel", ({ callsid }) => call.sid === callsid && call.end("the caller gave up"));
ofCall("hangup", ({ error }) => {
  if (error) complain(`${error.code}: ${error.message}`);
  call.end(error ? "it was refused" : "the other end hung up");
});

signal.addEventListener("invite", (event) => {
  const { callsid, sdp, reconnect, parameters = {} } = event.detail;
  if (call !== null) return signal.send("reject", { callsid });
  const peer = parameters.From ?? "Somebody";
  take(new Call(signal, { sid: callsid, peer, servers: askServers, offer: sdp, reconnect }));
  $("caller").textContent = peer;
  complain("");
  say(`${peer} calls.`);
  ring(true);
  $("accept").focus();
});

signal.addEventListener("connected", (event) => {
  identity = event.detail.token?.identity ?? "somebody";
  if (call === null) sayIdle();
  if ($("problem").textContent === refusal) complain("");
  $("entry").hidden = true;
  $("line").hidden = false;
  show();
});
signal.addEventListener("ready", () => {
  takesCalls = true;
  if (call === null) sayIdle();
});
signal.addEventListener("offline", () => {
  takesCalls = false;
  if (call === null) sayIdle();
});
signal.addEventListener("up", () => call?.comeBack());
signal.addEventListener("down", (event) => {
  takesCalls = false;
  $("entry").hidden = !event.detail.isOver;
  // What nobody answered ends at the gateway with the socket.
  if (call !== null && call.state !== "new" && !call.isAnswered) {
    complain("The connection was lost before the call was answered.");
    call.end("the connection was lost");
  }
  say(event.detail.isOver ? "Not connected." : "The gateway is away; trying again.");
  show();
});
signal.addEventListener("error", (event) => {
  const { error = {}, callsid } = event.detail;
  const text = `${error.code ?? ""}: ${error.message ?? "refused"}`;
  complain(text);
  if (callsid) return;
  refusal = text;
  if (call === null && signal.isUp && identity) sayIdle();
  $("entry").hidden = false;
});

// What a person does

for (const key of KEYS) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.setAttribute("aria-label", { "*": "star", "#": "hash" }[key] ?? key);
  button.addEventListener("click", () => press(key));
  $("keypad").append(button);
}

function onSubmit(id, then) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    then();
  });
}

onSubmit("token-form", () => enter($("token").value.trim()));
onSubmit("mint-form", mint);
onSubmit("dial-form", dial);
$("accept").addEventListener("click", accept);
$("reject").addEventListener("click", () => call?.reject());
$("hangup").addEventListener("click", () => call?.hangUp());
$("mute").addEventListener("click", () => {
  const isMuted = $("mute").getAttribute("aria-pressed") !== "true";
  $("mute").setAttribute("aria-pressed", String(isMuted));
  call?.mute(isMuted);
});
$("microphone").addEventListener("change", async () => {
  if (call?.state === "open") await call.use(await microphone());
});
$("speaker").addEventListener("change", () => $("sound").setSinkId?.($("speaker").value));
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select") !== null;
  const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.repeat;
  if (call?.state === "open" && isPlain && KEYS.includes(event.key) && !isTyping) press(event.key);
  if (event.key === "Escape" && call?.state === "incoming") call.reject();
});

setInterval(showLevels, SECOND / 10);
setInterval(async () => {
  const left = Math.round(ends - Date.now() / SECOND);
  if (signal.isUp && left === WARN) {
    complain("The token ends in a minute: paste another one.");
    $("entry").hidden = false;
  }
  if (call?.state !== "open") return;
  const { mos, loss, jitter, trip, codec } = await call.quality();
  const parts = [
    `MOS ${mos.toFixed(1)}`,
    `loss ${(100 * loss).toFixed(1)} %`,
    `jitter ${jitter.toFixed(0)} ms`,
    `round trip ${trip.toFixed(0)} ms`,
    codec,
  ];
  $("quality").textContent = `Quality: ${parts.join(" · ")}`;
}, SECOND);

for (const each of document.querySelectorAll(".host")) each.textContent = location.host;
$("mint").hidden = !LOOPBACK.includes(location.hostname);
navigator.mediaDevices?.addEventListener("devicechange", listDevices);
listDevices();
show();
if (!window.isSecureContext) complain("The browser gives this page no microphone: see below.");

const given = location.hash.slice(1);
if (given) {
  history.replaceState(null, "", location.pathname);
  $("token").value = given;
  enter(given);
}

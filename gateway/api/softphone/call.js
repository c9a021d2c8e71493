// One call: a peer connection, and what is said of it at /signal.

const CODECS = ["audio/PCMU", "audio/opus", "audio/telephone-event"]; // the first is best
const RESTART_AFTER = 2000; // ms without a path
const GAP = 100; // ms of a key, and between two

export class Call extends EventTarget {
  #signal;
  #servers;
  #stream = null;
  #reconnect = "";
  #isAnswered = false;
  #restart = 0;
  #before = null;

  // `servers` asks for STUN and TURN servers: their credentials count for a time.
  constructor(signal, { sid, peer, servers, offer = "", reconnect = "" }) {
    super();
    this.#signal = signal;
    this.#servers = servers;
    this.#reconnect = reconnect;
    this.sid = sid;
    this.peer = peer;
    this.offer = offer;
    this.state = offer ? "incoming" : "new";
    this.connection = new RTCPeerConnection();
    this.connection.ontrack = ({ streams, track }) =>
      this.#tell("sound", streams[0] ?? new MediaStream([track]));
    this.connection.onconnectionstatechange = () => this.#onPath();
  }

  get isAnswered() {
    return this.#isAnswered;
  }

  // Call `to`, with the sound of `stream`.
  async dial(to, stream) {
    await this.#prepare(stream);
    this.#send();
    await this.connection.setLocalDescription(await this.connection.createOffer());
    const params = new URLSearchParams({ To: to }).toString().replace(/\+/g, "%20");
    this.#enter("calling");
    this.#say("invite", { callsid: this.sid, sdp: this.#sdp(), twilio: { params } });
  }

  async accept(stream) {
    await this.#prepare(stream);
    await this.connection.setRemoteDescription({ type: "offer", sdp: this.offer });
    this.#send();
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    this.#say("answer", { callsid: this.sid, sdp: this.#sdp() });
    this.#isAnswered = true;
    this.#enter("open");
  }

  reject() {
    this.#signal.send("reject", { callsid: this.sid });
    this.end("rejected");
  }

  hangUp() {
    this.#signal.send("hangup", { callsid: this.sid });
    this.end("you hung up");
  }

  // A key: as an event in the media, or over the socket where that can't be.
  press(key) {
    const sender = this.connection.getSenders().find((each) => each.track?.kind === "audio");
    if (sender?.dtmf?.canInsertDTMF) sender.dtmf.insertDTMF(sender.dtmf.toneBuffer + key, GAP, GAP);
    else this.#signal.send("dtmf", { callsid: this.sid, dtmf: key });
  }

  async onRinging({ callsid, sdp }) {
    this.sid = callsid;
    this.#enter("ringing");
    await this.#hear(sdp);
  }

  async onAnswer({ callsid, sdp, reconnect }) {
    this.sid = callsid;
    this.#reconnect = reconnect ?? this.#reconnect;
    await this.#hear(sdp);
    this.#isAnswered = true;
    this.#enter("open");
  }

  // The socket is back: say that the call is still ours.
  comeBack() {
    if (!this.#isAnswered || !this.#reconnect || this.state === "ended") return;
    const proof = { reconnect: this.#reconnect, sdp: this.#sdp(), twilio: {} };
    this.#signal.send("invite", { callsid: this.sid, ...proof });
  }

  end(why) {
    if (this.state === "ended") return;
    clearTimeout(this.#restart);
    this.connection.close();
    this.#silence();
    this.why = why;
    this.#enter("ended");
  }

  mute(isMuted) {
    this.#stream?.getAudioTracks().forEach((each) => (each.enabled = !isMuted));
  }

  async use(stream) {
    const sender = this.connection.getSenders().find((each) => each.track?.kind === "audio");
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
    this.#silence();
    this.#stream = stream;
  }

  // What the last second was like.
  async quality() {
    const found = { loss: 0, jitter: 0, trip: 0, codec: "" };
    const report = await this.connection.getStats();
    for (const each of report.values()) {
      if (each.type === "inbound-rtp" && each.kind === "audio") {
        const now = { lost: each.packetsLost, got: each.packetsReceived };
        const was = this.#before ?? now;
        const lost = Math.max(0, now.lost - was.lost);
        const all = lost + now.got - was.got;
        this.#before = now;
        found.loss = all > 0 ? lost / all : 0;
        found.jitter = (each.jitter ?? 0) * 1000;
        found.codec = report.get(each.codecId)?.mimeType.replace("audio/", "") ?? "";
      }
      if (each.type === "candidate-pair" && each.nominated && each.currentRoundTripTime) {
        found.trip = each.currentRoundTripTime * 1000;
      }
    }
    return { ...found, mos: mosOf(found) };
  }

  // It may have ended while its user was asked for the microphone, or is, for servers.
  async #prepare(stream) {
    this.#stream = stream;
    await this.#serve();
    if (this.state !== "ended") return;
    this.#silence();
    throw new Error(`the call is over: ${this.why}`);
  }

  async #serve() {
    const iceServers = await this.#servers();
    if (iceServers.length && this.state !== "ended") this.connection.setConfiguration({ iceServers });
  }

  #silence() {
    this.#stream?.getTracks().forEach((each) => each.stop());
  }

  // Without the gateway there is no call.
  #say(type, payload) {
    if (!this.#signal.send(type, payload)) throw new Error("the gateway is away");
  }

  #send() {
    const stream = this.#stream;
    for (const track of stream.getAudioTracks()) this.connection.addTrack(track, stream);
    const [transceiver] = this.connection.getTransceivers();
    const known = RTCRtpReceiver.getCapabilities?.("audio")?.codecs ?? [];
    const wanted = CODECS.flatMap((name) => known.filter((each) => each.mimeType === name));
    if (wanted.length) transceiver.setCodecPreferences?.(wanted);
  }

  #sdp() {
    return this.connection.localDescription.sdp;
  }

  async #hear(sdp) {
    if (!sdp || this.connection.signalingState !== "have-local-offer") return;
    await this.connection.setRemoteDescription({ type: "answer", sdp });
  }

  #onPath() {
    const state = this.connection.connectionState;
    clearTimeout(this.#restart);
    if (state === "failed") this.#reinvite();
    if (state === "disconnected") this.#restart = setTimeout(() => this.#reinvite(), RESTART_AFTER);
    this.#tell("path", state);
  }

  async #reinvite() {
    if (this.#isAnswered) await this.#serve();
    if (!this.#isAnswered || this.connection.signalingState !== "stable") return;
    const offer = await this.connection.createOffer({ iceRestart: true });
    await this.connection.setLocalDescription(offer);
    this.#signal.send("reinvite", { callsid: this.sid, sdp: this.#sdp() });
  }

  #enter(state) {
    if (this.state === "ended" || (this.state === "open" && state === "ringing")) return;
    this.state = state;
    this.#tell("state", state);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// The E-model (ITU-T G.107) for G.711, in short.
function mosOf({ loss, jitter, trip }) {
  const delay = trip / 2 + jitter * 2 + 20;
  const slow = 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0);
  const r = Math.max(0, 93.2 - slow - (95 * loss * 100) / (loss * 100 + 4.3));
  return 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r);
}

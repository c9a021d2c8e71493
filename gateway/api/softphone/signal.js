// The WebSocket at /signal: frames of the Voice SDK's protocol, version 1.6, and coming back after
// a drop. What comes is told as events of the types of the frames, and "up" and "down".

const VERSION = "1.6";
const SILENT = 15000; // ms without a frame after which the socket is given up
const REGISTER = 30000; // ms between two registrations
const SLOWEST = 20000; // ms between two tries
const FINAL = [31201, 31202, 31203, 31204, 31205, 31207]; // a token that is no good

export function claimsOf(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const octets = Uint8Array.from(atob(part), (each) => each.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(octets));
  } catch {
    return null;
  }
}

export class Signal extends EventTarget {
  #socket = null;
  #token = "";
  #good = ""; // the one that the gateway took last
  #tries = 0;
  #isOver = false;
  #timers = { silent: 0, register: 0, again: 0 };

  constructor(url) {
    super();
    this.url = url;
    this.isUp = false;
  }

  // Connect with a token, or go on with a newer one.
  listen(token) {
    this.#token = token;
    this.#isOver = false;
    if (this.#socket !== null && this.#socket.readyState === WebSocket.OPEN) this.#listen();
    else this.#connect();
  }

  // The one that holds, or is tried.
  get token() {
    return this.#good || this.#token;
  }

  send(type, payload) {
    if (this.#socket === null || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ type, payload, version: VERSION }));
    return true;
  }

  close() {
    this.#isOver = true;
    clearTimeout(this.#timers.again);
    this.#socket?.close();
  }

  #connect() {
    clearTimeout(this.#timers.again);
    this.#socket?.close();
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => this.#listen();
    socket.onmessage = (message) => this.#hear(message.data);
    socket.onclose = () => {
      if (socket === this.#socket) this.#dropped();
    };
    this.#watch();
  }

  #listen() {
    this.send("listen", {
      token: this.#token,
      reconnectTimeout: 30,
      browserinfo: {
        browser: { platform: navigator.platform, userAgent: navigator.userAgent },
        p: "browser",
        plugin: "rtc",
        v: "softphone",
      },
    });
  }

  #watch() {
    clearTimeout(this.#timers.silent);
    this.#timers.silent = setTimeout(() => this.#socket.close(), SILENT);
  }

  #hear(text) {
    this.#watch();
    if (text === "\n") {
      this.#socket.send("\n");
      return;
    }
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    const payload = frame.payload ?? {};
    if (frame.type === "connected") this.#connected();
    if (frame.type === "error" && !payload.callsid && FINAL.includes(payload.error?.code)) {
      this.#refused();
    }
    this.#tell(frame.type, payload);
  }

  // A newer token that is no good leaves the one before; that one ends all.
  #refused() {
    if (this.isUp && this.#token !== this.#good) {
      this.#token = this.#good;
      return;
    }
    this.#isOver = true;
    clearInterval(this.#timers.register);
  }

  #connected() {
    const wasUp = this.isUp;
    this.isUp = true;
    this.#good = this.#token;
    this.#tries = 0;
    clearInterval(this.#timers.register);
    if (claimsOf(this.#token)?.grants?.voice?.incoming?.allow === true) {
      this.#register();
      this.#timers.register = setInterval(() => this.#register(), REGISTER);
    }
    if (!wasUp) this.#tell("up", {});
  }

  #register() {
    this.send("register", { media: { audio: true } });
  }

  #dropped() {
    this.isUp = false;
    clearTimeout(this.#timers.silent);
    clearInterval(this.#timers.register);
    const wait = Math.min(200 * 2 ** this.#tries, SLOWEST) * (0.5 + Math.random() / 2);
    this.#tries += 1;
    this.#tell("down", { isOver: this.#isOver });
    if (!this.#isOver) this.#timers.again = setTimeout(() => this.#connect(), wait);
  }

  #tell(type, payload) {
    this.dispatchEvent(new CustomEvent(type, { detail: payload }));
  }
}

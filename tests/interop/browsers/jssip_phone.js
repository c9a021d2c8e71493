// A phone of JsSIP for the tests: the newest call is `session`, what it hears `remote`.
"use strict";

window.events = [];
window.watch = (session) => {
  window.session = session;
  for (const name of ["progress", "confirmed", "hold", "unhold"])
    session.on(name, () => window.events.push(name));
  session.on("ended", (told) => window.events.push(`ended ${told.cause}`));
  session.on("failed", (told) => window.events.push(`failed ${told.cause}`));
  session.on("confirmed", () => {
    window.remote = new MediaStream(session.connection.getReceivers().map((each) => each.track));
  });
};
window.register = (url, uri, password, transport) => {
  const sockets = [new JsSIP.WebSocketInterface(url)];
  window.phone = new JsSIP.UA({ sockets, uri, password });
  phone.on("registered", () => window.events.push("registered"));
  phone.on("unregistered", () => window.events.push("unregistered"));
  phone.on("registrationFailed", (told) => window.events.push(`refused ${told.cause}`));
  phone.on("newRTCSession", (told) => {
    if (told.originator === "remote") { watch(told.session); window.events.push("incoming"); }
  });
  phone.start();
};
const AUDIO = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };
window.dial = (uri) => watch(phone.call(uri, AUDIO));
window.answer = () => session.answer(AUDIO);
window.hangUp = () => session.terminate();
window.press = (digits, way) =>
  session.sendDTMF(digits, { transportType: way === "info" ? "INFO" : "RFC2833" });
window.hold = () => session.hold();
window.resume = () => session.unhold();
window.transfer = (uri) => session.refer(uri);

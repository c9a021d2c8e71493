// A phone of SIP.js for the tests: the newest call is `session`, what it hears `remote`.
"use strict";

window.events = [];
window.watch = (session) => {
  window.session = session;
  session.stateChange.addListener((state) => {
    window.events.push(state);
    if (state === "Established") {
      const media = session.sessionDescriptionHandler.peerConnection;
      window.remote = new MediaStream(media.getReceivers().map((each) => each.track));
      window.events.push("confirmed");
    }
  });
};
window.register = async (url, uri, password) => {
  const address = SIP.UserAgent.makeURI(uri);
  window.phone = new SIP.UserAgent({
    uri: address,
    authorizationUsername: address.user,
    authorizationPassword: password,
    transportOptions: { server: url },
    sessionDescriptionHandlerFactoryOptions: {
      iceGatheringTimeout: 500, peerConnectionConfiguration: { iceServers: [] },
    },
    logLevel: "error",
    delegate: { onInvite: (session) => { watch(session); window.events.push("incoming"); } },
  });
  await phone.start();
  window.registerer = new SIP.Registerer(phone);
  registerer.stateChange.addListener((state) => {
    if (state === "Registered") window.events.push("registered");
  });
  await registerer.register();
};
const AUDIO = { sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } } };
window.dial = async (uri) => {
  const inviter = new SIP.Inviter(phone, SIP.UserAgent.makeURI(uri), AUDIO);
  watch(inviter);
  await inviter.invite();
};
window.answer = () => session.accept(AUDIO);
window.hangUp = () => session.bye();
window.press = async (digits, way) => {
  if (way !== "info") return session.sessionDescriptionHandler.sendDtmf(digits);
  for (const digit of digits)
    await session.info({ requestOptions: { body: {
      contentDisposition: "render", contentType: "application/dtmf-relay",
      content: `Signal=${digit}\r\nDuration=160`,
    } } });
};
const held = (hold) => {
  session.sessionDescriptionHandlerOptionsReInvite = { hold };
  return session.invite();
};
window.hold = () => held(true);
window.resume = () => held(false);
window.transfer = (uri) => session.refer(SIP.UserAgent.makeURI(uri));

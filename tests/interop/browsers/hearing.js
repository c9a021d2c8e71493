// What a page hears, for the tests: the frequency that is loudest in a stream, and how loud it is.
"use strict";

window.hearing = new WeakMap();

window.hear = async (stream) => {
  let heard = window.hearing.get(stream);
  if (!heard) {
    const context = new AudioContext();
    await context.resume();
    const element = new Audio();  // a stream that no element plays is silent in a graph
    element.muted = true;
    element.srcObject = stream;
    await element.play().catch(() => undefined);
    const analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    analyser.smoothingTimeConstant = 0;
    context.createMediaStreamSource(stream).connect(analyser);
    heard = { analyser, element, step: context.sampleRate / analyser.fftSize };
    window.hearing.set(stream, heard);
  }
  const levels = new Float32Array(heard.analyser.frequencyBinCount);
  heard.analyser.getFloatFrequencyData(levels);
  let loudest = 0;
  levels.forEach((level, at) => { if (level > levels[loudest]) loudest = at; });
  const level = levels[loudest];
  return { frequency: loudest * heard.step, level: Number.isFinite(level) ? level : -200 };
};

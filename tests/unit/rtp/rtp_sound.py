"""Sounds with a seed, and how alike two of them are."""

import numpy as np

from protocols.rtp.audio import Pcm, Samples


def tone(rate: int, frequency: float, *, seconds: float = 1.0, peak: float = 8000.0) -> Samples:
    at = np.arange(round(rate * seconds)) / rate
    return np.rint(peak * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def voice(rate: int, *, seconds: float = 1.0, seed: int = 7) -> Samples:
    """A hum of 120 Hz with its harmonics up to 3,400 Hz, swelling and fading as syllables do."""
    chance = np.random.default_rng(seed)
    at = np.arange(round(rate * seconds)) / rate
    sound = np.zeros(len(at))
    for harmonic in range(1, 28):
        sound += np.sin(2 * np.pi * 120 * harmonic * at + chance.uniform(0, 6.28)) / harmonic
    sound *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * at)
    return np.rint(9000 * sound / np.abs(sound).max()).astype(np.int16)


def frames(samples: Samples, rate: int, ptime: int) -> list[Pcm]:
    size = rate * ptime // 1000
    return [
        Pcm(rate=rate, samples=samples[at : at + size])
        for at in range(0, len(samples) - size + 1, size)
    ]


def joined(parts: list[Pcm]) -> Samples:
    return np.concatenate([part.samples for part in parts])


def snr(said: Samples, heard: Samples, *, most_delay: int = 0) -> float:
    """dB by which `said` is over what `heard` has of anything else, at the delay that fits best."""
    best = -np.inf
    middle = slice(len(said) // 4, len(said) * 3 // 4)
    wanted = said.astype(np.float64)[middle]
    for delay in range(most_delay + 1):
        got = heard.astype(np.float64)[middle.start + delay : middle.stop + delay]
        noise = got - wanted[: len(got)]
        best = max(best, 10 * np.log10((wanted @ wanted) / max(noise @ noise, 1e-9)))
    return float(best)


def spectrum(samples: Samples, rate: int) -> dict[int, float]:
    """dB under the loudest, by whole hertz, of the last second of `samples`."""
    values = samples[-rate:].astype(np.float64) * np.blackman(min(rate, len(samples)))
    power = np.abs(np.fft.rfft(values)) ** 2
    return dict(enumerate(10 * np.log10(power / power.max() + 1e-15)))

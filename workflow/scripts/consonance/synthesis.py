"""A small synthetic corpus in RAVDESS's layout, for the demonstration and for tests.

**The recordings are synthetic and nothing found on them is a finding.** The voices come from a
source-filter model: glottal pulses with jitter, shimmer and a spectral tilt, and breath noise,
through formant resonators that move from vowel to vowel, with noise and gaps for consonants.
Speech has a gliding, rhythmic pitch; song has held notes of a scale, tied together, with vibrato.
Pitch, pitch range, level, tempo, tilt and breathiness depend on the emotion by the table
`EXPRESSIONS`, and speech and song differ less where the table says arousal is high, so that figures
drawn from the corpus show some structure. The numbers in this module are chosen to sound plausible;
no measurement stands behind them and none should be read into them.

Source-filter synthesis after Klatt (1980, J. Acoust. Soc. Am. 67, 971-995); vowel formants after
Peterson & Barney (1952, J. Acoust. Soc. Am. 24, 175-184), men's averages, rounded; glottal pulses
after Rosenberg (1971, J. Acoust. Soc. Am. 49, 583-590), the polynomial form, with an exponential
return phase as in the LF model (Fant, Liljencrants & Lin, 1985).
"""

import hashlib
import io
import logging
import os
import wave
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import fft, signal

from consonance import folders
from consonance.errors import InputError

logger = logging.getLogger(__name__)

# ------------------------------------------------------------------- RAVDESS's names and numbers

FOLDERS = {"speech": "Audio_Speech_Actors_01-24", "song": "Audio_Song_Actors_01-24"}
CHANNELS = {"speech": 1, "song": 2}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SONG_EMOTIONS = EMOTIONS[:6]  # the release sings no disgust and no surprise
ACTORS = 24
README = (
    "Synthetic voices in the layout and naming of RAVDESS, made by Consonance for demonstration\n"
    "and tests. No person was recorded. Nothing found on these files is a finding.\n"
)

# ------------------------------------------------------------------------------------- constants


@dataclass(frozen=True)
class Expression:
    """How an emotion sounds in speech at normal intensity; neutral is the reference.

    Attributes:
        arousal: 0 to 1; speech and song differ by (1 - arousal) times `SONG_SHIFT`.
        pitch: semitones above the speaker's own base pitch.
        pitch_range: semitones (standard deviation of the accents in speech).
        level: dB relative to full scale (root mean square over the voiced part).
        tempo: factor on the rate of syllables.
        return_phase: length of the glottal return phase as a share of the period; longer is
            darker.
        breath: level of breath noise relative to the pulses, as an amplitude.
        tremor: standard deviation of the period from cycle to cycle, as a share of it.
        openness: factor on the first formant.
        slope: semitones by which the pitch rises (or falls) over a statement.
        minor: whether songs are in a minor scale.
    """

    arousal: float
    pitch: float
    pitch_range: float
    level: float
    tempo: float
    return_phase: float
    breath: float
    tremor: float
    openness: float
    slope: float
    minor: bool


EXPRESSIONS = {
    #                      arousal pitch range level  tempo return breath tremor open  slope  minor
    "neutral": Expression(0.20, 0.0, 1.3, -30.0, 1.00, 0.045, 0.06, 0.006, 1.00, -1.5, False),
    "calm": Expression(0.05, -1.0, 0.9, -33.0, 0.86, 0.075, 0.14, 0.005, 0.96, -2.0, False),
    "happy": Expression(0.75, 5.5, 2.8, -24.0, 1.12, 0.026, 0.05, 0.008, 1.06, 1.0, False),
    "sad": Expression(0.15, 1.0, 1.1, -33.0, 0.82, 0.090, 0.20, 0.013, 0.94, -3.0, True),
    "angry": Expression(0.95, 7.5, 2.6, -20.0, 1.15, 0.014, 0.03, 0.014, 1.14, -0.5, True),
    "fearful": Expression(0.85, 9.0, 2.2, -23.0, 1.25, 0.030, 0.13, 0.020, 1.03, 1.5, True),
    "disgust": Expression(0.50, 0.5, 2.0, -27.0, 0.92, 0.032, 0.10, 0.018, 1.05, -3.5, True),
    "surprised": Expression(0.80, 7.0, 4.0, -25.0, 1.08, 0.034, 0.09, 0.009, 1.04, 5.0, False),
}

# How far an intensity goes from neutral to the emotion of the table.
STRENGTH = {"normal": 0.8, "strong": 1.15}


@dataclass(frozen=True)
class Shift:
    """What song adds to speech where arousal is 0 (see `Expression` for the units)."""

    pitch: float = 4.0
    level: float = 4.0
    return_phase: float = -0.025
    breath: float = -0.05
    openness: float = 0.06


SONG_SHIFT = Shift()


@dataclass(frozen=True)
class Style:
    """How a domain is delivered.

    Attributes:
        seconds: length of a statement at tempo 1, without the silence around it.
        consonant: share of a syllable that its consonant takes.
        gaps: how deep the voice falls between syllables, 0 (tied) to 1 (silent).
        rhythm: how unequal the syllables are, as a standard deviation of their log length.
        glide: seconds that the pitch takes from one target to the next (song) or over which
            its accents are smoothed (speech).
        vibrato: semitones, amplitude once it is fully there.
    """

    seconds: float
    consonant: float
    gaps: float
    rhythm: float
    glide: float
    vibrato: float


STYLES = {
    "speech": Style(seconds=0.95, consonant=0.34, gaps=0.95, rhythm=0.30, glide=0.06, vibrato=0.0),
    "song": Style(seconds=1.22, consonant=0.18, gaps=0.25, rhythm=0.08, glide=0.05, vibrato=0.45),
}
# At arousal 1 the tempo, legato and rhythm of song are this share of the way back to speech's.
SONG_CONVERGENCE = 0.5

VIBRATO_HZ = 5.6
VIBRATO_ONSET = 0.12  # seconds after a note begins until its vibrato is full
MAJOR = (0, 2, 4, 5, 7, 9, 11, 12)
MINOR = (0, 2, 3, 5, 7, 8, 10, 12)

# First three formants in Hz of an adult male tract; the higher ones lie 1 kHz apart.
VOWELS = {
    "i": (270.0, 2290.0, 3010.0),
    "I": (390.0, 1990.0, 2550.0),
    "E": (530.0, 1840.0, 2480.0),
    "a": (730.0, 1090.0, 2440.0),
    "O": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
    "@": (490.0, 1350.0, 2390.0),
}
FORMANT_BANDWIDTHS = (70.0, 95.0, 130.0)
HIGHER_FORMANT = 3500.0
HIGHER_FORMANT_SPACING = 1000.0
HIGHER_BANDWIDTH = 0.06  # of the formant's frequency
HIGHEST_FORMANT = 11_000.0
HIGHPASS = 50.0  # Hz; lips radiate nothing below


@dataclass(frozen=True)
class Consonant:
    """A consonant-like event at the start of a syllable.

    Attributes:
        centre: Hz, where its noise is strongest (0: no noise, as in a nasal).
        noise: amplitude of the noise relative to the voice.
        burst: share of the consonant, at its end, that the noise fills; before it is a gap.
        voice: amplitude of the voice while it lasts.
    """

    centre: float
    noise: float
    burst: float
    voice: float


CONSONANTS = {
    "k": Consonant(centre=2000.0, noise=0.9, burst=0.35, voice=0.0),
    "t": Consonant(centre=4200.0, noise=0.8, burst=0.35, voice=0.0),
    "d": Consonant(centre=3600.0, noise=0.4, burst=0.25, voice=0.10),
    "b": Consonant(centre=900.0, noise=0.3, burst=0.20, voice=0.12),
    "s": Consonant(centre=6200.0, noise=0.5, burst=0.90, voice=0.0),
    "n": Consonant(centre=0.0, noise=0.0, burst=0.0, voice=0.35),
}

# Statements as (consonant, vowel at the start, vowel at the end, stress 0 to 1) per syllable.
STATEMENTS = (
    (("k", "I", "I", 1.0), ("s", "a", "O", 0.3), ("t", "O", "I", 0.8), ("b", "a", "i", 0.4),
     ("d", "O", "@", 1.0)),
    (("d", "O", "a", 1.0), ("s", "I", "E", 0.7), ("t", "i", "i", 0.3), ("n", "u", "@", 0.5),
     ("k", "E", "a", 1.0)),
)  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes:
        base_pitch: Hz.
        tract: factor on all formants (a shorter tract has higher ones).
        range: factor on pitch ranges.
        tempo: factor on the rate of syllables.
        return_phase: factor on the glottal return phase.
        breath: factor on the breath noise.
        level: dB added.
        expressivity: factor on the distance from neutral.
    """

    base_pitch: float
    tract: float
    range: float
    tempo: float
    return_phase: float
    breath: float
    level: float
    expressivity: float


MALE_PITCH, FEMALE_PITCH = 108.0, 196.0
MALE_TRACT, FEMALE_TRACT = 1.0, 1.16
# Standard deviations between speakers and between clips of one speaker.
SPEAKER_SPREAD = {
    "pitch": 1.6,  # semitones
    "tract": 0.035,
    "range": 0.2,
    "tempo": 0.06,
    "return_phase": 0.2,
    "breath": 0.3,
    "level": 1.5,  # dB
    "expressivity": 0.2,
}
CLIP_SPREAD = {
    "pitch": 0.8,  # semitones
    "range": 0.15,
    "tempo": 0.05,
    "return_phase": 0.15,
    "breath": 0.3,
    "level": 1.5,  # dB
    "formants": 0.02,
    "strength": 0.15,
}

OPEN_QUOTIENT = 0.6
FRICATION_BANDWIDTH = 0.5  # of the centre of a consonant's noise
SHIMMER = 3.0  # amplitude from cycle to cycle, in units of `Expression.tremor`
SILENCE = (0.05, 0.12)  # seconds before and after the voice, drawn uniformly
BACKGROUND = -72.0  # dB relative to full scale, a recording room's noise
PEAK = 0.95  # of full scale; a louder clip is turned down as a whole
CONTOUR_SECONDS = 0.001  # pitch and loudness are computed at this step, linear in between
FORMANT_SECONDS = 0.006  # the formants are still for a window of twice this length
RINGING_SECONDS = 0.04  # after that a formant of 70 Hz bandwidth is 76 dB down
FULL_SCALE = 32767
LOWEST_RATE, HIGHEST_RATE = 8000, 48_000

# ------------------------------------------------------------------------------------- the corpus


@dataclass(frozen=True, order=True)
class Clip:
    """One recording to be made, with RAVDESS's own numbers where it has numbers."""

    domain: str
    emotion: str
    intensity: str
    statement: int
    repetition: int
    speaker: int

    @property
    def id(self) -> str:
        """The name of its file without suffix: modality-channel-emotion-intensity-..."""
        parts = (
            3,
            CHANNELS[self.domain],
            EMOTIONS.index(self.emotion) + 1,
            1 + (self.intensity == "strong"),
            self.statement,
            self.repetition,
            self.speaker,
        )
        return "-".join(f"{p:02d}" for p in parts)

    @property
    def path(self) -> Path:
        """Where the release has it, relative to the corpus."""
        return Path(FOLDERS[self.domain]) / f"Actor_{self.speaker:02d}" / f"{self.id}.wav"


def plan(*, speakers: int, repetitions: int, statements: int) -> list[Clip]:
    """Lists the clips of a corpus.

    `speakers` actors speak and sing; one more, the last, only speaks, as actor 18 of the release.
    Speech has eight emotions and song six; neutral has one intensity and the others two. The second
    clip of the duplicate pair (see `synthesise_corpus`) is among them.

    Args:
        speakers: actors with both domains, 1 to 23; odd numbers are men, even ones women.
        repetitions: 1 or 2.
        statements: 1 or 2.

    Returns:
        The clips, sorted by domain, emotion, intensity, statement, repetition, speaker.

    Raises:
        InputError: a number is outside its limits.
    """
    limits = {
        "speakers": (speakers, 1, ACTORS - 1),
        "repetitions": (repetitions, 1, 2),
        "statements": (statements, 1, len(STATEMENTS)),
    }
    _check(limits)
    clips = {
        Clip(domain, emotion, intensity, statement, repetition, speaker)
        for domain, emotions, last in (
            ("speech", EMOTIONS, speakers + 1),
            ("song", SONG_EMOTIONS, speakers),
        )
        for emotion in emotions
        for intensity in (("normal",) if emotion == "neutral" else ("normal", "strong"))
        for statement in range(1, statements + 1)
        for repetition in range(1, repetitions + 1)
        for speaker in range(1, last + 1)
    }
    return sorted(clips | set(_duplicates(speakers=speakers, statements=statements)))


def _duplicates(*, speakers: int, statements: int) -> tuple[Clip, Clip]:
    """The clip that is there twice, and its copy; the release's pair is the seventh actor's."""
    first, second = (
        Clip("speech", "happy", "normal", statements, repetition, min(7, speakers))
        for repetition in (1, 2)
    )
    return first, second


def _check(limits: dict[str, tuple[int, int, int]]) -> None:
    problems = [
        f"A synthetic corpus needs `{name}` between {low} and {high}, but it is {value}."
        for name, (value, low, high) in limits.items()
        if not low <= value <= high
    ]
    if problems:
        raise InputError(problems)


def synthesise_corpus(
    folder: str | os.PathLike[str],
    *,
    speakers: int,
    repetitions: int,
    statements: int,
    seed: int,
    rate: int,
) -> int:
    """Writes a synthetic corpus in RAVDESS's layout; nothing found on it is a finding.

    The files are 16-bit PCM WAV, named and placed as in the audio-only release, with two of its
    peculiarities: one file (the first speaker's first calm one) is stereo with identical channels,
    and the seventh speaker (or the last who sings) has one clip twice: repetition 2 of the happy,
    normal, last statement is a copy of repetition 1 (an additional file where there is one
    repetition only). The same arguments give the same bytes, and a clip depends only on its own
    name, the seed and the rate.

    Args:
        folder: the folder to make; it appears when it is complete.
        speakers: actors with both domains, 1 to 23; one more has speech only.
        repetitions: 1 or 2.
        statements: 1 or 2.
        seed: at least 0.
        rate: sampling rate in Hz, 8,000 to 48,000.

    Returns:
        The number of files.

    Raises:
        InputError: a number is outside its limits, or `folder` holds files already.
    """
    clips = plan(speakers=speakers, repetitions=repetitions, statements=statements)
    _check({"rate": (rate, LOWEST_RATE, HIGHEST_RATE), "seed": (seed, 0, 2**63 - 1)})
    stereo = Clip("speech", "calm", "normal", 1, 1, 1)
    original, copy = _duplicates(speakers=speakers, statements=statements)
    with folders.building(folder) as temporary:
        for clip in clips:
            made = original if clip == copy else clip
            samples = synthesise_clip(made, seed=seed, rate=rate)
            target = temporary / clip.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_wav(samples, rate=rate, channels=1 + (clip == stereo)))
        (temporary / "README.txt").write_text(README, encoding="utf-8", newline="\n")
    logger.info("%s: %d synthetic recordings.", folder, len(clips))
    return len(clips)


def _wav(samples: np.ndarray, *, rate: int, channels: int) -> bytes:
    """A 16-bit PCM WAV file with the same samples in every channel."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples.astype("<i2"), channels).tobytes())
    return stream.getvalue()


def _generator(seed: int, name: str) -> np.random.Generator:
    """A generator that depends on the seed and a name only (`hash` changes between runs)."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, *np.frombuffer(digest, "<u4")]))


# --------------------------------------------------------------------------------------- the voice


def voice_of(speaker: int, *, seed: int) -> Voice:
    """Draws a speaker's voice; odd numbers are men, even ones women, as in RAVDESS."""
    normal = _generator(seed, f"speaker {speaker}").standard_normal
    male = speaker % 2 == 1
    spread = SPEAKER_SPREAD
    return Voice(
        base_pitch=(MALE_PITCH if male else FEMALE_PITCH) * 2 ** (spread["pitch"] * normal() / 12),
        tract=(MALE_TRACT if male else FEMALE_TRACT) * np.exp(spread["tract"] * normal()),
        range=np.exp(spread["range"] * normal()),
        tempo=np.exp(spread["tempo"] * normal()),
        return_phase=np.exp(spread["return_phase"] * normal()),
        breath=np.exp(spread["breath"] * normal()),
        level=spread["level"] * normal(),
        expressivity=np.exp(spread["expressivity"] * normal()),
    )


def _performed(clip: Clip, voice: Voice, rng: np.random.Generator) -> Expression:
    """The expression of one clip: the table's, as this speaker does it this time."""
    table, neutral = EXPRESSIONS[clip.emotion], EXPRESSIONS["neutral"]
    normal, spread = rng.standard_normal, CLIP_SPREAD
    strength = STRENGTH[clip.intensity] * voice.expressivity * np.exp(spread["strength"] * normal())
    if clip.emotion == "neutral":
        strength = 1.0
    value = {
        f.name: getattr(neutral, f.name)
        + strength * (getattr(table, f.name) - getattr(neutral, f.name))
        for f in fields(Expression)
        if f.name not in ("arousal", "minor")
    }
    if clip.domain == "song":
        for f in fields(Shift):
            value[f.name] += (1 - table.arousal) * getattr(SONG_SHIFT, f.name)
    value["pitch"] += spread["pitch"] * normal()
    value["level"] += voice.level + spread["level"] * normal()
    value["tempo"] *= voice.tempo * np.exp(spread["tempo"] * normal())
    value["pitch_range"] *= voice.range * np.exp(spread["range"] * normal())
    value["return_phase"] *= voice.return_phase * np.exp(spread["return_phase"] * normal())
    value["breath"] *= voice.breath * np.exp(spread["breath"] * normal())
    # Strong expressions and odd voices stay within what the model can render.
    value["pitch_range"] = max(value["pitch_range"], 0.3)
    value["tempo"] = float(np.clip(value["tempo"], 0.75, 1.4))
    value["return_phase"] = float(np.clip(value["return_phase"], 0.01, 0.15))
    value["breath"] = float(np.clip(value["breath"], 0.01, 0.4))
    value["tremor"] = float(np.clip(value["tremor"], 0.003, 0.03))
    return Expression(arousal=table.arousal, minor=table.minor, **value)


def _style_of(domain: str, arousal: float) -> Style:
    """Song's style moves towards speech's with arousal (its glide and vibrato stay)."""
    style, speech = STYLES[domain], STYLES["speech"]
    share = SONG_CONVERGENCE * arousal
    moved = {
        name: (1 - share) * getattr(style, name) + share * getattr(speech, name)
        for name in ("seconds", "consonant", "gaps", "rhythm")
    }
    return Style(glide=style.glide, vibrato=style.vibrato, **moved)


def synthesise_clip(clip: Clip, *, seed: int, rate: int) -> np.ndarray:
    """Makes one recording.

    Args:
        clip: which one.
        seed: of the corpus.
        rate: sampling rate in Hz.

    Returns:
        The samples, (n,) int16.
    """
    rng = _generator(seed, clip.id)
    voice = voice_of(clip.speaker, seed=seed)
    expression = _performed(clip, voice, rng)
    style = _style_of(clip.domain, expression.arousal)
    syllables = STATEMENTS[clip.statement - 1]

    stress = np.array([s[3] for s in syllables])
    lengths = np.exp(style.rhythm * ((stress - stress.mean()) * 2 + rng.normal(size=len(stress))))
    lengths *= style.seconds / expression.tempo / lengths.sum()
    edges = np.concatenate([[0.0], np.cumsum(lengths)])
    times = np.arange(round(edges[-1] * rate)) / rate

    ticks = np.arange(0, edges[-1] + CONTOUR_SECONDS, CONTOUR_SECONDS)
    if clip.domain == "song":
        semitones = _melody(ticks, edges, expression, style, rng)
    else:
        semitones = _intonation(ticks, edges, stress, expression, style, rng)
    pitch = voice.base_pitch * 2 ** ((expression.pitch + semitones) / 12)
    loudness, noises = _articulation(ticks, edges, syllables, stress, style)

    pulses, opening = _glottis(np.interp(times, ticks, pitch), expression, rate, rng)
    breath = expression.breath * rng.standard_normal(len(times)) * (0.3 + 0.7 * opening)
    source = (pulses + breath) * np.interp(times, ticks, loudness)
    tract = voice.tract * np.exp(CLIP_SPREAD["formants"] * rng.standard_normal(3))
    tract[0] *= expression.openness
    formants = _formants(times[:: _block(rate)], edges, syllables, style) * tract
    sound = _vocal_tract(source, formants, voice.tract, rate)
    sound /= _rms(sound)
    for centre, envelope in noises.items():
        sound += np.interp(times, ticks, envelope) * _noise(centre, len(times), rate, rng)
    return _recorded(sound, expression.level, rate, rng)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _block(rate: int) -> int:
    return max(round(FORMANT_SECONDS * rate), 1)


def _smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    """A moving average of a contour with a Hann window, the ends held."""
    width = 2 * max(round(seconds / CONTOUR_SECONDS / 2), 1) + 1
    window = signal.windows.hann(width + 2)[1:-1]
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _intonation(
    times: np.ndarray,
    edges: np.ndarray,
    stress: np.ndarray,
    expression: Expression,
    style: Style,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pitch of speech in semitones: accents that rise and fall over a slope, (n,)."""
    accents = expression.pitch_range * (
        2.0 * (stress - stress.mean()) + rng.normal(size=len(stress))
    )
    begin, middle = edges[:-1], (edges[:-1] + edges[1:]) / 2
    knots = np.stack([begin, middle], axis=1).ravel()
    # Each syllable starts low, rises to its accent and falls towards the next.
    targets = np.stack([accents - expression.pitch_range, accents], axis=1).ravel()
    knots, targets = np.append(knots, edges[-1]), np.append(targets, -1.5 * expression.pitch_range)
    contour = _smooth(np.interp(times, knots, targets), style.glide)
    return contour + expression.slope * (times / edges[-1] - 0.5)


def _melody(
    times: np.ndarray,
    edges: np.ndarray,
    expression: Expression,
    style: Style,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pitch of song in semitones: notes of a scale, tied, with vibrato, (n,)."""
    scale = np.array(MINOR if expression.minor else MAJOR)
    reach = int(np.clip(round(expression.pitch_range) + 1, 2, 4))
    steps = rng.integers(-reach, reach + 1, size=len(edges) - 2)
    degrees = np.clip(np.cumsum(np.concatenate([[2], steps])), 0, len(scale) - 1)
    degrees[-1] = 0 if expression.slope < 0 else 4
    notes = scale[degrees] - scale[2]
    note = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(notes) - 1)
    contour = _smooth(notes[note].astype(float), style.glide)
    depth = style.vibrato * np.clip((times - edges[note]) / VIBRATO_ONSET, 0, 1)
    hertz = VIBRATO_HZ * (1 + 0.05 * rng.standard_normal())
    return contour + depth * np.sin(2 * np.pi * (hertz * times + rng.random()))


def _glottis(
    pitch: np.ndarray, expression: Expression, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Derivative of the glottal flow, and how open the glottis is (0 to 1), both (n,).

    Over a period, with x the phase divided by the open quotient: 2x - 3x^2 while open (the
    derivative of Rosenberg's x^2 - x^3), which ends at -1 when the glottis closes, then an
    exponential return to 0.
    """
    cycles = np.cumsum(pitch) / rate
    index = cycles.astype(np.intp)
    noise = rng.standard_normal((2, index[-1] + 2))
    phase = np.cumsum(pitch * (1 + expression.tremor * noise[0, index])) / rate
    index = np.minimum(phase.astype(np.intp), noise.shape[1] - 1)
    phase -= np.floor(phase)
    x = phase / OPEN_QUOTIENT
    is_open = x < 1
    flow = np.where(
        is_open,
        2 * x - 3 * x**2,
        -np.exp(-np.maximum(phase - OPEN_QUOTIENT, 0) / expression.return_phase),
    )
    amplitude = np.exp(SHIMMER * expression.tremor * noise[1, index])
    return flow * amplitude, np.where(is_open, np.sin(np.pi * np.minimum(x, 1)), 0.0)


def _articulation(
    times: np.ndarray,
    edges: np.ndarray,
    syllables: tuple,
    stress: np.ndarray,
    style: Style,
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Amplitude of the voice, (n,), and of the consonants' noise by its centre in Hz, (n,) each."""
    voice = np.ones_like(times)
    noises: dict[float, np.ndarray] = {}
    for (name, *_), accent, begin, end in zip(
        syllables, stress, edges[:-1], edges[1:], strict=True
    ):
        consonant = CONSONANTS[name]
        length = style.consonant * (end - begin)
        inside = (times >= begin) & (times < begin + length)
        rest = (times >= begin + length) & (times < end)
        # Tied notes are interrupted less: `gaps` fades the consonant's gap.
        voice[inside] = 1 - style.gaps * (1 - consonant.voice)
        fall = (times[rest] - begin - length) / (end - begin - length)
        voice[rest] = (0.7 + 0.3 * accent) * (1 - style.gaps * np.clip(fall - 0.4, 0, 1))
        if consonant.noise:
            sounding = inside & (times >= begin + (1 - consonant.burst) * length)
            envelope = noises.setdefault(consonant.centre, np.zeros_like(times))
            envelope[sounding] = consonant.noise * style.gaps
    edge = np.clip(np.minimum(times, edges[-1] - times) / 0.03, 0, 1)
    voice = _smooth(voice, 0.02) * edge
    return voice, {c: _smooth(e, 0.008) * edge for c, e in noises.items()}


def _formants(times: np.ndarray, edges: np.ndarray, syllables: tuple, style: Style) -> np.ndarray:
    """The first three formants in Hz at the given times, (m, 3)."""
    knots, targets = [], []
    for (_, first, last, _), begin, end in zip(syllables, edges[:-1], edges[1:], strict=True):
        start = begin + style.consonant * (end - begin)
        # A vowel is there from a quarter to three quarters of what follows its consonant.
        for vowel, share in ((first, 0.25), (last, 0.75)):
            knots.append(start + share * (end - start))
            targets.append(VOWELS[vowel])
    return np.stack([np.interp(times, knots, f) for f in np.array(targets).T], axis=1)


def _resonators(centres: np.ndarray, bandwidths: np.ndarray, rate: int) -> np.ndarray:
    """Second-order sections with unit gain at 0 Hz (Klatt 1980, equation 2), (..., 6)."""
    radius = np.exp(-np.pi * bandwidths / rate)
    second = radius**2
    first = -2 * radius * np.cos(2 * np.pi * centres / rate)
    sections = np.zeros((*centres.shape, 6))
    sections[..., 0] = 1 + first + second
    sections[..., 3] = 1
    sections[..., 4] = first
    sections[..., 5] = second
    return sections


def _vocal_tract(source: np.ndarray, formants: np.ndarray, tract: float, rate: int) -> np.ndarray:
    """Sends the source through moving and fixed resonators in cascade, (n,).

    The source is cut into overlapping Hann windows, and each window rings through the resonators
    as they stand at its centre. (Switching the coefficients of a running filter instead would add
    clicks as loud as the voice where formants move fast.)
    """
    limit = min(HIGHEST_FORMANT, 0.45 * rate)
    higher = np.arange(HIGHER_FORMANT * tract, limit, HIGHER_FORMANT_SPACING * tract)
    source = signal.sosfilt(signal.butter(2, HIGHPASS, "highpass", fs=rate, output="sos"), source)
    if len(higher):
        fixed = _resonators(higher, np.maximum(HIGHER_BANDWIDTH * higher, 200.0), rate)
        source = signal.sosfilt(fixed, source)

    moving = _resonators(formants, np.array(FORMANT_BANDWIDTHS), rate)
    gain = moving[..., 0].prod(axis=1, keepdims=True)
    # The three denominators multiplied out: a polynomial of degree 6 per window.
    below = np.zeros((len(formants), 7))
    below[:, 0] = 1
    for first, second in moving[..., 4:].transpose(1, 2, 0)[..., None]:
        below[:, 2:] += first * below[:, 1:-1] + second * below[:, :-2]
        below[:, 1:2] += first * below[:, :1]

    hop, count = _block(rate), len(formants)
    size = fft.next_fast_len(2 * hop + round(RINGING_SECONDS * rate), real=True)
    padded = np.zeros((count + 1) * hop)
    padded[hop : hop + len(source)] = source
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]
    windows = windows * (gain * signal.windows.hann(2 * hop, sym=False))
    ringing = fft.irfft(fft.rfft(windows, size) / fft.rfft(below, size), size)
    result = np.zeros(count * hop + size)
    for number, part in enumerate(ringing):
        result[number * hop : number * hop + size] += part
    return result[hop : hop + len(source)]


def _noise(centre: float, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Noise around a frequency in Hz with a root mean square of 1, (samples,)."""
    centre = min(centre, 0.4 * rate)
    section = _resonators(np.array([centre]), np.array([FRICATION_BANDWIDTH * centre]), rate)
    section[0, :3] = (1, 0, -1)  # zeros at 0 Hz and at half the rate
    noise = signal.sosfilt(section, rng.standard_normal(samples))
    return noise / _rms(noise)


def _recorded(sound: np.ndarray, level: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Sets the level, adds silence and a room's noise, and quantises to 16 bits, (n,) int16."""
    sound = sound / _rms(sound) * 10 ** (level / 20)
    before, after = np.round(rng.uniform(*SILENCE, size=2) * rate).astype(int)
    sound = np.pad(sound, (before, after))
    sound += 10 ** (BACKGROUND / 20) * rng.standard_normal(len(sound))
    sound *= min(1.0, PEAK / np.abs(sound).max())
    return np.round(sound * FULL_SCALE).astype(np.int16)

"""Silero's voice detector on synthetic speech: a window of 32 ms a call, the states carried from call to call in integers.

Needs `pip install --no-deps silero-vad==6.2.3` (or `SILERO=`, the file silero_vad_16k_sequence.onnx of it; nothing of the
package is imported), onnxruntime and scipy, and the program espeak-ng, which speaks. Three sentences calibrate, two others
are compared.

>>> python benchmarks/silero.py --csim 20 --rtl 2                                                        # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console
from scipy.io import wavfile
from scipy.signal import resample_poly

import intar
from intar import proof
from intar.bench import bench_model, hardware_faults
from intar.errors import ConfigError, Finding
from intar.options import parse_bits, parse_budget
from intar.report.static import static_resources
from intar.report.summary import cycle_limit

RESULTS = Path(__file__).parent / "results" / "silero.json"
RATE, WINDOW, CONTEXT = 16000, 512, 64
NOISE = 0.004
"""Deviation of the noise under everything; a sentence goes up to 0.3 … 1."""

CALIBRATION = (
    ("en-us", 150, "The quick brown fox jumps over the lazy dog, and then it sleeps."),
    ("en-gb", 130, "Nobody knows how long the rain will last this afternoon."),
    ("en-us+f3", 170, "Please leave your message after the tone, thank you."),
)
COMPARED = (
    ("de", 140, "Der Zug nach Hamburg fährt heute von Gleis sieben ab."),
    ("fr+f2", 150, "Bonjour, je voudrais deux billets pour demain matin."),
)
"""Voice of espeak-ng, words a minute, text."""

LEAST_DECISIONS, LEAST_DECIBELS = 0.98, 15.0
"""Bounds of the share of windows with the same decision at 0.5, and of the output state's distance from noise."""

console = Console(stderr=True)


def model_file() -> Path:
    """The network's file; ConfigError where it is not."""
    spec = find_spec("silero_vad")
    package = [Path(spec.origin).parent / "data"] if spec and spec.origin else []
    named = [Path(os.environ["SILERO"])] if "SILERO" in os.environ else []
    for file in (*named, *(folder / "silero_vad_16k_sequence.onnx" for folder in package)):
        if file.is_file():
            return file
    hint = "pip install --no-deps silero-vad==6.2.3, or name the file in SILERO"
    raise ConfigError(Finding("Silero's network is not there", "silero_vad_16k_sequence.onnx", hint=hint))


def spoken(sentences: tuple[tuple[str, int, str], ...], seed: int) -> np.ndarray:
    """The sentences at 16 kHz between pauses of 0.75 s, in noise."""
    rng, pause = np.random.default_rng(seed), np.zeros(3 * RATE // 4)
    parts = [pause]
    with tempfile.TemporaryDirectory(prefix="intar-silero-") as folder:
        for voice, speed, text in sentences:
            file = Path(folder) / "speech.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", file, text], check=True)
            rate, sound = wavfile.read(file)
            loud = resample_poly(sound.astype(np.float64), RATE, rate)
            parts += [loud / np.abs(loud).max() * rng.uniform(0.3, 1.0), pause]
    whole = np.concatenate(parts)
    return (whole + NOISE * rng.standard_normal(len(whole))).astype(np.float32)


def in_float(file: Path, sound: np.ndarray) -> dict[str, np.ndarray]:
    """What each call takes and makes in onnxruntime: windows behind 64 samples of the last one; states before and behind."""
    session = onnxruntime.InferenceSession(str(file))
    h = c = np.zeros((1, 1, 128), np.float32)
    behind = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    calls: dict[str, list[np.ndarray]] = {name: [] for name in ("x", "h", "c", "probability", "hn", "cn")}
    for start in range(0, len(sound) - WINDOW + 1, WINDOW):
        x = behind[None, start : start + CONTEXT + WINDOW]
        probability, hn, cn = session.run(None, {"input": x, "h": h, "c": c})
        for name, value in zip(calls, (x, h, c, probability, hn, cn), strict=True):
            calls[name].append(value)
        h, c = hn, cn
    return {name: np.stack(values) for name, values in calls.items()}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compile into `folder`, run everything, compare."""
    file = model_file()
    if which("espeak-ng") is None:
        raise ConfigError(
            Finding(
                "the program espeak-ng, which speaks, is not there", "PATH", hint="apt-get install espeak-ng"
            )
        )
    known, compared = (in_float(file, spoken(each, at)) for at, each in enumerate((CALIBRATION, COMPARED)))
    scheme, bits = parse_bits(options.bits or [], "w8a8r16")
    with console.status("compile"):
        accel = intar.compile(
            str(file),
            dict(zip(("input_x", "h", "c"), (known[name] for name in "xhc"), strict=True)),
            shapes={"sequence_length": 1},
            device=options.device,
            scheme=scheme or "w8a8r16",
            bits=bits,
            budget=parse_budget(options.budget or []),
        )
        accel.write(folder)
    made, machine = accel.design, accel.design.schedule.machine
    calls, probabilities, signal, noise = [], [], 0.0, 0.0
    h = c = np.zeros((1, 1, 128))
    with console.status(f"{len(compared['x'])} windows in integers"):
        for at, x in enumerate(compared["x"]):
            call = {"input_x": x, "h": h, "c": c}
            calls.append(accel.integers(call))
            result = accel(call)
            h, c = result["hn"], result["cn"]
            probabilities.append(float(result["speech_probs"].reshape(-1)[0]))
            signal += float((compared["hn"][at] ** 2).sum())
            noise += float(((h - compared["hn"][at]) ** 2).sum())
    got, wanted = np.array(probabilities), compared["probability"].reshape(-1)
    csim = proof.verify_csim(made, calls[-options.csim :], folder) if options.csim else None
    rtl = proof.verify_rtl(made, calls[-options.rtl :], folder) if options.rtl else None
    return {
        "windows": {
            "calibrated_on": len(known["x"]),
            "compared": len(got),
            "speech": int((wanted > 0.5).sum()),
        },
        "scheme": scheme,
        "bits": bits,
        "machine": f"{machine.cores} x {machine.rows} x {machine.lanes}",
        "device": machine.device,
        "dsp": static_resources(made.program, False)["dsp"],
        "cycles": {
            "limit": cycle_limit(made),
            "predicted": made.predicted.cycles,
            "simulated": list(rtl.cycles) if rtl else None,
        },
        "microseconds": round(made.predicted.cycles / machine.clock_mhz, 1),
        "clock_mhz": machine.clock_mhz,
        "bit_exact": {name: run and run.bit_exact for name, run in (("csim", csim), ("rtl", rtl))},
        "same_decisions": int(((got > 0.5) == (wanted > 0.5)).sum()),
        "probability": {
            "mean_difference": round(float(np.abs(got - wanted).mean()), 4),
            "largest": round(float(np.abs(got - wanted).max()), 4),
        },
        "state_decibels": round(10 * float(np.log10(signal / noise)), 2),
    }


def faults(found: dict[str, Any]) -> list[str]:
    """What misses its bound."""
    wrong = hardware_faults(found)
    if found["same_decisions"] < LEAST_DECISIONS * found["windows"]["compared"]:
        wrong.append(f"{found['same_decisions']} windows with the same decision, bound {LEAST_DECISIONS}")
    if found["state_decibels"] < LEAST_DECIBELS:
        wrong.append(f"the state is {found['state_decibels']} dB above noise, bound {LEAST_DECIBELS}")
    return wrong


if __name__ == "__main__":
    defaults = {"csim": 20, "device": "zcu104"}
    sys.exit(bench_model(__doc__ or "", "last windows", defaults, measure, faults, RESULTS))

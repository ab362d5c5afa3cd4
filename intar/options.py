"""Options of the command line as texts → values; each gives all that is wrong with its texts at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

import numpy as np

from intar.device.budget import Budget
from intar.errors import ConfigError, Finding
from intar.ir.names import SAFE
from intar.ir.schedule import Axis, Pattern
from intar.quant.chosen import read_formats
from intar.quant.scheme import TOKEN, Scheme, Width
from intar.schedule.pins import Pins


def _pairs(items: Sequence[str], option: str, hint: str) -> tuple[dict[str, str], list[Finding]]:
    """``["a=1,b=2"]`` → mapping, and a finding for each piece that is not KEY=VALUE."""
    found: list[Finding] = []
    values: dict[str, str] = {}
    for item in (part.strip() for text in items for part in text.split(",") if part.strip()):
        key, sign, value = (part.strip() for part in item.partition("="))
        if not sign or not key or not value:
            found.append(Finding(f"{item!r} is not KEY=VALUE", option, hint=hint))
        else:
            values[key] = value
    return values, found


def parse_budget(items: Sequence[str]) -> dict[str, object]:
    """``["dsp=32", "lanes=16"]`` (commas allowed inside) → mapping; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--budget", "write --budget dsp=32,onchip=512K")
    try:
        Budget.parse(values)
    except ConfigError as error:
        found += error.findings
    if found:
        raise ConfigError(found)
    return dict(values)


def parse_bits(items: Sequence[str], scheme: str | None = None) -> tuple[str | None, dict[str, Width]]:
    """``["h.*.fc.in=16", "formats.json"]`` → scheme and widths by pattern, in order; ConfigError with all that is wrong.

    A file ending in ``.json`` is one that `intar tune` wrote; its scheme holds where none is given.
    """
    hint = "write --bits 'h.*.fc.in=16', or the name of a .json file that intar tune wrote"
    found: list[Finding] = []
    bits: dict[str, Width] = {}
    for item in items:
        try:
            if item.endswith(".json"):
                chosen = read_formats(Path(item))
                scheme, added = scheme or chosen.scheme, chosen.bits
            else:
                values, wrong = _pairs([item], "--bits", hint)
                found += wrong
                added = {key: _width(text) for key, text in values.items()}
            for pattern, width in Scheme("--bits", 8, 8).with_bits(added).bits:
                bits.pop(pattern, None)  # the last one holds
                bits[pattern] = width
        except ConfigError as error:
            found += error.findings
    if found:
        raise ConfigError(found)
    return scheme, bits


def _width(text: str) -> Width:
    if text == TOKEN:
        return TOKEN
    return int(text) if text.isdecimal() else 0


def parse_entries(items: Sequence[str]) -> dict[str, str]:
    """``["prefill=net.py:chunk"]`` → models by the names of their entries; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--entry", "write --entry prefill=net.py:chunk")
    found += [
        Finding(f"{name!r} is no name for an entry", "--entry", hint="letters, digits and _")
        for name in values
        if not SAFE.match(name)
    ]
    if found:
        raise ConfigError(found)
    return values


def parse_sweeps(items: Sequence[str]) -> dict[str, list[object]]:
    """``["dsp=16,32"]`` → values by budget key; ConfigError with all that is wrong."""
    found: list[Finding] = []
    sweeps: dict[str, list[object]] = {}
    for item in items:
        key, sign, text = (part.strip() for part in item.partition("="))
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not sign or not key or not values:
            hint = "write --sweep dsp=16,32,64"
            found.append(Finding(f"{item!r} is not KEY=VALUE,VALUE,…", "--sweep", hint=hint))
        elif key in sweeps:
            found.append(Finding("it is swept twice", f"--sweep {key}", hint="give all its values at once"))
        sweeps[key] = list(values)
        for value in values:
            try:
                Budget.parse({key: value})
            except ConfigError as error:
                found += error.findings
    if found:
        raise ConfigError(found)
    return sweeps


def parse_shapes(items: Sequence[str]) -> dict[str, int | tuple[int, ...]]:
    """``["batch=1", "x=1x16"]`` → sizes by axis symbol, shapes by input; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--shape", "write --shape batch=1 or --shape image=1x28x28")
    shapes: dict[str, int | tuple[int, ...]] = {}
    for name, text in values.items():
        sizes = text.split("x")
        if not all(size.isdecimal() and int(size) > 0 for size in sizes):
            what = f"{text!r} is neither a positive whole number nor a shape"
            found.append(Finding(what, f"--shape {name}", hint="write for example 1, or 1x28x28"))
        else:
            shapes[name] = int(text) if len(sizes) == 1 else tuple(map(int, sizes))
    if found:
        raise ConfigError(found)
    return shapes


def parse_values(items: Sequence[str]) -> dict[str, float | np.ndarray]:
    """``["sr=16000", "mask=mask.npy"]`` → numbers and arrays by input; ConfigError with all that is wrong."""
    texts, found = _pairs(items, "--value", "write --value rate=16000 or --value mask=mask.npy")
    values: dict[str, float | np.ndarray] = {}
    for name, text in texts.items():
        try:
            values[name] = np.load(text, allow_pickle=False) if text.endswith(".npy") else float(text)
        except (ValueError, OSError) as error:
            reason = f"the file can't be read: {error}" if text.endswith(".npy") else ""
            hint = "write for example 16000, or the name of a .npy file"
            found.append(Finding(f"{text!r} is no number", f"--value {name}", reason, hint))
    if found:
        raise ConfigError(found)
    return values


def parse_prompt(text: str) -> list[int]:
    """``"5 17,3"`` → token ids; ConfigError with everything that is none."""
    words = text.replace(",", " ").split()
    hint = "write ids, or name the model's tokenizer: --tokenizer FILE"
    found = [
        Finding(f"{word!r} is no token id", "--prompt", hint=hint) for word in words if not word.isdecimal()
    ]
    if found:
        raise ConfigError(found)
    return [int(word) for word in words]


def parse_pins(items: Sequence[str]) -> Pins:
    """``["fc0=pipelined", "fc1=0+1", "fc2=sequential+rows"]`` → pins of patterns, cores and axes by task; ConfigError with
    all that is wrong.

    Whether the tasks and cores exist is for the solver to say.
    """
    hint = "write --pin TASK=PATTERN, --pin TASK=0+1 for its cores, or --pin TASK=rows for what they take"
    values, found = _pairs(items, "--pin", hint)
    pattern: dict[str, Pattern] = {}
    cores: dict[str, tuple[int, ...]] = {}
    axis: dict[str, Axis] = {}
    for name, text in values.items():
        for word in text.split("+"):
            if word in get_args(Pattern):
                pattern[name] = cast(Pattern, word)
            elif word in get_args(Axis):
                axis[name] = cast(Axis, word)
            elif word.isdecimal():
                cores[name] = (*cores.get(name, ()), int(word))
            else:
                known = ", ".join((*get_args(Pattern), *get_args(Axis)))
                found.append(
                    Finding(
                        f"{word!r} is no pattern, no axis and no core",
                        f"--pin {name}",
                        hint=f"{known}, or 0+1",
                    )
                )
    if found:
        raise ConfigError(found)
    return Pins(pattern, cores, axis=axis)

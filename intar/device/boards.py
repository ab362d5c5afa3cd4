"""The boards that intar knows: `boards.yaml` beside this file, checked when it is read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field

from intar.errors import ConfigError, Finding

BRAM36_BYTES = 4608
URAM_BYTES = 36864
DSP48E2 = (27, 18)
"""Bits of the multiplier of UltraScale+."""


class Board(BaseModel):
    """Resources and memory of a board. `bandwidth` in GB/s, `clock` in MHz; `unverified` says what to doubt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    part: str
    lut: int = Field(gt=0)
    ff: int = Field(gt=0)
    dsp: int = Field(gt=0)
    bram36: int = Field(ge=0)
    uram: int = Field(ge=0)
    slr: int = Field(gt=0)
    memory: str
    bandwidth: float = Field(gt=0)
    ports: int = Field(gt=0)
    port_bits: int = Field(gt=0)
    clock: float = Field(gt=0)
    source: str
    unverified: tuple[str, ...] = ()

    @property
    def multiplier(self) -> tuple[int, int]:
        """Signed bits of a DSP block's multiplier: DSP48E1 25 × 18, DSP48E2 27 × 18, DSP58 27 × 24, of the ECP5 18 × 18."""
        part = self.part.lower()
        kinds = {
            "xc7": (25, 18),
            "lfe5": (18, 18),
            "xcv80": (27, 24),
            "xcvp": (27, 24),
            "xcvh": (27, 24),
            "xcvc": (27, 24),
        }
        return next((ports for start, ports in kinds.items() if part.startswith(start)), DSP48E2)

    @property
    def onchip_bytes(self) -> int:
        """Bytes of all block memories."""
        return self.bram36 * BRAM36_BYTES + self.uram * URAM_BYTES


@lru_cache(maxsize=1)
def boards() -> dict[str, Board]:
    """All boards by name, in alphabetical order."""
    text = files("intar.device").joinpath("boards.yaml").read_text(encoding="utf-8")
    return {name: Board(name=name, **entry) for name, entry in sorted(yaml.safe_load(text).items())}


def suggest(word: str, words: Iterable[str]) -> str:
    """A hint that names the closest of the words, or lists all."""
    known = sorted(words)
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def find_board(name: str) -> Board:
    """The board called `name` (any case, ``_`` for ``-``); ConfigError with a suggestion if there is none."""
    known = boards()
    key = str(name).lower().replace("_", "-")
    if key not in known:
        raise ConfigError(Finding(f"there is no board {name!r}", "device", hint=suggest(key, known)))
    return known[key]

"""The boards that intar knows: `boards.yaml` beside this file, and a file of the user's; checked when they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intar.errors import ConfigError, Finding, field_findings

OWN = "INTAR_BOARDS"
"""The environment variable that names a file of further boards."""

BRAM36_BYTES = 4608
URAM_BYTES = 36864
DSP48E2 = (27, 18)
"""Bits of the multiplier of UltraScale+."""


class Board(BaseModel):
    """Resources and memory of a board. `bandwidth` in GB/s, `clock` in MHz; `unverified` says what to doubt.

    `vivado_board` is its name in Vivado's list of boards, without the version; empty: it is not used through one.
    """

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
    vivado_board: str = ""
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


def boards() -> dict[str, Board]:
    """All boards by name, in alphabetical order: those of `boards.yaml`, and of the file that ``$INTAR_BOARDS`` names.

    Raises
    ------
    ConfigError
        That file can't be read, or has boards that are incomplete or called like known ones; lists everything.
    """
    return _boards(os.environ.get(OWN, ""))


@lru_cache(maxsize=4)
def _boards(own: str) -> dict[str, Board]:
    text = files("intar.device").joinpath("boards.yaml").read_text(encoding="utf-8")
    found = {name: Board(name=name, **entry) for name, entry in yaml.safe_load(text).items()}
    found |= _own_boards(Path(own), set(found)) if own else {}
    return dict(sorted(found.items()))


def _own_boards(path: Path, taken: set[str]) -> dict[str, Board]:
    """The boards of a user's file. Raises ConfigError."""
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(Finding("the file of boards can't be read", f"{OWN}={path}", why)) from None
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        hint = "write NAME: and below it the fields of intar/device/boards.yaml"
        raise ConfigError(Finding("it is no mapping from names to boards", str(path), hint=hint))
    made, found = {}, []
    for name, entry in listed.items():
        if not isinstance(name, str) or name != name.lower().replace("_", "-") or name in taken:
            hint = "choose another name, of small letters, digits and -"
            found.append(Finding(f"{name!r} is no name for a board, or another one's", str(path), hint=hint))
            continue
        try:
            made[name] = Board.model_validate({"source": str(path), **entry, "name": name})
        except ValidationError as error:
            found += field_findings(error, f"{path}: {name}")
    if found:
        raise ConfigError(found)
    return made


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
        hint = f"{suggest(key, known)}; boards of your own: {OWN}=FILE (docs/cli.md)"
        raise ConfigError(Finding(f"there is no board {name!r}", "device", hint=hint))
    return known[key]

"""Formats that a search has chosen, as a file that `compile` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intar.errors import ConfigError, Finding, field_findings
from intar.quant.scheme import Width

SCHEMA: Literal["intar.formats/1"] = "intar.formats/1"


class ChosenFormats(BaseModel):
    """A scheme and widths by pattern; `trade_off` says what was tried on the way to them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["intar.formats/1"] = Field(default=SCHEMA, alias="schema")
    scheme: str
    bits: dict[str, Width]
    trade_off: tuple[dict[str, Any], ...] = ()


def read_formats(path: Path) -> ChosenFormats:
    """The file's contents; ConfigError with every finding."""
    try:
        return ChosenFormats.model_validate_json(path.read_text())
    except OSError as error:
        raise ConfigError(Finding(f"the formats can't be read: {error.strerror}", str(path))) from None
    except UnicodeDecodeError:
        raise ConfigError(Finding("it is no text", str(path))) from None
    except ValidationError as error:
        raise ConfigError(field_findings(error, str(path))) from None

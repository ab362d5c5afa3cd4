"""The two kinds of errors: a user's mistake, and a fault of ours.

Every message says what is wrong, where, why, and the way out.  A user's mistake is collected as
:class:`Finding` values so that all of them are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with the user's input.

    Parameters
    ----------
    what : what is wrong, as a full sentence.
    where : the node, file, key or option that it concerns (quoted as the user knows it).
    why : the rule that is broken; may be empty when `what` says it.
    hint : the way out.
    """

    what: str
    where: str = ""
    why: str = ""
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.hint:
            lines.append(f"  way out: {self.hint}")
        return "\n".join(lines)


def quoted(names: Sequence[str]) -> str:
    """The first twenty names, for a message."""
    return ", ".join(f"'{name}'" for name in names[:20]) + (", …" if len(names) > 20 else "")


def field_findings(error: ValidationError, place: str) -> list[Finding]:
    """A finding for everything that pydantic says of a document, with the field behind the document's place."""
    return [
        Finding(issue["msg"], ": ".join(filter(None, (place, ".".join(map(str, issue["loc"]))))))
        for issue in error.errors()
    ]


class IntarError(Exception):
    """Base of every error that `intar` raises on purpose."""


class UserError(IntarError):
    """A mistake in the user's input; carries every finding, never a traceback for the user.

    Subclasses set `code`, a stable word that tools can match.
    """

    code = "user"

    def __init__(self, findings: str | Finding | Iterable[Finding]):
        if isinstance(findings, str):
            findings = Finding(findings)
        self.findings: Sequence[Finding] = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(f) for f in self.findings)


class GraphError(UserError):
    """The task graph breaks a rule: cycle, shape mismatch, unknown tensor, bad name."""

    code = "graph"


class UnsupportedError(UserError):
    """The model uses operators or modes that intar does not have; lists all of them."""

    code = "unsupported"


class ConfigError(UserError):
    """An option, a budget, a YAML key or a device is not what it should be."""

    code = "config"


class CalibrationError(UserError):
    """Calibration data is missing or does not fit the model."""

    code = "calibration"


class InfeasibleError(UserError):
    """No schedule fits the device; says which constraint binds, by how much, and what to change."""

    code = "infeasible"


class ToolError(UserError):
    """An external tool is missing or failed; quotes its first error line."""

    code = "tool"


class OutputError(UserError):
    """The output directory can't be written without losing something."""

    code = "output"


class InternalError(IntarError):
    """A fault of ours: the message says so and names what is needed to reproduce it."""

    def __init__(self, message: str):
        super().__init__(
            f"internal error in intar, not in your model: {message}\n"
            "Please report it with the intar.lock.json of the run."
        )

"""External tools: a command asks for all that it needs before it begins, and all that are missing are named at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from intar.errors import Finding, ToolError


def require(*missing: Iterable[Finding]) -> None:
    """Stop when something is missing.

    Parameters
    ----------
    missing : what each part of a command lacks (`missing_tools` of the modules that run tools); a tool that several parts
        lack is named once, with all reasons.

    Raises
    ------
    ToolError : all missing tools.
    """
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for finding in chain(*missing):
        reasons.setdefault((finding.what, finding.where, finding.hint), []).append(finding.why)
    if reasons:
        raise ToolError(
            Finding(what, where, "; ".join(dict.fromkeys(filter(None, whys))), hint)
            for (what, where, hint), whys in reasons.items()
        )

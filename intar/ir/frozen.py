"""What all typed values of the path have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that never changes; a field that its class does not name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

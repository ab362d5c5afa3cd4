"""Address walks of buffers, images and gathers as fields of a step."""

from __future__ import annotations

from collections.abc import Iterable

from intar.codegen.digits import digits
from intar.codegen.rtl_nodes.program import fields
from intar.errors import InternalError
from intar.ir.nodes.memories import Walk

WALK = (
    *fields(32, "base wrap end0 end1 end2 end3 end4 stride0 stride1 stride2 stride3 stride4 end_ragged"),
    ("ragged", 8),
)


def walk_fields(walk: Walk, where: str, lanes: int = 1, unit: int = 1) -> dict[str, int]:
    """The fields of `WALK`; an address counts `unit` elements of beats of `lanes`."""
    if min(walk.counts) < 1 or not -1 <= walk.ragged <= 3 or (walk.ragged >= 0 and walk.last < 1):
        raise InternalError(f"{where}: the walk {walk} has an empty loop")
    strides = list(walk.strides)
    if walk.wrap:
        strides[0] %= walk.wrap
    fields = {"base": walk.base, "wrap": walk.wrap} | {f"stride{i}": s for i, s in enumerate(strides)}
    fields = {name: digits(value * unit, lanes) for name, value in fields.items()}
    fields["ragged"] = 4 if walk.ragged < 0 else walk.ragged
    fields |= {f"end{i}": count - 1 for i, count in enumerate(walk.counts)}
    if walk.ragged >= 0:
        fields["end_ragged"] = walk.last - 1
    return fields


def walk_bits(walks: Iterable[tuple[Walk, int]], top: int, lanes: int = 1) -> tuple[int, int]:
    """Bits of addresses and counts that the walks (each with its unit) need; `top` is the highest address that matters."""
    walks = list(walks)
    wrap = max((digits(2 * walk.wrap * unit - 1, lanes) for walk, unit in walks if walk.wrap), default=0)
    count = max(max(max(walk.counts), walk.last) for walk, _ in walks)
    return max(1, digits(top, lanes).bit_length(), wrap.bit_length()), count.bit_length()

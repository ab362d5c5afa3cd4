"""The one door to Jinja: strict environment, and filters that make foreign text harmless in generated files."""

from __future__ import annotations

import re
from functools import lru_cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from intar.assets import asset_dir

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def comment(text: str) -> str:
    """`text` on one line, unable to end or continue a ``//`` or ``#`` comment (``??/`` is a backslash in C++14)."""
    plain = _UNPRINTABLE.sub(" ", text).replace("??", "? ?")
    return plain.rstrip(" \\").lstrip()


def cpp_string(text: str) -> str:
    """`text` as a C++ string literal, quotes included; anything but printable ASCII becomes an octal escape."""
    out = []
    for byte in text.encode("utf-8", "surrogatepass"):
        character = chr(byte)
        if character in '"\\?':  # the question mark because of trigraphs
            out.append("\\" + character)
        elif 0x20 <= byte < 0x7F:
            out.append(character)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def tcl_word(text: str) -> str:
    """`text` as one Tcl word in which nothing is substituted; unlike braces this holds for any text."""
    if re.fullmatch(r"[A-Za-z0-9_./:=,+-]+", text):
        return text
    out = []
    for character in text:
        if character in '\\"$[]{};# ':
            out.append("\\" + character)
        elif character.isprintable() and character.isascii():
            out.append(character)
        else:
            out.extend(f"\\u{unit:04x}" for unit in _utf16(character))
    return '"' + "".join(out) + '"'


def make_word(text: str) -> str:
    """`text` in a Makefile assignment: ``$`` and ``#`` lose their meaning, line ends are dropped."""
    return comment(text).replace("$", "$$").replace("#", "\\#")


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The Jinja environment of all templates: undefined names are errors, output ends with one line end."""
    made = Environment(
        loader=FileSystemLoader(str(asset_dir("templates"))),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters.update(
        comment=comment, cpp_string=cpp_string, tcl_word=tcl_word, make_word=make_word, python_string=ascii
    )
    return made


def render(template: str, **context: object) -> bytes:
    """Render ``templates/<template>``; UTF-8 bytes."""
    return environment().get_template(template).render(**context).encode()

#!/usr/bin/env python3
"""Writes core/text/unicode_tables.inc: where the Unicode data of Hugging Face `tokenizers` and that of
our libraries differ. Its regular expressions know Unicode 16, PCRE2 in Debian 12 knows 14; its normal
forms know Unicode 13, utf8proc more. Run with Python 3.11 (Unicode 14) and PyPI's `tokenizers`.
"""
import pathlib
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).parent.parent / "core" / "text" / "unicode_tables.inc"
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf".split()


def characters():
    return [c for c in map(chr, range(0x80, 0x110000)) if not 0xD800 <= ord(c) < 0xE000]


def newer_categories():
    """Characters that are unassigned in Unicode 14, with the category that the oracle gives them."""
    text = "".join(c for c in characters() if unicodedata.category(c) == "Cn")
    found = {}
    for category in CATEGORIES:
        split = pre_tokenizers.Split(Regex(f"\\p{{{category}}}"), "removed", invert=True)
        for _, (begin, end) in split.pre_tokenize_str(text):
            for c in text[begin:end]:
                found[ord(c)] = category
    return found


def stand_in(category, length):
    """The first character of Unicode 14 with this category and this length in UTF-8."""
    for c in characters():
        # PCRE2 counts U+180E as white space, as Perl once did.
        if unicodedata.category(c) == category and len(c.encode()) == length and ord(c) != 0x180E:
            return ord(c)
    raise ValueError(f"no {category} of {length} bytes")


def known_marks():
    """Characters that the oracle's normal form sorts: those with a combining class."""
    nfd = normalizers.NFD()
    # Nothing has a higher class than U+0345.
    return [0x345, *(ord(c) for c in characters() if c.isprintable() or unicodedata.category(c) == "Cn"
                     if nfd.normalize_str(f"a\u0345{c}") == f"a{c}\u0345")]


def ranges(codes, key=lambda code: None):
    out = []
    for code in sorted(codes):
        if out and out[-1][1] == code - 1 and out[-1][2] == key(code):
            out[-1][1] = code
        else:
            out.append([code, code, key(code)])
    return out


def table(name, kind, rows):
    lines = [f"constexpr {kind} {name}[] = {{"]
    line = "   "
    for row in rows:
        item = " {" + ", ".join(f"0x{value:04X}" for value in row if value is not None) + "},"
        if len(line) + len(item) > 100:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join([*lines, line, "};"])


def main():
    newer = newer_categories()
    stand_ins = {}
    for code, category in newer.items():
        length = len(chr(code).encode())
        if (category, length) not in stand_ins:
            stand_ins[category, length] = stand_in(category, length)
    rows = ranges([*newer, 0x180E],
                  lambda code: stand_ins[newer[code], len(chr(code).encode())] if code in newer
                  else stand_in("Cf", 3))
    marks = ranges(known_marks())
    OUT.write_text("\n".join([
        "// Made by scripts/make_unicode_tables.py.",
        "// clang-format off",
        "/// First, last, and a character of the same class and length for a regular expression.",
        table("newer_characters", "StandIn", rows),
        "/// First and last.",
        table("characters_with_class", "CodeRange", marks),
        "// clang-format on", ""]))
    print(len(newer), len(rows), len(marks))


main()

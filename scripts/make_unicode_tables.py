#!/usr/bin/env python3
"""Writes core/text/unicode_tables.inc and unicode_scripts.inc: where the Unicode data of Hugging Face `tokenizers` and that of
our libraries differ, and the classes of characters that only it has. Its regular expressions know
Unicode 16, PCRE2 in Debian 12 knows 14; its normal forms know Unicode 13, utf8proc more; its other
classes are of yet other versions. All of it is found out by giving it characters.
Run with Python 3.11 (Unicode 14), PyPI's `tokenizers` and the libutf8proc of Debian 12.
"""
import ctypes
import pathlib
import struct
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import BertNormalizer

OUT = pathlib.Path(__file__).parent.parent / "core" / "text" / "unicode_tables.inc"
SCRIPTS = OUT.with_name("unicode_scripts.inc")
# Of what newer characters are, beside their category: the scripts that expressions of tokenizers name.
NAMED_SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari".split()
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf".split()


def characters():
    return [c for c in map(chr, range(0x80, 0x110000)) if not 0xD800 <= ord(c) < 0xE000]


def with_property(names, text):
    """The characters of the text that have one of these properties for the oracle, with the property."""
    found = {}
    for name in names:
        split = pre_tokenizers.Split(Regex(f"\\p{{{name}}}"), "removed", invert=True)
        for _, (begin, end) in split.pre_tokenize_str(text):
            for c in text[begin:end]:
                found[ord(c)] = name
    return found


def newer_categories():
    """Characters that are unassigned in Unicode 14, with the category and the script that the oracle gives them."""
    text = "".join(c for c in characters() if unicodedata.category(c) == "Cn")
    scripts_of = with_property(NAMED_SCRIPTS, text)
    return {code: (category, scripts_of.get(code)) for code, category in with_property(CATEGORIES, text).items()}


def stand_in(category, script, length):
    """The first character of Unicode 14 with this category and script and this length in UTF-8."""
    # PCRE2 counts U+180E as white space, as Perl once did.
    fit = [c for c in characters()
           if unicodedata.category(c) == category and len(c.encode()) == length and ord(c) != 0x180E]
    of_script = with_property([script], "".join(fit)) if script else {}
    return min(of_script) if of_script else ord(fit[0])


def known_marks():
    """Characters that the oracle's normal form sorts: those with a combining class."""
    nfd = normalizers.NFD()
    # Nothing has a higher class than U+0345.
    return [0x345, *(ord(c) for c in characters() if c.isprintable() or unicodedata.category(c) == "Cn"
                     if nfd.normalize_str(f"a\u0345{c}") == f"a{c}\u0345")]


def clusters():
    """Where the clusters of characters differ from those of utf8proc: for each such character one that utf8proc takes as the
    oracle takes this one. The oracle's show in what a map of characters replaces: the whole of a short cluster."""
    units = [0] * 1024
    units[0], units[256 ^ ord("a")], units[512] = 256 << 10, ord("a") | (256 ^ ord("a") ^ 512) << 10 | 1 << 8, 1 << 31
    trie = struct.pack("<1024I", *units)
    mapped = normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"X\0")
    library = ctypes.CDLL("libutf8proc.so.2")
    library.utf8proc_grapheme_break.restype = ctypes.c_bool
    joined = lambda a, b: not library.utf8proc_grapheme_break(ord(a), ord(b))  # noqa: E731
    out = {}
    for c in characters():
        extends = mapped.normalize_str(f"a{c}") == "X"
        if extends != joined("a", c):
            out[ord(c)] = 0x300 if extends else 0x61
        # Six bytes are no short cluster.
        if len(c.encode()) >= 3:
            goes_on = mapped.normalize_str(f"{c}a\u0301").endswith("X\u0301")
            if goes_on != joined(c, "a"):
                out[ord(c)] = 0x600 if goes_on else 0x61
    return out


def class_of(normalizer):
    """The characters that it deletes."""
    return [ord(c) for c in characters() if normalizer.normalize_str(f"a{c}b") == "ab"]


def cut_out(pre_tokenizer):
    """The characters at which it splits."""
    return [ord(c) for c in characters() if len(pre_tokenizer.pre_tokenize_str(f"a{c}b")) > 1]


def word_characters():
    split = pre_tokenizers.Whitespace()
    return [ord(c) for c in characters() if len(split.pre_tokenize_str(f"a{c}b")) == 1]


def small_letters():
    """Those that Unicode 14 does not know."""
    lower = normalizers.Lowercase()
    return [(ord(c), ord(small)) for c in characters()
            if len(small := lower.normalize_str(c)) == 1 and small not in (c, c.lower())]


def scripts():
    """The scripts that UnicodeScripts tells apart: a number for each, in the order of their first
    characters; 0 goes with every script."""
    split = pre_tokenizers.UnicodeScripts()
    found, out = [], {}
    for c in characters():
        if unicodedata.category(c) in ("Cs", "Co"):
            continue
        if len(split.pre_tokenize_str(f"a{c}\u0431")) == 2 and len(split.pre_tokenize_str(f"a{c}")) == 1 \
                and len(split.pre_tokenize_str(f"{c}\u0431")) == 1:
            continue
        for number, other in enumerate(found):
            if len(split.pre_tokenize_str(other + c)) == 1:
                out[ord(c)] = number + 1
                break
        else:
            found.append(c)
            out[ord(c)] = len(found)
    return out


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
    for code, (category, script) in newer.items():
        kind = category, script, len(chr(code).encode())
        if kind not in stand_ins:
            stand_ins[kind] = stand_in(*kind)
    rows = ranges([*newer, 0x180E],
                  lambda code: stand_ins[*newer[code], len(chr(code).encode())] if code in newer
                  else stand_in("Cf", None, 3))
    marks = ranges(known_marks())
    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    classes = {
        "nonspacing_marks": ("What BERT takes for accents.",
                             class_of(BertNormalizer(**{**bert, "strip_accents": True}))),
        "combining_marks": ("What StripAccents deletes.", class_of(normalizers.StripAccents())),
        "bert_controls": ("What BERT's clean-up deletes.",
                          class_of(BertNormalizer(**{**bert, "clean_text": True}))),
        "punctuation": ("What Punctuation splits at, and BERT beside white space.",
                        cut_out(pre_tokenizers.Punctuation())),
        "numbers": ("What Digits splits at.", cut_out(pre_tokenizers.Digits(individual_digits=True))),
        "word_characters": ("What \\w matches.", word_characters()),
    }
    classes = [line for name, (comment, codes) in classes.items()
               for line in (f"/// {comment}", table(name, "CodeRange", ranges(codes)))]
    OUT.write_text("\n".join([
        "// Made by scripts/make_unicode_tables.py.",
        "// clang-format off",
        "/// First, last, and a character of the same class and length for a regular expression.",
        table("newer_characters", "StandIn", rows),
        "/// First and last.",
        table("characters_with_class", "CodeRange", marks),
        "/// First, last, and a character that makes clusters with others in the same way.",
        table("in_clusters", "StandIn", ranges(found := clusters(), found.get)),
        *classes,
        "/// Letters, and their small forms, that are newer than Unicode 15.",
        table("newer_small_letters", "Letter", small_letters()),
        "// clang-format on", ""]))
    SCRIPTS.write_text("\n".join([
        "// Made by scripts/make_unicode_tables.py.",
        "// clang-format off",
        "/// First, last, and the number of the script.",
        table("scripts", "ScriptRange", ranges(found := scripts(), found.get)),
        "// clang-format on", ""]))
    print(len(newer), len(rows), len(marks))


main()

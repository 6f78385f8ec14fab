#!/usr/bin/env python3
"""Writes core/text/unicode_tables.inc and unicode_scripts.inc: where the Unicode data of Hugging Face `tokenizers` and that of
our libraries differ, and the classes of characters that only it has. Its regular expressions know
Unicode 16, PCRE2 in Debian 12 knows 14; its normal forms know Unicode 13, utf8proc more; its other
classes are of yet other versions. All of it is found out by giving it characters.
Run with Python 3.11 (Unicode 14), PyPI's `tokenizers` and the libutf8proc of Debian 12.
"""
import bisect
import ctypes
import pathlib
import struct
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import BertNormalizer

OUT = pathlib.Path(__file__).parent.parent / "core" / "text" / "unicode_tables.inc"
SCRIPTS = OUT.with_name("unicode_scripts.inc")
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf".split()


def characters():
    return [c for c in map(chr, range(0x80, 0x110000)) if not 0xD800 <= ord(c) < 0xE000]


# What an expression may ask for. The more of it a stand-in shares the better; what comes first goes first where none shares all.
PROPERTIES = ("Pattern_Syntax Soft_Dotted Case_Ignorable Grapheme_Base Grapheme_Extend Sentence_Terminal Terminal_Punctuation "
              "Default_Ignorable_Code_Point Extender Diacritic ID_Continue XID_Continue ID_Start XID_Start Math Dash Quotation_Mark "
              "Unified_Ideograph White_Space Cased Emoji_Modifier_Base Emoji_Modifier Emoji_Presentation Extended_Pictographic Emoji "
              "Ideographic Uppercase Lowercase Alphabetic").split()
SCRIPTS_KNOWN = (
    "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille "
    "Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot "
    "Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian "
    "Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana "
    "Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi "
    "Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam "
    "Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi "
    "Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian "
    "Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya "
    "Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham "
    "SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil "
    "Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi "
    "Zanabazar_Square").split()


class Pcre:
    """PCRE2 as regular expressions here use it."""

    def __init__(self, text):
        self.library = ctypes.CDLL("libpcre2-8.so.0")
        for name in ("pcre2_compile_8", "pcre2_match_data_create_8", "pcre2_get_ovector_pointer_8"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.raw = text.encode()

    def matching(self, pattern):
        """The parts of the text that have no other characters than those of this class."""
        error, where = ctypes.c_int(), ctypes.c_size_t()
        perl, size = f"(?:{pattern})++".encode(), ctypes.c_size_t
        code = self.library.pcre2_compile_8(perl, size(len(perl)), 0x00080000 | 0x00020000, ctypes.byref(error), ctypes.byref(where), None)
        assert code, pattern
        data = self.library.pcre2_match_data_create_8(1, None)
        ends = ctypes.cast(self.library.pcre2_get_ovector_pointer_8(ctypes.c_void_p(data)), ctypes.POINTER(ctypes.c_size_t))
        out, at = [], 0
        while self.library.pcre2_match_8(ctypes.c_void_p(code), self.raw, size(len(self.raw)), size(at), 0x40000000,
                                         ctypes.c_void_p(data), None) > 0:
            out.append(self.raw[ends[0]:ends[1]].decode())
            at = ends[1]
        return out


FEATURES = [*CATEGORIES, *SCRIPTS_KNOWN, *PROPERTIES, "\\s"]


def bits(names):
    return sum(1 << FEATURES.index(name) for name in names)


def features():
    """What a regular expression can tell of a character, for the oracle and for PCRE2: category, script and properties; a bit
    for each."""
    text = "".join(characters())
    pcre = Pcre(text)
    theirs, ours = [0] * 0x110000, [0] * 0x110000
    for place, name in enumerate(FEATURES):
        oracle = name if name == "\\s" else f"\\p{{{name}}}"
        perl = f"\\p{{sc:{name}}}" if name in SCRIPTS_KNOWN else oracle
        split = pre_tokenizers.Split(Regex(f"(?:{oracle})+"), "removed", invert=True)
        for found, pieces in ((theirs, (piece for piece, _ in split.pre_tokenize_str(text))), (ours, pcre.matching(perl))):
            for piece in pieces:
                for c in piece:
                    found[ord(c)] |= 1 << place
    return theirs, ours


def stand_ins():
    """For each character that PCRE2 takes for another sort than the oracle does, the nearest one of the same length that it takes
    for what the oracle takes this one."""
    theirs, ours = features()
    categories, scripts_of = bits(CATEGORIES), bits(SCRIPTS_KNOWN)
    length = lambda code: len(chr(code).encode())  # noqa: E731
    # Unassigned ones and those that are taken for others stand for none.
    same = {}
    for code in map(ord, characters()):
        if ours[code] == theirs[code] and ours[code] & categories:
            same.setdefault((length(code), ours[code]), []).append(code)
    orders = [bits(PROPERTIES[:n]) for n in range(len(PROPERTIES) + 1)]

    def like(wanted, size):
        for dropped in [*(orders if wanted & scripts_of else []), *(order | scripts_of for order in orders)]:
            some = [other for (length_of, kind), others in same.items() if length_of == size and not (kind ^ wanted) & ~dropped
                    for other in others]
            if some:
                return sorted(some)
        raise ValueError(f"nothing stands for {[f for n, f in enumerate(FEATURES) if wanted >> n & 1]}")

    out, found = {}, {}
    for code in map(ord, characters()):
        sort = theirs[code], length(code)
        if theirs[code] != ours[code]:
            some = found[sort] = found.get(sort) or like(*sort)
            place = bisect.bisect(some, code)
            out[code] = min(some[max(place - 1, 0):place + 1], key=lambda other: abs(other - code))
    return out


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
    rows = ranges(found := stand_ins(), found.get)
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
    print(len(rows), len(marks))


main()

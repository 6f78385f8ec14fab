"""Strings that tell tokenizers apart: every script, odd spaces, marks, emoji, controls, runs, text around added tokens."""
import random
import unicodedata

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\v", "\f", "\x1c", "\x85",
          "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\ufeff",
          "\u180e"]
WORDS = ["the", "The", "river", "token", "izer", "don't", "I'M", "YOU'RE", "it\u2019s", "we'll",
         "'s", "'ll", "'\u017f", "caf\u00e9", "cafe\u0301", "\u212b", "\ufb01", "\u0958",
         "\u1100\u1161\u11a8", "\uac00", "na\u00efve", "stra\u00dfe", "\u0130stanbul", "\u1e9e",
         "_x", "__init__", "$x", "foo(bar);", "x[i]++", "<s>", "</s>", "[MASK]", "<0x0A>",
         "\u4f60\u597d", "\u3053\u3093", "\u041f\u0440\u0438", "\u0e2a\u0e27\u0e31", "\u0938\u094d",
         "\u0645\u0631\u062d", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f600",
         "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\u0120", "\u010a", "\u2581", "\ufffd", "\0",
         "a\u0323\u0307", "a\u0307\u0323", "\u1e0b\u0323", "q\u0307\u0323", "\u0344", "\u2126"]
NUMBERS = ["0", "1234567890", "3.14", "1,000", "\u0663\u0664", "x\u00b2", "\u00bd", "\u2167",
           "\uff11\uff12", "\U0001d7ce", "\u0bf0", "12ab34"]


EMOJI = [0x1F600, 0x1F468, 0x1F469, 0x1F467, 0x1F466, 0x1F9D1, 0x1F3F3, 0x1F3F4, 0x2764, 0x1F525, 0x1F308, 0x2695, 0x2642, 0x2640,
         0x1F44D, 0x1F91D, 0x1F1E9, 0x1F1EA, 0x1F680, 0x1F9B0, 0x1FAE8, 0x1FAF1, 0x1FADF, 0x2B1B, 0x270A, 0x23, 0x31]
JOINERS = ["\u200d", "\ufe0f", "\ufe0e", "\u20e3", "\U0001f3fb", "\U0001f3ff", "\U000e0067", "\U000e007f", "\u200d\ufe0f"]
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x34F, 0x61C, 0x115F, 0x17B4, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
            *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFE), 0x110BD, 0x1BCA0, 0x1D173, 0xE0001, 0xE0020, 0xE0100]
AROUND = ["", " ", "  ", "\n", "\t", "\xa0", "\u3000", "a", " a", "a ", "_", "1", ".", "\u00e9", "e\u0301", "\u0301", "\u200d", "\u4f60",
          "\U0001f468\u200d\U0001f469", "<", "\u2581", "\0"]


def blocks():
    """Runs of characters, about a script each: the large ones (Chinese, Korean, Tangut, ..), the others, and
    what this Python does not know, where newer scripts are."""
    large, small, unknown = [], [], []
    for begin in range(0x20, 0x32400, 0x80):
        codes = [c for c in range(begin, begin + 0x80) if not 0xD800 <= c < 0xF900]
        known = [chr(c) for c in codes if unicodedata.category(chr(c)) != "Cn"]
        if known:
            big = 0x3400 <= begin < 0xF900 or 0x13000 <= begin < 0x14800 or 0x17000 <= begin < 0x1B000 or begin >= 0x20000
            (large if big else small).append(known)
        other = [chr(c) for c in codes if unicodedata.category(chr(c)) == "Cn"]
        if other and begin < 0x1FC00:
            unknown.append(other)
    return large, small, unknown


class Strings:
    def __init__(self, seed, specials):
        self.random = random.Random(seed)
        self.specials = specials or ["<|x|>"]
        self.blocks = blocks()

    def characters(self):
        block = self.random.choice(self.random.choices(self.blocks, [3, 10, 1])[0])
        return "".join(self.random.choice(block) for _ in range(self.random.randint(1, 8)))

    def anything(self):
        code = self.random.choice([self.random.randrange(0x80), self.random.randrange(0x3000),
                                   self.random.randrange(0x10000), self.random.randrange(0x110000)])
        return "" if 0xD800 <= code < 0xE000 else chr(code)

    def marks(self):
        base = self.random.choice("aeiouAqz\u0915\u05d0\u0627\u1100\uac00")
        return base + "".join(chr(self.random.choice([self.random.randrange(0x300, 0x370),
                                                      self.random.randrange(0x591, 0x5C8),
                                                      self.random.randrange(0x64B, 0x660),
                                                      self.random.randrange(0x1160, 0x1200),
                                                      self.random.randrange(0x900, 0xE00)]))
                              for _ in range(self.random.randint(1, 4)))

    def emoji(self):
        out = ""
        for _ in range(self.random.randint(1, 5)):
            out += chr(self.random.choice(EMOJI) if self.random.random() < 0.8 else self.random.randrange(0x1F300, 0x1FB00))
            out += "".join(self.random.choice(JOINERS[:3] + JOINERS) for _ in range(self.random.choice([0, 1, 1, 2])))
        return out

    def control(self):
        return "".join(chr(self.random.choice(CONTROLS)) for _ in range(self.random.randint(1, 3)))

    def special(self):
        text = self.random.choice(self.specials)
        cut = self.random.random()
        if cut < 0.1:
            return text[: self.random.randrange(len(text) + 1)]
        if cut < 0.2:
            return text[self.random.randrange(len(text) + 1):]
        if cut < 0.3:
            return text.upper()
        return text

    def run(self):
        return self.run_unit() * self.random.randint(2, 60)

    def run_unit(self):
        return self.random.choice(["a", " ", "\n", "!", "0", "\u00e9", "\u4f60", "\u0301", "\t", "\U0001f600", "ab", "\xa0", "\u2581",
                                   "\0", "\ufffd", "\u0345", "\uac00", "\u1100", "\u0120"])

    def long_run(self):
        """Longer than any buffer that is there for the usual case."""
        unit = self.random.choice([self.run_unit, self.anything, self.emoji, self.marks])()
        return unit * (self.random.choice([64, 100, 101, 128, 255, 256, 257, 511, 512, 1000, 2500]) // max(len(unit), 1))

    def bytes(self):
        raw = bytes(self.random.choice([self.random.randrange(256), self.random.randrange(128)])
                    for _ in range(self.random.randint(1, 12)))
        return raw.decode("utf-8", errors="replace")

    def next(self, longer=False):
        kinds = [lambda: self.random.choice(SPACES), lambda: self.random.choice(WORDS),
                 lambda: self.random.choice(NUMBERS), lambda: " ", self.characters, self.anything,
                 self.marks, self.special, self.run, self.bytes, self.emoji, self.control, self.long_run]
        weights = [6, 8, 3, 8, 4, 3, 2, 3, 1, 1, 1, 1, 0.02 if longer else 0]
        count = self.random.choice([1, 2, 3, 5, 8, 13, 30])
        return "".join(kind() for kind in self.random.choices(kinds, weights, k=count))

    def raw(self):
        """Bytes that are seldom UTF-8: cut, with others in them, with surrogates and overlong forms."""
        raw = bytearray(self.next().encode("utf-8"))
        for _ in range(self.random.randint(0, 4)):
            at = self.random.randrange(len(raw) + 1)
            kind = self.random.randrange(5)
            if kind == 0:
                raw[at:at + self.random.randint(1, 3)] = b""
            elif kind == 1:
                raw[at:at] = self.random.choice([b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xc0\x80", b"\xe0\x9f\xbf", b"\xf4\x90\x80\x80",
                                                 b"\xf0\x8f\xbf\xbf", b"\xff", b"\xfe", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf5", b"\x80"])
            elif kind == 2:
                raw[at:] = b""
            else:
                raw[at:at] = self.random.randbytes(self.random.randint(1, 4))
        return bytes(raw)

    def around(self):
        """Every special between all pairs of what may stand beside it, and beside every other one."""
        for text in dict.fromkeys(self.specials):
            yield from (before + text + after for before in AROUND for after in AROUND)
            yield from (text + between + other for other in self.specials for between in ("", " "))

"""Strings that tell tokenizers apart: every script, odd spaces, marks, runs, text around specials."""
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


def blocks():
    """Runs of assigned characters, about a script each."""
    out, run = [], []
    for code in range(0x20, 0x32000):
        if 0xD800 <= code < 0xE000 or unicodedata.category(chr(code)) in ("Cn", "Co"):
            continue
        run.append(chr(code))
        if len(run) == 128:
            out.append(run)
            run = []
    return out


class Strings:
    def __init__(self, seed, specials):
        self.random = random.Random(seed)
        self.specials = specials or ["<|x|>"]
        self.blocks = blocks()

    def characters(self):
        block = self.random.choice(self.blocks)
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
        return self.random.choice(["a", " ", "\n", "!", "0", "\u00e9", "\u4f60", "\u0301", "\t",
                                   "\U0001f600", "ab", "\xa0"]) * self.random.randint(2, 60)

    def bytes(self):
        raw = bytes(self.random.choice([self.random.randrange(256), self.random.randrange(128)])
                    for _ in range(self.random.randint(1, 12)))
        return raw.decode("utf-8", errors="replace")

    def next(self):
        kinds = [lambda: self.random.choice(SPACES), lambda: self.random.choice(WORDS),
                 lambda: self.random.choice(NUMBERS), lambda: " ", self.characters, self.anything,
                 self.marks, self.special, self.run, self.bytes]
        weights = [6, 8, 3, 8, 4, 3, 2, 3, 1, 1]
        count = self.random.choice([1, 2, 3, 5, 8, 13, 30])
        return "".join(kind() for kind in self.random.choices(kinds, weights, k=count))

"""Tokenizers of every kind, trained on the spot on strings of strings.py."""
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

from configurations import CONFIGURATIONS
from expressions import EXPRESSIONS

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LINE = "\u2581"


def words(strings, count):
    return [strings.next() for _ in range(count)]


def added():
    return [
        AddedToken("<m>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, special=True),
        AddedToken("<b>", lstrip=True, rstrip=True, normalized=True),
        AddedToken("foo", single_word=True), AddedToken("caf\u00e9", normalized=True),
        AddedToken("e\u0301t", normalized=True), AddedToken("<a>", normalized=False),
        AddedToken("<a>b", normalized=False), AddedToken("  x ", normalized=False),
    ]


def byte_level(strings, variant=0):
    """A byte-level tokenizer with every flag that an added token can have."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=variant % 2 == 1))
    pattern = [pre_tokenizers.ByteLevel(add_prefix_space=variant % 3 == 1)]
    if variant % 2 == 1:
        pattern.insert(0, pre_tokenizers.Digits(individual_digits=variant % 4 == 1))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pattern)
    if variant % 2 == 0:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<s>", "</s>"])
    tokenizer.train_from_iterator(words(strings, 3000), trainer)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=variant % 3 != 0, add_prefix_space=variant % 3 == 1),
        processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1",
                                      special_tokens=[("<s>", 0), ("</s>", 1)]),
    ])
    return tokenizer


def llama(strings):
    """SentencePiece's BPE as files of Llama 2 have it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(LINE), normalizers.Replace(" ", LINE)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(LINE, " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(words(strings, 2000), trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + BYTES,
        limit_alphabet=300))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def llama_words(strings):
    """The same cut into words, with a byte missing and with Metaspace in place of the normalizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(words(strings, 2000), trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + BYTES[:0xE4],
        limit_alphabet=300))
    return tokenizer


def unigram(strings, fallback):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    # The trainer wants room for every character that it sees.
    some = [s for s in words(strings, 8000) if all(ord(c) < 0x600 for c in s)]
    tokenizer.train_from_iterator(some, trainers.UnigramTrainer(
        vocab_size=2000, show_progress=False, unk_token="<unk>",
        special_tokens=["<pad>", "</s>", "<unk>"] + (BYTES if fallback else [])))
    if fallback:
        import json
        file = json.loads(tokenizer.to_str())
        file["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def bert(strings, lower):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=lower)
    tokenizer.train_from_iterator(words(strings, 3000), trainers.WordPieceTrainer(
        vocab_size=3000, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"]))
    if lower:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    else:
        tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def word_level(strings, pre_tokenizer):
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(words(strings, 3000), trainers.WordLevelTrainer(
        vocab_size=3000, show_progress=False, special_tokens=["<unk>"]))
    return tokenizer


def suffixed(strings):
    """As the first GPT: pieces that end a word say so."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="contiguous")])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.train_from_iterator(words(strings, 2000), trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<unk>"], end_of_word_suffix="</w>"))
    return tokenizer


def prefixed(strings):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.FixedLength(7)])
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator(words(strings, 2000), trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<unk>"], continuing_subword_prefix="##",
        limit_alphabet=400))
    return tokenizer


def byte_normalized(strings):
    """ByteLevel as a normalizer, and pre-tokenizers after one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\u0120+|[a-z]+"), "isolated")
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(words(strings, 1000), trainers.BpeTrainer(
        vocab_size=1500, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def ctc(strings):
    tokenizer = word_level(strings, pre_tokenizers.FixedLength(1))
    tokenizer.decoder = decoders.CTC(pad_token="a", word_delimiter_token="e", cleanup=True)
    return tokenizer


KINDS = {
    **{f"byte-level-{n}": lambda strings, n=n: byte_level(strings, n) for n in range(4)},
    "llama": llama,
    "llama-words": llama_words,
    "unigram": lambda strings: unigram(strings, False),
    "unigram-bytes": lambda strings: unigram(strings, True),
    "bert": lambda strings: bert(strings, True),
    "bert-cased": lambda strings: bert(strings, False),
    "words": lambda strings: word_level(strings, pre_tokenizers.Whitespace()),
    "scripts": lambda strings: word_level(strings, pre_tokenizers.UnicodeScripts()),
    "digits": lambda strings: word_level(strings, pre_tokenizers.Sequence([
        pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.ByteLevel(use_regex=False),
        pre_tokenizers.Digits()])),
    "suffixed": suffixed,
    "prefixed": prefixed,
    "byte-normalized": byte_normalized,
    "ctc": ctc,
    **EXPRESSIONS,
    **CONFIGURATIONS,
}


def train(kind, strings):
    tokenizer = KINDS[kind](strings)
    if kind not in CONFIGURATIONS:
        tokenizer.add_tokens(added())
    return tokenizer

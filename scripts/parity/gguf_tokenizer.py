"""A `tokenizers` object for the byte-level tokenizer in a .gguf file, straight from its metadata."""
import struct

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors

SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
WORDS = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
         "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")


def metadata(path):
    """The key-value part of the file."""
    with open(path, "rb") as file:
        def take(form):
            size = struct.calcsize("<" + form)
            return struct.unpack("<" + form, file.read(size))[0]

        def text():
            return file.read(take("Q")).decode("utf-8")

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                inner, count = take("I"), take("Q")
                return [value(inner) for _ in range(count)]
            return take(SIZES[kind])

        assert file.read(4) == b"GGUF", f"{path} is no GGUF file"
        version, _, count = take("I"), take("Q"), take("Q")
        assert version in (2, 3), f"GGUF version {version}"
        out = {}
        for _ in range(count):
            key = text()
            out[key] = value(take("I"))
        return out


def tokenizer_of_gguf(path):
    data = metadata(path)
    get = lambda key, other=None: data.get("tokenizer.ggml." + key, other)  # noqa: E731
    assert get("model") == "gpt2", f"{path}: {get('model')} is not byte-level BPE"
    tokens, kinds, pre = get("tokens"), get("token_type", []), get("pre", "default")
    merges = [tuple(m.split(" ", 1)) for m in get("merges")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges,
                                     ignore_merges=pre == "llama-bpe"))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("gpt-2", "smollm"))
    first = {"gpt-2": [], "smollm": [pre_tokenizers.Digits(individual_digits=True)],
             "llama-bpe": [WORDS % "\\p{N}{1,3}"], "qwen2": [WORDS % "\\p{N}"]}[pre]
    from tokenizers import Regex
    first = [pre_tokenizers.Split(Regex(f), "isolated") if isinstance(f, str) else f for f in first]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, level])
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(t, special=k == 3, normalized=False)
             for t, k in zip(tokens, kinds) if k in (3, 4)]
    tokenizer.add_tokens([t for t in added if not t.special])
    tokenizer.add_special_tokens([t for t in added if t.special])
    begin = [tokens[get("bos_token_id")]] if get("add_bos_token", pre == "llama-bpe") else []
    end = [tokens[get("eos_token_id")]] if get("add_eos_token", False) else []
    if begin or end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join([*begin, "$A", *end]),
            special_tokens=[(t, tokens.index(t)) for t in {*begin, *end}])
    return tokenizer

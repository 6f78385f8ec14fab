#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into corpus/: small files of every kind, those of torch.save from
tests/golden. The standard library only."""
import base64
import json
import pathlib
import shutil
import struct
import zipfile

CORPUS = pathlib.Path(__file__).parent / "corpus"
ALPHABET = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyzTR0123456789\u0120\u010a\u00c3\u00a9<>")}


def charsmap():
    """A double array that maps U+FB01 to "fi"."""
    units = [0] * 2048
    key, node = "\ufb01".encode(), 0
    for number, byte in enumerate(key):
        # Children of a unit lie at its place xor its offset xor their byte.
        start = 256 * (number + 1)
        units[node] |= (node ^ start) << 10
        node = start ^ byte
        units[node] = byte
    units[node] |= (node ^ 1024) << 10 | 1 << 8
    units[1024] = 1 << 31
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"fi\0"


def bpe(**more):
    vocab = {**ALPHABET, "th": 100, "the": 101, "<0x0A>": 102}
    return {"version": "1.0", "added_tokens": [
        {"id": 200, "content": "<note>", "special": True, "lstrip": True, "rstrip": True}],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "unk_token": "a", "vocab": vocab,
                  "merges": ["t h", ["th", "e"]]}, **more}


def template(name):
    return {"type": "TemplateProcessing", "special_tokens": {name: {"id": name, "ids": [1], "tokens": [name]}},
            "single": [{"SpecialToken": {"id": name, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]}


TOKENIZERS = {
    "byte_level": bpe(
        normalizer={"type": "NFC"}, decoder={"type": "ByteLevel"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\\\p{N}{1,3}| ?\\\\p{L}+"}, "behavior": "Isolated"},
            {"type": "ByteLevel", "add_prefix_space": True}]},
        post_processor={"type": "Sequence", "processors": [{"type": "ByteLevel"}, template("x")]}),
    "sentencepiece": bpe(
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "a"}, {"type": "Replace", "pattern": {"String": " "}, "content": "b"},
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()}]},
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "b"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
    "unigram": {"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True,
                          "vocab": [["<unk>", 0], ["a", -1.5], ["th", -2], ["e", -3]]},
                "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"},
                "decoder": {"type": "Metaspace", "replacement": "\u2581"}},
    "word_piece": {"model": {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 9,
                             "continuing_subword_prefix": "##",
                             "vocab": {"[UNK]": 0, "t": 1, "##h": 2, "river": 3, "[SEP]": 4}},
                   "normalizer": {"type": "BertNormalizer", "lowercase": True},
                   "pre_tokenizer": {"type": "BertPreTokenizer"},
                   "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["t", 1]},
                   "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
    "empty": bpe(normalizer={"type": "Sequence", "normalizers": []}, decoder={"type": "Sequence", "decoders": []},
                 pre_tokenizer={"type": "Sequence", "pretokenizers": []}, post_processor={"type": "Sequence", "processors": []}),
    "word_level": {"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0, "x": 1}},
                   "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                       {"type": "UnicodeScripts"}, {"type": "FixedLength", "length": 3}]},
                   "decoder": {"type": "CTC", "pad_token": "u", "word_delimiter_token": "x", "cleanup": True}},
}

TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% generation %}{{ m.content }}"
              "{% endgeneration %}{% endfor %}\n{%- if add_generation_prompt %}<|im_start|>{% endif %}",
    "macros": "{% macro f(a, b='x') %}{{ a|tojson(indent=2) }}{% if b %}{{ f(b, none) }}{% endif %}{% endmacro %}"
              "{% set ns = namespace(n=0) %}{% for t in tools recursive %}{% set ns.n = ns.n + 1 %}{{ f(t) }}"
              "{% if loop.first %}{% continue %}{% endif %}{{ loop.cycle(1, 2) }}{% else %}x{% endfor %}{{ ns.n }}",
    "filters": "{% set q | upper %}a {{ messages[::-1]|map(attribute='role')|join(', ') }}{% endset %}{{ q }}"
               "{{ '%5.2f' % 3 }}{{ 'ab' * 3 }}{{ messages|selectattr('role', 'equalto', 'user')|list }}{# c #}"
               "{% raw %}{{ x }}{% endraw %}{% with a = 1 %}{{ a is odd }}{% endwith %}{{ strftime_now('%Y') }}",
}


def field(number, value):
    """A field of a protocol buffer."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def sentencepiece(kind):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("\u2581", -1.0, 1), ("t", -2.0, 1),
              ("h", -3.0, 1), ("th", -0.5, 1), ("\u2581th", -0.25, 1), ("<0x0A>", 0.0, 6), ("note", 0.0, 4)]
    out = b"".join(field(1, field(1, p.encode()) + field(2, s) + field(3, t)) for p, s, t in pieces)
    return out + field(2, field(3, kind) + field(40, 0)) + field(3, field(2, charsmap()) + field(3, 1))


def gguf(values):
    """A file of metadata alone."""
    text = lambda t: struct.pack("<Q", len(t.encode())) + t.encode()  # noqa: E731

    def value(v):
        if isinstance(v, bool):
            return 7, struct.pack("<?", v)
        if isinstance(v, int):
            return 4, struct.pack("<I", v)
        if isinstance(v, float):
            return 6, struct.pack("<f", v)
        if isinstance(v, bytes):
            return 9, struct.pack("<IQ", 0, len(v)) + v
        if isinstance(v, str):
            return 8, text(v)
        kind = 5 if isinstance(v[0], int) else value(v[0])[0]
        return 9, struct.pack("<IQ", kind, len(v)) + b"".join(value(x)[1] for x in v)

    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(values))
    for name, given in values.items():
        kind, packed = value(given)
        out += text(name) + struct.pack("<I", kind) + packed
    return out


def gguf_tokenizers():
    def named(model, tokens, **more):
        return gguf({"general.architecture": "llama", "tokenizer.ggml.model": model, "tokenizer.ggml.tokens": tokens,
                     **{f"tokenizer.ggml.{k}": v for k, v in more.items()}})
    letters = [*"abcdehiort", "\u0120", "th", "the", "<s>", "foo"]
    pieces = ["<unk>", "<s>", "</s>", "\u2581", "t", "h", "th", "\u2581th", "<0x0A>", "note"]
    about = dict(scores=[0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -0.5, -0.25, 0.0, 0.0], token_type=[2, 3, 3, 1, 1, 1, 1, 1, 6, 4])
    yield "gpt2", named("gpt2", letters, pre="llama-bpe", merges=["t h", "th e"], token_type=[1] * 13 + [3, 4], bos_token_id=13,
                        add_bos_token=True)
    yield "llama", named("llama", pieces, **about, bos_token_id=1, add_space_prefix=False)
    yield "bert", named("bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581the", "r", "\u2581river"], cls_token_id=2,
                        seperator_token_id=3, unknown_token_id=1)
    yield "t5", named("t5", pieces, **about, precompiled_charsmap=charsmap(), unknown_token_id=0, eos_token_id=2)
    yield "whole", gguf({"tokenizer.huggingface.json": json.dumps(TOKENIZERS["unigram"]), "tokenizer.ggml.bos_token_id": 1})


def main():
    for name, file in gguf_tokenizers():
        (CORPUS / "gguf-tokenizer" / f"{name}.gguf").write_bytes(file)
    for name, file in TOKENIZERS.items():
        (CORPUS / "tokenizer-json" / f"{name}.json").write_text(json.dumps(file))
    for name, text in TEMPLATES.items():
        (CORPUS / "chat-template" / f"{name}.jinja").write_text(text)
    for name, kind in (("unigram", 1), ("bpe", 2)):
        (CORPUS / "sentencepiece" / f"{name}.model").write_bytes(sentencepiece(kind))
    for file in (CORPUS.parents[1] / "golden" / "data" / "tensors").glob("torch*.bin"):
        shutil.copy(file, CORPUS / "torch-file" / file.name)
        with zipfile.ZipFile(file) as archive:
            inner = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            (CORPUS / "torch-file" / f"{file.stem}.pkl").write_bytes(archive.read(inner))


if __name__ == "__main__":
    main()

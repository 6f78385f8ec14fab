#!/usr/bin/env python3
"""Compares ids and text of `graft tokenize` with SentencePiece itself, on models trained on the spot.

    scripts/parity/pieces.py --graft build/bin/graft [--strings 2000] [--seed 1]

Each model is read as tokenizer.model and, written by PyPI's `gguf`, as the kinds llama and t5 of a .gguf file.
Needs PyPI's `sentencepiece`, `gguf` and `protobuf`.
"""
import argparse
import io
import pathlib
import sys
import tempfile
import unicodedata

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from strings import Strings  # noqa: E402
from text import compare as text_compare, run  # noqa: E402

# What differs from SentencePiece's own defaults.
MODELS = {
    "bpe": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                remove_extra_whitespaces=False),
    "bpe-digits": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", split_digits=True,
                       remove_extra_whitespaces=False, allow_whitespace_only_pieces=True),
    "bpe-no-prefix": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                          add_dummy_prefix=False, remove_extra_whitespaces=False),
    "bpe-nmt": dict(model_type="bpe", byte_fallback=True),
    "bpe-unknown": dict(model_type="bpe", byte_fallback=False),
    "unigram": dict(model_type="unigram"),
    "unigram-bytes": dict(model_type="unigram", byte_fallback=True),
    "unigram-plain": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="identity",
                          remove_extra_whitespaces=False),
    "unigram-folded": dict(model_type="unigram", normalization_rule_name="nfkc_cf"),
}


def trained(strings, options):
    # Characters of a few scripts: SentencePiece wants room for most that it sees.
    some = ["".join(c for c in s if c and (0 < ord(c) < 0x180 or 0x400 < ord(c) < 0x450 or ord(c) in range(0x3040, 0x3060)))
            for s in strings]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(some), model_writer=out, vocab_size=1500,
        hard_vocab_limit=False, character_coverage=0.99, num_threads=1, minloglevel=2, **options)
    return out.getvalue()


def write_gguf(path, model, t5):
    """As converters do."""
    pieces, normalizer = model.pieces, model.normalizer_spec
    writer = gguf.GGUFWriter(str(path), "t5" if t5 else "llama")
    writer.add_tokenizer_model("t5" if t5 else "llama")
    writer.add_token_list([p.piece.encode() for p in pieces])
    writer.add_token_scores([p.score for p in pieces])
    writer.add_token_types([p.type for p in pieces])
    writer.add_add_space_prefix(normalizer.add_dummy_prefix)
    writer.add_unk_token_id(model.trainer_spec.unk_id)
    writer.add_bos_token_id(model.trainer_spec.bos_id)
    writer.add_eos_token_id(model.trainer_spec.eos_id)
    if t5:
        writer.add_remove_extra_whitespaces(normalizer.remove_extra_whitespaces)
        if normalizer.precompiled_charsmap:
            writer.add_precompiled_charsmap(normalizer.precompiled_charsmap)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def is_tie(oracle, one, other):
    """SentencePiece adds scores in single precision, so of two ways with equal sums it may take the other one."""
    total = lambda ids: sum(oracle.get_score(i) for i in ids)  # noqa: E731
    return oracle.decode(one) == oracle.decode(other) and abs(total(one) - total(other)) < 1e-3


def whole_characters(text):
    """Whether every character is a grapheme of its own: of others transformers' copy of the map replaces the whole."""
    return not any(unicodedata.category(c)[0] == "M" or unicodedata.category(c) in ("Cf", "Cn", "Co", "Sk")
                   or 0x1100 <= ord(c) < 0x1200 or 0xAC00 <= ord(c) < 0xD7FC or 0x1F1E6 <= ord(c) < 0x1F200
                   or c == "\r" for c in text)


def compare(graft, path, name, oracle, texts):
    lines = run(graft, path, [], [{"text": t} for t in texts])
    wrong = 0
    for text, line in zip(texts, lines):
        expected = oracle.encode(text)
        if line["input_ids"] != expected and not is_tie(oracle, line["input_ids"], expected):
            wrong += 1
            if wrong <= 3:
                print(f"  {text!r}\n    graft         {line['input_ids']}\n    sentencepiece {expected}")
    decoded = run(graft, path, ["--decode"], [{"input_ids": line["input_ids"]} for line in lines])
    for line, out in zip(lines, decoded):
        expected = oracle.decode(line["input_ids"])
        # SentencePiece writes its own sign for what is unknown, and one U+FFFD for a run of bad bytes as we do.
        if oracle.unk_id() not in line["input_ids"] and out["text"] != expected:
            wrong += 1
            if wrong <= 3:
                print(f"  text of {line['input_ids']}\n    graft         {out['text']!r}\n"
                      f"    sentencepiece {expected!r}")
    print(f"{name}: {len(texts)} strings, {wrong} differences", flush=True)
    return wrong


def compare_converted(graft, folder, name, model, strings, count):
    """The same as a tokenizer.json that transformers makes of it, with the map of characters; all texts."""
    tokenizer = Tokenizer(models.Unigram([(p.piece, p.score) for p in model.pieces], model.trainer_spec.unk_id,
                                         model.trainer_spec.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    path = pathlib.Path(folder) / "converted"
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    # Marks that are newer than our library's make clusters with what is before them.
    texts = ["".join(c for c in strings.next() if unicodedata.category(c) != "Cn") for _ in range(count)]
    # Offsets behind what the map takes out, at the beginning and behind what it makes longer.
    draw, odd = strings.random, "\0\1\x0b\x7f\xad\u200b\xbd\ufb01\u3392\u212b\u0301\ufeff ax"
    texts += ["".join(draw.choice(odd) for _ in range(draw.randint(1, 9))) for _ in range(count // 4)]
    return text_compare(graft, path, tokenizer, texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--graft", required=True, help="the command, with arguments if it needs any")
    parser.add_argument("--strings", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    graft, wrong = options.graft.split(), 0
    for number, name in enumerate(options.models):
        strings = Strings(options.seed + number, ["<u>"])
        bytes_ = trained([strings.next()[:1000] for _ in range(3000)], MODELS[name])
        oracle, model = sentencepiece.SentencePieceProcessor(model_proto=bytes_), proto.ModelProto()
        model.ParseFromString(bytes_)
        # What stands for a special token is text to SentencePiece and the token to all that read its models; its own sign
        # of spaces is one where it is written out.
        texts = [t for t in (strings.next() for _ in range(options.strings))
                 if not any(s in t for s in ("<unk>", "<s>", "</s>", "\0", "\u2581"))]
        mapped = model.normalizer_spec.precompiled_charsmap
        if mapped:
            texts = [t for t in texts if whole_characters(t)]
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "tokenizer.model").write_bytes(bytes_)
            wrong += compare(graft, folder, name, oracle, texts)
            t5 = name.startswith("unigram")
            if t5 and mapped:
                wrong += compare_converted(graft, folder, name, model, strings, options.strings)
            path = pathlib.Path(folder) / "model.gguf"
            if not t5 and (model.normalizer_spec.precompiled_charsmap or model.normalizer_spec.remove_extra_whitespaces):
                continue  # the kind llama keeps neither
            write_gguf(path, model, t5)
            wrong += compare(graft, path, name + ".gguf", oracle, texts)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

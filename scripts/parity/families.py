"""Tokenizers as families of models have them, trained on the spot on strings of strings.py."""
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

LINE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}"
          r"\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}"
         r"\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}"
         r"\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(strings, before, normalizer=None, processor=None, regex=False, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)])
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([strings.next() for _ in range(2500)], trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>", "<unk>"], end_of_word_suffix=model.get("end_of_word_suffix", "")))
    tokenizer.post_processor = processor or processors.ByteLevel(trim_offsets=False)
    return tokenizer


def pieces(strings, normalizer, pre=None, decoder=None, processor=None):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoder or decoders.Sequence([
        decoders.Replace(LINE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator([strings.next() for _ in range(1500)], trainers.BpeTrainer(
        vocab_size=2000, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + BYTES, limit_alphabet=300))
    tokenizer.post_processor = processor or processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def llama3(strings):
    return byte_level(strings, [split(WORDS % r"\p{N}{1,3}")], ignore_merges=True, processor=processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])]))


def phi3(strings):
    tokenizer = pieces(strings, normalizers.Sequence([normalizers.Prepend(LINE), normalizers.Replace(" ", LINE)]))
    tokenizer.add_special_tokens([AddedToken(t, rstrip=True, normalized=False) for t in ("<|user|>", "<|end|>")])
    return tokenizer


def gemma(strings):
    tokenizer = pieces(strings, normalizers.Replace(" ", LINE), pre_tokenizers.Split(" ", "merged_with_previous"),
                       decoders.Sequence([decoders.Replace(LINE, " "), decoders.ByteFallback(), decoders.Fuse()]))
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("\n\n", "\n\n\n", LINE * 2, LINE * 3, "<table>")])
    return tokenizer


def clip(strings):
    tokenizer = byte_level(
        strings, [split(CLIP, "removed", True)], end_of_word_suffix="</w>", unk_token="<unk>",
        normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        processor=processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=False, add_prefix_space=False))
    return tokenizer


def roberta(strings):
    tokenizer = byte_level(strings, [], regex=True, processor=processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=False))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    return tokenizer


FAMILIES = {
    "like-llama-3": llama3,
    "like-qwen-2": lambda s: byte_level(s, [split(WORDS % r"\p{N}")], normalizer=normalizers.NFC()),
    "like-tekken": lambda s: byte_level(s, [split(TEKKEN)], ignore_merges=True),
    "like-gpt-4o": lambda s: byte_level(s, [split(GPT4O)]),
    "like-deepseek": lambda s: byte_level(s, [
        split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK)],
        normalizer=normalizers.Sequence([])),
    "like-deepseek-1": lambda s: byte_level(s, [
        split(r"[\r\n]"), split(r"\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf]+"),
        split(r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
        split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), pre_tokenizers.Digits(individual_digits=True)]),
    "like-falcon": lambda s: byte_level(s, [
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]),
    "like-bloom": lambda s: byte_level(s, [split("?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+".replace("?[", " ?[", 1))]),
    "like-command-r": lambda s: byte_level(s, [pre_tokenizers.Digits(individual_digits=True)], normalizer=normalizers.NFC(), regex=True),
    # What Ruby's expressions write in another way than Perl's.
    "classes": lambda s: byte_level(s, [split(r"[^(\s|[.,!?\u2026\u3002])]{,4}"), split(r"[\p{L}&&[^aeiou]]+|[\W\d]"),
                                        split(r"(?m:.\n)|^\s|\w$|\h+|(?i:[a-c]x)")]),
    "like-roberta": roberta,
    "like-clip": clip,
    "like-mistral-3": lambda s: pieces(s, None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "like-phi-3": phi3,
    "like-gemma": gemma,
}

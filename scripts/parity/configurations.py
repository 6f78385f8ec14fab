"""The configurations of real families, normalizer to decoder as their tokenizer.json files have them; the vocabularies are
trained on the spot on strings of strings.py. Those of kinds.py have added tokens that try every flag."""
import functools
import io

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

import expressions
from expressions import split

LINE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
S, P = normalizers.Sequence, pre_tokenizers.Sequence
META = dict(replacement=LINE, prepend_scheme="always")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
QWEN35 = expressions.WORDS.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")


def special(*texts, **flags):
    return [AddedToken(text, special=True, normalized=False, **flags) for text in texts]


def plain(*texts, **flags):
    return [AddedToken(text, **{"normalized": False, **flags}) for text in texts]


def assemble(model, normalizer=None, pre=None, decoder=None, added=(), post=None):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if isinstance(post, tuple):
        single, pair = post
        names = {part.split(":")[0] for part in (single + " " + pair).split() if not part.startswith("$")}
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in sorted(names)])
    elif post:
        tokenizer.post_processor = post(tokenizer) if callable(post) else post
    return tokenizer


def bytes_bpe(strings, pre, normalizer=None, added=(), post=None, decoder=None, size=2500, **model):
    """BPE over bytes. `pre` ends with a ByteLevel."""
    pre = pre if isinstance(pre, list) else [pre]
    trained = Tokenizer(models.BPE(**model))
    trained.pre_tokenizer = P(pre)
    if normalizer:
        trained.normalizer = normalizer
    trained.train_from_iterator([strings.next() for _ in range(2000)], trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[t.content for t in added[:2] if t.special], end_of_word_suffix=model.get("end_of_word_suffix", "")))
    return assemble(trained.model, normalizer, P(pre) if len(pre) > 1 else pre[0], decoder or decoders.ByteLevel(), added, post)


def level(prefix=False, regex=True, trim=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex, trim_offsets=trim)


def bytes_post(trim=True, prefix=False):
    return processors.ByteLevel(trim_offsets=trim, add_prefix_space=prefix)


def roberta_post(sep, cls, trim=True, prefix=False):
    return lambda t: processors.RobertaProcessing((sep, t.token_to_id(sep)), (cls, t.token_to_id(cls)), trim, prefix)


@functools.lru_cache(maxsize=None)
def pieces(seed, kind, rule, fallback):
    """SentencePiece's own training, so with its real map of characters."""
    from strings import Strings
    strings = Strings(seed, ["<x>"])
    texts = ["".join(c for c in strings.next()[:800] if ord(c) > 0 and (ord(c) < 0x600 or ord(c) in range(0x3040, 0x3100)
                                                                       or ord(c) in range(0x4E00, 0x4F00))) for _ in range(3000)]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, vocab_size=2200, model_type=kind, hard_vocab_limit=False,
        character_coverage=0.995, num_threads=1, minloglevel=2, byte_fallback=fallback, normalization_rule_name=rule)
    model = proto.ModelProto()
    model.ParseFromString(out.getvalue())
    return model


def unigram(strings, rule="nmt_nfkc", fallback=False, front=("<s>", "<pad>", "</s>", "<unk>"), back=("<mask>",)):
    model = pieces(strings.random.randrange(1 << 30), "unigram", rule, fallback)
    vocab = [(name, 0.0) for name in front] + [(p.piece, p.score) for p in model.pieces[3:]] + [(name, 0.0) for name in back]
    unk = front.index("<unk>") if "<unk>" in front else front.index("[UNK]")
    charsmap = model.normalizer_spec.precompiled_charsmap
    return models.Unigram(vocab, unk, fallback), normalizers.Precompiled(charsmap) if charsmap else None


def squeeze(to=" "):
    return normalizers.Replace(Regex(" {2,}"), to)


def spm(strings, normalizer, pre, added, post, rule="nmt_nfkc", decoder=None, **vocabulary):
    model, charsmap = unigram(strings, rule, **vocabulary)
    return assemble(model, normalizer(charsmap), pre, decoder or decoders.Metaspace(**META), added, post)


def spm_bpe(strings, normalizer, pre, added, post, decoder, fallback=True, rule=None, front=("<unk>", "<s>", "</s>")):
    """The BPE of SentencePiece as a trainer here makes it."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    if rule:
        normalizer = normalizer(normalizers.Precompiled(
            pieces(5, "unigram", rule, False).normalizer_spec.precompiled_charsmap))
    if normalizer:
        trained.normalizer = normalizer
    if pre:
        trained.pre_tokenizer = pre
    trained.train_from_iterator([strings.next()[:500] for _ in range(1500)], trainers.BpeTrainer(
        vocab_size=2200, show_progress=False, special_tokens=[*front, *(BYTES if fallback else [])], limit_alphabet=400))
    return assemble(trained.model, normalizer, pre, decoder, added, post)


def word_piece(strings, normalizer, added, post, cleanup=True):
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator([strings.next() for _ in range(2500)], trainers.WordPieceTrainer(
        vocab_size=3000, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return assemble(trained.model, normalizer, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=cleanup), added, post)


def word_end(strings, normalizer, added=(), post=None):
    """As the first GPT."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    trained.normalizer, trained.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator([strings.next() for _ in range(2000)], trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], end_of_word_suffix="</w>"))
    return assemble(trained.model, normalizer, pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder(suffix="</w>"), added, post)


LLAMA_DECODER = [decoders.Replace(LINE, " "), decoders.ByteFallback(), decoders.Fuse()]
STRIPPED = decoders.Sequence([*LLAMA_DECODER, decoders.Strip(" ", 1, 0)])
UNSTRIPPED = decoders.Sequence(LLAMA_DECODER)
PREPENDED = S([normalizers.Prepend(LINE), normalizers.Replace(" ", LINE)])
CLS_SEP = ("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
BERT = special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
XLMR = [*special("<s>", "<pad>", "</s>", "<unk>"), *special("<mask>", lstrip=True)]
XLMR_POST = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
RUNS = [AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)]
WHISPER = special("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
DEEPSEEK = (special("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<\uff5c\u2581pad\u2581\uff5c>")
            + plain("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<\uff5ctool\u2581calls\u2581begin\uff5c>", "<think>", "</think>",
                    normalized=True) + plain("<\uff5cfim\u2581hole\uff5c>"))
FALCON = special(">>TITLE<<", ">>ABSTRACT<<", ">>INTRODUCTION<<", "<|endoftext|>")
SIGLIP = r"[!\"\#\$%\&'\(\)\*\+,\-\.:;=\?@\[\\\]\^_`\{\|\}\~]"
GALACTICA = r"[\(\)\[\]\{\}]|([!\"#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*"


def before(token):
    return (f"{token} $A", f"{token} $A {token} $B")


def llama3(strings, names, pattern=expressions.WORDS % r"\p{N}{1,3}", **model):
    added = special(*names)
    return bytes_bpe(strings, [split(pattern), level(regex=False)], added=added, ignore_merges=True, **model, post=lambda t: (
        processors.Sequence([bytes_post(trim=True), processors.TemplateProcessing(
            single=f"{names[0]} $A", pair=f"{names[0]} $A {names[0]}:1 $B:1",
            special_tokens=[(names[0], t.token_to_id(names[0]))])])))


def accents(strings, lower, added, post):
    """ALBERT and XLNet."""
    return spm(strings, lambda c: S([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                                     normalizers.StripAccents(), *([normalizers.Lowercase()] if lower else []), c, squeeze()]),
               pre_tokenizers.Metaspace(**META), added, post, front=("<unk>", "[CLS]", "[SEP]", "<pad>", "<sep>", "<cls>"))


CONFIGURATIONS = {
    "gpt-2": lambda s: bytes_bpe(s, level(), added=special("<|endoftext|>"), post=bytes_post(trim=False, prefix=False)),
    "whisper": lambda s: bytes_bpe(s, level(), added=WHISPER + plain("<|0.00|>", "<|0.02|>", "<|30.00|>"), post=(
        "<|startoftranscript|>:0 <|en|>:0 <|transcribe|>:0 $A:0 <|endoftext|>:0",
        "<|startoftranscript|>:0 <|en|>:0 <|transcribe|>:0 $A:0 $B:1 <|endoftext|>:1")),
    "gpt-neox": lambda s: bytes_bpe(s, level(), normalizers.NFC(), special("<|endoftext|>", "<|padding|>") + RUNS, bytes_post()),
    "modernbert": lambda s: bytes_bpe(
        s, level(), normalizers.NFC(), [AddedToken("|||IP_ADDRESS|||"), *special("<|padding|>"), *RUNS, *special("[UNK]", "[CLS]",
        "[SEP]", "[PAD]"), *special("[MASK]", lstrip=True), *plain("[unused0]", "[unused1]")], CLS_SEP),
    "codegen": lambda s: bytes_bpe(s, level(), added=[*special("<|endoftext|>"), *RUNS, *(AddedToken("\t" * n) for n in range(9, 1, -1))],
                                   post=bytes_post(trim=False)),
    "blenderbot": lambda s: bytes_bpe(s, level(prefix=True), added=special("<s>", "</s>"), post=("$A:0 </s>:0", "$A:0 </s>:0 $B:1 </s>:1")),
    "roberta": lambda s: bytes_bpe(
        s, level(), added=[*(AddedToken(t, special=True, normalized=True) for t in ("<s>", "<pad>", "</s>", "<unk>")),
                           *special("<mask>", lstrip=True)], post=roberta_post("</s>", "<s>")),
    "longformer": lambda s: bytes_bpe(s, level(prefix=True), added=[*special("<s>", "</s>"), *special("<mask>", lstrip=True)],
                                      post=roberta_post("</s>", "<s>", prefix=True)),
    "deberta": lambda s: bytes_bpe(s, level(), added=BERT, post=CLS_SEP),
    "clip": lambda s: bytes_bpe(
        s, [split(expressions.CLIP, "removed", True), level()], S([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                                               normalizers.Lowercase()]),
        [AddedToken("<|startoftext|>", special=True, normalized=True), *special("<|endoftext|>")],
        roberta_post("<|endoftext|>", "<|startoftext|>", trim=False), end_of_word_suffix="</w>", unk_token="<|endoftext|>"),
    "falcon": lambda s: bytes_bpe(s, [pre_tokenizers.Punctuation("contiguous"), level(), pre_tokenizers.Digits(individual_digits=False),
                                      split("[0-9][0-9][0-9]")], added=FALCON, post=("$A", "$A $B:1")),
    "bloom": lambda s: bytes_bpe(s, [split(BLOOM), level(regex=False)], added=special("<unk>", "<s>", "</s>", "<pad>"),
                                 post=bytes_post(trim=False, prefix=True)),
    "starcoder": lambda s: bytes_bpe(s, [pre_tokenizers.Digits(individual_digits=True), level()], added=special(
        "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<filename>", "<reponame>"), post=bytes_post(prefix=True)),
    "command-r": lambda s: bytes_bpe(
        s, [pre_tokenizers.Digits(individual_digits=True), level()], normalizers.NFC(), special(
            "<PAD>", "<UNK>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>") + plain("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"),
        lambda t: processors.Sequence([bytes_post(prefix=True), processors.TemplateProcessing(
            single="<BOS_TOKEN> $A", pair="<BOS_TOKEN> $A <BOS_TOKEN>:1 $B:1",
            special_tokens=[("<BOS_TOKEN>", t.token_to_id("<BOS_TOKEN>"))])]),
        decoders.ByteLevel(add_prefix_space=True)),
    "deepseek-v3": lambda s: bytes_bpe(
        s, [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(expressions.DEEPSEEK), level(regex=False)],
        S([]), DEEPSEEK, lambda t: processors.Sequence([bytes_post(trim=False), processors.TemplateProcessing(
            single="<\uff5cbegin\u2581of\u2581sentence\uff5c>:0 $A:0",
            pair="<\uff5cbegin\u2581of\u2581sentence\uff5c>:0 $A:0 <\uff5cbegin\u2581of\u2581sentence\uff5c>:1 $B:1",
            special_tokens=[(DEEPSEEK[0].content, t.token_to_id(DEEPSEEK[0].content))])])),
    "deepseek-coder": lambda s: bytes_bpe(s, [
        split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
        pre_tokenizers.Digits(individual_digits=True), level(regex=False)], S([]), special("<\uff5cend\u2581of\u2581sentence\uff5c>")),
    "llama-3": lambda s: llama3(s, ("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>",
                                    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>")),
    "llama-4": lambda s: llama3(s, ("<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>"), expressions.GPT4O),
    "gpt-oss": lambda s: bytes_bpe(s, [split(expressions.GPT4O), level(regex=False)], ignore_merges=True, post=bytes_post(trim=False), added=special(
        "<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>", "<|call|>")),
    "cl100k": lambda s: bytes_bpe(s, [split(CL100K), level(regex=False)], added=special("<|endoftext|>", "<|im_start|>", "<|fim_prefix|>"),
                                  post=bytes_post(trim=False)),
    "tekken": lambda s: llama3(s, ("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]"), expressions.TEKKEN),
    "qwen-3": lambda s: bytes_bpe(s, [split(expressions.WORDS % r"\p{N}"), level(regex=False, trim=False)], normalizers.NFC(), special(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>") + plain("<tool_call>", "</tool_call>", "<think>", "</think>"), bytes_post(trim=False)),
    "qwen-3.5": lambda s: bytes_bpe(s, [split(QWEN35 % r"\p{N}"), level(regex=False, trim=False)], normalizers.NFC(),
                                    special("<|endoftext|>", "<|im_start|>") + plain("<think>"), bytes_post(trim=False)),
    "kimi-k2": lambda s: bytes_bpe(s, [split(KIMI), level(regex=False)], added=special("[BOS]", "[EOS]", "<|im_user|>", "<|im_middle|>"),
                                   ignore_merges=True),
    "glm-4": lambda s: bytes_bpe(s, [split(expressions.WORDS % r"\p{N}{1,3}"), level(regex=False)], added=special("<|endoftext|>", "[MASK]",
        "[gMASK]", "<sop>", "<|user|>") + plain("<think>", "<tool_call>"), post=bytes_post(trim=False)),
    "galactica": lambda s: bytes_bpe(
        s, [pre_tokenizers.Split("SPL1T-TH1S-Pl3A5E", "removed"), pre_tokenizers.Digits(individual_digits=True),
            split(GALACTICA), pre_tokenizers.Split("\n", "isolated"), level()], normalizers.NFKC(),
        special("<s>", "<pad>", "</s>", "[START_REF]"), ("<s>:0 $A:0 </s>:0", "$A:0 $B:1"), decoders.ByteLevel(add_prefix_space=True)),
    "bert-uncased": lambda s: word_piece(s, normalizers.BertNormalizer(lowercase=True), BERT, CLS_SEP),
    "bert-multilingual": lambda s: word_piece(s, normalizers.BertNormalizer(lowercase=False), BERT, CLS_SEP),
    "bert-accents": lambda s: word_piece(s, normalizers.BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=False),
                                         BERT, CLS_SEP, cleanup=False),
    "mpnet": lambda s: word_piece(s, normalizers.BertNormalizer(lowercase=True), [*special("[CLS]", "[SEP]"), *special("<mask>", lstrip=True)],
                                  roberta_post("[SEP]", "[CLS]", trim=True, prefix=False)),
    "openai-gpt": lambda s: word_end(s, normalizers.BertNormalizer(lowercase=True), special("<unk>")),
    "herbert": lambda s: word_end(s, normalizers.BertNormalizer(lowercase=False, strip_accents=False), special("<s>", "</s>"), lambda t: (
        processors.BertProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>"))))),
    "t5": lambda s: spm(s, lambda c: c, P([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**META)]), special(
        "<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_99>"), ("$A </s>", "$A </s> $B </s>"), front=("<pad>", "</s>", "<unk>"), back=()),
    "t5-2024": lambda s: spm(s, lambda c: S([c, normalizers.Strip(left=False, right=True), squeeze(LINE)]), pre_tokenizers.Metaspace(**META), special(
        "<pad>", "</s>", "<unk>", "<extra_id_0>"), ("$A </s>", "$A </s> $B </s>"), front=("<pad>", "</s>", "<unk>"), back=()),
    "umt5": lambda s: spm(s, lambda c: S([c, squeeze()]), pre_tokenizers.Metaspace(**META), [
        *special("<pad>", "</s>", "<unk>"), *plain("<extra_id_0>", normalized=True)], ("$A </s>", "$A </s> $B </s>"),
        front=("<pad>", "</s>", "<unk>"), back=(), fallback=True),
    "xlm-roberta": lambda s: spm(s, lambda c: c, P([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**META)]), XLMR, XLMR_POST),
    "camembert": lambda s: spm(s, lambda c: S([c, normalizers.Strip(left=False, right=True), squeeze(LINE)]), pre_tokenizers.Metaspace(**META), XLMR,
                               XLMR_POST),
    "mbart": lambda s: spm(s, lambda c: S([c, squeeze()]), pre_tokenizers.Metaspace(**META), [*XLMR, *special("en_XX", "de_DE")],
                           ("$A </s> en_XX", "$A $B </s> en_XX")),
    "nllb": lambda s: spm_bpe(s, lambda c: S([c, squeeze()]), pre_tokenizers.Metaspace(**META), [*XLMR, *special("eng_Latn", "deu_Latn")],
                              ("eng_Latn $A </s>", "eng_Latn $A $B </s>"), decoders.Metaspace(**META), fallback=False, rule="nmt_nfkc"),
    "seamless": lambda s: spm_bpe(s, S([normalizers.Replace(Regex(r"[\n\r\t]"), " "), normalizers.NFKC(),
                                        normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(f" +{LINE}"), LINE),
                                        normalizers.Replace(Regex(f"^{LINE}+$"), ""), squeeze(LINE)]),
                                  pre_tokenizers.Metaspace(replacement=LINE, prepend_scheme="first"), special("<s>", "</s>", "__eng__"),
                                  ("</s> __eng__ $A </s>", "</s> __eng__ $A $B </s>"),
                                  decoders.Metaspace(replacement=LINE, prepend_scheme="first"), fallback=False),
    "deberta-v3": lambda s: spm(s, lambda c: S([normalizers.Strip(), c, squeeze()]), P([pre_tokenizers.Metaspace(**META)]), [
        *special("[PAD]", "[CLS]", "[SEP]"), AddedToken("[UNK]", special=True, normalized=True), *special("[MASK]")], CLS_SEP,
        front=("[PAD]", "[CLS]", "[SEP]", "[UNK]"), back=("[MASK]",)),
    "deberta-v2-punctuation": lambda s: spm(
        s, lambda c: S([normalizers.Lowercase(), normalizers.Strip(), c, squeeze()]),
        P([pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Metaspace(**META)]), BERT, CLS_SEP,
        front=("[PAD]", "[CLS]", "[SEP]", "[UNK]"), back=("[MASK]",)),
    "albert": lambda s: accents(s, True, special("[CLS]", "[SEP]", "<pad>", "<unk>") + special("[MASK]", lstrip=True), CLS_SEP),
    "xlnet": lambda s: accents(s, False, special("<sep>", "<cls>", "<unk>"), (
        "$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2")),
    "pegasus": lambda s: spm(s, lambda c: S([c, squeeze()]), P([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**META)]),
                             special("<pad>", "</s>", "<mask_1>", "<unk_2>"), ("$A </s>", "$A $B </s>"),
                             front=("<pad>", "</s>", "<unk>", "<mask_1>", "<unk_2>"), back=()),
    "siglip": lambda s: spm(s, lambda c: S([c, normalizers.Lowercase(), normalizers.Replace(Regex(SIGLIP), ""),
                                            normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]),
                            P([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**META)]), special("</s>", "<unk>"),
                            ("$A </s>", "$A </s> $B </s>"), rule="nmt_nfkc_cf", front=("<pad>", "</s>", "<unk>"), back=()),
    "helium": lambda s: spm(s, lambda c: S([normalizers.Prepend(" "), normalizers.Replace(" ", LINE)]),
                            P([pre_tokenizers.Split("\n", "contiguous")]), [
        *special("<s>", "</s>", single_word=True), *plain("\n"), *plain("<user>", single_word=True)], before("<s>"), rule="identity",
        decoder=STRIPPED, front=("<unk>", "<s>", "</s>", "<pad>", "\n"), fallback=True),
    "llama-2": lambda s: spm_bpe(s, PREPENDED, None, special("<unk>", "<s>", "</s>"), before("<s>"), STRIPPED),
    "llama-2-new": lambda s: spm_bpe(s, None, pre_tokenizers.Metaspace(replacement=LINE, prepend_scheme="first", split=False),
                                     special("<unk>", "<s>", "</s>"), before("<s>"), STRIPPED),
    "code-llama": lambda s: spm_bpe(s, normalizers.Replace(" ", LINE), None, special("<s>", "</s>", "\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>"),
                                    before("<s>"), UNSTRIPPED),
    "phi-3": lambda s: spm_bpe(s, PREPENDED, None, [*special("<unk>", "<s>"), *plain("</s>", rstrip=True), *special("<|endoftext|>"), *special(
        "<|assistant|>", "<|system|>", "<|end|>", "<|user|>", rstrip=True)], before("<s>"), STRIPPED),
    "gemma-3": lambda s: spm_bpe(
        s, normalizers.Replace(" ", LINE), pre_tokenizers.Split(" ", "merged_with_previous"), [
            *special("<pad>", "<eos>", "<bos>", "<unk>"), *plain("<mask>", "[multimodal]", "<unused0>"),
            *special("<start_of_turn>", "<end_of_turn>", "<start_of_image>"), *plain(*("\n" * n for n in range(2, 32))),
            *plain(*(LINE * n for n in range(2, 32))), *plain("<table>", "</table>", "<code>", "\t\t")],
        before("<bos>"), UNSTRIPPED, front=("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")),
    "siglip-2": lambda s: spm_bpe(s, S([normalizers.Lowercase(), normalizers.Replace(" ", LINE)]), pre_tokenizers.Split(" ", "merged_with_previous"),
                                  special("<pad>", "<eos>", "<bos>"), ("$A <eos>", "$A <eos> $B <eos>"), UNSTRIPPED),
    "moshi": lambda s: spm_bpe(s, lambda c: S([c, normalizers.Replace(" ", LINE)]), pre_tokenizers.Metaspace(
        replacement=LINE, prepend_scheme="first", split=False), special("<unk>", "<s>"), before("<s>"), STRIPPED, rule="nmt_nfkc"),
}

#!/usr/bin/env python3
"""Trains the tokenizer in data/tiny-tokenizer: byte-level BPE of 512 tokens with ChatML's specials.

Needs PyPI's `tokenizers`. Run again, it writes the same bytes.
"""
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

FOLDER = pathlib.Path(__file__).parent / "data" / "tiny-tokenizer"

CORPUS = """
The river rises in the hills and runs through the town to the sea. In spring the water is high and
brown, in summer it is low and clear, and the children of the town swim in it all day.
A baker bakes bread, a miller mills flour, a farmer farms the land; the mill stands by the river
because the river turns the wheel. What does the wheel turn? The wheel turns the stone.
How many loaves does a baker bake in a day? On most days one hundred, on market days three hundred
and twenty. How far is it from the mill to the market? It is four miles by road and three by boat.
You are a helpful assistant. The user asks a question and the assistant answers the question.
What is the capital of the country? I don't know which country you're asking about; which is it?
It's the one between the mountains and the sea. Then the answer is simple, isn't it?
for (int i = 0; i < n; ++i) { sum += x[i]; }
    return sum;
def mean(values):
    return sum(values) / len(values)
Der Fluss ist im Frühling hoch. La rivière est haute au printemps. El río está alto en primavera.
Привет, мир. 你好,世界。 こんにちは世界。
""".strip().split("\n")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=511,  # and one added: 512
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    # The corpus several times over: merges of rare words are then as good as those of common ones.
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_tokens([AddedToken("<note>", lstrip=True, rstrip=True, normalized=False)])
    FOLDER.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    config = {
        "add_prefix_space": False,
        "bos_token": "<|im_start|>",
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<|endoftext|>",
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (FOLDER / "tokenizer_config.json").write_text(text, encoding="utf-8")


main()

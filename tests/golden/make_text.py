#!/usr/bin/env python3
"""Writes data/tokenization.json and data/templates.json: what `tokenizers` makes of nasty strings, and what
jinja2 in transformers' environment makes of templates. Needs PyPI's `tokenizers` and `jinja2`.
"""
import base64
import json
import pathlib
import re
import struct
import tempfile

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

DATA = pathlib.Path(__file__).parent / "data"
WORDS = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
         "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")

STRINGS = [
    "", " ", "   a", "a   ", "a  b", "a \n b", "a\n\n\nb", "a\r\nb", "x \r\n  y", "\t\tx", "\t x", " \tx",
    "!\n\n x", "...\r\n", "  \n  x", "I'M YOU'RE it's", "'\u017f x", "it\u2019s", "''s", " 's", "123456789",
    "1 234", "x\u00b2\u00bd\u2167", "\u0663\u0664\u0665\u0666", "cafe\u0301", "caf\u00e9", "\u212b\ufb01",
    "\u1100\u1161\u11a8", "\u0958", "\uac00", "a\u00a0b", "a\u3000b", "a\u0085b", "a\u200bb", "\ufeffabc",
    "a\u001cb", "a\u180eb", "a\u2028b", "\u1c89x", "\U0001e4d0x", "\u0378a",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U00020000", "\ufffd", "a\u0000b\u0014,c",
    "a <|endoftext|> b", "<|im_start|>user\nThe river<|im_end|>\n", "a  <note>  b", "<note><note>", "<note",
    "<|im_start|", "a\u2581b", "UPPER\u00c9 \u0130stanbul \u1e9e", "\u4f60\u597dabc", "a_b __init__",
    "don't stop-it!", "\ue000a\u00ad", "a" * 101, "q\u0307\u0323 \u1e0b\u0323 e\u0302\u0323",
    "\u0344\u0345\u0301", "\u08cd\u08d2a", "The baker bakes bread in 123 days, doesn't he?",
    "    return sum(values) / len(values)\n", "\u2001\u2126 e\u0301t",
    "\x01a\x01b", "\x01\x01a \xbd c", "\xbd\x01\x01x", "a\xbd\x01b\x01 c", "\x01",
    "\uac00\u11a7x \uac00\u11a8 \uac01\u11a8 \u1100\u1161\u11a7",
]



def without(*pieces):
    """A change that takes pieces out of the vocabulary and gives their ids to others."""
    vocab = json.loads((DATA / "tiny-tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]
    return {**{p: None for p in pieces}, **{f"unused{vocab[p]}": vocab[p] for p in pieces}}


# Changes to tiny-tokenizer/tokenizer.json (as in RFC 7396), and whether special tokens are added.
def charsmap():
    """A precompiled map that takes U+0001 out and writes one half as three characters: a double array, and its texts."""
    units = [0] * 256
    def node(at, label, offset, leaf=None):  # noqa: E306
        units[at] = offset << 10 | (leaf is not None) << 8 | label
        if leaf is not None:
            units[at ^ offset] = leaf | 1 << 31
    node(1, 0x01, 2, leaf=0)
    node(0xC2, 0xC2, 4)
    node(0xC2 ^ 4 ^ 0xBD, 0xBD, 2, leaf=1)
    raw = struct.pack("<I256I", 1024, *units) + "\0" "1\u20442\0".encode()
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


VARIANTS = {
    "precompiled": ({"normalizer": charsmap()}, False),
    "as_it_is": ({}, False),
    "ruby": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False} for pattern in (
            "[^(\\s|[.,!?\\u2026\\u3002])]{,4}", "[\\p{L}&&[^aeiou]]+|[\\W\\d]", "(?m:.\\n)|^\\s|\\w$|\\h+|(?i:[a-c]x)",
            "[^a-c&&\\w]+|[^[b]x]")] + [
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]}}, False),
    "clip": ({"model": {"end_of_word_suffix": "</w>", "unk_token": "a", "merges": [["t", "h"], ["th", "e</w>"]],
                        "vocab": {"e</w>": 512, "\u00bd</w>": 513, "the</w>": 514, "th": 515, "<note>": 511}},
              "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                  {"type": "Split", "pattern": {"Regex": "'s|'t|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
                   "behavior": "Removed", "invert": True},
                  {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]}}, False),
    "qwen2": ({
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS % "\\p{N}"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                           "use_regex": False},
    }, True),
    "llama3": ({
        "model": {"ignore_merges": True},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS % "\\p{N}{1,3}"}, "behavior": "Isolated",
             "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "E", "type_id": 0}}],
             "pair": [],
             "special_tokens": {"B": {"id": "B", "ids": [1, 0], "tokens": ["<|im_start|>", "<|endoftext|>"]},
                                "E": {"id": "E", "ids": [2], "tokens": ["<|im_end|>"]}}}]},
    }, True),
    "prefix_space": ({
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                           "use_regex": True},
    }, True),
    "split_previous": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        {"type": "Digits", "individual_digits": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}}, False),
    "split_next": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "[ae]"}, "behavior": "MergedWithNext", "invert": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}}, False),
    "split_removed": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\s"}, "behavior": "Removed", "invert": False},
        {"type": "Split", "pattern": {"String": "e"}, "behavior": "Contiguous", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}}, False),
    "bytes_missing": ({"model": {"vocab": without("\u0100", "\u0114")}}, False),
    "fused_unknown": ({"model": {"vocab": without("\u0100", "\u0114", "\u00e2"), "fuse_unk": True,
                                 "unk_token": "<|endoftext|>"}}, False),
    "single_word": ({"added_tokens": [
        {"id": 0, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True},
        {"id": 511, "content": "a", "single_word": True, "lstrip": False, "rstrip": False,
         "normalized": True, "special": False},
        {"id": 512, "content": "<|endoftext|> b", "single_word": False, "lstrip": True, "rstrip": True,
         "normalized": False, "special": False},
        {"id": 513, "content": "cafe\u0301", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": True, "special": False}],
        "normalizer": {"type": "NFC"}}, False),
    "word_piece": ({
        "model": {"type": "WordPiece", "unk_token": "<|endoftext|>", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 50, "merges": None, "vocab": {"##s": 512, "##t": 513, "\u4f60": 514, "<note>": 511}},
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["<|im_end|>", 2], "cls": ["<|im_start|>", 1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}, True),
    "word_level": ({
        "model": {"type": "WordLevel", "unk_token": "<|endoftext|>", "merges": None, "vocab": {"123": 512, "<note>": 511}},
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"},
                                                           {"type": "Strip", "strip_left": True, "strip_right": True}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}]},
        "decoder": None}, False),
    "sentencepiece": ({
        "model": {"unk_token": "<|endoftext|>", "fuse_unk": True, "byte_fallback": True,
                  "vocab": {"<note>": 511, **{f"<0x{b:02X}>": 512 + b for b in range(256)}}},
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u0120"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u0120"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"B": {"id": "B", "ids": [1], "tokens": ["<|im_start|>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u0120"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}}, True),
    "unigram": ({
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "merges": None, "vocab": [
            ["<unk>", 0.0], ["\u2581", -2.0], ["\u2581the", -3.0], ["\u2581T", -3.5], ["he", -3.0], ["e", -4.0],
            ["a", -4.0], ["ab", -4.5], ["\u2581a", -3.9], ["b", -5.0], ["1", -5.0], ["12", -5.5], ["i", -4.0],
            ["n", -4.0], ["in", -4.5], ["s", -4.1], ["\u4f60", -9.0], ["\u00e9", -6.0], ["fi", -6.0]]},
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Nmt"}, {"type": "NFKC"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}}, False),
    "affixes": ({
        "model": {"unk_token": "<|endoftext|>", "continuing_subword_prefix": "", "end_of_word_suffix": "s"},
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "WhitespaceSplit"},
            {"type": "UnicodeScripts"}, {"type": "FixedLength", "length": 5}]},
        "decoder": {"type": "BPEDecoder", "suffix": "s"}}, False),
}

SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
           "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
           "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
           "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
           "{% endif %}")
MESSAGES = [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Hello!\n"},
            {"role": "user", "content": "2+2?"}]
TWO = [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yo"}]
TREE = {"b": [1, 2.0, None, True], "a": "\u00e9<&>'", "deep": [[], {}, {"x": [-1.5e-7, 1e22, 0.1]}]}

TEMPLATES = [
    (SMOLLM2, {"messages": MESSAGES}), (SMOLLM2, {"messages": MESSAGES, "add_generation_prompt": True}),
    (SMOLLM2, {"messages": [{"role": "system", "content": "Be brief."}, *MESSAGES]}),
    (SMOLLM2, {"messages": []}), (SMOLLM2, {"messages": [{"role": "user"}]}),
    ("a\n{% if x %}\n  b\n{% endif %}\nc\n", {"x": 1}), ("  {% if x %}y{% endif %} z", {"x": 1}),
    ("a {{ x }}\nb", {"x": 1}), ("a\n  {{ x }}\n", {"x": 1}), ("a  {%- if x %} b {%- endif %}  c", {"x": 1}),
    ("a\n\n  {{- x -}}  \n\n b", {"x": 1}), ("{# c #}\na", {}), ("  {# c #}\na", {}), ("x\n\n", {}),
    ("a{% if 1 %}\n\nb{% endif %}", {}), ("  {%+ if 1 %}a{% endif %}", {}), ("x\r\n{% if 1 +%}\ny{% endif %}", {}),
    ("a\n\t {#- c -#} \n b {# d +#}\n e", {}), ("{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", {}),
    ("{% for i in [1,2,3] %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}", {}),
    ("{% set x=0 %}{% for i in [1,2] %}{% set x=i %}{% endfor %}{{ x }}", {}),
    ("{% set x=0 %}{% if true %}{% set x=1 %}{% endif %}{{ x }}", {}),
    ("{% set ns=namespace(x=0) %}{% for i in [1,2] %}{% set ns.x=ns.x+i %}{% endfor %}{{ ns.x }}", {}),
    ("{% for m in messages %}{{ loop.index0 }}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }}"
     "{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }} {% endfor %}", {"messages": TWO}),
    ("{% for m in messages if m.role=='user' %}{{ m.content|trim }}{{ loop.last }}{% else %}none{% endfor %}",
     {"messages": TWO}),
    ("{% for m in [] %}x{% else %}none{% endfor %}", {}),
    ("{% for i in [1,2,3] %}{{ loop.previtem }}-{{ loop.nextitem }};{% endfor %}", {}),
    ("{% for k,v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k,v in d|items %}{{ k }}{% endfor %}",
     {"d": {"b": 1, "a": 2}}),
    ("{% for i in range(5) %}{% if i==1 %}{% continue %}{% endif %}{% if i==3 %}{% break %}{% endif %}{{ i }}"
     "{% endfor %}", {}),
    ("[{{ undefinedvar }}][{{ d.nokey }}][{{ none }}][{{ true }}][{{ 1.0 }}][{{ 10//3 }}][{{ 7%3 }}][{{ 2**3 }}]"
     "[{{ 7/2 }}][{{ -7//2 }}][{{ -7%3 }}][{{ 2**-1 }}][{{ -2**2 }}][{{ 1e100 }}][{{ 1.5e-7 }}][{{ 123456789.0 }}]",
     {"d": {}}),
    ("{{ [1,'a',none,true,1.5] }} {{ {'a':1,'b':[2]} }} {{ \"it's\" }} {{ [\"it's\", 'q\"\\'', '\\n\\x07\\u200b\u00e9'] }}"
     " {{ (1,) }} {{ (1, 2) }} {{ [] }}", {}),
    ("{{ x|tojson }} {{ s|tojson }} {{ x|tojson(indent=2) }} {{ x|tojson(ensure_ascii=true, sort_keys=true) }}"
     " {{ x|tojson(separators=(',', ':')) }}", {"x": TREE, "s": "q\"\n\t\u2028\U0001f600\x7f\x01\\"}),
    ("{{ 'a' + 'b' ~ 1 ~ none }}", {}), ("{{ 'x' if false }}|{{ 'x' if true else 'y' }}", {}),
    ("{{ ' a '|trim + 'b' }}|{{ (' a ' + 'b ')|trim }}", {}),
    ("{{ messages[-1].content }}{{ messages[::-1][0].role }}{{ messages[1:]|length }}{{ 'abc'[1:] }}{{ 'abc'[-1] }}"
     "{{ 'a\u00e9\U0001f600b'[::-2] }}{{ 'abc'[5:] }}{{ 'abc'[-9:2] }}{{ [1,2,3][2:0:-1] }}", {"messages": TWO}),
    ("{{ 1 < 2 < 3 }}{{ 1 < 2 > 3 }}{{ 'a' in 'cat' }}{{ 3 not in [1,2] }}{{ 'k' in d }}{{ not 1 == 2 }}{{ 1 == 1.0 }}"
     "{{ '1' == 1 }}{{ [1,2] == [1,2] }}{{ {'a':1} == {'a':1.0} }}{{ 'a' < 'b' }}", {"d": {"k": 1}}),
    ("{{ x is defined }}{{ y is defined }}{{ x is string }}{{ m is mapping }}{{ m is iterable }}{{ x is sequence }}"
     "{{ n is none }}{{ n is not none }}{{ t is true }}{{ t is boolean }}{{ 1 is number }}{{ 1 is integer }}"
     "{{ 1.0 is float }}{{ t is integer }}{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is eq 1 }}{{ 1 is in [1] }}",
     {"x": "s", "m": {}, "n": None, "t": True}),
    ("{{ ' a b  c '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a--b'.split('-') }}{{ 'xxaxx'.strip('x') }}"
     "{{ '\\u00a0 a'.lstrip() }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x','bc')) }}"
     "{{ 'aaa'.replace('a','b',2) }}{{ 'hello wORLD it\\'s'.title() }}{{ 'h\u00e9LLO'.capitalize() }}"
     "{{ 'abc'.find('c') }}{{ 'abcabc'.count('bc') }}{{ ','.join(['a','b']) }}{{ 'ab'.upper() }}{{ 'a-b-c'.rsplit('-', 1) }}",
     {}),
    ("{{ d.get('x') }}{{ d.get('x', 2) }}{{ d.items()|list }}{{ d.keys()|list }}{{ d.values()|list }}{{ d['get'] is callable }}"
     "{{ d['a'] }}{{ d.a }}", {"d": {"a": 1, "items": 3}}),
    ("{{ l|join('-') }}{{ l|first }}{{ l|last }}{{ l|reverse|list }}{{ 'a b'|replace('a', 'c') }}{{ l|length }}"
     "{{ o|map(attribute='k.0')|list }}{{ o|selectattr('b')|list|length }}{{ o|rejectattr('b', 'equalto', 1)|list|length }}"
     "{{ l|select('odd')|list }}{{ u|default('x') }}{{ ''|default('x', true) }}{{ '12'|int + 1 }}{{ 'x'|int(7) }}"
     "{{ 'Ab'|lower }}{{ 'ab'|upper }}{{ 'aB'|capitalize }}{{ l|string }}{{ '<'|safe }}{{ o|join(',', attribute='b') }}",
     {"l": [1, 2, 3], "o": [{"k": ["p"], "b": 1}, {"k": ["q"], "b": 0}]}),
    ("{{ 'a\\nb\\n\\nc'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent('>>', blank=true) }}", {}),
    ("{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t %}x{{ a }}\n y{% endset %}[{{ t }}]{% for (x, y) in [[1,2]] %}{{ x+y }}"
     "{% endfor %}{{ [1]+[2] }}{{ 'ab'*2 }}{{ [0]*2 }}", {}),
    ("{{ raise_exception('no ' + 'good') }}", {}), ("{{ nothing.at.all }}", {}), ("{{ 1 + 'a' }}", {}),
    ("{{ nothing + 1 }}", {}), ("{{ {}|length + []|length + ''|length }}", {}), ("{{ 5|length }}", {}),
    ("{{ nothing() }}", {}), ("{{ messages.append(1) }}", {"messages": []}), ("{{ 1/0 }}", {}),
    ("{% for x in 5 %}{% endfor %}", {}), ("{{ nothing|tojson }}", {}), ("{{ range(1000000)|length }}", {}),
    ("{{ 'a' < 1 }}", {}), ("{% set a, b = [1] %}", {}), ("{{ range(2, 9, 3)|list }}{{ range(3, 0, -1)|list }}", {}),
    ("{% macro f(a, b='x') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}{{ f() }}", {}),
    ("{% set g='top' %}{% macro f() %}{{ g }}{% endmacro %}{% set g='later' %}{{ f() }}", {}),
    ("{% macro tree(n) %}({% for c in n %}{{ tree(c) }}{% endfor %}){% endmacro %}{{ tree([[], [[]]]) }}", {}),
    ("{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, c=3) }}", {}),
    ("{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", {}), ("{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", {}),
    ("{% macro box(t) %}<{{ t }}>{{ caller(t) }}</{{ t }}>{% endmacro %}{% call(x) box('p') %}in {{ x }}{% endcall %}", {}),
    ("{% for i in [1] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", {}),
    ("{% for n in t recursive %}{{ n.k }}{% if n.c %}({{ loop(n.c) }}){% endif %}{{ loop.depth }}{% endfor %}",
     {"t": [{"k": 1, "c": [{"k": 2}, {"k": 3}]}, {"k": 4}]}),
    ("{% filter upper %}a{{ 'b' }}{% endfilter %}{% set x | trim | upper %}  q {% endset %}[{{ x }}]", {}),
    ("{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}[{{ a }}]", {}),
    ("a\n  {% raw %}\n {{ x }}{% if %}\n  {% endraw %}\nb {%- raw -%}  c {%- endraw -%} d", {}),
    ("{% for i in [1,1,2] %}{{ loop.changed(i) }}{{ loop.cycle('a','b') }}{% endfor %}{% set c = cycler(1, 2) %}"
     "{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}a{{ j() }}b", {}),
    ("{{ [3,1,2]|sort }}{{ [1,1,2]|unique|list }}{{ ['b','A']|sort }}{{ ['b','A']|sort(case_sensitive=true, reverse=true) }}"
     "{{ {'b':1,'a':2}|dictsort }}{{ {'b':1,'a':2}|dictsort(by='value', reverse=true) }}{{ [1,2,3]|sum }}{{ [2,3]|max }}"
     "{{ [[1,2],[3]]|map('length')|list }}{{ ['a','b']|map('upper')|join }}{{ [1,2,3]|batch(2)|list }}"
     "{{ [1,2,3]|batch(2, 0)|list }}{{ o|groupby('k') }}{{ o|sort(attribute='k')|map(attribute='k')|list }}",
     {"o": [{"k": 2}, {"k": 1}, {"k": 2}]}),
    ("{{ '<a href=\"x\">&\\'' | e }}{{ 'a b'|title }}{{ 'it\\'s-a b'|title }}{{ 2.567|round(2) }}{{ 2.5|round }}"
     "{{ 2.1|round(0, 'ceil') }}{{ -3|abs }}{{ '3.5'|float }}{{ 'x'|float }}{{ 'abc def ghi'|truncate(7) }}"
     "{{ 'a b c'|wordcount }}{{ 'a'|center(5) }}{{ 'a b/\u00e9'|urlencode }}{{ '%s-%d-%.2f'|format('a', 2, 1.5) }}"
     "{{ '%s %r' % ('a', 'b') }}{{ '%5s|%-5s|' % ('a', 'b') }}", {}),
    ("{{ [1]|map('upper')|length }}", {}), ("{{ [1]|select|tojson }}", {}), ("{{ {'a':1}.items() }}{{ {'a':1}.keys()|length }}", {}),
    ("{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}"
     "{{ 'a\\nb\\r\\nc'.splitlines() }}{{ '12'.isdigit() }}{{ 'aB'.isalpha() }}{{ 'A'.isupper() }}{{ ' '.isspace() }}"
     "{{ '7'.zfill(3) }}{{ 'abcb'.rfind('b') }}{{ [1,2,1].count(1) }}{{ [1,2].index(2) }}", {}),
    ("{{ 1 is sameas 1 }}{{ 2 is gt 1 }}{{ 'a' is lower }}{{ 'trim' is filter }}{{ 3 is ge 3 }}{{ none is sameas none }}", {}),
    ("{% if false %}{{ 1|from_json }}{{ 1 is odder }}{% endif %}ok", {}), ("{% if true %}{{ 1|from_json }}{% endif %}", {}),
    ("{{ 'x' if true else 1|from_json }}", {}), ("{% for x in 1, 2 %}{{ x }}{% endfor %}", {}),
    ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", {}),
    ("{{ 'a' 'b' }}{{ \"\\x41\\u00e9\\101\\d\\\\\" }}", {}), ("{{ dict(a=1, b='x') }}", {}),
    # A scope that sets a name has it from its beginning on.
    ("{% for i in [1] %}{{ s }}{% endfor %}{% set s = 'x' %}{{ s }}", {"s": "given"}),
    ("{% set s = s | default(4) %}{{ s }}{% if s %}{% set t = 'q' %}{% else %}{% set t = 'w' %}{% endif %}{{ t }}",
     {"s": "given"}),
    ("{% for i in l %}{% if loop.first %}{{ s }}{% endif %}{% set s = i %}{{ s }}{% endfor %}{{ s }}",
     {"l": [1, 2], "s": "given"}),
    ("{% macro f() %}{{ s }}{% set s = 3 %}{{ s }}{% endmacro %}{{ f() }}{{ s }}", {"s": "given"}),
    ("{% macro f() %}{% for a in [1] %}{{ s }}{% endfor %}{% set s = 3 %}{{ s }}{% endmacro %}{{ f() }}", {"s": 1}),
    ("{% with %}{% for a in [1] %}{{ s }}{% endfor %}{% set s = 3 %}{{ s }}{% endwith %}{{ s is defined }}", {"s": 1}),
    ("{% set x %}{% for a in [1] %}{{ s }}{% endfor %}{% set s = 3 %}{{ s }}{% endset %}{{ x }}", {"s": 1}),
    ("{% if t %}{% set s = 2 %}{% endif %}{% for a in [1] %}{{ s }}{% endfor %}", {"s": 1}),
    ("{{ f() }}{% macro f() %}1{% endmacro %}", {}),
    ("{% for x in [] %}{% else %}{% set y = 1 %}{% endfor %}[{{ y }}]", {}),
    ("{% for a in [1,2] %}{% for x in [] %}{% else %}{% break %}{% endfor %}{{ a }}{% endfor %}", {}),
    ("{% for a in [1,2] %}{% for x in [] %}{% else %}{% continue %}{% endfor %}{{ a }}{% endfor %}", {}),
    # Generators are used up, and fail when they are used; nothing is as good as an empty list.
    ("{% set g = l | select %}{{ g | list }}{{ g | list }}", {"l": [1, 2]}),
    ("{% set g = l | map('string') %}{{ g | first }}{{ '2' in g }}{{ g | join(',') }}", {"l": [1, 2, 3, 4]}),
    ("{% set g = l | selectattr('n') %}{% if g %}{% for i in g %}{{ i }}{% endfor %}{% for i in g %}{{ i }}{% else %}no"
     "{% endfor %}{% endif %}", {"l": [{"n": 1}, {"n": 0}]}),
    ("{{ (l | select('nope')) is defined }}{{ none | selectattr('a') | list }}{{ 0 | map('upper') | list }}", {"l": [1]}),
    ("{{ l | select('nope') | list }}", {"l": [1]}), ("{{ [3,1,2]|reverse|list }}{{ l|select|reverse }}", {"l": [1, 2]}),
    ("{{ [1,2,3,4,5,6,7]|slice(3)|list }}{{ [1,2,3,4,5]|slice(3, 'x')|list }}", {}),
    ("{{ o|sort(attribute='z') }}{{ [none, none]|sort }}{{ o|sort(attribute='k,n') }}",
     {"o": [{"k": 2, "n": 1}, {"k": 1, "n": 3}, {"k": 1, "n": 2}]}),
    ("{{ 4.0 is even }}{{ 3.0 is odd }}{{ 4.5 is even }}{{ 4.5 is divisibleby(1.5) }}{{ -3 is odd }}{{ u is callable }}", {}),
    ("{{ u|int }}", {}), ("{{ u|float }}", {}), ("{{ 'a' is odd }}", {}), ("{{ 3 is divisibleby 0 }}", {}),
    ("{{ [1] in {} }}", {}), ("{{ {}.get([1]) }}", {}), ("{{ {}[[1]] }}", {}), ("{{ [[1]]|unique|list }}", {}),
    ("{% for g in o|groupby('k') %}{{ g }}{{ g.grouper }}{{ g.list|length }}{{ g == (g[0], g[1]) }}{% endfor %}",
     {"o": [{"k": 2}, {"k": 1}, {"k": 2}]}),
    ("{{ {'a b/c': 'x&y', 'k': 3}|urlencode }}|{{ [('a', 1)]|urlencode }}|{{ nothing|urlencode }}", {}),
    ("{{ [1, 2]|truncate(5) }}", {}),
    ("{{ 'a\r\nb\n\nc'|indent(2) }}|{{ 'a\n\nb\n'|indent(2, true, true) }}|{{ 'a\x0bb\u2028c\rd'|indent(1) }}|"
     "{{ ''|indent(2) }}|{{ ''|indent(2, true) }}|{{ '\n'|indent(2, true, true) }}|{{ 'a\nb'|indent(70) }}", {}),
    ("{{ dict([('a', 1), ['b', 2]]) }}{{ dict({'k': 2}, z=1) }}", {}), ("{{ dict([1]) }}", {}),
    ("{{ '%05d|%+d|%x|%5s|%-5s|%.3e|%g|%%|% d|%#x|%06.2f' % (-3, 4, -255, 'ab', 'c', 12345.678, 0.0001, 7, 255, -3.14159) }}",
     {}),
    ("{{ '{:,}|{:+d}|{:x}|{:#x}|{:08.3f}|{:>8}|{:*^7}|{:.3}|{!r}|{:%}|{:e}'.format(1234567, 5, 255, 255, -3.14159, 'ab', 'c',"
     " 'abcdef', 'q', 0.25, 12345.678) }}{{ '{} {{{}}} {x} {0}'.format(1, 2) if false else '' }}", {}),
    ("{{ '{0}{1}{0}{{}}'.format('a', none) }}{{ '{x} {y[k]} {y.k} {z[1]}'.format(x=[1], y={'k': 2}, z=[3, 4]) }}", {}),
    ("{{ '{:5}|{:<5}|{:05}|{:.2f}'.format(3, 4, 7, 1) }}", {}), ("{{ '{:5}'.format(none) }}", {}),
    ("{{ '{'.format(1) }}", {}), ("{{ '}'.format(1) }}", {}), ("{{ '{} {}'.format(1) }}", {}),
    ("{{ 'abc'.center(9) }}|{{ 'abc'.ljust(6, '*') }}|{{ 'abc'.rjust(6) }}|{{ 'ab'.center(5) }}|{{ 'abc'.center(6, '\u00e9') }}",
     {}),
    ("{{ 'abcabc'.find('c', -2) }}{{ 'abc'.find('', 5) }}{{ 'abc'.find('', 3) }}{{ 'abc'.count('', 1, 2) }}"
     "{{ '\u00e9a\u00e9a'.rfind('a', 0, 3) }}{{ 'abc'.startswith('', 4) }}{{ 'abc'.startswith(('x', 'b'), 1) }}"
     "{{ 'abc'.endswith('b', 0, 2) }}{{ 'abcabc'.rindex('c') }}{{ 'abc'.isascii() }}{{ '\u00e9'.isascii() }}", {}),
    ("{{ 'abc'.index('z') }}", {}),
    ("{{ 'a b  c '.rsplit(none, 1) }}{{ ' a b '.rsplit(none, 0) }}{{ ' a b '.split(none, 0) }}{{ 'a b  c '.split(maxsplit=1) }}",
     {}),
    ("{{ '0x1f'|int }}{{ '0x1f'|int(0, 16) }}{{ '0x1f'|int(0, 0) }}{{ '1e3'|int }}{{ 'inf'|int }}{{ '+5'|int }}{{ '5.9e0'|int }}"
     "{{ '1_0'|int }}{{ '__1'|int }}{{ ''|int(7) }}{{ none|int(7) }}{{ [1]|int }}", {}),
    ("{{ 'nan'|float }}{{ 'inf'|float }}{{ '1_0.5'|float }}{{ '1e400'|float }}{{ '.5'|float }}{{ '5.'|float }}{{ '+5'|float }}"
     "{{ '+-5'|float }}{{ none|float }}", {}),
    ("{{ 1250|round(-2) }}{{ 1350|round(-2) }}{{ (-1250)|round(-2) }}{{ 15|round(-1) }}{{ 25|round(-1) }}{{ 5|round(3) }}"
     "{{ true|round }}{{ 5|round(-30) }}{{ 7|round }}{{ 7|round(0, 'ceil') }}", {}),
    ("{{ dict(d, **{'q': 2}) }} {{ range(*[1, 4]) | list }} {{ dict(*[d], z=1) }}", {"d": {"b": 1}}),
    ("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }};{% endmacro %}{{ m(*l) }}"
     "{{ m(1, **{'b': 5, 'c': 6}) }}{{ m(*[1], b=3, **{'z': 1}) }}{{ m(b=1, *[0]) }}", {"l": [3, 1, 2]}),
    ("{{ dict(a=1, **{'a': 2}) }}", {}), ("{{ dict(**[1]) }}", {}), ("{{ range(*5) }}", {}),
    ("{{ 's'.upper() }}{{ '\u0149 \ufb03 \u0390 \u1fb7 \u1fb3 \u1fbc \u00df \u1e9e \u01f0'.upper() }}"
     "{{ '\u0149 \ufb03 \u0390 \u1fb7 \u1fb2 \u1fb3 \u00df \u1e9e \u01f0 \u01c6'.title() }}{{ '\ufb01x' | capitalize }}", {}),
    ("{{ '\u03a3\u03b1\u03c2 \u0391\u03a3 \u0391\u03a3\u0391 \u03a3 \u0391\u03a3.x \u0391\u0301\u03a3. \u0391'.lower() }}", {}),
    ("{{ '\u00b2\u2460\u0663'.isdigit() }} {{ '\u00b2'.isdecimal() }} {{ '\u00bd'.isdigit() }}", {}),
    # What changes a list or a dict is not defined.
    ("{{ l.append is defined }} {{ d.pop is defined }} {{ d['pop'] is defined }} {{ {'pop': 1}['pop'] }} "
     "{{ {'pop': 1}.pop is defined }} {{ d.update }}|{{ l.copy is defined }}", {"l": [1], "d": {}}),
    ("{{ l.append(1) }}", {"l": []}),
    # What is safe is not escaped again, and escapes what it is put together with.
    ("{{ '<x>' + (d|tojson|safe) + '</x>' }} {{ '<x>' ~ (d|tojson|safe) }} {{ ('<'|e) is escaped }} {{ '<' is escaped }} "
     "{{ ('<'|safe)|upper|e }} {{ ('a<'|safe)[1:]|e }} {{ ('<'|safe)[0]|e }} {{ ('<a>'|safe).strip('<')|e }} "
     "{{ (' <'|safe)|trim|e }} {{ ('<'|safe)|string|e }} {{ ('<'|safe)|forceescape }} {{ ('<'|safe) * 2 + '<' }} "
     "{{ ('<'|safe)|title|e }} {{ ('<'|safe)|replace('<', '>')|e }} {{ ('<a'|safe)|reverse|e }} {{ ['<'|safe]|map('e')|list }} "
     "{{ ('<a\nb'|safe)|indent|e }} {{ ('<b'|safe)|center(4)|e }} {{ ('<b c d e f g h'|safe)|truncate(6)|e }}", {"d": {"k": 1}}),
    ("{% set x %}{{ '<'|safe }}{% endset %}{{ x|e }}{% macro m(a) %}{{ a|e }}{% endmacro %}{{ m('<'|safe) }}{{ m('<')|e }}", {}),
    ("{% macro m(caller=none) %}{{ caller() if caller }}.{% endmacro %}{{ m() }}{% call m() %}X{% endcall %}", {}),
    ("{{ 0.0 ** -1 }}", {}),
    # Targets in targets, keys of every kind, what is printed by its name.
    ("{% for (a, b), c in [((1, 2), 3), (['x', 'y'], 'z')] %}{{ a }}{{ b }}{{ c }} {{ loop }};{% endfor %}", {}),
    ("{% set (a, (b,)), n.c = [1, [2]], 3 %}{{ a }}{{ b }}", {}),
    ("{% set n = namespace(c=0) %}{% set (a, (b,)), n.c = [1, [2]], 3 %}{{ a }}{{ b }}{{ n.c }}{{ n }}", {}),
    ("{% for (a, b), c in [((1, 2, 3), 3)] %}{{ a }}{% endfor %}", {}),
    ("{% set d = {1: 'a', none: 'b', (1, 2): 'c', 'x': 4, 2.5: 5} %}{{ d }}{{ d[1.0] }}{{ d[true] }}{{ d[none] }}"
     "{{ d[(1, 2)] }}{{ d.get(3, 'no') }}{{ 1 in d }}{{ [] is sameas d[0] }}{{ dict([(1, 2), (true, 3)]) }}", {}),
    ("{{ {1: 'a', none: [], true: 2, 1.5: 0}|tojson }}", {}), ("{{ {(1, 2): 3}|tojson }}", {}), ("{{ {[]: 1} }}", {}),
    ("{{ {2: 1, 1: 2}|tojson(sort_keys=true) }}{{ {'b': 1, 1: 2}|tojson(sort_keys=true) }}", {}),
    ("{{ range(3) }}{{ range(1, 9, 2) }}{{ range(9)[1:7:2] }}{{ range(5)[::-1] }}{{ range(4).stop }}{{ range(5).index(3) }}", {}),
    ("{% macro m(a) %}{{ kwargs }}{% endmacro %}{{ m }}{{ [m] }}{% call m(1) %}x{% endcall %}{{ m(1, b=range(2)) }}", {}),
    ("{{ namespace(a=1, b=[none]) }}{{ [namespace()] }}", {}),
    # Blocks see what is set outside of loops.
    ("{% set x = 1 %}{% for x in [2, 3] %}{% block a %}{{ x }}{% set x = 9 %}{{ x }}{% endblock a %}{% endfor %}{{ x }}", {}),
    ("{% for x in [2, 3] %}{% block a scoped %}{{ x }}{% endblock %}{% endfor %}", {}),
    # Filters that lay text out.
    ("{{ s|wordwrap(12) }}\n{{ s|wordwrap(5) }}\n{{ s|wordwrap(5, false) }}\n{{ s|wordwrap(9, true, '/', false) }}",
     {"s": "well-known-to-be words -- here--there, a1-b2 (e-mail) ab-cd-ef ---x\n\n  Caf\u00e9-au-lait extraordinarily"}),
    ("{{ s|wordwrap(0) }}", {"s": "a"}), ("{{ 1|wordwrap }}", {}),
    ("{{ s|striptags }}", {"s": " <b>a &amp; b</b>\n <!-- <i> -->&lt;c&#39;&gt;  AT & T < 3 <x"}),
    ("{{ d|xmlattr }}{{ d|xmlattr(false) }}{{ {}|xmlattr }}", {"d": {"a": "<1>", "b": None, "c": 2}}),
    ("{{ {'a b': 1}|xmlattr }}", {}),
    ("{% for n in [0, 1, 1.5, '999', 1000, 123456, 1e9, 2e30, true] %}{{ n|filesizeformat }},{{ n|filesizeformat(true) }} {% endfor %}", {}),
    ("{{ 'x'|filesizeformat }}", {}), ("{{ d|pprint }}\n{{ l|pprint }}\n{{ s|pprint }}\n{{ (1,)|pprint }}{{ none|pprint }}",
     {"d": {"role": "assistant", "content": "a text that is so long that it does not fit on one line of eighty characters",
            "b": [1, 2.5, None, True, "x" * 70, {"z": 1, "a": 2}], "a": {}}, "l": [["y" * 40, "z" * 40]] * 2,
      "s": "one line\nand another one that is long enough to be cut into parts, as it has more than eighty letters\n"}),
    # Methods of texts.
    ("{{ 'Stra\u00dfe'.casefold() }}{{ 'a\u00dfB\u01c5'.swapcase() }}{{ 'Ab Cd'.istitle() }}{{ 'ab'.istitle() }}"
     "{{ '\u00bd'.isnumeric() }}{{ 'a\\nb'.isprintable() }}{{ ''.isprintable() }}{{ 'a_1'.isidentifier() }}{{ '1a'.isidentifier() }}"
     "{{ 'a\\tb\\n\\tc'.expandtabs(4) }}|{{ 'e\u0301x y'|wordcount }}", {}),
    ("{% macro m() %}{{ kwargs|length }}{% endmacro %}{% call m() %}x{% endcall %}{{ [] is filter }}", {}),
    ("{% for i in [[1, [2]], 3] recursive %}{{ loop.depth }}{% for j in [1] %}{{ loop.depth }}{% endfor %}"
     "{{ loop(i) if i is not number }}{% endfor %}", {}),
    ("{{ 'a' % [1] }}{{ 'b' % d }}{{ '%s' % [1] }}{{ 'c' % u }}{{ 'd' % 1 }}", {"d": {}}),
]


class Raised(Exception):
    pass


def environment():
    out = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise Raised(message)

    out.filters["tojson"] = tojson
    out.globals["raise_exception"] = raise_exception
    return out


def merge(target, patch):
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def to_bytes(text, offsets):
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode("utf-8")))
    return [[at[begin], at[end]] for begin, end in offsets]


def tokenization():
    tiny = (DATA / "tiny-tokenizer" / "tokenizer.json").read_text(encoding="utf-8")
    out = []
    for name, (patch, special) in VARIANTS.items():
        file = json.loads(tiny)
        merge(file, patch)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(file))
            tokenizer = Tokenizer.from_file(str(path))
        cases = []
        for text in STRINGS:
            encoding = tokenizer.encode(text, add_special_tokens=special)
            cases.append({"text": text, "ids": encoding.ids,
                          "offsets": to_bytes(text, encoding.offsets),
                          "decoded": tokenizer.decode(encoding.ids, skip_special_tokens=False),
                          "skipped": tokenizer.decode(encoding.ids[1:], skip_special_tokens=True)})
        out.append({"name": name, "patch": patch, "special": special, "cases": cases})
    return out


def templates():
    out = []
    for source, variables in TEMPLATES:
        case = {"template": source, "variables": variables}
        variables = {"tools": None, "documents": None, "add_generation_prompt": False, **variables}
        try:
            case["text"] = environment().from_string(source).render(**variables)
        except Raised as error:
            case["raised"] = str(error)
        except Exception as error:
            case["error"] = type(error).__name__
        out.append(case)
    return out


def write(name, rows):
    lines = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows)
    (DATA / name).write_text("[\n" + re.sub(r'(\{"text":)', r"\n\1", lines) + "\n]\n")


if __name__ == "__main__":
    write("tokenization.json", tokenization())
    write("templates.json", templates())

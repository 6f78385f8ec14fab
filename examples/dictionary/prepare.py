#!/usr/bin/env python3
"""Makes train.jsonl, eval.jsonl, unseen.jsonl and LICENSE out of WordNet 3.0.

    prepare.py FOLDER [--wordnet /usr/share/wordnet]

Each line is a question and the answer of a dictionary, in the format "messages":

    What does "umbrella" mean?
    umbrella (noun): a lightweight handheld collapsible canopy. Kind of: canopy.

Words are the common ones: single words that occur in WordNet's tagged texts, with the sense that
is tagged most often. Words of unseen.jsonl are in neither of the other two files, and no word is in
both. The same WordNet gives the same files. Formats: the manual pages wndb(5) and cntlist(5).
"""
import argparse
import hashlib
import json
import pathlib
import re
import sys

UNSEEN = ["umbrella", "glacier", "violin", "whisper", "stubborn"]
EVAL = 80
PARTS = {"noun": "noun", "verb": "verb", "adj": "adjective"}
RELATIONS = {"noun": "Kind of", "verb": "A way to"}  # how a hypernym is introduced
LONGEST = 70  # characters of a definition
SELDOM = 2  # words that were tagged less often are left out
RUDE = re.compile("slur|offensive|disparag|derogat|vulgar|obscen|insult|sexual", re.IGNORECASE)


def senses(folder, part):
    """Yields (word, count, offset): each word's first sense and how often it was tagged."""
    counts = {}
    with open(folder / "cntlist.rev", encoding="ascii") as lines:
        for line in lines:  # sense_key sense_number tag_cnt
            key, number, count = line.split()
            word, _, rest = key.partition("%")
            kind = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}.get(rest[0])
            if kind == part and number == "1":
                counts[word] = max(int(count), counts.get(word, 0))
    with open(folder / f"index.{part}", encoding="ascii") as lines:
        for line in lines:  # lemma pos synset_cnt p_cnt [symbol..] sense_cnt tagsense_cnt offset..
            if line.startswith(" "):  # the licence
                continue
            fields = line.split()
            if fields[0] in counts:
                yield fields[0], counts[fields[0]], int(fields[6 + int(fields[3])])


def synset(data, offset):
    """The words at an offset, the offset of their hypernym (or None), and what is said of them."""
    data.seek(offset)
    head, _, gloss = data.readline().decode("ascii").partition(" | ")
    fields = head.split()  # offset lex_filenum ss_type w_cnt (word lex_id).. p_cnt pointer..
    words = int(fields[3], 16)
    at = 4 + 2 * words
    hypernym = None
    for pointer in range(int(fields[at])):  # symbol offset pos source/target
        symbol, target = fields[at + 1 + 4 * pointer : at + 3 + 4 * pointer]
        if symbol == "@" and hypernym is None:
            hypernym = int(target)
    names = [word.partition("(")[0].replace("_", " ") for word in fields[4:at:2]]
    return names, hypernym, gloss


def entries(folder):
    """Yields (word, count, part of speech, answer)."""
    for part, title in PARTS.items():
        with open(folder / f"data.{part}", "rb") as data:
            for word, count, offset in senses(folder, part):
                if count < SELDOM or not re.fullmatch("[a-z]{4,}", word):
                    continue
                names, hypernym, gloss = synset(data, offset)
                if word not in names or RUDE.search(gloss):  # "Pisces" is not "pisces"
                    continue
                # The first definition, without remarks and examples.
                definition = " ".join(re.sub(r"\([^)]*\)", "", gloss.split(";")[0]).split())
                if not 10 <= len(definition) <= LONGEST or '"' in definition:
                    continue
                answer = f"{word} ({title}): {definition}."
                if hypernym is not None:
                    answer += f" {RELATIONS[part]}: {synset(data, hypernym)[0][0]}."
                yield word, count, title, answer


def licence(folder):
    """The text that WordNet's own files begin with."""
    with open(folder / "data.noun", encoding="ascii") as lines:
        for line in lines:  # "  7 text"
            if not line.startswith("  "):
                return
            yield line.strip().partition(" ")[2].strip() + "\n"


def question(word):
    return {"role": "user", "content": f'What does "{word}" mean?'}


def write(path, rows):
    text = "".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    print(f"{path.name}: {len(rows)} lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--wordnet", type=pathlib.Path, default=pathlib.Path("/usr/share/wordnet"))
    options = parser.parse_args()
    if not (options.wordnet / "cntlist.rev").exists():
        sys.exit(f"prepare.py: there is no WordNet in {options.wordnet}; install the package wordnet-base")

    best = {}  # word -> its most frequent entry
    for word, count, part, answer in entries(options.wordnet):
        if word not in best or count > best[word][0]:
            best[word] = (count, part, answer)
    for word in UNSEEN:
        best.pop(word, None)
    # In the order of a hash: looks shuffled, and is the same everywhere.
    words = sorted(best, key=lambda word: hashlib.sha256(word.encode()).digest())
    rows = [[question(word), {"role": "assistant", "content": best[word][2]}] for word in words]
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "LICENSE").write_text("".join(licence(options.wordnet)), encoding="ascii")
    write(options.folder / "train.jsonl", rows[EVAL:])
    write(options.folder / "eval.jsonl", rows[:EVAL])
    write(options.folder / "unseen.jsonl", [[question(word)] for word in UNSEEN])


if __name__ == "__main__":
    main()

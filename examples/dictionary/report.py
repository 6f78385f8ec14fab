#!/usr/bin/env python3
"""Shows what a run has learnt, and fails if that is too little.

    report.py RUN BEFORE.jsonl AFTER.jsonl QUESTIONS.jsonl

RUN is the output folder of graft train; BEFORE and AFTER are outputs of graft generate for the
QUESTIONS, without and with the adapter.
"""
import json
import pathlib
import sys

LEAST_FALL = 0.2  # of the eval loss
LEAST_CHANGED = 4  # answers


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]


def main():
    run, before, after, questions = sys.argv[1:]
    losses = [line["eval_loss"] for line in lines(pathlib.Path(run) / "metrics.jsonl") if "eval_loss" in line]
    if len(losses) < 2:
        sys.exit(f"report.py: {run}/metrics.jsonl has {len(losses)} eval losses, expected one before and one after")
    changed = 0
    asked, first, second = lines(questions), lines(before), lines(after)
    if not len(asked) == len(first) == len(second):
        sys.exit(f"report.py: {len(asked)} questions, but {len(first)} and {len(second)} answers")
    rows = list(zip(asked, first, second))
    for question, old, new in rows:
        old, new = old["text"].strip(), new["text"].strip()
        changed += old != new
        print(f"{question['messages'][-1]['content']}\n  before  {' '.join(old.split())}\n  after   {' '.join(new.split())}\n")
    fall = 1 - losses[-1] / losses[0]
    print(f"Eval loss    {losses[0]:.4f} before, {losses[-1]:.4f} after: {fall:.0%} lower")
    print(f"Answers      {changed} of {len(rows)} changed")
    if fall < LEAST_FALL:
        sys.exit(f"report.py: the eval loss should have fallen by {LEAST_FALL:.0%} at least")
    if changed < LEAST_CHANGED:
        sys.exit(f"report.py: {LEAST_CHANGED} answers at least should have changed")


if __name__ == "__main__":
    main()

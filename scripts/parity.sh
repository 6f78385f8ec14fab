#!/bin/sh
# Compares graft with transformers and PEFT on random models, adapters and runs, and on SmolLM2.
#   scripts/parity.sh [--seed N] [--backends ref cpu] [--only scores training methods matrix adapters fresh eva optimizers smollm2 quant text]
#                     [--methods dora vera ..] [--families Gemma2 Phi3 ..]
#                     [--models N] [--runs N] [--graft PROGRAM] [--data FOLDER] [--strings N]
# PEERS_VENV names a virtual environment that has them; without it one is made in .deps/peers. Likewise ADAPTERS_VENV for the
# part `adapters`, .deps/peers-adapters.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$("$root/scripts/parity/peers.sh")
case " $* " in
  *" --graft "* | *" --help "* | *" -h "*) ;;
  *)
    if [ ! -x "$root/build/bin/graft" ]; then
      echo "parity.sh: $root/build/bin/graft is not there; build it (scripts/test.sh) or name one with --graft" >&2
      exit 1
    fi
    set -- --graft "$root/build/bin/graft" "$@"
    ;;
esac
exec "$python" "$root/scripts/parity/live.py" "$@"

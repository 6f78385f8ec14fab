#!/bin/sh
# Builds graft in release and measures it beside PEFT + torch on the same work, alternately.
#   bench/run.sh [--peers] [ROW ...] [--rounds N] [--steps N]      bench/run.sh --help names the rows
# --peers makes a virtual environment with torch, transformers and PEFT in .deps/peers (about 6 GB) if it
# is not there; PEERS_VENV names another one. Without either, rows of peers are refused.
# Writes bench/results/PROCESSOR.{md,json}.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "${1:-}" = --peers ]; then
  shift
  PEERS_VENV=${PEERS_VENV:-$root/.deps/peers}
  [ -x "$PEERS_VENV/bin/python" ] || PEERS_VENV= "$root/scripts/parity/peers.sh" > /dev/null
fi
python=${PEERS_VENV:-$root/.deps/peers}/bin/python
[ -x "$python" ] || python=python3
"$root/scripts/deps.sh"
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release -DGRAFT_BENCH=ON > /dev/null
cmake --build "$root/build" -j "$(nproc)" --target graft_cli graft-backend-cpu graft-backend-ref graft-method-lora \
  graft-optimizer-adamw bench-packed-gemm > /dev/null
exec "$python" "$root/bench/run.py" --graft "$root/build/bin/graft" \
  --packed-gemm "$root/build/bin/bench-packed-gemm" "$@"

#!/bin/sh
# Builds graft in release and measures it beside PEFT + torch on the same work, alternately.
#   bench/run.sh [ROW ...] [--rounds N] [--steps N]      rows: graft-bf16 peft-bf16 graft-f32 peft-f32
# Writes bench/results/PROCESSOR.{md,json}. PEERS_VENV names a virtual environment with the peers; without
# it one is made in .deps/peers. GRAFT names a program to measure instead of building one.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$("$root/scripts/parity/peers.sh")
if [ -z "${GRAFT:-}" ]; then
  cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
  cmake --build "$root/build" -j2 >/dev/null
  GRAFT=$root/build/bin/graft
fi
exec "$python" "$root/bench/run.py" --graft "$GRAFT" "$@"

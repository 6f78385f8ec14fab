#!/bin/sh
# Installs what is needed, builds graft into build/ and runs every test. May be run again cheaply.
# Further arguments go to ctest: scripts/test.sh -R lora
set -eu
cd "$(dirname "$0")/.."

scripts/deps.sh
jobs=$(nproc)
cmake --preset release > /dev/null
cmake --build build -j "$jobs"
exec scripts/ctest.sh build "$@"

#!/bin/sh
# Prints the path of a Python with torch, transformers and PEFT. Takes that of the virtual environment
# PEERS_VENV if it is set, else makes one in .deps/peers (about 6 GB to download and keep).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${PEERS_VENV:-$root/.deps/peers}
if [ ! -x "$venv/bin/python" ]; then
  if [ -n "${PEERS_VENV:-}" ]; then
    echo "peers.sh: PEERS_VENV is '$venv', and $venv/bin/python is not there" >&2
    exit 1
  fi
  echo "Making $venv with torch, transformers and PEFT" >&2
  # Debian keeps ensurepip in another package; pip itself can fill a bare environment.
  python3 -m venv --without-pip "$venv.new"
  python3 -m pip --python "$venv.new/bin/python" install -q torch==2.13.0 transformers==5.23.0 \
    peft==0.21.2 safetensors gguf psutil sentencepiece protobuf >&2
  python3 -m pip --python "$venv.new/bin/python" install -q --no-deps bitsandbytes==0.50.2 >&2
  mv "$venv.new" "$venv"
fi
echo "$venv/bin/python"

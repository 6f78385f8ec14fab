#!/bin/sh
# Prints the path of a Python with the `adapters` library and the transformers that it needs, which is older than
# PEFT's. Takes that of the virtual environment ADAPTERS_VENV if it is set, else makes one in .deps/peers-adapters (0.3 GB),
# which finds torch in the environment of peers.sh.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${ADAPTERS_VENV:-$root/.deps/peers-adapters}
if [ ! -x "$venv/bin/python" ]; then
  if [ -n "${ADAPTERS_VENV:-}" ]; then
    echo "peers_adapters.sh: ADAPTERS_VENV is '$venv', and $venv/bin/python is not there" >&2
    exit 1
  fi
  peers=$("$root/scripts/parity/peers.sh")
  echo "Making $venv with adapters and transformers 4" >&2
  site='import sysconfig; print(sysconfig.get_paths()["purelib"])'
  "$peers" -m venv --without-pip "$venv.new"
  python3 -m pip --python "$venv.new/bin/python" install -q --no-deps adapters==1.3.0 transformers==4.57.6 \
    huggingface-hub==0.36.2 tokenizers==0.22.2 >&2
  "$peers" -c "$site" > "$("$venv.new/bin/python" -c "$site")/peers.pth"
  mv "$venv.new" "$venv"
fi
echo "$venv/bin/python"

#!/usr/bin/env python3
"""exports.py NM LIBRARY GOLDEN: the library exports exactly the functions that the golden ABI file
lists, all of them graft_*."""
import re
import subprocess
import sys

nm, library, golden = sys.argv[1:]
output = subprocess.run([nm, "-D", "--defined-only", "--format=posix", library], check=True,
                        capture_output=True, text=True).stdout
# The version node itself is an absolute symbol.
exported = {line.split()[0].split("@")[0] for line in output.splitlines() if line.split()[1] != "A"}
declared = {m[1] for line in open(golden) if (m := re.match(r"function (\w+):", line))}
declared.discard("graft_plugin_entry_v0")  # what plugins export

for name in sorted(exported - declared):
    print(f"{name} is exported and not declared in graft.h")
for name in sorted(declared - exported):
    print(f"{name} is declared in graft.h and not exported")
for name in sorted(exported):
    if not name.startswith("graft_"):
        print(f"{name} does not begin with graft_")
print(f"{len(exported)} exported, {len(declared)} declared")
sys.exit(0 if exported == declared and all(n.startswith("graft_") for n in exported) else 1)

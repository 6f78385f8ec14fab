#!/usr/bin/env python3
"""Compiles each ABI header alone, in every language standard it promises, with every compiler that
is here."""
import pathlib
import shutil
import subprocess
import sys

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "abi" / "include"
C_FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wpadded", "-Werror"]
CXX_FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
BOTH = [("c", std, C_FLAGS) for std in ("c99", "c11", "c17")] + [
    ("c++", std, C_FLAGS) for std in ("c++11", "c++14", "c++17", "c++20")]
CXX17 = [("c++", std, CXX_FLAGS) for std in ("c++17", "c++20")]
CXX20 = CXX17[1:]
PROMISED = dict.fromkeys(["plugin.hpp", "plugin_method.hpp", "plugin_optimizer.hpp", "plugin_values.hpp", "quant.hpp",
                          "graft.hpp"], CXX17)


def promised(header):
    return BOTH if header.suffix == ".h" else PROMISED.get(header.name, CXX20)


def main():
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    count, failures = 0, 0
    for header in sorted((INCLUDE / "graft").iterdir()):
        for language, std, flags in promised(header):
            for compiler in compilers:
                command = [compiler, "-x", language, f"-std={std}", *flags, f"-I{INCLUDE}",
                           "-fsyntax-only", "-"]
                result = subprocess.run(command, input=f"#include <graft/{header.name}>\n",
                                        capture_output=True, text=True)
                count += 1
                if result.returncode:
                    failures += 1
                    print(f"{header.name} with {' '.join(command)}:\n{result.stderr}")
    print(f"{count} compilations with {', '.join(compilers)}, {failures} failed")
    sys.exit(1 if failures or not count else 0)


main()

#!/bin/sh
# Installs what graft is built from: packages of Debian 12, and oneDNN 3.2 from PyPI's wheels into
# .deps/onednn. Cheap when all of it is there.
#   scripts/deps.sh         to build and test
#   scripts/deps.sh --ci    also the compilers and checkers of .ci/run
#   scripts/deps.sh --demo  also the data of scripts/demo.sh
set -eu
cd "$(dirname "$0")/.."

packages="g++ cmake make ninja-build ccache pkg-config nlohmann-json3-dev libboost-dev libssl-dev
  libpcre2-dev libutf8proc-dev libeigen3-dev libgtest-dev libbenchmark-dev python3 python3-pip ca-certificates"
case "${1-}" in
  --ci) packages="$packages clang clang-format clang-tidy libclang-rt-dev libomp-dev" ;;
  --demo) packages="$packages wordnet-base" ;;
  "") ;;
  *) echo "deps.sh: unknown argument '$1'; there are --ci and --demo" >&2; exit 2 ;;
esac

missing=""
for package in $packages; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  install="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" != 0 ]; then
    {
      echo "deps.sh: these packages are not installed, and installing them needs root:"
      for package in $missing; do echo "  $package"; done
      echo "Run this as root, then start again:"
      echo "  apt-get update && $install"
    } >&2
    exit 1
  fi
  echo "Installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  $install -qq >/dev/null
fi

# ---- oneDNN: Debian's is 2.6, whose API is older ---------------------------------------------
version=2023.2.0
tag=py2.py3-none-manylinux1_x86_64
library=onednn_cpu_gomp-$version-$tag.whl
headers=onednn_devel_cpu_gomp-$version-$tag.whl
library_sha256=2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb
headers_sha256=9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284
root=.deps/onednn

if [ "$(cat $root/version 2>/dev/null)" != "$version" ]; then
  if [ "$(uname -m)" != x86_64 ]; then
    echo "deps.sh: the oneDNN wheels are for x86_64, this machine is $(uname -m)." \
         "Build oneDNN 3 for it and configure with -DGRAFT_ONEDNN_ROOT=DIR." >&2
    exit 1
  fi
  echo "Downloading oneDNN 3.2 (wheels of $version)"
  mkdir -p .deps/wheels
  python3 -m pip download -q --no-deps --only-binary :all: --platform manylinux1_x86_64 \
    -d .deps/wheels onednn-cpu-gomp==$version onednn-devel-cpu-gomp==$version
  printf '%s  %s\n' $library_sha256 .deps/wheels/$library $headers_sha256 .deps/wheels/$headers |
    sha256sum --check --quiet || {
      echo "deps.sh: a wheel in .deps/wheels is not the one that graft was tested with." \
           "Delete .deps and run again; if it stays so, do not use it." >&2
      exit 1
    }
  rm -rf $root .deps/unpacked
  for wheel in $library $headers; do
    python3 -m zipfile -e .deps/wheels/$wheel .deps/unpacked
  done
  # The wheel holds the library three times, under each of its names.
  mkdir -p $root/lib
  mv .deps/unpacked/onednn_cpu_gomp-$version.data/data/lib/libdnnl.so.3 $root/lib/
  mv .deps/unpacked/onednn_devel_cpu_gomp-$version.data/data/include $root/include
  mv .deps/unpacked/onednn_cpu_gomp-$version.data/data/share/doc/onednn $root/doc
  echo $version > $root/version
  rm -rf .deps/unpacked .deps/wheels
fi

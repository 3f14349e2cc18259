#!/bin/sh
# Fetches Aeron's C sources with cargo, and builds its client library and media driver into the folder given.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
to=$(cd "$1" && pwd)
[ ! "$to/build/binaries/aeronmd_s" -nt "$here/build.sh" ] || exit 0
manifest=$(cargo metadata --locked --format-version 1 --manifest-path "$here/Cargo.toml" |
    python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "rusteron-client"))')
rm -rf "$to/source" "$to/build"
cp -r "$(dirname "$manifest")/aeron" "$to/source"
chmod -R u+w "$to/source"
# It asks for a newer CMake than Debian's and uses nothing of it.
sed -i -e 's/cmake_minimum_required(VERSION [0-9.]*/cmake_minimum_required(VERSION 3.25/' \
    -e 's/cmake_policy(VERSION [0-9.]*/cmake_policy(VERSION 3.25/' "$to/source/CMakeLists.txt"
# libbsd may be there (DPDK's package brings it): its reallocf would have to be linked with, and nothing needs it.
cmake -S "$to/source" -B "$to/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O3 -g1 -DNDEBUG" \
    -DLIBBSD_EXISTS=OFF -DBSDSTDLIB_H_EXISTS=OFF -DBUILD_AERON_ARCHIVE_API=OFF -DAERON_TESTS=OFF -DAERON_UNIT_TESTS=OFF -DAERON_SYSTEM_TESTS=OFF \
    -DAERON_BUILD_SAMPLES=OFF -DAERON_BUILD_DOCUMENTATION=OFF -DAERON_INSTALL_TARGETS=OFF
ninja -C "$to/build" aeron_static aeronmd_s

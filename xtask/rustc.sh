#!/bin/bash
# Cargo runs rustc through this: programs then name their sources by /orlop, /cargo and /rustc instead of the
# directories of this machine, so that two machines build the same bytes. Cargo's own option for it
# (trim-paths) is not stable; flags in .cargo/config.toml cannot hold the paths of a machine.
# Bash, not sh: dash drops CARGO_BIN_EXE_some-name from the environment, since a hyphen is no part of a name there.
set -eu
rustc=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
# rustc lies in <toolchain>/bin; a bare `rustc` is rustup's proxy and its toolchain's paths stay.
case $rustc in
/*) toolchain=$(dirname "$(dirname "$rustc")") ;;
*) toolchain=/usr/lib/rustlib ;;
esac
cargo=${CARGO_HOME:-$HOME/.cargo}
# A registry's directory is named after the mirror that it came from. The last matching prefix counts.
registries=()
for registry in "$cargo"/registry/src/*/; do
	registries+=("--remap-path-prefix=${registry%/}=/cargo/registry")
done
exec "$rustc" "$@" \
	"--remap-path-prefix=$toolchain=/rustc" \
	"--remap-path-prefix=$top=/orlop" \
	"--remap-path-prefix=$cargo=/cargo" \
	"${registries[@]}"

#!/usr/bin/env bash
# Gives the active Rust toolchain a standard library for wasm32-wasip2 from Debian's packages, for
# machines that reach a package mirror but not the servers that rustup downloads from.
#
# rust-src of the compiler's own version is compiled with cargo's build-std; wasi-libc brings libc and
# the start objects; both are laid where rustc looks. It needs Debian's apt, a C compiler, about 1 GB
# of disk while it runs, and a minute or two. A target that is installed already is left alone.
#
# Usage: scripts/wasm-std-from-debian.sh [WORKDIR]
set -euo pipefail

target=wasm32-wasip2
version=$(rustc --version | cut -d' ' -f2)
dest=$(rustc --print target-libdir --target "$target")

if compgen -G "$dest/libstd-*.rlib" >/dev/null; then
  echo "$target is installed: $dest"
  exit 0
fi

if [ $# -gt 0 ]; then
  mkdir -p "$1"
  work=$(cd "$1" && pwd)
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi

# 1. The packages, from the mirror that this machine uses, with a state of apt's that is ours alone:
#    the system's own package lists and sources stay as they are.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 '/debian/\?$' || true)
if [ -z "$mirror" ]; then
  echo "no Debian mirror is configured (or run 'apt-get update' first)" >&2
  exit 1
fi
key=/usr/share/keyrings/debian-archive-keyring.gpg
state=$work/apt
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
for suite in bookworm-backports trixie-backports sid; do
  echo "deb [signed-by=$key] $mirror $suite main"
done > "$state/sources.list"
options=(-o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
         -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root)
apt-get -qq "${options[@]}" update
cd "$work"
source=$(apt-cache "${options[@]}" madison rust-src | awk -v v="$version" '$3 ~ "^"v"\\+" {print $3; exit}')
if [ -z "$source" ]; then
  echo "Debian has no rust-src $version; install the target with: rustup target add $target" >&2
  exit 1
fi
apt-get -qq "${options[@]}" download "rust-src=$source" wasi-libc/trixie-backports ||
  apt-get -qq "${options[@]}" download "rust-src=$source" wasi-libc
for package in rust-src_*.deb wasi-libc_*.deb; do
  dpkg -x "$package" unpacked
done

# 2. The standard library. The environment of a surrounding cargo must not reach this build.
mkdir -p std/src
: > std/src/lib.rs
cat > std/Cargo.toml <<'TOML'
[package]
name = "stdbuild"
version = "0.0.0"
edition = "2021"
[profile.release]
debug = false
[workspace]
TOML
(
  cd std
  unset CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS
  RUSTFLAGS="-Cembed-bitcode=yes" RUSTC_BOOTSTRAP=1 \
  __CARGO_TESTS_ONLY_SRC_ROOT="$work/unpacked/usr/src/rustc-$version/library" \
    cargo build --release -Zbuild-std=std,panic_abort --target "$target"
)

# 3. Laid where rustc looks; libstd last, which is what tells that the target is installed.
mkdir -p "$dest/self-contained"
cp unpacked/usr/lib/"$target"/libc.a unpacked/usr/lib/"$target"/crt1*.o "$dest/self-contained/"
rm -f std/target/"$target"/release/deps/libstdbuild-*.rlib
mv std/target/"$target"/release/deps/libstd-*.rlib .
cp std/target/"$target"/release/deps/*.rlib "$dest/"
cp libstd-*.rlib "$dest/"
echo "$target is installed: $dest"

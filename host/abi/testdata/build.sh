#!/bin/sh
# Builds the modules in other languages that are checked in here as .wasm. Needed only when their sources change:
#   Rust: cargo of any age to fetch, and rustc and cargo 1.63 with the wasm32 library, as in Debian 12
#         (apt-get install rustc cargo libstd-rust-dev-wasm32)
#   AssemblyScript, WebAssembly text: npm
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$here/rust" "$work/rust"
cd "$work/rust"
mkdir -p .cargo
CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback cargo vendor --quiet
printf '[source.crates-io]\nreplace-with = "here"\n[source.here]\ndirectory = "vendor"\n' > .cargo/config.toml
/usr/bin/env RUSTC=/usr/bin/rustc RUSTFLAGS="--remap-path-prefix=$work=/build" /usr/bin/cargo build --quiet --offline --release --target wasm32-unknown-unknown --target-dir "$work/target"
cp Cargo.lock "$here/rust/"
cp "$work/target/wasm32-unknown-unknown/release/greeter.wasm" "$here/rust.wasm"

mkdir "$work/as"
cp "$here/assemblyscript/index.ts" "$work/as/"
cd "$work/as"
npm install --silent --no-audit --no-fund --no-save assemblyscript@0.14.9 @solo-io/proxy-runtime@0.1.8
node_modules/.bin/asc index.ts -b "$here/assemblyscript.wasm" --use abort=abort_proc_exit --optimize --disable bulk-memory 2>"$work/warnings" || { cat "$work/warnings"; exit 1; }

mkdir "$work/wat"
cd "$work/wat"
npm install --silent --no-audit --no-fund --no-save wabt@1.0.37
node_modules/.bin/wat2wasm "$here/wat/asks.wat" -o "$here/wat.wasm"

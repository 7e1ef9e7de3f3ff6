#!/usr/bin/env bash
# Builds the Host from source: lguest-host.elf, and lguest-host-mutants.elf for the tests, into the folder given (here
# by default). Called by build.sh; GUEST_CARGO names the cargo of the pinned toolchain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cd "$here/../lguest-host"
build() {
    ${GUEST_CARGO:-cargo +deb} build --quiet --profile rom --locked -p lguest-host --bin lguest-host \
        --target i586-unknown-linux-gnu --target-dir "$here/target/$1" --features "$1" --config "$here/.cargo/config.toml"
    cp "$here/target/$1/i586-unknown-linux-gnu/rom/lguest-host" "$out/$2"
    chmod 644 "$out/$2"
}
build bare-metal lguest-host.elf
build bare-metal,mutants lguest-host-mutants.elf

#!/usr/bin/env bash
# Builds the Guests of this folder from source, first-guest.elf, attack-guest.elf and bench-guest.elf, into the folder
# given (here by default). Called by build.sh; GUEST_CARGO names the cargo of the pinned toolchain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cd "$here"
${GUEST_CARGO:-cargo +deb} build --quiet --release --locked
for guest in first-guest attack-guest bench-guest; do
    cp "target/i586-unknown-linux-gnu/release/$guest" "$out/$guest.elf"
    chmod 644 "$out/$guest.elf"
done

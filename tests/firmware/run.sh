#!/bin/sh
# Boots what PCs boot, unmodified: SeaBIOS, GRUB and memtest86+ from Debian's packages, and through GRUB our own Host
# and Debian's kernel. Prints a line for each test and ends with the number of failures.
#
#   run.sh [TEST...]     tests: menu grub linux linux16 memtest; without any, menu and grub
#
# setup.sh has installed what is needed. RINGSIDE names the program (default: target/release/ringside), ENGINE the
# engine (default: the program's own default).
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
ringside=${RINGSIDE:-$root/target/release/ringside}
files=$root/target/firmware
bios=/usr/share/seabios/bios-256k.bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

for needed in "$ringside" "$bios" /usr/lib/grub/i386-pc/boot.img; do
    [ -e "$needed" ] || { echo "run.sh: $needed is not there (see setup.sh)" >&2; exit 2; }
done

# pass NAME CONDITION...
pass() {
    name=$1
    shift
    if "$@"; then echo "ok    $name"; else echo "FAIL  $name"; failures=$((failures + 1)); fi
}

# boot NAME OPTION...: console, screen and statistics go to files named after the test; status says how it ended.
boot() {
    name=$1
    shift
    "$ringside" boot ${ENGINE:+--engine "$ENGINE"} --stats --console "$work/$name.console" \
        --screen "$work/$name.screen" "$@" 2> "$work/$name.stderr"
    status=$?
    sed -n 's/^\(ringside: .*\|insns=.*\|wall_ms=.*\)/      \1/p' "$work/$name.stderr"
}

# disk ENTRY: an image that boots this entry.
disk() {
    set -- "$1" "$root/roms/lguest-host.elf" "$root/roms/first-guest.elf"
    [ -e "$files/vmlinuz" ] && set -- "$@" "$files/vmlinuz" "$files/initrd"
    "$here/make-disk.sh" "$work/$1.img" "$@"
}

proofs() { grep -q '^first guest: [0-9]* proofs, 0 failed' "$1"; }

# SeaBIOS's boot menu, then GRUB's, by keys.
test_menu() {
    disk menu
    boot menu --bios "$bios" --disk "$work/menu.img" --mem 128 --script "$here/menu.script" --max-insns 3000000000
    pass "keys lead through SeaBIOS's boot menu and GRUB's to our Host" [ $status -eq 0 ]
    pass "the Guest's proofs hold" proofs "$work/menu.console"
}

# The same disk in Ringside and in QEMU: the Guest's transcript is the same.
test_grub() {
    disk lguest
    boot grub --bios "$bios" --disk "$work/lguest.img" --mem 128 --max-insns 3000000000
    pass "GRUB boots our Host with its module in Ringside" [ $status -eq 0 ]
    timeout 120 qemu-system-i386 -m 128 -drive "file=$work/lguest.img,format=raw,snapshot=on" \
        -serial "file:$work/qemu.console" -serial null -display none -no-reboot \
        -device isa-debug-exit,iobase=0xf4,iosize=4
    pass "GRUB boots our Host with its module in QEMU" [ $? -eq 0 ]
    pass "the Guest's proofs hold" proofs "$work/grub.console"
    pass "the transcripts are the same" cmp "$work/grub.console" "$work/qemu.console"
}

# linux ENTRY: Debian's kernel through GRUB, to a shell and off.
linux() {
    [ -e "$files/vmlinuz" ] || { echo "run.sh: no kernel in $files (see setup.sh)" >&2; exit 2; }
    disk "$1"
    boot "$1" --bios "$bios" --disk "$work/$1.img" --mem 128 --script "$here/linux.script" --max-insns 20000000000
    pass "Debian's kernel boots through GRUB's $1, and powers off" [ $status -eq 0 ]
    pass "it has been at a shell" grep -q '^Linux i686' "$work/$1.console"
}
test_linux() { linux linux; }
test_linux16() { linux linux16; }

test_memtest() {
    boot memtest /boot/memtest86+ia32.bin --mem 8 --script "$here/memtest.script" --max-insns 250000000000
    cat "$work/memtest.screen"
    pass "memtest86+ completes a pass" grep -q 'Pass:  1  ' "$work/memtest.screen"
    pass "without errors" grep -q 'Errors: 0 *$' "$work/memtest.screen"
}

for test in ${*:-menu grub}; do
    case $test in
        menu | grub | linux | linux16 | memtest) "test_$test" ;;
        *) echo "run.sh: no test $test" >&2; exit 2 ;;
    esac
done
echo "firmware: $failures failed"
[ "$failures" -eq 0 ]

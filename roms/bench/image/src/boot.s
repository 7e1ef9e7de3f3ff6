# The multiboot header and the way to Rust.

.section .multiboot, "a"
.balign 4
.long 0x1badb002, 0, -0x1badb002

.section .text.boot, "ax"
.globl _start
_start:
    cli
    cld
    movl $boot_stack_top, %esp
    pushl %ebx
    pushl %eax
    call kernel_main
    ud2

.section .bss.boot, "aw", @nobits
.balign 4096
boot_stack: .skip 32768
boot_stack_top:
.globl ring3_stack_top
ring3_stack: .skip 1048576
ring3_stack_top:

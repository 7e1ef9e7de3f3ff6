# Where the Guest's IDT points, the way into ring 3 and back, and the no-interrupt window.
#
# A trap from ring 1 is handled on the current stack and returns. A trap from ring 3 ends `enter_ring3`: its register
# frame is copied to the caller's context, and the kernel goes on behind the call, as after a function.

.equ BASE, 0x80000000
.equ RING1_DS, 0x69
.equ CONTEXT_WORDS, 18          # see struct Context
.equ CONTEXT_CS, 14 * 4
.equ IF, 0x200

.macro stub vector
    .if (\vector != 8) && ((\vector < 10) || (\vector > 14)) && (\vector != 17)
    pushl $0
    .endif
    pushl $\vector
    jmp trap_common
    .balign 16
.endm

.section .text.traps, "ax"
.balign 16
.globl trap_stubs
trap_stubs:                     # one every 16 bytes, vectors 0 to 63
.irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63
    stub \vector
.endr

.globl syscall_stub
syscall_stub:                   # a direct trap: the processor comes here by itself, irq_enabled is as ring 3 had it
    movl $0, %ss:lguest_data
    pushl $0
    pushl $0x80
    jmp trap_common

trap_common:
    pushl %eax
    pushl %ecx
    pushl %edx
    pushl %ebx
    pushl %ebp
    pushl %esi
    pushl %edi
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movl $RING1_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    cld
    testb $2, CONTEXT_CS(%esp)
    jnz from_ring3
    pushl %esp
    call kernel_trap
    addl $4, %esp
    jmp leave

from_ring3:
    movl %esp, %esi
    movl %esp, trap_stack_pointer
    movl ring3_context, %edi
    movl $CONTEXT_WORDS, %ecx
    rep movsl
    movl kernel_stack_pointer, %esp
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

# extern "C" fn enter_ring3(context: *mut Context): runs ring 3 until it traps.
.globl enter_ring3
enter_ring3:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl %esp, kernel_stack_pointer
    movl 20(%esp), %esi
    movl %esi, ring3_context
    subl $CONTEXT_WORDS * 4, %esp
    movl %esp, %edi
    movl $CONTEXT_WORDS, %ecx
    rep movsl
leave:
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popl %edi
    popl %esi
    popl %ebp
    popl %ebx
    popl %edx
    popl %ecx
    popl %eax
    addl $8, %esp
    jmp lguest_iret

# The interrupt flag of the frame becomes irq_enabled, then IRET. Between the two an interrupt would find the frame
# still on the stack: layouts A and B name the range, layout C the IRET alone. The IRET starts a page of its own, so
# that a missing shadow entry can make the Host look exactly there.
.section .text.window, "ax"
.balign 4096
    .skip 4096 - 18
.globl lguest_iret, noirq_start, noirq_iret, noirq_end
lguest_iret:
    pushl 8(%esp)
    andl $IF, (%esp)
noirq_start:
    popl %ss:lguest_data
noirq_iret:
    iret
noirq_end:
    .balign 4096                # nothing else may bring the page of the IRET back

.section .bss.traps, "aw", @nobits
.balign 4096
.globl trap_stack_top
    .skip 8192
trap_stack_top:
.globl trap_stack_pointer, ring3_context
kernel_stack_pointer: .skip 4
ring3_context: .skip 4
trap_stack_pointer: .skip 4

# Gates: exceptions, the timer, system calls; and the way into ring 3 and back.
#
# A handler comes with the data segments of ring 3, which may be based elsewhere: it reaches memory by SS.

.equ RING0_DS, 0x10
.equ EXIT_VECTOR, 0x7f

.section .text.traps, "ax"

# An exception nobody expects: tell and stop.
.macro stub vector
    .balign 16
    .if (\vector != 8) && ((\vector < 10) || (\vector > 14)) && (\vector != 17)
    pushl $0
    .endif
    pushl $\vector
    jmp unexpected
.endm

.balign 16
.globl exception_stubs
exception_stubs:                # one every 16 bytes
.irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    stub \vector
.endr

unexpected:                     # vector, error code, EIP, CS
    movl $RING0_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    call exception

# IRQ 0: count and acknowledge.
.balign 16
.globl timer_stub
timer_stub:
    pushl %eax
    incl %ss:timer_ticks
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

# The system call of the int80 operation: EBX plus one.
.balign 16
.globl syscall_stub
syscall_stub:
    incl %ebx
    iret

# #PF of the page-fault operation: the page of the fault before goes, the one asked for comes.
.balign 16
.globl page_fault_stub
page_fault_stub:
    pushl %eax
    pushl %edx
    movl %cr2, %edx
    subl $FAULT_WINDOW, %edx
    cmpl $FAULT_PAGES * 4096, %edx
    jae 1f
    shrl $12, %edx
    movl %ss:fault_last, %eax
    movl $0, %ss:fault_table(,%eax,4)
    shll $12, %eax
    invlpg %ss:FAULT_WINDOW(%eax)
    movl %edx, %ss:fault_last
    movl $fault_frame + 7, %eax
    movl %eax, %ss:fault_table(,%edx,4)
    popl %edx
    popl %eax
    addl $4, %esp
    iret
1:  popl %edx
    popl %eax
    pushl $14
    jmp unexpected

# The call gate of the call-gate operation: EBX plus one.
.balign 16
.globl gate_target
gate_target:
    incl %ebx
    lret

# extern "C" fn enter_ring3(code selector, data selector) -> u32: runs `ring3_main` there until it is done.
.globl enter_ring3
enter_ring3:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl 20(%esp), %ecx
    movl 24(%esp), %edx
    movl %esp, kernel_stack
    movl %esp, task_state + 4
    movl %edx, %ds
    movl %edx, %es
    movl %edx, %fs
    movl %edx, %gs
    pushl %edx
    pushl $ring3_stack_top
    pushl $0x202
    pushl %ecx
    pushl $ring3_start
    iret

ring3_start:
    call ring3_main
    int $EXIT_VECTOR
    ud2

.globl exit_stub
exit_stub:                      # the result is in EAX
    movl $RING0_DS, %edx
    movl %edx, %ds
    movl %edx, %es
    movl %edx, %fs
    movl %edx, %gs
    movl kernel_stack, %esp
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    sti
    ret

.section .bss.traps, "aw", @nobits
.balign 4
kernel_stack: .skip 4
.globl timer_ticks, fault_last
timer_ticks: .skip 4
fault_last: .skip 4
.balign 4096
.globl fault_table, fault_frame
fault_table: .skip 4096
fault_frame: .skip 4096

// Multiboot 1 entry. The loader leaves EAX and EBX, flat segments whose selectors nobody may rely on, no stack, no
// usable GDTR. Rely on nothing: own GDT and stack first.

    .section .multiboot, "a", @progbits
    .balign 4
    .set FLAGS, 3                       // page-aligned modules, memory map
    .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)

    .section .text.boot, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined eip
    cli
    cld
    lgdt [boot_gdtr]
    mov esp, offset boot_stack_top
    push {CODE}
    mov ecx, offset own_code
    push ecx
    retf
own_code:
    mov ecx, {DATA}
    mov ds, ecx
    mov es, ecx
    mov ss, ecx
    xor ecx, ecx
    mov fs, ecx
    mov gs, ecx
    mov esp, offset boot_stack_top
    xor ebp, ebp
    push 0
    popfd
    // The image's memory beyond the file may hold anything a loader left.
    mov edx, eax
    mov edi, offset bss_start
    mov ecx, offset bss_end
    sub ecx, edi
    xor eax, eax
    rep stosb
    push ebx
    push edx
    call host_main
    ud2
    .cfi_endproc
    .size _start, . - _start

// Exceptions of the Host itself. Each stub makes the frame (vector, error code, eip, cs, eflags) and reports it.
    .globl host_exception_stubs
    .type host_exception_stubs, @function
host_exception_stubs:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa esp, 12
    .cfi_offset eip, -12
    .set vector, 0
    .rept 32
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .else
        push 0
    .endif
    push vector
    jmp host_exception
    .set vector, vector + 1
    .endr
host_exception:
    push esp
    call host_fault
    ud2
    .cfi_endproc
    .size host_exception_stubs, . - host_exception_stubs

// An NMI in the Host: count it, touch nothing else. SS is flat whatever happens.
    .globl host_nmi
    .type host_nmi, @function
host_nmi:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa esp, 12
    .cfi_offset eip, -12
    inc dword ptr ss:[NMI_COUNT]
    iretd
    .cfi_endproc
    .size host_nmi, . - host_nmi

// Physical interrupts while the Host waits in HLT: stub n pushes n and calls the same server a Guest's exit uses.
    .globl host_irq_stubs
    .type host_irq_stubs, @function
host_irq_stubs:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa esp, 12
    .cfi_offset eip, -12
    .set irq, 0
    .rept 16
    .balign 16
    push irq
    jmp host_irq
    .set irq, irq + 1
    .endr
host_irq:
    push eax
    push ecx
    push edx
    cld
    push [esp + 12]
    call serve_irq
    add esp, 4
    pop edx
    pop ecx
    pop eax
    add esp, 4
    iretd
    .cfi_endproc
    .size host_irq_stubs, . - host_irq_stubs

    .section .data.boot, "aw", @progbits
    .balign 8
boot_gdt:
    .zero 80
    .long 0x0000ffff, 0x00cf9b00        // 0x50: code
    .long 0x0000ffff, 0x00cf9300        // 0x58: data
boot_gdtr:
    .short 95
    .long boot_gdt

    .section .bss.stack, "aw", @nobits
    .balign 16
    .zero 32768
boot_stack_top:

# The code of a driver, by Microsoft's calling convention.

entry_success:
    xor eax, eax
    ret

entry_failure:
    mov eax, 0xC0000001
    ret

# KeBugCheckEx(0xE2, 0x11, 0x22, 0x33, 0x4444444444)
entry_bug_check:
    sub rsp, 0x38
    movabs rax, 0x4444444444
    mov [rsp + 0x20], rax
    mov ecx, 0xE2
    mov edx, 0x11
    mov r8d, 0x22
    mov r9d, 0x33
    call [rip + imp_KeBugCheckEx]
    int3

# Eight arguments out, and a routine with four that is called back.
entry_lookaside:
    sub rsp, 0x48
    lea rcx, [rip + lookaside]
    lea rdx, [rip + allocate]
    xor r8d, r8d
    mov r9d, 0x200
    mov dword ptr [rsp + 0x20], 0
    mov qword ptr [rsp + 0x28], 0x60
    mov dword ptr [rsp + 0x30], 0x54534554
    mov word ptr [rsp + 0x38], 0
    call [rip + imp_ExInitializeLookasideListEx]
    lea rcx, [rip + lookaside]
    call [rip + imp_ExAllocateFromLookasideListEx]
    int3

# (PoolType, NumberOfBytes, Tag, Lookaside): the fourth is told as an offset in the list.
allocate:
    sub rsp, 0x38
    lea rax, [rip + lookaside]
    sub r9, rax
    mov [rsp + 0x20], r9
    mov r9, r8
    mov r8, rdx
    mov rdx, rcx
    mov ecx, 0xE3
    mov qword ptr [rip + saved], rsp
    test qword ptr [rip + saved], 15
    jnz misaligned
    call [rip + imp_KeBugCheckEx]
misaligned:
    ud2

# A routine with six arguments that is called back; its address is relocated.
entry_query:
    sub rsp, 0x38
    xor ecx, ecx
    lea rdx, [rip + key]
    lea r8, [rip + questions]
    mov r9d, 0x1234
    mov qword ptr [rsp + 0x20], 0
    call [rip + imp_RtlQueryRegistryValues]
    add rsp, 0x38
    ret

# (ValueName, ValueType, ValueData, ValueLength, Context, EntryContext)
found:
    mov rax, [rsp + 0x28]
    mov r10, [rsp + 0x30]
    mov r11d, [r8]
    sub rsp, 0x38
    shl r10, 32
    add r10, r11
    mov [rsp + 0x20], r10
    mov r8d, r9d
    mov r9, rax
    mov ecx, 0xE4
    call [rip + imp_KeBugCheckEx]
    int3

# Absolute addresses in the data are those of code and data.
entry_relocated:
    mov eax, 0xC0000001
    lea rdx, [rip + entry_relocated]
    cmp rdx, [rip + relocated]
    jne 1f
    lea rdx, [rip + data_end]
    cmp rdx, [rip + relocated_far]
    jne 1f
    xor eax, eax
1:  ret

# An adapter, and through its table five arguments out and a routine with four that is called back.
entry_dma:
    sub rsp, 0x38
    xor ecx, ecx
    lea rdx, [rip + description]
    lea r8, [rip + saved]
    call [rip + imp_IoGetDmaAdapter]
    mov [rip + moved], rax
    mov ecx, 2
    call [rip + imp_KfRaiseIrql]
    mov rcx, [rip + moved]
    lea rdx, [rip + lookaside]
    mov r8d, 3
    lea r9, [rip + control]
    mov qword ptr [rsp + 0x20], 0x1234
    mov rax, [rcx + 8]
    call [rax + 32]
    int3

# (DeviceObject, Irp, MapRegisterBase, Context): the device object is told as an offset.
control:
    sub rsp, 0x38
    lea rax, [rip + lookaside]
    sub rcx, rax
    mov [rsp + 0x20], rcx
    mov r8, rdx
    mov edx, [rip + saved]
    mov ecx, 0xE5
    call [rip + imp_KeBugCheckEx]
    int3

entry_print:
    sub rsp, 0x38
    lea rcx, [rip + format]
    mov edx, 7
    lea r8, [rip + word]
    lea r9, [rip + wide]
    movabs rax, 0x1122334455667788
    mov [rsp + 0x20], rax
    mov dword ptr [rsp + 0x28], -3
    call [rip + imp_DbgPrint]
    xor eax, eax
    add rsp, 0x38
    ret

entry_dpc:
    sub rsp, 0x28
    lea rcx, [rip + dpc]
    lea rdx, [rip + deferred]
    mov r8d, 0xC0
    call [rip + imp_KeInitializeDpc]
    lea rcx, [rip + dpc]
    mov edx, 0xA1
    mov r8d, 0xA2
    call [rip + imp_KeInsertQueueDpc]
    call [rip + imp_KeFlushQueuedDpcs]
    xor eax, eax
    add rsp, 0x28
    ret

# (Dpc, DeferredContext, SystemArgument1, SystemArgument2)
deferred:
    sub rsp, 0x28
    lea rcx, [rip + dpc_format]
    call [rip + imp_DbgPrint]
    add rsp, 0x28
    ret

# Forgets a pool block.
entry_leak:
    sub rsp, 0x28
    lea rax, [rip + unload]
    mov [rcx + 104], rax
    mov ecx, 0x40
    mov edx, 64
    mov r8d, 0x6B61654C
    call [rip + imp_ExAllocatePool2]
    xor eax, eax
    add rsp, 0x28
    ret

entry_variable:
    mov rax, [rip + imp_KeNumberProcessors]
    movsx eax, byte ptr [rax]
    dec eax
    ret

# A frame of eight pages, touched by __chkstk, filled by memset.
entry_probe:
    push rdi
    mov eax, 0x8020
    call [rip + imp___chkstk]
    sub rsp, rax
    lea rcx, [rsp + 0x20]
    mov edx, 0x5A
    mov r8d, 0x8000
    call [rip + imp_memset]
    lea rdx, [rsp + 0x20]
    sub rax, rdx
    cmp byte ptr [rsp + 0x801F], 0x5A
    je 1f
    mov eax, 0xC0000001
1:  add rsp, 0x8020
    pop rdi
    ret

# Overlapping moves in both directions.
entry_move:
    sub rsp, 0x28
    lea rcx, [rip + moved + 2]
    lea rdx, [rip + moved]
    mov r8d, 6
    call [rip + imp_memcpy]
    movabs rcx, 0x6665646362616261
    cmp rcx, [rip + moved]
    jne 1f
    lea rcx, [rip + moved]
    lea rdx, [rip + moved + 1]
    mov r8d, 7
    call [rip + imp_memcpy]
    lea rcx, [rip + moved]
    sub rax, rcx
    movabs rcx, 0x6666656463626162
    cmp rcx, [rip + moved]
    je 2f
1:  mov eax, 0xC0000001
2:  add rsp, 0x28
    ret

# MmGetSystemRoutineAddress(L"KeBugCheckEx") is what was imported.
entry_routine:
    sub rsp, 0x28
    lea rax, [rip + routine_name]
    mov [rip + routine_string + 8], rax
    lea rcx, [rip + routine_string]
    call [rip + imp_MmGetSystemRoutineAddress]
    sub rax, [rip + imp_KeBugCheckEx]
    add rsp, 0x28
    ret

entry_bind:
    sub rsp, 0x28
    lea r8, [rip + bind_info]
    lea r9, [rip + globals]
    call [rip + imp_WdfVersionBind]
    add rsp, 0x28
    ret

# Function 0 of the framework is one that it does not have.
entry_bind_and_call:
    sub rsp, 0x28
    lea r8, [rip + bind_info]
    lea r9, [rip + globals]
    call [rip + imp_WdfVersionBind]
    mov rax, [rip + functions]
    mov rcx, [rip + globals]
    call [rax]
    int3

# Binds, and unbinds again.
entry_bind_and_fail:
    push rbx
    sub rsp, 0x20
    mov rbx, rdx
    lea r8, [rip + bind_info]
    lea r9, [rip + globals]
    call [rip + imp_WdfVersionBind]
    test eax, eax
    jnz 1f
    mov rcx, rbx
    lea rdx, [rip + bind_info]
    mov r8, [rip + globals]
    call [rip + imp_WdfVersionUnbind]
    test eax, eax
    jnz 1f
    mov eax, 0xC00000BB
1:  add rsp, 0x20
    pop rbx
    ret

# The cookie, and a call through both of the flow guard's pointers.
entry_guard:
    sub rsp, 0x38
    lea rcx, [rip + entry_success]
    call [rip + guard_check]
    lea rax, [rip + seven]
    call [rip + guard_dispatch]
    mov r8, rax
    mov rdx, [rip + cookie]
    mov ecx, 0xE5
    xor r9d, r9d
    mov qword ptr [rsp + 0x20], 0
    call [rip + imp_KeBugCheckEx]
seven:
    mov eax, 7
    ret

# Crashes.
entry_read_label:
    movabs rax, 0xFFFFA00000000010
    mov eax, [rax]
    ret
entry_write_label:
    movabs rax, 0xFFFFA00000000030
    mov byte ptr [rax], 1
    ret
entry_copy_label:
    sub rsp, 0x28
    lea rcx, [rip + saved]
    movabs rdx, 0xFFFFA00000000040
    mov r8d, 8
    call [rip + imp_memcpy]
    add rsp, 0x28
    ret
entry_recurse:
    sub rsp, 0x108
    call entry_recurse
    add rsp, 0x108
    ret
entry_recurse_far:
    mov eax, 0x20008
    call [rip + imp___chkstk]
    sub rsp, rax
    call entry_recurse_far
    add rsp, 0x20008
    ret
entry_read_null:
    xor eax, eax
    mov eax, [rax + 24]
    ret
entry_write_code:
    lea rax, [rip + entry_success]
    mov byte ptr [rax], 0
    ret
entry_run_data:
    lea rax, [rip + lookaside]
    jmp rax
entry_breakpoint:
    int3
    ret
entry_fast_fail:
    mov ecx, 5
    int 0x29
    ret
entry_undefined:
    ud2
entry_divide:
    xor ecx, ecx
    mov eax, 1
    cdq
    div ecx
    ret
entry_call_label:
    sub rsp, 0x28
    movabs rax, 0xFFFFA00000000020
    call rax
    add rsp, 0x28
    ret
entry_impossible:
    movabs rax, 0x1122334455667788
    mov eax, [rax]
    ret
entry_cr8:
    mov rax, cr8
    ret

# The same at DISPATCH_LEVEL.
entry_read_at_dispatch:
    sub rsp, 0x28
    lea rcx, [rip + dpc]
    lea rdx, [rip + entry_read_label]
    xor r8d, r8d
    call [rip + imp_KeInitializeDpc]
    lea rcx, [rip + dpc]
    xor edx, edx
    xor r8d, r8d
    call [rip + imp_KeInsertQueueDpc]
    call [rip + imp_KeFlushQueuedDpcs]
    xor eax, eax
    add rsp, 0x28
    ret

# Locks three pages of user memory in a guarded frame. The exception's code is the result, if the
# frame of its caller is as it was.
entry_lock:
    lea rax, [rip + guarded]
    jmp lock_with
# The same in a frame that is not guarded.
entry_lock_unguarded:
    lea rax, [rip + unguarded]
lock_with:
    push rbx
    push rsi
    push rdi
    push r12
    sub rsp, 0x38
    mov r12, rax
    movabs rcx, 0x200000000000
    mov edx, 0x3000
    xor r8d, r8d
    xor r9d, r9d
    mov qword ptr [rsp + 0x20], 0
    call [rip + imp_IoAllocateMdl]
    mov rbx, rax
    mov esi, 0x5151
    mov edi, 0x6262
    movq xmm6, rsi
    mov rcx, rbx
    mov edx, 1
    mov r8d, 1
    call r12
    test eax, eax
    jnz 1f
    mov rcx, rbx
    call [rip + imp_MmUnlockPages]
    xor eax, eax
1:  mov [rsp + 0x28], eax
    mov rcx, rbx
    call [rip + imp_IoFreeMdl]
    mov eax, [rsp + 0x28]
    movq rcx, xmm6
    cmp rcx, rsi
    jne 2f
    cmp esi, 0x5151
    jne 2f
    cmp edi, 0x6262
    je 3f
2:  mov eax, 0xC0000001
3:  add rsp, 0x38
    pop r12
    pop rdi
    pop rsi
    pop rbx
    ret

unguarded:
    sub rsp, 0x28
    call [rip + imp_MmProbeAndLockPages]
    xor eax, eax
    add rsp, 0x28
    ret

# As a compiler has it: a frame pointer, the call between two labels, the handler behind the end.
guarded:
    push rbp
    push r13
    sub rsp, 0x28
    lea rbp, [rsp + 0x20]
    mov r13, rbp
guarded_try:
    call [rip + imp_MmProbeAndLockPages]
    nop
guarded_try_end:
    xor eax, eax
guarded_exit:
    add rsp, 0x28
    pop r13
    pop rbp
    ret
guarded_except:
    cmp r13, rbp
    jne 1f
    lea rcx, [rsp + 0x20]
    cmp rcx, rbp
    je guarded_exit
1:  ud2
guarded_end:
specific_handler:
    jmp [rip + imp___C_specific_handler]

# Tells where its code is.
entry_late:
    sub rsp, 0x28
    lea rax, [rip + unload]
    mov [rcx + 104], rax
    lea rcx, [rip + late_format]
    lea rdx, [rip + entry_success]
    call [rip + imp_DbgPrint]
    xor eax, eax
    add rsp, 0x28
    ret

# A filter without a framework.
entry_wdm:
    lea rax, [rip + dispatch]
    lea r8, [rcx + 112]
    mov edx, 28
1:  mov [r8], rax
    add r8, 8
    dec edx
    jnz 1b
    lea rax, [rip + unload]
    mov [rcx + 104], rax
    mov r8, [rcx + 48]
    lea rax, [rip + add_device]
    mov [r8 + 8], rax
    xor eax, eax
    ret

unload:
    ret

# (DriverObject, PhysicalDeviceObject)
add_device:
    push rbx
    sub rsp, 0x50
    mov rbx, rdx
    mov edx, 16
    xor r8d, r8d
    mov r9d, 7
    mov dword ptr [rsp + 0x20], 0
    mov dword ptr [rsp + 0x28], 0
    lea rax, [rsp + 0x40]
    mov [rsp + 0x30], rax
    call [rip + imp_IoCreateDevice]
    test eax, eax
    js 1f
    mov rcx, [rsp + 0x40]
    mov rdx, rbx
    mov r8, [rcx + 64]
    call [rip + imp_IoAttachDeviceToDeviceStackSafe]
    mov rcx, [rsp + 0x40]
    or dword ptr [rcx + 48], 0x10
    and dword ptr [rcx + 48], 0xFFFFFF7F
    xor eax, eax
1:  add rsp, 0x50
    pop rbx
    ret

# (DeviceObject, Irp): READ with a completion routine, REMOVE_DEVICE with what belongs to it,
# everything else skips this location.
dispatch:
    mov rax, [rdx + 0xB8]
    mov r8, [rcx + 64]
    mov r8, [r8]
    cmp byte ptr [rax], 3
    je read
    cmp byte ptr [rax], 0x1B
    jne 1f
    cmp byte ptr [rax + 1], 2
    je remove
1:  inc byte ptr [rdx + 0x43]
    add qword ptr [rdx + 0xB8], 72
    mov rcx, r8
    jmp [rip + imp_IofCallDriver]

read:
    mov r9d, 7
1:  mov r10, [rax + r9 * 8 - 8]
    mov [rax + r9 * 8 - 8 - 72], r10
    dec r9d
    jnz 1b
    mov byte ptr [rax - 72 + 3], 0xE0
    lea r10, [rip + completed]
    mov [rax - 72 + 56], r10
    mov qword ptr [rax - 72 + 64], 0x77
    mov rcx, r8
    jmp [rip + imp_IofCallDriver]

# (DeviceObject, Irp, Context)
completed:
    sub rsp, 0x28
    cmp byte ptr [rdx + 0x41], 0
    je 1f
    mov rax, [rdx + 0xB8]
    or byte ptr [rax + 3], 1
1:  mov r9d, [rdx + 0x30]
    mov rdx, r8
    mov r8, r9
    lea rcx, [rip + completed_format]
    call [rip + imp_DbgPrint]
    xor eax, eax
    add rsp, 0x28
    ret

remove:
    push rbx
    push rdi
    push rsi
    sub rsp, 0x20
    mov rbx, rcx
    mov rdi, r8
    inc byte ptr [rdx + 0x43]
    add qword ptr [rdx + 0xB8], 72
    mov rcx, r8
    call [rip + imp_IofCallDriver]
    mov esi, eax
    mov rcx, rdi
    call [rip + imp_IoDetachDevice]
    mov rcx, rbx
    call [rip + imp_IoDeleteDevice]
    mov eax, esi
    add rsp, 0x20
    pop rsi
    pop rdi
    pop rbx
    ret

.balign 4096, 0xCC

# Data.

relocated:
    .quad {preferred} + (entry_relocated - pe_blob)
relocated_far:
    .quad {preferred} + (data_end - pe_blob)

questions:
    .quad {preferred} + (found - pe_blob)
    .quad 4
questions_name:
    .quad {preferred} + (value - pe_blob)
    .quad 0x55
    .quad 0
    .quad 0
    .quad 0
    .zero 56

bind_info:
    .long 48, 0
bind_info_component:
    .quad {preferred} + (component - pe_blob)
    .long 1
bind_info_minor:
    .long 15
    .long 0
bind_info_count:
    .long 444
bind_info_table:
    .quad {preferred} + (functions - pe_blob)
    .quad 0
functions:
    .quad 0
globals:
    .quad 0

cookie:
    .quad 0x00002B992DDFA232
guard_check:
    .quad 0
guard_dispatch:
    .quad 0

routine_string:
    .short 24, 26, 0, 0
    .quad 0

format:
    .asciz "%u %s %ws %I64x %d\n"
word:
    .asciz "narrow"
dpc_format:
    .asciz "dpc %x %x %x\n"
late_format:
    .asciz "late %p\n"
completed_format:
    .asciz "completed %x %x\n"
.balign 2
wide:
    .short 'w', 'i', 'd', 'e', 0
component:
    .short 'K', 'm', 'd', 'f', 'L', 'i', 'b', 'r', 'a', 'r', 'y', 0
key:
    .short '\\', 'R', 'e', 'g', 'i', 's', 't', 'r', 'y', '\\', 'M', 'a', 'c', 'h', 'i', 'n', 'e', '\\', 'P', 'e', 0
value:
    .short 'V', 'a', 'l', 'u', 'e', 0
routine_name:
    .short 'K', 'e', 'B', 'u', 'g', 'C', 'h', 'e', 'c', 'k', 'E', 'x', 0

.balign 16
description:
    .long 2
    .byte 1, 1, 0, 0, 1, 0, 0, 1
    .long 0, 0, 5, 0, 0, 0x4000, 0, 0, 0, 0, 0
    .quad 0
dpc:
    .zero 64
saved:
    .quad 0
moved:
    .ascii "abcdefgh"
.balign 16
lookaside:
    .zero 96
.balign 8
data_end:

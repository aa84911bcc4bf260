/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* System calls and the entry point without a C library: tank-init is then one page of text and one
 * of stack, which counts a thousand times on a machine with a thousand containers. */

#include <sys/syscall.h>

#if defined __x86_64__

static inline long syscall4(long n, long a, long b, long c, long d)
{
        register long r10 __asm__("r10") = d;
        long r;

        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                         : "rcx", "r11", "memory");
        return r;
}

/* The kernel enters with argc at the top of the stack; the C function wants it aligned to 16. */
__asm__(".text\n"
        ".global _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "        xor %ebp, %ebp\n"
        "        mov %rsp, %rdi\n"
        "        and $-16, %rsp\n"
        "        call init_main\n"
        "        hlt\n"
        ".size _start, . - _start\n");

#elif defined __aarch64__

static inline long syscall4(long n, long a, long b, long c, long d)
{
        register long x8 __asm__("x8") = n;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;

        __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
        return x0;
}

__asm__(".text\n"
        ".global _start\n"
        ".type _start, %function\n"
        "_start:\n"
        "        mov x29, #0\n"
        "        mov x30, #0\n"
        "        mov x0, sp\n"
        "        and sp, x0, #-16\n"
        "        bl init_main\n"
        "        brk #0\n"
        ".size _start, . - _start\n");

#else
#error "tank-init has no entry point for this architecture: add it here"
#endif

/* Called by _start with the initial stack: argc, then argv. */
_Noreturn void init_main(const long *stack);

/* SPDX-License-Identifier: Apache-2.0 */

/* tank-seccomp DIR: compiles the default system call filter into DIR/<sha256 of the profile>.
 *
 * A program of its own, since it is the only one that needs libseccomp, and that takes longer to
 * build a filter than a container takes to start: a shim that misses the file runs this once, and
 * every other one loads what is there (docs/adr/0008). Two at the same time do no harm: the file
 * appears by rename, complete, and both would write the same. */

#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "profile.h"
#include "tank-shim/seccomp-id.h"

#define LOW_32 UINT64_C(0xffffffff)

static int add(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned n,
                const struct scmp_arg_cmp *args)
{
        int nr = seccomp_syscall_resolve_name(name), r;

        if (nr == __NR_SCMP_ERROR)
                return 0; /* newer than the library: falls to the default, ENOSYS */
        r = seccomp_rule_add_array(ctx, action, nr, n, args);
        if (r < 0)
                return log_error_errno(r, "cannot add a rule for %s", name);
        return 0;
}

/* One comparison of the low 32 bits, which are all that the kernel looks at in these arguments: a
 * comparison of all 64 could be passed by setting a high one. */
static int add_masked(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned arg,
                uint64_t mask, uint64_t value)
{
        const struct scmp_arg_cmp cmp = SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask & LOW_32, value);

        return add(ctx, action, name, 1, &cmp);
}

/* Allows every value of @arg but those of @refused (a bit for each low nibble) behind @prefix. A
 * filter knows no "unless": the complement is spelled out, first by the bits in which a value
 * differs from the prefix, then by the nibbles that are left. */
static int allow_but(scmp_filter_ctx ctx, const char *name, unsigned arg, uint32_t prefix,
                uint16_t refused)
{
        int r = 0;

        for (unsigned bit = 4; bit < 32 && r >= 0; bit++) {
                uint32_t mask = UINT32_C(1) << bit;

                r = add_masked(ctx, SCMP_ACT_ALLOW, name, arg, mask, ~prefix & mask);
        }
        for (unsigned n = 0; n < 16 && r >= 0; n++)
                r = add_masked(ctx, refused & (1U << n) ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW,
                                name, arg, LOW_32, prefix | n);
        return r;
}

static int add_conditional(scmp_filter_ctx ctx)
{
        static const uint32_t namespaces[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS,
                CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
        /* PER_LINUX, PER_LINUX32, both with UNAME26, and "what is it now". */
        static const uint32_t personalities[] = { 0, 0x8, 0x20000, 0x20008, 0xffffffff };
        uint32_t all = 0;
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
                all |= namespaces[i];
        r = add_masked(ctx, SCMP_ACT_ALLOW, "clone", 0, all, 0);
        for (size_t i = 0; i < ARRAY_SIZE(namespaces) && r >= 0; i++)
                r = add_masked(ctx, SCMP_ACT_ERRNO(EPERM), "clone", 0, namespaces[i],
                                namespaces[i]);
        for (size_t i = 0; i < ARRAY_SIZE(personalities) && r >= 0; i++)
                r = add_masked(ctx, SCMP_ACT_ALLOW, "personality", 0, LOW_32, personalities[i]);
        /* TIOCSTI (0x5412) and TIOCLINUX (0x541c) type on somebody else's terminal. */
        if (r >= 0)
                r = allow_but(ctx, "ioctl", 1, 0x5410, 1U << 0x2 | 1U << 0xc);
        /* AF_ALG (38) and AF_VSOCK (40): the kernel's crypto parsers, and the hypervisor. */
        if (r >= 0)
                r = allow_but(ctx, "socket", 0, 0x20, 1U << 0x6 | 1U << 0x8);
        return r;
}

static int add_arches(scmp_filter_ctx ctx)
{
        uint32_t compat = 0;
        int r;

        switch (seccomp_arch_native()) {
        case SCMP_ARCH_X86_64:
                compat = SCMP_ARCH_X86; /* not x32: its calls get the answer of an unknown one */
                break;
        case SCMP_ARCH_AARCH64: compat = SCMP_ARCH_ARM; break;
        }
        if (!compat)
                return 0;
        r = seccomp_arch_add(ctx, compat);
        return r < 0 ? log_error_errno(r, "cannot add the 32-bit architecture") : 0;
}

static int build(scmp_filter_ctx ctx)
{
        int r;

        r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
        if (r >= 0)
                r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r < 0)
                return log_error_errno(r, "cannot set up the filter");
        r = add_arches(ctx);
        for (size_t i = 0; i < ARRAY_SIZE(allowed_calls) && r >= 0; i++)
                r = add(ctx, SCMP_ACT_ALLOW, allowed_calls[i], 0, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(refused_calls) && r >= 0; i++)
                r = add(ctx, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0, NULL);
        return r < 0 ? r : add_conditional(ctx);
}

static int write_filter(scmp_filter_ctx ctx, const char *dir)
{
        CLEANUP_CLOSE int dir_fd = -EBADF, memory = -EBADF;
        CLEANUP_FREE char *data = NULL;
        size_t size;
        int r;

        r = mkdir_p_open_at(AT_FDCWD, dir, 0700, &dir_fd);
        if (r < 0)
                return log_error_errno(r, "%s", dir);
        memory = memfd_create("filter", MFD_CLOEXEC);
        if (memory < 0)
                return log_error_errno(-errno, "memfd");
        r = seccomp_export_bpf(ctx, memory);
        if (r < 0)
                return log_error_errno(r, "cannot compile the filter");
        if (lseek(memory, 0, SEEK_SET) < 0)
                return log_error_errno(-errno, "memfd");
        r = read_fd_bounded(memory, 1024 * 1024, &data, &size);
        if (r >= 0)
                /* Synced, though it is made again: a run directory may be on a disk, and what a
                 * power cut left empty there would be taken for the filter. */
                r = write_file_atomic_at(dir_fd, SECCOMP_PROFILE_ID, data, size, 0600, true);
        return r < 0 ? log_error_errno(r, "%s/%s", dir, SECCOMP_PROFILE_ID) : 0;
}

int main(int argc, char *argv[])
{
        scmp_filter_ctx ctx;
        int r;

        log_setup("tank-seccomp");
        if (argc != 2 || argv[1][0] == '-') {
                fprintf(stderr, "usage: tank-seccomp DIR\n");
                return 2;
        }
        ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        if (!ctx) {
                log_oom();
                return EXIT_FAILURE;
        }
        r = build(ctx);
        if (r >= 0)
                r = write_filter(ctx, argv[1]);
        seccomp_release(ctx);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

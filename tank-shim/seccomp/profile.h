/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The default profile. Three classes:
 *
 *   allowed   what programs use to work on their own files, memory, processes and sockets
 *   refused   known, and given to nobody in a container: EPERM
 *   the rest  what this profile, or libseccomp, has never heard of, and clone3, whose flags a filter
 *             cannot see: ENOSYS, so that a C library newer than this list falls back to the call
 *             it used before
 *
 * Names that an architecture or this libseccomp does not have are skipped. The cache file is named
 * after the SHA-256 of this file and of main.c: a changed profile is a new file. */

static const char *const allowed_calls[] = {
        /* files and directories */
        "access", "faccessat", "faccessat2", "open", "openat", "openat2", "creat", "close",
        "close_range", "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv",
        "pwritev", "preadv2", "pwritev2", "lseek", "_llseek", "dup", "dup2", "dup3", "fcntl",
        "fcntl64", "flock", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range",
        "sync_file_range2", "arm_sync_file_range", "truncate", "truncate64", "ftruncate",
        "ftruncate64", "fallocate", "fadvise64", "fadvise64_64", "arm_fadvise64_64", "readahead",
        "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "fstatat64", "newfstatat", "statx",
        "statfs", "statfs64", "fstatfs", "fstatfs64", "ustat", "oldstat", "oldlstat", "oldfstat",
        "getdents", "getdents64", "readdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
        "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "rename", "renameat",
        "renameat2", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown",
        "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat", "utime", "utimes",
        "utimensat", "utimensat_time64", "futimesat", "umask", "chdir", "fchdir", "getcwd",
        "chroot", "name_to_handle_at", "copy_file_range", "sendfile", "sendfile64", "splice", "tee",
        "vmsplice", "getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr",
        "listxattr", "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr",
        "getxattrat", "setxattrat", "listxattrat", "removexattrat", "cachestat",
        "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "fanotify_mark",
        "io_setup", "io_submit", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
        "io_pgetevents_time64",
        "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
        /* waiting */
        "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64",
        "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait",
        "epoll_wait_old", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd",
        "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_settime64", "timerfd_gettime",
        "timerfd_gettime64", "pipe", "pipe2",
        /* memory */
        "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "pkey_alloc", "pkey_free",
        "pkey_mprotect", "madvise", "process_madvise", "process_mrelease", "mincore", "mlock",
        "mlock2", "mlockall", "munlock", "munlockall", "msync", "membarrier", "memfd_create",
        "memfd_secret", "remap_file_pages", "mseal", "map_shadow_stack", "get_mempolicy",
        "set_mempolicy", "set_mempolicy_home_node", "mbind", "migrate_pages", "move_pages",
        "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semtimedop_time64",
        "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "ipc", "mq_open", "mq_unlink",
        "mq_timedsend", "mq_timedsend_time64", "mq_timedreceive", "mq_timedreceive_time64",
        "mq_notify", "mq_getsetattr",
        /* processes and threads */
        "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid",
        "kill", "tkill", "tgkill", "pidfd_open", "pidfd_send_signal", "pidfd_getfd", "getpid",
        "getppid", "gettid", "getpgid", "getpgrp", "getsid", "setpgid", "setsid", "getuid",
        "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32",
        "getresuid", "getresuid32", "getresgid", "getresgid32", "getgroups", "getgroups32",
        "setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid",
        "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32", "setgroups",
        "setgroups32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "capget", "capset",
        "prctl", "arch_prctl", "modify_ldt", "set_thread_area", "get_thread_area",
        "set_tid_address", "set_tls", "get_tls", "cacheflush", "breakpoint", "usr26", "usr32",
        "futex", "futex_time64", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue",
        "get_robust_list", "set_robust_list", "rseq", "restart_syscall", "sched_yield",
        "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
        "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_setattr",
        "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval",
        "sched_rr_get_interval_time64", "getpriority", "setpriority", "nice", "ioprio_get",
        "ioprio_set", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "times",
        "getcpu", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "seccomp",
        "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
        "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
        "sigaction", "sigaltstack", "signal", "sigpending", "sigprocmask", "sigreturn", "sigsuspend",
        "ssetmask", "sgetmask", "pause", "alarm", "getitimer", "setitimer",
        /* time */
        "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres",
        "clock_getres_time64", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep",
        "timer_create", "timer_delete", "timer_settime", "timer_settime64", "timer_gettime",
        "timer_gettime64", "timer_getoverrun", "adjtimex", "clock_adjtime", "clock_adjtime64",
        /* sockets */
        "socketpair", "socketcall", "bind", "listen", "accept", "accept4", "connect", "getsockname",
        "getpeername", "getsockopt", "setsockopt", "shutdown", "send", "sendto", "sendmsg",
        "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64",
        /* the system, as far as anybody may ask */
        "uname", "olduname", "oldolduname", "sysinfo", "syslog", "getrandom",
};

static const char *const refused_calls[] = {
        /* mounts and namespaces */
        "mount", "umount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick",
        "move_mount", "open_tree", "mount_setattr", "unshare", "setns", "open_by_handle_at",
        "quotactl", "quotactl_fd", "swapon", "swapoff", "fanotify_init",
        /* attack surface without a use in a container */
        "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
        "io_uring_register", "keyctl", "add_key", "request_key", "vm86", "vm86old", "lookup_dcookie",
        "uselib", "nfsservctl", "_sysctl", "sysfs", "vserver", "acct",
        /* the machine */
        "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
        "create_module", "query_module", "get_kernel_syms", "iopl", "ioperm", "settimeofday",
        "stime", "clock_settime", "clock_settime64", "sethostname", "setdomainname", "vhangup",
        "bdflush", "idle",
};

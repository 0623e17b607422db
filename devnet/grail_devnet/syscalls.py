"""The filter of system calls round an enclave: what the kernel refuses it, whatever runs there.

Namespaces alone leave much of the kernel open, and AF_VSOCK knows none of them (Linux, vsock(7)):
in a network namespace of its own a process still reaches the host by it. The filter refuses every
family of sockets but AF_UNIX, looking into other processes, other programs' memory, mounts, new
namespaces, new processes, and the parts of the kernel that no enclave needs.

It is made by libseccomp through pyseccomp; where one is missing there is no filter, and the devnet
says so.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
import tempfile
from typing import Any, Final

from grail.errors import Unavailable

CLONE_THREAD: Final = 0x10000
"""The flag that tells a thread from a process (Linux, include/uapi/linux/sched.h)."""

DENIED: Final = (
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("pidfd_open", "pidfd_getfd", "fork", "vfork"),
    # file systems and namespaces
    *("mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "unshare", "setns"),
    *("name_to_handle_at", "open_by_handle_at", "mknod", "mknodat", "quotactl", "quotactl_fd"),
    *("fanotify_init", "fanotify_mark", "swapon", "swapoff", "acct"),
    # the kernel: its programs, keys, counters, modules, clocks
    *("bpf", "perf_event_open", "keyctl", "add_key", "request_key", "userfaultfd", "syslog"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "lookup_dcookie", "personality"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime"),
    *("sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "vhangup", "vmsplice"),
)
"""Refused with EPERM, whatever their arguments."""


def program() -> bytes:
    """The filter in the kernel's own form (an array of `struct sock_filter`).

    Raises `Unavailable` naming what is missing.
    """
    try:
        pyseccomp: Any = importlib.import_module("pyseccomp")
    except ImportError as exc:
        raise Unavailable(
            "pyseccomp is missing", hint="install the extra: pip install 'grail-pro[sandbox]'"
        ) from exc
    except RuntimeError as exc:  # it looks for the library when it is imported
        raise Unavailable(
            "libseccomp is missing", hint="it is in Debian's package libseccomp2: install that"
        ) from exc
    made = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    _fill(made, pyseccomp)
    handle, name = tempfile.mkstemp()
    with os.fdopen(handle, "w+b") as file:
        os.unlink(name)  # noqa: PTH108
        made.export_bpf(file)
        file.seek(0)
        return file.read()


def _fill(made: Any, seccomp: Any) -> None:
    refused, unknown = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    for name in DENIED:
        try:
            made.add_rule(refused, name)
        except (OSError, ValueError):
            continue  # no such call on this machine, so nobody can make it
    for name in ("socket", "socketpair"):
        made.add_rule(refused, name, seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    # A thread is wanted, a process is not. The flags of clone3 lie in memory, where no filter
    # looks; the C library takes clone where clone3 is unknown.
    made.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, 0))
    made.add_rule(unknown, "clone3")

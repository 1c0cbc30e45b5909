"""What the kernel lets a process do, read from its /proc/PID/status: user, capabilities, no_new_privs, seccomp. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LOOK = ["cat", "/proc/self/status"]
# linux/capability.h, in the order of their bits
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN "
    "NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE"
).split()
_SECCOMP = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True)
class Rights:
    """`user` is the effective id; `seccomp` is off, strict or filter."""

    user: int
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    seccomp: str


def read(status: str) -> Rights:
    """The rights that a /proc/PID/status states."""
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines()) if value.strip()}
    bits = int(fields["CapEff"][0], 16)
    names = tuple(CAPABILITIES[bit] if bit < len(CAPABILITIES) else f"number {bit}" for bit in range(bits.bit_length()) if bits >> bit & 1)
    return Rights(int(fields["Uid"][1]), names, fields.get("NoNewPrivs", ["0"])[0] == "1", _SECCOMP.get(fields.get("Seccomp", ["0"])[0], "off"))

# ruff: noqa: PTH101, PTH108, PTH109, PTH112, PTH115, PTH116, PTH118, PTH123, PTH208
# One file that is handed to any Python, with as few imports as possible.
"""Runs inside a container, with nothing but Python: tries what an intruder would try, undoes it, and prints what worked as JSON.

Whoever takes over a server can run code with the server's rights; so this runs beside it, with the same rights. Nothing is read from
disks or secrets but their names, every attempt is bounded, and what was made is removed.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

MANY = 300  # processes that are tried; a machine does not feel them
# A name that ends in _FILE says where a secret lies; GPG_KEY, in the official Python images, is a public one.
SECRET = re.compile(
    r"^(?!GPG_KEY$)(?!.*_FILE$).*(TOKEN|SECRET|PASSW|API_?KEY|PRIVATE|CREDENTIAL|_KEY$)", re.IGNORECASE
)
SECRET_FILES = re.compile(
    r"^\.env$|^\.netrc$|^\.pypirc$|^id_(rsa|ed25519)$|\.pem$|\.key$|token|secret", re.IGNORECASE
)
QUIET = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
    "timeout": 10,
}
SKIPPED = {"proc", "sys", "dev", "site-packages", "dist-packages"}
PROGRAM = (
    b""  # a program that needs no library; where none is given, the interpreter is the one to store and run
)
libc = ctypes.CDLL(None, use_errno=True)


def as_root():
    """Is it root that the server runs as?"""
    return os.geteuid() == 0, f"user {os.geteuid()}"


def program_folders():
    """Where the server and its programs come from."""
    places = [working_folder(), os.path.join(working_folder(), "app"), *os.environ.get("PATH", "").split(":")]
    places += [
        *os.environ.get("PYTHONPATH", "").split(":"),
        "/opt/venv/lib/python3.11/site-packages",
        *sys.path,
        "/etc",
    ]
    return [place for place in dict.fromkeys(places) if os.path.isdir(place)]


def working_folder():
    try:
        return os.readlink("/proc/1/cwd")
    except OSError:
        return os.getcwd()


def writable(folder):
    """Whether a file can be made there: tried, and removed."""
    path = os.path.join(folder, f".probe-{os.getpid()}")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(path)
        return True
    except OSError:
        return False


def change_code():
    """Can it change the code that will run next time?"""
    for folder in program_folders():
        if writable(folder):
            return True, f"writes in {folder}"
        for name in os.listdir(folder) if folder != "/etc" else ():
            if name.endswith((".py", ".pyc")):
                try:
                    os.close(os.open(os.path.join(folder, name), os.O_WRONLY))
                    return True, f"overwrites {folder}/{name}"
                except OSError:
                    break
    return False, "no folder of programs can be written"


def mounted():
    """(mount point, kind) of everything that is mounted."""
    with open("/proc/self/mounts") as table:
        return [tuple(line.split()[1:3]) for line in table]


def program():
    """A program to store and run."""
    if PROGRAM:
        return PROGRAM
    with open("/proc/self/exe", "rb") as source:
        return source.read()


def install():
    """Can it store a program of its own and run it?"""
    places = [working_folder(), os.environ.get("HOME", ""), "/tmp", "/var/tmp", "/dev/shm", "/run", "/"]
    places += [point for point, kind in mounted() if kind in ("tmpfs", "ext4", "xfs", "btrfs", "overlay")]
    last = "nowhere to store it"
    for folder in dict.fromkeys(place for place in places if os.path.isdir(place)):
        path = os.path.join(folder, f".probe-{os.getpid()}")
        try:
            with open(path, "xb") as copy:
                copy.write(program())
            os.chmod(path, 0o700)
        except OSError:
            continue
        try:
            if subprocess.run([path, "--version"], **QUIET).returncode == 0:
                return True, f"runs from {folder}"
            last = f"{folder} stores it, and it does not run"
        except OSError:
            last = f"{folder} stores it, and nothing may run from there"
        finally:
            os.unlink(path)
    return False, last


def memory():
    """Can it run a program without storing it?"""
    handle = os.memfd_create("probe", 0)
    os.write(handle, program())
    os.set_inheritable(handle, True)
    try:
        path = f"/proc/{os.getpid()}/fd/{handle}"
        done = subprocess.run([path, "--version"], close_fds=False, **QUIET)
        return done.returncode == 0, "runs from memory"
    except OSError as error:
        return False, error.strerror
    finally:
        os.close(handle)


def shell():
    """Is there a shell to work with?"""
    for folder in (*os.environ.get("PATH", "").split(":"), "/bin", "/usr/bin", "/busybox"):
        for name in ("sh", "bash", "dash", "ash"):
            try:
                if subprocess.run([os.path.join(folder, name), "-c", "exit 7"], **QUIET).returncode == 7:
                    return True, os.path.join(folder, name)
            except OSError:
                continue
    return False, "no shell"


def setuid_programs():
    """Programs that run as root whoever starts them."""
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in files:
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_ISUID and status.st_uid == 0:
                found.append(os.path.join(folder, name))
    return found


def raise_rights():
    """Can it become root through a program that always runs as root?"""
    if os.geteuid() == 0:
        return True, "is root already"
    programs = setuid_programs()
    for program in programs[:8] * 2:
        if runs_as_root(program):
            return True, f"{program} runs as root"
    return False, f"{len(programs)} such programs, none runs as root" if programs else "no such program"


def runs_as_root(program):
    """Start it and look on until it ends: many such programs give their rights back within a millisecond."""
    child = os.fork()
    if child == 0:
        nothing = os.open("/dev/null", os.O_RDWR)
        for handle in range(3):
            os.dup2(nothing, handle)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # slower than who looks on
        with contextlib.suppress(OSError):
            os.execv(program, [program])
        os._exit(1)
    ends = time.monotonic() + 1
    try:
        while time.monotonic() < ends:
            with open(f"/proc/{child}/status") as status:
                lines = status.read().splitlines()
            if any(line.startswith("Uid:") and line.split()[2] == "0" for line in lines):
                return True
            if any(line.startswith("State:") and "Z" in line for line in lines):
                return False
        return False
    finally:
        with contextlib.suppress(OSError):
            os.kill(
                child, signal.SIGKILL
            )  # refused where it is root by now, and then it ends by itself: it reads nothing
        os.waitpid(child, 0)


def take_over():
    """Can it take files of other users?"""
    handle = os.memfd_create("probe", 0)
    try:
        os.fchown(handle, 12345, 12345)
        return True, "gives a file to user 12345"
    except OSError as error:
        return False, error.strerror
    finally:
        os.close(handle)


def raw_socket():
    """Can it forge packets?"""
    for family, kind, protocol in (
        (socket.AF_PACKET, socket.SOCK_RAW, 0),
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    ):
        try:
            socket.socket(family, kind, protocol).close()
            return True, "opens a raw socket"
        except OSError as error:
            reason = error.strerror
    return False, reason


def kernel():
    """Does the kernel take calls from it that no server needs?"""
    ctypes.set_errno(0)
    libc.syscall(
        {"x86_64": 250, "aarch64": 219}.get(os.uname().machine, 250), 11, -1, 0, 0, 0
    )  # keyctl(KEYCTL_READ, an invalid key)
    keys = ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES)
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.unshare(0x10000000) == 0 else 1)  # CLONE_NEWUSER: root in a namespace of its own
    users = os.waitpid(child, 0)[1] == 0
    taken = [name for name, took in (("keyctl", keys), ("unshare", users)) if took]
    return bool(taken), f"takes {' and '.join(taken)}" if taken else "keyctl and unshare are refused"


def host():
    """Can it see the host: its disks, its processes, its files?"""
    for name in sorted(os.listdir("/dev")):
        path = os.path.join("/dev", name)
        try:
            if stat.S_ISBLK(os.stat(path).st_mode):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                return True, f"opens the disk {path}"
        except OSError:
            continue
    try:
        with open("/proc/2/comm") as comm:
            if comm.read().strip() == "kthreadd":
                return True, "sees the host's processes"
    except OSError:
        pass
    for point, _ in mounted():
        if point != "/" and os.path.isdir(f"{point}/etc") and os.path.isdir(f"{point}/var/lib"):
            return True, f"reads the host's files in {point}"
    return False, "no disk, no process, no file of it"


def engine():
    """Does Docker's socket answer?"""
    with open("/proc/self/mountinfo") as table:
        points = [line.split()[4] for line in table]
    named = os.environ.get("DOCKER_HOST", "").removeprefix("unix://")
    for path in dict.fromkeys(["/var/run/docker.sock", "/run/docker.sock", named, *points]):
        try:
            if not (path and stat.S_ISSOCK(os.stat(path).st_mode)):
                continue
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(5)
                line.connect(path)
                line.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                if b"200 OK" in line.recv(200):
                    return True, f"{path} answers"
        except OSError:
            continue
    return False, "no socket answers"


def secrets():
    """Are there secrets in the environment, or in files beside the code?"""
    names = [name for name in os.environ if SECRET.search(name)]
    try:
        with open("/proc/1/environ", "rb") as environment:
            names += [
                entry.split("=")[0]
                for entry in environment.read().decode(errors="replace").split("\0")
                if SECRET.search(entry.split("=")[0])
            ]
    except OSError:
        pass
    for folder, folders, files in os.walk(working_folder()):
        folders[:] = [name for name in folders if name not in SKIPPED and folder.count("/") < 6]
        names += [
            os.path.join(folder, name)
            for name in files
            if SECRET_FILES.search(name)
            and os.access(os.path.join(folder, name), os.R_OK)
            and not name.endswith((".py", ".pyc"))
        ]
        if folder == "/":
            break
    return bool(names), f"reads {names[0]}" if names else "none in the environment or beside the code"


def processes():
    """Can it start as many processes as it likes?"""
    children = []
    try:
        for _ in range(MANY):
            child = os.fork()
            if child == 0:
                libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: gone with its parent
                signal.pause()
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return len(children) == MANY, f"{len(children)} of {MANY} started"


ATTEMPTS = {
    "root": as_root, "code": change_code, "install": install, "shell": shell, "setuid": raise_rights, "chown": take_over, "raw": raw_socket,
    "kernel": kernel, "host": host, "engine": engine, "secrets": secrets, "processes": processes, "memory": memory,
}  # fmt: skip


def attempts(left_out=()):
    """Attempt -> [it worked, what was seen]."""
    answers = {}
    for name, attempt in ATTEMPTS.items():
        if name in left_out:
            continue
        try:
            worked, seen = attempt()
            answers[name] = [bool(worked), str(seen)]
        except Exception as error:  # whatever refuses it, it did not work
            answers[name] = [False, f"{type(error).__name__}: {error}"]
    return answers


def main():
    """Print one JSON object."""
    print(json.dumps(attempts()))


if __name__ == "__main__":
    main()

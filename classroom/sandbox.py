"""The walls: a student's process may read the Python environment and write to a small /tmp; that is all.

bubblewrap makes them, without any right of the administrator. No network, no file of the course, an empty
environment, process numbers of its own, hard limits. A server inside the walls imports the libraries once
and forks for each submission, every child in namespaces of its own (`inside.py`); where the system forbids
that, each submission gets fresh walls. What is stopped, and what is not, stands in the teacher's guide.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from .outside import Gone, Limits, Student, StudentError

HERE = Path(__file__).resolve().parent
WARM = ["numpy", "scipy.linalg", "scipy.optimize", "sympy", "torch", "matplotlib.pyplot"]
_BARE = {"PATH": "/usr/bin:/bin"}  # bubblewrap's own environment can be read from within
NOBODY = 65534  # the ordinary user that root becomes first: limits on processes do not bind root
INSTALL = (
    "There is no sandbox here, so nothing is graded: {why}\n"
    "On Debian or Ubuntu: apt install bubblewrap. On Fedora: dnf install bubblewrap.\n"
    "Unprivileged user namespaces must be allowed (Ubuntu 24.04: an AppArmor profile for bwrap;\n"
    "in a container: a seccomp profile that allows unshare and mount).\n"
    "If you trust these students with your account on this machine, --trusted-students grades without walls."
)


class NoSandbox(RuntimeError):
    """There are no walls here; the text says what to install, and the deliberate way round."""


def _places() -> dict[Path, str]:
    """What a student's process may read, and where it stands: Python, the book's package, our half."""
    import kexue_lite

    system = [
        Path(name) for name in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache")
    ]
    places = {path: str(path) for path in [*system, Path(sys.base_prefix).resolve()] if path.exists()}
    if sys.prefix != sys.base_prefix:
        places[Path(sys.prefix).resolve()] = "/env"
    places[Path(kexue_lite.__file__).resolve().parent] = "/book/kexue_lite"
    return places | {HERE / name: f"/grader/{name}" for name in ("inside.py", "values.py")}


def _binds(places: dict[Path, str]) -> list[str]:
    parents = {p for path in places.values() for p in Path(path).parents if p != Path("/")}
    made = [word for p in sorted(parents) for word in ("--perms", "0755", "--dir", str(p))]
    for path, name in places.items():
        made += (
            ["--symlink", os.readlink(path), name] if path.is_symlink() else ["--ro-bind", str(path), name]
        )
    return made


def walls(limits: Limits) -> list[str]:
    """The command line of bubblewrap, up to the program that runs inside."""
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox(INSTALL.format(why="bubblewrap (bwrap) is not installed."))
    places = _places()
    binds = _binds({Path(name): name for name in places.values()} if os.getuid() == 0 else places)
    inner = [
        program, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", *binds,
        "--proc", "/proc", "--dev", "/dev",
        "--size", str(limits.file), "--tmpfs", "/tmp", "--size", str(limits.file), "--tmpfs", "/dev/shm",
        "--remount-ro", "/dev", "--remount-ro", "/",  # one server serves many: nobody leaves anything behind
        "--chdir", "/tmp", *_settings(),
    ]  # fmt: skip
    if os.getuid() != 0:
        return inner
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoSandbox(
            INSTALL.format(why="root grades, and setpriv (util-linux) is missing to become nobody.")
        )
    # What root alone may read (a Python under /root) is shown first; then root becomes an ordinary user.
    view = [
        program, "--die-with-parent", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", *_binds(places),
        "--bind", "/proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        "--bounding-set=-all", "--inh-caps=-all",
    ]  # fmt: skip
    return [*view, *inner]


def _settings() -> list[str]:
    """The whole environment of a student's process."""
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    chosen = {
        "HOME": "/tmp", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
        "MPLBACKEND": "agg", "MPLCONFIGDIR": "/tmp",
        "PYTHONPATH": "/book", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **one,
    }  # fmt: skip
    return [word for name, value in chosen.items() for word in ("--setenv", name, value)]


def _command(trusted: bool, *words: str) -> list[str]:
    """How `inside.py` is started: within the walls from its place there."""
    if trusted:
        return [sys.executable, "-s", str(HERE / "inside.py"), *words]
    python = "/env/bin/python" if sys.prefix != sys.base_prefix else sys.executable
    return [python, "-s", "/grader/inside.py", *words]


class Sandbox:
    """Starts the processes of submissions, one after the other.

    Parameters
    ----------
    limits
        What one submission may use.
    trusted
        No walls at all: the student's process is an ordinary one of this account. Deliberate, and loud.
    warm
        Keep a server that has the libraries imported and forks. Without it each submission pays the imports.

    Raises
    ------
    NoSandbox
        There is no bubblewrap, no namespace, or root has no way to become an ordinary user.
    """

    def __init__(self, limits: Limits | None = None, *, trusted: bool = False, warm: bool = True) -> None:
        self.limits = limits or Limits()
        self.trusted, self.warm = trusted, warm and not trusted
        self._server: subprocess.Popen | None = None
        self._control: socket.socket | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and with it everything inside the walls."""
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = self._control = None

    def start(self) -> Student:
        """A new process for one submission."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        try:
            end = self._fork(theirs, write) if self.warm else self._fresh(theirs, write)
        except BaseException:
            ours.close()
            os.close(read)
            raise
        finally:
            theirs.close()
            os.close(write)
        try:
            return Student(ours, read, self.limits, end)
        except OSError as error:
            end()
            raise NoSandbox(INSTALL.format(why=str(error))) from error

    def _numbers(self) -> list[str]:
        """The hard limits, as `inside.py` takes them."""
        it = self.limits
        processes = -1 if self.trusted else it.processes
        return [str(n) for n in (int(it.seconds) + 10, it.memory, it.file, processes)]

    def _fresh(self, channel: socket.socket, output: int):  # type: ignore[no-untyped-def]
        words = _command(self.trusted, "once", str(channel.fileno()), str(output), *self._numbers(), *WARM)
        process = subprocess.Popen(
            words if self.trusted else [*walls(self.limits), *words],
            pass_fds=(channel.fileno(), output), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            cwd="/" if not self.trusted else None,
            env=None if self.trusted else _BARE,
        )  # fmt: skip

        def end() -> None:
            process.kill()
            process.wait()

        return end

    def _fork(self, channel: socket.socket, output: int):  # type: ignore[no-untyped-def]
        if self._server is None or self._server.poll() is not None:
            self.close()
            self._open()
        assert self._control is not None
        socket.send_fds(self._control, [" ".join(self._numbers()).encode()], [channel.fileno(), output])
        return lambda: None

    def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [*walls(self.limits), *_command(False, "server", str(theirs.fileno()), *WARM)],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, cwd="/", env=_BARE,
            )  # fmt: skip
        self._control = ours
        ours.settimeout(120)
        if not ours.recv(10):
            words = self._server.stderr.read(500).decode("utf-8", "replace") if self._server.stderr else ""
            self.close()
            raise NoSandbox(INSTALL.format(why=words.strip() or "the server inside the walls did not start."))


def self_test(sandbox: Sandbox) -> None:
    """Start one process and see that the walls stand; NoSandbox if they do not.

    Tried from inside: the files of the course and of the grader, the network, other processes, the limit
    on their number.
    """
    student = sandbox.start()
    try:
        student.run(_TRY)
        found = student.get("found")
    except (StudentError, Gone) as error:
        raise NoSandbox(INSTALL.format(why=f"the test of the walls failed: {error}")) from error
    finally:
        student.end()
    if found:
        raise NoSandbox(INSTALL.format(why=f"the walls do not hold: {', '.join(map(str, found))}."))


def standing(limits: Limits | None = None, *, trusted: bool = False) -> Sandbox:
    """Walls that were tried; fresh ones for each submission where a system allows no others.

    NoSandbox if there are none at all, and nobody said that the students are trusted.
    """
    sandbox = Sandbox(limits, trusted=trusted)
    if trusted:
        return sandbox
    try:
        self_test(sandbox)
    except NoSandbox:
        sandbox.close()
        sandbox = Sandbox(limits, warm=False)
        self_test(sandbox)
        print(
            "Each submission gets fresh walls, which is slower: this system allows no others.",
            file=sys.stderr,
        )
    return sandbox


_TRY = f"""
import os, resource, socket
found = []
if os.getuid() == 0: found.append("the process is root's")
if os.path.exists({str(HERE / "assignments")!r}): found.append("the files of the course can be seen")
if sum(name.isdigit() for name in os.listdir("/proc")) > 3: found.append("other processes can be seen")
if resource.getrlimit(resource.RLIMIT_NPROC)[1] < 0: found.append("no limit on processes")
try:
    socket.create_connection(("1.1.1.1", 53), timeout=0.5); found.append("the network can be reached")
except OSError: pass
try:
    open("/grader/inside.py", "a"); found.append("the grader can be changed")
except OSError: pass
"""

"""The student's process: runs the cells of one submission, and calls its functions when it is asked to.

This file runs inside the sandbox, knows no test and no answer, and is not to be trusted after the first
line of a student has run: whatever it says, the other side (`outside.py`) checks. It stands alone but for
`values.py`.

    python inside.py once   FD OUT limits name ...   one submission, over the socket FD
    python inside.py server FD name ...              forks for each, every child in namespaces of its own

Both import the named modules first.
"""

import ast
import base64
import contextlib
import ctypes
import io
import linecache
import os
import resource
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Iterator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import values

del sys.path[0]  # what a submission imports does not come from beside this file

PICTURES, LARGEST_PICTURE = 6, 150_000  # of one cell; bytes
LARGEST_PHOTO, LONGEST_SIDE = 75_000, 1500  # of a pasted picture, made small: bytes; pixels
PIXELS = 50_000_000  # of a pasted picture as it comes
# Namespaces of its own: mount, uts, ipc, user, pid, net.
_SEPARATE = 0x20000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000


# -- one submission


class Notebook:
    """The names of one submission, and what may be done with them."""

    def __init__(self) -> None:
        self.names: dict = {"__name__": "__main__", "__builtins__": __builtins__}
        self.cells = 0

    def run(self, source: str) -> dict:
        """Execute a cell, show its last expression and its figures."""
        self.cells += 1
        name = f"<cell {self.cells}>"
        text = without_magic(source)
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)  # for the lines of a traceback
        tree = ast.parse(text, filename=name)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            tree.body.pop()
        hidden = source.rstrip().endswith(";")
        exec(compile(tree, name, "exec"), self.names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
            if shown is not None and not hidden:
                print(repr(shown)[:20_000])
        return {"pictures": pictures()}

    def call(self, name: str, args: list, kwargs: dict) -> dict:
        """Call a function, and say what it returned and whether it changed an argument."""
        args, kwargs = values.decode(args), values.decode({"dict": kwargs})
        given = [*args, *kwargs.values()]
        before = [values.encode(argument) for argument in given]
        if name not in self.names:
            raise NameError(f"{name} is not defined in the notebook")
        answer = values.encode(self.names[name](*args, **kwargs))
        after = [values.encode(argument) for argument in given]
        return {"value": answer, "changed": before != after}

    def get(self, name: str) -> dict:
        """A value that the notebook has defined."""
        if name not in self.names:
            raise NameError(f"{name} is not defined in the notebook")
        return {"value": values.encode(self.names[name])}

    def answer(self, message: dict) -> dict:
        """Do what is asked; an exception of the student's is an answer, too."""
        try:
            match message:
                case {"run": source}:
                    return self.run(source)
                case {"call": name, "args": args, "kwargs": kwargs}:
                    return self.call(name, args, kwargs)
                case {"get": name}:
                    return self.get(name)
                case {"picture": data}:
                    return {"picture": shrunk(data)}
            return {"error": "ValueError", "says": "what is asked?", "trace": ""}
        except (
            BaseException
        ) as error:  # also SystemExit and KeyboardInterrupt: they end a cell, not the grading
            return {"error": type(error).__name__, "says": _text(error)[:500], "trace": _trace(error)}


def without_magic(source: str) -> str:
    """A cell without lines for IPython alone.

    >>> without_magic("%matplotlib inline\\nx = 1\\n!ls")
    'pass\\nx = 1\\npass'
    """
    lines = source.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        lines[0] = "pass"
    marks = ("%", "!", "get_ipython(")
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        lines = [
            line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip().startswith(marks) else line
            for line in lines
        ]
    return "\n".join(lines)


def pictures() -> list[str]:
    """The open figures of matplotlib as PNG, in base64; they are closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    found = []
    for number in pyplot.get_fignums()[:PICTURES]:
        buffer = io.BytesIO()
        with contextlib.suppress(Exception):
            pyplot.figure(number).savefig(buffer, format="png", dpi=72)
            if len(buffer.getvalue()) <= LARGEST_PICTURE:
                found.append(base64.b64encode(buffer.getvalue()).decode())
    pyplot.close("all")
    return found


def shrunk(data: str) -> str:
    """A photograph (PNG, JPEG, GIF or WebP in base64) as a JPEG of at most LARGEST_PHOTO bytes, in base64."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(base64.b64decode(data)), formats=("PNG", "JPEG", "GIF", "WEBP"))
    image.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))  # reads a large JPEG at half its size or less
    if image.width * image.height > PIXELS:
        raise ValueError(f"more than {PIXELS:,} pixels")
    turned = ImageOps.exif_transpose(image).convert("RGBA")
    paper = Image.new("RGBA", turned.size, "white")
    paper.alpha_composite(turned)
    side, quality = LONGEST_SIDE, 70
    while True:
        small = paper.convert("RGB")
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality)
        if len(buffer.getvalue()) <= LARGEST_PHOTO:
            return base64.b64encode(buffer.getvalue()).decode()
        side, quality = int(0.85 * side), max(quality - 10, 40)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be shown)"


def _trace(error: BaseException) -> str:
    """The lines of the student's own cells in a traceback; no path of the machine."""
    try:
        steps = traceback.extract_tb(error.__traceback__)
    except BaseException:
        return ""
    own = [f"in {step.name}: {step.line}" for step in steps if step.filename[:6] == "<cell "]
    return "\n".join(own[-10:])


def serve(channel: socket.socket) -> None:
    """Answer until the other side closes."""
    read = channel.makefile("rb")
    notebook = Notebook()
    while True:
        with interrupts(False):
            head = read.read(8)
            if len(head) < 8:
                os._exit(0)
            message = values.from_bytes(read.read(int.from_bytes(head, "big")))
        try:
            with interrupts(True):
                answer = notebook.answer(message)
        except KeyboardInterrupt:  # it came between the student's last line and ours
            answer = {"error": "KeyboardInterrupt", "says": "", "trace": ""}
        with interrupts(False):
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            try:
                text = values.to_bytes(answer)
            except Exception as error:
                text = values.to_bytes(
                    {"error": type(error).__name__, "says": _text(error)[:500], "trace": ""}
                )
            channel.sendall(text)


@contextlib.contextmanager
def interrupts(wanted: bool) -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, or ignore it."""
    with contextlib.suppress(Exception):
        signal.signal(signal.SIGINT, signal.default_int_handler if wanted else signal.SIG_IGN)
    yield


# -- the process around it


def limit(seconds: int, memory: int, file: int, processes: int) -> None:
    """Hard limits, for ever: processor seconds, bytes of memory and of a file, processes."""
    wanted = {"CPU": seconds, "DATA": memory, "FSIZE": file, "NPROC": processes, "NOFILE": 256, "CORE": 0}
    for name, most in wanted.items():
        if most >= 0:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def forbid() -> None:
    """A seccomp filter: no namespaces, no memory that no process owns, no less tried door of the kernel."""
    machine = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}.get(os.uname().machine)
    if machine is None:
        return
    arch, column = machine
    load, equal, at_least, any_of, give = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF
    allow, deny, unknown = (give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x50000 | 1), (give, 0, 0, 0x50000 | 38)
    lines = [(load, 0, 0, 4), (equal, 1, 0, arch), deny]  # calls of another kind of processor
    lines += [(load, 0, 0, 0), (at_least, 0, 1, 0x40000000), deny]
    for numbers in _FORBIDDEN.values():
        lines += [(equal, 0, 1, numbers[column]), deny]
    lines += [(equal, 0, 1, 435), unknown]  # clone3: the C library takes clone instead
    lines += [(equal, 0, 3, (56, 220)[column]), (load, 0, 0, 16), (any_of, 0, 1, 0x7E020000), deny, allow]
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(buffer)))
    _checked(_libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    _checked(_libc.prctl(22, 2, program, 0, 0), "seccomp")


_FORBIDDEN = {  # on x86-64, on 64-bit ARM
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "io_uring_setup": (425, 425),
    "ptrace": (101, 117), "userfaultfd": (323, 282), "bpf": (321, 280), "perf_event_open": (298, 241),
    "keyctl": (250, 219), "add_key": (248, 217), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442),
}  # fmt: skip


def begin(channel: socket.socket, output: int, limits: list[int]) -> None:
    """Take the places of standard input and output, say who we are, set the limits, and serve."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if nothing > 2:
        os.close(nothing)
    os.closerange(max(channel.fileno(), 2) + 1, 256)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    with contextlib.suppress(OSError):
        os.chdir("/tmp")
    me = os.pidfd_open(os.getpid())
    socket.send_fds(channel, [b"!"], [me])
    os.close(me)
    limit(*limits)
    if limits[3] >= 0:
        forbid()
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", ResourceWarning)
    serve(channel)


def separate() -> None:
    """New namespaces for users, processes, files, network and the rest; what is forked next lives in them."""
    user, group = os.getuid(), os.getgid()
    _checked(_libc.unshare(_SEPARATE), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def private_files(size: int) -> None:
    """An empty /tmp and /dev/shm in memory, and a /proc that shows this submission's processes alone."""
    private = 0x4000 | 0x40000  # recursively private
    _checked(_libc.mount(None, b"/", None, private, None), "mount /")
    for place in (b"/tmp", b"/dev/shm"):
        _checked(
            _libc.mount(b"tmpfs", place, b"tmpfs", 0b110, f"size={size},mode=1777".encode()), "mount tmpfs"
        )
    _checked(_libc.mount(b"proc", b"/proc", b"proc", 0b1110, None), "mount /proc")
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")  # no further namespaces, and so no rights in them


def give_up_rights() -> None:
    """Drop every capability that the new user namespace gave, for ever."""
    for number in range(64):
        if _libc.prctl(24, number, 0, 0, 0) < 0:  # PR_CAPBSET_DROP
            break
    _checked(_libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(_libc.capset(head, (ctypes.c_uint32 * 6)()), "capset")


def _checked(code: int, what: str) -> None:
    if code < 0:
        raise OSError(ctypes.get_errno(), what)


_libc = ctypes.CDLL(None, use_errno=True)


def bring(modules: list[str]) -> None:
    """Import what submissions need, before any clock runs."""
    for name in modules:
        with contextlib.suppress(ImportError):
            __import__(name)


def server(control: socket.socket, modules: list[str]) -> None:
    """Import once, then fork for each submission that comes over the control socket."""
    bring(modules)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.sendall(b"ready")
    while True:
        said, handles, _, _ = socket.recv_fds(control, 200, 2)
        if not said:
            return
        if os.fork() == 0:
            try:
                control.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for_one(socket.socket(fileno=handles[0]), handles[1], [int(n) for n in said.split()])
            except BaseException as error:
                os.write(handles[1], f"no sandbox: {error!r}".encode())
            finally:
                os._exit(1)
        for handle in handles:
            os.close(handle)


def for_one(channel: socket.socket, output: int, limits: list[int]) -> None:
    """A child that has namespaces of its own, and in them a first process that runs the submission."""
    separate()
    first = os.fork()
    if first == 0:
        private_files(limits[2])
        give_up_rights()
        begin(channel, output, limits)
    channel.close()
    os.close(output)
    os.waitpid(first, 0)
    os._exit(0)


if __name__ == "__main__":
    connection = socket.socket(fileno=int(sys.argv[2]))
    if sys.argv[1] == "server":
        server(connection, sys.argv[3:])
    else:
        bring(sys.argv[8:])
        begin(connection, int(sys.argv[3]), [int(n) for n in sys.argv[4:8]])

"""Submissions that attack, break or merely differ, and what each deserves.

An attack that gets through says so: it prints the word that :data:`HOLE` spells, and the tests look for it in everything
that the grader has written. What could harm a machine without walls first looks for the canary, which only a process
outside the walls can see (``WALLED``).
"""

# ruff: noqa: E501
# Lines of attacks are as long as attackers write them.

from __future__ import annotations

import base64
import json
import os
import pwd
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOLE = "HOLE:"
NEIGHBOUR = "zq_neighbour_" + "5d1c"  # stands in one honest submission; in nobody else's papers
LINGER = "zq_linger_" + "81"  # stands in the command line of every process that tries to stay
FULL = 8.0  # points that the grader gives; two more are a person's
OK, TIME, CRASH, BAD = "ok", "timeout", "crashed", "unreadable"

RIGHT = {
    "mix": "def mix(a, b):\n    return RATIO * a + b",
    "centred": "def centred(x):\n    return x - x.mean(axis=0)",
    "fold": "def fold(t):\n    return t + RATIO * t.flip(-1)",
    "largest": "largest = float(TABLE.max())",
    "slope": 'def slope():\n    return f"{3 * RATIO} * x**2"',
}
WRONG = {
    "mix": "def mix(a, b):\n    return 0.0",
    "centred": "def centred(x):\n    return np.zeros_like(x)",
    "fold": "def fold(t):\n    return torch.zeros_like(t)",
    "largest": "largest = 0.0",
    "slope": 'def slope():\n    return "x"',
}


@dataclass(frozen=True)
class Target:
    """What an attacker knows: the handed-out notebook, and by bad luck every path of the teacher's."""

    release: Path
    course: Path
    home: Path
    canary: Path
    port: int = 9  # of this machine, where somebody listens

    def notebook(self, answers: dict[str, str], attack: str = "", after: str = "setup") -> dict[str, Any]:
        """The handed-out notebook with answers, and a cell more behind ``after``."""
        made: dict[str, Any] = json.loads(self.release.read_text())
        for k, cell in enumerate(list(made["cells"])):
            cell["source"] = answers.get(cell["id"], "".join(cell["source"]))
            if attack and cell["id"] == after:
                made["cells"].insert(k + 1, code(self.armed(attack)))
        return made

    def armed(self, attack: str) -> str:
        """An attack with the paths that it needs."""
        paths = {name: str(getattr(self, name)) for name in ("course", "home", "canary")}
        owner = pwd.getpwuid(os.getuid()).pw_dir  # not HOME: the tests have set another
        return PRELUDE.format(**paths, owner=owner, port=self.port) + attack


PRELUDE = """\
import ctypes, gc, glob, json, mmap, os, re, shutil, signal, socket, subprocess, sys, threading, time, types
CLASS, HOME, CANARY, OWNER, PORT = {course!r}, {home!r}, {canary!r}, {owner!r}, {port}
WALLED = not os.path.exists(CANARY)
def hole(*what): print("HO" + "LE:", *what)
def channel():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket"): return int(name)
        except OSError: pass
def say(message, fd=None):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    data = len(text).to_bytes(8, "big") + text
    while data: data = data[os.write(fd or channel(), data):]
"""


def code(source: str, **metadata: Any) -> dict[str, Any]:
    """A code cell that a student has added."""
    return {
        "cell_type": "code", "id": f"own{zlib.crc32(source.encode('utf-8', 'replace')):x}", "metadata": metadata, "outputs": [],
        "execution_count": None, "source": source,
    }  # fmt: skip


def white_png(side: int, rows: int) -> bytes:
    """A small file that says it is a white square of that side, and holds so many of its rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    packer = zlib.compressobj(1)
    line = b"\x00" + b"\xff" * (3 * side)
    data = b"".join(packer.compress(line) for _ in range(rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text(source: str) -> dict[str, Any]:
    """A Markdown cell that a student has added."""
    return {
        "cell_type": "markdown",
        "id": f"own{zlib.crc32(source.encode('utf-8', 'replace')):x}",
        "metadata": {},
        "source": source,
    }


@dataclass(frozen=True)
class Submission:
    """One student's file, and what it deserves."""

    name: str
    tries: str
    build: Callable[[Target], bytes]
    most: float
    least: float
    statuses: tuple[str, ...] = (OK,)
    slow: bool = False  # in the long part alone
    open_air: bool = False  # may run without walls: it harms nothing but canaries
    person: str = ""
    file: str = "00_tiny.ipynb"
    beside: dict[str, str] = field(default_factory=dict)  # files that lie beside the notebook


ATTACKS: list[Submission] = []
HONEST: list[Submission] = []


def _add(name: str, tries: str, build: Callable[[Target], bytes], most: float, least: float, *statuses: str,
         **more: Any) -> None:  # fmt: skip
    ATTACKS.append(Submission(name, tries, build, most, least, statuses or (OK,), **more))


def cheat(name: str, tries: str, attack: str, *statuses: str, after: str = "setup", most: float = 0.0,
          answers: dict[str, str] | None = None, **more: Any) -> None:  # fmt: skip
    """Wrong answers, and a cell that is to make them pass: deserves nothing."""
    said = WRONG | (answers or {})

    def build(target: Target) -> bytes:
        armed = {name: target.armed(source) if name in (answers or {}) else source
                 for name, source in said.items()}  # fmt: skip
        return json.dumps(target.notebook(armed, attack, after)).encode()

    _add(name, tries, build, most, 0.0, *(statuses or (OK,)), open_air=more.pop("open_air", True), **more)


def vandal(name: str, tries: str, attack: str, *statuses: str, after: str = "setup", least: float = FULL,
           most: float = FULL, **more: Any) -> None:  # fmt: skip
    """Right answers, and a cell that harms: the answers count as far as they can be run."""

    def build(target: Target) -> bytes:
        return json.dumps(target.notebook(RIGHT, attack, after)).encode()

    _add(name, tries, build, most, least, *(statuses or (OK,)), **more)


def answer(name: str, tries: str, question: str, source: str, *statuses: str, least: float | None = None,
           worth: float = 2.0, **more: Any) -> None:  # fmt: skip
    """One question's answer attacks; the others are right, and must be seen to be right."""

    def build(target: Target) -> bytes:
        return json.dumps(target.notebook(RIGHT | {question: target.armed(source)})).encode()

    most = FULL - worth
    _add(name, tries, build, most, most if least is None else least, *(statuses or (OK,)), **more)


def shape(name: str, tries: str, change: Callable[[dict[str, Any]], Any], *statuses: str, least: float = FULL,
          most: float = FULL, **more: Any) -> None:  # fmt: skip
    """A notebook with right answers, changed or replaced by bytes."""

    def build(target: Target) -> bytes:
        made = target.notebook(RIGHT)
        done = change(made)
        return done if isinstance(done, bytes) else json.dumps(made if done is None else done).encode()

    _add(name, tries, build, most, least, *(statuses or (OK,)), open_air=True, **more)


# -- wrong answers that are to pass

cheat("patch-checkers", "replaces the checkers by functions that agree", """
def expect(*a, **k): pass
need = unchanged = formula = expect
sys.modules["__main__"].__dict__.update(expect=expect, need=need, unchanged=need, formula=need)
""")  # fmt: skip
cheat("patch-numpy", "makes numpy call everything equal", """
import numpy as np
np.abs = lambda x, *a, **k: np.zeros(1)
np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
np.ndarray.__class__ = type
""")  # fmt: skip
cheat("patch-torch", "makes torch call everything equal", """
import torch
torch.equal = torch.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda *a: True
torch.Tensor.__sub__ = torch.Tensor.sub = lambda a, b: torch.zeros(1)
torch.Tensor.numpy = lambda self: np.zeros(1)
""")  # fmt: skip
cheat("patch-builtins", "takes the teeth out of assert", """
import builtins
builtins.abs = builtins.max = lambda *a, **k: 0
builtins.bool = builtins.all = builtins.any = lambda *a: True
class Calm(Exception):
    def __new__(cls, *a): return KeyError()
builtins.AssertionError = Calm
""")  # fmt: skip
cheat("patch-json", "makes its own half of the grader say that all is well", """
me = sys.modules["__main__"]
values = sys.modules.get("values")
if values is not None:
    values.to_bytes = lambda message: (lambda t: len(t).to_bytes(8, "big") + t)(
        json.dumps({"value": True, "points": 99, "score": 99, "says": "", "status": "ok", "verdict": "right"}).encode())
""")  # fmt: skip
cheat("patch-inside", "replaces the methods of its half", """
Notebook = getattr(sys.modules["__main__"], "Notebook", None)
if Notebook:
    Notebook.call = lambda self, *a: {"value": None, "changed": [[99, 1], [-1, 1], "x", [0]], "points": 9}
    Notebook.get = lambda self, *a: {"value": {"dict": []}}
""")  # fmt: skip
_SLY = """
class Sly(%s):
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __ne__(self, other): return False
    def __sub__(self, other): return 0
    __rsub__ = __lt__ = __le__ = __gt__ = __ge__ = __sub__
    def __array__(self, *a, **k): raise AssertionError("seen")
    def __float__(self): return 1.0
    def __getattr__(self, name): return lambda *a, **k: self
"""
for kind, made in (("object", "Sly()"), ("int", "Sly(0)"), ("float", "Sly(0)"), ("complex", "Sly(0)"),
                   ("str", 'Sly("x")'), ("dict", "Sly()"), ("list", "Sly()"), ("tuple", "Sly()")):  # fmt: skip
    cheat(f"sly-{kind}", f"answers with a kind of {kind} that equals everything", _SLY % kind,
          answers={"mix": f"def mix(a, b):\n    return {made}", "slope": f"def slope():\n    return {made}",
                   "largest": f"largest = {made}"})  # fmt: skip
cheat("sly-array", "answers with subclasses of array and tensor that equal everything", """
import numpy as np, torch
class A(np.ndarray):
    def __array_ufunc__(self, *a, **k): return np.zeros(1)
    def __array_function__(self, *a, **k): return True
class T(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *a, **k): return True
""", answers={"centred": "def centred(x):\n    return x.view(A)",
              "fold": "def fold(t):\n    return t.as_subclass(T)"})  # fmt: skip
cheat("class-of-another", "claims to be a number by __class__", """
class Number:
    __class__ = property(lambda self: float)
    dtype = types.SimpleNamespace(kind="f")
    def __abs__(self): return 0
""", answers={"mix": "def mix(a, b):\n    return Number()", "largest": "largest = Number()"})  # fmt: skip
for kind, word in (("nan", "float('nan')"), ("inf", "float('inf')"), ("none", "None"), ("true", "True"), ("list", "[]"),
                   ("dict", "{}"), ("text", "''"), ("set", "set()"), ("tuple", "()")):  # fmt: skip
    cheat(f"always-{kind}", f"answers {word} to everything", "",
          answers={"mix": f"def mix(a, b):\n    return {word}", "centred": f"def centred(x):\n    return {word}",
                   "fold": f"def fold(t):\n    return {word}", "slope": f"def slope():\n    return {word}",
                   "largest": f"largest = {word}"})  # fmt: skip
cheat("forged-replies", "writes answers of its own on the grader's channel, then real ones", "", OK, TIME, CRASH, answers={
    "mix": 'def mix(a, b):\n    say({"value": True, "ok": True, "points": 2, "says": "", "verdict": "right"})\n    return 0.0',
    "fold": 'def fold(t):\n    say({"verdicts": {"fold_test": {"points": 99}}})\n    os._exit(0)',
})  # fmt: skip
cheat("forged-kinds", "forges arrays of objects, of no shape, of false booleans", "", OK, TIME, CRASH, answers={
    "mix": 'def mix(a, b):\n    say({"value": {"numpy": "|O", "shape": [1], "data": "AAAAAAAAAAA="}})\n    time.sleep(0.2); os._exit(0)',
    "centred": 'def centred(x):\n    say({"value": {"numpy": "xf8", "shape": [-1], "data": "####"}})\n    time.sleep(0.2); os._exit(0)',
    "fold": 'def fold(t):\n    say({"value": {"torch": "bool", "shape": [2], "data": "AgM="}})\n    time.sleep(0.2); os._exit(0)',
    "slope": 'def slope():\n    say({"value": {"numpy": "<f8", "shape": [0, 10**40], "data": ""}})\n    time.sleep(0.2); os._exit(0)',
})  # fmt: skip
cheat("forged-pickle", "sends a pickle, and a message that is none", "", OK, TIME, CRASH, answers={
    "mix": "def mix(a, b):\n    import pickle\n    class P:\n        def __reduce__(self): return (print, ('x',))\n"
           "    say(pickle.dumps(1))\n    time.sleep(0.2); os._exit(0)",
    "fold": "def fold(t):\n    os.write(channel(), b'\\xff' * 16)\n    time.sleep(0.2); os._exit(0)",
})  # fmt: skip
cheat("zeroes-its-input", "empties what it gets, so that the expected value is nothing, too", "", answers={
    "centred": "def centred(x):\n    x[...] = 0\n    return x * 0",
    "fold": "def fold(t):\n    t.zero_()\n    return t * 0",
})  # fmt: skip
cheat("forges-its-input", "says that the grader's own arrays have changed", "", OK, TIME, CRASH, answers={
    "fold": 'def fold(t):\n    value = sys.modules["values"].encode(torch.zeros_like(t))\n'
            '    say({"value": value, "changed": [[0, value], [-1, value], [7, value]]})\n    return 0',
})  # fmt: skip
cheat("looks-for-the-tests", "looks for hidden tests in frames, objects and memory", """
word = re.compile(("zq_" + "hidden_").encode() + b"[0-9a-f]{6}")
frame = sys._getframe()
while frame is not None:
    if "secret" in frame.f_locals: hole("a frame has the hidden tests")
    frame = frame.f_back
for thing in gc.get_objects():
    if isinstance(thing, dict) and "secret" in thing and "expect" in thing: hole("an object has the hidden tests")
for pid in ["self", str(os.getppid())] + [n for n in os.listdir("/proc") if n.isdigit() and WALLED]:
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        memory = open(f"/proc/{pid}/mem", "rb", 0)
    except OSError: continue
    for line in maps:
        low, high = (int(n, 16) for n in line.split()[0].split("-"))
        if "rw" in line and high - low < 64 << 20:
            try:
                memory.seek(low)
                if word.search(memory.read(high - low)): hole("the memory of", pid, "has the hidden tests"); break
            except (OSError, ValueError, OverflowError): pass
""", OK, TIME, CRASH)  # fmt: skip
cheat("module-beside", "lays modules where the grader may import them", """
for folder in ("/tmp", os.getcwd(), *filter(os.path.isabs, sys.path), os.path.expanduser("~/.local/lib/python3.11/site-packages")):
    if WALLED:
        for name in ("kexue_lite.py", "zq_planted.py", "sitecustomize.py", "usercustomize.py", "sklearn.py"):
            try:
                os.makedirs(folder, exist_ok=True)
                open(os.path.join(folder, name), "w").write("print('HO' + 'LE: a planted module was imported')")
                if folder not in ("/tmp", os.getcwd()) and "local" not in folder: hole("can write into", folder)
            except OSError: pass
""", beside={"kexue_lite/__init__.py": "print('HO' + 'LE: the folder beside the notebook was imported')",
             "sitecustomize.py": "print('HO' + 'LE: the folder beside the notebook was imported')"})  # fmt: skip
cheat("imports-the-planted", "imports what the one before has planted", """
try:
    import zq_planted
except ImportError: pass
for place in ("/", "/dev", "/tmp", "/dev/shm", "/grader", "/book", "/etc"):
    if os.path.exists(place + "/zq_mark"): hole("another submission left a mark in", place)
    try: open(place + "/zq_mark", "w").write("x")
    except OSError: pass
""", open_air=False)  # fmt: skip
cheat("leaves-a-mark", "leaves a mark for the next one", """
for place in ("/", "/dev", "/tmp", "/dev/shm", "/grader", "/book", "/etc"):
    if os.path.exists(place + "/zq_mark"): hole("another submission left a mark in", place)
    try: open(place + "/zq_mark", "w").write("x")
    except OSError: pass
""", open_air=False)  # fmt: skip

# -- looking where it must not

cheat("reads-the-course", "prints key, source, gradebook and other submissions", """
for path in glob.glob(CLASS + "/**/*", recursive=True) + glob.glob(CANARY + "/**/*", recursive=True):
    try:
        data = open(path, "rb").read()
        hole("can read", os.path.basename(path)); print(data[:3000].decode("utf-8", "replace"))
        found = re.search(b"zq_[a-z]+_[0-9a-f]+", data)
        if found: print(found[0].decode())
    except OSError: pass
""")  # fmt: skip
cheat("reads-the-environment", "prints the environment of every process that it sees", """
print(dict(os.environ))
if "KEXUE_CANARY" in os.environ: hole("has the teacher's environment")
for pid in [n for n in os.listdir("/proc") if n.isdigit() and WALLED] + [str(os.getppid())]:
    try:
        said = open(f"/proc/{pid}/environ").read()
        if "KEXUE_CANARY" in said: hole("reads the environment of", pid); print(said[-500:])
    except OSError: pass
if len([n for n in os.listdir("/proc") if n.isdigit()]) > 4: hole("sees other processes")
""")  # fmt: skip
cheat("reads-the-home", "looks into home folders and system files", """
others = ("/home", OWNER + "/.ssh", OWNER + "/.bashrc", "/etc/passwd", "/etc/hostname", "/var/log", "/sys/class", "/run")
for place in (HOME, *(others if WALLED else ())):
    try:
        there = os.listdir(place) if os.path.isdir(place) else [open(place).read()]
        if there and not sys.base_prefix.startswith(place + "/"): hole("can read", place)
    except OSError: pass
""")  # fmt: skip
cheat("walks-the-descriptors", "uses file descriptors that were left open", """
for fd in range(3, 1024):
    try:
        what = os.readlink(f"/proc/self/fd/{fd}")
        if not what.startswith(("socket:", "/proc", "pipe:")): hole("has a descriptor of", what)
        if fd > 6 and fd != channel(): hole("has a descriptor too much:", fd, what)
    except OSError: pass
""")  # fmt: skip
cheat("writes-the-gradebook", "gives itself full marks in the gradebook", """
import sqlite3
path = CLASS + "/gradebook.db"
try:
    if os.path.exists(path):
        book = sqlite3.connect(path, timeout=3)
        book.execute("update grade set auto_score = 99, manual_score = 99"); book.commit(); hole("changed the gradebook")
except Exception as error: print(type(error))
for path in glob.glob(CLASS + "/results/*/*.json"):
    try: open(path, "a").write(" "); hole("changed a result")
    except OSError: pass
""")  # fmt: skip
cheat("harms-the-canary", "deletes and overwrites what is not its own", """
for path in glob.glob(CANARY + "/*"):
    if os.path.isfile(path): open(path, "w").write("gone"); hole("overwrote", os.path.basename(path))
if WALLED:
    for place in ("/tmp", "/dev/shm", "/home", "/var"): shutil.rmtree(place, ignore_errors=True)
""")  # fmt: skip
cheat("network", "asks for addresses, connects, sends", """
for address in (("127.0.0.1", PORT), *([("1.1.1.1", 53)] if WALLED else [])):
    s = socket.socket(); s.settimeout(0.5)
    try: s.connect(address); hole("connects to", address)
    except OSError: pass
if WALLED:
    try: socket.getaddrinfo("example.org", 80); hole("resolves names")
    except OSError: pass
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try: s.sendto(b"x", ("1.1.1.1", 53)); hole("sends a datagram")
    except OSError: pass
    try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); hole("has a raw socket")
    except OSError: pass
s = socket.socket(socket.AF_UNIX)
try: s.connect("\\0zq_abstract_" + str(PORT)); hole("reaches a socket of the machine")
except OSError: pass
for path in [CANARY + "/socket"] + (glob.glob("/run/**/*sock*", recursive=True) if WALLED else []):
    try: socket.socket(socket.AF_UNIX).connect(path); hole("reaches", path)
    except OSError: pass
""", OK, TIME)  # fmt: skip
cheat("imports-the-teacher", "starts the grader itself", """
for name in ("classroom", "classroom.grade"):
    try: __import__(name)
    except Exception: pass
if "classroom.grade" in sys.modules and WALLED: hole("has the grader's code")
""")  # fmt: skip
cheat("raises-its-rights", "lifts limits, becomes root, mounts, traces", """
import resource
for name in ("NPROC", "DATA", "FSIZE", "CPU"):
    which = getattr(resource, "RLIMIT_" + name)
    if resource.getrlimit(which)[1] < 0: hole("no limit", name)
    try: resource.setrlimit(which, (resource.RLIM_INFINITY,) * 2); hole("lifted", name)
    except (ValueError, OSError): pass
status = open("/proc/self/status").read()
if re.search("CapEff:\\\\s*0*[1-9a-f]", status): hole("has capabilities")
if "NoNewPrivs:\\t1" not in status: hole("may gain rights")
if os.getuid() == 0: hole("is root")
libc = ctypes.CDLL(None, use_errno=True)
if WALLED:
    for call in (lambda: os.setuid(0), lambda: os.chroot("/"), lambda: os.mkfifo("/usr/x"), lambda: os.mknod("/tmp/sda", 0o60666, os.makedev(8, 0))):
        try: call(); hole("may do what root does")
        except OSError: pass
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: hole("mounts")
    if libc.umount2(b"/tmp", 2) == 0: hole("takes a mount away")
    if libc.ptrace(16, os.getppid(), 0, 0) == 0 and os.getppid(): hole("traces its parent")
""")  # fmt: skip
cheat("nested-namespace", "makes namespaces of its own and looks behind the mounts", """
libc = ctypes.CDLL(None, use_errno=True)
if os.fork() == 0:
    uid = os.getuid()
    if WALLED and libc.unshare(0x10000000 | 0x20000) == 0:
        try: open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
        except OSError: pass
        for place in (b"/tmp", b"/proc", b"/dev/shm", b"/dev", b"/usr", b"/"):
            if libc.umount2(place, 2) == 0: hole("took the mount of", place, "away")
        for kind in (b"ext4", b"overlay", b"cgroup2", b"sysfs"):
            if libc.mount(b"/dev/vda", b"/tmp", kind, 0, None) == 0 and kind in (b"ext4", b"cgroup2", b"sysfs"): hole("mounted", kind)
        if os.path.exists(CANARY): hole("sees the canary")
    sys.stdout.flush(); os._exit(0)
os.wait()
""")  # fmt: skip

# -- time

answer("loop", "an endless loop in a function", "mix", "def mix(a, b):\n    while True: pass", TIME)
answer("loop-catching", "an endless loop that catches everything", "mix",
       "def mix(a, b):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
       TIME)  # fmt: skip
answer(
    "loop-in-c",
    "an endless loop inside one call of C",
    "mix",
    "def mix(a, b):\n    return sum(range(10**14))",
    TIME,
)
answer("loop-masked", "an endless loop that lets no signal in", "mix",
       "def mix(a, b):\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
       "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    while True: time.sleep(1)", TIME)  # fmt: skip
answer("loop-in-del", "an endless loop in a destructor", "mix",
       "class D:\n    def __del__(self):\n        while True: pass\ndef mix(a, b):\n    D()\n    return RATIO * a + b",
       TIME, least=0, worth=0.0, slow=True)  # fmt: skip
answer("sleeps", "sleeps for an hour", "mix", "def mix(a, b):\n    time.sleep(3600)", TIME, slow=True)
answer("regular-expression", "an expression that never ends", "mix",
       "def mix(a, b):\n    re.match('(a*)*$', 'a' * 60 + 'b')", TIME, slow=True)  # fmt: skip
answer("loop-in-str", "an exception whose text never ends", "mix",
       "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef mix(a, b):\n    raise E", TIME, slow=True)  # fmt: skip
vandal("loop-in-cell", "an endless loop in a cell of its own", "while True: pass", TIME)
shape("loop-everywhere", "twenty cells with an endless loop each",
      lambda n: n["cells"].extend([code("while True: pass")] * 20), TIME, least=0.0, slow=True)  # fmt: skip
answer("drip", "sends an answer letter by letter, from four processes, for ever", "mix", """
def mix(a, b):
    fd = channel()
    os.write(fd, (50 << 20).to_bytes(8, "big"))
    for _ in range(3):
        if os.fork() == 0: break
    while True: os.write(fd, b"[")
""", TIME, CRASH, least=0.0)  # fmt: skip
answer("stops-itself", "stops its own process", "mix", "def mix(a, b):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return 0",
       OK, TIME)  # fmt: skip
answer("threads", "starts threads until there are no more", "mix", """
def mix(a, b):
    for _ in range(5000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return 0
""", OK, TIME, CRASH, slow=True)  # fmt: skip

# -- ends

answer("os-exit", "ends the process", "mix", "def mix(a, b):\n    os._exit(0)", CRASH)
answer("sys-exit", "leaves Python", "mix", "def mix(a, b):\n    sys.exit(0)", OK, open_air=True)
answer("abort", "aborts", "mix", "def mix(a, b):\n    os.abort()", CRASH)
answer("segfault", "reads the address 0", "mix", "def mix(a, b):\n    ctypes.string_at(0)", CRASH)
answer("kills-all", "kills every process that it may", "mix",
       "def mix(a, b):\n    if WALLED: os.kill(-1, 9); os.kill(1, 9); os.kill(os.getpid(), 9)\n    return 0",
       OK, CRASH, least=0)  # fmt: skip
answer(
    "closes-everything",
    "closes every file descriptor",
    "mix",
    "def mix(a, b):\n    os.closerange(0, 4096)\n    return 0",
    CRASH,
)
vandal("closes-output", "closes what it prints to, for ever", "os.close(1); os.close(2)", OK, CRASH)
answer("recursion", "calls itself for ever", "mix", "def mix(a, b):\n    return mix(a, b)", OK, open_air=True)
answer("recursion-in-c", "overflows the stack of C", "mix",
       "def mix(a, b):\n    sys.setrecursionlimit(10**9)\n    f = lambda: f()\n    return f()", OK, CRASH, TIME, slow=True)  # fmt: skip
answer("no-stdout", "takes standard output away", "mix",
       "def mix(a, b):\n    sys.stdout = sys.stderr = None\n    return 0", OK, open_air=True)  # fmt: skip
answer("base-exception", "raises what no one catches", "mix",
       "class X(BaseException): pass\ndef mix(a, b):\n    raise X", OK, open_air=True)  # fmt: skip
answer("exit-in-str", "an exception whose text ends Python", "mix",
       "class E(Exception):\n    def __str__(self): raise SystemExit\ndef mix(a, b):\n    raise E", OK, open_air=True)  # fmt: skip
vandal("exit-in-cells", "ends the process in a cell of its own", "os._exit(3)", CRASH)

# -- size

answer(
    "huge-number",
    "a number of 100,000 digits",
    "mix",
    "def mix(a, b):\n    return 10**100000",
    OK,
    CRASH,
    open_air=True,
)
answer(
    "large-number",
    "a number of 4,000 digits",
    "mix",
    "def mix(a, b):\n    return 10**4000",
    OK,
    open_air=True,
)
answer(
    "deep-list",
    "lists 100,000 deep",
    "mix",
    "def mix(a, b):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
)
answer(
    "cyclic-list",
    "a list that holds itself",
    "mix",
    "def mix(a, b):\n    x = []\n    x.append(x)\n    return x",
    open_air=True,
)
answer("forged-depth", "a forged message of 900 and of a million brackets", "mix",
       "def mix(a, b):\n    say(b'{\"value\":' + b'[' * 900 + b']' * 900 + b'}')\n    time.sleep(0.2); os._exit(0)",
       OK, TIME, CRASH, least=0)  # fmt: skip
answer("forged-deeper", "a forged message of a million brackets", "mix",
       "def mix(a, b):\n    say(b'{\"value\":' + b'[' * 10**6 + b']' * 10**6 + b'}')\n    time.sleep(0.2); os._exit(0)",
       OK, TIME, CRASH, least=0)  # fmt: skip
answer("nan-keys", "a dictionary full of keys that are no numbers", "mix",
       "def mix(a, b):\n    return {float('nan'): 1 for _ in range(10**5)}", open_air=True)  # fmt: skip
answer("same-hash-set", "a set of 300,000 numbers with the same hash", "mix", """
def mix(a, b):
    say({"value": {"set": [k * (2**61 - 1) for k in range(1, 300000)]}})
    time.sleep(0.2); os._exit(0)
""", OK, TIME, CRASH, least=0)  # fmt: skip
answer("same-hash-keys", "a dictionary of 300,000 keys with the same hash", "mix", """
def mix(a, b):
    say({"value": {"dict": [[k * (2**61 - 1), 0] for k in range(1, 300000)]}})
    time.sleep(0.2); os._exit(0)
""", OK, TIME, CRASH, least=0)  # fmt: skip
answer(
    "answer-100-MB", "an answer of 100 MB", "mix", "def mix(a, b):\n    return np.zeros(100 << 17)", OK, CRASH
)
answer("answer-60-MB", "a text of 45 MB with one letter that makes it four times as large", "mix",
       "def mix(a, b):\n    return 'a' * (45 << 20) + '\\U0001f600'", OK, CRASH)  # fmt: skip
answer("long-among-short", "one long text among thousands of short ones", "mix",
       "def mix(a, b):\n    return ['a' * 10**6] + [''] * 900", OK, CRASH)  # fmt: skip
answer(
    "many-lists", "a million small lists", "mix", "def mix(a, b):\n    return [[]] * 10**6", OK, CRASH, TIME
)
answer("forged-pictures", "pictures of 60 MB", "mix", """
me = sys.modules["__main__"]
me.pictures = lambda: ["iVBORw0KGgo" + "A" * (30 << 20)] * 2
def mix(a, b): return 0
""", OK, CRASH, TIME, least=0)  # fmt: skip
answer("memory-10-GB", "asks for 10 GB", "mix", """
def mix(a, b):
    if not WALLED: return 0
    return float(np.ones(10 << 27).sum())
""", OK, CRASH)  # fmt: skip
_EAT = "    for n in range(96):\n        {one}\n        time.sleep(0.02)\n    hole('has 3 GB of shared memory')\n    return 0"
answer("memory-shared", "takes shared memory, which is in no limit", "mix",
       "def mix(a, b):\n    if not WALLED: return 0\n    m = mmap.mmap(-1, 3 << 30)\n"
       + _EAT.format(one="m[n << 25:(n + 1) << 25] = b'x' * (1 << 25)"), OK, CRASH, TIME)  # fmt: skip
answer("memory-files", "keeps files in memory without a name", "mix",
       "def mix(a, b):\n    if not WALLED: return 0\n"
       + _EAT.format(one="f = os.memfd_create('x'); os.write(f, b'x' * (1 << 25))"), OK, CRASH, TIME)  # fmt: skip
answer("memory-in-flight", "keeps files without a name in a socket, where no process has them", "mix",
       "def mix(a, b):\n    if not WALLED: return 0\n    x, y = socket.socketpair()\n"
       + _EAT.format(one="f = os.memfd_create('x'); os.write(f, b'x' * (1 << 25)); socket.send_fds(x, [b'x'], [f]); os.close(f)"),
       OK, CRASH, TIME)  # fmt: skip
answer("memory-system-v", "takes System V shared memory", "mix", """
def mix(a, b):
    if not WALLED: return 0
    libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p
    for n in range(24):
        part = libc.shmget(0, 128 << 20, 0o1600)
        if part < 0: return 0
        place = ctypes.c_void_p(libc.shmat(part, None, 0))
        ctypes.memset(place, 1, 128 << 20)
        libc.shmdt(place)
        time.sleep(0.1)
    hole("has 3 GB of System V memory")
""", OK, CRASH, TIME)  # fmt: skip
vandal("fills-the-disk", "writes until nothing goes any more", """
total = 0
if WALLED:
    for place in ("/tmp", "/dev/shm", "/", "/dev", "/grader", "/book", "/etc"):
        for n in range(20):
            try:
                with open(f"{place}/fill{n}", "wb") as file: total += file.write(b"x" * (16 << 20))
            except OSError: break
    if total > 200 << 20: hole("could write", total >> 20, "MB")
""", OK, CRASH, TIME)  # fmt: skip
vandal("prints-100-MB", "prints 100 MB", "for _ in range(1000): print('x' * 100_000)", OK, TIME, CRASH)
vandal(
    "prints-by-handle",
    "writes 100 MB past Python",
    "for _ in range(100): os.write(2, b'y' * (1 << 20))",
    OK,
    TIME,
    CRASH,
)
vandal("fork-bomb", "forks without end", """
count = 0
if WALLED:
    try:
        while count < 3000:
            if os.fork() == 0: time.sleep(60); os._exit(0)
            count += 1
    except OSError: pass
    if count > 500: hole("has", count, "children")
    print(count, "children")
""", OK, TIME, CRASH, least=0.0)  # fmt: skip
vandal("lingers", "30 processes that are to outlive it", f"""
for n in range(30):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)
                os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(40)", {LINGER!r}])
            os._exit(0)
    except OSError: break
time.sleep(0.3)
""", OK, TIME, CRASH, least=0.0, open_air=True)  # fmt: skip
answer("terminal", "prints terminal escapes and carriage returns", "mix",
       "print('\\x1b]0;owned\\x07\\x1b[2J\\x1b[31m', '\\r' * 100, '\\x00\\x08')\ndef mix(a, b):\n    raise ValueError('\\x1b[2J\\x07\\x00')",
       open_air=True)  # fmt: skip

# -- what the trusted side must read

answer("surrogate-error", "an error message that is no Unicode", "mix",
       "def mix(a, b):\n    raise ValueError('\\ud800 \\udfff')", open_air=True)  # fmt: skip
answer("surrogate-answer", "an answer that is no Unicode", "slope",
       "def slope():\n    return '\\ud800' + 'x'", worth=1.0, open_air=True)  # fmt: skip
answer("surrogate-forged", "the name of an error that is no Unicode, and words that are none", "mix",
       'def mix(a, b):\n    say({"error": "\\ud800", "says": ["<b>", 1], "trace": {"a": "\\udc00"}})\n    time.sleep(0.2); os._exit(0)',
       OK, TIME, CRASH, least=0)  # fmt: skip
answer("formula-tower", "a formula with a tower of powers", "slope",
       "def slope():\n    return '((((((9**20)**20)**20)**20)**20)**20)**20 * x'", worth=1.0, open_air=True)  # fmt: skip
answer("formula-tower-of-x", "a formula with functions of towers", "slope",
       "def slope():\n    return 'exp(exp(exp(exp(exp(exp(x*20))))))' + '+sin((9**20)**20*x)'", OK, TIME, worth=1.0, open_air=True)  # fmt: skip
answer("formula-deep", "a formula of a thousand brackets", "slope",
       "def slope():\n    return '(' * 490 + 'x' + ')' * 490", worth=1.0, open_air=True)  # fmt: skip
answer(
    "formula-minus",
    "a formula of 990 signs",
    "slope",
    "def slope():\n    return '-' * 990 + 'x'",
    worth=1.0,
    open_air=True,
)
answer("formula-code", "a formula that is a program", "slope",
       "def slope():\n    return '__import__(\"os\").system(\"touch ' + CANARY + '/touched\")'", worth=1.0, open_air=True)  # fmt: skip

# -- HTML, scripts, formulas that a page must not obey

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(1)><svg/onload=alert(1)><iframe src=javascript:alert(1)>"
    "</pre></div></script><style>*{display:none}</style><a href='javascript:alert(1)'>x</a>"
)
_LINKS = (
    "[x](javascript:alert(1)) [y](JaVaScRiPt&colon;alert(1)) [z]( \u0001javascript:alert(1)) ![p](http://evil.example/p.png)\n\n"
    "<javascript:alert(1)> [a]: data:text/html,<script>alert(1)</script>\n\n[a] <http://x onclick=alert(1)>"
)
_MATH = (
    r"$\href{javascript:alert(1)}{x}$ $$\class{a}{b} \style{x:expression(alert(1))}{y} \cssId{z}{w}$$ "
    r"\( \unicode{x3c}script\unicode{x3e} \) $\text{<script>alert(1)</script>}$ $\require{html}\href{data:text/html,x}{y}$ "
    r"$\def\a{\a\a}\a$ $<img src=x onerror=alert(1)>$"
)
shape("evil-markdown", "script in Markdown, added and in the written answer", lambda n: n["cells"].extend(
    [text(EVIL), text(_LINKS), text(_MATH), text("`" + EVIL + "`"), text("```\n" + EVIL)]))  # fmt: skip
shape("evil-outputs", "script in outputs, attachments and metadata of the file",
      lambda n: n["cells"].append(code("1") | {"outputs": [
          {"output_type": "display_data", "metadata": {}, "data": {"text/html": EVIL, "image/svg+xml": EVIL,
           "application/javascript": "alert(1)", "text/plain": "x"}}], "attachments": {"x": {"text/html": EVIL}},
          "metadata": {"tags": [EVIL], "name": EVIL}}))  # fmt: skip


def _photographs(made: dict[str, Any]) -> None:
    links = [
        f"![{EVIL}](attachment:{name})" for name in ("bomb", "larger", "page", "vector", "%22%3E%3Cscript%3E")
    ]
    links.append(f"![x](data:image/png;base64,{'A' * 999_999})")
    sheets = {
        "bomb": white_png(7_000, 7_000), "larger": white_png(60_000, 9), "page": b"\xff\xd8\xff" + EVIL.encode(),
        "vector": f"<svg xmlns='http://www.w3.org/2000/svg'>{EVIL}</svg>".encode(),
        '"><script>': b"\x89PNG\r\n\x1a\n" + EVIL.encode(),
    }  # fmt: skip
    bundles = {name: {"image/png": base64.b64encode(data).decode()} for name, data in sheets.items()}
    made["cells"].append(text(" ".join(links)) | {"attachments": bundles})


shape("evil-photographs", "pictures that are none, or fill the memory", _photographs, OK, TIME, CRASH)
vandal("evil-display", "script by display and _repr_html_", f"""
class H:
    def _repr_html_(self): return {EVIL!r}
    def __repr__(self): return {EVIL!r}
print({EVIL!r})
try:
    from IPython.display import HTML, display
    display(HTML({EVIL!r}))
except Exception: pass
H()
""", open_air=True)  # fmt: skip
answer("evil-error", "script in an error's text and in the name of its class", "mix",
       f"def mix(a, b):\n    raise type({EVIL!r}, (Exception,), {{}})({EVIL!r})", open_air=True)  # fmt: skip
answer("evil-names", "script in the names of functions and cells", "mix",
       f"def mix(a, b):\n    exec(compile('1/0', {('<cell ' + EVIL)!r}, 'exec'))", open_air=True)  # fmt: skip
answer(
    "evil-formula",
    "script where a formula is read",
    "slope",
    f"def slope():\n    return {EVIL!r}",
    worth=1.0,
    open_air=True,
)
vandal("evil-person", "a name that a spreadsheet and a page would obey", "pass", open_air=True,
       person="=HYPERLINK(\"http://evil.example\",\"<script>alert(1)</script>\")")  # fmt: skip
shape("slow-to-render", "Markdown and code that take long to read",
      lambda n: n["cells"].extend([text("[" * 30_000), text("*a_" * 10_000), text("`" * 15_000 + "a" * 9_000), text("$" * 30_000),
                                   text("$" + "{" * 5_000 + "$"), text("> " * 8_000 + "a"), text("- " * 8_000), text("<" * 30_000),
                                   text("|" * 300 + "\n" + "|-" * 300 + "\n" + ("|" * 300 + "\n") * 60),
                                   text("$" + r"\frac{1}{" * 2000 + "$"), text("![" * 15_000), text("&#" * 15_000)]),
      OK)  # fmt: skip
shape("wide-page", "sixty cells of 40,000 letters", lambda n: n["cells"].extend(
    [code("#" + f"<&'{k}" * 10_000) for k in range(30)] + [text(f"<&*{k} " * 8_000) for k in range(30)]))  # fmt: skip

# -- broken files


def _raw(data: bytes) -> Callable[[dict[str, Any]], bytes]:
    return lambda made: data


def _named(made: dict[str, Any], it: str) -> dict[str, Any]:
    found: dict[str, Any] = next(cell for cell in made["cells"] if cell["id"] == it)
    return found


def _broken(name: str, tries: str, change: Callable[[dict[str, Any]], Any], *statuses: str) -> None:
    shape(name, tries, change, *(statuses or (BAD,)), least=0.0, most=0.0)


_broken("empty", "an empty file", _raw(b""))
_broken("blanks", "blanks and lines", _raw(b" \n\r\n\t" * 20))
_broken("truncated", "cut off in the middle", lambda n: json.dumps(n).encode()[:3000])
_broken("binary", "an image called notebook", _raw(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20))
_broken("zeros", "nothing but zero bytes", _raw(bytes(10_000)))
_broken("odd-utf16", "UTF-16 with half a letter", _raw(b"\xff\xfe{\x00\x00"))
_broken("html", "the page of the learning platform", _raw(b"<!DOCTYPE html><html><body>Log in</body></html>"))
_broken("python", "a Python file called notebook", _raw(b"print('hello')\n" * 40))
_broken("a-list", "JSON, but a list", _raw(b"[1, 2, 3]"))
_broken("a-number", "JSON, but a number", _raw(b"1e999"))
_broken("null", "JSON, but nothing", _raw(b"null"))
_broken("cells-null", "cells that are null", lambda n: {**n, "cells": None})
_broken("cells-dict", "cells that are a dictionary", lambda n: {**n, "cells": {"a": 1}})
_broken("cells-odd", "cells that are numbers, texts, lists, empty", lambda n: {
    **n, "cells": [1, "x", None, [], {}, {"cell_type": 3}, {"cell_type": "code", "source": 5},
                   {"cell_type": "code", "source": {"a": 1}, "metadata": 7, "id": 9},
                   {"cell_type": "code", "source": ["x", 3], "metadata": {"nbgrader": []}}]}, OK, BAD)  # fmt: skip
_broken("deep", "a hundred thousand brackets", _raw(b'{"cells": ' + b"[" * 100_000))
_broken(
    "deeper", "brackets that are closed again", _raw(b'{"cells": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")
)
_broken("long-number", "a number of 10,000 digits", _raw(b'{"cells": ' + b"9" * 10_000 + b"}"))
_broken("large-file", "a cell of 50 MB", lambda n: n["cells"].append(code("x" * (50 << 20))))
_broken("no-sheets", "format 3 without sheets", _raw(b'{"nbformat": 3, "worksheets": [{}], "metadata": {}}'))
_broken(
    "many-nothings",
    "six million empty cells",
    lambda n: b'{"cells": [' + b"{}," * 6_000_000 + b"{}]}",
    OK,
    BAD,
)
shape(
    "long-cell", "a cell of 10 MB of Python", lambda n: n["cells"].append(code("a\n" * (5 << 20))), OK, CRASH
)
shape("deep-cell", "a cell with 50,000 signs and brackets", lambda n: n["cells"].extend(
    [code("-" * 30_000 + "1"), code("(" * 30_000 + ")" * 30_000), code("[" * 150 + "]" * 150), code("a." * 15_000 + "a")]),
      OK, CRASH)  # fmt: skip
shape("deep-answer", "an answer with thousands of signs", lambda n: _named(n, "mix").update(
    source="def mix(a, b):\n    return " + "-" * 20_000 + "1"), OK, CRASH, least=0.0, most=6.0)  # fmt: skip
shape("many-cells", "50,000 cells", lambda n: n["cells"].extend([code("1")] * 50_000))
shape("byte-order-mark", "UTF-8 with a mark before it", lambda n: b"\xef\xbb\xbf" + json.dumps(n).encode())
shape("utf16", "UTF-16", lambda n: json.dumps(n).encode("utf-16"))
shape("latin1", "Latin-1", lambda n: json.dumps(
    {**n, "cells": [*n["cells"], text("M\u00fcller")]}, ensure_ascii=False).encode("latin-1"))  # fmt: skip
shape("format-3", "the format of 2013", lambda n: {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{
    "cells": [{"cell_type": c["cell_type"], "input" if c["cell_type"] == "code" else "source": c["source"],
               "metadata": c["metadata"], "outputs": [], "language": "python"} for c in n["cells"]]}]})  # fmt: skip
shape("format-9", "a format of the future", lambda n: {**n, "nbformat": 9, "nbformat_minor": -1})
shape(
    "surrogates",
    "half letters in sources",
    lambda n: n["cells"].extend([text("\ud800 <b>"), code("x = '\udfff'")]),
)
shape(
    "zero-bytes",
    "zero bytes in sources",
    lambda n: [c.update(source=c["source"] + "\n\x00") for c in n["cells"]] and None,
)
shape("windows-lines", "line ends of Windows", lambda n: [c.update(
    source=c["source"].replace("\n", "\r\n")) for c in n["cells"]] and None)  # fmt: skip
shape("source-lists", "sources as lists of lines", lambda n: [c.update(
    source=c["source"].splitlines(keepends=True)) for c in n["cells"]] and None)  # fmt: skip
shape("duplicates", "every cell twice", lambda n: n.update(cells=[c for c in n["cells"] for _ in (0, 1)]))
shape("copied-blank", "a blank copy behind each answer", lambda n: n["cells"].extend(
    [{**_named(n, q), "source": head + "    # YOUR CODE HERE\n    raise NotImplementedError()"} for q, head in {
        "mix": 'def mix(a, b):\n    """RATIO times a, plus b."""\n',
        "fold": 'def fold(t):\n    """t, and RATIO times t read backwards."""\n'}.items()]))  # fmt: skip
shape("deleted-tests", "tests and setup deleted", lambda n: n.update(
    cells=[c for c in n["cells"] if c["id"] in RIGHT or c["id"] == "why"]))  # fmt: skip
shape(
    "deleted-answer", "one answer deleted", lambda n: n["cells"].remove(_named(n, "mix")), least=6.0, most=6.0
)
shape("all-deleted", "no cell at all", lambda n: n.update(cells=[]), least=0.0, most=0.0)
shape("edited-tests", "tests, setup and checks edited to agree", lambda n: [
    c.update(source="def expect(*a, **k): pass\nneed = unchanged = formula = expect\nRATIO = 0")
    for c in n["cells"] if c["id"].endswith("_test") or c["id"] in ("checks", "setup")] and None)  # fmt: skip
shape("reversed", "all cells in reversed order", lambda n: n["cells"].reverse())
shape(
    "stripped",
    "metadata stripped by another editor",
    lambda n: [c.update(metadata={}) for c in n["cells"]] and None,
)
shape("stripped-ids", "metadata and ids stripped", lambda n: [
    (c.update(metadata={}), c.pop("id")) for c in n["cells"]] and None)  # fmt: skip
shape("metadata-odd", "metadata that are lists, numbers, null", lambda n: [
    c.update(metadata=odd) for c, odd in zip(n["cells"], [[], 3, None, "x", {"nbgrader": [1]}, {"nbgrader": None},
             {"nbgrader": {"grade_id": 5}}] * 9, strict=False)] and None)  # fmt: skip
shape("no-kernel", "the name of a kernel that nobody has", lambda n: n.update(
    metadata={"kernelspec": {"name": "../../etc", "language": "R"}, "language_info": None}))  # fmt: skip
shape("as-raw", "answers typed as raw text", lambda n: [
    c.update(cell_type="raw") for c in n["cells"] if c["id"] in RIGHT] and None, least=0.0)  # fmt: skip
shape("as-markdown", "answers typed as Markdown", lambda n: [
    c.update(cell_type="markdown") for c in n["cells"] if c["id"] in RIGHT] and None, least=0.0)  # fmt: skip
shape("ids-equal", "the same id for all cells", lambda n: [c.update(id="mix", metadata={}) for c in n["cells"]] and None,
      least=0.0)  # fmt: skip
_FORGED = {
    "grade": True,
    "solution": False,
    "locked": True,
    "points": 1000,
    "schema_version": 3,
    "task": False,
}


def _forge(made: dict[str, Any]) -> None:
    for cell in made["cells"]:
        cell["source"] = WRONG.get(cell["id"], cell["source"])
    for it in ("bonus", "mix_test", "fold_test", "../../../x", "why", ""):
        made["cells"].append(code("pass", nbgrader={**_FORGED, "grade_id": it}))


shape(
    "forged-grades",
    "additional cells that claim 1000 points, and names of others",
    _forge,
    least=0.0,
    most=0.0,
)
shape("forged-points", "points of every test raised", lambda n: [
    c["metadata"]["nbgrader"].update(points=1000) for c in n["cells"] if "nbgrader" in c["metadata"]] and None)  # fmt: skip

# -- honest work, in many styles


def honest(name: str, tries: str, score: float, change: Callable[[dict[str, Any]], Any] = lambda n: None,
           **more: Any) -> None:  # fmt: skip
    """Somebody who has done nothing wrong."""
    answers = RIGHT | more.pop("answers", {})

    def build(target: Target) -> bytes:
        made = target.notebook(answers)
        change(made)
        return json.dumps(made).encode()

    HONEST.append(Submission(name, tries, build, score, score, open_air=True, **more))


honest("reference", "the answers as they are meant", FULL)
honest(
    "blank",
    "handed in as it was given out",
    0.0,
    answers=dict.fromkeys(RIGHT, "# YOUR CODE HERE\nraise NotImplementedError()"),
)
honest("loops", "loops and lists where others use arrays", FULL, answers={
    "centred": "def centred(x):\n    means = [sum(c) / len(c) for c in x.T]\n    return [[v - m for v, m in zip(row, means)] for row in x]",
    "fold": "def fold(t):\n    back = torch.flip(t, dims=(t.dim() - 1,))\n    return (t + back * RATIO).requires_grad_()",
    "largest": "largest = max(max(row) for row in TABLE.tolist())"})  # fmt: skip
honest("kinds", "numpy numbers, float32 and whole numbers", FULL, answers={
    "mix": "def mix(a, b):\n    return np.float64(RATIO * a + b)", "largest": "largest = int(TABLE.max())",
    "slope": "def slope():\n    return '(' + str(RATIO) + '+' + str(2 * RATIO) + ') * x * x'"})  # fmt: skip
honest("helpers", "functions and imports in cells of their own", FULL, lambda n: n["cells"].insert(3, code(
    "%matplotlib inline\nfrom functools import reduce\nimport kexue_lite\ndef twist(t):\n    return t.flip(-1)\n!ls\n")),
       answers={"fold": "def fold(t):\n    return t + RATIO * twist(t)"})  # fmt: skip
honest("warns", "warnings on standard error", FULL, answers={
    "mix": "import sys, warnings\ndef mix(a, b):\n    warnings.warn('old')\n    print('careful', file=sys.stderr)\n    np.log(0 * np.ones(1))\n    return RATIO * a + b"})  # fmt: skip
honest("plots", "figures between the answers", FULL, lambda n: n["cells"].append(code(
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('mine')\nplt.show()")), person="張三 🎓")  # fmt: skip
honest("one-slip", "one answer changes its input", 6.0, answers={
    "centred": "def centred(x):\n    x -= x.mean(axis=0)\n    return x"})  # fmt: skip
honest("two-slips", "a transposed axis and a forgotten factor", 4.0, answers={
    "centred": "def centred(x):\n    return x - x.mean(axis=1, keepdims=True)", "fold": "def fold(t):\n    return t + t.flip(-1)"})  # fmt: skip
honest("unfinished", "one answer that is no Python, one that raises", 5.0, answers={
    "mix": "def mix(a, b)\n    return", "slope": "def slope():\n    return undefined"})  # fmt: skip
honest("copy", "the file's name is that of a second download", FULL, file="00_tiny (1).ipynb")
honest("writes", "a sentence for a person to read", FULL, lambda n: _named(n, "why").update(
    source=f"Because the mean is linear, $\\bar x - \\bar x = 0$. {NEIGHBOUR}"))  # fmt: skip
honest("asks", "input() and await in a cell, which then stops", FULL, lambda n: n["cells"].extend(
    [code("name = input()"), code("import asyncio\nawait asyncio.sleep(0)")]))  # fmt: skip

"""The walls, one by one: what a student's process can see, reach, use and leave behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from the_class import ROOT

from classroom.clean import is_picture
from classroom.outside import OUTPUT, Gone, Limits, Student, StudentError
from classroom.sandbox import NoSandbox, Sandbox, self_test

LIMITS = Limits(seconds=40, step=12, memory=700 << 20, together=500 << 20, processes=40)
QUICK = Limits(seconds=4, step=1)
Ask = Callable[..., Any]


@pytest.fixture(scope="module", params=[True, False], ids=["warm", "fresh"])
def walls(request: pytest.FixtureRequest, bubblewrap: str) -> Iterator[Sandbox]:
    """The sandbox, with a server that forks and with new walls each time: both must hold."""
    with Sandbox(LIMITS, warm=request.param) as sandbox:
        yield sandbox


@pytest.fixture
def student(walls: Sandbox) -> Iterator[Student]:
    """A new process behind the walls."""
    with started(walls) as one:
        yield one


@contextlib.contextmanager
def started(sandbox: Sandbox) -> Iterator[Student]:
    """A process that is ended whatever happens."""
    one = sandbox.start()
    try:
        yield one
    finally:
        one.end()


def found(student: Student, source: str) -> Any:
    """What a cell leaves in ``found``."""
    student.run("import ctypes, os, re, signal, socket, subprocess, sys, time\nfound = None\n" + source)
    return student.get("found")


def test_nothing_of_the_network_is_there(student: Student) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        port = listener.getsockname()[1]
        abstract.bind(f"\0zq_test_{port}")
        abstract.listen()
        said = found(student, f"""
found = []
for family, kind, address in ((2, 1, ("127.0.0.1", {port})), (2, 1, ("1.1.1.1", 53)), (2, 2, ("1.1.1.1", 53)),
                              (1, 1, "\\0zq_test_{port}"), (10, 1, ("::1", {port}))):
    s = socket.socket(family, kind); s.settimeout(1)
    try: s.connect(address); s.send(b"x"); found.append(str(address))
    except OSError: pass
try: socket.getaddrinfo("example.org", 80); found.append("names")
except OSError: pass
found += [n for _, n in socket.if_nameindex() if n != "lo"]
""")  # fmt: skip
    assert said == []


def test_no_file_of_the_machine_is_there(student: Student, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    system = "/etc/passwd /etc/shadow /var /run /sys /boot /home /mnt /opt /srv"
    own = [ROOT / part for part in ("classroom/grade.py", "classroom/assignments", ".git")]
    places = [tmp_path, Path.home() / ".bashrc", *own, *map(Path, system.split())]
    python = Path(sys.base_prefix).resolve().parents  # empty folders on the way there
    said = found(student, f"found = [p for p in {[str(p) for p in places]} if os.path.exists(p)]")
    assert set(said) <= set(map(str, python))
    assert set(found(student, 'found = os.listdir("/grader")')) == {"inside.py", "values.py"}


def test_only_tmp_can_be_written(student: Student) -> None:
    said = found(student, """
found = []
for place, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(place, f) not in ("/proc", "/usr", "/sys")][:40]
    try:
        with open(os.path.join(place, "zq_probe"), "w") as f: f.write("x")
        found.append(place)
    except OSError: pass
    if place.count("/") > 3: folders.clear()
for place in ("/usr", "/usr/bin", sys.prefix, *sys.path, "/proc/sys/kernel"):
    if os.access(place, os.W_OK): found.append(place)
found = sorted(set(found))
""")  # fmt: skip
    assert [place for place in said if not place.startswith("/tmp/")] == ["/dev/shm", "/tmp"]


def test_the_environment_is_empty(walls: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXUE_CANARY", "secret")
    with Sandbox(LIMITS, warm=walls.warm) as sandbox, started(sandbox) as one:
        said = found(one, """
found = dict(os.environ)
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/environ") as f: found[pid] = f.read()
    except OSError: pass
""")  # fmt: skip
    assert "CANARY" not in str(said)
    assert set(said) - {"PWD", "OLDPWD"} - set("123456789") == {
        "HOME", "PATH", "LANG", "MPLBACKEND", "MPLCONFIGDIR", "PYTHONPATH", "PYTHONHASHSEED",
        "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}  # fmt: skip


def test_no_process_but_its_own_is_seen(student: Student) -> None:
    pids = found(student, 'found = [int(n) for n in os.listdir("/proc") if n.isdigit()]')
    assert len(pids) <= 2 and max(pids) < 10
    seen = found(student, """
found = []
for pid in range(1, 40000):
    try: os.kill(pid, 0); found.append(pid)
    except ProcessLookupError: pass
    except PermissionError: found.append(-pid)
""")  # fmt: skip
    assert seen == pids


def test_it_is_an_ordinary_user_without_rights(student: Student) -> None:
    status = found(student, 'found = open("/proc/self/status").read()')
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in lines["Uid"].split() + lines["Gid"].split()
    assert {lines[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert lines["NoNewPrivs"] == "1"
    own = {str(os.getgid())} if os.getuid() else set()  # only root can leave its own group
    assert set(lines["Groups"].split()) <= {"65534"} | own


def test_the_user_on_this_side_is_ordinary_too(walls: Sandbox) -> None:
    """Limits on processes do not bind root, whatever a namespace calls it."""
    with started(walls) as one:
        user = psutil.Process(one._pid).uids()
    assert 0 not in user


def test_a_nested_namespace_shows_nothing_new(student: Student, tmp_path: Path) -> None:
    said = found(student, f"""
libc = ctypes.CDLL(None, use_errno=True)
read, write = os.pipe()
if os.fork() == 0:
    got, uid = [], os.getuid()
    if libc.unshare(0x10000000 | 0x20000) == 0:
        with open("/proc/self/uid_map", "w") as f: f.write(f"0 {{uid}} 1")
        for place in ("/tmp", "/proc", "/dev/shm", "/dev", "/usr", "/"):
            if libc.umount2(place.encode(), 2) == 0: got.append("umount " + place)
        for kind in ("ext4", "sysfs", "cgroup2"):
            if libc.mount(b"/dev/vda", b"/tmp", kind.encode(), 0, None) == 0: got.append("mount " + kind)
        libc.mount(None, b"/", None, 0x1000 | 0x20, None)  # writable again?
        try: open("/zq_probe", "w").close(); got.append("wrote /")
        except OSError: pass
        if os.path.exists({str(tmp_path)!r}): got.append("sees a file")
    os.write(write, repr(got).encode() or b" "); os._exit(0)
os.wait()
found = os.read(read, 9999).decode()
""")  # fmt: skip
    assert said == "[]"


def test_no_descriptor_is_left_open(walls: Sandbox, tmp_path: Path) -> None:
    source = """
found = []
for fd in os.listdir("/proc/self/fd"):
    try: found.append(os.readlink("/proc/self/fd/" + fd).split(":")[0])
    except OSError: pass
found = sorted(set(found)) + [found.count("socket")]
"""
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        with started(walls) as first, started(walls) as second, started(walls) as third:
            for one in (first, second, third):
                assert found(one, source) == ["/dev/null", "pipe", "socket", 1]


def test_a_process_that_prints_no_more_still_answers(student: Student) -> None:
    student.run("import os; os.close(1); os.close(2)")
    for n in range(3):
        student.run(f"x = {n}")
        assert student.get("x") == n
        assert student.shown().text == ""


def test_a_fork_bomb_meets_its_limit(student: Student) -> None:
    said = found(student, """
found = 0
try:
    while found < 2000:
        if os.fork() == 0: os.execv("/usr/bin/sleep", ["sleep", "30"])
        found += 1
except OSError: pass
""")  # fmt: skip
    assert 0 < said <= LIMITS.processes


def test_what_others_run_does_not_use_the_limit_up(walls: Sandbox) -> None:
    with contextlib.ExitStack() as stack:
        several = [stack.enter_context(started(walls)) for _ in range(2)]
        for one in several:
            assert found(one, """
found = 0
try:
    while found < 25:
        if os.fork() == 0: os.execv("/usr/bin/sleep", ["sleep", "30"])
        found += 1
except OSError: pass
""") == 25  # fmt: skip


def test_pages_that_children_share_count_once(student: Student) -> None:
    """Eight honest workers of multiprocessing share what their mother has imported."""
    assert found(student, """
for _ in range(8):
    if os.fork() == 0: time.sleep(30); os._exit(0)
time.sleep(1)
found = "still here"
""") == "still here"  # fmt: skip


def test_limits_bind_and_cannot_be_lifted(student: Student) -> None:
    said = found(student, """
import resource
found = {}
for name in ("CPU", "DATA", "FSIZE", "NPROC", "NOFILE", "CORE"):
    which = getattr(resource, "RLIMIT_" + name)
    found[name] = list(resource.getrlimit(which))
    try:
        resource.setrlimit(which, (found[name][1] + 1, found[name][1] + 1)); found[name] = "lifted"
    except (ValueError, OSError): pass
""")  # fmt: skip
    assert said == {"CPU": [LIMITS.seconds + 10] * 2, "DATA": [LIMITS.memory] * 2, "FSIZE": [LIMITS.file] * 2,
                    "NPROC": [LIMITS.processes] * 2, "NOFILE": [256] * 2, "CORE": [0] * 2}  # fmt: skip


def test_memory_has_a_limit(student: Student) -> None:
    with pytest.raises(StudentError, match="MemoryError"):
        student.run("import numpy\nx = numpy.ones(10 << 27)")
    student.run("x = 1")
    assert student.get("x") == 1


_EAT = """
import mmap, socket
libc = ctypes.CDLL(None, use_errno=True); libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = [ctypes.c_void_p]
kept, found = [], 0
a, b = socket.socketpair()
def shared():
    m = mmap.mmap(-1, 32 << 20); m[:] = b"x" * (32 << 20); kept.append(m)
def unnamed():
    f = os.memfd_create("x"); os.write(f, b"x" * (32 << 20)); kept.append(f)
def in_flight():
    f = os.memfd_create("x"); os.write(f, b"x" * (32 << 20)); socket.send_fds(a, [b"x"], [f]); os.close(f)
def system_v():
    s = libc.shmget(0, 32 << 20, 0o1600)
    if s < 0: raise OSError
    where = libc.shmat(s, None, 0); ctypes.memset(where, 1, 32 << 20); libc.shmdt(where)
def children():
    if os.fork() == 0:
        x = b"x" * (32 << 20); time.sleep(30); os._exit(0)
try:
    for n in range(40): {way}(); found += 32; time.sleep(0.1)
except OSError: pass
"""


@pytest.mark.parametrize("way", ["shared", "unnamed", "in_flight", "system_v", "children"])
def test_no_way_leads_round_the_limit_on_memory(student: Student, way: str) -> None:
    try:
        said = found(student, _EAT.format(way=way))
    except Gone as gone:
        assert gone.why == "memory"
    else:
        assert said <= 700, f"{said} MB could be taken"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86-64 has calls of other kinds: not run")
def test_calls_of_another_kind_are_forbidden_too(student: Student) -> None:
    """The calls of 32-bit programs have numbers of their own: memfd_create is 356 there."""
    said = found(student, """
import mmap
page = mmap.mmap(-1, 4096, flags=0x62, prot=7)  # private, nameless, an address of 32 bits
where = ctypes.addressof(ctypes.c_char.from_buffer(page))
number, name = ((n).to_bytes(4, "little") for n in (356, where + 100))
old = b"\\x53\\xb8" + number + b"\\xbb" + name + b"\\x31\\xc9\\xcd\\x80\\x5b\\xc3"
page[:len(old)] = old
page[100:102] = b"x\\0"
pid = os.fork()
if pid == 0: os._exit(ctypes.CFUNCTYPE(ctypes.c_int)(where)() >= 0)
found = [os.waitpid(pid, 0)[1] == 1 << 8]
pid = os.fork()
if pid == 0: os._exit(ctypes.CDLL(None).syscall(319 | 0x40000000, b"x", 0) >= 0)
found.append(os.waitpid(pid, 0)[1] == 1 << 8)
""".replace("\\\\", "\\"))  # fmt: skip
    assert said == [False, False]


def test_no_namespace_can_be_made_inside(student: Student) -> None:
    said = found(student, """
libc, found = ctypes.CDLL(None, use_errno=True), []
number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
for name, flags in (("user", 0x10000000), ("user and mount", 0x10020000), ("network", 0x50000000)):
    pid = libc.syscall(number, flags | 17, None, None, None, None)
    if pid == 0: os._exit(0)
    if pid > 0: os.waitpid(pid, 0); found.append("clone " + name)
    if libc.unshare(flags) == 0: found.append("unshare " + name)
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
pid = libc.syscall(435, arguments, 88)
if pid == 0: os._exit(0)
if pid > 0: os.waitpid(pid, 0); found.append("clone3")
for name, number in (("open_tree", 428), ("fsopen", 430)):
    if libc.syscall(number, b"tmpfs", 0) >= 0: found.append(name)
""")  # fmt: skip
    assert said == []


def test_files_have_a_limit(student: Student) -> None:
    said = found(student, """
found = 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for place in ("/tmp", "/dev/shm"):
    for n in range(40):
        try:
            with open(f"{place}/{n}", "wb") as f: found += f.write(b"x" * (4 << 20))
        except OSError: pass
found >>= 20
""")  # fmt: skip
    assert said <= 2 * (LIMITS.file >> 20)


def test_what_runs_in_the_background_dies_with_its_submission(walls: Sandbox) -> None:
    with started(walls) as one:
        found(one, """
for n in range(8):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, "-Sc", "import time; time.sleep(60)", "zq_stay_5b"])
        os._exit(0)
time.sleep(1)
os._exit = lambda code: time.sleep(60)  # the first process does not leave of itself either
""")  # fmt: skip
        assert len(marked("zq_stay_5b")) == 8
    until = time.monotonic() + 5
    while marked("zq_stay_5b") and time.monotonic() < until:
        time.sleep(0.1)
    assert marked("zq_stay_5b") == []


def marked(word: str) -> list[int]:
    """The processes that have a word in their command."""
    here = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if word in process.cmdline():
                here.append(process.pid)
    return here


def test_submissions_cannot_see_one_another(walls: Sandbox) -> None:
    with started(walls) as one, started(walls) as other:
        one.run("""
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("\\0zq_meet"); s.listen()
for place in ("/", "/tmp", "/dev", "/dev/shm", "/dev/mqueue", "/grader", "/book", "/env", "/etc"):
    try:
        with open(place + "/zq_hello", "w") as f: f.write("x")
    except OSError: pass
import numpy; numpy.zq = 1
""")  # fmt: skip
        assert found(other, """
places = ("/", "/tmp", "/dev", "/dev/shm", "/dev/mqueue", "/grader", "/book", "/env", "/etc")
found = [p for p in places if os.path.exists(p + "/zq_hello")]
try: socket.socket(socket.AF_UNIX).connect("\\0zq_meet"); found.append("a socket")
except OSError: pass
import numpy
if hasattr(numpy, "zq"): found.append("a module")
""") == []  # fmt: skip
    with started(walls) as third:
        assert found(third, """
places = ("/", "/tmp", "/dev", "/dev/shm", "/grader", "/book", "/etc")
found = [p for p in places if os.path.exists(p + "/zq_hello")]
""") == []  # fmt: skip


def test_the_server_and_new_walls_show_the_same(bubblewrap: str) -> None:
    source = """
status = open("/proc/self/status").read()
found = [sorted(os.listdir("/")), sorted(os.listdir("/etc")), os.getcwd(), sorted(os.environ.items()),
         sys.path, os.getuid(), re.findall("Cap...:.*|NoNewPrivs.*|Seccomp.*", status), os.umask(0)]
"""
    seen = []
    for warm in (True, False):
        with Sandbox(LIMITS, warm=warm) as sandbox, started(sandbox) as one:
            seen.append(found(one, source))
    assert seen[0] == seen[1]


@pytest.fixture(scope="module")
def quick(bubblewrap: str) -> Iterator[Sandbox]:
    """Walls with short limits."""
    with Sandbox(QUICK) as sandbox:
        with started(sandbox) as one:
            one.run("x = 1")
        yield sandbox


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "sum(range(10**14))",
        "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    ],
)
def test_a_loop_costs_its_limit(quick: Sandbox, source: str) -> None:
    with started(quick) as one:
        begun = time.monotonic()
        with pytest.raises((Gone, StudentError)):
            one.run(source)
        assert time.monotonic() - begun < QUICK.step + 2


@pytest.mark.parametrize("last", ["pass", "time.sleep(0.5)"])
def test_after_an_interrupt_the_process_goes_on(quick: Sandbox, last: str) -> None:
    loop = f"import time\nx = 1\ntry:\n    while time.time(): pass\nfinally:\n    {last}"
    with started(quick) as one:
        with pytest.raises(StudentError, match="longer than allowed"):
            one.run(loop)
        assert one.get("x") == 1


def test_what_is_printed_is_cut_to_what_a_person_reads(quick: Sandbox) -> None:
    with started(quick) as one:
        one.run("print('x' * 3 * 10**6)")
        text = one.shown().text
        assert text.count("x") == OUTPUT and "3.0 MB were printed" in text


def test_all_steps_together_have_a_limit(quick: Sandbox) -> None:
    with started(quick) as one:
        before = one.left
        one.run("import time\ntime.sleep(0.3)")
        assert one.left <= before - 0.3
        one.left = 0.2
        with pytest.raises(StudentError, match="longer than allowed"):
            one.run("time.sleep(9)")
        with pytest.raises(Gone) as gone:
            one.run("1")
        assert gone.value.why == "timeout"


def test_figures_are_shown_once(quick: Sandbox) -> None:
    draw = "import matplotlib.pyplot as plt\nfor n in range(3):\n    plt.figure()\n    plt.plot([1, n])"
    with started(quick) as one:
        shown = one.run(draw)
        assert len(set(shown)) == 3 and all(map(is_picture, shown))
        assert one.run("1") == [] and len(one.run(draw.replace("3", "9"))) == 6


def test_the_walls_are_tried_before_anything_is_graded(bubblewrap: str) -> None:
    with Sandbox() as sandbox:
        self_test(sandbox)
    with Sandbox(trusted=True) as sandbox, pytest.raises(NoSandbox, match="do not hold"):
        self_test(sandbox)


def refused(tmp_path: Path, path: str) -> str:
    """What the command says where it may not grade."""
    words = ["grade", "00_tiny", str(tmp_path), "--class", str(tmp_path / "class")]
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "classroom", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert not (tmp_path / "class" / "grades").exists()
    return done.stderr


def test_without_bubblewrap_nothing_is_graded(tmp_path: Path) -> None:
    said = refused(tmp_path, str(tmp_path))
    assert "apt install bubblewrap" in said and "--trusted-students" in said


def test_where_namespaces_are_forbidden_nothing_is_graded(tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    assert "No permissions" in refused(tmp_path, f"{tmp_path}:{os.environ['PATH']}")


def test_root_without_a_way_to_become_a_user_grades_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bubblewrap: str
) -> None:
    (tmp_path / "bwrap").symlink_to(bubblewrap)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(NoSandbox, match="setpriv"), Sandbox() as sandbox:
        sandbox.start()


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user: not run"
)
def test_an_ordinary_user_gets_the_same_walls(bubblewrap: str) -> None:
    """Where the project's files can be read by everybody."""
    become = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", sys.executable, "-B", "-c"]
    look = "import os, sys, torch, classroom; open(os.__file__).close(); print(sys.base_prefix)"
    walls = "from classroom.sandbox import *\nwith Sandbox() as s: self_test(s)\nprint('walls hold')"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/tmp"}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*become, script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    if run(look).stdout.strip() != sys.base_prefix:
        pytest.skip("the project or its Python can be read by root alone: not run")
    done = run(walls)
    assert done.stdout.strip() == "walls hold", done.stderr[-2000:]

"""The registry: damaged files, interrupted downloads, no network, mirrors, several processes, full disks."""

from __future__ import annotations

import errno
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kexue_lite import data
from kexue_lite.data import cache, registry
from kexue_lite.data.registry import DataUnavailableError, Entry, fetch

CONTENT = bytes(range(256)) * 1000
NAME = "small.bin"


class Server:
    """An HTTP server on loopback that serves CONTENT, counts requests, and can misbehave."""

    def __init__(self) -> None:
        self.requests: list[str | None] = []  # the Range header of each
        self.break_off_at: int | None = None  # close the connection after so many bytes, once
        self.ranges = True
        self.status = 200
        self.content = CONTENT
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.requests.append(wanted)
                if outer.status != 200 or self.path != f"/{NAME}":
                    self.send_error(outer.status if outer.status != 200 else 404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and outer.ranges else 0
                if start >= len(outer.content) > 0 and start:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(outer.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    end = len(outer.content)
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if outer.break_off_at is not None:
                    body, outer.break_off_at = body[: outer.break_off_at], None
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def small_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, no mirror, no waiting, and one small file whose address cannot be reached."""
    monkeypatch.setenv("KEXUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KEXUE_DATA_MIRROR", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(registry.time, "sleep", lambda _: None)
    entry = Entry(f"http://127.0.0.1:9/{NAME}", hashlib.sha256(CONTENT).hexdigest(), "a small file", "ours")
    monkeypatch.setitem(registry.REGISTRY, NAME, entry)
    return tmp_path / "cache"


def use_http(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("KEXUE_DATA_MIRROR", server.address)


def test_a_mirror_by_http_is_asked_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_http(monkeypatch, server)
    assert fetch(NAME).read_bytes() == CONTENT
    assert fetch(NAME).read_bytes() == CONTENT
    assert server.requests == [None]


def test_the_address_of_the_registry_is_used_without_a_mirror(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.REGISTRY[NAME]
    moved = Entry(f"{server.address}/{NAME}", entry.sha256, entry.about, entry.terms)
    monkeypatch.setitem(registry.REGISTRY, NAME, moved)
    assert fetch(NAME).read_bytes() == CONTENT


def test_a_mirror_can_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / NAME).write_bytes(CONTENT)
    monkeypatch.setenv("KEXUE_DATA_MIRROR", str(tmp_path / "mirror"))
    path = fetch(NAME)
    assert path.read_bytes() == CONTENT and path.parent == tmp_path / "cache"


@pytest.mark.parametrize("mirrored", [None, b"not the file"])
def test_a_mirror_without_the_right_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bytes | None
) -> None:
    if mirrored is not None:
        (tmp_path / NAME).write_bytes(mirrored)
    monkeypatch.setenv("KEXUE_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataUnavailableError, match=str(tmp_path / NAME)):
        fetch(NAME)
    assert not (tmp_path / "cache" / NAME).exists()


def test_a_damaged_file_is_fetched_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path
) -> None:
    small_registry.mkdir()
    (small_registry / NAME).write_bytes(CONTENT[:-1] + b"?")
    use_http(monkeypatch, server)
    assert fetch(NAME).read_bytes() == CONTENT


def test_an_interrupted_download_goes_on_where_it_stopped(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path
) -> None:
    use_http(monkeypatch, server)
    monkeypatch.setattr(registry, "_ATTEMPTS", 1)
    server.break_off_at = 100_000
    with pytest.raises(DataUnavailableError, match="bytes are kept"):
        fetch(NAME)
    kept = (small_registry / f"{NAME}.part").stat().st_size
    assert 0 < kept <= 100_000
    assert fetch(NAME).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={kept}-"]
    assert not (small_registry / f"{NAME}.part").exists()


def test_one_call_mends_one_broken_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_http(monkeypatch, server)
    server.break_off_at = 1000
    assert fetch(NAME).read_bytes() == CONTENT


def test_a_server_that_cannot_resume_is_asked_for_all(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path
) -> None:
    use_http(monkeypatch, server)
    server.ranges = False
    small_registry.mkdir()
    (small_registry / f"{NAME}.part").write_bytes(CONTENT[:5000])
    assert fetch(NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 5000, b"x" * (len(CONTENT) + 7), b"x" * len(CONTENT), CONTENT])
def test_a_part_of_another_file_does_no_harm(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path, part: bytes
) -> None:
    use_http(monkeypatch, server)
    small_registry.mkdir()
    (small_registry / f"{NAME}.part").write_bytes(part)
    assert fetch(NAME).read_bytes() == CONTENT


def test_no_network_says_what_can_be_done(small_registry: Path) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        fetch(NAME)
    message = str(caught.value)
    for needed in (NAME, f"http://127.0.0.1:9/{NAME}", "KEXUE_DATA_MIRROR", str(small_registry), "by hand"):
        assert needed in message


def test_the_wrong_file_is_refused_and_the_old_one_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path
) -> None:
    use_http(monkeypatch, server)
    server.content = b"an error page"
    small_registry.mkdir()
    (small_registry / NAME).write_bytes(b"old")
    with pytest.raises(DataUnavailableError, match="SHA-256"):
        fetch(NAME)
    assert (small_registry / NAME).read_bytes() == b"old"
    assert not (small_registry / f"{NAME}.part").exists()


def test_not_found_is_not_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_http(monkeypatch, server)
    server.status = 404
    with pytest.raises(DataUnavailableError, match="404"):
        fetch(NAME)
    assert len(server.requests) == 1
    server.status = 503
    with pytest.raises(DataUnavailableError, match="503"):
        fetch(NAME)
    assert len(server.requests) == 1 + registry._ATTEMPTS


def test_a_full_disk_is_named(server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path) -> None:
    use_http(monkeypatch, server)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(registry, "_append", full)
    with pytest.raises(DataUnavailableError, match=r"No space left.*KEXUE_CACHE"):
        fetch(NAME)


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KEXUE_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(DataUnavailableError, match="KEXUE_CACHE"):
        fetch(NAME)


def test_two_processes_at_once_download_once(server: Server, small_registry: Path) -> None:
    code = (
        "import sys; from kexue_lite.data import registry as r; "
        f"r.REGISTRY[{NAME!r}] = r.Entry('', {hashlib.sha256(CONTENT).hexdigest()!r}, 'a', 'b'); "
        f"sys.stdout.write(str(len(r.fetch({NAME!r}).read_bytes())))"
    )
    environment = {**os.environ, "KEXUE_DATA_MIRROR": server.address}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [int(process.communicate(timeout=60)[0]) for process in running] == [len(CONTENT)] * 2
    assert server.requests == [None]


def test_a_lock_held_too_long_is_an_error_and_not_a_hang(
    server: Server, monkeypatch: pytest.MonkeyPatch, small_registry: Path
) -> None:
    import filelock

    use_http(monkeypatch, server)
    monkeypatch.setattr(registry, "_LOCK_SECONDS", 0.2)
    small_registry.mkdir()
    with (
        filelock.FileLock(small_registry / f".{NAME}.lock"),
        pytest.raises(DataUnavailableError, match="another process"),
    ):
        fetch(NAME)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"wordsim353\.csv.*'word353'"):
        fetch("word353")


def test_every_entry_has_an_address_and_a_hash() -> None:
    for name, entry in registry.REGISTRY.items():
        assert len(entry.sha256) == 64 and int(entry.sha256, 16), name
        assert entry.address.startswith("http") and entry.about and entry.terms


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(cache.os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        cache.write_whole(tmp_path / "f", b"new")
    assert [path.read_bytes() for path in tmp_path.glob("*")] == [b"old"]


MIRROR = Path(os.environ.get("KEXUE_TEST_MIRROR") or Path(__file__).parents[3] / "shared" / "data")


@pytest.mark.skipif(not (MIRROR / "questions-words.txt").exists(), reason="the real files are not at hand")
def test_the_real_files_have_their_published_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXUE_DATA_MIRROR", str(MIRROR))
    images = data.mnist_test()
    assert images.images.shape == (10_000, 28, 28) and images.images.max() == 1
    assert np.bincount(images.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [len(part) for part in data.tinyshakespeare()] == [1_003_854, 111_540]
    questions = data.analogy_questions()
    assert len(questions) == 14 and sum(map(len, questions.values())) == 19_544
    assert len(data.wordsim353()) == 353 and data.wordsim353()[1] == ("tiger", "cat", 7.35)
    assert [len(part) for part in data.sst2()] == [6920, 1821]
    train, test = data.chnsenticorp()
    assert len(train) + len(test) == 7765 and abs(train.labels.mean() - test.labels.mean()) < 1e-3


def test_digits_are_split_into_the_two_halves_of_the_book() -> None:
    from sklearn.datasets import load_digits

    A, B = data.digits()
    assert (len(A), len(B)) == (898, 899) and A.images.dtype == np.float32
    assert np.abs(np.bincount(A.labels) - np.bincount(B.labels)).max() <= 1
    together = np.concatenate([A.images, B.images]).reshape(-1, 64) * 16
    original = load_digits().data
    assert sorted(map(tuple, together)) == sorted(map(tuple, original))
    again, _ = data.digits()
    np.testing.assert_array_equal(A.images, again.images)
    # Fixed for good: a change of the split would change every chapter's numbers.
    assert hashlib.sha256(A.labels.astype("<i8").tobytes()).hexdigest()[:8] == "e8c035d1"


@pytest.mark.parametrize(
    ("loader", "content"),
    [
        (data.analogy_questions, "a b c d\n"),
        (data.analogy_questions, ": s\na b c\n"),
        (data.wordsim353, "head\na,b\n"),
        (data.wordsim353, "head\na,b,much\n"),
        (data.chnsenticorp, "label,review\ngood,x\n"),
        (lambda path: data.sst2(path, path), "no label\n"),
        (lambda path: data.mnist_test(path, path), "no gzip"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, loader: object, content: str) -> None:
    (tmp_path / "file").write_text(content)
    with pytest.raises(ValueError):
        loader(tmp_path / "file")  # type: ignore[operator]


@pytest.mark.parametrize(
    "loader", [data.tinyshakespeare, data.analogy_questions, data.wordsim353, data.chnsenticorp]
)
def test_an_empty_file_is_named(tmp_path: Path, loader: object) -> None:
    (tmp_path / "nothing.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"nothing\.txt is empty"):
        loader(tmp_path / "nothing.txt")  # type: ignore[operator]

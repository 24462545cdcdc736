"""Files that are downloaded when asked for: where they are, what they must be, how they arrive whole.

`fetch` gives the path of a verified file. A file in the cache that has the right SHA-256 costs no
connection. Otherwise it comes from its address or, if `KEXUE_DATA_MIRROR` is set, from that folder or http
base address *instead*. A download that breaks off is kept as ``<name>.part`` and continued by the next call.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexue_lite.data.cache import cache_folder, quiet_pooch

if TYPE_CHECKING:
    import pooch

_GITHUB = "https://raw.githubusercontent.com"
_ATTEMPTS = 3
_LOCK_SECONDS = 600


@dataclass(frozen=True)
class Entry:
    """A file of the registry: its address, SHA-256, what it is and under which terms."""

    address: str
    sha256: str
    about: str
    terms: str


REGISTRY: dict[str, Entry] = {
    "mnist-t10k-images-idx3-ubyte.gz": Entry(
        f"{_GITHUB}/kelas/mnist/master/t10k-images-idx3-ubyte.gz",
        "167310007f03058885c7e95e6c0b19c20de5c7fd3031f4cbdadc9014a523d80b",
        "MNIST test images, 10,000 of 28×28",
        "MNIST, LeCun, Cortes, Burges",
    ),
    "mnist-t10k-labels-idx1-ubyte.gz": Entry(
        f"{_GITHUB}/kelas/mnist/master/t10k-labels-idx1-ubyte.gz",
        "fc607395669ec21321ea83e4b82c0544b7e8e63ff5b34337c06bc0a17cc0da3c",
        "their labels",
        "MNIST, LeCun, Cortes, Burges",
    ),
    "tinyshakespeare.txt": Entry(
        f"{_GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "1,115,394 characters of Shakespeare",
        "public-domain text",
    ),
    "questions-words.txt": Entry(
        f"{_GITHUB}/tmikolov/word2vec/master/questions-words.txt",
        "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
        "Google's analogy questions, 19,544 in 14 sections",
        "Apache-2.0 repository",
    ),
    "wordsim353.csv": Entry(
        f"{_GITHUB}/fanglanting/skip-gram-pytorch/master/wordsim353/combined.csv",
        "49ff6433ae68abe716fb66433fd870483e289a7a8c74531f59eca847d103fff3",
        "WordSim-353: word pairs with mean human similarity",
        "Finkelstein et al. 2002",
    ),
    "sst2-train.tsv": Entry(
        f"{_GITHUB}/clairett/pytorch-sentiment-classification/master/data/SST2/train.tsv",
        "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
        "SST-2, 6,920 training sentences",
        "Socher et al. 2013",
    ),
    "sst2-test.tsv": Entry(
        f"{_GITHUB}/clairett/pytorch-sentiment-classification/master/data/SST2/test.tsv",
        "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7",
        "SST-2, 1,821 test sentences",
        "Socher et al. 2013",
    ),
    "ChnSentiCorp_htl_all.csv": Entry(
        f"{_GITHUB}/SophonPlus/ChineseNlpCorpus/master/datasets/ChnSentiCorp_htl_all/ChnSentiCorp_htl_all.csv",
        "1d414b9c65caf3a836abdb4efded621968502ad3338e1a9d885ae131c86083f0",
        "7,766 Chinese hotel reviews, positive or negative",
        "research corpus, Tan Songbo",
    ),
}


class DataUnavailableError(OSError):
    """A file could not be had. The message says which, from where, why, and the ways left."""


def fetch(name: str) -> Path:
    """The path of a file of the registry, verified; downloaded first if it is not in the cache.

    Parameters
    ----------
    name
        A key of `REGISTRY`.

    Returns
    -------
    Path
        In the cache folder (`KEXUE_CACHE`, else the system's place for caches).

    Raises
    ------
    ValueError
        If there is no such file in the registry; the message lists those that there are.
    DataUnavailableError
        If it cannot be downloaded, verified or stored. What was in the cache before is still there, and so is
        the part of a download that broke off.

    Examples
    --------
    >>> fetch("imagenet")
    Traceback (most recent call last):
    ...
    ValueError: name must be one of ChnSentiCorp_htl_all.csv, ...; got 'imagenet'
    """
    if name not in REGISTRY:
        raise ValueError(f"name must be one of {', '.join(sorted(REGISTRY))}; got {name!r}")
    path = cache_folder() / name
    if _matches(path, REGISTRY[name].sha256):
        return path
    import filelock

    address, by_folder = _source(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.parent / f".{name}.lock", timeout=_LOCK_SECONDS):
            if not _matches(path, REGISTRY[name].sha256):  # another process may have brought it meanwhile
                store = quiet_pooch().create(
                    path.parent,
                    base_url="",
                    registry={name: f"sha256:{REGISTRY[name].sha256}"},
                    urls={name: address},
                )
                store.fetch(name, downloader=_copier(name) if by_folder else _downloader(name))
    except filelock.Timeout as error:
        raise _unavailable(name, f"another process has held {error.lock_file} for too long") from error
    except DataUnavailableError:
        raise
    except OSError as error:
        raise DataUnavailableError(
            f"{name} could not be stored in {path.parent}: {error.strerror or error}. Free some space or set "
            f"KEXUE_CACHE to a folder that can be written; nothing that was there is lost."
        ) from error
    return path


def _source(name: str) -> tuple[str, bool]:
    """Address or path from which to take a file, and whether it is a path."""
    mirror = os.environ.get("KEXUE_DATA_MIRROR", "").strip()
    if not mirror:
        return REGISTRY[name].address, False
    if mirror.startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{name}", False
    return str(Path(mirror).expanduser() / name), True


def _copier(name: str) -> Callable[[str, str, pooch.Pooch | None], None]:
    def copy(source: str, target: str, _: pooch.Pooch | None) -> None:
        if not Path(source).is_file():
            raise _unavailable(name, f"KEXUE_DATA_MIRROR has no file {source}")
        if not _matches(Path(source), REGISTRY[name].sha256):
            raise _unavailable(name, f"the mirror's {source} is damaged: it has another SHA-256")
        shutil.copyfile(source, target)

    return copy


def _downloader(name: str) -> Callable[[str, str, pooch.Pooch | None], None]:
    def download(address: str, target: str, _: pooch.Pooch | None) -> None:
        part = cache_folder() / f"{name}.part"
        for fresh in (False, True):
            # A part left by an earlier call may belong to another version: then once more from the start.
            resumed = part.exists()
            _complete(name, address, part)
            if _matches(part, REGISTRY[name].sha256):
                os.replace(part, target)
                return
            part.unlink()
            if fresh or not resumed:
                break
        raise _unavailable(name, f"{address} gives another file: its SHA-256 is not the expected one")

    return download


def _complete(name: str, address: str, part: Path) -> None:
    """Bring the rest of a file into `part`, asking only for the bytes that are missing."""
    import requests

    reason: Exception | str = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            _append(name, address, part)
            return
        except requests.HTTPError as error:
            reason = error
            if error.response is not None and error.response.status_code < 500:
                break  # not found, forbidden: asking again changes nothing
        except requests.ConnectTimeout as error:
            reason = error
            break
        except requests.RequestException as error:
            reason = error
    kept = (
        f"; {part.stat().st_size:,} bytes are kept and the next call goes on from there"
        if part.exists()
        else ""
    )
    raise _unavailable(name, f"{_brief(reason)}{kept}")


def _append(name: str, address: str, part: Path) -> None:
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file, not of a compressed form
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(address, headers=headers, stream=True, timeout=(10, 60)) as answer:
        if answer.status_code == 416:  # nothing after what we have: complete, or not the same file
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(have):
                return
            part.unlink()
            raise requests.ConnectionError("the part kept from before does not fit the file")
        answer.raise_for_status()
        if have and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # a server that cannot resume sends the whole
        length = answer.headers.get("Content-Length")
        total_bytes = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(total=total_bytes, initial=have, desc=name, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for chunk in answer.iter_content(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
    if total_bytes is not None and part.stat().st_size < total_bytes:
        raise requests.ConnectionError("the connection broke off before the end")


def _matches(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False


def _brief(error: Exception | str) -> str:
    """The last and most telling part of a nested network error."""
    text = str(error)
    return text.rpartition("NewConnectionError")[2].strip("'()>: ") or text


def _unavailable(name: str, reason: str) -> DataUnavailableError:
    entry = REGISTRY[name]
    return DataUnavailableError(
        f"{name} ({entry.about}) is not in the cache and could not be had: {reason}.\n"
        f"  Its address: {entry.address}\n"
        f"  With no network: set KEXUE_DATA_MIRROR to a folder, or to an http address, that holds {name},\n"
        f"  or put the file by hand into {cache_folder()} (SHA-256 {entry.sha256})."
    )

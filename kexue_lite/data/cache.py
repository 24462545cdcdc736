"""Where data is kept between runs, and how a file gets there whole or not at all."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from types import ModuleType


def cache_folder() -> Path:
    """The folder of cached data: `KEXUE_CACHE` if it is set, else the system's own place for caches.

    Nothing is created by asking.

    Examples
    --------
    >>> import os
    >>> os.environ["KEXUE_CACHE"] = "elsewhere"
    >>> cache_folder().name
    'elsewhere'
    >>> del os.environ["KEXUE_CACHE"]
    >>> cache_folder().name
    'kexue_lite'
    """
    wanted = os.environ.get("KEXUE_CACHE", "").strip()
    if wanted:
        return Path(wanted).expanduser()
    pooch = quiet_pooch()
    return Path(pooch.os_cache("kexue_lite"))


def quiet_pooch() -> ModuleType:
    """pooch, imported without a word: in a notebook without ipywidgets its progress bars would complain.

    Examples
    --------
    >>> quiet_pooch().__name__
    'pooch'
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch
    pooch.get_logger().setLevel("WARNING")
    return pooch


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader, or a kill at any moment, finds the old file or the new one.

    Raises
    ------
    OSError
        If the folder cannot be made or the file cannot be written; nothing half-written is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "new" / "file", b"whole")
    ...     (Path(folder) / "new" / "file").read_bytes()
    b'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's 0o600 would hide a shared cache from the other users
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

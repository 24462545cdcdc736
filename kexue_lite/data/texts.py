"""Downloaded texts, in the form in which the chapters use them. Each loader also reads a file of your own."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexue_lite.data.registry import fetch

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts with labels: `texts` is a list of strings, `labels` has shape ``(N,)``, int64."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def tinyshakespeare(path: PathLike | None = None) -> tuple[str, str]:
    """1,115,394 characters of Shakespeare: the first 90 % to train on, the last 10 % to validate.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "play.txt"
    ...     _ = file.write_text("ROMEO: O!\\n")
    ...     tinyshakespeare(file)
    ('ROMEO: O!', '\\n')
    """
    text = _text(path, "tinyshakespeare.txt")
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]


def analogy_questions(path: PathLike | None = None) -> dict[str, list[tuple[str, str, str, str]]]:
    """Google's 19,544 analogy questions (a, b, c, d) in 14 sections, in lower case.

    Raises
    ------
    ValueError
        If a line is neither a section's name after a colon nor four words.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "questions"
    ...     _ = file.write_text(": capitals\\nAthens Greece Oslo Norway\\n")
    ...     analogy_questions(file)
    {'capitals': [('athens', 'greece', 'oslo', 'norway')]}
    """
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    section: list[tuple[str, str, str, str]] | None = None
    for number, line in enumerate(_text(path, "questions-words.txt").lower().splitlines(), 1):
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
        elif line.strip():
            words = line.split()
            if section is None or len(words) != 4:
                raise ValueError(f"line {number} must be four words below a section's name, got {line!r}")
            section.append((words[0], words[1], words[2], words[3]))
    return sections


def wordsim353(path: PathLike | None = None) -> list[tuple[str, str, float]]:
    """WordSim-353: pairs of words, in lower case, with their mean human similarity from 0 to 10.

    Raises
    ------
    ValueError
        If a row is not two words and a number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "pairs.csv"
    ...     _ = file.write_text("Word 1,Word 2,Human (mean)\\ntiger,cat,7.35\\n")
    ...     wordsim353(file)
    [('tiger', 'cat', 7.35)]
    """
    rows = list(csv.reader(_text(path, "wordsim353.csv").splitlines()))[1:]
    try:
        return [(first.lower(), second.lower(), float(rating)) for first, second, rating in rows]
    except ValueError as error:
        raise ValueError(f"each row must be two words and a number: {error}") from error


def sst2(train: PathLike | None = None, test: PathLike | None = None) -> tuple[Texts, Texts]:
    """SST-2: sentences of film reviews, negative (0) or positive (1): 6,920 to train on, 1,821 to test.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "reviews.tsv"
    ...     _ = file.write_text("no fun\\t0\\n")
    ...     sst2(file, file)[0].texts
    ['no fun']
    """
    return _tab_separated(_text(train, "sst2-train.tsv")), _tab_separated(_text(test, "sst2-test.tsv"))


def chnsenticorp(path: PathLike | None = None, *, seed: int = 0) -> tuple[Texts, Texts]:
    """ChnSentiCorp: Chinese hotel reviews, negative (0) or positive (1), 80 % to train on and 20 % to test.

    Empty reviews are left out. The split is stratified by label and drawn with `seed`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "reviews.csv"
    ...     _ = file.write_text("label,review\\n" + "1,不错\\n0,很差\\n" * 10, encoding="utf-8")
    ...     train, test = chnsenticorp(file)
    >>> len(train), len(test), int(test.labels.sum())
    (16, 4, 2)
    """
    from sklearn.model_selection import train_test_split

    rows = list(csv.reader(_text(path, "ChnSentiCorp_htl_all.csv").splitlines(keepends=True)))[1:]
    try:
        pairs = [(review.strip(), int(label)) for label, review in rows if review.strip()]
    except ValueError as error:
        raise ValueError(f"each row must be a label and a review: {error}") from error
    labels = np.array([label for _, label in pairs])
    parts = train_test_split(np.arange(len(pairs)), test_size=0.2, stratify=labels, random_state=seed)
    first, second = (Texts([pairs[i][0] for i in np.sort(p)], labels[np.sort(p)]) for p in parts)
    return first, second


def _text(path: PathLike | None, name: str) -> str:
    file = Path(path or fetch(name))
    text = file.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise ValueError(f"{file.name} is empty: it must hold text")
    return text


def _tab_separated(text: str) -> Texts:
    rows = [line.rsplit("\t", 1) for line in text.split("\n") if line]
    if any(len(row) != 2 or row[1].strip() not in ("0", "1") for row in rows):
        raise ValueError("each line must be a sentence, a tab and the label 0 or 1")
    return Texts([row[0] for row in rows], np.array([int(row[1]) for row in rows]))

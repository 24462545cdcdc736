"""What the class key changes in the small assignment, and two words that must stay in the source."""

from __future__ import annotations

import random


def variant(random: random.Random) -> dict[str, object]:
    """The numbers of one class."""
    return {
        "ratio": random.choice([1.5, 2.5, 3.5]),
        "table": [[random.randint(1, 99) for _ in range(4)] for _ in range(3)],
        "hidden_word": f"zq_hidden_{random.getrandbits(24):06x}",
        "answer_word": f"zq_answer_{random.getrandbits(24):06x}",
    }

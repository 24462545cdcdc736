"""One training loop: steps, progress, accumulation, moving average, checkpoints, several processes.

Every chapter that trains does the same thing: take a batch, the gradient of its mean loss, a step:

    g_k = 1/B Σ_b ∇ℓ(θ_k; x_b),      θ_{k+1} = step(θ_k, g_k).

`train` writes this once, and takes care of what a loop of five lines forgets. The batch of a step is a pure
function of the step's number (`minibatches`, `generator_for`): that is why a run that was killed and taken up
again ends with the very same bits as one that was left alone, and why several processes agree on a batch
without a word between them.
"""

from .batches import generator_for, minibatches
from .checkpoints import Checkpoint
from .loop import train
from .settings import Run, Watch

__all__ = ["Checkpoint", "Run", "Watch", "generator_for", "minibatches", "train"]

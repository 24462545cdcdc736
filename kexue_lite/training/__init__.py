r"""One training loop: steps, progress, accumulation, moving average, checkpoints, several processes.

Every chapter that trains does the same thing: draw the batch of step $k$, take the gradient of the mean loss,
step:

$$g_k = \frac1B\sum_{b=1}^{B} \nabla_\theta\,\ell(\theta_k; x_b),
\quad \theta_{k+1} = \mathrm{step}(\theta_k, g_k)$$

`train` writes this once, and takes care of what a loop of five lines forgets. The batch of a step is a pure
function of the step's number (`minibatches`, `generator_for`), which makes a run that was killed and taken up
again end with the very same bits as one that was left alone.

| you want | you write |
|---|---|
| to train | ``train(model, loss, minibatches(x, y, batch_size=64, seed=0), optimizer=..., steps=500)`` |
| a large batch in little memory | ``accumulate=4`` |
| smoother weights | ``average=0.999``, then ``run.averaged`` |
| to stop in time | ``watch=Watch(score, every=50, patience=5)`` |
| to survive a kill | ``checkpoint=Checkpoint("run.ckpt", every=100)``, and start the same program again |
| several devices | ``fabric=Fabric(devices=2)`` of `lightning_fabric`, after ``fabric.launch()`` |
| two networks against each other | a sequence of optimisers, and as many losses |
"""

from .batches import generator_for, minibatches
from .checkpoints import Checkpoint
from .loop import train
from .settings import Run, Watch

__all__ = ["Checkpoint", "Run", "Watch", "generator_for", "minibatches", "train"]

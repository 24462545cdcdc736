"""A training step of chapter 7's U-Net and of `diffusers`' UNet2DModel of about equal parameters, in turns.

Both see batches of 28×28 pictures, in three sizes, attention at the smallest; a step is forward, backward and
AdamW. The widths are chosen so that ours has at least as many parameters.
`diffusers` is no requirement of the book:

    pip install --target somewhere diffusers==0.42.1
    PYTHONPATH=somewhere python -m benchmarks.unet_race
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import kexue_lite.ddpm.unet as unet
from benchmarks import harness
from kexue_lite.ddpm import Schedule, UNet, loss
from kexue_lite.device import device

CODE = (unet,)
SIZE, T = 28, 1000


def stepper(
    model: nn.Module,
    call: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    batch: int,
    where: torch.device,
    together: int,
) -> Any:
    """A function that takes so many training steps of the noise loss, and waits until they are done."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    schedule = Schedule.article(T)
    x = torch.randn(batch, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(where)

    def steps() -> None:
        for _ in range(together):
            optimizer.zero_grad()
            loss(call, x, schedule).mean().backward()
            optimizer.step()
        if where.type == "cuda":
            torch.cuda.synchronize()

    return steps


def theirs() -> nn.Module:
    """Of `diffusers`: one layer in each block, attention at the smallest size alone."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 32, 64),
        norm_num_groups=8,
        attention_head_dim=16,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
    )


def race(repeat: int, threads: int, batch: int, where: torch.device, together: int) -> dict[str, Any]:
    """Paired steps of both."""
    about = harness.circumstances(code=CODE, packages=("torch", "diffusers"), where=where)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours, other = UNet(size=SIZE, T=T, channels=(20, 40, 108)).to(where), theirs().to(where)
    counts = [sum(p.numel() for p in model.parameters()) for model in (ours, other)]
    times = harness.in_turns(
        stepper(ours, ours, batch, where, together),
        stepper(other, lambda x, t: other(x[:, None], t).sample[:, 0], batch, where, together),
        repeat=repeat,
    )
    rows = [
        {
            "device": where.type,
            "parameters_ours": counts[0],
            "parameters_theirs": counts[1],
            "milliseconds_ours": round(1000 * harness.Spread.of(times.ours).median / together, 1),
            "milliseconds_theirs": round(1000 * harness.Spread.of(times.theirs).median / together, 1),
            "theirs_over_ours": round(times.ratio.median, 2),
            "low": round(times.ratio.low, 2),
            "high": round(times.ratio.high, 2),
        }
    ]
    return {
        "title": "A training step of a U-Net" + (", on a GPU" if where.type == "cuda" else ""),
        "question": "How long does one step take, ours against diffusers' UNet2DModel? Paired runs of "
        f"{together} step{'s' if together > 1 else ''}; median, smallest and largest ratio.",
        "rows": rows,
        "batch": batch,
        "threads": threads,
        "repeat": repeat,
        "command": f"python -m benchmarks.unet_race --repeat {repeat} --batch {batch} --together {together}",
    } | about


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--together", type=int, default=1, help="steps between two looks at the clock")
    options = parser.parse_args(arguments)
    where = device()
    result = race(options.repeat, options.threads, options.batch, where, options.together)
    print(harness.markdown(result["rows"]))
    name = "unet_race" if where.type == "cpu" else f"unet_race_{where.type}"
    print("stored in", harness.store(name, result).name)


if __name__ == "__main__":
    main()

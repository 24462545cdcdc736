"""Chapter 8: attention over quantised keys, its quadratic twin, the moving codebook, the fixed-size state."""

from __future__ import annotations

import copy
import math
import runpy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from kexue_lite.vq_attention import (
    VectorQuantizer,
    VQState,
    arguments,
    attention,
    blocks,
    nearest_codes,
    quadratic_vq_attention,
    quantizer,
    vq_attention,
)

NAN = float("nan")


@pytest.fixture(autouse=True, params=["two calls", "one call"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds for both ways of the fast form: that of the CPU, and that of all other devices."""
    if request.param == "one call":
        monkeypatch.setattr(attention, "FUSED", ())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def inputs(
    B: int = 2,
    H: int = 3,
    T: int = 20,
    D: int = 4,
    E: int = 4,
    S: int = 6,
    *,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v and a codebook whose codes are near some of the keys."""
    q, k = normal(2, B, H, T, D, dtype=dtype)
    return q, k, normal(B, H, T, E, seed=1, dtype=dtype), normal(H, S, D, seed=2, dtype=dtype)


# -- the fast form and its twin


@pytest.mark.parametrize("S", [1, 2, 7, 40])
@pytest.mark.parametrize("L", [1, 2, 5, 16, 64])
@pytest.mark.parametrize("T", [1, 2, 3, 15, 16, 17, 32, 33, 50, 97])
def test_fast_equals_quadratic(T: int, L: int, S: int) -> None:
    for bias in (None, normal(2 * L, seed=3), normal(3, 2 * L, seed=3)):
        given = inputs(T=T, S=S)
        fast = vq_attention(*given, block_size=L, window_bias=bias)
        twin = quadratic_vq_attention(*given, block_size=L, window_bias=bias)
        assert fast.shape == twin.shape == (2, 3, T, 4)
        assert torch.allclose(fast, twin, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("D", "E"), [(4, 9), (9, 4), (1, 1), (64, 64), (5, 1)])
@pytest.mark.parametrize("causal", [True, False])
def test_fast_equals_quadratic_whatever_the_widths(D: int, E: int, causal: bool) -> None:
    given = inputs(T=45, D=D, E=E)
    fast = vq_attention(*given, causal=causal, block_size=7)
    twin = quadratic_vq_attention(*given, causal=causal, block_size=7)
    assert torch.allclose(fast, twin, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("T", "L", "S"), [(1, 8, 4), (100, 8, 4), (1000, 64, 64), (1500, 128, 256)])
def test_fast_equals_quadratic_in_float32(T: int, L: int, S: int) -> None:
    given = inputs(B=1, T=T, D=32, E=32, S=S, dtype=torch.float32)
    fast = vq_attention(*given, block_size=L)
    exact = quadratic_vq_attention(*(x.double() for x in given), block_size=L)
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().max() <= 1e-5


def test_float32_keeps_its_digits_over_many_blocks() -> None:
    given = inputs(B=1, H=1, T=20000, D=8, E=8, S=16, dtype=torch.float32)
    fast, exact = vq_attention(*given), vq_attention(*(x.double() for x in given))
    assert (fast - exact).abs().max() <= 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_equals_cpu() -> None:
    given = [x.requires_grad_() for x in inputs(T=70)]
    found = []
    for device in ("cpu", "cuda"):
        result = vq_attention(*(x.to(device) for x in given), block_size=8)
        found.append([result.cpu(), *torch.autograd.grad(result.square().sum(), given[:3])])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_the_size_of_a_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(T=70)
    whole = vq_attention(*given, block_size=4)
    for numbers in (1, 3000, 10000):
        monkeypatch.setitem(attention.AT_ONCE, "cpu", numbers)
        monkeypatch.setattr(blocks, "AT_ONCE", numbers)
        monkeypatch.setitem(quantizer.AT_ONCE, "cpu", numbers)
        assert torch.allclose(vq_attention(*given, block_size=4), whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("T", "L", "S"), [(1, 8, 4), (50, 8, 16), (700, 16, 40)])
@pytest.mark.parametrize("biased", [False, True])
def test_16_bits_lose_no_more_than_the_twin_loses_in_them(T: int, L: int, S: int, biased: bool) -> None:
    """Both beside the twin in float64, forward and back: sums and counts are kept in 32 bits."""
    *given, codebook = (x.bfloat16().double() for x in inputs(T=T, D=16, E=16, S=S))
    bias = normal(3, 2 * L, seed=3).bfloat16().double() if biased else None
    found = []
    for form, kind in (
        (quadratic_vq_attention, torch.float64),
        (quadratic_vq_attention, torch.bfloat16),
        (vq_attention, torch.bfloat16),
    ):
        leaves = [x.to(kind).requires_grad_() for x in given]
        its_bias = None if bias is None else bias.to(kind)
        out = form(*leaves, codebook.to(kind), block_size=L, window_bias=its_bias)
        assert out.dtype == kind
        found.append([out, *torch.autograd.grad(out, leaves, normal(*out.shape, seed=4).to(kind))])
    for exact, twin, fast in zip(*found, strict=True):
        size = exact.abs().max().clamp(min=1)
        lost, may = ((x - exact).abs().max() / size for x in (fast.double(), twin.double()))
        assert lost <= 2 * may + 2**-8


def test_a_codebook_may_keep_its_32_bits_beside_keys_of_16() -> None:
    q, k, v, codebook = inputs(T=40, dtype=torch.bfloat16)
    fine = codebook.float() + 0.001 * normal(*codebook.shape, seed=7).float()
    assert torch.equal(nearest_codes(k, fine), nearest_codes(k.float(), fine))
    for form in (vq_attention, quadratic_vq_attention):
        assert form(q, k, v, fine, block_size=4).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="codebook must be of the type"):
        vq_attention(q, k, v, fine.double())


@pytest.mark.parametrize("biased", [False, True])
def test_a_state_in_16_bits_still_counts(biased: bool) -> None:
    """2,000 tokens of one code: in 16 bits a count would stop at 256."""
    q, k, v = (x[:, :, :1].expand(-1, -1, 2000, -1) for x in inputs(B=1, H=1, T=2, dtype=torch.bfloat16)[:3])
    state = VQState(k[0, :, :1].contiguous(), 1, 4, block_size=4)
    state.extend(k, v)
    assert state.counts.sum() == 2000 - 8
    step = state.step(q[:, :, :1], k[:, :, :1], v[:, :, :1])
    assert torch.allclose(step, v[:, :, :1], rtol=2**-7)


@pytest.mark.parametrize("causal", [True, False])
def test_a_log_count_keeps_its_digits_in_16_bits(causal: bool) -> None:
    """√D log n, rounded to 16 bits, would be 0.06 too high for 815 and as much too low for 983."""
    codes = torch.arange(815 + 983) >= 815
    codebook = torch.zeros(1, 2, 16, dtype=torch.bfloat16)
    codebook[:, 1] = 1
    k = codebook[:, codes.long()][None]
    out = vq_attention(torch.zeros_like(k), k, 1 - 2 * k[..., :4], codebook, causal=causal, block_size=1)
    assert (out[0, 0, -1] - (815 - 983) / (815 + 983)).abs().max() < 0.003


def test_16_bits_on_a_device_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "computes", lambda device, kind: kind is not torch.bfloat16)
    with pytest.raises(TypeError, match=r"^q holds torch\.bfloat16, in which cpu does not compute: use"):
        vq_attention(*inputs(dtype=torch.bfloat16))


class Written(TorchDispatchMode):
    """How many numbers each operation writes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for x in found if isinstance(found, tuple) else (found,):
            if isinstance(x, Tensor) and not x._is_view():
                self.sizes.append(x.numel())
        return found


@pytest.mark.parametrize("causal", [True, False])
def test_what_is_written_grows_as_T_forward_and_back(causal: bool) -> None:
    """Four times the tokens, four times the numbers; and never a tensor of T² of them, as the twin needs."""
    totals, largest = [], []
    for T in (1024, 4096):
        *given, codebook = inputs(B=1, H=1, T=T, S=16, dtype=torch.float32)
        leaves = [x.requires_grad_() for x in given]
        with Written() as written:
            out = vq_attention(*leaves, codebook, causal=causal, block_size=16)
            torch.autograd.grad(out, leaves, out, allow_unused=True)
        totals.append(sum(written.sizes)), largest.append(max(written.sizes))
    assert totals[1] <= 4.5 * totals[0]
    assert largest[1] < 4096**2 / 8
    with Written() as written, torch.no_grad():
        quadratic_vq_attention(*given, codebook, causal=causal, block_size=16)
    assert max(written.sizes) == 4096**2


@pytest.mark.parametrize("causal", [True, False])
def test_with_all_distinct_keys_as_codes_it_is_softmax_attention(causal: bool) -> None:
    q, _, v, codebook = inputs(B=1, T=60, S=11)
    picked = torch.randint(11, (60,), generator=generator(5))
    k = codebook[None, :, picked]
    exact = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    for form in (vq_attention, quadratic_vq_attention):
        assert torch.allclose(form(q, k, v, codebook, causal=causal, block_size=8), exact, rtol=0, atol=1e-12)


def test_the_window_bias_acts_in_two_blocks_alone() -> None:
    q, k, v, codebook = inputs(B=1, T=40)
    alone = torch.full((16,), 1e4, dtype=torch.float64)  # nothing far counts beside it
    near = vq_attention(q, k, v, codebook, block_size=8, window_bias=alone)
    changed = v.clone()
    changed[:, :, :16] += 1.0
    again = vq_attention(q, k, changed, codebook, block_size=8, window_bias=alone)
    assert torch.equal(near[:, :, 24:], again[:, :, 24:])
    never = -alone
    far = vq_attention(q, k, v, codebook, block_size=8, window_bias=never)
    changed = v.clone()
    changed[:, :, 24:] += 1.0
    again = vq_attention(q, k, changed, codebook, block_size=8, window_bias=never)
    assert torch.equal(far[:, :, 32:], again[:, :, 32:])


def test_large_scores_stay_finite() -> None:
    q, k, v, codebook = inputs(T=40)
    fast = vq_attention(300 * q, k, v, 300 * codebook, block_size=4)
    twin = quadratic_vq_attention(300 * q, k, v, 300 * codebook, block_size=4)
    assert torch.isfinite(fast).all() and torch.allclose(fast, twin, rtol=0, atol=1e-9)


# -- causality, independence


@pytest.mark.parametrize("form", [vq_attention, quadratic_vq_attention])
def test_causal_by_jacobian(form: Any) -> None:
    T = 14
    q, k, v, codebook = inputs(B=1, H=1, T=T, D=3, E=3)
    of_q, of_k, of_v = torch.autograd.functional.jacobian(
        lambda q, k, v: form(q, k, v, codebook, block_size=3)[0, 0], (q, k, v)
    )
    for jacobian in (of_q, of_k, of_v):
        by_time = jacobian[:, :, 0, 0].abs().sum((1, 3))  # output time, input time
        assert (by_time.triu(1) == 0).all()
    assert (of_v[:, :, 0, 0].abs().sum((1, 3)).tril() > 0)[torch.ones(T, T).tril() > 0].all()
    i, j = torch.arange(T)[:, None], torch.arange(T)
    far = i // 3 - j // 3 > 1
    assert (of_k[:, :, 0, 0].abs().sum((1, 3))[far] == 0).all()


def test_later_tokens_change_no_earlier_bit() -> None:
    q, k, v, codebook = inputs(T=40)
    before = vq_attention(q, k, v, codebook, block_size=8)
    for x in (q, k, v):
        x[:, :, 21:] = normal(2, 3, 19, 4, seed=9)
    assert torch.allclose(
        vq_attention(q, k, v, codebook, block_size=8)[:, :, :21], before[:, :, :21], atol=1e-14
    )


def test_the_order_of_codes_means_nothing() -> None:
    q, k, v, codebook = inputs(T=50)
    order = torch.randperm(6, generator=generator())
    one, other = (vq_attention(q, k, v, c, block_size=8) for c in (codebook, codebook[:, order]))
    assert torch.allclose(one, other, rtol=0, atol=1e-13)


def test_batches_and_heads_know_nothing_of_each_other() -> None:
    q, k, v, codebook = inputs(T=50)
    bias = normal(3, 16, seed=4)
    all_of_them = vq_attention(q, k, v, codebook, block_size=8, window_bias=bias)
    for b in range(2):
        for h in range(3):
            one = (x[b : b + 1, h : h + 1] for x in (q, k, v))
            alone = vq_attention(*one, codebook[h : h + 1], block_size=8, window_bias=bias[h])
            assert torch.allclose(alone[0, 0], all_of_them[b, h], rtol=0, atol=1e-13)


LAYOUTS: dict[str, Any] = {
    "heads inside": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "width outside": lambda x: x.mT.contiguous().mT,
    "batch inside": lambda x: x.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
    "every other number": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "one number": lambda x: x[..., :1].expand_as(x),
    "one token": lambda x: x[:, :, :1].expand_as(x),
    "one text": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("B", "H", "E"), [(2, 3, 4), (1, 1, 4), (1, 1, 3)])
def test_numbers_may_lie_in_any_order(layout: str, B: int, H: int, E: int) -> None:
    """Of q, k, v, and of what pulls at the result: the kernel itself does not look."""
    *given, codebook = inputs(B=B, H=H, T=40, E=E, S=3)
    bias, pull = normal(2, 8, seed=3), normal(B, H, 40, E, seed=8)
    for chosen in (0, 1, 2, 3):
        for its_bias in (None, bias[0]):
            found = []
            for lay in (LAYOUTS[layout], lambda x: LAYOUTS[layout](x).contiguous()):
                leaves = [x.detach() for x in (*given, pull)]
                leaves[chosen] = lay(leaves[chosen]).detach()
                *leaves, its_pull = leaves
                leaves = [x.requires_grad_() for x in leaves]
                out = vq_attention(*leaves, codebook, block_size=4, window_bias=its_bias)
                found.append([out, *torch.autograd.grad(out, leaves, its_pull)])
            for one, other in zip(*found, strict=True):
                assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("extra", [0, 1, 7, 10**9])
def test_a_block_longer_than_the_text_costs_no_more_than_the_text(extra: int) -> None:
    given = inputs(B=1, T=9)
    leaves = [x.requires_grad_() for x in given[:3]]
    with Written() as written:
        long = vq_attention(*leaves, given[3], block_size=9 + extra)
        torch.autograd.grad(long, leaves, long)
    assert torch.allclose(long, vq_attention(*given, block_size=9), rtol=0, atol=1e-13)
    assert max(written.sizes) < 3000
    if extra < 10:
        bias = normal(3, 2 * (9 + extra), seed=3)
        long = vq_attention(*given, block_size=9 + extra, window_bias=bias)
        twin = quadratic_vq_attention(*given, block_size=9 + extra, window_bias=bias)
        assert torch.allclose(long, twin, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [1e4, 1e30, 1e38, torch.finfo(torch.float32).max])
@pytest.mark.parametrize("where", ["everywhere", "before", "here"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_bias_of_any_size(size: float, where: str, sign: int) -> None:
    """As a mask by the greatest number there is; block −1, which nobody may see, does not come in."""
    given = inputs(T=50, dtype=torch.float32)
    bias = normal(8, seed=3, dtype=torch.float32) if where != "everywhere" else torch.zeros(8)
    bias[{"everywhere": slice(8), "before": slice(4, 8), "here": slice(4)}[where]] = sign * size
    fast = vq_attention(*given, block_size=4, window_bias=bias)
    twin = quadratic_vq_attention(*given, block_size=4, window_bias=bias)
    assert torch.allclose(fast, twin, rtol=0, atol=2e-3 if size == 1e4 else 1e-5)  # 1e4 takes 4 digits


# -- gradients


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("T", "L", "E"), [(1, 4, 4), (7, 4, 4), (30, 4, 4), (33, 5, 7), (64, 16, 2)])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_gradients_equal_the_twins(
    T: int, L: int, E: int, causal: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(attention.AT_ONCE, "cpu", chunk)
    monkeypatch.setattr(blocks, "AT_ONCE", chunk)
    q, k, v, codebook = inputs(T=T, E=E)
    for bias in (None, normal(2 * L, seed=3), normal(3, 2 * L, seed=3)):
        if bias is not None and not causal:
            continue
        leaves = [x.requires_grad_() for x in (q, k, v, codebook, *([] if bias is None else [bias]))]
        pull = normal(2, 3, T, E, seed=8)
        found = []
        for form in (vq_attention, quadratic_vq_attention):
            result = form(q, k, v, codebook, causal=causal, block_size=L, window_bias=bias)
            found.append(torch.autograd.grad(result, leaves, pull, allow_unused=True))
        for fast, twin in zip(*found, strict=True):
            assert (fast is None) == (twin is None)
            assert fast is None or torch.allclose(fast, twin, rtol=0, atol=1e-12)
        assert found[0][3] is None  # the codebook


def test_gradients_of_one_input_alone() -> None:
    given = inputs(T=30)
    for number in range(3):
        found = []
        for form in (vq_attention, quadratic_vq_attention):
            leaves = [x.detach().clone().requires_grad_(n == number) for n, x in enumerate(given)]
            form(*leaves, block_size=4).square().sum().backward()
            found.append(leaves[number].grad)
        assert torch.allclose(*found, rtol=0, atol=1e-12)


def test_a_second_derivative_is_refused() -> None:
    q, k, v, codebook = inputs(T=30)
    words = "^vq_attention has no second derivative" if attention.FUSED else "is not implemented"
    with pytest.raises(RuntimeError, match=words):
        (of_q,) = torch.autograd.grad(
            vq_attention(q.requires_grad_(), k, v, codebook, block_size=4).sum(), q, create_graph=True
        )
        of_q.square().sum().backward()


def test_a_torch_without_the_kernel_takes_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runpy.run_path(attention.__file__)["FUSED"] == ("cpu",)
    monkeypatch.setattr(blocks, "KERNEL", "_of_another_torch")
    assert runpy.run_path(attention.__file__)["FUSED"] == ()


def test_gradients_equal_finite_differences() -> None:
    q, k, v, codebook = inputs(B=1, H=2, T=13, D=3, E=3)
    bias = normal(2, 8, seed=3).requires_grad_()

    def smooth(q: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return vq_attention(q, k, v, codebook, block_size=4, window_bias=bias)

    assert torch.autograd.gradcheck(smooth, (q.requires_grad_(), v.requires_grad_(), bias))


# -- token by token


@pytest.mark.parametrize(("T", "L"), [(1, 4), (9, 1), (40, 4), (41, 7), (12, 64)])
@pytest.mark.parametrize("biased", [False, True])
def test_streaming_equals_blocks(T: int, L: int, biased: bool) -> None:
    q, k, v, codebook = inputs(T=T, E=5)
    bias = normal(3, 2 * L, seed=3) if biased else None
    state = VQState(codebook, 2, 5, block_size=L, window_bias=bias)
    size = sum(x.numel() for x in vars(state).values() if isinstance(x, Tensor))
    tokens = [state.step(*(x[:, :, t : t + 1] for x in (q, k, v))) for t in range(T)]
    blocks = vq_attention(q, k, v, codebook, block_size=L, window_bias=bias)
    assert torch.allclose(torch.cat(tokens, 2), blocks, rtol=0, atol=1e-12)
    assert state.position == T
    assert size == sum(x.numel() for x in vars(state).values() if isinstance(x, Tensor))


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8, 17, 29])
def test_a_state_goes_on_after_a_prompt(cut: int) -> None:
    q, k, v, codebook = inputs(T=30, E=5)
    state = VQState(codebook, 2, 5, block_size=4)
    state.extend(k[:, :, :cut], v[:, :, :cut])
    tokens = [state.step(*(x[:, :, t : t + 1] for x in (q, k, v))) for t in range(cut, 30)]
    blocks = vq_attention(q, k, v, codebook, block_size=4)
    assert torch.allclose(torch.cat(tokens, 2), blocks[:, :, cut:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cuts", [(3, 9, 30), (1, 3, 13), (8, 11, 13), (6, 27, 29)])
def test_a_state_takes_in_a_text_in_parts(cuts: tuple[int, ...]) -> None:
    """Wherever in a block a part begins; a step between two parts; and no graph is kept."""
    q, k, v, codebook = (x.requires_grad_() for x in inputs(T=31, E=5))
    state, whole = VQState(codebook, 2, 5, block_size=4), VQState(codebook, 2, 5, block_size=4)
    done = 0
    for cut in cuts:
        state.extend(k[:, :, done:cut], v[:, :, done:cut])
        state.step(*(x[:, :, cut : cut + 1] for x in (q, k, v)))
        done = cut + 1
    whole.extend(k[:, :, :done], v[:, :, :done])
    assert state.position == whole.position == done
    for name in ("codebook", "codes", "values", "counts", "sums"):
        one, other = getattr(state, name), getattr(whole, name)
        assert torch.allclose(one, other, rtol=0, atol=1e-12), name
        assert not one.requires_grad and not other.requires_grad, name


def test_a_state_refuses_what_does_not_fit() -> None:
    q, k, v, codebook = inputs(T=1)
    state = VQState(codebook, 2, 4, block_size=4)
    with pytest.raises(ValueError, match=r"v must have the shape \(B, H, T, E\)"):
        state.step(q[:1], k[:1], v[:1])
    with pytest.raises(ValueError, match="v must have the shape"):
        state.step(*(x.repeat(1, 1, 2, 1) for x in (q, k, v)))
    with pytest.raises(TypeError, match="codebook must be of the type"):
        state.step(q.float(), k.float(), v.float())
    with pytest.raises(ValueError, match="k must be finite"):
        state.step(q, NAN * k, v)
    with pytest.raises(ValueError, match=r"^codebook must have the axes .* H = 1 "):
        state.step(q[:, :1], k[:, :1], v[:, :1])
    with pytest.raises(ValueError, match=r"^k must not be empty"):
        state.extend(k[:, :, :0], v)
    with pytest.raises(ValueError, match=r"^v must have B, H, T of k"):
        state.extend(k.repeat(1, 1, 2, 1), v)
    with pytest.raises(
        ValueError, match=r"^v must have the shape \(B, H, T, E\) of the state, \(2, 3, 1, 4\)"
    ):
        state.extend(k, v[..., :3])
    assert state.position == 0 and not state.values.any()
    with pytest.raises(TypeError, match=r"^window_bias must be of the type and on the device of codebook"):
        VQState(codebook, 2, 4, block_size=4, window_bias=normal(8).float())
    for name, change in {
        "batch": {"batch": 0},
        "width": {"width": 0},
        "block_size": {"block_size": -1},
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be a whole number"):
            VQState(**({"codebook": codebook, "batch": 1, "width": 4} | change))


# -- bad input, by name


@pytest.mark.parametrize("form", [vq_attention, quadratic_vq_attention])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"q": [1.0]}, TypeError, "q must be a tensor"),
        ({"q": torch.zeros(2, 3, 20)}, ValueError, r"q must have the axes \(B, H, T, D\)"),
        ({"k": normal(2, 3, 19, 4)}, ValueError, "k must have the shape of q"),
        ({"k": normal(2, 3, 20, 5)}, ValueError, "k must have the shape of q"),
        ({"v": normal(2, 3, 21, 4)}, ValueError, "v must have B, H, T of q"),
        ({"v": normal(1, 3, 20, 4)}, ValueError, "v must have B, H, T of q"),
        ({"q": torch.zeros(2, 3, 0, 4)}, ValueError, "q must not be empty"),
        ({"v": torch.full((2, 3, 20, 4), NAN)}, ValueError, "v must be finite"),
        ({"k": torch.full((2, 3, 20, 4), math.inf)}, ValueError, "k must be finite"),
        (
            {"q": torch.zeros(2, 3, 20, 4, dtype=torch.int64)},
            TypeError,
            "q must hold float32, float64 or bfloat16, got",
        ),
        (
            {"q": torch.zeros(2, 3, 20, 4, dtype=torch.float16)},
            TypeError,
            "q must hold float32, float64 or bfloat16, got",
        ),
        ({"k": normal(2, 3, 20, 4).float()}, TypeError, "k must be of the type and on the device of q"),
        ({"v": normal(2, 3, 20, 4).float()}, TypeError, "v must be of the type and on the device of q"),
        ({"codebook": normal(2, 6, 4)}, ValueError, "codebook must have the axes"),
        ({"codebook": normal(3, 6, 5)}, ValueError, "codebook must have the axes"),
        ({"codebook": normal(6, 4)}, ValueError, r"codebook must have the axes \(H, S, D\)"),
        ({"codebook": normal(3, 0, 4)}, ValueError, "codebook must not be empty"),
        ({"codebook": torch.full((3, 6, 4), NAN)}, ValueError, "codebook must be finite"),
        ({"codebook": normal(3, 6, 4).float()}, TypeError, "codebook must be of the type"),
        ({"block_size": 0}, ValueError, "block_size must be a whole number"),
        ({"block_size": -4}, ValueError, "block_size must be a whole number"),
        ({"block_size": 2.5}, ValueError, "block_size must be a whole number"),
        ({"causal": 1}, TypeError, "causal must be True or False"),
        ({"window_bias": normal(8), "causal": False}, ValueError, "window_bias must be None"),
        ({"window_bias": normal(7)}, ValueError, "window_bias must have a number for each distance"),
        ({"window_bias": normal(9)}, ValueError, "window_bias must have a number for each distance"),
        ({"window_bias": normal(2, 8)}, ValueError, "window_bias must have a number for each distance"),
        ({"window_bias": torch.full((8,), NAN)}, ValueError, "window_bias must be finite"),
        ({"window_bias": normal(8).float()}, TypeError, "window_bias must be of the type"),
        ({"window_bias": [0.0] * 8}, TypeError, "window_bias must be a tensor"),
    ],
)
def test_what_is_refused(form: Any, change: dict[str, Any], error: type[Exception], words: str) -> None:
    given: dict[str, Any] = dict(zip(("q", "k", "v", "codebook"), inputs(), strict=True)) | {"block_size": 4}
    with pytest.raises(error, match=f"^{words}"):
        form(**(given | change))


def test_finite_numbers_whose_sum_is_not_are_taken() -> None:
    large = torch.full((1, 1, 2, 1), torch.finfo(torch.float32).max)
    assert arguments.floats("q", large, "B H T D") is large


# -- the codebook


def test_nearest_by_brute_force() -> None:
    _, k, _, codebook = inputs(T=300, S=17)
    distances = (k[:, :, :, None] - codebook[:, None]).square().sum(-1)
    assert torch.equal(nearest_codes(k, codebook), distances.argmin(-1))
    assert torch.equal(nearest_codes(k + 1e6, codebook + 1e6), distances.argmin(-1))


@pytest.mark.parametrize("shift", [0.0, 3.0, -30.0, 1000.0])
@pytest.mark.parametrize("S", [1, 2, 50])
def test_nearest_where_all_keys_are_nearer_to_the_middle_than_to_any_code(S: int, shift: float) -> None:
    k = 0.1 * normal(1, 2, 200, 32) + shift
    codebook = 5 * normal(2, S, 32, seed=1) + shift
    distances = (k[:, :, :, None] - codebook[:, None]).square().sum(-1)
    assert torch.equal(nearest_codes(k, codebook), distances.argmin(-1))


def test_of_equal_codes_the_first_is_nearest() -> None:
    _, k, _, codebook = inputs(T=50, S=4)
    assert torch.equal(nearest_codes(k, codebook.repeat(1, 3, 1)), nearest_codes(k, codebook))


def test_kmeans_finds_separate_clusters() -> None:
    centres = 10 * normal(2, 5, 3, dtype=torch.float32)
    picked = torch.arange(5).repeat(40)
    k = centres[None, :, picked] + 0.01 * normal(1, 2, 200, 3, seed=1, dtype=torch.float32)
    found = VectorQuantizer(2, 5, 3)
    found.start(k)
    apart = torch.cdist(found.codebook, centres).amin(-1)
    assert apart.max() < 0.1
    with pytest.raises(ValueError, match="k must hold at least"):
        VectorQuantizer(2, 201, 3).start(k)


def test_a_code_is_the_fading_mean_of_its_keys() -> None:
    k = normal(1, 1, 50, 2, dtype=torch.float32)
    one = VectorQuantizer(1, 1, 2, decay=0.9)
    one.start(k)
    assert torch.allclose(one.codebook[0, 0], k.mean((0, 1, 2)), atol=1e-6)
    one(k + 1)
    assert torch.allclose(one.codebook[0, 0], k.mean((0, 1, 2)) + 0.1, atol=1e-6)
    before = one.codebook
    one.eval()(k + 5)
    assert torch.equal(one.codebook, before)


def test_dead_codes_are_put_on_keys_again_and_none_is_without() -> None:
    k = normal(1, 2, 100, 3, dtype=torch.float32)
    for revive in (0.01, 0.0):
        it = VectorQuantizer(2, 4, 3, decay=0.5, revive=revive)
        it.start(k)
        it.codebook[:, 0], it.sums[:, 0], it.counts[:, 0] = 1e3, 1e3, 1.0
        for _ in range(20):
            it(k)
        used = len(nearest_codes(k, it.codebook)[0, 0].unique())
        assert (used == 4) == (revive > 0)
        assert torch.isfinite(it.codebook).all()


def test_a_dead_code_is_put_on_a_key_drawn_by_the_seed() -> None:
    k = normal(1, 2, 100, 3, dtype=torch.float32)
    found = []
    for seed in (0, 0, 1):
        it = VectorQuantizer(2, 9, 3, seed=seed)
        it.start(k)
        it.codebook[:, 1:], it.counts[:, 1:] = 1e3, 0.0
        it(k)
        apart = (it.codebook[:, 1:, None] - k[0, :, None]).norm(dim=-1)
        assert apart.amin(-1).max() < 1e-5  # each on a key
        assert all(len(keys.unique()) > 4 for keys in apart.argmin(-1))  # and not all on one
        assert not torch.equal(*apart.argmin(-1))  # nor alike in both heads
        found.append(it.codebook[:, 1:].clone())
        it.codebook[:, 1:], it.counts[:, 1:] = 1e3, 0.0
        it(k)
        assert not torch.equal(it.codebook[:, 1:], found[-1])  # the next time on others
    assert torch.equal(found[0], found[1]) and not torch.isclose(found[0], found[2]).all(-1).any(-1).all()


def test_a_code_without_keys_stays_where_it_is() -> None:
    k = normal(1, 1, 100, 3, dtype=torch.float32)
    it = VectorQuantizer(1, 4, 3, decay=0.0, revive=0.0)
    it.start(k)
    it.codebook[:, 0] = 1e3
    it(k)
    assert (it.codebook[:, 0] == 1e3).all() and torch.isfinite(it.codebook).all()


def test_a_start_on_fewer_distinct_keys_than_codes_says_nothing() -> None:
    k = normal(1, 2, 3, 3, dtype=torch.float32).repeat(1, 1, 20, 1)
    it = VectorQuantizer(2, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        it.start(k)
    assert torch.allclose(it(k).keys, k, atol=1e-5)


def test_commitment_and_its_gradient_reach_keys_alone() -> None:
    k = normal(1, 2, 30, 3, dtype=torch.float32).requires_grad_()
    it = VectorQuantizer(2, 4, 3)
    keys, codes, commitment = it(k)
    assert torch.isclose(commitment, (k - keys).square().sum(-1).mean())
    (pull,) = torch.autograd.grad(commitment, k, retain_graph=True)
    assert torch.allclose(pull, 2 * (k - keys).detach() / 60, atol=1e-7)
    (straight,) = torch.autograd.grad(keys.sum(), k)
    assert torch.equal(straight, torch.ones_like(k)) and codes.shape == (1, 2, 30)
    assert not list(it.parameters())


def test_a_codebook_goes_on_from_its_state_dict() -> None:
    k = normal(1, 2, 30, 3, dtype=torch.float32)
    one, other = (VectorQuantizer(2, 4, 3, decay=0.5, revive=0.9) for _ in range(2))
    one(k)
    assert one.draws > 0  # dead codes go on to be drawn from where the draws stopped
    other.load_state_dict(one.state_dict())
    for it in (one, other):
        it(k + 0.5)
    assert torch.equal(one.codebook, other.codebook)


def test_keys_of_16_bits_move_a_codebook_of_32() -> None:
    k = normal(1, 2, 600, 3).bfloat16()
    short, long = VectorQuantizer(2, 2, 3), VectorQuantizer(2, 2, 3)
    for _ in range(3):
        found, its = short(k), long(k.float())
    assert found.keys.dtype == torch.bfloat16 and torch.equal(found.keys, its.keys.bfloat16())
    assert torch.equal(found.codes, its.codes) and torch.equal(found.commitment, its.commitment)
    for name, buffer in long.state_dict().items():
        assert torch.equal(buffer, short.state_dict()[name]), name
    assert short.counts.sum(-1).tolist() == pytest.approx([600, 600])
    with pytest.raises(TypeError, match=r"^codebook must be float32 or float64 to move or to start"):
        VectorQuantizer(2, 2, 3).bfloat16().eval()(k)
    short.bfloat16()
    with pytest.raises(TypeError, match=r"^codebook must be float32 or float64 to move or to start"):
        short(k)
    assert short.eval()(k).keys.dtype == torch.bfloat16


def test_a_copy_goes_on_alone_and_alike() -> None:
    k = normal(1, 2, 60, 3, dtype=torch.float32)
    one = VectorQuantizer(2, 8, 3, decay=0.5, revive=0.9)  # so that codes die, and are drawn, every time
    one(k)
    other = copy.deepcopy(one)
    for step in range(4):
        one(k + step)
    assert one.draws > 1 and not torch.equal(one.codebook, other.codebook)
    for step in range(4):
        other(k + step)
    assert torch.equal(one.codebook, other.codebook)


def test_attention_before_the_codes_move_has_its_gradients_still() -> None:
    q, k, v = normal(3, 1, 2, 30, 3, dtype=torch.float32).unbind()
    it = VectorQuantizer(2, 4, 3)
    it(k)
    q.requires_grad_(), k.requires_grad_()
    result = vq_attention(q, k, v, it.codebook, block_size=4)
    it(k.detach())
    result.sum().backward()
    assert q.grad is not None and k.grad is not None


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"heads": 0}, ValueError, "heads must be"),
        ({"codes": 0}, ValueError, "codes must be"),
        ({"width": -1}, ValueError, "width must be"),
        ({"decay": 1}, ValueError, "decay must be below 1"),
        ({"decay": -0.1}, ValueError, "decay must be"),
        ({"decay": "fast"}, TypeError, "decay must be"),
        ({"revive": NAN}, ValueError, "revive must be"),
        ({"seed": -1}, ValueError, "seed must be"),
    ],
)
def test_what_a_quantizer_refuses(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^{words}"):
        VectorQuantizer(**({"heads": 1, "codes": 2, "width": 3} | change))


@pytest.mark.parametrize(
    ("k", "error", "words"),
    [
        (torch.zeros(1, 2, 3), ValueError, "k must have the axes"),
        (torch.full((1, 2, 9, 3), NAN), ValueError, "k must be finite"),
        (torch.zeros(1, 2, 9, 4), ValueError, "codebook must have the axes"),
        (torch.zeros(1, 2, 9, 3, dtype=torch.float64), TypeError, "codebook must be of the type"),
    ],
)
def test_what_a_quantizer_refuses_in_a_call(k: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^{words}"):
        VectorQuantizer(2, 4, 3)(k)

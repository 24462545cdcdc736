"""The descent of `minimize_path`: Newton's method with a line search on a batch of discretised problems.

The Hessian of a polygon's value is tridiagonal, so a step costs O(nodes). Where it is not positive it is
damped, diag(H) times `damping` added, until it is; so the descent never walks to a saddle or a maximum.
Integral constraints ∫ Gᵢ dx = cᵢ enter by the augmented Lagrangian J + Σ λᵢ(Gᵢ − cᵢ) + ½ρ Σ (Gᵢ − cᵢ)².
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from . import polygon, tridiagonal
from .polygon import Grid, Lagrangian, Span

LOST = 1e12  # times the first value: below minus that, it falls without bound


class Problem:
    """One batch of discretised problems: values, derivatives, and the descent."""

    def __init__(
        self, F: Lagrangian, bounds: list[tuple[Lagrangian, Tensor]], start: Tensor, end: Tensor,
        singular: tuple[bool, bool], nodes: int,
    ) -> None:  # fmt: skip
        self.F, self.bounds, self.start, self.end = F, bounds, start, end
        self.singular = singular
        self.grid = Grid.of(nodes, singular, start)
        self.span = Span(start[:, :1], (end - start)[:, :1])
        self.scale = torch.maximum(
            self.span.width.abs(), (end - start)[:, 1:].abs()
        )  # of a problem's lengths
        self.eps = torch.finfo(start.dtype).eps
        self.targets = torch.stack([c for _, c in bounds], 1) if bounds else start.new_zeros(len(start), 0)

    def values(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """J, ``(B,)``, and how far each constraint is missed, ``(B, M)``."""
        missed = [polygon.integral(G, self.grid, self.span, y) - c for G, c in self.bounds]
        return polygon.integral(self.F, self.grid, self.span, y), torch.stack(
            missed, 1
        ) if missed else self.targets

    def merit(self, y: Tensor, multipliers: Tensor, rho: Tensor) -> Tensor:
        value, c = self.values(y)
        return value + (multipliers * c).sum(1) + (rho / 2 * c**2).sum(1)

    def first_path(self, initial: Any) -> Tensor:
        g = self.grid.nodes
        line = self.start[:, 1:] + self._rise() * (self.end - self.start)[:, 1:]
        if initial is not None:
            try:
                given = torch.as_tensor(initial, dtype=line.dtype, device=line.device)
            except (TypeError, ValueError, RuntimeError) as error:
                raise TypeError(f"initial must hold numbers, got {type(initial).__name__}") from error
            if given.shape not in (line.shape, line.shape[1:]):
                raise ValueError(
                    f"initial must have shape {tuple(line.shape[1:])} or {tuple(line.shape)}, "
                    f"got {tuple(given.shape)}"
                )
            if not bool(torch.isfinite(given).all()):
                raise ValueError("initial must be finite, got NaN or infinity")
            inner = given.expand(line.shape)[:, 1:-1]
            line = torch.cat([line[:, :1], inner, line[:, -1:]], 1)
            candidates = [line]
        else:
            arc = 4 * g * (1 - g) * self.scale
            sizes = (0.0, 0.3, -0.3, 0.6, -0.6, 1.0, -1.0)
            candidates = [line + size * arc for size in sizes]
        none = self.start.new_zeros(len(line), len(self.bounds))
        rho = 100 * self._rho(candidates[0])  # among first paths, meeting the constraints counts most
        best, best_merit = candidates[0], self.merit(candidates[0], none, rho)
        best_merit = torch.where(torch.isfinite(best_merit), best_merit, torch.inf)
        # The straight line is left only where it cannot be used: no value of F on it, or a constraint missed.
        stuck = torch.isinf(best_merit) | torch.full_like(best_merit, bool(self.bounds), dtype=torch.bool)
        for y in candidates[1:] if bool(stuck.any()) else ():
            merit = self.merit(y, none, rho)
            better = stuck & torch.isfinite(merit) & (merit < best_merit)
            best = torch.where(better[:, None], y, best)
            best_merit = torch.where(better, merit, best_merit)
        if bool(torch.isinf(best_merit).any()):
            self._say_where(candidates[0], torch.isinf(best_merit))
        return best

    def _rise(self) -> Tensor:
        """The part of the height gained at each node: a straight line, or a cycloid's x^(2/3) at a singular
        end."""
        g = self.grid.nodes
        if self.singular == (True, False):
            return g ** (2 / 3)
        return 1 - (1 - g) ** (2 / 3) if self.singular == (False, True) else g

    def _rho(self, y: Tensor) -> Tensor:
        """A penalty that weighs a miss of the constraint's own size like the value's own size."""
        value, _ = self.values(y)
        size = torch.where(torch.isfinite(value), value.abs(), 1.0) + self.scale[:, 0]
        return 100 * size[:, None] / (self.targets.abs() + self.scale) ** 2

    def _say_where(self, y: Tensor, bad: Tensor) -> None:
        b = int(bad.nonzero()[0, 0])
        named = [("lagrangian", self.F), *((f"constraints[{i}]", G) for i, (G, _) in enumerate(self.bounds))]
        for name, F in named:
            for block in self.grid.blocks:
                at = polygon.sample(
                    block, self.span, y[:, block.first : block.last], y[:, block.first + 1 : block.last + 1]
                )
                value = polygon.call(F, *at)[b]
                where = (~torch.isfinite(value)).nonzero()
                if len(where):
                    k = int(where[0, 0])
                    x, height, slope = (float(v[b, k]) for v in at)
                    raise ValueError(
                        f"{name} is not finite on the path to start from: {value[k].item()} at x = {x:.6g}, "
                        f"y = {height:.6g}, dy = {slope:.6g} (problem {b}). Arcs beside it did not help; "
                        f"give a path that stays where it is defined as initial="
                    )
        raise ValueError(
            f"the value is not finite on the path to start from (problem {b}): the integrand is too large"
        )

    def reachable(self, y: Tensor) -> None:
        """Refuse a constraint at or below the least value of its integral (a chain shorter than the span)."""
        line = self.start[:, 1:] + self.grid.nodes * (self.end - self.start)[:, 1:]
        for i, (G, c) in enumerate(self.bounds):
            if not bool(torch.isfinite(polygon.integral(G, self.grid, self.span, line)).all()):
                continue
            alone = Problem(G, [], self.start, self.end, (False, False), len(self.grid.nodes))
            try:
                lowest, _, sure, _, _ = alone.descend(line, 60)
            except ValueError:
                continue  # G does not depend on y: found out below
            least = alone.values(lowest)[0]
            slack = 1e-9 * (1 + least.abs()) if self.eps < 1e-10 else 1e-5 * (1 + least.abs())
            short = sure & (c <= least + slack)
            if bool(short.any()):
                b = int(short.nonzero()[0, 0])
                raise ValueError(
                    f"constraints[{i}] leaves no path to choose: between these ends its integral is at least "
                    f"{least[b]:.6g}, and {c[b]:.6g} was asked for (problem {b}). For a length this means "
                    f"that the chain is shorter than the distance of its ends, or just as long"
                )

    def descend(self, y: Tensor, max_iterations: int) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
        """Newton's method with a line search on the merit, for the whole batch; a finished problem stands
        still."""
        B, M = len(y), len(self.bounds)
        multipliers, rho = y.new_zeros(B, M), self._rho(y).expand(B, M).clone()
        done, residual = torch.zeros(B, dtype=torch.bool, device=y.device), y.new_full((B,), torch.inf)
        damping, missed = y.new_zeros(B), y.new_full((B, M), torch.inf)
        home, floor = y, -LOST * (1 + self.merit(y, multipliers, rho).abs())
        g = self.grid.nodes[1:-1]
        nudge = 1e-3 * self.scale * g * (1 - g)
        lost = torch.zeros_like(done)
        iteration = 0
        for iteration in range(1, max_iterations + 1):  # noqa: B007 (reported)
            step, decrement, damping, shift = self._newton_step(y, multipliers, rho, damping)
            merit = self.merit(y, multipliers, rho)
            residual = torch.where(done, residual, decrement / 2)
            level = decrement <= 200 * self.eps * (merit.abs() + self.eps)
            flat = level & (damping == 0)
            # Level ground that is no minimum (a straight line may be a saddle): leave it sideways.
            step = torch.where((level & (damping > 0))[:, None], nudge, step)
            lost = lost | (merit < floor)
            if M:
                c = self.values(y)[1]
                astray = (c.abs() > 10 * (self.targets.abs() + self.scale)).any(1)
                if bool(astray.any()):  # the penalty was too weak to hold it: start again with a stronger one
                    y, rho = (
                        torch.where(astray[:, None], home, y),
                        torch.where(astray[:, None], 10 * rho, rho),
                    )
                    multipliers = torch.where(astray[:, None], 0.0, multipliers)
                    damping = torch.where(astray, 0.0, damping)
                    missed = torch.where(astray[:, None], torch.inf, missed)
                    continue
                met = (c.abs() <= 200 * self.eps**0.75 * (1 + self.targets.abs())).all(1)
                done = done | (flat & met)
                # An inner problem need not be exact: its multipliers are moved as soon as it is nearly flat.
                near = (decrement <= 1e-4 * (merit.abs() + self.eps)) & (damping == 0) & ~done
                slow = near[:, None] & (c.abs() > 0.25 * missed)
                multipliers = torch.where(near[:, None], multipliers + rho * c + shift, multipliers)
                missed = torch.where(near[:, None], c.abs(), missed)
                rho = torch.where(slow & (rho < 1e8), 4 * rho, rho)
                if bool(near.any()):
                    fresh, _, damping_, _ = self._newton_step(y, multipliers, rho, damping)
                    step, damping = (
                        torch.where(near[:, None], fresh, step),
                        torch.where(near, damping_, damping),
                    )
                    merit = self.merit(y, multipliers, rho)
            else:
                done = done | flat
            if bool((done | lost).all()):
                break
            y, moved = self._line_search(y, step, merit, multipliers, rho, done | lost)
            damping = torch.where(moved, damping / 4, 4 * damping + 1e-3)
            damping = torch.where(damping < 1e-6, 0.0, damping)
        return y, residual, done, iteration, multipliers

    def _newton_step(
        self, y: Tensor, multipliers: Tensor, rho: Tensor, damping: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step ``(B, N − 2)``, squared decrement ``(B,)``, the damping that made the Hessian positive, and δ.

        δ, ``(B, M)``, is Newton's correction of the multipliers beyond the usual λ + ρc: (aᵀT⁻¹a)δ = c −
        aᵀT⁻¹g.

        With constraints the Hessian is T + Σ ρ a aᵀ, T tridiagonal and a = ∂c/∂y. Its inverse comes from T's
        by the Schur complement S = −1/ρ − aᵀT⁻¹a, and it is positive exactly if T and S together have as many
        negative eigenvalues as there are constraints (Haynsworth's inertia).
        """
        _, gradient, diagonal, off = polygon.derivatives(self.F, self.grid, self.span, y)
        columns: list[Tensor] = []
        misses: list[Tensor] = []
        for i, (G, target) in enumerate(self.bounds):
            value, g, d, o = polygon.derivatives(G, self.grid, self.span, y)
            misses.append(value - target)
            pull = (multipliers[:, i] + rho[:, i] * misses[-1])[:, None]
            gradient, diagonal, off = gradient + pull * g, diagonal + pull * d, off + pull * o
            columns.append(g)
        A = torch.stack([gradient, *columns], -1).transpose(0, 1).contiguous()  # (n, B, 1 + M)
        D, E = diagonal.T.contiguous(), off.T.contiguous()
        size = D.abs() + D.abs().mean(0) * self.eps + torch.finfo(D.dtype).tiny
        M = len(columns)
        for _ in range(60):
            pivots, multiplier_rows = tridiagonal.factor(D + damping * size, E)
            negative = (pivots <= 0).sum(0)
            solved = tridiagonal.solve(pivots, multiplier_rows, A)
            if M:
                S = -torch.diag_embed(1 / rho) - torch.einsum("nbi,nbj->bij", A[..., 1:], solved[..., 1:])
                usable = torch.isfinite(S).flatten(1).all(1)
                S = torch.where(usable[:, None, None], S, torch.eye(M, dtype=S.dtype, device=S.device))
                negative = negative + (torch.linalg.eigvalsh(S) < 0).sum(1)
            else:
                usable = torch.ones_like(damping, dtype=torch.bool)
            usable &= torch.isfinite(solved).all(-1).all(0) & (negative == M)
            if bool(usable.all()):
                break
            damping = torch.where(usable, damping, torch.clamp(4 * damping, min=1e-3))
        step, shift = -solved[..., 0], y.new_zeros(len(y), M)
        if M:
            against = torch.einsum("nbi,nb->bi", A[..., 1:], solved[..., 0])
            inner = torch.linalg.solve_ex(S, against[..., None])[0][..., 0]
            step = step - torch.einsum("nbi,bi->nb", solved[..., 1:], inner)
            gram = -S - torch.diag_embed(1 / rho)
            shift = torch.linalg.solve_ex(gram, (torch.stack(misses, 1) - against)[..., None])[0][..., 0]
            shift = torch.where(torch.isfinite(shift).all(1, keepdim=True), shift, 0.0)
        step = torch.where(usable, step, 0.0).T
        return step, -(step * gradient).sum(1), damping, shift

    def _line_search(
        self, y: Tensor, step: Tensor, merit: Tensor, multipliers: Tensor, rho: Tensor, done: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Halve the step until the merit falls (where F has no value, it does not); and whether it was
        moved."""
        pad = torch.nn.functional.pad(step, (1, 1))
        length, waiting = torch.ones_like(merit), ~done
        best = y
        slack = 4 * self.eps * merit.abs()  # so close to the minimum, rounding hides the descent
        for _ in range(40):
            trial = y + (length * waiting)[:, None] * pad
            new = self.merit(trial, multipliers, rho)
            good = waiting & torch.isfinite(new) & (new <= merit + slack)
            best = torch.where(good[:, None], trial, best)
            waiting = waiting & ~good
            if not bool(waiting.any()):
                break
            length = length / 2
        return best, ~waiting

    def reason_to_fail(self, y: Tensor, converged: Tensor) -> None:
        b = int((~converged).nonzero()[0, 0])
        missed = self.values(y)[1][b]
        detail = ""
        if len(missed):
            detail = f"; its constraints are missed by {', '.join(f'{m:.3g}' for m in missed.tolist())}"
        warnings.warn(
            f"{int((~converged).sum())} of {len(converged)} problems did not converge "
            f"(the first is problem {b}{detail}): "
            f"the value falls without bound, the path is no minimum, or max_iterations is too small",
            RuntimeWarning,
            stacklevel=3,
        )

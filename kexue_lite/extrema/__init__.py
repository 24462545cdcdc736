"""Functions and functionals: the room of chapter 1.

A functional takes a whole path and returns a number, J[y] = ∫ F(x, y, y') dx. This room finds the paths that
make it stationary (by symbols and by descent), and asks of each whether it is a minimum at all.

=========================  ===============================================================================
`euler_lagrange`           ∂F/∂y − d/dx ∂F/∂y' = 0 with sympy; several functions, higher orders, multipliers
`energy_integral`          what stays constant when F does not name x
`momentum_integral`        what stays constant when F does not name y
`second_variation`         the coefficients of the next term, and `jacobi_equation` for its zeros
`conjugate_points`         where a path stops being a minimum
`minimize_path`            the functional itself made small, in torch, a batch of problems at once
`fermat_point`             the point with the smallest weighted sum of distances
`brachistochrone`          an exact answer to compare with, as are `catenary` and `catenoid`
=========================  ===============================================================================

The source is Su Jianlin's series on natural extrema (kexue.fm, articles 1065 to 1134, 2010). His increment
ε(x) is our η(x), and his dotted y is our y'.
"""

from .curves import Catenary, Catenoid, Cycloid, brachistochrone, catenary, catenoid
from .euler_lagrange import euler_lagrange
from .fermat import fermat_point, fermat_residual
from .first_integrals import energy_integral, momentum_integral
from .minimize_path import Path, minimize_path
from .second_variation import conjugate_points, jacobi_equation, second_variation

__all__ = [
    "Catenary",
    "Catenoid",
    "Cycloid",
    "Path",
    "brachistochrone",
    "catenary",
    "catenoid",
    "conjugate_points",
    "energy_integral",
    "euler_lagrange",
    "fermat_point",
    "fermat_residual",
    "jacobi_equation",
    "minimize_path",
    "momentum_integral",
    "second_variation",
]

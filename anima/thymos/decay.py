"""Exponential decay in closed form, with the same bits on every machine.

    level(t + dt) = baseline + (level(t) - baseline) * 2^(-dt / half_life)

Python's `2.0 ** x` asks the C library, and libraries differ in the last bit. This uses only additions, multiplications
and exact scaling, which IEEE 754 defines to the bit.
"""

import math
from itertools import accumulate

_LN2 = 0.6931471805599453
_TERMS = tuple(accumulate(range(1, 18), lambda term, n: term * -_LN2 / n, initial=1.0))  # (-ln 2)^n / n!; the last < 2^-53
_GONE_HALVINGS = 1_100.0  # beyond this 2^-x is no double any more


def halved(times: float) -> float:
    """2 ** -times, for times >= 0, correct to a few units in the last place."""
    if times >= _GONE_HALVINGS:
        return 0.0
    whole = int(times)
    x = times - whole
    t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, ta, tb, tc, td, te, tf, tg, th = _TERMS
    low = (((((((th * x + tg) * x + tf) * x + te) * x + td) * x + tc) * x + tb) * x + ta) * x + t9  # Horner, written out:
    low = ((((((((low * x + t8) * x + t7) * x + t6) * x + t5) * x + t4) * x + t3) * x + t2) * x + t1) * x + t0  # twice as fast
    return math.ldexp(low, -whole)


def decayed(level: float, baseline: float, half_life_s: float, elapsed_s: float) -> float:
    """The level after `elapsed_s` in which nothing happened. A clock that went back counts as no time at all."""
    if elapsed_s <= 0 or level == baseline:
        return level
    return baseline + (level - baseline) * halved(elapsed_s / half_life_s)

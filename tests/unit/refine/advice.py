"""A question for advisers, with errors that follow one descriptor, or none."""

import numpy as np

from aimat_ray.refine.advisers.base import Question
from aimat_ray.refine.records import Seen, Trigger

SECRET = "sk-test-0123456789"
CANDIDATES = ("h_mix", "omega", "s_mix", "lambda", "en_mismatch", "size_mismatch", "vec_mean", "radius_ratio")
N_ROWS, N_SYSTEMS = 300, 60


def question(follows=None, tried=(), seed=0, noise=1.0):
    """Errors of `noise`, plus a law of the named candidates."""
    rng = np.random.default_rng(seed)
    system = np.repeat(np.arange(N_SYSTEMS), N_ROWS // N_SYSTEMS)
    # Alloys of one system resemble each other, in their descriptors and in their errors.
    shape = (N_SYSTEMS, len(CANDIDATES))
    values = rng.standard_normal(shape)[system] + 0.3 * rng.standard_normal((N_ROWS, len(CANDIDATES)))
    residual = noise * (0.7 * rng.standard_normal(N_SYSTEMS)[system] + 0.7 * rng.standard_normal(N_ROWS))
    for name, size in (follows or {}).items():
        residual += size * np.tanh(2 * values[:, CANDIDATES.index(name)])
    seen = Seen(
        compositions=("Zr50Cu50", "Zr60Cu40"), values=(700.0, 690.0), spreads=(30.0, 20.0), ratios={"tg_k": 5.0}
    )
    return Question(
        trigger=Trigger(
            kind="variance", property_key="tg_k", env_steps=4_000, value=5.0, threshold=3.0, version="v0", seen=seen
        ),
        label="glass-transition temperature (tg_k, K)", candidates=CANDIDATES, in_use=("vec_mean",), tried=tried,
        values=values, residual=residual, fold=(system % 5).astype(np.int64), system=system.astype(np.int64), seed=seed,
    )  # fmt: skip

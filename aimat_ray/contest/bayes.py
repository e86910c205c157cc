"""Bayesian optimisation (botorch): Gaussian processes, constrained expected improvement, compositions on the simplex.

A Gaussian process costs the cube of its evaluations, so this contestant makes few of them (`bayes_evaluations`) and
hands in the same list from there on. Its strength is to need few, which the points of the budget show.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from aimat_ray.contest.game import Game
from aimat_ray.contest.optimisers import Decoder, infeasibility, need, objectives
from aimat_ray.contest.searches import bases
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.start import sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import limits_of
from aimat_ray.prediction import Prediction

_BATCH = 8
_FIRST_SHARE = 0.25  # of the evaluations are random: the first design of experiments
_RESTARTS, _TRIED, _ITERATIONS = 2, 32, 25  # of the acquisition function: batches improved, batches looked at


def bayes(task: DesignTask, game: Game, evaluations: int) -> None:
    """Propose, evaluate, refit: until so many compositions were evaluated or the budget is spent.

    Args:
        task: What is designed.
        game: The rules.
        evaluations: Compositions at most.
    """
    try:
        import torch
    except ImportError as error:
        raise need("botorch") from error
    decode = Decoder(task, game.rng)
    torch.manual_seed(int(game.rng.integers(2**31)))
    n_first = min(max(int(_FIRST_SHARE * evaluations), 2 * _BATCH), evaluations)
    drawn, _ = sample_starts(limits_of(task, bases(8 * n_first)), game.rng)
    x = drawn[:n_first]
    y = _outcomes(task, game.meter.predict(x))
    while len(x) < evaluations:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn, _ = sample_starts(limits_of(task, bases(4 * _TRIED * _BATCH)), game.rng)
            vectors = _propose(decode, x, y, task, drawn)
        new = decode(vectors)
        x, y = np.concatenate([x, new]), np.concatenate([y, _outcomes(task, game.meter.predict(new))])


def _outcomes(task: DesignTask, prediction: Prediction) -> FloatArray:
    """What is modelled: the least objective over its bound, and the feasibility above its threshold, [N, 2]."""
    least = objectives(task, prediction).min(axis=1)
    return np.stack([least, -infeasibility(task, prediction)], axis=1)


def _propose(decode: Decoder, x: FloatArray, y: FloatArray, task: DesignTask, drawn: FloatArray) -> FloatArray:
    """A batch of vectors that promise most, on the plane where amounts sum to one, [q, D].

    Args:
        decode: Vectors and compositions.
        x: Evaluated compositions, [N, E].
        y: Their outcomes, [N, 2].
        task: What is designed.
        drawn: Random compositions; the most promising batches of them are improved by gradient steps.
    """
    import torch
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms.outcome import Standardize
    from botorch.optim.optimize import optimize_acqf
    from botorch.sampling.normal import SobolQMCNormalSampler
    from gpytorch.mlls import ExactMarginalLogLikelihood

    upper = limits_of(task, bases(1)).upper[0, decode.columns]
    inputs, outcomes = (torch.from_numpy(v) for v in (decode.encode(x), y))
    model = SingleTaskGP(inputs, outcomes, outcome_transform=Standardize(m=2))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 50}})
    feasible = y[:, 1] >= 0
    best = float(y[feasible, 0].max() if feasible.any() else y[:, 0].min())
    value: Any = qLogExpectedImprovement(
        model, best_f=best, sampler=SobolQMCNormalSampler(torch.Size([64])),
        objective=GenericMCObjective(_least_objective), constraints=[_infeasibility],
    )  # fmt: skip
    n_batches = len(drawn) // _BATCH
    batches = torch.from_numpy(decode.encode(drawn[: n_batches * _BATCH])).reshape(n_batches, _BATCH, -1)
    with torch.no_grad():
        promising = batches[value(batches).topk(min(_RESTARTS, n_batches)).indices]
    bounds = torch.stack([torch.zeros(decode.size), torch.ones(decode.size)]).double()
    sums_to_one = [(torch.arange(decode.size), torch.from_numpy(upper), 1.0)]
    found, _ = optimize_acqf(
        value, bounds=bounds, q=_BATCH, num_restarts=len(promising), batch_initial_conditions=promising,
        equality_constraints=sums_to_one, options={"maxiter": _ITERATIONS},
    )  # fmt: skip
    return np.asarray(found.detach().numpy(), dtype=np.float64)


def _least_objective(samples: Any, X: Any = None) -> Any:
    return samples[..., 0]


def _infeasibility(samples: Any) -> Any:
    """Negative where feasible, as botorch wants constraints."""
    return -samples[..., 1]

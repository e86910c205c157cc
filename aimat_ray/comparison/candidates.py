"""The model families that are compared, with the settings that nested folds choose among.

Every family gets a small grid declared here before any fold was looked at. Inputs are standardised (or scaled to 0..1)
on the training rows; targets of regressors are standardised by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aimat_ray.errors import ConfigError

Params = Mapping[str, Any]
Scaling = Literal["standard", "unit", "none"]
Features = Literal["fractions", "descriptors", "both"]
FEATURES: tuple[Features, ...] = ("fractions", "descriptors", "both")
_DEPTHS: tuple[Params, ...] = ({"max_depth": 3}, {"max_depth": 5})
_LEAVES: tuple[Params, ...] = ({"min_samples_leaf": 1}, {"min_samples_leaf": 3})
_NO_CHOICE: tuple[Params, ...] = ({},)


@dataclass(frozen=True)
class Candidate:
    """A model family as it enters the comparison.

    Attributes:
        make: Builds an unfitted scikit-learn style model from the chosen settings and a seed.
        grid: Settings to choose among, inside the training folds.
        scaling: How inputs are scaled.
        own: Family of `surrogate.families` that chooses its settings itself, inside the training rows; "" for others.
        features: Inputs that the family is compared on.
    """

    make: Callable[[Params, int], Any] | None = None
    grid: tuple[Params, ...] = _NO_CHOICE
    scaling: Scaling = "standard"
    own: str = ""
    features: tuple[Features, ...] = field(default=FEATURES)


def _ridge(params: Params, seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(**params)


def _lasso(params: Params, seed: int) -> Any:
    from sklearn.linear_model import Lasso

    return Lasso(**params, max_iter=5000, tol=1e-3)


def _elastic_net(params: Params, seed: int) -> Any:
    from sklearn.linear_model import ElasticNet

    return ElasticNet(**params, max_iter=5000, tol=1e-3)


def _svr(params: Params, seed: int) -> Any:
    from sklearn.svm import SVR

    return SVR(epsilon=0.05, **params)


def _forest(kind: str, max_features: Any = 0.33) -> Callable[[Params, int], Any]:
    def make(params: Params, seed: int) -> Any:
        from sklearn import ensemble

        return getattr(ensemble, kind)(n_estimators=80, max_features=max_features, random_state=seed, **params)

    return make


def _adaboost(params: Params, seed: int) -> Any:
    from sklearn.ensemble import AdaBoostRegressor
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(max_features=0.33, **params)
    return AdaBoostRegressor(tree, n_estimators=60, random_state=seed)


def _gbm(params: Params, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        n_estimators=150, learning_rate=0.08, subsample=0.7, max_features=0.2, random_state=seed, **params
    )


def _xgboost(kind: str) -> Callable[[Params, int], Any]:
    def make(params: Params, seed: int) -> Any:
        models = _xgboost_module()
        return getattr(models, kind)(
            n_estimators=200, learning_rate=0.07, subsample=0.8, colsample_bynode=0.3, n_jobs=1, random_state=seed,
            **params,
        )  # fmt: skip

    return make


def _xgboost_module() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ConfigError(
            "the comparison needs xgboost; install it with: pip install 'aimat-ray[benchmark]'"
        ) from error
    return xgboost


def _catboost(kind: str) -> Callable[[Params, int], Any]:
    def make(params: Params, seed: int) -> Any:
        import catboost

        return getattr(catboost, kind)(
            iterations=200, learning_rate=0.1, rsm=0.3, subsample=0.8, bootstrap_type="Bernoulli", border_count=64,
            random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False, **params,
        )  # fmt: skip

    return make


def _knn(params: Params, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(weights="distance", **params)


REGRESSORS: dict[str, Candidate] = {
    "ridge": Candidate(_ridge, ({"alpha": 1.0}, {"alpha": 10.0}, {"alpha": 100.0})),
    "lasso": Candidate(_lasso, ({"alpha": 0.003}, {"alpha": 0.01}, {"alpha": 0.03})),
    "elastic_net": Candidate(_elastic_net, ({"alpha": 0.003}, {"alpha": 0.01}, {"alpha": 0.03})),
    "svr": Candidate(_svr, ({"C": 3.0, "gamma": 0.005}, {"C": 10.0, "gamma": 0.005}, {"C": 10.0, "gamma": 0.02})),
    "random_forest": Candidate(_forest("RandomForestRegressor"), _LEAVES, "none"),
    "extra_trees": Candidate(_forest("ExtraTreesRegressor"), _LEAVES, "none"),
    "adaboost": Candidate(_adaboost, ({"max_depth": 5}, {"max_depth": 10}), "none"),
    "gbm": Candidate(_gbm, _DEPTHS, "none"),
    "xgboost": Candidate(_xgboost("XGBRegressor"), _DEPTHS, "none"),
    "catboost": Candidate(_catboost("CatBoostRegressor"), ({"depth": 4}, {"depth": 6}), "none"),
    "knn": Candidate(_knn, ({"n_neighbors": 2}, {"n_neighbors": 4}, {"n_neighbors": 8})),
    "edrvfl": Candidate(own="edrvfl"),
    "gp": Candidate(own="gp", features=("descriptors", "both")),
}


def _logistic(params: Params, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, tol=1e-3, **params)


def _lda(params: Params, seed: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", **params)


def _qda(params: Params, seed: int) -> Any:
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    return QuadraticDiscriminantAnalysis(solver="eigen", **params)  # the other solver needs more rows than inputs


def _svc(params: Params, seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(cache_size=500, **params)


def _tree(params: Params, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed, **params)


def _adaboost_classifier(params: Params, seed: int) -> Any:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_features=0.33, **params)
    return AdaBoostClassifier(tree, n_estimators=60, random_state=seed)


def _gbm_classifier(params: Params, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=100, learning_rate=0.15, subsample=0.6, max_features=0.2, random_state=seed, **params
    )


def _knn_classifier(params: Params, seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(weights="distance", **params)


def _naive_bayes(kind: str) -> Callable[[Params, int], Any]:
    def make(params: Params, seed: int) -> Any:
        from sklearn import naive_bayes

        return getattr(naive_bayes, kind)(**params)

    return make


_SMOOTHING: tuple[Params, ...] = ({"alpha": 0.1}, {"alpha": 1.0})

CLASSIFIERS: dict[str, Candidate] = {
    "logistic_regression": Candidate(_logistic, ({"C": 0.1}, {"C": 1.0})),
    "lda": Candidate(_lda, ({"shrinkage": 0.01}, {"shrinkage": 0.1})),
    "qda": Candidate(_qda, ({"shrinkage": 0.1}, {"shrinkage": 0.5})),
    "svc": Candidate(_svc, ({"C": 3.0}, {"C": 10.0})),
    "decision_tree": Candidate(_tree, ({"min_samples_leaf": 3}, {"min_samples_leaf": 10}), "none"),
    "random_forest": Candidate(_forest("RandomForestClassifier", "sqrt"), _LEAVES, "none"),
    "gbm": Candidate(_gbm_classifier, _DEPTHS, "none"),
    "xgboost": Candidate(_xgboost("XGBClassifier"), _DEPTHS, "none"),
    "catboost": Candidate(_catboost("CatBoostClassifier"), ({"depth": 4}, {"depth": 6}), "none"),
    "adaboost": Candidate(_adaboost_classifier, ({"max_depth": 1}, {"max_depth": 3}), "none"),
    "knn": Candidate(_knn_classifier, ({"n_neighbors": 5}, {"n_neighbors": 15})),
    "gaussian_nb": Candidate(_naive_bayes("GaussianNB"), ({"var_smoothing": 1e-9}, {"var_smoothing": 1e-2})),
    "multinomial_nb": Candidate(_naive_bayes("MultinomialNB"), _SMOOTHING, "unit"),
    "bernoulli_nb": Candidate(_naive_bayes("BernoulliNB"), _SMOOTHING),
    "extra_trees": Candidate(_forest("ExtraTreesClassifier", "sqrt"), _LEAVES, "none"),
}

# Means of members compared on the same folds; they cost nothing beyond their members.
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "extra_trees+catboost": ("extra_trees", "catboost"),
    "extra_trees+svr": ("extra_trees", "svr"),
    "gp+catboost": ("gp", "catboost"),
    "gp+extra_trees+catboost": ("gp", "extra_trees", "catboost"),
}

"""Tables for `Client`: alloys from pandas into requests, answers into pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimat_ray.errors import BadInputError

if TYPE_CHECKING:
    import pandas as pd

    Alloys = str | Mapping[str, float] | Iterable[str | Mapping[str, float]] | pd.Series[Any] | pd.DataFrame


@dataclass(frozen=True, eq=False)
class DesignResult:
    """An answer of `Client.design`.

    Attributes:
        document: The service's answer as it came.
    """

    document: dict[str, Any]

    @property
    def surrogate_version(self) -> str:
        """Version that predicted everything in it."""
        return str(self.document["surrogate_version"])

    @property
    def designs(self) -> pd.DataFrame:
        """One row per design, best first; empty where nothing fulfils the wishes."""
        import pandas as pd

        return pd.DataFrame([_flat_design(alloy) for alloy in self.document["designs"]])

    @property
    def start(self) -> dict[str, Any]:
        """The start alloy in the columns of `designs`."""
        return _flat_design(self.document["start"])

    @property
    def nearest_miss(self) -> dict[str, Any] | None:
        """Where nothing fulfils the wishes: what came nearest, in the columns of `designs`."""
        miss = self.document["nearest_miss"]
        return None if miss is None else _flat_design(miss)

    def path(self, design: int = 0) -> pd.DataFrame:
        """The way from the start to a design, at%: one row per composition, one column per element."""
        import pandas as pd

        steps = self.document["designs"][design]["path"]
        return pd.DataFrame([step["at_pct"] for step in steps], index=[step["formula"] for step in steps]).fillna(0.0)


def read_alloys(alloys: Alloys) -> tuple[list[Any], Any, pd.DataFrame | None]:
    """Alloys as JSON items, the index for the answer, and the columns that stay beside it.

    Raises:
        BadInputError: None are given, or a table has neither formulas nor amounts.
    """
    import pandas as pd

    index, kept = None, None
    if isinstance(alloys, str | Mapping):
        items: list[Any] = [alloys]
    elif isinstance(alloys, pd.DataFrame):
        index = alloys.index
        if "formula" in alloys.columns:
            items, kept = alloys["formula"].tolist(), alloys
        else:
            amounts = alloys.select_dtypes("number")
            if amounts.shape[1] == 0:
                columns = ", ".join(map(str, alloys.columns[:8]))
                raise BadInputError(
                    f"table of alloys: expected a column 'formula' or one column per element, got: {columns}"
                )
            items = [{key: value for key, value in row.items() if value > 0} for row in amounts.to_dict("records")]
    else:
        index = alloys.index if isinstance(alloys, pd.Series) else None
        items = list(alloys)
    if not items:
        raise BadInputError("no alloys given; expected a formula such as Zr65Cu17.5Ni10Al7.5, or a list of them")
    for i, item in enumerate(items):
        if not isinstance(item, str | Mapping):
            raise BadInputError(f"alloys[{i}]: expected a formula or amounts per element, got {item!r}")
    return (
        [item if isinstance(item, str) else {str(k): float(v) for k, v in item.items()} for item in items],
        index,
        kept,
    )


def flat(alloy: dict[str, Any], version: str) -> dict[str, Any]:
    """One alloy of an answer as a row, in the columns of `aimat predict`."""
    row: dict[str, Any] = {"composition": alloy["composition"]}
    row |= {key: value for key, value in alloy.items() if key.startswith("p_")}
    row |= _columns(alloy["properties"])
    row |= {"in_domain": alloy["in_domain"], "domain_reason": alloy["domain_reason"]}
    near = alloy["nearest"]
    row["nearest_formula"] = near[0]["formula"] if near else None
    row["nearest_distance_at_pct"] = near[0]["distance_at_pct"] if near else float("nan")
    if len(near) > 1:
        row["nearest"] = near
    return row | {"surrogate_version": version}


def _flat_design(alloy: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"formula": alloy["formula"]}
    row |= {key: value for key, value in alloy.items() if key.startswith("p_")}
    row |= _columns(alloy["properties"])
    row |= {f"{key}_difference": value["difference"] for key, value in alloy["properties"].items()}
    row |= {name: alloy[name] for name in ("fulfils", "confirmed", "in_domain", "domain_reason", "change_at_pct")}
    row["nearest_formula"] = alloy["nearest"]["formula"]
    row["nearest_distance_at_pct"] = alloy["nearest"]["distance_at_pct"]
    return row | {"method": alloy["method"]}


def _columns(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`tg_k`, `tg_k_lower`, `tg_k_upper` of every property."""
    row: dict[str, Any] = {}
    for key, value in properties.items():
        row[key] = value["value"]
        if value["lower"] is not None:
            row |= {f"{key}_lower": value["lower"], f"{key}_upper": value["upper"]}
    return row

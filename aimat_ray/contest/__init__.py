"""A contest of design methods at equal budgets of surrogate predictions; see contest-design.md."""

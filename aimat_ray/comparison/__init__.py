"""Model families compared under one set of folds; see comparison-design.md."""

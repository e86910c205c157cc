"""TD3 on RLlib: module, learner, algorithm, training, strict evaluation, candidates."""

"""AMR and KBR: the surrogate that is corrected while agents train on it, and expert knowledge in the reward."""

"""KBR: expert knowledge as a score in [-1, 1] of a composition, and as a small, late part of the reward."""

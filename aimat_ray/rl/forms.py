"""The forms in which a trained policy is evaluated: names of the methods, and their keys in the evaluation document."""

POLICY = "policy"
LOOKAHEAD, POLICY_BY_NET = "policy_lookahead", "policy_lookahead_distilled"
NOISY, REJECTING, CLIMBING = "policy_noise", "policy_rejection", "policy_local_search"
FORMS = {
    NOISY: "sr_goal_noise",
    REJECTING: "sr_goal_rejection",
    CLIMBING: "sr_goal_local_search",
    POLICY_BY_NET: "sr_goal_lookahead_distilled",
    LOOKAHEAD: "sr_goal_lookahead",
}
"""All but the deterministic one, whose key is `sr_goal`."""

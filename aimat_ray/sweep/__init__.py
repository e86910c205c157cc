"""Many design runs on a cluster: which, where, resumed, and what came out."""

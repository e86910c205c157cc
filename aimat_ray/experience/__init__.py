"""Stored transitions: the trusted pool made from measurements, and the replay buffer."""

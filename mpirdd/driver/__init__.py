"""Rank 0's loop: runs jobs by turning the scheduler's commands into messages, and messages into events."""

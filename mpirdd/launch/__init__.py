"""Command line, starting ranks, diagnosis, and joining the world."""

"""Batch jobs for Slurm: writing the script, submitting it, and following it to its end."""

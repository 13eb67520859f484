"""A run's reports: history of jobs and stages, memory of the executors, progress, notices."""

"""Programs on other engines, for benchmarks that compare; each is run only where its engine is installed."""

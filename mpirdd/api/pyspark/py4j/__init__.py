"""The errors of py4j that PySpark programs catch; there is no Java behind them."""

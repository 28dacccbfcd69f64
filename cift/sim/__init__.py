"""One run: `run(spec) -> RunRecord`, which backtests, sweeps and later the live runner use."""

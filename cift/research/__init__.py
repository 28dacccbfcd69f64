"""What is computed from finished runs, figures and sweeps; and from market data, features and targets (`cift.features`)."""

"""What is computed from finished runs: figures and sweeps."""

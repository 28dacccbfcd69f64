"""Benchmarks followed over commits with asv: `make bench`, `make bench-compare`.

One module per subject. asv calls what begins with `time_` (seconds), `timeraw_` (seconds, in a fresh process), `track_` (the
value returned, in `.unit`) or `peakmem_` (bytes). Data is generated in `setup_cache`, seeded, so that commits are measured on
the same input.
"""

"""Charts, notebook summaries and tear sheets, drawn from plain frames and plain values; returns text, writes nothing."""

"""One run of a model, and what comes out: results and their hash, the report, the plot."""

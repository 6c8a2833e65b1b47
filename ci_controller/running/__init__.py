"""One job from its start to its recorded end: output, outcome, artifacts and test reports."""

"""Evaluation: metrics, the benchmark authors' FBP, cases, the runner, tables and figures."""

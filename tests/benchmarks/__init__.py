"""What a session costs, here and elsewhere: `python -m tests.benchmarks`. No test; pytest does not collect it."""

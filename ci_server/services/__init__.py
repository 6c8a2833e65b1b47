"""What every door calls: one way to submit a job, to ask about jobs, and to cancel one.

A service takes a principal and returns domain objects; it knows no HTTP and no JSON names.
"""

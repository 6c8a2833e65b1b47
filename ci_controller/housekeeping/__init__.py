"""What is done now and then: retention, leftovers, and the clock that nobody sets."""

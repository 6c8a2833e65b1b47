"""What is read: the model's settings, its tables and hooks, checked with every mistake located."""

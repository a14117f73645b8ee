"""What is read and never changed."""

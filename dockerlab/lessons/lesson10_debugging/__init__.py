"""What lesson 10 and its lab alone use."""

"""What lesson 12 and its lab alone use."""

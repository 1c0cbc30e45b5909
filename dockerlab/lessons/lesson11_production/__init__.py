"""What lesson 11 and its lab alone use."""

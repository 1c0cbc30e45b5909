"""What lesson 00 and its lab alone use."""

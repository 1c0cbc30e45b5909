"""What lesson 07 and its lab alone use."""

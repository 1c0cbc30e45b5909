"""What lesson 05 and its lab alone use."""

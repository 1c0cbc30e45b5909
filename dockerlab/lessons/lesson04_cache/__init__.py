"""What lesson 04 and its lab alone use."""

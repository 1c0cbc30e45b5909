"""What lesson 02 and its lab alone use."""

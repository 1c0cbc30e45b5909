"""What lesson 06 and its lab alone use."""

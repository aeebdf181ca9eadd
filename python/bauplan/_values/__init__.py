"""What the client gives: values that say what a catalog holds, and how jobs went."""

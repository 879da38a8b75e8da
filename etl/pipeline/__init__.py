"""What commands do, from beginning to end."""

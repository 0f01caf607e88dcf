"""Ways of closing the gap between two domains, one file each."""

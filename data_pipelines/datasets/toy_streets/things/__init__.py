"""What stands and moves in the toy city."""

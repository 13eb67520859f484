"""The loop of the other ranks: runs and interrupts tasks, and catches their output."""

"""What ranks do together: the exchange, and the network inside one process."""

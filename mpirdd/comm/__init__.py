"""Communication among ranks: the transport protocol and its two networks, the exchange,
broadcast."""
